"""Worlds that show privileged state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from drive_fusion.privileged.state import PrivilegedState, privileged_space
from envs.sb3 import DrivingVecEnv, make_sb3_vec
from sensors.errors import ConfigError
from sensors.rig import Rig

BLIND = Rig("blind")
"""A rig without sensors: the cheapest observation, for what takes its place: privileged state, or a look-ahead."""


class PrivilegedVecEnv(VecEnvWrapper):
    """Shows privileged state of worlds that ``envs.make_sb3_vec`` made, whatever they show themselves."""

    def __init__(self, venv: VecEnv) -> None:
        """Wrap an environment.

        Raises:
            ConfigError: It has no scenes, or its worlds have several agents.
        """
        if not hasattr(venv, "transition") or hasattr(venv, "agents"):
            raise ConfigError(f"privileged state got a {type(venv).__name__}, expected worlds of one ego as envs.make_sb3_vec makes them")
        worlds: DrivingVecEnv = venv.unwrapped  # type: ignore[assignment]
        super().__init__(venv, privileged_space(worlds.world.action_width))
        self.worlds = worlds
        self.tell = PrivilegedState()

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        self.venv.reset()
        return self.tell(self.worlds.scene).cpu().numpy()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and tell privileged state, also of episodes that ended."""
        _, rewards, dones, infos = self.venv.step_wait()
        if dones.any():
            ended = torch.from_numpy(dones)
            last = self.tell(self.worlds.transition.next_scene.select(ended.to(self.worlds.world.device))).cpu().numpy()  # type: ignore[union-attr]
            for row, index in enumerate(np.flatnonzero(dones).tolist()):
                infos[index]["terminal_observation"] = last[row]
        return self.tell(self.worlds.scene).cpu().numpy(), rewards, dones, infos


def make_privileged_vec(id: str, num_envs: int, **arguments: Any) -> PrivilegedVecEnv:
    """Make worlds that show privileged state; arguments as for ``envs.make_sb3_vec``, without ``rig``."""
    return PrivilegedVecEnv(make_sb3_vec(id, num_envs, rig=BLIND, **arguments))
