"""Who drives: the protocol that every driver follows, and the scripted drivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from envs.seeds import uniform
from sensors.errors import ConfigError, unknown_name
from sensors.frames import Frames
from sensors.rig import Rig
from sensors.scene import Scene

META_ACTIONS = ("LANE_LEFT", "IDLE", "LANE_RIGHT", "FASTER", "SLOWER")
SPEED_ACTIONS = ("SLOWER", "IDLE", "FASTER")
FULL_THROTTLE = {"idle": 0.0, "slower": -1.0, "faster": 1.0}
"""First number of a continuous action: acceleration, as a share of the largest."""


class Driver(Protocol):
    """Anything that decides for the ego."""

    @property
    def autopilot(self) -> bool:
        """True: the world itself drives the ego by IDM and MOBIL; the actions are ignored."""
        ...

    @property
    def needs_frames(self) -> Rig | None:
        """The rig whose frames it wants to see, or none."""
        ...

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Decide for every world.

        Args:
            scene: What is there now.
            frames: What the sensors saw of it, if ``needs_frames`` names a rig.
            state: What this driver gave back last time; None at the start.

        Returns:
            Actions, (B,) int64 or (B, C) float, and the state to hand in next time. In a world of N agents (B, N) or (B, N, C).
        """
        ...

    def reset(self, state: Any, where: Tensor) -> Any:
        """Forget the past of the worlds in the mask (B,); gives the new state."""
        ...


@dataclass(frozen=True)
class ConstantDriver:
    """The same action at every step."""

    action: int | None
    """Number of a discrete action, or none: continuous."""
    acceleration: float = 0.0
    """For continuous actions: the first number; the steering stays 0."""
    autopilot: bool = False
    needs_frames: Rig | None = None
    agents: int | None = None
    """Of a world of several, how many; None for one ego."""

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Give the one action to every world, and to every agent."""
        shape = (scene.num_worlds,) if self.agents is None else (scene.num_worlds, self.agents)
        if self.action is not None:
            return torch.full(shape, self.action, dtype=torch.int64, device=scene.device), None
        actions = scene.action.new_zeros((*shape, scene.action.shape[1]))
        if actions.shape[-1] > 1:  # a single number is the steering
            actions[..., 0] = self.acceleration
        return actions, None

    def reset(self, state: Any, where: Tensor) -> Any:
        """Nothing to forget."""
        return state


@dataclass(frozen=True)
class RandomDriver:
    """Uniform actions, keyed by episode and step: the same world gets the same ones wherever it sits in a batch."""

    num_actions: int | None
    """Number of discrete actions, or none: continuous in [-1, 1]."""
    seed: int = 0
    autopilot: bool = False
    needs_frames: Rig | None = None
    agents: int | None = None
    """Of a world of several, how many; each draws its own. None for one ego."""

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Draw an action for every world, and for every agent."""
        keys = [scene.episode_seed.cpu(), scene.step.cpu()]
        if self.agents is not None:
            keys = [*(key[:, None] for key in keys), torch.arange(self.agents)]
        if self.num_actions is not None:
            return (uniform(self.seed, *keys) * self.num_actions).long().to(scene.device), None
        columns = torch.arange(scene.action.shape[1])
        drawn = uniform(self.seed, *(key[..., None] for key in keys), columns)  # (B, C) or (B, N, C)
        return (2.0 * drawn - 1.0).to(scene.action), None

    def reset(self, state: Any, where: Tensor) -> Any:
        """Nothing to forget."""
        return state


DRIVERS = ("random", "idle", "slower", "faster", "lane_left", "lane_right", "idm")


def driver_named(
    name: str, num_actions: int | None, seed: int = 0, action_names: Sequence[str] | None = None, agents: int | None = None
) -> Driver:
    """Make a scripted driver.

    Args:
        name: One of ``DRIVERS``.
        num_actions: The world's ``num_actions``: how many discrete actions there are, or None for continuous ones.
        seed: Chooses among random drivers.
        action_names: The world's ``action_names``; without them, five actions are highway-env's meta-actions and three its speed ones.
        agents: The world's ``agents``: how many of several it drives, each as it would drive one ego; None for one ego.

    Returns:
        The driver.

    Raises:
        ConfigError: No such driver, or the world has no such action.
    """
    if name not in DRIVERS:
        raise unknown_name("driver", name, DRIVERS)
    if name == "random":
        return RandomDriver(num_actions, seed, agents=agents)
    wanted = "idle" if name == "idm" else name
    autopilot = name == "idm"
    if num_actions is None:
        if wanted not in FULL_THROTTLE:
            raise ConfigError(f"driver {name!r} changes lanes by an action, but its actions here are continuous; use idle, random or idm")
        return ConstantDriver(None, FULL_THROTTLE[wanted], autopilot, agents=agents)
    names = tuple(action_names or (META_ACTIONS if num_actions == 5 else SPEED_ACTIONS if num_actions == 3 else ()))
    if wanted.upper() in names:
        return ConstantDriver(names.index(wanted.upper()), autopilot=autopilot, agents=agents)
    if wanted == "idle" and not names:
        return ConstantDriver(
            num_actions // 2, autopilot=autopilot, agents=agents
        )  # DiscreteAction: the middle of the grid is no control at all
    raise ConfigError(f"driver {name!r} needs the action {wanted.upper()}, but this world has {', '.join(names) or num_actions}")
