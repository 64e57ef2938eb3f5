"""A substep of the highway as passes in which any number of threads share the cars of one world, with the serial kernels' very results.

Positions stand still while cars decide, so neighbours, accelerations and the lanes that MOBIL proposes do not hang on the order of the
list. Only who gives way does: a car that is changing lane reads the target lanes of the others, new ones of those before it in the list and
old ones of those after it. The few changers are therefore gone through in that order, by one thread, between two passes of all.

    decide_all -> barrier -> settle (one thread) -> barrier -> move_all -> barrier -> collide_all -> next substep

Each thread takes the cars ``thread, thread + threads, ...`` and writes to them alone. What a pass reads of other cars, no thread writes
before the next barrier. Neighbours are found by scanning all cars, as highway-env does: threads of a GPU read one car at a time together,
which is cheaper there than keeping the cars sorted.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.traffic.collisions import APART, DIAGONAL_M, OVERLAP, SLACK_M, WILL_OVERLAP, push, verdict_on
from envs.traffic.decisions import LANE_CHANGE_DELAY_S, behind, choose_lane, is_close_ahead, take_command
from envs.traffic.groups import load_car, unload_car
from envs.traffic.layout import GROUP, GROUP_SHIFT, NOBODY, SLOT_MASK, SLOTS, Rules
from envs.traffic.motion import control, roll
from envs.traffic.neighbours import front_by_scan, look_at
from envs.traffic.physics import braking, closest_lane, desired_gap, free_acceleration, lanes_covered, speed_tracking
from envs.traffic.reward import judge
from envs.traffic.spawn import hand_over, spawn_next
from sensors.jit import leaf

SPREAD_GROUP = np.dtype((np.record, [*GROUP.descr, ("apart", np.float64, (SLOTS,))]))
"""GROUP for a GPU's shared memory: one row more, so that like fields of two groups in turn do not lie in the same banks."""


class Plan(NamedTuple):
    """What cars intend while the order of the list is not settled yet; a row for every slot of the world's groups."""

    lane: NDArray[np.float64]  # (S,) target lane, as it would be without giving way
    acceleration_mps2: NDArray[np.float64]  # (S,) towards that lane
    is_changing: NDArray[np.int64]  # (1,) does anybody who thinks change lane already?


class Body(NamedTuple):
    """What collisions look at of a car."""

    x_m: float
    y_m: float
    cos: float
    sin: float
    speed_mps: float


@leaf(forceinline=True)
def body_of(groups: Any, number: int) -> Body:
    """Read a car's."""
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    return Body(group.x_m[slot], group.y_m[slot], group.cos[slot], group.sin[slot], group.speed_mps[slot])


@leaf()
def load_all(cars: Any, groups: Any, plan: Plan, lanes: int, thread: int, threads: int) -> None:
    """Put a world's cars into groups; slots without a car count on no lane."""
    for number in range(thread, len(groups) * SLOTS, threads):
        if number < len(cars):
            load_car(cars, groups, number, lanes)
        else:
            group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
            group.x_m[slot], group.first_lane[slot], group.last_lane[slot] = 0.0, 1.0, 0.0
    if thread == 0:
        plan.is_changing[0] = 0


@leaf()
def look_ahead(groups: Any, number: int) -> None:
    """Note the car ahead of one on its own lane."""
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    front = front_by_scan(groups, number, group.lane[slot])
    if front == NOBODY:
        look_at(group, slot, math.inf, 0.0, 0.0)
        return
    other = body_of(groups, front)
    look_at(group, slot, other.x_m, other.speed_mps * other.cos, other.speed_mps * other.sin)


