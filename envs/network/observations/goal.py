"""Where the ego is and where it should be (KinematicsGoalObservation): the parking ids' dict of float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.network.layout import Network
from envs.network.observations.features import COS_D, COS_H, PRESENCE, SIN_D, SIN_H, VX, VY, X, Y, feature_of, numbers_of
from envs.network.observations.observer import Observer
from sensors.errors import ConfigError
from sensors.jit import leaf

OF_THINGS = (PRESENCE, X, Y, VX, VY, COS_H, SIN_H, COS_D, SIN_D)
"""A goal is an object, and has only these features."""


def goal_observer(env: Any, network: Network) -> Observer:
    """Make the observer of an environment with KinematicsGoal.

    Raises:
        ConfigError: The ego has no goal, a feature is one that goals lack, or the scales do not fit the features.
    """
    seen = env.observation_type
    features = numbers_of(seen.features)
    if not hasattr(env.vehicle, "goal"):
        raise ConfigError(f"KinematicsGoal needs an ego with a goal, which {type(env).__name__} lacks; use a parking id")
    for name, number in zip(seen.features, features, strict=True):
        if number not in OF_THINGS:
            raise ConfigError(f"KinematicsGoal: feature {name!r} is one that a goal lacks")
    if np.shape(seen.scales) != (len(features),):
        raise ConfigError(f"KinematicsGoal: scales have shape {np.shape(seen.scales)}, expected one for each of {len(features)} features")
    part = ((len(features),), np.dtype(np.float64))
    parts = {"observation": part, "achieved_goal": part, "desired_goal": part}
    return Observer(parts, observe_goal, (network, features, np.asarray(seen.scales, np.float64)))


@leaf(nogil=True)
def observe_goal(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, features: Any, scales: Any, arrays: tuple[Any, ...]
) -> None:
    """Write the dicts of a share of worlds; the arguments are those of ``Observer.write``."""
    nowhere = (0.0, 0.0, 0.0, 0.0)
    for world in range(first, end):
        if len(where) > 0 and not where[world]:
            continue
        ego, goal = cars[world, episodes[world].ego], cars[world, episodes[world].goal]
        for column in range(len(features)):
            mine = feature_of(network, ego, nowhere, features[column], True) / scales[column]
            arrays[0][world, column] = mine
            arrays[1][world, column] = mine
            arrays[2][world, column] = feature_of(network, goal, nowhere, features[column], True) / scales[column]
