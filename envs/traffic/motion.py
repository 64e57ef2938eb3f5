"""One substep of all cars: lane keeping, the kinematic bicycle by explicit Euler, the push of a collision, and the lane then.

A crashed car lets go of the wheel and stops with a time constant of 1 s; nobody goes beyond the top speed.
"""

from __future__ import annotations

from typing import Any

from envs.traffic.elementary import clip
from envs.traffic.layout import NOBODY, SLOTS
from envs.traffic.physics import (
    HALF_LENGTH_M,
    MAX_ACCELERATION_MPS2,
    cap_acceleration,
    closest_lane,
    course_of,
    direction_of,
    lane_steering,
    lanes_covered,
)
from sensors.jit import leaf


@leaf(forceinline=True)
def control(group: Any, slot: int, fast: bool | None) -> None:
    """Set the steering and limit the acceleration of one car."""
    speed, acceleration, is_crashed = group.speed_mps[slot], group.acceleration_mps2[slot], group.crashed[slot] != 0
    steering = lane_steering(group.y_m[slot], group.heading_rad[slot], speed, group.target_lane[slot], fast)
    if group.autonomous[slot] != 0:
        acceleration = clip(acceleration, -MAX_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2)
    group.steering_rad[slot] = 0.0 if is_crashed else steering
    group.acceleration_mps2[slot] = cap_acceleration(speed, -speed if is_crashed else acceleration)


@leaf(forceinline=True)
def roll(group: Any, slot: int, dt: float, fast: bool | None) -> None:
    """Move one car by its course, then by the push of a collision that the last substep foresaw: it has crashed by then."""
    speed, heading, steering = group.speed_mps[slot], group.heading_rad[slot], group.steering_rad[slot]
    course_cos, course_sin, slip_sine = course_of(steering, heading, group.cos[slot], group.sin[slot], fast)
    x, y = group.x_m[slot] + speed * course_cos * dt, group.y_m[slot] + speed * course_sin * dt
    is_pushed = group.impact_partner[slot] != NOBODY
    group.x_m[slot] = x + group.impact_x_m[slot] if is_pushed else x
    group.y_m[slot] = y + group.impact_y_m[slot] if is_pushed else y
    group.crashed[slot] = 1 if is_pushed else group.crashed[slot]
    group.impact_partner[slot] = NOBODY
    yaw_rate = speed * slip_sine / HALF_LENGTH_M
    group.yaw_rate_radps[slot] = yaw_rate
    if fast is not None or steering != 0.0:  # else the heading's sine and cosine are still right
        group.heading_rad[slot] = heading + yaw_rate * dt
        group.cos[slot], group.sin[slot] = direction_of(heading + yaw_rate * dt, fast)
    group.speed_mps[slot] = speed + group.acceleration_mps2[slot] * dt


@leaf()
def move(groups: Any, dt: float, lanes: int, fast: bool | None) -> None:
    """Advance all cars by a substep."""
    for number in range(len(groups)):
        group = groups[number]
        for slot in range(SLOTS):
            group.timer_s[slot] += dt if group.autonomous[slot] != 0 else 0.0
            control(group, slot, fast)
            roll(group, slot, dt, fast)
            x, y = group.x_m[slot], group.y_m[slot]
            group.lane[slot] = closest_lane(x, y, group.heading_rad[slot], lanes, fast)
            group.first_lane[slot], group.last_lane[slot] = lanes_covered(x, y, lanes)
