"""Which scenario serves an environment of highway-env."""

from __future__ import annotations

import importlib
from typing import Any

from envs.engine import NotNative
from envs.reference_episode import environment_class

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
    "ScenarioEnv": "own",
}
"""Module of envs.network.scenarios by the class of highway-env that its ids derive from."""


def module_name(cls: type) -> str | None:
    """Name of the module that serves a class of highway-env, None if there is none."""
    return next((MODULES[base.__name__] for base in cls.__mro__ if base.__name__ in MODULES), None)


def is_native(id: str) -> bool:
    """Do kernels step an id with its default settings?"""
    return module_name(environment_class(id)[0]) is not None


def module_of(env: Any) -> Any:
    """The scenario's module.

    Raises:
        NotNative: There is none.
    """
    name = module_name(type(env))
    if name is None:
        raise NotNative(f"{type(env).__name__} has no native scenario")
    return importlib.import_module(f"envs.network.scenarios.{name}")
