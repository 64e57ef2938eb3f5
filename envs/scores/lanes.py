"""A road map's lanes as tensors on the scenes' device: which lanes hold a point, and how the ego stands to its lane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.road import RoadMap

JOINED_M, JOINED_RAD = 0.5, 0.3
"""A lane goes on in another that begins so near its end, in so nearly its direction."""
STRAIGHT_PER_M = 1e-9


@dataclass(frozen=True)
class Standing:
    """How points stand to every piece of every lane, each (B, P, S)."""

    run_m: Tensor  # arc length along the lane
    lateral_m: Tensor  # positive left
    heading_rad: Tensor  # of the lane there


class Lanes:
    """L lanes in S pieces; the geometry is ``RoadMap``'s own, in torch."""

    def __init__(self, road: RoadMap, device: torch.device) -> None:
        """Copy a map to a device."""
        pieces = road.lanes

        def there(array: object) -> Tensor:
            return torch.as_tensor(np.asarray(array), device=device)

        self.road = road
        self.device = device
        self.start_m, self.heading_rad, self.length_m = there(pieces.start_m), there(pieces.heading_rad), there(pieces.length_m)
        self.curvature_per_m, self.offset_m = there(pieces.curvature_per_m), there(pieces.offset_m)
        self.lane_of_piece = there(road.lane_of_piece)
        self.half_width_m = there(road.lane_width_m / 2)[self.lane_of_piece]  # (S,)
        self.speed_limit_mps = there(road.lane_speed_limit_mps)
        end = pieces.offset_m + pieces.length_m
        first = pieces.offset_m <= 1e-9
        last = end >= road.lane_length_m[road.lane_of_piece] - 1e-6
        self.is_first, self.is_last = there(first), there(last)
        self._of_lane = torch.nn.functional.one_hot(self.lane_of_piece, road.num_lanes).double()  # (S, L)
        self.goes_with = there(_joined(road))  # (L, L) bool

    def project(self, points_m: Tensor) -> Standing:
        """Project points (B, P, 2) on every piece; as ``RoadMap.project``."""
        relative = points_m[:, :, None] - self.start_m  # (B, P, S, 2)
        cos, sin = self.heading_rad.cos(), self.heading_rad.sin()
        forward = relative[..., 0] * cos + relative[..., 1] * sin
        left = relative[..., 1] * cos - relative[..., 0] * sin
        if not bool((self.curvature_per_m.abs() > STRAIGHT_PER_M).any()):
            return Standing(self.offset_m + forward, left, self.heading_rad.expand_as(forward))
        curved = self.curvature_per_m.abs() > STRAIGHT_PER_M
        safe = torch.where(curved, self.curvature_per_m, 1.0)
        to_centre = 1.0 / safe - left
        radius = (forward * forward + to_centre * to_centre).sqrt()
        # The angle by its half: torch's atan2 is not the same for every batch, its atan is.
        adjacent = to_centre * safe.sign()
        angle = 2.0 * (forward / (radius + adjacent).clamp(min=1e-12)).atan()
        run = torch.where(curved, angle / safe.abs(), forward)
        lateral = torch.where(curved, (1.0 / safe.abs() - radius) * safe.sign(), left)
        heading = self.heading_rad + torch.where(curved, self.curvature_per_m * run, 0.0)
        return Standing(self.offset_m + run, lateral, heading)

    def within(self, standing: Standing, tolerance_m: float, end_m: float) -> Tensor:
        """Which pieces hold the points, (B, P, S) bool.

        Args:
            standing: Of the points.
            tolerance_m: How far beyond a lane's edge still counts, and beyond a piece's end where the lane goes on.
            end_m: How far beyond the lane's own ends.
        """
        before = torch.where(self.is_first, max(end_m, tolerance_m), tolerance_m)
        after = torch.where(self.is_last, max(end_m, tolerance_m), tolerance_m)
        beside = standing.lateral_m.abs() <= self.half_width_m + tolerance_m
        return beside & (standing.run_m >= self.offset_m - before) & (standing.run_m <= self.offset_m + self.length_m + after)

    def by_lane(self, pieces: Tensor) -> Tensor:
        """From pieces (B, P, S) bool to lanes (B, P, L) bool."""
        return (pieces.double() @ self._of_lane) > 0.5

    def between_lanes(self, corners: Tensor) -> Tensor:
        """Whether the ego is in several lanes at once: no lane, with those it goes on in, holds all its corners, (B,).

        Args:
            corners: Which lanes hold each corner, (B, 4, L) bool.
        """
        held = (corners.double() @ self.goes_with.double()) > 0.5  # (B, 4, L) by the lane or one joined to it
        return ~held.all(1).any(-1) & corners.any(1).any(-1)


def _joined(road: RoadMap) -> NDArray[np.bool_]:
    """Which lanes go on in each other, (L, L) bool; every lane with itself."""
    count = road.num_lanes
    ends = np.zeros((count, 2)), np.zeros(count)
    starts = np.zeros((count, 2)), np.zeros(count)
    for lane in range(count):
        mine = np.flatnonzero(road.lane_of_piece == lane)
        starts[0][lane], starts[1][lane] = road.lanes.start_m[mine[0]], road.lanes.heading_rad[mine[0]]
        ends[0][lane], ends[1][lane] = _end_of(road, int(mine[-1]))
    distance = np.hypot(*(ends[0][:, None] - starts[0][None]).transpose(2, 0, 1))
    turn = np.abs(np.angle(np.exp(1j * (ends[1][:, None] - starts[1][None]))))
    follows = (distance < JOINED_M) & (turn < JOINED_RAD)
    joined: NDArray[np.bool_] = follows | follows.T | np.eye(count, dtype=np.bool_)
    return joined


def _end_of(road: RoadMap, piece: int) -> tuple[NDArray[np.float64], float]:
    """Where a piece ends, and in which direction."""
    heading, length = float(road.lanes.heading_rad[piece]), float(road.lanes.length_m[piece])
    turn = float(road.lanes.curvature_per_m[piece]) * length
    chord = length if abs(turn) < 1e-9 else length * np.sin(turn / 2) / (turn / 2)
    direction = heading + turn / 2
    return road.lanes.start_m[piece] + chord * np.array((np.cos(direction), np.sin(direction))), heading + turn
