"""Collisions of cars with cars and obstacles of any size: separating axes of two boxes, swept by one substep.

Source: highway_env.utils.are_polygons_intersecting and RoadObject.handle_collisions. Pairs are gone through in the order of the list,
each car with the later cars, then with the obstacles; a later push replaces an earlier one.
"""

from __future__ import annotations

from typing import Any

from envs.network.layout import LANDMARK, OBSTACLE
from envs.traffic.collisions import OVERLAP, SLACK_M, WILL_OVERLAP, Corners, separate_boxes
from envs.traffic.elementary import norm2
from sensors.jit import leaf


@leaf()
def corners(car: Any) -> tuple[Corners, Corners]:
    """A box's corners in turn: their x and their y [m]."""
    half_length, half_width = car.length_m / 2.0, car.width_m / 2.0
    long_x, long_y = car.cos * half_length, car.sin * half_length
    wide_x, wide_y = car.sin * half_width, car.cos * half_width
    x = (-long_x + wide_x + car.x_m, -long_x - wide_x + car.x_m, long_x - wide_x + car.x_m, long_x + wide_x + car.x_m)
    y = (-long_y - wide_y + car.y_m, -long_y + wide_y + car.y_m, long_y + wide_y + car.y_m, long_y - wide_y + car.y_m)
    return x, y


@leaf()
def separate(first: Any, second: Any, dt: float) -> tuple[int, float, float]:
    """Test two boxes by separating axes.

    Args:
        first: Record of a car.
        second: Record of another, or of an obstacle.
        dt: How far ahead to look at constant velocity [s].

    Returns:
        Bits OVERLAP and WILL_OVERLAP, and the shortest way out of the overlap, x and y [m].
    """
    return separate_boxes(first, second, corners(first), corners(second), dt)


@leaf()
def clearly_apart(first: Any, second: Any, axes: Any, dt: float) -> bool:
    """Are two boxes separated, with a margin, on an axis of one of them, the sweep included? Then the full test says so too.

    Args:
        first: Record of a car.
        second: Record of another, or of an obstacle.
        axes: Whose axes; one of the two.
        dt: How far ahead to look at constant velocity [s].
    """
    dx, dy = second.x_m - first.x_m, second.y_m - first.y_m
    sweep_x = (first.speed_mps * first.cos - second.speed_mps * second.cos) * dt
    sweep_y = (first.speed_mps * first.sin - second.speed_mps * second.sin) * dt
    along, across = SLACK_M, SLACK_M
    for number in range(2):
        box = first if number == 0 else second
        aligned = abs(box.cos * axes.cos + box.sin * axes.sin)
        crossed = abs(box.cos * axes.sin - box.sin * axes.cos)
        along += (box.length_m * aligned + box.width_m * crossed) / 2.0
        across += (box.length_m * crossed + box.width_m * aligned) / 2.0
    if abs(axes.cos * dx + axes.sin * dy) > along + abs(axes.cos * sweep_x + axes.sin * sweep_y):
        return True
    return abs(axes.cos * dy - axes.sin * dx) > across + abs(axes.cos * sweep_y - axes.sin * sweep_x)


@leaf(forceinline=True)
def push(car: Any, x: float, y: float) -> None:
    """Note a push for the next substep."""
    car.pushed = True
    car.impact_x_m = x
    car.impact_y_m = y


@leaf(forceinline=True)
def collide(first: Any, second: Any, dt: float) -> None:
    """Test a car and a later car or an obstacle, and write what happens to both."""
    if not (first.looks_out or second.looks_out):
        return
    dx, dy = second.x_m - first.x_m, second.y_m - first.y_m
    reach = (first.diagonal_m + second.diagonal_m) / 2.0 + first.speed_mps * dt
    if abs(dx) > reach or abs(dy) > reach or norm2(dx, dy) > reach:
        return
    if clearly_apart(first, second, second, dt) or clearly_apart(first, second, first, dt):
        return
    verdict, way_x, way_y = separate(first, second, dt)
    if verdict & WILL_OVERLAP:
        if second.driver == OBSTACLE:
            push(first, way_x, way_y)
        else:
            push(first, way_x / 2.0, way_y / 2.0)
            push(second, -way_x / 2.0, -way_y / 2.0)
    if verdict & OVERLAP:
        first.crashed = True
        second.crashed = True


@leaf()
def collide_all(cars: Any, vehicles: int, room: int, dt: float) -> None:
    """Test every pair of cars, and every car with every obstacle."""
    for number in range(vehicles):
        for later in range(number + 1, vehicles):
            collide(cars[number], cars[later], dt)
        for thing in range(room, len(cars)):
            if cars[thing].driver != LANDMARK:
                collide(cars[number], cars[thing], dt)