@leaf()
def decide_car(groups: Any, plan: Plan, number: int, lanes: int, fast: bool | None) -> None:
    """Find a car's acceleration, and where it would go if it had not to give way (``decisions.accelerate`` and ``think`` for one car)."""
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    speed, target_speed = group.speed_mps[slot], group.target_speed_mps[slot]
    plan.lane[number] = group.target_lane[slot]
    group.thinks[slot] = 0
    if group.autonomous[slot] == 0 or group.crashed[slot] != 0:
        group.acceleration_mps2[slot] = speed_tracking(speed, target_speed)
        return
    look_ahead(groups, number)
    free = free_acceleration(speed, target_speed, group.exponent[slot], fast)
    wanted = desired_gap(speed, group.cos[slot], group.sin[slot], group.front_vx_mps[slot], group.front_vy_mps[slot])
    group.free_mps2[slot] = free
    group.acceleration_mps2[slot] = free - braking(wanted, group.gap_m[slot])
    is_changing = group.lane[slot] != group.target_lane[slot]
    if not (is_changing or group.timer_s[slot] > LANE_CHANGE_DELAY_S):
        return
    group.thinks[slot] = 1
    if is_changing:
        plan.is_changing[0] = 1
    else:
        group.timer_s[slot] = 0.0
        plan.lane[number] = choose_lane(groups, None, number, lanes, fast)
    if plan.lane[number] != group.lane[slot]:
        front = front_by_scan(groups, number, plan.lane[number])
        plan.acceleration_mps2[number] = min(group.acceleration_mps2[slot], behind(free, groups, number, front))


@leaf()
def decide_all(groups: Any, plan: Plan, cars: int, lanes: int, fast: bool | None, thread: int, threads: int) -> None:
    """First pass: all decide, against the target lanes that the others have had so far."""
    for number in range(thread, cars, threads):
        decide_car(groups, plan, number, lanes, fast)


@leaf()
def must_give_way(groups: Any, plan: Plan, cars: int, number: int) -> bool:
    """Does another car, close ahead, change to the same lane? Those before this one in the list have decided already."""
    target = groups[number >> GROUP_SHIFT].target_lane[number & SLOT_MASK]
    for other in range(cars):
        rival, its_slot = groups[other >> GROUP_SHIFT], other & SLOT_MASK
        aim = plan.lane[other] if other < number else rival.target_lane[its_slot]
        if other != number and aim == target and rival.lane[its_slot] != target and is_close_ahead(groups, number, other):
            return True
    return False


@leaf()
def settle(groups: Any, plan: Plan, cars: int) -> None:
    """Between the passes, by one thread: those that are changing lane see, in the order of the list, if they have to give way."""
    if plan.is_changing[0] == 0:
        return
    plan.is_changing[0] = 0
    for number in range(cars):
        group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
        if group.thinks[slot] != 0 and group.lane[slot] != group.target_lane[slot] and must_give_way(groups, plan, cars, number):
            plan.lane[number] = group.lane[slot]


@leaf()
def move_all(groups: Any, plan: Plan, cars: int, rules: Rules, thread: int, threads: int) -> None:
    """Second pass: all do as they intend, and move (``motion.move`` for one car after the other)."""
    for number in range(thread, cars, threads):
        group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
        group.target_lane[slot] = plan.lane[number]
        if group.thinks[slot] != 0 and plan.lane[number] != group.lane[slot]:
            group.acceleration_mps2[slot] = plan.acceleration_mps2[number]
        group.timer_s[slot] += rules.substep_s if group.autonomous[slot] != 0 else 0.0
        control(group, slot, rules.fast)
        roll(group, slot, rules.substep_s, rules.fast)
        x, y = group.x_m[slot], group.y_m[slot]
        group.lane[slot] = closest_lane(x, y, group.heading_rad[slot], rules.lanes, rules.fast)
        group.first_lane[slot], group.last_lane[slot] = lanes_covered(x, y, rules.lanes)


