"""The road map: lanes and painted lines as pieces of constant curvature (straight lines and arcs), shared by all worlds.

A lane is a chain of pieces. A piece starts at a point with a heading and runs for a length; its curvature is positive to the left.
A point's lateral offset from a lane is positive to the left. Curves that are neither straight nor circular (sine, splines) become
short arcs when the map is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PAINT_WIDTH_M = 0.15
DASH_M = 3.0
DASH_PERIOD_M = 9.0


class Line(IntEnum):
    """How a lane's edge is painted."""

    NONE = 0
    DASHED = 1
    SOLID = 2


@dataclass(frozen=True)
class Pieces:
    """S pieces of constant curvature."""

    start_m: Floats  # (S, 2)
    heading_rad: Floats  # (S,)
    length_m: Floats  # (S,)
    curvature_per_m: Floats  # (S,) positive turns left
    offset_m: Floats  # (S,) arc length along the owner at which the piece starts

    def shifted(self, lateral_m: float) -> Pieces:
        """The parallel curve at a lateral offset (positive left)."""
        normal = np.stack((-np.sin(self.heading_rad), np.cos(self.heading_rad)), -1)
        stretch = 1.0 - self.curvature_per_m * lateral_m
        length = self.length_m * stretch
        offset = np.concatenate(([0.0], np.cumsum(length)[:-1])) if len(length) else self.offset_m
        return Pieces(self.start_m + lateral_m * normal, self.heading_rad, length, self.curvature_per_m / stretch, offset)

    @staticmethod
    def join(parts: Sequence[Pieces]) -> Pieces:
        """Lay the tables of several chains one after the other; offsets stay each chain's own."""
        return Pieces(
            np.concatenate([part.start_m for part in parts]).reshape(-1, 2),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("heading_rad", "length_m", "curvature_per_m", "offset_m")
            ),
        )


def chain(start_m: Sequence[float], heading_rad: float, arcs: Sequence[tuple[float, float]]) -> Pieces:
    """Lay arcs end to end.

    Args:
        start_m: Where the chain begins, (2,).
        heading_rad: Its heading there.
        arcs: (length_m, curvature_per_m) of each piece in turn.
    """
    x, y, heading, run = float(start_m[0]), float(start_m[1]), heading_rad, 0.0
    rows = []
    for length, curvature in arcs:
        rows.append((x, y, heading, length, curvature, run))
        turn = curvature * length
        chord = length if abs(turn) < 1e-12 else 2.0 * math.sin(turn / 2.0) / curvature
        x += chord * math.cos(heading + turn / 2.0)
        y += chord * math.sin(heading + turn / 2.0)
        heading += turn
        run += length
    table = np.asarray(rows, np.float64).reshape(-1, 6)
    return Pieces(table[:, :2], table[:, 2], table[:, 3], table[:, 4], table[:, 5])


@dataclass(frozen=True)
class Lane:
    """One lane, as a builder hands it over."""

    pieces: Pieces
    width_m: float
    left: Line
    right: Line
    speed_limit_mps: float
    road: str
    """The road it belongs to: lanes of one road are neighbours."""
    index: int
    """Its place in that road, counted from the left."""


@dataclass(frozen=True)
class RoadMap:
    """L lanes in S pieces, and P pieces of paint."""

    lanes: Pieces
    lane_of_piece: Ints  # (S,) which lane a piece belongs to
    lane_width_m: Floats  # (L,)
    lane_length_m: Floats  # (L,)
    lane_speed_limit_mps: Floats  # (L,)
    lane_road: Ints  # (L,) number of the road; lanes of one road are neighbours
    lane_index: Ints  # (L,) place in its road, from the left
    paint: Pieces
    paint_line: Ints  # (P,) a Line: DASHED or SOLID
    name: str = ""

    @property
    def num_lanes(self) -> int:
        """L."""
        return len(self.lane_width_m)

    @staticmethod
    def build(lanes: Sequence[Lane], name: str = "") -> RoadMap:
        """Make a map of lanes; the paint follows from their edges."""
        roads = {road: number for number, road in enumerate(dict.fromkeys(lane.road for lane in lanes))}
        paint, kinds = [], []
        for lane in lanes:
            for line, side in ((lane.left, 0.5), (lane.right, -0.5)):
                if line is not Line.NONE:
                    paint.append(lane.pieces.shifted(side * lane.width_m))
                    kinds += [int(line)] * len(lane.pieces.length_m)
        empty = chain((0.0, 0.0), 0.0, ())
        return RoadMap(
            lanes=Pieces.join([lane.pieces for lane in lanes] or [empty]),
            lane_of_piece=np.concatenate(
                [np.full(len(lane.pieces.length_m), number, np.int64) for number, lane in enumerate(lanes)] or [np.zeros(0, np.int64)]
            ),
            lane_width_m=np.asarray([lane.width_m for lane in lanes], np.float64),
            lane_length_m=np.asarray([lane.pieces.length_m.sum() for lane in lanes], np.float64),
            lane_speed_limit_mps=np.asarray([lane.speed_limit_mps for lane in lanes], np.float64),
            lane_road=np.asarray([roads[lane.road] for lane in lanes], np.int64),
            lane_index=np.asarray([lane.index for lane in lanes], np.int64),
            paint=Pieces.join(paint or [empty]),
            paint_line=np.asarray(kinds, np.int64),
            name=name,
        )

    def project(self, points_m: Floats) -> tuple[Floats, Floats, Floats]:
        """Project points on every piece of every lane.

        Args:
            points_m: (N, 2).

        Returns:
            Arc length along the lane, lateral offset (positive left), and heading of the lane there, each (N, S). The arc length
            runs beyond a piece's ends as if the piece went on; compare it with the piece's own span.
        """
        relative = points_m[:, None, :] - self.lanes.start_m[None]  # (N, S, 2)
        cos, sin = np.cos(self.lanes.heading_rad), np.sin(self.lanes.heading_rad)
        forward = relative[..., 0] * cos + relative[..., 1] * sin
        left = relative[..., 1] * cos - relative[..., 0] * sin
        curvature = self.lanes.curvature_per_m
        curved = np.abs(curvature) > 1e-9
        safe = np.where(curved, curvature, 1.0)
        sign = np.sign(safe)
        angle = np.arctan2(forward, (1.0 / safe - left) * sign)
        run = np.where(curved, angle / np.abs(safe), forward)
        radius = np.hypot(forward, 1.0 / safe - left)
        lateral = np.where(curved, (1.0 / np.abs(safe) - radius) * sign, left)
        heading = self.lanes.heading_rad + np.where(curved, curvature * run, 0.0)
        return self.lanes.offset_m + run, lateral, heading

    def locate(self, points_m: Floats, headings_rad: Floats) -> tuple[Ints, Floats, Floats, Floats]:
        """Find the lane that each point is on: nearest by lateral distance, overshoot and heading error together.

        Args:
            points_m: (N, 2).
            headings_rad: (N,).

        Returns:
            Lane (N,), arc length along it [m] (N,), lateral offset [m] (N,), heading error [rad] in (-pi, pi] (N,).
        """
        run, lateral, heading = self.project(points_m)
        start = self.lanes.offset_m
        overshoot = np.maximum(run - start - self.lanes.length_m, 0.0) + np.maximum(start - run, 0.0)
        error = np.angle(np.exp(1j * (headings_rad[:, None] - heading)))
        best = np.argmin(np.abs(lateral) + overshoot + np.abs(error), axis=1)
        row = np.arange(len(points_m))
        return self.lane_of_piece[best], run[row, best], lateral[row, best], error[row, best]
