"""Rollouts on the network's device: SB3's loop with memory, one forward pass for all time limits, and nothing that is not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from drive_fusion.kept import keeper
from drive_fusion.policy import Observation, State, check_finite, decide, remembers, values_of
from drive_fusion.rollout import Rollout, chunk_length
from sensors.errors import ConfigError, DriveFusionError

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO


class RewardFault(DriveFusionError):
    """An environment's reward that is not a finite number."""


def collect(learner: FusedPPO, env: VecEnv, callback: BaseCallback, rollout_buffer: Rollout, n_rollout_steps: int) -> bool:
    """Fill a rollout; what callbacks find in ``locals`` is named as in SB3.

    Returns:
        Whether it was filled; False if a callback ended it.

    Raises:
        SensorFault: A live sensor's number is not finite.
        RewardFault: A reward is not finite.
    """
    policy, group, device = learner.policy, learner.group, learner.device
    policy.set_training_mode(False)
    _agree_on_chance(learner)
    chunk = chunk_length(n_rollout_steps, learner.chunk) if remembers(policy) else 1
    kept = _reused(rollout_buffer, learner, env, n_rollout_steps)
    rollout_buffer.begin(kept, chunk, learner.burn_in, group)
    if learner.use_sde:
        policy.reset_noise(env.num_envs * group.size)  # type: ignore[operator]
    callback.on_rollout_start()
    _begin_notes(learner, env.num_envs)
    state = learner.memory
    obs_tensor = kept.seen(tensors(learner._last_obs, device))
    for n_steps in range(n_rollout_steps):
        if learner.use_sde and learner.sde_sample_freq > 0 and n_steps % learner.sde_sample_freq == 0:
            policy.reset_noise(env.num_envs * group.size)  # type: ignore[operator]
        starts = torch.as_tensor(np.asarray(learner._last_episode_starts), dtype=torch.bool).to(device)
        kept.add(n_steps, obs_tensor)
        _note(learner, env, obs_tensor, starts)
        with torch.no_grad(), learner.autocast():
            decision = decide(policy, obs_tensor, state, starts, group)
        actions, values, log_probs = decision.actions.cpu().numpy(), decision.values, decision.log_probs
        clipped_actions = _within(learner, actions)
        new_obs, rewards, dones, infos = env.step(clipped_actions)
        learner.num_timesteps += env.num_envs * group.size
        _check_rewards(rewards, learner.num_timesteps)
        seen = tensors(new_obs, device)
        obs_tensor = kept.seen(check_finite(seen, f" after {learner.num_timesteps} steps") if isinstance(seen, dict) else seen)
        callback.update_locals(locals())
        going_on = callback.on_step()
        learner._update_info_buffer(infos, dones)
        paid = np.array(rewards, dtype=np.float32)
        _add_value_at_time_limits(learner, paid, dones, infos, decision.state, kept)
        rollout_buffer.keep(decision, state, torch.from_numpy(paid).to(device), starts)
        learner._last_obs = new_obs  # type: ignore[assignment]
        learner._last_episode_starts, learner.memory = dones, decision.state
        state = decision.state
        if not going_on:
            return False
    with torch.no_grad(), learner.autocast():
        values = values_of(policy, obs_tensor, state, torch.from_numpy(dones).to(device))
    rollout_buffer.compute_returns_and_advantage(last_values=values.float(), dones=dones)
    callback.update_locals(locals())
    callback.on_rollout_end()
    return True


def _begin_notes(learner: FusedPPO, worlds: int) -> None:
    """Empty what anchor and tutor noted of the last rollout.

    Raises:
        ConfigError: There is to be an anchor, and none is set.
    """
    if learner.anchor_weight and learner.anchor is None:
        raise ConfigError("anchor_weight is set, but there is no anchor; call anchor_to with the checkpoint to stay near")
    if learner.anchor is not None:
        learner.anchor.begin(worlds)
    if learner.tutor is not None:
        learner.tutor.begin()


def _note(learner: FusedPPO, env: VecEnv, seen: Observation, starts: Tensor) -> None:
    """Let anchor and tutor note a decision."""
    if learner.anchor is not None:
        with learner.autocast():
            learner.anchor.see(seen, starts)
    if learner.tutor is not None:
        learner.tutor.see(env, starts)


def tensors(observation: Any, device: torch.device) -> Observation:
    """An environment's observation on a device; on the CPU its memory is shared, not copied."""
    if isinstance(observation, dict):
        return {name: torch.as_tensor(part).to(device) for name, part in observation.items()}
    return torch.as_tensor(observation).to(device)


