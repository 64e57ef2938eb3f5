"""The ego's lane: where it stands in it, and where that lane leads."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.observation import EGO_SCALES
from envs.scores.lanes import JOINED_M, JOINED_RAD, Lanes
from sensors.road import RoadMap
from sensors.scene import Scene

AHEAD_M = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)
LANE_FEATURES = ("lateral", "error_sin", "error_cos", "left", "half_width", "left_neighbour", "right_neighbour", "limit", "on_road")
"""Offset from the lane's middle to the left, heading error, distance to the lane's end, half its width, whether lanes lie beside it, its
speed limit, and whether the ego's middle is on any lane; scaled to about 1."""
DISTANCE_M, LANE_M = 50.0, 4.0
"""What is 1 in the vector."""
LANE_LEFT_M = 100.0
BRANCHES = 3
"""Ways on that are told apart where a lane forks: the leftmost, a middle one and the rightmost; all the same where it does not."""
LINE_M = 160.0
"""How far past a lane's end its line goes on: 4 s at 40 m/s."""


class Place(NamedTuple):
    """Where the egos of B worlds stand."""

    lane: Tensor  # (B,) of the map's lanes, the one that fits best
    run_m: Tensor  # (B,) along it
    features: Tensor  # (B, LANE_FEATURES)


class LaneGuide:
    """Where the ego stands in its lane, and where that lane leads."""

    def __init__(self, road: RoadMap, device: torch.device) -> None:
        """Sample every lane of a map by the metre, on into what follows it."""
        self.lanes = Lanes(road, device)
        forks = followers(road)
        samples = [centre_line(road, lane, way, forks) for lane in range(road.num_lanes) for way in ways(road, forks[lane])]
        longest = max(map(len, samples))
        filled = [np.concatenate((line, np.repeat(line[-1:], longest - len(line), 0))) for line in samples]
        places = list(zip(road.lane_road.tolist(), road.lane_index.tolist(), strict=True))
        lane_at = {place: lane for lane, place in enumerate(places)}
        beside = [[lane_at.get((number, index + step), -1) for step in (-1, 1)] for number, index in places]
        self.line_m = torch.as_tensor(np.stack(filled), device=device).view(road.num_lanes, 1 + BRANCHES, longest, 2)
        """Each lane's middle by the metre: on the way that turns least, then on each of BRANCHES."""
        self.length_m = torch.as_tensor(road.lane_length_m, device=device)
        self.beside = torch.tensor(beside, device=device)
        """The lanes to the left and to the right of each, -1 for none, (L, 2)."""
        self.ahead_m = torch.tensor(AHEAD_M, dtype=torch.float64, device=device)

    def is_of(self, scene: Scene) -> bool:
        """Whether it knows a scene's map, on the scene's device."""
        return self.lanes.road is scene.road and self.lanes.device == scene.device

    def locate(self, scene: Scene) -> Place:
        """Where the egos stand."""
        lanes, standing = self.lanes, self.lanes.project(scene.position_m[:, :1].double())
        run_m, lateral_m, heading_rad = (part[:, 0] for part in (standing.run_m, standing.lateral_m, standing.heading_rad))  # (B, S)
        error_rad = scene.heading_rad[:, :1].double() - heading_rad
        error_rad = torch.atan2(error_rad.sin(), error_rad.cos())
        over_m = (run_m - lanes.offset_m - lanes.length_m).clamp(min=0.0) + (lanes.offset_m - run_m).clamp(min=0.0)
        piece = (lateral_m.abs() + over_m + error_rad.abs()).argmin(1, keepdim=True)  # as RoadMap.locate
        run_m, lateral_m, error_rad = (part.gather(1, piece)[:, 0] for part in (run_m, lateral_m, error_rad))
        lane = lanes.lane_of_piece[piece[:, 0]]
        columns = (
            lateral_m / LANE_M,
            error_rad.sin(),
            error_rad.cos(),
            (self.length_m[lane] - run_m).clamp(0.0, LANE_LEFT_M) / LANE_LEFT_M,
            lanes.half_width_m[piece[:, 0]] / LANE_M,
            *(self.beside[lane] >= 0).double().unbind(-1),
            lanes.speed_limit_mps[lane].clamp(max=EGO_SCALES["speed_mps"]) / EGO_SCALES["speed_mps"],
            lanes.within(standing, 0.0, 0.0).any(-1)[:, 0].double(),
        )
        return Place(lane, run_m, torch.stack(columns, -1))

    def ahead(self, scene: Scene, place: Place) -> Tensor:
        """The lane's middle at AHEAD_M from where the egos are, in their frames, (B, 2 * points)."""
        points_m = self.points(place, self.ahead_m.expand(len(place.lane), -1), torch.zeros_like(place.lane))
        return (in_ego_frame(scene, points_m - scene.position_m[:, :1]) / DISTANCE_M).flatten(1)

    def points(self, place: Place, further_m: Tensor, line: Tensor) -> Tensor:
        """Points of lanes' middles, (B, P, 2) [m] in the map's frame.

        Args:
            place: Where the egos stand.
            further_m: How far along the lane from there, (B, P).
            line: Which of each lane's lines: 0 is the way that turns least, 1 to BRANCHES the others, (B,).
        """
        run_m = (place.run_m[:, None] + further_m).clamp(0.0, self.line_m.shape[2] - 1.001)  # samples are a metre apart
        before = run_m.long()
        share = (run_m - before)[..., None]
        near, far = (self.line_m[place.lane[:, None], line[:, None], index] for index in (before, before + 1))
        return near + share * (far - near)


