"""What the ``action`` and ``observation`` of highway-env's settings must hold, value by value, and which ids can do with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from envs.agents import of_one
from envs.settings import FLAG, Check, are_numbers, is_number, is_rising_pair, is_whole, number_above, whole
from sensors.errors import ConfigError, unknown_name

FEATURES = ("presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off")
GOAL_FEATURES = ("presence", "x", "y", "vx", "vy", "cos_h", "sin_h", "cos_d", "sin_d")
"""A goal is an object, and has only these."""
MOST_ROWS = 100_000
MOST_CELLS = 1_000_000
MOST_MOMENTS = 100_000
ACTIONS_PER_AXIS = 64

RANGE = Check("None or two rising numbers", lambda value: value is None or is_rising_pair(value))
STEERING = Check(
    "None or two rising numbers between -pi/2 and pi/2 [rad]",
    lambda value: value is None or (is_rising_pair(value) and -math.pi / 2 < value[0] and value[1] < math.pi / 2),
)


def _are_target_speeds(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        return False
    speeds = [speed.item() if hasattr(speed, "item") else speed for speed in value]
    rising = all(is_number(speed) for speed in speeds) and all(a < b for a, b in zip(speeds, speeds[1:], strict=False))
    return len(speeds) >= 2 and rising


def _are_features(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(name, str) for name in value))


def _are_ranges(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and all(is_rising_pair(limits) for limits in value.values()))


def _is_grid_size(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and len(value) == 2 and all(is_rising_pair(side) for side in value))


def _is_grid_step(value: Any) -> bool:
    return value is None or (are_numbers(value, 2) and min(value) > 0)


def _are_scales(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(is_number(scale) and scale != 0 for scale in value)


def _is_image_shape(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(side) and 1 <= side <= 10_000 for side in value)


ACTION_CHECKS: dict[str, Check] = {
    "acceleration_range": RANGE,
    "steering_range": STEERING,
    "speed_range": RANGE,
    "target_speeds": Check("two or more rising numbers [m/s]", _are_target_speeds),
    "actions_per_axis": whole(2, ACTIONS_PER_AXIS),
    **dict.fromkeys(("longitudinal", "lateral", "dynamical", "clip"), FLAG),
}
OBSERVATION_CHECKS: dict[str, Check] = {
    "features": Check("a list of names", _are_features),
    "features_range": Check("a dict of features, each with two rising numbers", _are_ranges),
    "vehicles_count": Check(
        f"a whole number of at least 2 and up to {MOST_ROWS}", lambda value: is_whole(value) and 2 <= value <= MOST_ROWS
    ),
    "order": Check("'sorted' or 'shuffled'", lambda value: value in ("sorted", "shuffled")),
    "grid_size": Check("two pairs of rising numbers [m]", _is_grid_size),
    "grid_step": Check("two numbers above 0 [m]", _is_grid_step),
    "horizon": number_above(0, " [s]"),
    "cells": whole(1, MOST_CELLS),
    "maximum_range": number_above(0, " [m]"),
    "scales": Check("numbers other than 0", _are_scales),
    "observation_shape": Check("two whole numbers above 0 [pixels]", _is_image_shape),
    "stack_size": whole(1, 1000),
    "weights": Check("three numbers", lambda value: are_numbers(value, 3)),
    "scaling": Check("None or a number above 0 [pixels/m]", lambda value: value is None or (is_number(value) and value > 0)),
    "centering_position": Check("None or two numbers", lambda value: value is None or are_numbers(value, 2)),
    **dict.fromkeys(
        (
            "absolute",
            "align_to_vehicle_axes",
            "as_image",
            "clip",
            "flatten",
            "include_obstacles",
            "normalize",
            "observe_intentions",
            "see_behind",
        ),
        FLAG,
    ),
}


def _check_each(what: str, given: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    for key, value in given.items():
        if key in checks and not checks[key].accepts(value):
            raise ConfigError(f"{what} {key} is {value!r}, expected {checks[key].expected}")


def check_action(id: str, action: Mapping[str, Any]) -> None:
    """Check the values of an ``action`` whose keys are known, and that the id can be driven so.

    Raises:
        ConfigError: A value that cannot be used, or an action that the id cannot take.
    """
    _check_each(f"{id}: action", action, ACTION_CHECKS)
    if not (action.get("longitudinal", True) or action.get("lateral", True)):
        raise ConfigError(f"{id}: action has longitudinal False and lateral False, expected True or False and one of them True")
    named = action["type"] == "DiscreteMetaAction"
    if named and id.startswith("racetrack"):
        raise ConfigError(f"{id}: action DiscreteMetaAction cannot drive a racetrack's ego; use ContinuousAction or DiscreteAction")
    if id.startswith("lane-keeping") and (named or not action.get("dynamical", False)):
        raise ConfigError(f"{id}: action {dict(action)} has no car on tyres; use ContinuousAction or DiscreteAction with dynamical True")


def parts_of(observation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The observations that one of highway-env's settings names: those of a TupleObservation, else itself alone."""
    return list(observation["observation_configs"]) if observation["type"] == "TupleObservation" else [observation]


