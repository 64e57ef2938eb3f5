"""Who is ahead and who is behind, as highway-env's ``Road.neighbour_vehicles`` answers.

highway-env scans all cars. Here the cars are kept in order along the road, so that a search ends at the first match. Its ties hold:
of cars ahead at one place the last in the list wins (one level with the asker counts as ahead), of cars behind the first.
"""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.layout import LANE_WIDTH_M, NOBODY, UNKNOWN
from envs.traffic.physics import on_lane
from sensors.jit import kernel

LANE_MARGIN_M = LANE_WIDTH_M / 2.0 + 1.0


@kernel()
def sort_along_road(cars: Any, order: Any) -> None:
    """Sort the list of cars by x, then by number (insertion sort: they hardly move between substeps), and note every rank."""
    for place in range(1, len(order)):
        number = order[place]
        x = cars[number].x_m
        gap = place - 1
        while gap >= 0 and (cars[order[gap]].x_m > x or (cars[order[gap]].x_m == x and order[gap] > number)):
            order[gap + 1] = order[gap]
            gap -= 1
        order[gap + 1] = number
    for place in range(len(order)):
        cars[order[place]].rank = place


@kernel()
def _first_level_with(cars: Any, order: Any, number: int) -> int:
    """Rank of the first car at the very x of this one."""
    place = cars[number].rank
    x = cars[number].x_m
    while place > 0 and cars[order[place - 1]].x_m == x:
        place -= 1
    return place


@kernel()
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


@kernel()
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


@kernel()
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
        if car.x_m == last_x:
            car.front = UNKNOWN
            cars[order[place + 1]].front = UNKNOWN
        else:
            car.front = nearest[car.lane]
        last_x = car.x_m
        around = int(min(max(car.y_m / LANE_WIDTH_M, 0.0), lanes - 1.0))
        for lane in range(max(around - 1, 0), min(around + 2, lanes)):
            if on_lane(car.x_m, car.y_m, lane, LANE_MARGIN_M):
                nearest[lane] = number
