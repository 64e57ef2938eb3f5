"""Collisions between cars: separating axes of two boxes, swept by one substep, as highway-env tests them.

Source: highway_env.utils.are_polygons_intersecting and RoadObject.handle_collisions. A pair that overlaps has crashed; a pair that
will overlap is pushed apart at the next substep. highway-env goes through pairs in the order of the list and a later push replaces
an earlier one, so a car keeps the push of its partner with the highest number, in whatever order pairs are found here.
"""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.elementary import dot2, norm2
from envs.traffic.layout import GROUP_SHIFT, LENGTH_M, SLOT_MASK, SLOTS, WIDTH_M, Line
from sensors.jit import leaf

DIAGONAL_M = math.sqrt(LENGTH_M * LENGTH_M + WIDTH_M * WIDTH_M)
HALF_LENGTH_M = LENGTH_M / 2.0
HALF_WIDTH_M = WIDTH_M / 2.0
SLACK_M = 1e-6  # a quick test rejects only what it rejects by this margin

APART, OVERLAP, WILL_OVERLAP = 0, 1, 2

Corners = tuple[float, float, float, float]


@leaf()
def corners(car: Any) -> tuple[Corners, Corners]:
    """A car's corners in turn: their x and their y [m]."""
    long_x, long_y = car.cos * HALF_LENGTH_M, car.sin * HALF_LENGTH_M
    wide_x, wide_y = car.sin * HALF_WIDTH_M, car.cos * HALF_WIDTH_M
    x = (-long_x + wide_x + car.x_m, -long_x - wide_x + car.x_m, long_x - wide_x + car.x_m, long_x + wide_x + car.x_m)
    y = (-long_y - wide_y + car.y_m, -long_y + wide_y + car.y_m, long_y + wide_y + car.y_m, long_y - wide_y + car.y_m)
    return x, y


@leaf()
def extent(x: Corners, y: Corners, normal_x: float, normal_y: float) -> tuple[float, float]:
    """Project corners on an axis."""
    low, high = math.inf, -math.inf
    for corner in range(4):
        value = dot2(x[corner], y[corner], normal_x, normal_y)
        low, high = min(low, value), max(high, value)
    return low, high


@leaf()
def interval_distance(low_a: float, high_a: float, low_b: float, high_b: float) -> float:
    """Distance between two intervals, negative where they overlap."""
    return low_b - high_a if low_a < low_b else low_a - high_b


@leaf()
def middle(values: Corners) -> float:
    """Mean of the corners along one axis [m]."""
    return (values[0] + values[1] + values[2] + values[3]) / 4.0


@leaf()
def separate_boxes(first: Any, second: Any, a: tuple[Corners, Corners], b: tuple[Corners, Corners], dt: float) -> tuple[int, float, float]:
    """Test two boxes of any size by separating axes.

    Args:
        first: Record of a car.
        second: Record of another, or of an obstacle.
        a: Corners of the first in turn, their x and their y [m].
        b: Those of the second.
        dt: How far ahead to look at constant velocity [s].

    Returns:
        Bits OVERLAP and WILL_OVERLAP, and the shortest way out of the overlap, x and y [m].
    """
    a_x, a_y = a
    b_x, b_y = b
    between_x, between_y = middle(a_x) - middle(b_x), middle(a_y) - middle(b_y)
    sweep_x = first.speed_mps * first.cos * dt - second.speed_mps * second.cos * dt
    sweep_y = first.speed_mps * first.sin * dt - second.speed_mps * second.sin * dt
    overlap = will_overlap = True
    shortest, away_x, away_y = math.inf, 0.0, 0.0
    for side in range(8):
        x, y = (a_x, a_y) if side < 4 else (b_x, b_y)
        start, end = side % 4, (side + 1) % 4
        normal_x, normal_y = -y[end] + y[start], x[end] - x[start]
        length = norm2(normal_x, normal_y)
        normal_x /= length
        normal_y /= length
        low_a, high_a = extent(a_x, a_y, normal_x, normal_y)
        low_b, high_b = extent(b_x, b_y, normal_x, normal_y)
        if interval_distance(low_a, high_a, low_b, high_b) > 0.0:
            overlap = False
        swept = dot2(normal_x, normal_y, sweep_x, sweep_y)
        if swept < 0.0:
            low_a += swept
        else:
            high_a += swept
        distance = interval_distance(low_a, high_a, low_b, high_b)
        if distance > 0.0:
            will_overlap = False
        if not overlap and not will_overlap:
            return APART, 0.0, 0.0
        if abs(distance) < shortest:
            shortest = abs(distance)
            outwards = dot2(between_x, between_y, normal_x, normal_y) > 0.0
            away_x, away_y = (normal_x, normal_y) if outwards else (-normal_x, -normal_y)
    return (OVERLAP if overlap else 0) + (WILL_OVERLAP if will_overlap else 0), shortest * away_x, shortest * away_y


