"""Road maps of highway-env's roads: its lanes, flipped to y left, as pieces of constant curvature.

Lane order, road membership and place in the road are highway-env's own, so that a lane's number means the same in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sensors.errors import ConfigError
from sensors.road import Floats, Lane, Line, Pieces, RoadMap, chain

if TYPE_CHECKING:
    from highway_env.road.lane import AbstractLane
    from highway_env.road.road import RoadNetwork

CURVE_TOLERANCE_M = 0.005
"""How far an arc may lie from the sine or spline that it replaces; the promise is 1 cm."""
LONGEST_TURN_RAD = math.pi / 2
"""Longer arcs are cut: projecting a point on more than half a turn is ambiguous."""
SPLINE_SAMPLE_M = 0.05


def straight_highway(lanes: int, length_m: float = 10_000.0, width_m: float = 4.0, speed_limit_mps: float = 30.0) -> RoadMap:
    """Build the straight one-way highway of highway-v0, without importing highway_env.

    Args:
        lanes: Number of lanes; lane 0 is the leftmost, along the x axis.
        length_m: How far the lanes run.
        width_m: Lane width.
        speed_limit_mps: Speed limit of every lane.

    Returns:
        The map: solid lines outside, dashed ones between the lanes.

    Raises:
        ConfigError: There is no lane.
    """
    if lanes < 1:
        raise ConfigError(f"straight_highway: lanes is {lanes}, expected at least 1")
    return RoadMap.build(
        [
            Lane(
                pieces=chain((0.0, -index * width_m), 0.0, [(length_m, 0.0)]),
                width_m=width_m,
                left=Line.SOLID if index == 0 else Line.DASHED,
                right=Line.SOLID if index == lanes - 1 else Line.NONE,
                speed_limit_mps=speed_limit_mps,
                road="0->1",
                index=index,
            )
            for index in range(lanes)
        ],
        name="straight_highway",
    )


def road_map_of(network: RoadNetwork, name: str = "") -> RoadMap:
    """Turn a highway-env road network into a map.

    Args:
        network: highway-env's network (y right).
        name: Name of the map.

    Returns:
        The map (y left), its lanes in the order of ``network.lanes_list()``.

    Raises:
        ConfigError: A lane is of a class that this function does not know.
    """
    return RoadMap.build(
        [_lane(lane, f"{start}->{end}", index) for (start, end, index), lane in network.lanes_dict().items()],
        name=name,
    )


def _lane(lane: AbstractLane, road: str, index: int) -> Lane:
    left, right = lane.line_types or (0, 0)  # spline lanes may come without
    return Lane(
        pieces=_pieces(lane),
        width_m=_width_m(lane),
        left=_line(left),
        right=_line(right),
        speed_limit_mps=float(lane.speed_limit),
        road=road,
        index=index,
    )


def _line(line_type: int) -> Line:
    """highway-env's 0 none, 1 striped, 2 continuous (follows the curve), 3 continuous line (drawn as a chord)."""  # noqa: D403
    return (Line.NONE, Line.DASHED, Line.SOLID, Line.SOLID)[int(line_type)]


def _width_m(lane: AbstractLane) -> float:
    """A lane's width; where it varies (PolyLane), the mean of highway-env's own samples."""
    samples = getattr(lane, "width_samples", None)
    return float(np.mean(samples)) if samples else float(lane.width)


def _pieces(lane: AbstractLane) -> Pieces:
    from highway_env.road.lane import CircularLane, PolyLaneFixedWidth, SineLane, StraightLane

    if isinstance(lane, SineLane):
        return _sine(lane)
    if isinstance(lane, StraightLane):
        return chain(_flip(lane.start), -float(lane.heading), [(float(lane.length), 0.0)])
    if isinstance(lane, CircularLane):
        return _circular(lane)
    if isinstance(lane, PolyLaneFixedWidth):
        return _spline(lane)
    raise ConfigError(f"lane class {type(lane).__name__} cannot be mapped; known: Straight, Sine, Circular, PolyLane, PolyLaneFixedWidth")


def _flip(point: Any) -> tuple[float, float]:
    """From y right to y left."""
    return float(point[0]), -float(point[1])


