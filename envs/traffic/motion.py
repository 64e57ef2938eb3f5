"""One substep of a car: the kinematic bicycle by explicit Euler, the push of a collision, and the lane it is then on."""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.elementary import leaf
from envs.traffic.layout import NOBODY
from envs.traffic.physics import HALF_LENGTH_M, cap_acceleration, closest_lane


@leaf()
def limit_controls(car: Any) -> None:
    """A crashed car lets go of the wheel and stops with a time constant of 1 s; nobody goes beyond the top speed."""
    if car.crashed:
        car.steering_rad = 0.0
        car.acceleration_mps2 = -car.speed_mps
    car.acceleration_mps2 = cap_acceleration(car.speed_mps, car.acceleration_mps2)


@leaf()
def turn_and_roll(car: Any, dt: float) -> None:
    """Move by the slip angle of the steered bicycle. Without steering the heading's sine and cosine are still right."""
    if car.steering_rad == 0.0:
        car.yaw_rate_radps = 0.0
        car.x_m += car.speed_mps * car.cos * dt
        car.y_m += car.speed_mps * car.sin * dt
        return
    slip = math.atan(0.5 * math.tan(car.steering_rad))
    course = car.heading_rad + slip
    car.x_m += car.speed_mps * math.cos(course) * dt
    car.y_m += car.speed_mps * math.sin(course) * dt
    car.yaw_rate_radps = car.speed_mps * math.sin(slip) / HALF_LENGTH_M
    car.heading_rad += car.yaw_rate_radps * dt
    car.cos = math.cos(car.heading_rad)
    car.sin = math.sin(car.heading_rad)


@leaf()
def take_push(car: Any) -> None:
    """Move by the push of a collision that the last substep foresaw: now the car has crashed."""
    if car.impact_partner != NOBODY:
        car.x_m += car.impact_x_m
        car.y_m += car.impact_y_m
        car.crashed = True
        car.impact_partner = NOBODY


@leaf()
def move(car: Any, dt: float, lanes: int) -> None:
    """Advance one car by a substep."""
    if car.autonomous:
        car.timer_s += dt
    limit_controls(car)
    turn_and_roll(car, dt)
    take_push(car)
    car.speed_mps += car.acceleration_mps2 * dt
    car.lane = closest_lane(car.x_m, car.y_m, car.heading_rad, lanes)
