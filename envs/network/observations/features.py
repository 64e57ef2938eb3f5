"""The numbers by which highway-env describes a vehicle or an object (Vehicle.to_dict, RoadObject.to_dict), and their scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.geometry import lane_frame, lane_heading, place_on_lane
from envs.network.layout import NOBODY, OBSTACLE, Network
from envs.network.routes import road_ahead
from envs.traffic.elementary import clip, norm2, wrap_to_pi
from sensors.errors import ConfigError, unknown_name
from sensors.jit import leaf

FEATURES = ("presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off")
PRESENCE, X, Y, VX, VY, HEADING, COS_H, SIN_H, COS_D, SIN_D, LONG_OFF, LAT_OFF, ANG_OFF = range(len(FEATURES))

Origin = tuple[float, float, float, float]
"""Place [m] and velocity [m/s] that others are seen from."""


class Scales(NamedTuple):
    """How each of the FEATURES is mapped to [-1, 1]."""

    used: NDArray[np.bool_]
    """Features without a range are left as they are."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def numbers_of(features: Sequence[str], known: Sequence[str] = FEATURES) -> NDArray[np.int64]:
    """Which features are asked for, by their numbers.

    Raises:
        ConfigError: There is no such feature.
    """
    for name in features:
        if name not in known:
            raise unknown_name("feature of an observation", name, known)
    return np.array([known.index(name) for name in features], np.int64)


def scales_of(ranges: Mapping[str, Sequence[float]]) -> Scales:
    """Read ``features_range``; highway-env passes over names that it does not know, and so does this."""
    scales = Scales(np.zeros(len(FEATURES), np.bool_), np.zeros(len(FEATURES)), np.ones(len(FEATURES)))
    for name, limits in ranges.items():
        if len(limits) < 2:
            raise ConfigError(f"features_range of {name!r} is {list(limits)!r}, expected [low, high]")
        if name in FEATURES:
            number = FEATURES.index(name)
            scales.used[number], scales.low[number], scales.high[number] = True, limits[0], limits[1]
    return scales


@leaf()
def map_linearly(value: float, low: float, high: float, new_low: float, new_high: float) -> float:
    """Map one range to another (highway_env.utils.lmap)."""
    return new_low + (value - low) * (new_high - new_low) / (high - low)


@leaf()
def scaled(value: float, number: int, scales: Scales, clipped: bool) -> float:
    """A feature mapped to [-1, 1], if it has a range; NaN stays NaN."""
    if not scales.used[number]:
        return value
    value = map_linearly(value, scales.low[number], scales.high[number], -1.0, 1.0)
    return clip(value, -1.0, 1.0) if clipped else value


@leaf()
def origin_of(car: Any) -> Origin:
    """A car's place and velocity."""
    return car.x_m, car.y_m, car.speed_mps * car.cos, car.speed_mps * car.sin


@leaf()
def way_to_destination(network: Network, car: Any) -> tuple[float, float]:
    """Unit vector to the end of a car's route (Vehicle.destination_direction); zero without a route."""
    if road_ahead(network, car) == NOBODY:
        return 0.0, 0.0
    place = car.route_place
    while network.routes[car.route, place + 1] != NOBODY:
        place += 1
    index = car.route_lane if place == 0 else 0
    lane = network.lanes[network.roads[network.routes[car.route, place]].first_lane + index]
    x, y = place_on_lane(lane, lane.length_m, 0.0)
    dx, dy = x - car.x_m, y - car.y_m
    if dx == 0.0 and dy == 0.0:
        return 0.0, 0.0
    distance = norm2(dx, dy)
    return dx / distance, dy / distance


@leaf()
def lane_feature(network: Network, car: Any, number: int) -> float:
    """Run along a car's lane [m], offset to its right [m], or heading relative to it [rad] (Vehicle.lane_offset)."""
    lane = network.lanes[car.lane]
    run, offset = lane_frame(lane, car.x_m, car.y_m)
    if number == LONG_OFF:
        return run
    if number == LAT_OFF:
        return offset
    return wrap_to_pi(car.heading_rad - lane_heading(lane, run))


@leaf()
def feature_of(network: Network, car: Any, origin: Origin, number: int, intentions: bool) -> float:
    """One feature of a vehicle or an object.

    Args:
        network: The road network.
        car: Its record.
        origin: What place and velocity are relative to.
        number: Which feature.
        intentions: Is the way to the destination shown? Else it is zero.

    Returns:
        The feature; NaN where highway-env has it for vehicles only: objects have no heading angle and no place on a lane.
    """
    if number == PRESENCE:
        return 1.0
    if number == X:
        return car.x_m - origin[0]
    if number == Y:
        return car.y_m - origin[1]
    if number == VX:
        return car.speed_mps * car.cos - origin[2]
    if number == VY:
        return car.speed_mps * car.sin - origin[3]
    if number == COS_H:
        return car.cos
    if number == SIN_H:
        return car.sin
    thing = car.driver >= OBSTACLE
    if number == COS_D or number == SIN_D:
        if thing or not intentions:
            return 0.0
        way_x, way_y = way_to_destination(network, car)
        return way_x if number == COS_D else way_y
    if thing:
        return math.nan
    return car.heading_rad if number == HEADING else lane_feature(network, car, number)
