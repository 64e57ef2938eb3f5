"""What drivers decide: IDM along the road, MOBIL across it, and the ego's commands.

Source: A. Kesting, M. Treiber, D. Helbing, "General lane-changing model MOBIL for car-following models", 2007, with highway-env's
constants (politeness 0). Positions stand still while cars decide, one after the other in the list; only a target lane that one
sets is seen by the later ones. So accelerations are found for all cars at once, then those few that think about lanes do it in the
order of the list.
"""

from __future__ import annotations

from typing import Any

from envs.traffic.elementary import clip
from envs.traffic.groups import x_of
from envs.traffic.layout import FASTER, GROUP_SHIFT, LANE_LEFT, LANE_RIGHT, NOBODY, SLOT_MASK, SLOTS, SLOWER, Line
from envs.traffic.neighbours import front_noted, rear_on_lane
from envs.traffic.physics import braking, desired_gap, free_acceleration, reachable, speed_tracking
from sensors.jit import leaf

LANE_CHANGE_DELAY_S = 1.0
LANE_CHANGE_GAIN_MPS2 = 0.2
LANE_CHANGE_BRAKING_MPS2 = 2.0
LANE_CHANGE_SPEED_MPS = 1.0


@leaf()
def accelerate(groups: Any, fast: bool | None) -> None:
    """Find every car's acceleration behind the car ahead, or towards its set speed; mark those that think about lanes.

    An acceleration of the IDM is not limited yet. A crashed car decides nothing.
    """
    for number in range(len(groups)):
        group = groups[number]
        for slot in range(SLOTS):
            speed, target_speed = group.speed_mps[slot], group.target_speed_mps[slot]
            decides = (group.autonomous[slot] != 0) & (group.crashed[slot] == 0)
            free = 0.0
            if fast is not None or decides:
                free = free_acceleration(speed, target_speed, group.exponent[slot], fast)
            wanted = desired_gap(speed, group.cos[slot], group.sin[slot], group.front_vx_mps[slot], group.front_vy_mps[slot])
            following = free - braking(wanted, group.gap_m[slot])
            commanded = speed_tracking(speed, target_speed)
            is_due = (group.lane[slot] != group.target_lane[slot]) | (group.timer_s[slot] > LANE_CHANGE_DELAY_S)
            group.free_mps2[slot] = free
            group.acceleration_mps2[slot] = following if decides else commanded
            group.thinks[slot] = 1 if decides & is_due else 0


@leaf()
def gap_wanted(groups: Any, number: int, front: int) -> float:
    """Gap that a car wants to another one ahead [m]."""
    car, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    other, its_slot = groups[front >> GROUP_SHIFT], front & SLOT_MASK
    speed = other.speed_mps[its_slot]
    front_vx, front_vy = speed * other.cos[its_slot], speed * other.sin[its_slot]
    return desired_gap(car.speed_mps[slot], car.cos[slot], car.sin[slot], front_vx, front_vy)


@leaf()
def behind(free: float, groups: Any, number: int, front: int) -> float:
    """IDM acceleration of a car behind another one (NOBODY: the free one)."""
    if front == NOBODY:
        return free
    return free - braking(gap_wanted(groups, number, front), x_of(groups, front) - x_of(groups, number))


@leaf()
def changing_to(groups: Any, lane: float) -> int:
    """How many cars are on their way to a lane."""
    count = 0
    for number in range(len(groups)):
        group = groups[number]
        for slot in range(SLOTS):
            count += 1 if (group.target_lane[slot] == lane) & (group.lane[slot] != lane) else 0
    return count


@leaf(forceinline=True)
def is_close_ahead(groups: Any, number: int, other: int) -> bool:
    """Is another car ahead of one, and nearer than that one likes?"""
    gap = x_of(groups, other) - x_of(groups, number)
    return 0.0 < gap and gap < gap_wanted(groups, number, other)


@leaf()
def give_way(groups: Any, cars: int, number: int) -> None:
    """Stop changing lane where another car, close ahead, changes to the same one."""
    car, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    target_lane = car.target_lane[slot]
    if changing_to(groups, target_lane) == 1:
        return
    for other in range(cars):
        rival, its_slot = groups[other >> GROUP_SHIFT], other & SLOT_MASK
        if other == number or rival.lane[its_slot] == target_lane or rival.target_lane[its_slot] != target_lane:
            continue
        if is_close_ahead(groups, number, other):
            car.target_lane[slot] = car.lane[slot]
            return


@leaf()
def follower_brakes_hard(groups: Any, follower: int, number: int, exponent: float, fast: bool | None) -> bool:
    """Would the new follower have to brake harder than is allowed? The asker's exponent is used, as in highway-env."""
    if follower == NOBODY:
        return False
    group, slot = groups[follower >> GROUP_SHIFT], follower & SLOT_MASK
    free = free_acceleration(group.speed_mps[slot], group.target_speed_mps[slot], exponent, fast)
    return behind(free, groups, follower, number) < -LANE_CHANGE_BRAKING_MPS2


@leaf()
def choose_lane(groups: Any, line: Line | None, number: int, lanes: int, fast: bool | None) -> float:
    """MOBIL: take a side lane that gains acceleration and is safe for the new follower; the right one if both do.

    The gain is looked at first: with politeness 0 the answer is the same, and it is the cheaper question.

    Args:
        groups: The world's cars.
        line: The cars lined up, or None to find neighbours without that.
        number: Who decides.
        lanes: Lanes of the road.
        fast: The mode.

    Returns:
        The lane to set out for, or the present target.
    """
    car, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    free, present, chosen = car.free_mps2[slot], car.acceleration_mps2[slot], car.target_lane[slot]
    if free - present < LANE_CHANGE_GAIN_MPS2 or abs(car.speed_mps[slot]) < LANE_CHANGE_SPEED_MPS:
        return chosen
    for side in range(2):
        lane = car.lane[slot] + (2.0 * side - 1.0)
        if lane < 0.0 or lane >= lanes or not reachable(car.x_m[slot], car.y_m[slot], lane):
            continue
        promised = behind(free, groups, number, front_noted(groups, line, number, lane))
        if promised - present < LANE_CHANGE_GAIN_MPS2:
            continue
        if not follower_brakes_hard(groups, rear_on_lane(groups, line, number, lane), number, car.exponent[slot], fast):
            chosen = lane
    return chosen


@leaf()
def think(groups: Any, line: Line, lanes: int, fast: bool | None) -> None:
    """Those that are changing lane or may look for another one decide, in the order of the list."""
    cars = len(line.order)
    for number in range(cars):
        car, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
        if car.thinks[slot] == 0:
            continue
        if car.lane[slot] != car.target_lane[slot]:
            give_way(groups, cars, number)
        else:
            car.timer_s[slot] = 0.0
            car.target_lane[slot] = choose_lane(groups, line, number, lanes, fast)
        if car.lane[slot] != car.target_lane[slot]:
            front = front_noted(groups, line, number, car.target_lane[slot])
            car.acceleration_mps2[slot] = min(car.acceleration_mps2[slot], behind(car.free_mps2[slot], groups, number, front))


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
