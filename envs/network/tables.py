"""From highway-env's road network to the tables that the kernels read.

Lanes keep highway-env's own order (``RoadNetwork.lanes_list``), in which the lanes of a road and the roads that leave a node follow
each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.network.geometry import CAR_LENGTH_M, LANE_MARGIN_M
from envs.network.layout import ARC, LANE, LINK, NOBODY, ROAD, SINE, STRAIGHT, Network
from sensors.errors import ConfigError

if TYPE_CHECKING:
    from highway_env.road.lane import AbstractLane
    from highway_env.road.road import RoadNetwork

BOX_STEP_M = 1.0
BOX_SLACK_M = 0.5
"""Boxes of curves are wider than their samples say, so that no point between two samples is lost: an arc of 1 m bulges by less."""


def network_of(network: RoadNetwork, destinations: Sequence[str] = (), connected: bool = False) -> Network:
    """Read a road network.

    Args:
        network: highway-env's.
        destinations: Nodes that routes lead to.
        connected: Are neighbours searched on the lanes before and after too (``neighbour_vehicles_connected_lanes``)?

    Raises:
        ConfigError: A lane is of a class that the kernels lack.
    """
    pairs = road_pairs(network)
    nodes = node_numbers(network)
    roads, lanes = np.zeros(len(pairs), ROAD), np.zeros(len(network.lanes_list()), LANE)
    links: list[tuple[int, float]] = []
    first = dict.fromkeys(pairs, 0)
    for number, (start, end) in enumerate(pairs):
        own = network.graph[start][end]
        first[start, end] = sum(len(network.graph[a][b]) for a, b in pairs[:number])
        exits = list(network.graph.get(end, {}))
        leaves = "il" in start and "o" in end
        first_exit = pairs.index((end, exits[0])) if exits else 0
        roads[number] = (nodes[start], nodes[end], first[start, end], len(own), first_exit, len(exits), leaves)
    for number, (start, end) in enumerate(pairs):
        own = network.graph[start][end]
        for index, lane in enumerate(own):
            record = lanes[first[start, end] + index]
            _fill(record, lane)
            record["road"], record["index"], record["count"] = number, index, len(own)
            found = _connected(network, first, start, end, index) if connected else [(first[start, end] + index, 0.0)]
            record["first_link"], record["links"] = len(links), len(found)
            links += found
    return Network(lanes, roads, np.array(links, LINK), routes_of(network, pairs, destinations))


def road_pairs(network: RoadNetwork) -> list[tuple[str, str]]:
    """The roads by their nodes, in highway-env's order."""
    return [(start, end) for start, ends in network.graph.items() for end in ends]


def node_numbers(network: RoadNetwork) -> dict[str, int]:
    """The nodes in the order in which roads name them, numbered."""
    return {name: number for number, name in enumerate(dict.fromkeys(name for pair in road_pairs(network) for name in pair))}


def road_number(network: RoadNetwork, start: str, end: str) -> int:
    """Which row of the roads table a road is."""
    return road_pairs(network).index((start, end))


def lane_number(network: RoadNetwork, start: str, end: str, index: int) -> int:
    """Which row of the lanes table a lane is."""
    return list(network.lanes_dict()).index((start, end, index))


def route_row(destinations: int, road: int, destination: int) -> int:
    """Which row of the routes table leads from a road to a destination."""
    return road * destinations + destination


def routes_of(network: RoadNetwork, pairs: Sequence[tuple[str, str]], destinations: Sequence[str]) -> NDArray[np.int32]:
    """The roads of every planned route (ControlledVehicle.plan_route_to), a row for every road and destination.

    Returns:
        Road numbers in turn, NOBODY after the last, (R * D, M); one row of NOBODY where there is no destination.
    """
    rows = []
    for start, end in pairs:
        for destination in destinations:
            path = shortest_path(network, end, destination)
            steps = list(zip(path, path[1:], strict=False))
            rows.append([pairs.index((start, end)), *(pairs.index(step) for step in steps)])
    longest = max((len(row) for row in rows), default=0) + 1
    return np.array([row + [NOBODY] * (longest - len(row)) for row in rows] or [[NOBODY]], np.int32)