def fresh_memory(learner: FusedPPO, worlds: int) -> State:
    """What the policy remembers before a training's first decision; here modality dropout is drawn, for the worlds of all processes."""
    group = learner.group
    if not remembers(learner.policy):
        return {}
    state: State = learner.policy.features_extractor.initial_state(worlds * group.size, drop=True)  # type: ignore[operator]
    return {name: part[group.own(worlds)].clone() for name, part in state.items()}


def _reused(rollout: Rollout, learner: FusedPPO, env: VecEnv, steps: int) -> Any:
    """The last rollout's room, if it fits this one."""
    kept = keeper(learner.keep, env, steps, learner.device)
    before = getattr(rollout, "kept", None)
    of_both = [(type(room), getattr(room, "steps", None), getattr(room, "worlds", None)) for room in (before, kept)]
    return before if of_both[0] == of_both[1] else kept


def _agree_on_chance(learner: FusedPPO) -> None:
    """Let all processes draw what the first one draws."""
    if learner.group.size > 1:
        generator = torch.get_rng_state().to(learner.device)
        torch.set_rng_state(learner.group.of_first(generator).cpu())


def _within(learner: FusedPPO, actions: NDArray[Any]) -> NDArray[Any]:
    """Actions as the environment takes them."""
    space = learner.action_space
    if not isinstance(space, spaces.Box):
        return actions
    if learner.policy.squash_output:
        return np.asarray(learner.policy.unscale_action(actions))
    clipped: NDArray[Any] = np.clip(actions, space.low, space.high)
    return clipped


def _add_value_at_time_limits(
    learner: FusedPPO, rewards: NDArray[np.float32], dones: NDArray[np.bool_], infos: list[dict[str, Any]], state: State, kept: Any
) -> None:
    """Where a time limit ended an episode, add the value of its last state, seen with the memory of the episode that ended."""
    late = [
        world
        for world in np.flatnonzero(dones).tolist()
        if infos[world].get("TimeLimit.truncated", False) and infos[world].get("terminal_observation") is not None
    ]
    for world in np.flatnonzero(dones).tolist():
        last = tensors(_one_row(infos[world].get("terminal_observation")), torch.device("cpu"))
        if isinstance(last, dict):
            check_finite(last, f" after {learner.num_timesteps} steps")
    if not late:
        return
    last = _stacked([infos[world]["terminal_observation"] for world in late])
    rows = torch.tensor(late, device=learner.device)
    own = {name: part[rows] for name, part in state.items()}
    with torch.no_grad(), learner.autocast():
        seen = kept.seen(tensors(last, learner.device))
        values = values_of(learner.policy, seen, own, torch.zeros(len(late), dtype=torch.bool, device=learner.device))
    rewards[late] += learner.gamma * values.float().cpu().numpy()


def _one_row(observation: Any) -> Any:
    if observation is None:
        return {}
    return _stacked([observation])


def _stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {name: np.stack([np.asarray(seen[name]) for seen in observations]) for name in observations[0]}
    return np.stack([np.asarray(seen) for seen in observations])


def _check_rewards(rewards: NDArray[Any], step: int) -> None:
    if not np.isfinite(rewards).all():
        world = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise RewardFault(
            f"reward of world {world} after {step} steps is {rewards[world]}, expected a finite number; "
            "the weights are still those of the last update: save them or resume the last checkpoint"
        )


class FiniteEnv(VecEnvWrapper):
    """Passes an environment on to SB3's own loop, and stops at the first number that is not finite."""

    def __init__(self, venv: VecEnv, learner: FusedPPO):
        super().__init__(venv)
        self.learner = learner

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and look at every number."""
        observation, rewards, dones, infos = self.venv.step_wait()
        step = self.learner.num_timesteps
        check_arrays(observation, step)
        _check_rewards(rewards, step)
        for world in np.flatnonzero(dones).tolist():
            check_arrays(_one_row(infos[world].get("terminal_observation")), step)
        return observation, rewards, dones, infos


def check_arrays(observation: Any, step: int) -> None:
    """Refuse arrays with numbers that are not finite.

    Raises:
        SensorFault: There is one.
    """
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    found: dict[str, Tensor] = {  # bytes too: pictures say which places of ``alive`` are the other sensors'
        name: torch.as_tensor(part) for name, part in parts.items() if isinstance(part, np.ndarray) and part.dtype.kind in "biuf"
    }
    check_finite(found, f" after {step} steps")
