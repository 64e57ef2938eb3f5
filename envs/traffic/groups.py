"""Cars in groups of eight: from CAR records and back, and one car's fields by its number."""

from __future__ import annotations

from typing import Any

from envs.traffic.layout import GROUP_SHIFT, SLOT_MASK, SLOTS
from envs.traffic.physics import lanes_covered, steering_of_slip
from sensors.jit import leaf


@leaf()
def groups_for(cars: int) -> int:
    """How many groups hold some cars."""
    return (cars + SLOTS - 1) // SLOTS


@leaf(forceinline=True)
def x_of(groups: Any, number: int) -> float:
    """Where a car is along the road [m]."""
    return groups[number >> GROUP_SHIFT].x_m[number & SLOT_MASK]


@leaf(forceinline=True)
def load_car(cars: Any, groups: Any, number: int, lanes: int) -> None:
    """Put one car into its group."""
    car, group, slot = cars[number], groups[number >> GROUP_SHIFT], number & SLOT_MASK
    group.x_m[slot] = car.x_m
    group.y_m[slot] = car.y_m
    group.heading_rad[slot] = car.heading_rad
    group.cos[slot] = car.cos
    group.sin[slot] = car.sin
    group.speed_mps[slot] = car.speed_mps
    group.target_speed_mps[slot] = car.target_speed_mps
    group.exponent[slot] = car.exponent
    group.timer_s[slot] = car.timer_s
    group.impact_x_m[slot] = car.impact_x_m
    group.impact_y_m[slot] = car.impact_y_m
    group.impact_partner[slot] = car.impact_partner
    group.lane[slot] = car.lane
    group.target_lane[slot] = car.target_lane
    group.crashed[slot] = car.crashed
    group.autonomous[slot] = car.autonomous
    group.first_lane[slot], group.last_lane[slot] = lanes_covered(car.x_m, car.y_m, lanes)


@leaf()
def load(cars: Any, groups: Any, lanes: int) -> None:
    """Put a world's cars into groups."""
    for number in range(len(cars)):
        load_car(cars, groups, number, lanes)


@leaf(forceinline=True)
def unload_car(groups: Any, cars: Any, number: int, fast: bool | None) -> None:
    """Bring what a substep changes back into one car."""
    car, group, slot = cars[number], groups[number >> GROUP_SHIFT], number & SLOT_MASK
    car.x_m = group.x_m[slot]
    car.y_m = group.y_m[slot]
    car.heading_rad = group.heading_rad[slot]
    car.cos = group.cos[slot]
    car.sin = group.sin[slot]
    car.speed_mps = group.speed_mps[slot]
    car.timer_s = group.timer_s[slot]
    car.steering_rad = steering_of_slip(group.steering_rad[slot], fast)
    car.acceleration_mps2 = group.acceleration_mps2[slot]
    car.yaw_rate_radps = group.yaw_rate_radps[slot]
    car.impact_x_m = group.impact_x_m[slot]
    car.impact_y_m = group.impact_y_m[slot]
    car.impact_partner = group.impact_partner[slot]
    car.lane = int(group.lane[slot])
    car.target_lane = int(group.target_lane[slot])
    car.crashed = group.crashed[slot] != 0


@leaf()
def unload(groups: Any, cars: Any, fast: bool | None) -> None:
    """Bring what a substep changes back into a world's cars."""
    for number in range(len(cars)):
        unload_car(groups, cars, number, fast)