@leaf()
def separate(first: Any, second: Any, dt: float) -> tuple[int, float, float]:
    """Test two cars by separating axes.

    Args:
        first: Record of a car.
        second: Record of another.
        dt: How far ahead to look at constant velocity [s].

    Returns:
        Bits OVERLAP and WILL_OVERLAP, and the shortest way out of the overlap, x and y [m].
    """
    return separate_boxes(first, second, corners(first), corners(second), dt)


@leaf()
def clearly_apart(first: Any, second: Any, dt: float) -> bool:
    """Are two cars separated, with a margin, on an axis of the first one, the sweep included? Then the full test says so too."""
    dx, dy = second.x_m - first.x_m, second.y_m - first.y_m
    aligned = abs(first.cos * second.cos + first.sin * second.sin)
    crossed = abs(first.cos * second.sin - first.sin * second.cos)
    sweep_x = (first.speed_mps * first.cos - second.speed_mps * second.cos) * dt
    sweep_y = (first.speed_mps * first.sin - second.speed_mps * second.sin) * dt
    room_across = HALF_WIDTH_M + HALF_LENGTH_M * crossed + HALF_WIDTH_M * aligned + SLACK_M
    if abs(first.cos * dy - first.sin * dx) > room_across + abs(first.cos * sweep_y - first.sin * sweep_x):
        return True
    room_along = HALF_LENGTH_M + HALF_LENGTH_M * aligned + HALF_WIDTH_M * crossed + SLACK_M
    return abs(first.cos * dx + first.sin * dy) > room_along + abs(first.cos * sweep_x + first.sin * sweep_y)


@leaf()
def push(group: Any, slot: int, partner: int, x: float, y: float) -> None:
    """Note a push for the next substep; of several partners the one with the highest number counts."""
    if partner >= group.impact_partner[slot]:
        group.impact_partner[slot] = partner
        group.impact_x_m[slot] = x
        group.impact_y_m[slot] = y


@leaf(forceinline=True)
def verdict_on(first: Any, second: Any, dt: float) -> tuple[int, float, float]:
    """Test two cars, the first one being the earlier in the list: what ``separate`` gives, after quicker tests."""
    if clearly_apart(first, second, dt):
        return APART, 0.0, 0.0
    if norm2(second.x_m - first.x_m, second.y_m - first.y_m) > DIAGONAL_M + first.speed_mps * dt:
        return APART, 0.0, 0.0  # highway-env's own first test: only the first car's speed counts
    return separate(first, second, dt)


@leaf(forceinline=True)
def show(groups: Any, number: int, car: Any) -> None:
    """Copy to a CAR record what the test of a pair looks at."""
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    car.x_m, car.y_m, car.cos, car.sin = group.x_m[slot], group.y_m[slot], group.cos[slot], group.sin[slot]
    car.speed_mps = group.speed_mps[slot]


@leaf()
def collide(groups: Any, cars: Any, low: int, high: int, dt: float) -> None:
    """Test a pair of cars, ``low`` < ``high`` in the list, and write what happens to both.

    Args:
        groups: The world's cars, written.
        cars: Their CAR records, which may be stale; those of the pair are brought up to date.
        low: Number of one.
        high: Number of the other.
        dt: How far ahead to look [s].
    """
    first, second = cars[low], cars[high]
    show(groups, low, first)
    show(groups, high, second)
    verdict, way_x, way_y = verdict_on(first, second, dt)
    if verdict == APART:
        return
    one, one_slot = groups[low >> GROUP_SHIFT], low & SLOT_MASK
    other, other_slot = groups[high >> GROUP_SHIFT], high & SLOT_MASK
    if verdict & WILL_OVERLAP:
        push(one, one_slot, high, way_x / 2.0, way_y / 2.0)
        push(other, other_slot, low, -way_x / 2.0, -way_y / 2.0)
    if verdict & OVERLAP:
        one.crashed[one_slot] = 1
        other.crashed[other_slot] = 1


@leaf()
def collide_with_ego(groups: Any, line: Line, cars: Any, dt: float) -> None:
    """Test the ego with every other car (highway-fast-v0 looks at no other pair)."""
    reach = DIAGONAL_M + groups[0].speed_mps[0] * dt + SLACK_M
    place = line.rank[0]
    for further in range(place + 1, len(line.order)):
        if not line.x_m[further] - line.x_m[place] <= reach:
            break
        collide(groups, cars, 0, line.order[further], dt)
    for further in range(place - 1, -1, -1):
        if not line.x_m[place] - line.x_m[further] <= reach:
            break
        collide(groups, cars, 0, line.order[further], dt)


@leaf()
def collide_all(groups: Any, line: Line, cars: Any, dt: float) -> None:
    """Test every pair of cars that is near enough along the road."""
    fastest = 0.0
    for number in range(len(groups)):
        for slot in range(SLOTS):
            fastest = max(fastest, groups[number].speed_mps[slot])
    reach = DIAGONAL_M + fastest * dt + SLACK_M
    for place in range(len(line.order)):
        limit = line.x_m[place] + reach
        for further in range(place + 1, len(line.order)):
            if line.x_m[further] > limit:
                break
            behind, ahead = line.order[place], line.order[further]
            collide(groups, cars, min(behind, ahead), max(behind, ahead), dt)
