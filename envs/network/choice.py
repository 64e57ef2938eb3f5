"""Which scenario serves an environment of highway-env."""

from __future__ import annotations

import importlib
from typing import Any

from envs.engine import NotNative

MODULES = {
    "MergeEnv": "merge",
    "RoundaboutEnv": "roundabout",
    "IntersectionEnv": "intersection",
    "RacetrackEnv": "racetrack",
    "ExitEnv": "exit",
    "TwoWayEnv": "two_way",
    "UTurnEnv": "u_turn",
    "LaneKeepingEnv": "lane_keeping",
    "ParkingEnv": "parking",
    "HighwayEnv": "highway",
}
"""Module of envs.network.scenarios by the class of highway-env that its ids derive from."""


def module_of(env: Any) -> Any:
    """The scenario's module.

    Raises:
        NotNative: There is none.
    """
    for cls in type(env).__mro__:
        if cls.__name__ in MODULES:
            return importlib.import_module(f"envs.network.scenarios.{MODULES[cls.__name__]}")
    raise NotNative(f"{type(env).__name__} has no native scenario")