def in_ego_frame(scene: Scene, vector: Tensor) -> Tensor:
    """Turn vectors (B, N, 2) of the map's frame into the ego's."""
    cos, sin = scene.heading_rad[:, :1].cos(), scene.heading_rad[:, :1].sin()
    return torch.stack((cos * vector[..., 0] + sin * vector[..., 1], cos * vector[..., 1] - sin * vector[..., 0]), -1)


def followers(road: RoadMap) -> list[list[int]]:
    """The lanes that each lane goes on in, the one that turns least first."""
    first = [int(np.flatnonzero(road.lane_of_piece == lane)[0]) for lane in range(road.num_lanes)]
    ends = [_points(road, lane, road.lane_length_m[lane : lane + 1])[0] for lane in range(road.num_lanes)]
    heads = [_heading_at_end(road, lane) for lane in range(road.num_lanes)]
    found: list[list[int]] = []
    for lane in range(road.num_lanes):
        nearby = []
        for other, piece in enumerate(first):
            apart_m = math.dist(ends[lane], road.lanes.start_m[piece])
            turn_rad = abs(math.remainder(heads[lane] - road.lanes.heading_rad[piece], math.tau))
            if other != lane and apart_m < JOINED_M and turn_rad < JOINED_RAD:
                nearby.append((round(apart_m, 3), round(abs(_turn_rad(road, other)), 3), other))
        found.append([follower for *_, follower in sorted(nearby)])
    return found


def ways(road: RoadMap, follows: list[int]) -> list[int | None]:
    """The first lane of each line of a lane that goes on in some others: the one that turns least, then BRANCHES from the left."""
    if not follows:
        return [None] * (1 + BRANCHES)
    sorted_ = sorted(follows, key=lambda lane: -_turn_rad(road, lane))
    spread = [sorted_[round(branch * (len(sorted_) - 1) / (BRANCHES - 1))] for branch in range(BRANCHES)]
    return [follows[0], *spread]


def _turn_rad(road: RoadMap, lane: int) -> float:
    mine = road.lane_of_piece == lane
    return float((road.lanes.curvature_per_m[mine] * road.lanes.length_m[mine]).sum())


def _heading_at_end(road: RoadMap, lane: int) -> float:
    last = int(np.flatnonzero(road.lane_of_piece == lane)[-1])
    return float(road.lanes.heading_rad[last] + road.lanes.curvature_per_m[last] * road.lanes.length_m[last])


def centre_line(road: RoadMap, lane: int, way: int | None, forks: list[list[int]]) -> NDArray[np.float64]:
    """A lane's middle by the metre from its start, on for LINE_M past its end: into ``way``, then into what turns least, (M, 2).

    Where nothing follows, it goes straight on.
    """
    points_m = [_points(road, lane, np.arange(0.0, road.lane_length_m[lane], 1.0))]
    missing = math.ceil(LINE_M) + 2
    overshoot_m = len(points_m[0]) - float(road.lane_length_m[lane])
    while missing > 0:
        if way is None:
            points_m.append(_points(road, lane, road.lane_length_m[lane] + overshoot_m + np.arange(float(missing))))
            break
        run_m = np.arange(overshoot_m, road.lane_length_m[way], 1.0)[:missing]
        points_m.append(_points(road, way, run_m))
        missing -= len(run_m)
        overshoot_m = (run_m[-1] + 1.0 if len(run_m) else overshoot_m) - float(road.lane_length_m[way])
        lane, way = way, next(iter(forks[way]), None)
    return np.concatenate(points_m)


def _points(road: RoadMap, lane: int, run_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a lane's middle, (N, 2); beyond its end straight on."""
    mine = np.flatnonzero(road.lane_of_piece == lane)
    pieces = road.lanes
    piece = mine[np.clip(np.searchsorted(pieces.offset_m[mine], run_m, side="right") - 1, 0, None)]
    along_m = np.minimum(run_m - pieces.offset_m[piece], pieces.length_m[piece])
    beyond_m = run_m - pieces.offset_m[piece] - along_m
    curvature, heading_rad = pieces.curvature_per_m[piece], pieces.heading_rad[piece]
    half_rad = curvature * along_m / 2.0
    chord_m = along_m * np.sinc(half_rad / np.pi)
    middle_rad, end_rad = heading_rad + half_rad, heading_rad + 2.0 * half_rad
    x = chord_m * np.cos(middle_rad) + beyond_m * np.cos(end_rad)
    y = chord_m * np.sin(middle_rad) + beyond_m * np.sin(end_rad)
    return pieces.start_m[piece] + np.stack((x, y), -1)
