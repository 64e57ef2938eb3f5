"""Checks of highway-env configurations, keys and values: highway-env itself takes a misspelt key in silence."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from highway_env.envs.common import action, observation
from highway_env.vehicle.behavior import IDMVehicle

from envs.agents import INNER, check_number, check_wrapping, of_one
from envs.part_settings import check_action, check_observation, parts_of
from envs.reference_episode import environment_class, made
from envs.settings import check_together, check_values
from sensors.errors import ConfigError, unknown_name

ACTIONS = {name: getattr(action, name) for name in ("ContinuousAction", "DiscreteAction", "DiscreteMetaAction")}
OBSERVATIONS = {
    "AttributesObservation": observation.AttributesObservation,
    "ExitObservation": observation.ExitObservation,
    "GrayscaleObservation": observation.GrayscaleObservation,
    "Kinematics": observation.KinematicObservation,
    "KinematicsGoal": observation.KinematicsGoalObservation,
    "LidarObservation": observation.LidarObservation,
    "OccupancyGrid": observation.OccupancyGridObservation,
    "TimeToCollision": observation.TimeToCollisionObservation,
    "TupleObservation": observation.TupleObservation,
}
"""The types that serve one ego; ``envs.agents`` has those of several."""


FLAT = {"flatten"}
"""What highway-env's own settings of intersections and racetracks give to Kinematics, which takes it and leaves it alone."""
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "parking-ActionRepeat-v0": {"policy_frequency": 1, "duration": 20},
    "parking-parked-v0": {"vehicles_count": 10},
}
"""Settings that a class of highway-env gives itself as it is built."""


CROWDS = ("vehicles_count", "other_vehicles", "initial_vehicle_count")
"""Settings that say how many other cars there are."""


def defaults_of(id: str) -> dict[str, Any]:
    """All settings of an id as highway-env has them."""
    defaults: dict[str, Any] = environment_class(id)[0].default_config()
    return defaults | OWN_DEFAULTS.get(id, {})


def checked_config(id: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Check changes to an id's configuration.

    Args:
        id: An id.
        config: The changes, by highway-env's keys.

    Returns:
        The changes, with the keys and values of a given ``observation`` and ``action`` checked too.

    Raises:
        ConfigError: An unknown key or type, a value that cannot be used, several egos where there is one, or a road that highway-env
            would draw without a seed.
    """
    known = defaults_of(id)
    for key in config:
        if key not in known:
            raise unknown_name(f"configuration key of {id}", str(key), known)
    if config.get("manual_control"):
        raise ConfigError(f"{id}: manual_control reads the keyboard of highway-env's own window; hand actions to step instead")
    if id.startswith("racetrack-oval") and 0 in (config.get("length"), config.get("no_lanes")):
        raise ConfigError(f"{id}: length 0 and no_lanes 0 draw the road from a generator that no seed reaches; give numbers")
    check_values(id, config)
    for part, classes in (("action", ACTIONS), ("observation", OBSERVATIONS)):
        if part in config:
            _check_part(id, part, config[part], classes, set(of_one(known[part])))
    complete = known | dict(config)
    check_number(id, complete)
    check_together(id, complete)
    check_action(id, of_one(complete["action"]))
    for seen in parts_of(of_one(complete["observation"])):
        check_observation(id, seen, complete)
    _check_vehicles(id, complete["other_vehicles_type"])
    return dict(config) | ({"observation": _with_shapes(config["observation"])} if "observation" in config else {})


def _with_shapes(given: Mapping[str, Any]) -> dict[str, Any]:
    """An observation with its shapes as tuples, which highway-env adds to others: JSON has lists alone."""
    seen = dict(given)
    if "observation_shape" in seen:
        seen["observation_shape"] = tuple(seen["observation_shape"])
    if "observation_config" in seen:
        seen["observation_config"] = _with_shapes(seen["observation_config"])
    if "observation_configs" in seen:
        seen["observation_configs"] = [_with_shapes(one) for one in seen["observation_configs"]]
    return seen


def emptied(id: str, config: Mapping[str, Any]) -> Any:
    """Build an environment for its road, spaces and settings, without the other cars that it would draw.

    Placing and warming up a crowd takes highway-env seconds to hours; nobody looks at this one. Nor at the info of its reset, which
    merge, roundabout and two-way cannot give for continuous actions.

    Args:
        id: An id.
        config: Checked changes to its configuration.
    """
    counts = {key: value for key, value in (defaults_of(id) | dict(config)).items() if key in CROWDS}
    cls = environment_class(id)[0]
    quiet = type(cls.__name__, (cls,), {"_info": lambda self, obs, action=None: {}})
    with np.errstate(invalid="ignore"):  # a grid as an image casts its empty cells, which are NaN
        env = made(quiet, dict(config) | dict.fromkeys(counts, 0))
        env.reset()  # classes that take no configuration built their road without it
    env.config.update(counts)
    return env


def _check_vehicles(id: str, path: str) -> None:
    """Check the class of other vehicles: every id asks for what an IDMVehicle has."""
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"{id}: other_vehicles_type {path!r} cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, IDMVehicle)):
        raise ConfigError(f"{id}: other_vehicles_type {path!r} is no subclass of {IDMVehicle.__module__}.IDMVehicle")


def _check_part(id: str, part: str, given: Any, classes: Mapping[str, type], usual: set[str]) -> None:
    """Check the ``observation`` or ``action`` of a configuration, or what it wraps for several agents, against the class that it names."""
    what = f"{part} of {id}"
    if not isinstance(given, Mapping) or "type" not in given:
        raise ConfigError(f"{what} is {given!r}, expected a dict with a 'type' and what that type takes")
    check_wrapping(id, part, given)
    if given["type"] in INNER:
        classes = {name: cls for name, cls in classes.items() if name != "TupleObservation"}
    given = of_one(given)
    if given["type"] not in classes:
        raise unknown_name(f"type in the {what}", str(given["type"]), classes)
    takes = {"type"} | usual | (FLAT if issubclass(classes[given["type"]], observation.KinematicObservation) else set())
    for cls in classes[given["type"]].__mro__[:-1]:
        takes |= set(inspect.signature(cls.__init__).parameters) - {"self", "env", "kwargs"}  # type: ignore[misc]
    for key in given:
        if key not in takes:
            raise unknown_name(f"key in the {what}", str(key), takes)
    if given["type"] == "TupleObservation":
        _check_tuple(id, given, classes)


def _check_tuple(id: str, given: Mapping[str, Any], classes: Mapping[str, type]) -> None:
    """Check what a TupleObservation is made of: observations of one ego, each an array or a dict."""
    several = given.get("observation_configs")
    if not isinstance(several, (list, tuple)) or not several:
        raise ConfigError(f"{id}: observation TupleObservation has observation_configs {several!r}, expected a list of observations")
    simple = {name: cls for name, cls in classes.items() if name != "TupleObservation"}
    for one in several:
        if isinstance(one, Mapping) and one.get("type") in INNER:
            raise ConfigError(f"{id}: observation TupleObservation holds a {one['type']}, expected observations of one ego")
        _check_part(id, "observation", one, simple, set())