def check_observation(id: str, observation: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check the values of an ``observation`` whose keys are known, and that the id can be observed so.

    Args:
        id: An id.
        observation: The setting.
        config: All settings.

    Raises:
        ConfigError: A value that cannot be used, or an observation that the id or its action cannot give.
    """
    what, kind = f"{id}: observation", observation["type"]
    _check_each(what, observation, OBSERVATION_CHECKS)
    _check_features(what, observation)
    if kind == "OccupancyGrid":
        _check_grid(what, observation)
    if kind == "KinematicsGoal":
        _check_goal(id, observation)
    if kind == "TimeToCollision":
        _check_moments(id, observation, config)
    if kind == "ExitObservation" and not id.startswith("exit"):
        raise ConfigError(f"{what} ExitObservation looks for an exit, which only the exit ids have")
    if kind == "AttributesObservation":
        _check_attributes(id, observation)


def _check_features(what: str, observation: Mapping[str, Any]) -> None:
    known = (*FEATURES, "on_road") if observation["type"] == "OccupancyGrid" else FEATURES
    features = list(observation.get("features") or ())
    for name in features:
        if name not in known:
            raise unknown_name(f"feature of the {what}", name, known)
    if len(set(features)) != len(features):
        raise ConfigError(f"{what} features are {features}, expected each once")
    for name in observation.get("features_range") or {}:
        if name not in FEATURES:
            raise unknown_name(f"feature in features_range of the {what}", str(name), FEATURES)


def _check_grid(what: str, observation: Mapping[str, Any]) -> None:
    if observation.get("absolute"):
        raise ConfigError(f"{what} absolute is True, expected False: highway-env has no absolute OccupancyGrid")
    size = observation.get("grid_size") or ((-27.5, 27.5), (-27.5, 27.5))
    step = observation.get("grid_step") or (5, 5)
    sides = [math.floor((high - low) / each) for (low, high), each in zip(size, step, strict=True)]
    if min(sides) < 1 or sides[0] * sides[1] > MOST_CELLS:
        raise ConfigError(f"{what} grid_size {size} and grid_step {step} make {sides[0]} x {sides[1]} cells, expected 1 to {MOST_CELLS}")


def _check_goal(id: str, observation: Mapping[str, Any]) -> None:
    if not id.startswith("parking"):
        raise ConfigError(f"{id}: observation KinematicsGoal looks for a goal, which only the parking ids have")
    features, scales = observation.get("features"), observation.get("scales")
    if features is None or scales is None or len(features) != len(scales):
        raise ConfigError(f"{id}: observation KinematicsGoal has features {features} and scales {scales}, expected one scale a feature")
    for name in features:
        if name not in GOAL_FEATURES:
            raise unknown_name(f"feature of a goal in the {id}: observation", name, GOAL_FEATURES)


def _check_moments(id: str, observation: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if of_one(config["action"])["type"] != "DiscreteMetaAction":
        raise ConfigError(f"{id}: observation TimeToCollision asks for set speeds, which only DiscreteMetaAction has")
    moments = int(observation.get("horizon", 10) / (1 / config["policy_frequency"]))
    if not 1 <= moments <= MOST_MOMENTS:
        raise ConfigError(
            f"{id}: observation horizon {observation.get('horizon', 10)} s and policy_frequency {config['policy_frequency']} Hz make "
            f"{moments} moments, expected 1 to {MOST_MOMENTS}"
        )


def _check_attributes(id: str, observation: Mapping[str, Any]) -> None:
    names = observation.get("attributes")
    if not id.startswith("lane-keeping"):
        raise ConfigError(f"{id}: observation AttributesObservation asks for state and derivative, which only lane-keeping has")
    known = ("state", "derivative", "reference_state")
    if not isinstance(names, (list, tuple)) or not names or len(set(map(str, names))) != len(names):
        raise ConfigError(f"{id}: observation attributes are {names!r}, expected some of {', '.join(known)}, each once")
    for name in names:
        if name not in known:
            raise unknown_name(f"attribute of the {id}: observation", str(name), known)
