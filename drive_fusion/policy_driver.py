"""Learners as drivers: an SB3 model, a checkpoint folder or a function behind the `envs.Driver` protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from drive_fusion.checkpoint import MANIFEST, CheckpointError
from drive_fusion.policy import FusedPolicy
from drive_fusion.ppo import FusedPPO, folder_of
from drive_fusion.privileged import PrivilegedExtractor, PrivilegedState
from drive_fusion.pursuit_driver import PursuitDriver
from drive_fusion.rule_driver import RuleDriver
from envs.agent_views import EachAgent
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
        """Seat a model; in a world of several agents it drives each by what that agent observes.

        Args:
            model: Any SB3 model.
            rig: Its rig; by default the one its `FusedExtractor` was built for.
            world: For a model without a rig: the world whose own observation it looks at.

        Raises:
            ConfigError: The model has no rig and there is no world to observe, or it has one and the world has several agents.
        """
        kwargs = getattr(model, "policy_kwargs", None) or {}
        told = kwargs.get("features_extractor_class") is PrivilegedExtractor
        self._tell = PrivilegedState() if told else None
        rig = None if told else rig if rig is not None else (kwargs.get("features_extractor_kwargs") or {}).get("rig")
        self.needs_frames: Rig | None = None if rig is None else rig_named(rig)
        if self.needs_frames is None and world is None and not told:
            raise ConfigError("this model was trained without a rig; it can only drive in a world whose own observation it gets")
        self.model = model
        self._world = world
        self._agents: int | None = getattr(world, "agents", None)
        if self._agents is not None and (told or self.needs_frames is not None):
            sees = "is told privileged state"
            if self.needs_frames is not None:
                sees = f"sees through rig {self.needs_frames.name!r}, which looks"
            raise ConfigError(
                f"this model {sees} from actor 0 alone, "
                f"and {world.id} has {self._agents} agents; drive them by a model of highway-env's own observation"
            )

    def _of_agents(self, observation: Any, agents: int) -> Tensor:
        """What the model decides for each agent from what it sees, (B, N) or (B, N, C), as it learned in make_sb3_vec."""
        parts = observation if isinstance(observation, dict) else {"": observation}
        if any(part.shape[1:2] != (agents,) for part in parts.values()):
            raise ConfigError(f"{self._world.id}: what is observed is the first agent's alone, but each of {agents} needs to see")
        merged = {name: part.reshape(-1, *part.shape[2:]) for name, part in parts.items()}
        actions, _ = self.model.predict(merged if isinstance(observation, dict) else merged[""], deterministic=True)
        decided = np.asarray(actions)
        return torch.from_numpy(decided.reshape(-1, agents, *decided.shape[1:]))

    def act(self, scene: Scene, frames: Frames | None, state: Recall | None) -> tuple[Tensor, Recall | None]:
        """Decide for every world."""
        if self._tell is not None:
            observation: Any = self._tell(scene)
        elif self.needs_frames is None:
            observation = self._world.observation()
            if self._agents is not None:
                return self._of_agents(_numpy(observation), self._agents).to(scene.device), None
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

    @property
    def tells_chances(self) -> bool:
        """Whether ``chances`` has an answer."""
        return self._tell is not None and isinstance(self.model.action_space, spaces.Discrete)

    def chances(self, scene: Scene) -> Tensor:
        """How likely a model that is told privileged state would take each action, (B, A): what a driver who has to look learns from.

        Raises:
            ConfigError: The model sees through a rig or a world's own observation, or its actions are not discrete.
        """
        if self._tell is None or not self.tells_chances:
            raise ConfigError("only a model of privileged state with discrete actions can tell the chances of actions from a scene alone")
        policy: Any = self.model.policy
        with torch.no_grad():
            told = policy.get_distribution(self._tell(scene).to(policy.device)).distribution.probs
        return told.to(scene.device)  # type: ignore[no-any-return]

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

    In a world of several agents a name or a model drives each of them as if it were the only ego; a `Driver` or a function is asked once
    for all of them and gives actions (B, N).

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
    agents = getattr(world, "agents", None)
    if name == "rule":
        rule: Driver = PursuitDriver() if world.num_actions is None and world.action_width == 1 else RuleDriver()
        return rule if agents is None else EachAgent(rule, agents)
    if name in DRIVERS:
        return driver_named(name, world.num_actions, action_names=getattr(world, "action_names", None), agents=agents)
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
