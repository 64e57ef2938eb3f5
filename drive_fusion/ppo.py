"""FusedPPO: Stable-Baselines3's PPO with the fused driver's eyes, checkpoints that run no code, exact resume, and no NaN let in."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from drive_fusion.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from drive_fusion.extractor import FusedExtractor, ModelSize
from drive_fusion.fusion import Spatial
from drive_fusion.plain import PlainDataError, decode, encode
from sensors.device import device_named
from sensors.errors import ConfigError, DriveFusionError, SensorFault
from sensors.rig import Rig

ARGUMENTS = (
    *("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf", "normalize_advantage"),
    *("ent_coef", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq", "rollout_buffer_class", "rollout_buffer_kwargs", "target_kl"),
    *("tensorboard_log", "policy_kwargs", "verbose"),
)
"""What PPO's constructor takes and a checkpoint keeps."""
COUNTERS = (
    *("seed", "num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_current_progress_remaining"),
    *(
        "critic_warmup_steps",
        "_n_updates",
        "_stats_window_size",
        "ep_info_buffer",
        "ep_success_buffer",
        "observation_space",
        "action_space",
        "n_envs",
    ),
)
CRITIC_WARMUP_EPOCHS = 30
CRITIC_WARMUP_LR = 2e-3


class RewardFault(DriveFusionError):
    """An environment's reward that is not a finite number."""


