"""Learners as drivers: an SB3 model, a checkpoint folder or a function behind the `envs.Driver` protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from drive_fusion.checkpoint import MANIFEST, CheckpointError
from drive_fusion.policy import FusedPolicy
from drive_fusion.ppo import FusedPPO, folder_of
from drive_fusion.rule_driver import RuleDriver
from envs.drivers import DRIVERS, Driver, driver_named
from envs.observation import pack
from sensors.device import device_named
from sensors.errors import ConfigError, unknown_name
from sensors.frames import Frames
from sensors.presets import rig_named
from sensors.rig import Rig
from sensors.scene import Scene

SCRIPTED = (*DRIVERS, "rule")


class Recall(NamedTuple):
    """What a model remembers of B worlds, and where it is to forget before it decides again."""

    memory: Any  # a `FusedPolicy`'s tensors, or the arrays of another recurrent model of SB3
    starts: Tensor  # (B,) bool


class PolicyDriver:
    """An SB3 model behind the wheel, by its most likely action; a recurrent one with its memory."""

    autopilot = False

    def __init__(self, model: BaseAlgorithm, rig: str | Rig | None = None, world: Any = None):
        """Seat a model.

        Args:
            model: Any SB3 model.
            rig: Its rig; by default the one its `FusedExtractor` was built for.
            world: For a model without a rig: the world whose own observation it looks at.

        Raises:
            ConfigError: The model has no rig and there is no world to observe.
        """
        extractor = (getattr(model, "policy_kwargs", None) or {}).get("features_extractor_kwargs") or {}
        rig = rig if rig is not None else extractor.get("rig")
        self.needs_frames: Rig | None = None if rig is None else rig_named(rig)
        if self.needs_frames is None and world is None:
            raise ConfigError("this model was trained without a rig; it can only drive in a world whose own observation it gets")
        self.model = model
        self._world = world

    def act(self, scene: Scene, frames: Frames | None, state: Recall | None) -> tuple[Tensor, Recall | None]:
        """Decide for every world."""
        if self.needs_frames is None:
            observation: Any = self._world.observation()
        elif frames is None:
            raise ConfigError(f"this model sees through rig {self.needs_frames.name!r}, but got no frames; render the scene with that rig")
        else:
            observation = pack(frames, self.needs_frames)
        memory = state.memory if state is not None else None
        starts = state.starts if state is not None else torch.ones(scene.num_worlds, dtype=torch.bool)
        if isinstance(self.model.policy, FusedPolicy):
            actions, memory = self.model.policy.drive(observation, memory, starts)
        else:
            chosen, memory = self.model.predict(_numpy(observation), memory, starts.numpy() if memory is not None else None, True)
            actions = torch.from_numpy(np.asarray(chosen))
        return actions.to(scene.device), Recall(memory, torch.zeros_like(starts)) if memory else None

    def reset(self, state: Recall | None, where: Tensor) -> Recall | None:
        """Forget some worlds, (B,) bool."""
        return None if state is None else state._replace(starts=state.starts | where.cpu())


@dataclass(frozen=True)
class FunctionDriver:
    """A plain function of scene and frames to actions (B,)."""

    function: Callable[[Scene, Frames | None], Tensor]
    needs_frames: Rig | None = None
    autopilot: bool = False

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Ask the function."""
        return torch.as_tensor(self.function(scene, frames)).to(scene.device), None

    def reset(self, state: Any, where: Tensor) -> Any:
        """A function keeps no memory."""
        return state


def driver_of(who: Any, world: Any, rig: str | Rig | None = None, device: str | torch.device = "cpu") -> Driver:
    """Make a driver of whatever can drive.

    Args:
        who: A name (``SCRIPTED``), a checkpoint folder, an SB3 model, a `Driver`, or a function of scene and frames to actions.
        world: The world it will drive in.
        rig: The rig of a model or function, if it does not say so itself.
        device: Where a checkpoint's network runs.

    Raises:
        ConfigError: No such name, or nothing that can drive.
        CheckpointError: The folder is no checkpoint of ours.
    """
    if isinstance(who, (str, Path)):
        return _named(str(who), world, rig, device)
    if isinstance(who, BaseAlgorithm):
        return PolicyDriver(who, rig, world)
    if all(hasattr(who, name) for name in ("act", "autopilot", "needs_frames")):
        driver: Driver = who
        return driver
    if callable(who):
        return FunctionDriver(who, None if rig is None else rig_named(rig))
    raise ConfigError(f"a {type(who).__name__} cannot drive; give a name, a checkpoint folder, an SB3 model, a Driver or a function")


def _named(name: str, world: Any, rig: str | Rig | None, device: str | torch.device) -> Driver:
    if name == "rule":
        return RuleDriver()
    if name in DRIVERS:
        return driver_named(name, world.num_actions, action_names=getattr(world, "action_names", None))
    folder = folder_of(name)
    if (folder / MANIFEST).is_file() or folder.is_file():
        return PolicyDriver(FusedPPO.load(folder, device=device_named(device)), rig, world)
    if len(Path(name).parts) > 1 or folder.exists():
        raise CheckpointError(f"{name}: no checkpoint there ({MANIFEST} is missing); expected a folder made by FusedPPO.save")
    raise unknown_name("driver", name, SCRIPTED)


def _numpy(observation: Any) -> Any:
    if isinstance(observation, Tensor):
        return observation.cpu().numpy()
    return {name: value.cpu().numpy() for name, value in observation.items()}
