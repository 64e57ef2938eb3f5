"""New traffic: highway-env's own draws in highway-env's own order (HighwayEnv._create_vehicles, Vehicle.create_random)."""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.decisions import speed_index
from envs.traffic.elementary import PI, fraction_of
from envs.traffic.generator import draw_choice, draw_uniform, following_seed
from envs.traffic.layout import LANE_WIDTH_M, NOBODY, SPEED_LIMIT_MPS, Rules
from envs.traffic.physics import closest_lane
from sensors.jit import leaf

EGO_SPEED_MPS = 25.0
SLOWEST_MPS = 0.7 * SPEED_LIMIT_MPS
FASTEST_MPS = 0.8 * SPEED_LIMIT_MPS
STANDING_GAP_M = 12.0
EXPONENT = 4.0
LOWEST_EXPONENT = 3.5
HIGHEST_EXPONENT = 4.5
AUTOPILOT_SPEED_MPS = 30.0


@leaf()
def thinking_time(car: Any) -> float:
    """Where a new IDMVehicle's timer starts, so that not all think at once [s]."""
    return fraction_of((car.x_m + car.y_m) * PI)


@leaf()
def place(car: Any, x: float, lane: int, speed: float, lanes: int) -> None:
    """Put a fresh car on a lane."""
    car.x_m = x
    car.y_m = LANE_WIDTH_M * lane
    car.heading_rad = 0.0
    car.cos = 1.0
    car.sin = 0.0
    car.speed_mps = speed
    car.target_speed_mps = speed
    car.exponent = EXPONENT
    car.timer_s = 0.0
    car.steering_rad = 0.0
    car.acceleration_mps2 = 0.0
    car.yaw_rate_radps = 0.0
    car.impact_x_m = 0.0
    car.impact_y_m = 0.0
    car.impact_partner = NOBODY
    car.lane = int(closest_lane(car.x_m, car.y_m, 0.0, lanes, None))
    car.target_lane = car.lane
    car.crashed = False
    car.autonomous = False


@leaf()
def spawn(cars: Any, episode: Any, rules: Rules, targets: Any) -> None:
    """Fill a world: the ego first, then each car ahead of the foremost one.

    Args:
        cars: Records to fill, (A,).
        episode: Holds the generator, which is drawn from; its clocks go to zero.
        rules: What to spawn.
        targets: Set speeds of the ego [m/s].
    """
    foremost = -math.inf
    for number in range(len(cars)):
        is_ego = number == 0
        lane = rules.ego_lane if is_ego and rules.ego_lane != NOBODY else draw_choice(episode, rules.lanes)
        speed = EGO_SPEED_MPS if is_ego else draw_uniform(episode, SLOWEST_MPS, FASTEST_MPS)
        spacing = rules.ego_spacing if is_ego else rules.spacing
        offset = spacing * (STANDING_GAP_M + speed) * rules.lane_crowding
        x = 3.0 * offset if is_ego else foremost
        x += offset * draw_uniform(episode, 0.9, 1.1)
        car = cars[number]
        place(car, x, lane, speed, rules.lanes)
        if is_ego:
            car.target_speed_mps = targets[speed_index(speed, targets)]
        else:
            car.autonomous = True
            car.timer_s = thinking_time(car)
            car.exponent = draw_uniform(episode, LOWEST_EXPONENT, HIGHEST_EXPONENT)
        foremost = max(foremost, car.x_m)
    episode.substeps = 0
    episode.clock_s = 0.0
    episode.action = NOBODY


@leaf()
def spawn_next(cars: Any, episode: Any, rules: Rules, targets: Any) -> None:
    """Fill a world from where its generator stands, as highway-env resets without a seed.

    The episode's seed then only keys sensors and drivers; it follows from the one before.
    """
    episode.seed = following_seed(episode.seed)
    spawn(cars, episode, rules, targets)


@leaf()
def hand_over(car: Any, autopilot: bool, targets: Any) -> None:
    """Give the ego to an IDMVehicle, or back to commands; nothing happens if it is so already.

    The IDMVehicle starts as highway-env makes one at the ego's place: a timer from its position, the default exponent, its lane
    kept. Back under commands the set speed is the one nearest to the present speed.
    """
    if car.autonomous == autopilot:
        return
    car.autonomous = autopilot
    if autopilot:
        car.target_speed_mps = AUTOPILOT_SPEED_MPS
        car.exponent = EXPONENT
        car.timer_s = thinking_time(car)
    else:
        car.target_speed_mps = targets[speed_index(car.speed_mps, targets)]
