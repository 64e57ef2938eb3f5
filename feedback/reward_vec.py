"""The wrapper that gives the learned reward to a learner; what the world itself would have paid is only logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from feedback.reward_model import RewardModel
from sensors.errors import ConfigError, DriveFusionError


class RewardError(DriveFusionError):
    """A learned reward that is not a number."""


class RewardVecEnv(VecEnvWrapper):
    """A batched environment whose reward was learned from people.

    An episode that truly ends goes on for ever in thought: its last step also pays ``gamma / (1 - gamma)`` times the reward of the
    state it stays in. With that, and the value that Stable-Baselines3 adds at a time limit, adding a constant to the learned reward
    adds the same ``c / (1 - gamma)`` to every return, so the constant rewards neither an early end nor idling.

    ``infos[i]`` gets ``world_reward``, ``learned_reward`` (without what comes after the end) and, where an episode ends,
    ``world_return`` and ``learned_return``.
    """

    passes_observations = True
    """It changes rewards alone."""

    def __init__(self, venv: VecEnv, model: RewardModel, gamma: float = 0.99) -> None:
        """Wrap an environment.

        Args:
            venv: Made by ``envs.make_sb3_vec``: it tells its last ``transition`` as scenes.
            model: Says the reward.
            gamma: The learner's discount factor; another one breaks the promise above.

        Raises:
            ConfigError: ``gamma`` is not in [0, 1), ``venv`` tells no transitions, or its worlds have several agents.
        """
        if not 0.0 <= gamma < 1.0:
            raise ConfigError(f"RewardVecEnv.gamma is {gamma}, expected the learner's discount factor, in [0, 1)")
        if not hasattr(venv, "transition"):
            raise ConfigError(f"RewardVecEnv got a {type(venv).__name__} without 'transition', expected what envs.make_sb3_vec makes")
        if hasattr(venv, "agents"):
            raise ConfigError(
                "RewardVecEnv got worlds of several agents, but the reward was learned for the first alone; use an id with one"
            )
        super().__init__(venv)
        self.model = model
        self.gamma = gamma
        self._returns = np.zeros((2, venv.num_envs))  # world's, learned

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        self._returns[:] = 0.0
        return self.venv.reset()

    def state(self) -> dict[str, torch.Tensor]:
        """The environment's state, and what the running episodes have returned so far."""
        return {**self.venv.state(), "returns": torch.from_numpy(self._returns.copy())}  # type: ignore[attr-defined]

    def load_state(self, state: Mapping[str, torch.Tensor]) -> Any:
        """Go back to a state; gives the present observation."""
        rest = dict(state)
        self._returns = rest.pop("returns").numpy().copy()
        return self.venv.load_state(rest)  # type: ignore[attr-defined]

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and pay the learned reward instead of the world's."""
        observations, world_rewards, dones, infos = self.venv.step_wait()
        step: Any = self.venv.transition  # type: ignore[attr-defined]
        learned = self.model.reward(step.scene, step.actions, step.next_scene, step.terminated)
        later = self.model.after_the_end(step.next_scene) * (self.gamma / (1.0 - self.gamma))
        paid = learned + torch.where(step.terminated, later, torch.zeros_like(later))
        self._check(paid, step)
        plain = learned.cpu().numpy()
        self._returns += np.stack((world_rewards, plain))
        for world, info in enumerate(infos):
            info["world_reward"], info["learned_reward"] = float(world_rewards[world]), float(plain[world])
            if dones[world]:
                info["world_return"], info["learned_return"] = self._returns[:, world].tolist()
        self._returns[:, dones] = 0.0
        return observations, paid.cpu().numpy().astype(np.float32), dones, infos

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
