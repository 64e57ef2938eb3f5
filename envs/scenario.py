"""A user's own scenario: roads, where cars begin, what is rewarded; passed to ``World`` in place of an id."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sensors.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from highway_env.road.road import RoadNetwork

LaneIndex = tuple[str, str, int]

SETTINGS: dict[str, Any] = {
    "duration": 40,
    "offroad_terminal": False,
    "reward_speed_range": [20, 30],
    "collision_reward": -1.0,
    "high_speed_reward": 0.4,
    "right_lane_reward": 0.0,
    "arrived_reward": 0.0,
    "on_road_reward": 0.0,
}
"""Settings beside highway-env's general ones; the reward is the sum of the terms by these weights."""


@dataclass(frozen=True)
class Start:
    """Where a car begins."""

    lane: LaneIndex
    """Nodes that it leads from and to, and its place in the road from the left."""
    run_m: float
    """How far along the lane."""
    speed_mps: float
    destination: str | None = None
    """Node that it is to reach by the shortest way; without one it takes the nearest lane where its own ends."""
    target_speed_mps: float | None = None
    """What an IDM driver wants; None is the speed at which it begins. The ego's follows from its actions."""
    changes_lanes: bool = True


@dataclass(frozen=True)
class Scenario:
    """Roads and traffic of a user's own.

    Every car but the ego is driven by IDM and MOBIL. An episode ends where the ego crashed, arrived at its destination, or left the
    road where ``offroad_terminal`` says so; it is truncated after ``duration`` seconds.
    """

    name: str
    """Stands where worlds of highway-env have their id."""
    network: Callable[[], RoadNetwork]
    """Makes the roads, of highway-env's straight, sine and circular lanes (y to the right)."""
    starts: Callable[[np.random.Generator], Sequence[Start]]
    """Draws where cars begin, the ego first; an episode is a seed and its actions, so this is all that may be random."""
    most_cars: int
    """The most that ``starts`` gives."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Changes to highway-env's general settings and to ``SETTINGS``."""
    obstacles: Sequence[tuple[float, float]] = ()
    """Where blocks of 2 m stand, (x, y) with y to the right [m]."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ConfigError(f"scenario: name is {self.name!r}, expected a word without a slash")
        if self.most_cars < 1:
            raise ConfigError(f"scenario {self.name}: most_cars is {self.most_cars}, expected at least 1, the ego")


def scenario_named(name: str) -> Scenario:
    """Import a scenario by ``module:name``.

    Raises:
        ConfigError: There is no such module, nothing of that name in it, or it is no scenario.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"scenario {name}: {error}; expected module:name of an envs.Scenario on Python's path") from None
    if not isinstance(found, Scenario):
        raise ConfigError(f"scenario {name} is a {type(found).__name__}, expected an envs.Scenario")
    return found


def checked_starts(scenario: Scenario, starts: Sequence[Start], network: RoadNetwork) -> Sequence[Start]:
    """Give starts back that can be used.

    Raises:
        ConfigError: None at all or too many, or one on a lane or to a node that does not exist, or with numbers that are not finite.
    """
    if not 1 <= len(starts) <= scenario.most_cars:
        raise ConfigError(f"scenario {scenario.name}: starts gave {len(starts)} cars, expected 1 to most_cars = {scenario.most_cars}")
    lanes = network.lanes_dict()
    nodes = {node for lane in lanes for node in lane[:2]}
    for number, start in enumerate(starts):
        if tuple(start.lane) not in lanes:
            raise unknown_name(f"lane of car {number} in scenario {scenario.name}", str(start.lane), [str(lane) for lane in lanes])
        if start.destination is not None and start.destination not in nodes:
            raise unknown_name(f"destination of car {number} in scenario {scenario.name}", start.destination, sorted(nodes))
        if not np.isfinite((start.run_m, start.speed_mps, start.target_speed_mps or 0.0)).all():
            raise ConfigError(f"scenario {scenario.name}: car {number} begins with numbers that are not finite: {start}")
    return starts
