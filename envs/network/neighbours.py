"""Who is ahead and who is behind on a lane, as highway-env's ``Road.neighbour_vehicles`` answers: one scan in the order of the list.

Of cars ahead at one run the last in the list wins (one level with the asker counts as ahead), of cars behind the first. Obstacles
come after the cars; goals are no neighbours.
"""

from __future__ import annotations

import math
from typing import Any

from envs.network.geometry import LANE_MARGIN_M, frame_of, is_on, may_be_on
from envs.network.layout import LANDMARK, NOBODY, Network
from sensors.jit import leaf


@leaf(forceinline=True)
def run_on_links(lanes: Any, links: Any, lane: int, car: Any) -> float:
    """Run of a car in a lane's own count [m], if it is on it or on a lane linked to it; else NaN."""
    first = lanes[lane].first_link
    for number in range(first, first + lanes[lane].links):
        link = links[number]
        there = lanes[link.lane]
        if may_be_on(there, car.x_m, car.y_m):
            run, offset = frame_of(lanes, link.lane, car)
            if is_on(there, run, offset, LANE_MARGIN_M):
                return run + link.offset_m
    return math.nan


@leaf(forceinline=True)
def neighbours_on(cars: Any, vehicles: int, room: int, network: Network, number: int, lane: int) -> tuple[int, int]:
    """The cars or obstacles ahead of and behind a car on a lane, NOBODY for none.

    Args:
        cars: The world's records: vehicles, and obstacles from ``room`` on.
        vehicles: How many vehicles there are.
        room: Where obstacles begin.
        network: The road network.
        number: Who asks.
        lane: Where; the asker need not be on it.
    """
    me = cars[number]
    lanes, links = network.lanes, network.links
    run = frame_of(lanes, lane, me)[0]
    front, rear = NOBODY, NOBODY
    front_run, rear_run = math.inf, -math.inf
    for place in range(vehicles + len(cars) - room):
        other = place if place < vehicles else room + place - vehicles
        car = cars[other]
        if other == number or car.driver == LANDMARK:
            continue
        its_run = run_on_links(lanes, links, lane, car)
        if run <= its_run <= front_run:
            front, front_run = other, its_run
        if rear_run < its_run < run:
            rear, rear_run = other, its_run
    return front, rear
