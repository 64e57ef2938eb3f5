"""New cars, and changes of who drives the ego."""

from __future__ import annotations

import math
from typing import Any

from envs.network.geometry import closest_lane, lane_heading, place_on_lane
from envs.network.layout import BY_COMMAND, BY_IDM, NOBODY, Network, Rules
from envs.traffic import libm
from envs.traffic.decisions import speed_index as nearest_speed
from envs.traffic.elementary import PI, fraction_of
from sensors.jit import leaf

EXPONENT = 4.0
TOP_SPEED_MPS = 40.0
CAR_LENGTH_M = 5.0
CAR_WIDTH_M = 2.0
AUTOPILOT_SPEED_MPS = 30.0


@leaf()
def thinking_time(x: float, y: float) -> float:
    """Where a new IDMVehicle's timer starts, so that not all think at once [s]."""
    return fraction_of((x + y) * PI)


@leaf()
def give_size(car: Any, length: float, width: float) -> None:
    """Set a box's length and width [m]."""
    car.length_m = length
    car.width_m = width
    car.diagonal_m = math.sqrt(length * length + width * width)


@leaf()
def place(car: Any, lanes: Any, x: float, y: float, heading: float, speed: float) -> None:
    """Make a fresh record of a car at a pose, driven by nobody yet; its lane is the one that fits best."""
    car.x_m, car.y_m = x, y
    car.heading_rad = heading
    car.cos, car.sin = libm.cosine_sine(heading)
    car.speed_mps = speed
    car.target_speed_mps = speed
    car.steering_rad = 0.0
    car.acceleration_mps2 = 0.0
    car.yaw_rate_radps = 0.0
    car.lateral_speed_mps = 0.0
    car.impact_x_m, car.impact_y_m = 0.0, 0.0
    car.timer_s = 0.0
    car.politeness = 0.0
    car.slowest_mps, car.fastest_mps = -TOP_SPEED_MPS, TOP_SPEED_MPS
    give_size(car, CAR_LENGTH_M, CAR_WIDTH_M)
    car.lane, car.run_m, car.offset_m = closest_lane(lanes, x, y, heading, 0)
    car.target_lane = car.lane
    car.route = NOBODY
    car.route_place = 0
    car.route_lane = 0
    car.speed_index = 0
    car.yields = False
    car.pushed = False
    car.crashed = False
    car.changes_lanes = True
    car.varied = False
    car.looks_out = True


@leaf()
def take_idm_habits(car: Any, rules: Rules) -> None:
    """Let a car be driven by IDM and MOBIL with the parameters that all share."""
    car.driver = BY_IDM
    car.timer_s = thinking_time(car.x_m, car.y_m)
    car.exponent = EXPONENT
    car.jam_distance_m = rules.jam_distance_m
    car.comfort_mps2 = rules.comfort_mps2
    car.twice_root_mps2 = rules.twice_root_mps2


@leaf()
def place_idm(car: Any, network: Network, rules: Rules, x: float, y: float, heading: float, speed: float) -> None:
    """A new IDMVehicle at a pose."""
    place(car, network.lanes, x, y, heading, speed)
    take_idm_habits(car, rules)


@leaf()
def place_idm_on_lane(car: Any, network: Network, rules: Rules, lane: int, run: float, speed: float) -> None:
    """A new IDMVehicle on a lane (RoadObject.make_on_lane)."""
    x, y = place_on_lane(network.lanes[lane], run, 0.0)
    place_idm(car, network, rules, x, y, lane_heading(network.lanes[lane], run), speed)


@leaf()
def command_speed(car: Any, targets: Any, speed: float) -> None:
    """Make the set speed the one nearest to a speed (MDPVehicle.__init__)."""
    car.speed_index = nearest_speed(speed, targets)
    car.target_speed_mps = targets[car.speed_index]


@leaf()
def place_ego(car: Any, network: Network, rules: Rules, targets: Any, x: float, y: float, heading: float, speed: float) -> None:
    """The ego, of the kind that the actions need. One without a set speed counts as wanting none where others ask (IDM)."""
    place(car, network.lanes, x, y, heading, speed)
    take_idm_habits(car, rules)  # ready for an autopilot
    take_back(car, rules, targets)


@leaf()
def take_back(car: Any, rules: Rules, targets: Any) -> None:
    """Put the ego under actions."""
    car.driver = rules.ego_driver
    car.slowest_mps, car.fastest_mps = rules.ego_slowest_mps, rules.ego_fastest_mps
    if car.driver == BY_COMMAND:
        command_speed(car, targets, car.speed_mps)
    else:
        car.target_speed_mps = 0.0
        car.lateral_speed_mps = 0.0
        car.yaw_rate_radps = 0.0


@leaf()
def hand_over(car: Any, network: Network, rules: Rules, targets: Any, autopilot: bool) -> None:
    """Give the ego to IDM and MOBIL, or back to actions; nothing happens if it is so already.

    The autopilot starts as highway-env makes an IDMVehicle at the ego's place: a timer from its position, the default exponent, its
    target lane and route kept; one without a route plans one where the id has a destination.
    """
    if (car.driver == BY_IDM) == autopilot:
        return
    if not autopilot:
        take_back(car, rules, targets)
        return
    if car.driver != BY_COMMAND:
        car.target_lane = car.lane
        car.route = NOBODY
    take_idm_habits(car, rules)
    car.slowest_mps, car.fastest_mps = -TOP_SPEED_MPS, TOP_SPEED_MPS
    car.target_speed_mps = AUTOPILOT_SPEED_MPS
    if car.route != NOBODY and network.routes[car.route, car.route_place] == NOBODY:
        car.route = NOBODY
    if car.route == NOBODY and rules.destination != NOBODY:
        plan_route(car, network, rules, rules.destination)


@leaf()
def plan_route(car: Any, network: Network, rules: Rules, destination: int) -> None:
    """Plan the shortest route from a car's lane to a destination (ControlledVehicle.plan_route_to)."""
    car.route = network.lanes[car.lane].road * rules.destinations + destination
    car.route_place = 0
    car.route_lane = network.lanes[car.lane].index
