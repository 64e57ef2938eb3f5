"""Collisions between cars: separating axes of two boxes, swept by one substep, as highway-env tests them.

Source: highway_env.utils.are_polygons_intersecting and RoadObject.handle_collisions. A pair that overlaps has crashed; a pair that
will overlap is pushed apart at the next substep. highway-env goes through pairs in the order of the list and a later push replaces
an earlier one, so a car keeps the push of its partner with the highest number, in whatever order pairs are found here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from envs.traffic.elementary import dot2, norm2
from envs.traffic.layout import LENGTH_M, WIDTH_M
from sensors.jit import kernel

DIAGONAL_M = math.sqrt(LENGTH_M * LENGTH_M + WIDTH_M * WIDTH_M)
HALF_LENGTH_M = LENGTH_M / 2.0
HALF_WIDTH_M = WIDTH_M / 2.0
SLACK_M = 1e-6  # a quick test rejects only what it rejects by this margin

APART, OVERLAP, WILL_OVERLAP = 0, 1, 2


@kernel()
def corners(car: Any, points: Any) -> None:
    """Write a car's corners, the first one again at the end, (5, 2)."""
    for corner in range(5):
        along = -HALF_LENGTH_M if corner in (0, 1, 4) else HALF_LENGTH_M
        across = -HALF_WIDTH_M if corner in (0, 3, 4) else HALF_WIDTH_M
        points[corner, 0] = car.cos * along - car.sin * across + car.x_m
        points[corner, 1] = car.sin * along + car.cos * across + car.y_m


@kernel()
def extent(points: Any, normal_x: float, normal_y: float) -> tuple[float, float]:
    """Project corners on an axis."""
    low, high = math.inf, -math.inf
    for corner in range(4):
        value = dot2(points[corner, 0], points[corner, 1], normal_x, normal_y)
        low, high = min(low, value), max(high, value)
    return low, high


@kernel()
def interval_distance(low_a: float, high_a: float, low_b: float, high_b: float) -> float:
    """Distance between two intervals, negative where they overlap."""
    return low_b - high_a if low_a < low_b else low_a - high_b


@kernel()
def centre_difference(a: Any, b: Any, axis: int) -> float:
    """Difference of the mean corners along x (0) or y (1)."""
    mean_a = (a[0, axis] + a[1, axis] + a[2, axis] + a[3, axis]) / 4.0
    mean_b = (b[0, axis] + b[1, axis] + b[2, axis] + b[3, axis]) / 4.0
    return mean_a - mean_b


@kernel()
def separate(first: Any, second: Any, dt: float, a: Any, b: Any) -> tuple[int, float, float]:
    """Test two cars by separating axes.

    Args:
        first: Record of a car.
        second: Record of another.
        dt: How far ahead to look at constant velocity [s].
        a: Room for the first one's corners, (5, 2).
        b: Room for the second one's.

    Returns:
        Bits OVERLAP and WILL_OVERLAP, and the shortest way out of the overlap, x and y [m].
    """
    corners(first, a)
    corners(second, b)
    sweep_x = first.speed_mps * first.cos * dt - second.speed_mps * second.cos * dt
    sweep_y = first.speed_mps * first.sin * dt - second.speed_mps * second.sin * dt
    overlap = will_overlap = True
    shortest, away_x, away_y = math.inf, 0.0, 0.0
    for side in range(8):
        box = a if side < 4 else b
        start, end = side % 4, side % 4 + 1
        normal_x, normal_y = -box[end, 1] + box[start, 1], box[end, 0] - box[start, 0]
        length = norm2(normal_x, normal_y)
        normal_x /= length
        normal_y /= length
        low_a, high_a = extent(a, normal_x, normal_y)
        low_b, high_b = extent(b, normal_x, normal_y)
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
            outwards = dot2(centre_difference(a, b, 0), centre_difference(a, b, 1), normal_x, normal_y) > 0.0
            away_x, away_y = (normal_x, normal_y) if outwards else (-normal_x, -normal_y)
    return (OVERLAP if overlap else 0) + (WILL_OVERLAP if will_overlap else 0), shortest * away_x, shortest * away_y


@kernel()
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


@kernel()
def push(car: Any, partner: int, x: float, y: float) -> None:
    """Note a push for the next substep; of several partners the one with the highest number counts."""
    if partner >= car.impact_partner:
        car.impact_partner = partner
        car.impact_x_m = x
        car.impact_y_m = y


@kernel()
def collide(cars: Any, low: int, high: int, dt: float, a: Any, b: Any) -> None:
    """Test a pair of cars, ``low`` < ``high`` in the list, and write what happens to both."""
    first, second = cars[low], cars[high]
    if clearly_apart(first, second, dt):
        return
    if norm2(second.x_m - first.x_m, second.y_m - first.y_m) > DIAGONAL_M + first.speed_mps * dt:
        return  # highway-env's own first test: only the first car's speed counts
    verdict, way_x, way_y = separate(first, second, dt, a, b)
    if verdict & WILL_OVERLAP:
        push(first, high, way_x / 2.0, way_y / 2.0)
        push(second, low, -way_x / 2.0, -way_y / 2.0)
    if verdict & OVERLAP:
        first.crashed = True
        second.crashed = True


@kernel()
def collide_with_ego(cars: Any, dt: float) -> None:
    """Test the ego with every other car (highway-fast-v0 looks at no other pair)."""
    a, b = np.empty((5, 2)), np.empty((5, 2))
    reach = DIAGONAL_M + cars[0].speed_mps * dt + SLACK_M
    for other in range(1, len(cars)):
        if abs(cars[other].x_m - cars[0].x_m) <= reach:
            collide(cars, 0, other, dt, a, b)


@kernel()
def collide_all(cars: Any, order: Any, dt: float) -> None:
    """Test every pair of cars that is near enough along the road."""
    a, b = np.empty((5, 2)), np.empty((5, 2))
    fastest = 0.0
    for number in range(len(cars)):
        fastest = max(fastest, cars[number].speed_mps)
    reach = DIAGONAL_M + fastest * dt + SLACK_M
    for place in range(len(order)):
        behind = order[place]
        limit = cars[behind].x_m + reach
        for further in range(place + 1, len(order)):
            ahead = order[further]
            if cars[ahead].x_m > limit:
                break
            collide(cars, min(behind, ahead), max(behind, ahead), dt, a, b)
