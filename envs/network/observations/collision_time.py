"""When the ego would meet others, for its set speeds and the lanes beside it (TimeToCollisionObservation).

Source: highway_env.envs.common.finite_mdp.compute_ttc_grid. Only the three speeds and three lanes that are shown are computed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.network.driving import lane_gap
from envs.network.layout import BY_IDM, NOBODY, Network
from envs.network.observations.observer import Observer
from envs.traffic.decisions import speed_index as nearest_speed
from envs.traffic.elementary import dot2, not_zero
from sensors.errors import ConfigError
from sensors.jit import kernel, leaf

SHOWN = 3
"""Set speeds and lanes: the present one and its neighbours."""
DEPTH = 3
"""Roads ahead of the ego where others count."""
COSTS = ((0.0, 1.0), (-1.0, 0.5), (1.0, 0.5))
"""Where on a car, in shares of both cars' half lengths, and what meeting it there costs."""


def collision_time_observer(env: Any, network: Network, targets: NDArray[np.float64]) -> Observer:
    """Make the observer of an environment with TimeToCollision.

    Raises:
        ConfigError: The ego has no set speeds.
    """
    if not hasattr(env.vehicle, "target_speeds") or len(targets) < 2:
        raise ConfigError("TimeToCollision needs an ego with at least two set speeds; use DiscreteMetaAction with target_speeds")
    step_s = 1 / env.config["policy_frequency"]
    parts = {"": ((SHOWN, SHOWN, int(env.observation_type.horizon / step_s)), np.dtype(np.float32))}
    return Observer(parts, observe_collision_times, (network, targets, float(step_s)))


@leaf()
def meets(network: Network, road: int, other: int) -> bool:
    """Is another road the same as one, or does it lead there?"""
    return other == road or network.roads[other].end == network.roads[road].start


@leaf()
def on_route(network: Network, route: int, place: int) -> int:
    """Road of a route; NOBODY beyond its end or without one."""
    return network.routes[route, place] if route != NOBODY else NOBODY


@leaf()
def push(ahead: Any, count: int, road: int, place: int, depth: int) -> int:
    """Put a road on the heap of those to look at; returns how many there are."""
    ahead[count, 0], ahead[count, 1], ahead[count, 2] = road, place, depth
    return count + 1


@leaf()
def is_connected(network: Network, start: int, other: int, route: int, passed: int, ahead: Any) -> bool:
    """Does another road meet one, or a road that follows it? (RoadNetwork.is_connected_road).

    Args:
        network: The road network.
        start: Where to start.
        other: The other road.
        route: Row of the routes table that is followed where it fits, or NOBODY.
        passed: How many of its roads are behind.
        ahead: Room for roads to look at, their place in the route and their depth, (DEPTH * roads + 1, 3).
    """
    count = push(ahead, 0, start, passed, 0)
    while count > 0:
        count -= 1
        road, place, depth = ahead[count, 0], ahead[count, 1], ahead[count, 2]
        if meets(network, road, other):
            return True
        if depth == DEPTH:
            continue
        while on_route(network, route, place) == road:
            place += 1
        following = on_route(network, route, place)
        if following != NOBODY and network.roads[following].start == network.roads[road].end:
            count = push(ahead, count, following, place + 1, depth + 1)
            continue
        first = network.roads[road].first_exit
        for number in range(first, first + network.roads[road].exits):
            count = push(ahead, count, number, place, depth + 1)
    return False


@leaf()
def raise_to(times: Any, place: int, cost: float) -> None:
    """Let a moment cost at least so much, if it is within the horizon."""
    if place < len(times):
        times[place] = max(times[place], cost)


@leaf()
def note_meeting(table: Any, row: int, columns: tuple[int, int], moment: float, cost: float) -> None:
    """Note what a meeting costs, at the moments before and after.

    Args:
        table: The world's array, (speeds, lanes, moments), written.
        row: Set speed.
        columns: First lane, as shown, and the one after the last.
        moment: When, in steps.
        cost: What it costs.
    """
    if not moment < table.shape[2]:  # not even where it is no number
        return
    for column in range(columns[0], columns[1]):
        raise_to(table[row, column], math.floor(moment), cost)
        raise_to(table[row, column], math.ceil(moment), cost)


@leaf()
def note_car(me: Any, car: Any, network: Network, targets: Any, step_s: float, columns: tuple[int, int], table: Any) -> None:
    """Note when the ego would meet one car at its present set speed and those beside it."""
    margin = car.length_m / 2.0 + me.length_m / 2.0
    gap = lane_gap(network, me, car)
    approach = car.speed_mps * dot2(car.cos, car.sin, me.cos, me.sin)
    for row in range(SHOWN):
        speed = targets[min(max(speed_index(me, targets) + row - SHOWN // 2, 0), len(targets) - 1)]
        if speed == car.speed_mps:
            continue
        for share, cost in COSTS:
            time = (gap + share * margin) / not_zero(speed - approach)
            if not time < 0.0:
                note_meeting(table, row, columns, time / step_s, cost)


@leaf()
def speed_index(me: Any, targets: Any) -> int:
    """Which set speed is the ego's; under an autopilot the one nearest to its speed."""
    return nearest_speed(me.speed_mps, targets) if me.driver == BY_IDM else me.speed_index


@leaf()
def empty(table: Any, index: int, lanes: int) -> None:
    """Nobody on the lanes that there are; a lane that is missing costs 1 throughout."""
    for row in range(SHOWN):
        for column in range(SHOWN):
            lane = index + column - SHOWN // 2
            for moment in range(table.shape[2]):
                table[row, column, moment] = 0.0 if 0 <= lane < lanes else 1.0


@leaf()
def columns_of(mine: Any, its: Any) -> tuple[int, int]:
    """Lanes, as shown, where a car counts: its own on a road with as many lanes as the ego's, else all; first, and after the last."""
    if its.count != mine.count:
        return 0, SHOWN
    column = its.index - mine.index + SHOWN // 2
    return (column, column + 1) if 0 <= column < SHOWN else (0, 0)


@leaf()
def write_table(cars: Any, vehicles: int, ego: int, network: Network, targets: Any, step_s: float, ahead: Any, table: Any) -> None:
    """Write one world's observation, (3, 3, moments); ``ahead`` is room for ``is_connected``."""
    me = cars[ego]
    lane = network.lanes[me.lane]
    empty(table, lane.index, lane.count)
    for number in range(vehicles):
        its = network.lanes[cars[number].lane]
        columns = columns_of(lane, its)
        if number == ego or columns[0] == columns[1]:
            continue
        if is_connected(network, lane.road, its.road, me.route, me.route_place, ahead):
            note_car(me, cars[number], network, targets, step_s, columns, table)


@leaf()
def write_tables(
    first: int,
    end: int,
    where: Any,
    cars: Any,
    episodes: Any,
    network: Network,
    targets: Any,
    step_s: float,
    ahead: Any,
    tables: Any,
) -> None:
    """Write the tables of a share of worlds; arguments as for ``write_table``."""
    for world in range(first, end):
        if len(where) == 0 or where[world]:
            write_table(cars[world], episodes[world].vehicles, episodes[world].ego, network, targets, step_s, ahead, tables[world])


@kernel(nogil=True)
def observe_collision_times(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, targets: Any, step_s: float, arrays: tuple[Any, ...]
) -> None:
    """Write the tables of a share of worlds; the arguments are those of ``Observer.write``."""
    ahead = np.empty((DEPTH * len(network.roads) + 1, 3), np.int64)
    write_tables(first, end, where, cars, episodes, network, targets, step_s, ahead, arrays[0])
