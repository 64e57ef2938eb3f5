"""Who yields at an intersection: cars whose constant-speed forecasts meet (highway_env.road.regulation.RegulatedRoad)."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import BY_COMMAND, BY_IDM, BY_TYRES, CAR, NOBODY, Network
from envs.network.motion import drive_on_tyres, limit_controls, take_push, turn_and_roll
from envs.network.routes import road_ahead
from envs.traffic import libm
from envs.traffic.elementary import dot2, norm2
from envs.traffic.stack import on_stack
from sensors.jit import leaf

FORECASTS = 11
FORECAST_STEP_S = 0.25
NEAR_M = 5.0
HALF_LENGTH_M = 1.5 * 5.0 / 2.0
HALF_WIDTH_M = 0.9 * 2.0 / 2.0
TILE = 16
"""Cars whose forecasts are kept at a time."""

room_for_forecasts = on_stack((TILE, FORECASTS, 3), np.float64)
room_for_copy = on_stack((1,), CAR)


@leaf()
def forecast_along_route(network: Network, car: Any, poses: Any) -> None:
    """Where a car would be along its route at constant speed (RoadNetwork.position_heading_along_route).

    Args:
        network: The road network.
        car: Its record.
        poses: x, y and heading after every step, (FORECASTS, 3), written.
    """
    for step in range(FORECASTS):
        left = car.run_m + car.speed_mps * (FORECAST_STEP_S * (step + 1))
        place = car.route_place
        lane = car.lane
        if road_ahead(network, car) != NOBODY:
            lane = lane_of_route(network, car, place)
            while network.routes[car.route, place + 1] != NOBODY and left > network.lanes[lane].length_m:
                left -= network.lanes[lane].length_m
                place += 1
                lane = lane_of_route(network, car, place)
        poses[step, 0], poses[step, 1] = place_on_lane(network.lanes[lane], left, 0.0)
        poses[step, 2] = lane_heading(network.lanes[lane], left)


@leaf()
def lane_of_route(network: Network, car: Any, place: int) -> int:
    """The lane that a car would take on a road of its route: the one planned, or the one with its present number."""
    road = network.roads[network.routes[car.route, place]]
    index = car.route_lane if place == 0 else network.lanes[car.lane].index
    return road.first_lane + min(index, road.lanes - 1)


@leaf()
def forecast_by_wheel(car: Any, copy: Any, poses: Any) -> None:
    """Where a car with its wheel held would be (Vehicle.predict_trajectory_constant_speed).

    Args:
        car: Its record.
        copy: A record to write to.
        poses: x, y and heading after every step, (FORECASTS, 3), written.
    """
    copy_motion(car, copy)
    copy.acceleration_mps2 = 0.0
    for step in range(FORECASTS):
        limit_controls(copy)
        if copy.driver == BY_TYRES:
            drive_on_tyres(copy, FORECAST_STEP_S)
        else:
            turn_and_roll(copy, FORECAST_STEP_S)
            take_push(copy)
            copy.speed_mps += copy.acceleration_mps2 * FORECAST_STEP_S
        poses[step, 0], poses[step, 1], poses[step, 2] = copy.x_m, copy.y_m, copy.heading_rad


@leaf()
def copy_motion(car: Any, copy: Any) -> None:
    """Copy what a car that holds its wheel is moved by."""
    copy.x_m, copy.y_m, copy.heading_rad, copy.cos, copy.sin = car.x_m, car.y_m, car.heading_rad, car.cos, car.sin
    copy.speed_mps, copy.lateral_speed_mps, copy.yaw_rate_radps = car.speed_mps, car.lateral_speed_mps, car.yaw_rate_radps
    copy.slowest_mps, copy.fastest_mps, copy.length_m = car.slowest_mps, car.fastest_mps, car.length_m
    copy.impact_x_m, copy.impact_y_m, copy.steering_rad = car.impact_x_m, car.impact_y_m, car.steering_rad
    copy.driver, copy.pushed, copy.crashed = car.driver, car.pushed, car.crashed


@leaf()
def has_point_inside(first: Any, second: Any) -> bool:
    """Is the centre, a corner or the middle of a side of the first box inside the second? Poses x, y, heading."""
    cos_a, sin_a = libm.cosine_sine(first[2])
    cos_b, sin_b = libm.cosine_sine(second[2])
    for point in range(9):
        along, across = (point // 3 - 1) * HALF_LENGTH_M, (point % 3 - 1) * HALF_WIDTH_M
        dx = cos_a * along - sin_a * across + first[0] - second[0]
        dy = sin_a * along + cos_a * across + first[1] - second[1]
        if abs(dot2(cos_b, -sin_b, dx, dy)) <= HALF_LENGTH_M and abs(dot2(sin_b, cos_b, dx, dy)) <= HALF_WIDTH_M:
            return True
    return False


@leaf()
def may_conflict(first: Any, second: Any) -> bool:
    """Do two forecasts, each (FORECASTS, 3), meet at one time? (RegulatedRoad.is_conflict_possible)."""
    for step in range(FORECASTS):
        dx, dy = second[step, 0] - first[step, 0], second[step, 1] - first[step, 1]
        if abs(dx) > NEAR_M or abs(dy) > NEAR_M or norm2(dx, dy) > NEAR_M:
            continue
        if has_point_inside(first[step], second[step]) or has_point_inside(second[step], first[step]):
            return True
    return False


@leaf()
def who_yields(network: Network, cars: Any, first: int, second: int) -> int:
    """The car with the lower priority, or else the one behind (RegulatedRoad.respect_priorities)."""
    a, b = cars[first], cars[second]
    mine, its = network.lanes[a.lane].priority, network.lanes[b.lane].priority
    if mine != its:
        return second if mine > its else first
    ahead_of_a = dot2(a.cos, a.sin, b.x_m - a.x_m, b.y_m - a.y_m)
    ahead_of_b = dot2(b.cos, b.sin, a.x_m - b.x_m, a.y_m - b.y_m)
    return first if ahead_of_a > ahead_of_b else second


@leaf()
def forecast(network: Network, cars: Any, first: int, end: int, copy: Any, poses: Any) -> None:
    """Forecast some cars, the ones from ``first`` to before ``end``, to the first rows of ``poses``, (T, FORECASTS, 3)."""
    for number in range(first, end):
        car = cars[number]
        if car.driver == BY_IDM or car.driver == BY_COMMAND:
            forecast_along_route(network, car, poses[number - first])
        else:
            forecast_by_wheel(car, copy, poses[number - first])


@leaf()
def stop_one(network: Network, cars: Any, first: int, second: int) -> None:
    """Let the one of two cars that has to yield stop, if it is driven by IDM."""
    chosen = cars[who_yields(network, cars, first, second)]
    if chosen.driver == BY_IDM:
        chosen.target_speed_mps = 0.0
        chosen.yields = True


@leaf()
def enforce_rules(cars: Any, vehicles: int, network: Network) -> None:
    """Let cars that yielded go on, then stop those that have to yield now.

    Who yields to whom does not hang on who yielded before, so pairs are gone through in tiles, whose forecasts find room on the stack.
    """
    rows, columns, copy = room_for_forecasts(), room_for_forecasts(), room_for_copy()[0]
    for number in range(vehicles):
        car = cars[number]
        if car.yields:
            car.target_speed_mps = network.lanes[car.lane].speed_limit_mps
            car.yields = False
    for first in range(0, vehicles, TILE):
        first_end = min(first + TILE, vehicles)
        forecast(network, cars, first, first_end, copy, rows)
        for second in range(first, vehicles, TILE):
            second_end = min(second + TILE, vehicles)
            if second != first:
                forecast(network, cars, second, second_end, copy, columns)
            others = rows if second == first else columns
            for one in range(first, first_end):
                for other in range(max(one + 1, second), second_end):
                    if may_conflict(rows[one - first], others[other - second]):
                        stop_one(network, cars, one, other)
