"""What drivers decide: IDM along the road, MOBIL across it, and the ego's commands.

Source: A. Kesting, M. Treiber, D. Helbing, "General lane-changing model MOBIL for car-following models", 2007, with highway-env's
constants (politeness 0). Positions stand still while cars decide, one after the other in the list; only a target lane that one
sets is seen by the later ones.
"""

from __future__ import annotations

from typing import Any

from envs.traffic.elementary import clip, leaf
from envs.traffic.layout import FASTER, LANE_LEFT, LANE_RIGHT, NOBODY, SLOWER, UNKNOWN
from envs.traffic.neighbours import front_on_lane, rear_on_lane
from envs.traffic.physics import (
    MAX_ACCELERATION_MPS2,
    braking,
    desired_gap,
    free_acceleration,
    lane_steering,
    reachable,
    speed_tracking,
)

LANE_CHANGE_DELAY_S = 1.0
LANE_CHANGE_GAIN_MPS2 = 0.2
LANE_CHANGE_BRAKING_MPS2 = 2.0
LANE_CHANGE_SPEED_MPS = 1.0


@leaf()
def gap_wanted(car: Any, front: Any) -> float:
    """Gap that a car wants to another one ahead [m]."""
    return desired_gap(car.speed_mps, car.cos, car.sin, front.speed_mps, front.cos, front.sin)


@leaf(inline="always")
def behind(free: float, cars: Any, number: int, front: int) -> float:
    """IDM acceleration of a car behind another one (NOBODY: the free one)."""
    if front == NOBODY:
        return free
    return free - braking(gap_wanted(cars[number], cars[front]), cars[front].x_m - cars[number].x_m)


@leaf()
def give_way(cars: Any, number: int) -> None:
    """Stop changing lane where another car, close ahead, changes to the same one."""
    car = cars[number]
    for other in range(len(cars)):
        rival = cars[other]
        if other == number or rival.lane == car.target_lane or rival.target_lane != car.target_lane:
            continue
        if 0.0 < rival.x_m - car.x_m < gap_wanted(car, rival):
            car.target_lane = car.lane
            return


@leaf()
def follower_brakes_hard(cars: Any, follower: int, number: int, exponent: float) -> bool:
    """Would the new follower have to brake harder than is allowed? The asker's exponent is used, as in highway-env."""
    if follower == NOBODY:
        return False
    free = free_acceleration(cars[follower].speed_mps, cars[follower].target_speed_mps, exponent)
    return behind(free, cars, follower, number) < -LANE_CHANGE_BRAKING_MPS2


@leaf()
def choose_lane(cars: Any, order: Any, number: int, lanes: int, free: float, present: float) -> None:
    """MOBIL: take a side lane that gains acceleration and is safe for the new follower; the right one if both do.

    The gain is looked at first: with politeness 0 the answer is the same, and it is the cheaper question.

    Args:
        cars: The world's cars.
        order: Cars sorted along the road.
        number: Who decides.
        lanes: Lanes of the road.
        free: Its acceleration on a free road [m/s2].
        present: Its acceleration behind the car that is ahead now [m/s2].
    """
    car = cars[number]
    if free - present < LANE_CHANGE_GAIN_MPS2 or abs(car.speed_mps) < LANE_CHANGE_SPEED_MPS:
        return
    for lane in (car.lane - 1, car.lane + 1):
        if lane < 0 or lane >= lanes or not reachable(car.x_m, car.y_m, lane):
            continue
        promised = behind(free, cars, number, front_on_lane(cars, order, number, lane))
        if promised - present < LANE_CHANGE_GAIN_MPS2:
            continue
        if not follower_brakes_hard(cars, rear_on_lane(cars, order, number, lane), number, car.exponent):
            car.target_lane = lane


@leaf(inline="always")
def drive_by_idm(cars: Any, order: Any, number: int, lanes: int) -> None:
    """One decision of an IDMVehicle: lane, steering, acceleration. A crashed one decides nothing."""
    car = cars[number]
    if car.crashed:
        return
    front = car.front if car.front != UNKNOWN else front_on_lane(cars, order, number, car.lane)
    free = free_acceleration(car.speed_mps, car.target_speed_mps, car.exponent)
    acceleration = behind(free, cars, number, front)
    if car.lane != car.target_lane:
        give_way(cars, number)
    elif car.timer_s > LANE_CHANGE_DELAY_S:
        car.timer_s = 0.0
        choose_lane(cars, order, number, lanes, free, acceleration)
    car.steering_rad = lane_steering(car.y_m, car.heading_rad, car.speed_mps, car.target_lane)
    if car.lane != car.target_lane:
        acceleration = min(acceleration, behind(free, cars, number, front_on_lane(cars, order, number, car.target_lane)))
    car.acceleration_mps2 = clip(acceleration, -MAX_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2)


@leaf()
def drive_by_command(car: Any) -> None:
    """One decision of a car that keeps its commanded lane and speed. highway-env does not ask whether it crashed."""
    car.steering_rad = lane_steering(car.y_m, car.heading_rad, car.speed_mps, car.target_lane)
    car.acceleration_mps2 = speed_tracking(car.speed_mps, car.target_speed_mps)


@leaf()
def decide(cars: Any, order: Any, lanes: int) -> None:
    """All cars decide, in the order of the list."""
    for number in range(len(cars)):
        if cars[number].autonomous:
            drive_by_idm(cars, order, number, lanes)
        else:
            drive_by_command(cars[number])


@leaf()
def speed_index(speed: float, targets: Any) -> int:
    """Which of the set speeds is nearest; they are taken as evenly spaced (MDPVehicle.speed_to_index)."""
    last = len(targets) - 1
    share = (speed - targets[0]) / (targets[last] - targets[0])
    return int(clip(round(share * last), 0.0, float(last)))


@leaf()
def take_command(car: Any, action: int, targets: Any, lanes: int) -> None:
    """Apply a DiscreteMetaAction to the ego: a step of the set speed from the present speed, or a lane to the side."""
    if action == FASTER or action == SLOWER:
        index = speed_index(car.speed_mps, targets) + (1 if action == FASTER else -1)
        car.target_speed_mps = targets[min(max(index, 0), len(targets) - 1)]
    elif action == LANE_LEFT or action == LANE_RIGHT:
        lane = min(max(car.target_lane + (1 if action == LANE_RIGHT else -1), 0), lanes - 1)
        if reachable(car.x_m, car.y_m, lane):
            car.target_lane = lane
