"""Which observer an environment of highway-env needs. What is missing here runs through ``ReferenceWorld``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.engine import NotNative
from envs.network.layout import Network
from envs.network.observations.agents import AgentsObserver
from envs.network.observations.attributes import attributes_observer
from envs.network.observations.collision_time import collision_time_observer
from envs.network.observations.goal import goal_observer
from envs.network.observations.grid import grid_observer
from envs.network.observations.kinematics import kinematics_observer
from envs.network.observations.lidar import lidar_observer
from envs.network.observations.observer import Observer

NATIVE = (
    "AttributesObservation",
    "ExitObservation",
    "Kinematics",
    "KinematicsGoal",
    "LidarObservation",
    "OccupancyGrid",
    "TimeToCollision",
)


@contextmanager
def replaced(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Give something another attribute for the while."""
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)


def observer_for(env: Any, network: Network, targets: NDArray[np.float64]) -> Observer:
    """Make the observer that gives what an environment's own observation type gives.

    Args:
        env: A highway-env environment with the wanted configuration, as built (its ego is then on the road).
        network: Its road network.
        targets: Set speeds of the ego [m/s].

    Raises:
        ConfigError: highway-env has no such option, or cannot observe with it.
        NotNative: The kernels lack the type or one of its options.
    """
    env = env.unwrapped
    name = type(env.observation_type).__name__
    if name == "MultiAgentObservation":
        every = env.observation_type
        with replaced(env, "observation_type", every.agents_observation_types[0]):
            return AgentsObserver.of(observer_for(env, network, targets), len(every.agents_observation_types))
    if name in ("KinematicObservation", "ExitObservation"):
        return kinematics_observer(env, network)
    if name == "KinematicsGoalObservation":
        return goal_observer(env, network)
    if name == "OccupancyGridObservation":
        return grid_observer(env, network)
    if name == "TimeToCollisionObservation":
        return collision_time_observer(env, network, targets)
    if name == "LidarObservation":
        return lidar_observer(env)
    if name == "AttributesObservation":
        return attributes_observer(env, network)
    raise NotNative(f"observation type {name} (those of the kernels: {', '.join(NATIVE)})")
