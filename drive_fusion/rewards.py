"""Changes to the world's own reward, and what stands in its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sensors.errors import ConfigError


class CrashPenalty(VecEnvWrapper):
    """Takes a fixed amount off the reward of the step in which the ego crashes; ``infos`` keep the world's as ``world_reward``."""

    passes_observations = True
    """It changes rewards alone."""

    def __init__(self, venv: VecEnv, penalty: float) -> None:
        """Wrap an environment.

        Args:
            venv: Made by ``envs.make_sb3_vec``: it tells its last ``transition`` as scenes.
            penalty: What a crash costs.

        Raises:
            ConfigError: ``venv`` tells no transitions, or its worlds have several agents.
        """
        if not hasattr(venv, "transition"):
            raise ConfigError(f"CrashPenalty got a {type(venv).__name__} without 'transition', expected what envs.make_sb3_vec makes")
        if hasattr(venv, "agents"):
            raise ConfigError("CrashPenalty got worlds of several agents, expected one ego a world; use an id with one")
        super().__init__(venv)
        self.penalty = penalty

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and make crashes dear."""
        observation, rewards, dones, infos = self.venv.step_wait()
        step: Any = self.venv.transition  # type: ignore[attr-defined]
        crashed = (step.next_scene.crashed[:, 0] & step.terminated).cpu().numpy()
        for info, reward in zip(infos, rewards, strict=True):
            info.setdefault("world_reward", float(reward))
        return observation, (rewards - self.penalty * crashed).astype(np.float32), dones, infos


class ScriptedReward(VecEnvWrapper):
    """Pays what the scripted teachers like, ``feedback.scripted.true_reward``, instead of the world's own reward.

    Per second 1 + (progress - 20 m) / 10, less 0.5 where the headway is under a second; -10 for a crash, -0.1 for a lane change. ``infos``
    keep the world's as ``world_reward``.
    """

    passes_observations = True
    """It changes rewards alone."""

    def __init__(self, venv: VecEnv) -> None:
        """Wrap an environment.

        Args:
            venv: Made by ``envs.make_sb3_vec``: it tells its last ``transition`` as scenes.

        Raises:
            ConfigError: ``venv`` tells no transitions, or its worlds have several agents.
        """
        if not hasattr(venv, "transition") or hasattr(venv, "agents"):
            raise ConfigError(f"ScriptedReward got a {type(venv).__name__}, expected worlds of one ego as envs.make_sb3_vec makes them")
        super().__init__(venv)

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and pay."""
        from feedback.scripted import true_reward
        from feedback.windows import Decisions

        observation, rewards, dones, infos = self.venv.step_wait()
        step: Any = self.venv.transition  # type: ignore[attr-defined]
        worlds: Any = self.venv.unwrapped
        nothing = torch.zeros_like(step.terminated)
        decisions = Decisions(step.scene, step.actions, step.next_scene, step.terminated, nothing, nothing, worlds.world.policy_dt_s)
        for info, reward in zip(infos, rewards, strict=True):
            info.setdefault("world_reward", float(reward))
        return observation, true_reward(decisions).cpu().numpy().astype(np.float32), dones, infos
