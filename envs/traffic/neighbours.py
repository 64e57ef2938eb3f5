"""Who is ahead and who is behind, as highway-env's ``Road.neighbour_vehicles`` answers.

highway-env scans all cars. Here the cars are kept in order along the road, so that a search ends at the first match. Its ties hold:
of cars ahead at one place the last in the list wins (one level with the asker counts as ahead), of cars behind the first.
"""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.elementary import leaf
from envs.traffic.layout import LANE_WIDTH_M, NOBODY, UNKNOWN
from envs.traffic.physics import lane_to_the_left, on_lane

LANE_MARGIN_M = LANE_WIDTH_M / 2.0 + 1.0


@leaf()
def line_up(cars: Any, order: Any) -> None:
    """Start an order along the road from the cars' numbers, and sort it."""
    for number in range(len(order)):
        order[number] = number
        cars[number].rank = number
    sort_along_road(cars, order)


@leaf()
def sort_along_road(cars: Any, order: Any) -> None:
    """Sort the list of cars by x, then by number, and keep their ranks (insertion sort: they hardly move between substeps)."""
    x_before = cars[order[0]].x_m
    for place in range(1, len(order)):
        number = order[place]
        x = cars[number].x_m
        if x_before < x:
            x_before = x
            continue
        gap = place - 1
        while gap >= 0 and (cars[order[gap]].x_m > x or (cars[order[gap]].x_m == x and order[gap] > number)):
            order[gap + 1] = order[gap]
            cars[order[gap]].rank = gap + 1
            gap -= 1
        order[gap + 1] = number
        cars[number].rank = gap + 1
        x_before = cars[order[place]].x_m


@leaf()
def _first_level_with(cars: Any, order: Any, number: int) -> int:
    """Rank of the first car at the very x of this one."""
    place = cars[number].rank
    x = cars[number].x_m
    while place > 0 and cars[order[place - 1]].x_m == x:
        place -= 1
    return place


@leaf()
def front_on_lane(cars: Any, order: Any, number: int, lane: int) -> int:
    """The car ahead of this one on a lane, or NOBODY."""
    front = NOBODY
    for place in range(_first_level_with(cars, order, number), len(order)):
        other = order[place]
        if front != NOBODY and cars[other].x_m > cars[front].x_m:
            break
        if other != number and on_lane(cars[other].x_m, cars[other].y_m, lane, LANE_MARGIN_M):
            front = other
    return front


@leaf()
def rear_on_lane(cars: Any, order: Any, number: int, lane: int) -> int:
    """The car behind this one on a lane, or NOBODY."""
    rear = NOBODY
    for place in range(_first_level_with(cars, order, number) - 1, -1, -1):
        other = order[place]
        if rear != NOBODY and cars[other].x_m < cars[rear].x_m:
            break
        if on_lane(cars[other].x_m, cars[other].y_m, lane, LANE_MARGIN_M):
            rear = other
    return rear


@leaf()
def stands_at(cars: Any, number: int, x: float) -> bool:
    """Is there such a car, at this very x?"""
    return number != NOBODY and cars[number].x_m == x


@leaf()
def find_fronts(cars: Any, order: Any, nearest: Any) -> None:
    """Find the car ahead on every car's own lane in one sweep from the front of the road.

    Args:
        cars: The world's cars; ``front`` is written, UNKNOWN where cars stand level and the search must decide.
        order: Cars sorted along the road.
        nearest: Room for one car a lane.
    """
    lanes = len(nearest)
    for lane in range(lanes):
        nearest[lane] = NOBODY
    last_x = math.inf
    for place in range(len(order) - 1, -1, -1):
        number = order[place]
        car = cars[number]
        level = car.x_m == last_x
        if level:
            car.front = UNKNOWN
            cars[order[place + 1]].front = UNKNOWN
        else:
            car.front = nearest[car.lane]
        last_x = car.x_m
        left = lane_to_the_left(car.y_m, lanes)
        for lane in range(left, min(left + 2, lanes)):  # a car is on no lane but the two beside it
            if on_lane(car.x_m, car.y_m, lane, LANE_MARGIN_M) and not (level and stands_at(cars, nearest[lane], car.x_m)):
                nearest[lane] = number
