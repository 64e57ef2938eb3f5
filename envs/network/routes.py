"""Where a car goes at the end of its lane: along its route, or to the nearest lane (RoadNetwork.next_lane)."""

from __future__ import annotations

import math
from typing import Any

from envs.network.geometry import CAR_LENGTH_M, frame_of, lane_distance, place_on_lane
from envs.network.layout import NOBODY, Network
from sensors.jit import leaf


@leaf(forceinline=True)
def road_ahead(network: Network, car: Any) -> int:
    """The first road that is left of a car's route; NOBODY if there is none."""
    if car.route == NOBODY:
        return NOBODY
    return network.routes[car.route, car.route_place]


@leaf(forceinline=True)
def wanted_lane(car: Any) -> int:
    """The lane that the first road of a route asks for, by its place in that road; NOBODY leaves it open."""
    return car.route_lane if car.route_place == 0 else NOBODY


@leaf()
def lane_given_road(network: Network, lane: int, road: int, wanted: int, x: float, y: float) -> tuple[int, float]:
    """Lane of the next road to take, and its distance from a point (RoadNetwork.next_lane_given_next_road).

    Args:
        network: The road network.
        lane: The lane that ends.
        road: The next road.
        wanted: Place in the next road that the route asks for, or NOBODY.
        x: Where the car is along the middle of the lane that ends [m].
        y: See there.
    """
    present, first = network.lanes[lane], network.roads[road].first_lane
    if present.count == network.roads[road].lanes:
        chosen = first + (present.index if wanted == NOBODY else wanted)
        return chosen, lane_distance(network.lanes[chosen], x, y)
    chosen, nearest = NOBODY, math.inf
    for number in range(first, first + network.roads[road].lanes):
        distance = lane_distance(network.lanes[number], x, y)
        if distance < nearest:
            chosen, nearest = number, distance
    return chosen, nearest


@leaf()
def next_lane(network: Network, car: Any) -> int:
    """The lane that follows a car's target lane; what is finished of its route is dropped."""
    lane = network.lanes[car.target_lane]
    own, road, wanted = network.roads[lane.road], NOBODY, NOBODY
    if road_ahead(network, car) == lane.road:
        car.route_place += 1
    ahead = road_ahead(network, car)
    if ahead != NOBODY and network.roads[ahead].start == own.end:
        road, wanted = ahead, wanted_lane(car)
    x, y = place_on_lane(lane, frame_of(network.lanes, car.target_lane, car)[0], 0.0)
    if road != NOBODY:
        return lane_given_road(network, car.target_lane, road, wanted, x, y)[0]
    chosen, nearest = car.target_lane, math.inf
    for number in range(own.first_exit, own.first_exit + own.exits):
        candidate, distance = lane_given_road(network, car.target_lane, number, NOBODY, x, y)
        if distance < nearest:
            chosen, nearest = candidate, distance
    return chosen


@leaf(forceinline=True)
def follow_road(network: Network, car: Any) -> None:
    """Set out for the next lane where the target lane ends."""
    lane = network.lanes[car.target_lane]
    if frame_of(network.lanes, car.target_lane, car)[0] > lane.length_m - CAR_LENGTH_M / 2.0:
        car.target_lane = next_lane(network, car)