def shortest_path(network: RoadNetwork, start: str, goal: str) -> list[str]:
    """Nodes of the shortest way, the first by name of equals; none if there is no way or it is no way at all.

    As RoadNetwork.shortest_path answers, but each node is looked at once: that one goes through all paths.
    """
    before: dict[str, str] = {start: ""}
    waiting = [start]
    while waiting:
        node = waiting.pop(0)
        for following in sorted(network.graph.get(node, {})):
            if following in before:
                continue
            before[following] = node
            if following == goal:
                path = [goal]
                while before[path[0]]:
                    path.insert(0, before[path[0]])
                return path
            waiting.append(following)
    return []


def _connected(network: RoadNetwork, first: dict[tuple[str, str], int], start: str, end: str, index: int) -> list[tuple[int, float]]:
    """Lanes searched for neighbours, in highway-env's order, and what their runs are shifted by (Road.neighbour_vehicles)."""
    found = [(first[start, end] + index, 0.0)]
    length = float(network.graph[start][end][index].length)
    for following, lanes in network.graph.get(end, {}).items():
        found.append((first[end, following] + (index if index < len(lanes) else 0), length))
    for before, ends in network.graph.items():
        if start in ends:
            place = index if index < len(ends[start]) else 0
            found.append((first[before, start] + place, -float(ends[start][place].length)))
    return found


def _fill(record: Any, lane: AbstractLane) -> None:
    """Write one lane's shape, limits and boxes."""
    from highway_env.road.lane import CircularLane, SineLane, StraightLane

    if type(lane) not in (StraightLane, SineLane, CircularLane):
        raise ConfigError(f"lane class {type(lane).__name__} is not native; known: StraightLane, SineLane, CircularLane")
    if isinstance(lane, CircularLane):
        record["kind"] = ARC
        record["center_x_m"], record["center_y_m"] = lane.center
        record["radius_m"], record["start_phase_rad"], record["turn"] = lane.radius, lane.start_phase, lane.direction
    else:
        record["kind"] = SINE if isinstance(lane, SineLane) else STRAIGHT
        record["start_x_m"], record["start_y_m"] = lane.start
        record["direction_x"], record["direction_y"] = lane.direction
        record["aside_x"], record["aside_y"] = lane.direction_lateral
        record["heading_rad"] = lane.heading
    if isinstance(lane, SineLane):
        record["amplitude_m"], record["pulsation_per_m"], record["phase_rad"] = lane.amplitude, lane.pulsation, lane.phase
    record["length_m"], record["width_m"], record["forbidden"] = lane.length, lane.width, lane.forbidden
    record["speed_limit_mps"], record["priority"] = lane.speed_limit, lane.priority
    _fill_box(record, lane, "", 0.0, 0.0, abs(getattr(lane, "amplitude", 0.0)))
    _fill_box(record, lane, "near_", CAR_LENGTH_M, lane.width / 2.0 + LANE_MARGIN_M, 0.0)


def _fill_box(record: Any, lane: AbstractLane, name: str, beyond_m: float, aside_m: float, wave_m: float) -> None:
    """Write the box around a lane that is run beyond its ends and is some width.

    Args:
        record: LANE record to write.
        lane: highway-env's lane.
        name: Prefix of the box's fields.
        beyond_m: How far beyond both ends.
        aside_m: How far to both sides.
        wave_m: How far a sine swings; the box of the middle line holds all of its band.
    """
    steps = 1 if record["kind"] == STRAIGHT else int(np.ceil((lane.length + 2.0 * beyond_m) / BOX_STEP_M))
    runs = np.linspace(-beyond_m, lane.length + beyond_m, steps + 1)
    points = np.array([lane.position(run, side) for run in runs for side in (-aside_m - wave_m, aside_m + wave_m)])
    slack = BOX_SLACK_M if record["kind"] != STRAIGHT else 1e-6
    record[f"{name}low_x_m"], record[f"{name}low_y_m"] = points.min(0) - slack
    record[f"{name}high_x_m"], record[f"{name}high_y_m"] = points.max(0) + slack