class FusedPPO(PPO):
    """PPO whose policy sees through a `FusedExtractor`.

    Without a rig it is SB3's PPO on any observation, with the same checkpoints.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy] = "MultiInputPolicy",
        env: Any = None,
        *,
        rig: str | Rig | None = None,
        spatial: Spatial = "concat",
        size: str | ModelSize = "micro",
        device: str | torch.device = "auto",
        critic_warmup_steps: int = 0,
        **arguments: Any,
    ):
        """Build a learner.

        Args:
            policy: As in SB3.
            env: As in SB3: a VecEnv or a gymnasium environment.
            rig: The rig that makes the environment's observation; None for an observation without sensors.
            spatial: How the modalities' maps are fused.
            size: How big the network is.
            device: "cpu", "cuda" (an error without a GPU) or "auto".
            critic_warmup_steps: For so many steps at the start only the critic's own layers learn. After a warm start of the policy they
                know nothing, and their errors would undo it.
            arguments: SB3's PPO arguments.

        Raises:
            ConfigError: The device is not there, or the observation is not that rig's.
        """
        if rig is not None:
            given = dict(arguments.pop("policy_kwargs", None) or {})
            extractor = {"rig": rig, "spatial": spatial, "size": size}
            defaults: dict[str, Any] = {"net_arch": {"pi": [64], "vf": [64]}}
            arguments["policy_kwargs"] = (
                defaults | given | {"features_extractor_class": FusedExtractor, "features_extractor_kwargs": extractor}
            )
        self._settled_timesteps = 0
        self.critic_warmup_steps = critic_warmup_steps
        super().__init__(policy, env, device=device_named(device), **arguments)

    @property
    def settled(self) -> bool:
        """Whether the learner stands between two rollouts, where a checkpoint resumes exactly."""
        return self.num_timesteps == self._settled_timesteps

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> bool:
        """As in SB3, and stops before a number that is not finite reaches the policy.

        Raises:
            SensorFault: An observation is not finite.
            RewardFault: A reward is not finite.
        """
        if self.num_timesteps == 0:
            self._settled_timesteps = 0
        _check_observation(self._last_obs, self.num_timesteps)
        return super().collect_rollouts(_FiniteEnv(env, self), callback, rollout_buffer, n_rollout_steps)

    def train(self) -> None:
        """As in SB3; during the critic's warm-up, everything else stands still."""
        if self.num_timesteps <= self.critic_warmup_steps:
            self._train_critic()
        else:
            super().train()
        self._settled_timesteps = self.num_timesteps

    def _train_critic(self) -> None:
        """Fit the critic's own layers to the rollout. What they look at stands still: computed once, it makes many passes cheap."""
        critic = [*self.policy.mlp_extractor.value_net.parameters(), *self.policy.value_net.parameters()]
        optimiser = torch.optim.Adam(critic, lr=CRITIC_WARMUP_LR)
        self.policy.set_training_mode(False)
        with torch.no_grad():
            rollout = list(self.rollout_buffer.get(self.batch_size))
            eyes = self.policy.vf_features_extractor
            features = [BaseModel.extract_features(self.policy, part.observations, eyes) for part in rollout]
        losses = []
        for _ in range(CRITIC_WARMUP_EPOCHS):
            for seen, part in zip(features, rollout, strict=True):
                values = self.policy.value_net(self.policy.mlp_extractor.forward_critic(seen)).flatten()
                loss = torch.nn.functional.mse_loss(values, part.returns)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            losses.append(loss.item())
        self.logger.record("train/critic_warmup_loss", losses[-1])

    def copy_policy(self, path: str | Path) -> None:
        """Start with another checkpoint's policy; its optimiser and counters are left behind.

        Raises:
            CheckpointError: The checkpoint is damaged, or of another size.
        """
        other = type(self).load(path, device=self.device)
        try:
            self.policy.load_state_dict(other.policy.state_dict())
        except RuntimeError as error:
            raise CheckpointError(f"{path} does not fit as a warm start: {' '.join(str(error).split())}") from error

    def save(self, path: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """Save everything that resuming needs into a checkpoint folder, replacing one that is there in one step.

        Args:
            path: The folder; a ``.zip`` at its end, as SB3's callbacks add, is dropped.
            exclude: Must be empty: a checkpoint is whole.
            include: Must be empty.

        Raises:
            CheckpointError: The folder cannot be written, or the environment's state is not plain data.
            ConfigError: ``path`` is not a path, or something is to be left out.
        """
        if isinstance(path, io.IOBase) or exclude or include:
            raise ConfigError("FusedPPO.save writes whole checkpoints into a folder; give it a path and neither exclude nor include")
        facts, learner = {}, dict[str, Tensor]()
        try:
            for name, part in self._parts().items():
                facts[name] = encode(part, learner, name)
        except PlainDataError as error:
            raise CheckpointError(f"{path}: {error}") from error
        own = self.policy.state_dict()
        weights = {name: own[name].cpu().contiguous() for name in set(_first_names(own).values())}
        write_checkpoint(folder_of(path), {"weights": weights, "learner": learner}, facts)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: str | Path,
        env: Any = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = False,
        **changed: Any,
    ) -> Self:
        """Load a checkpoint folder.

        With an environment the learner resumes where it stood: generators of torch, numpy and Python, optimiser, counters, and, where the
        environment has ``load_state`` and the checkpoint was saved between two rollouts, its worlds and the last observation. Otherwise
        episodes start anew. Without an environment it can only predict, and no generator is touched.

        Args:
            path: The folder, with or without SB3's ``.zip``.
            env: Environment to go on learning in.
            device: "cpu", "cuda" or "auto".
            custom_objects: Classes and functions that the checkpoint may name besides the project's and SB3's own.
            print_system_info: Print versions, as in SB3.
            force_reset: Start episodes anew in any case.
            changed: Constructor arguments to use instead of the stored ones.

        Raises:
            CheckpointError: The checkpoint is damaged, foreign, of another size, or for other observations or actions.
            ConfigError: The device is not there.
        """
        if print_system_info:
            from stable_baselines3.common.utils import get_system_info

            get_system_info()
        place = folder_of(path)
        tensors, facts = read_checkpoint(place)
        try:
            stored = decode(facts, tensors["learner"], custom_objects)
            model = cls._rebuilt(stored, env, device, changed)
            model._fill(stored, tensors["weights"])
        except ConfigError:
            raise
        except (PlainDataError, KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{place} does not fit: {' '.join(str(error).split())}") from error
        if env is not None:
            model._resume(stored, force_reset)
        return model

    @classmethod
    def _rebuilt(cls, stored: Mapping[str, Any], env: Any, device: torch.device | str, changed: dict[str, Any]) -> Self:
        """A learner of the stored shape with fresh weights; global generators stay as they were."""
        wrapped = cls._wrap_env(env) if env is not None else None
        if wrapped is not None:
            check_for_correct_spaces(wrapped, stored["counters"]["observation_space"], stored["counters"]["action_space"])
        arguments = {**stored["arguments"], **changed}
        model = cls(stored["policy_class"], wrapped, device=device, _init_setup_model=False, **arguments)
        for name, value in stored["counters"].items():
            setattr(model, name, value)
        if wrapped is not None:
            model.n_envs = wrapped.num_envs
        seed, model.seed, model.env = model.seed, None, None  # with a seed, building would reseed every generator and the environment
        with torch.random.fork_rng():
            model._setup_model()
        model.seed, model.env = seed, wrapped
        return model

    def _parts(self) -> dict[str, Any]:
        """Everything a checkpoint keeps besides the weights."""
        begun = self.env is not None and self._last_obs is not None  # before the first reset there is no state to keep
        env_state = getattr(self.env, "state", None) if begun and self.settled else None
        return {
            "arguments": {name: getattr(self, name) for name in ARGUMENTS},
            "policy_class": self.policy_class,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "optimiser": self.policy.optimizer.state_dict(),
            "generators": generators(self.device),
            "settled": self.settled,
            "environment": env_state() if callable(env_state) else None,
            "last_observation": self._last_obs if self.settled else None,
            "last_episode_starts": self._last_episode_starts if self.settled else None,
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__},
        }

    def _fill(self, stored: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Put weights and optimiser in place, in the memory layout of the parameters, on which exact rounding depends."""
        first = _first_names(self.policy.state_dict())
        named = {name: weights[first[name]] for name in first if first[name] in weights}
        self.policy.load_state_dict({**named, **{name: tensor for name, tensor in weights.items() if name not in first}})
        parameters = [parameter for group in self.policy.optimizer.param_groups for parameter in group["params"]]
        state = stored["optimiser"]["state"]
        for number, entries in state.items():
            for name, value in entries.items():
                if isinstance(value, Tensor) and value.shape == parameters[number].shape:
                    entries[name] = torch.empty_like(parameters[number]).copy_(value)
        self.policy.optimizer.load_state_dict(dict(stored["optimiser"]))

    def _resume(self, stored: Mapping[str, Any], force_reset: bool) -> None:
        restore_generators(stored["generators"], self.device)
        self._settled_timesteps = self.num_timesteps
        load_state = getattr(self.env, "load_state", None)
        same = stored["environment"] is not None and stored["counters"]["n_envs"] == self.n_envs
        if callable(load_state) and same and not force_reset:
            load_state(stored["environment"])
            self._last_obs = stored["last_observation"]
            self._last_episode_starts = stored["last_episode_starts"]


def folder_of(path: str | Path) -> Path:
    """Where a checkpoint lies: the path itself, less the ``.zip`` that SB3's callbacks add (unless such a file is there)."""
    place = Path(path)
    return place.with_suffix("") if place.suffix == ".zip" and not place.is_file() else place


def _first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Under which name each entry's memory comes first: the actor's and the critic's eyes are the same tensors, stored once."""
    places: dict[int, str] = {}
    return {name: places.setdefault(tensor.data_ptr(), name) for name, tensor in state.items()}


def generators(device: torch.device) -> dict[str, Any]:
    """The state of every global generator, as plain data."""
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"torch": torch.get_rng_state(), "cuda": on_gpu, "numpy": np.random.get_state(), "python": random.getstate()}


def restore_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Put the global generators back to what `generators` gave."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


class _FiniteEnv(VecEnvWrapper):
    """Passes an environment on, and stops at the first number that is not finite."""

    def __init__(self, venv: VecEnv, learner: FusedPPO):
        super().__init__(venv)
        self.learner = learner

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, dones, infos = self.venv.step_wait()
        step = self.learner.num_timesteps
        _check_observation(observation, step)
        if not np.isfinite(rewards).all():
            world = int(np.flatnonzero(~np.isfinite(rewards))[0])
            raise RewardFault(
                f"reward of world {world} after {step} steps is {rewards[world]}, expected a finite number; "
                "the weights are still those of the last update: save them or resume the last checkpoint"
            )
        for world in np.flatnonzero(dones).tolist():
            _check_observation(infos[world].get("terminal_observation"), step)
        return observation, rewards, dones, infos


def _check_observation(observation: Any, step: int) -> None:
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    for name, values in parts.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))
            raise SensorFault(
                f"{name} after {step} steps: {len(bad)} of {values.size} numbers are not finite, first at {tuple(bad[0].tolist())}, "
                "expected finite ones; a sensor without data sets valid=False. The weights are still those of the last update"
            )