@leaf()
def collide_pair(groups: Any, number: int, partner: int, dt: float) -> None:
    """Test a car and another one, and write what happens to the first of the two."""
    first, second = body_of(groups, min(number, partner)), body_of(groups, max(number, partner))
    if not abs(second.x_m - first.x_m) <= DIAGONAL_M + first.speed_mps * dt + SLACK_M:
        return
    verdict, way_x, way_y = verdict_on(first, second, dt)
    if verdict == APART:
        return
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    if verdict & WILL_OVERLAP:
        if number < partner:
            push(group, slot, partner, way_x / 2.0, way_y / 2.0)
        else:
            push(group, slot, partner, -way_x / 2.0, -way_y / 2.0)
    if verdict & OVERLAP:
        group.crashed[slot] = 1


@leaf()
def collide_all(groups: Any, cars: int, rules: Rules, thread: int, threads: int) -> None:
    """Third pass: every car is tested with all others, or with the ego alone, so that each pair is looked at from both sides."""
    for number in range(thread, cars, threads):
        for partner in range(cars if rules.all_collide or number == 0 else 1):
            if partner != number:
                collide_pair(groups, number, partner, rules.substep_s)


@leaf()
def open_decision(mine: Any, action: int, autopilot: bool, targets: Any, lanes: int) -> None:
    """Take the action; by the thread that loads the ego."""
    hand_over(mine[0], autopilot, targets)
    if not autopilot:
        take_command(mine[0], action, targets, lanes)


@leaf()
def unload_all(groups: Any, mine: Any, fast: bool | None, thread: int, threads: int) -> None:
    """Bring a world's cars back."""
    for number in range(thread, len(mine), threads):
        unload_car(groups, mine, number, fast)


@leaf()
def close_decision(mine: Any, episode: Any, outcome: Any, rules: Rules, targets: Any, renews: bool) -> None:
    """Judge a decision, and follow a finished episode by a new one where that is wanted; by one thread, after all cars are back."""
    episode.substeps += rules.substeps
    episode.clock_s += rules.decision_s
    judge(mine[0], episode.clock_s, rules, outcome)
    if renews and (outcome.terminated or outcome.truncated):
        spawn_next(mine, episode, rules, targets)


@leaf()
def step_in_passes(
    cars: Any, episodes: Any, rules: Rules, targets: Any, actions: Any, outcomes: Any, groups: Any, plan: Plan, threads: int, renews: bool
) -> None:
    """One decision of all worlds by the passes, on one thread that plays all of them, the last one first: for checks without a GPU.

    Args:
        cars: CAR records, (B, A).
        episodes: EPISODE records, (B,).
        rules: What all worlds share.
        targets: Set speeds of the ego [m/s].
        actions: Meta-actions, (B,).
        outcomes: OUTCOME records, (B,), written.
        groups: Room for a world, (G,) GROUP records.
        plan: Room for a world.
        threads: How many threads share a world.
        renews: Follow finished episodes by new ones.
    """
    count = cars.shape[1]
    for world in range(len(cars)):
        mine = cars[world]
        open_decision(mine, actions[world], False, targets, rules.lanes)
        for thread in range(threads - 1, -1, -1):
            load_all(mine, groups, plan, rules.lanes, thread, threads)
        for _ in range(rules.substeps):
            for thread in range(threads - 1, -1, -1):
                decide_all(groups, plan, count, rules.lanes, rules.fast, thread, threads)
            settle(groups, plan, count)
            for thread in range(threads - 1, -1, -1):
                move_all(groups, plan, count, rules, thread, threads)
            for thread in range(threads - 1, -1, -1):
                collide_all(groups, count, rules, thread, threads)
        for thread in range(threads - 1, -1, -1):
            unload_all(groups, mine, rules.fast, thread, threads)
        close_decision(mine, episodes[world], outcomes[world], rules, targets, renews)


def plan_for(groups: int) -> Plan:
    """Room for the plans of a world of so many groups."""
    return Plan(np.zeros(groups * SLOTS), np.zeros(groups * SLOTS), np.zeros(1, np.int64))