def _circular(lane: Any) -> Pieces:
    """Arcs of at most a quarter turn; highway-env's 'clockwise' (seen with y down) turns right."""
    curvature = -lane.direction / lane.radius
    parts = max(1, math.ceil(abs(lane.length / lane.radius) / LONGEST_TURN_RAD - 1e-9))
    return chain(_flip(lane.position(0.0, 0.0)), -float(lane.heading_at(0.0)), [(lane.length / parts, curvature)] * parts)


def _sine(lane: Any) -> Pieces:
    """Arcs fitted between points of the sine, halving the interval until each lies within the tolerance."""

    def pose(run: float) -> tuple[float, float, float]:
        return *_flip(lane.position(run, 0.0)), -float(lane.heading_at(run))

    # Start at a quarter period: over a whole one an arc's ends and middle may fit by symmetry alone.
    quarters = max(1, math.ceil(lane.length * abs(lane.pulsation) / (math.pi / 2)))
    knots = np.linspace(0.0, lane.length, quarters + 1)
    spans = [span for low, high in zip(knots, knots[1:], strict=False) for span in _fitted(pose, float(low), float(high))]
    return _joined([_arc(pose(low), pose(high)) for low, high in spans])


Pose = tuple[float, float, float]


def _fitted(pose: Callable[[float], Pose], low: float, high: float) -> list[tuple[float, float]]:
    """Cut [low, high] until one arc serves each part."""
    arc = _arc(pose(low), pose(high))
    inside = np.asarray([pose(run)[:2] for run in np.linspace(low, high, 9)[1:-1]])
    if _distance_m(arc, inside).max() <= CURVE_TOLERANCE_M:
        return [(low, high)]
    middle = (low + high) / 2
    return _fitted(pose, low, middle) + _fitted(pose, middle, high)


def _arc(start: Pose, end: Pose) -> Pieces:
    """The arc through two points that turns as much as the curve does between them."""
    chord = math.hypot(end[0] - start[0], end[1] - start[1])
    turn = end[2] - start[2]
    heading = math.atan2(end[1] - start[1], end[0] - start[0]) - turn / 2
    curvature = 2.0 * math.sin(turn / 2) / chord
    length = chord if abs(turn) < 1e-9 else turn / curvature
    return chain(start[:2], heading, [(length, curvature)])


def _distance_m(piece: Pieces, points_m: Floats) -> Floats:
    """How far points lie from one piece, (N,)."""
    _, lateral, _ = RoadMap.build([Lane(piece, 4.0, Line.NONE, Line.NONE, 30.0, "", 0)]).project(points_m)
    return np.abs(lateral[:, 0])


def _joined(parts: list[Pieces]) -> Pieces:
    """One chain of pieces whose offsets run on."""
    table = Pieces.join(parts)
    offset = np.concatenate(([0.0], np.cumsum(table.length_m)[:-1]))
    return Pieces(table.start_m, table.heading_rad, table.length_m, table.curvature_per_m, offset)


def _spline(lane: Any) -> Pieces:
    """highway-env's 'polynomial' lanes are polylines: their corners, found again from dense samples."""  # noqa: D403
    runs = np.linspace(0.0, lane.length, max(2, math.ceil(lane.length / SPLINE_SAMPLE_M) + 1))
    points = np.stack((lane.curve.x_curve(runs), -lane.curve.y_curve(runs)), -1)
    corners = points[_corners(points)]
    steps = np.diff(corners, axis=0)
    headings = np.arctan2(steps[:, 1], steps[:, 0])
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    return _joined([chain(p, float(h), [(float(n), 0.0)]) for p, h, n in zip(corners[:-1], headings, lengths, strict=True)])


def _corners(points_m: Floats) -> list[int]:
    """Which points to keep so that the polyline stays within the tolerance (Douglas and Peucker, 1973)."""
    keep, pending = {0, len(points_m) - 1}, [(0, len(points_m) - 1)]
    while pending:
        low, high = pending.pop()
        if high - low < 2:
            continue
        along = points_m[high] - points_m[low]
        aside = points_m[low + 1 : high] - points_m[low]
        length = math.hypot(*along)
        distance = np.abs(along[0] * aside[:, 1] - along[1] * aside[:, 0]) / length if length > 0 else np.hypot(*aside.T)
        worst = int(distance.argmax())
        if distance[worst] > CURVE_TOLERANCE_M:
            keep.add(low + 1 + worst)
            pending += [(low, low + 1 + worst), (low + 1 + worst, high)]
    return sorted(keep)
