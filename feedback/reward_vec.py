"""The wrapper that gives the learned reward to a learner; what the world itself would have paid is only logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sensors.errors import ConfigError, DriveFusionError
from sensors.scene import Scene


class Reward(Protocol):
    """What says the reward: a ``RewardModel``, or anything of one's own."""

    def reward(self, scene: Scene, actions: torch.Tensor, next_scene: Scene, terminal: torch.Tensor, /) -> torch.Tensor:
        """Reward of one decision in each of B worlds, (B,)."""

    def after_the_end(self, next_scene: Scene, /) -> torch.Tensor:
        """Reward of every decision after an episode has ended in ``next_scene``, (B,)."""


class RewardError(DriveFusionError):
    """A learned reward that is not a number."""


class RewardVecEnv(VecEnvWrapper):
    """A batched environment whose reward was learned from people.

    An episode that truly ends goes on for ever in thought: its last step also pays ``gamma / (1 - gamma)`` times the reward of the
    state it stays in. With that, and the value that Stable-Baselines3 adds at a time limit, adding a constant to the learned reward
    adds the same ``c / (1 - gamma)`` to every return, so the constant rewards neither an early end nor idling.

    With ``horizon_steps`` every episode has that many decisions for the learner instead, and nothing comes after them: the last step of
    one that ends early also pays the decisions that are missing, spent where it ended, and the time limit is an end like any other
    (``TimeLimit.truncated`` is false). A constant then adds the same to every return from a given time on, so the learner must see the
    time. That is what a teacher means who judges whole rides of one length.

    What a constant cannot do to the best policy it still does to learning: a critic that is off by a part of it drowns what matters. So
    ``centred`` takes a constant off every reward, absorbing states' too: the mean of the first step in which a model pays, kept for as long
    as that model pays. A constant that was added to the model is gone with it.

    ``infos[i]`` gets ``world_reward``, ``learned_reward`` (without what comes after the end) and, where an episode ends,
    ``world_return`` and ``learned_return``.
    """

    passes_observations = True
    """It changes rewards alone."""

    def __init__(
        self,
        venv: VecEnv,
        model: Reward,
        gamma: float = 0.99,
        horizon_steps: int | None = None,
        centred: bool = False,
        agreed: Callable[[float], float] | None = None,
    ) -> None:
        """Wrap an environment.

        Args:
            venv: Made by ``envs.make_sb3_vec``: it tells its last ``transition`` as scenes.
            model: Says the reward.
            gamma: The learner's discount factor; another one breaks the promise above.
            horizon_steps: Decisions of an episode, for fixed horizons; None goes on for ever in thought.
            centred: Pay rewards less a constant that makes them small.
            agreed: Makes of that constant what all take, where several processes learn together.

        Raises:
            ConfigError: ``gamma`` is not in [0, 1), ``venv`` tells no transitions, or its worlds have several agents.
        """
        if not 0.0 <= gamma < 1.0 and not (gamma == 1.0 and horizon_steps):
            raise ConfigError(f"RewardVecEnv.gamma is {gamma}, expected the learner's discount factor, in [0, 1)")
        if horizon_steps is not None and horizon_steps < 1:
            raise ConfigError(f"RewardVecEnv.horizon_steps is {horizon_steps}, expected the decisions of an episode, or None")
        if not hasattr(venv, "transition"):
            raise ConfigError(f"RewardVecEnv got a {type(venv).__name__} without 'transition', expected what envs.make_sb3_vec makes")
        if hasattr(venv, "agents"):
            raise ConfigError(
                "RewardVecEnv got worlds of several agents, but the reward was learned for the first alone; use an id with one"
            )
        super().__init__(venv)
        self.model = model
        self.gamma = gamma
        self.horizon_steps = horizon_steps
        self.centred, self.agreed = centred, agreed
        self._centre: tuple[Reward | None, float] = (None, 0.0)
        """Whose rewards, and what is taken off each."""
        self._gone = torch.zeros(venv.num_envs, dtype=torch.int64)
        self._returns = np.zeros((2, venv.num_envs))  # world's, learned

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        self._returns[:] = 0.0
        self._gone.zero_()
        return self.venv.reset()

    def state(self) -> dict[str, torch.Tensor]:
        """The environment's state, and what the running episodes have returned so far."""
        own = {"returns": torch.from_numpy(self._returns.copy())} | ({"gone": self._gone.clone()} if self.horizon_steps else {})
        if self._centre[0] is self.model:
            own["centre"] = torch.tensor(self._centre[1], dtype=torch.float64)
        return {**self.venv.state(), **own}  # type: ignore[attr-defined]

    def load_state(self, state: Mapping[str, torch.Tensor]) -> Any:
        """Go back to a state; gives the present observation."""
        rest = dict(state)
        self._returns = rest.pop("returns").numpy().copy()
        self._gone = rest.pop("gone", self._gone).clone()
        if "centre" in rest:
            self._centre = self.model, float(rest.pop("centre"))
        return self.venv.load_state(rest)  # type: ignore[attr-defined]

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and pay the learned reward instead of the world's."""
        observations, world_rewards, dones, infos = self.venv.step_wait()
        step: Any = self.venv.transition  # type: ignore[attr-defined]
        learned = self.model.reward(step.scene, step.actions, step.next_scene, step.terminated)
        self._gone += 1
        centre = self._centre_of(learned)
        later = (self.model.after_the_end(step.next_scene) - centre) * self._decisions_after().to(learned)
        paid = learned - centre + torch.where(step.terminated, later, torch.zeros_like(later))
        self._check(paid, step)
        plain = learned.cpu().numpy()
        self._returns += np.stack((world_rewards, plain))
        for world, info in enumerate(infos):
            info["world_reward"], info["learned_reward"] = float(world_rewards[world]), float(plain[world])
            if dones[world]:
                info["world_return"], info["learned_return"] = self._returns[:, world].tolist()
                if self.horizon_steps:
                    info["TimeLimit.truncated"] = False
        self._returns[:, dones] = 0.0
        self._gone[torch.from_numpy(dones)] = 0
        return observations, paid.cpu().numpy().astype(np.float32), dones, infos

    def _centre_of(self, learned: torch.Tensor) -> float:
        """What is taken off each reward."""
        if not self.centred:
            return 0.0
        if self._centre[0] is not self.model:
            mean = float(learned.double().nanmean())
            self._centre = self.model, mean if self.agreed is None else self.agreed(mean)
        return self._centre[1]

    def _decisions_after(self) -> torch.Tensor:
        """How many decisions come after the present one, each counted as the learner discounts it, (B,) or a number."""
        if self.horizon_steps is None:
            return torch.tensor(self.gamma / (1.0 - self.gamma))
        missing = (self.horizon_steps - self._gone).clamp(min=0).double()
        return missing if self.gamma == 1.0 else self.gamma * (1.0 - self.gamma**missing) / (1.0 - self.gamma)

    def _check(self, paid: torch.Tensor, step: Any) -> None:
        """Stop before a reward that is not finite poisons the learner's weights."""
        wrong = ~torch.isfinite(paid)
        if bool(wrong.any()):
            world = int(wrong.nonzero()[0, 0])
            raise RewardError(
                f"reward model: {int(wrong.sum())} of {len(paid)} rewards are not finite, first in world {world} "
                f"(episode seed {int(step.scene.episode_seed[world])}, substep {int(step.scene.step[world])}), expected numbers; "
                "look at that scene and at the model's weights"
            )
