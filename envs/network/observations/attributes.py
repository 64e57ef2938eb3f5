"""What lane-keeping shows: the car's lateral state and its rate of change, both with noise, and the state wanted (AttributesObservation).

highway-env draws the noise at every look, and also looks where it only wants to know a shape: twice in every reset before the
observation of the reset itself (define_spaces). In a step it looks after the action is taken and before anything moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.engine import NotNative
from envs.network.geometry import lane_frame, lane_heading
from envs.network.layout import Network
from envs.network.motion import tyre_rates
from envs.network.observations.observer import Observer
from envs.traffic.generator import draw_uniform
from sensors.errors import ConfigError
from sensors.jit import leaf

ATTRIBUTES = ("state", "derivative", "reference_state")
STATE, DERIVATIVE, REFERENCE = range(len(ATTRIBUTES))
ROWS = 4
"""Place across the road, heading, speed across the car, yaw rate."""


class Noise(NamedTuple):
    """What is shown, and how much noise, as the kernel takes it."""

    attributes: NDArray[np.int64]
    state: float
    derivative: float


def attributes_observer(env: Any, network: Network) -> Observer:
    """Make the observer of an environment with AttributesObservation.

    Raises:
        ConfigError: Attributes are missing or repeated.
        NotNative: It is not lane-keeping with a car on tyres, or an attribute is not one of the three.
    """
    names = list(env.observation_type.attributes)
    for name in names:
        if name not in ATTRIBUTES:
            raise NotNative(f"attribute {name!r} of AttributesObservation; native: {', '.join(ATTRIBUTES)}")
    if len(set(names)) != len(names) or not names:
        raise ConfigError(f"AttributesObservation: attributes are {names}, expected at least one, and each once")
    if type(env).__name__ != "LaneKeepingEnv" or not hasattr(env.vehicle, "lateral_speed"):
        raise NotNative("AttributesObservation elsewhere than in lane-keeping with dynamical=True")
    numbers = np.array([ATTRIBUTES.index(name) for name in names], np.int64)
    noise = Noise(numbers, float(env.config["state_noise"]), float(env.config["derivative_noise"]))
    parts = {name: ((ROWS, 1), np.dtype(np.float64)) for name in names}
    return Observer(parts, observe_attributes, (network, noise), draws=bool((numbers != REFERENCE).any()))


@leaf()
def rate(car: Any) -> tuple[float, float, float, float]:
    """Rates of change of the four rows (BicycleVehicle.derivative)."""
    motion = (car.x_m, car.y_m, car.heading_rad, car.speed_mps, car.lateral_speed_mps, car.yaw_rate_radps)
    rates = tyre_rates(motion, car.steering_rad, car.acceleration_mps2)
    return rates[1], rates[2], rates[4], rates[5]


@leaf()
def wanted(lane: Any, car: Any) -> tuple[float, float, float, float]:
    """The four rows on the lane to keep (LaneKeepingEnv.reference_state)."""
    run, offset = lane_frame(lane, car.x_m, car.y_m)
    return car.y_m - offset, lane_heading(lane, run), 0.0, 0.0


@leaf()
def write_attribute(attribute: int, car: Any, episode: Any, network: Network, noise: Noise, column: Any) -> None:
    """Write one attribute, (4, 1)."""
    level = noise.state
    values = (car.y_m, car.heading_rad, car.lateral_speed_mps, car.yaw_rate_radps)
    if attribute == DERIVATIVE:
        level = noise.derivative
        values = rate(car)
    if attribute == REFERENCE:
        values = wanted(network.lanes[episode.kept_lane], car)
    for row in range(ROWS):
        column[row, 0] = values[row]
        if attribute != REFERENCE:
            column[row, 0] += draw_uniform(episode, -level, level)


@leaf(nogil=True)
def observe_attributes(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, noise: Noise, arrays: tuple[Any, ...]
) -> None:
    """Write the attributes of a share of worlds; the arguments are those of ``Observer.write``."""
    for world in range(first, end):
        if len(where) > 0 and not where[world]:
            continue
        episode = episodes[world]
        for place in range(len(noise.attributes)):
            write_attribute(noise.attributes[place], cars[world, episode.ego], episode, network, noise, arrays[place][world])
