"""What stands still beside and in a road, as a radar meets it: posts of guard rails, kerbs, signs and trunks, joints and covers.

Objects have fixed places and mean RCS on a map, so that a radar that drives past meets the same ones in every scan. Where a lane's edge
has no lane beyond it, a guard rail runs behind the hard shoulder, with a post every four metres; where the speed limit is that of a town
it is a kerb, which answers as weakly but mirrors nothing. RCS is drawn about each kind's mean as an exponential, by the object's number.
"""

from __future__ import annotations

import functools
import hashlib
import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.noise import hash2, uniform
from sensors.paint import SHOULDER_M
from sensors.road import RoadMap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POST_M = 4.0
"""Spacing of a rail's posts."""
BEYOND_M = SHOULDER_M + 0.3
"""From the edge of the outermost lane to the rail."""
RAIL_SPEED_MPS = 18.0
"""A road with a higher speed limit has guard rails."""
RAIL_HEIGHT_M = 0.75
POST_HEIGHT_M, ROADSIDE_HEIGHT_M, ROAD_OBJECT_HEIGHT_M = 0.5, 1.0, 0.0
ROADSIDE_EVERY, ROAD_OBJECT_M = 8, 25.0
"""One post in so many has an object behind it; one object in so many metres of lane."""
RAIL_SAGITTA_M = 0.05
LONGEST_RAIL_M = 32.0
BUCKET_M = 32.0
MAX_BUCKETS = 1_000_000
KEPT = 16
X, Y, HEIGHT, SHARE, KIND = range(5)  # of an object; its RCS is SHARE times the mean of its kind
MIDDLE_X, MIDDLE_Y, ALONG_X, ALONG_Y, HALF = range(5)  # of a rail


@dataclass(frozen=True)
class Roadside:
    """Objects and rails of a map, sorted into square buckets, row by row from the lower left."""

    objects: Floats  # (N, 5)
    object_from: Ints  # (C + 1,) first object of each bucket
    rails: Floats  # (M, 5) straight stretches
    rail_from: Ints  # (C + 1,)
    frame: Floats  # (5,) origin x and y, bucket's size, columns, rows

    def arrays(self) -> tuple[Any, ...]:
        """What kernels read; of the objects a row for each column."""
        return self._columns, self.object_from, self.rails, self.rail_from, self.frame

    @functools.cached_property
    def _columns(self) -> Floats:
        return np.ascontiguousarray(self.objects.T)


def _clearance_m(road: RoadMap, points_m: Floats) -> Floats:
    """Distance from each point (N, 2) to the nearest lane's edge; negative inside a lane."""
    half = 0.5 * road.lane_width_m[road.lane_of_piece]
    found = np.empty(len(points_m))
    for first in range(0, len(points_m), 4096):
        part = slice(first, first + 4096)
        run, lateral, _ = road.project(points_m[part])
        beside = np.abs(lateral) - half
        over = np.maximum(np.maximum(road.lanes.offset_m - run, run - road.lanes.offset_m - road.lanes.length_m), 0.0)
        far = np.where(over > 0.0, np.hypot(over, np.maximum(beside, 0.0)), beside)
        found[part] = far.min(axis=1)
    return found


def _along(road: RoadMap, piece: int, run_m: Floats, lateral_m: Floats | float) -> tuple[Floats, Floats]:
    """Points of a piece at runs and lateral offsets (N, 2), and the unit direction there (N, 2)."""
    lanes = road.lanes
    curvature, heading = lanes.curvature_per_m[piece], lanes.heading_rad[piece]
    turn = curvature * run_m
    chord = run_m * np.sinc(turn / (2.0 * math.pi))
    direction = np.stack((np.cos(heading + turn), np.sin(heading + turn)), -1)
    middle = lanes.start_m[piece] + chord[:, None] * np.stack((np.cos(heading + 0.5 * turn), np.sin(heading + 0.5 * turn)), -1)
    return middle + np.stack((-direction[:, 1], direction[:, 0]), -1) * np.asarray(lateral_m)[..., None], direction


def _chance(count: int, use: int) -> Floats:
    """Fixed numbers in (0, 1), one for each object."""
    return np.array([uniform(hash2(np.uint32(n), np.uint32(use), np.uint32(0x5EED))) for n in range(count)], np.float64)


def _edges(road: RoadMap) -> tuple[list[Floats], list[Floats]]:
    """Posts along the outer edges (each a run of neighbours, (n, 2)) and the straight rails between them, (m, 5)."""
    posts, rails = [np.zeros((0, 2))], [np.zeros((0, 5))]
    lanes = road.lanes
    for piece in range(len(lanes.length_m)):
        lane = road.lane_of_piece[piece]
        count = max(int(round(lanes.length_m[piece] / POST_M)), 1)
        runs = lanes.length_m[piece] * (np.arange(count + 1)) / count
        for side in (1.0, -1.0):
            points, _ = _along(road, piece, runs, side * (0.5 * road.lane_width_m[lane] + BEYOND_M))
            kept = _clearance_m(road, points) > BEYOND_M - 0.05
            posts.append(points[:-1][kept[:-1]])  # the last is the next piece's first
            if road.lane_speed_limit_mps[lane] > RAIL_SPEED_MPS:
                stride = _stride(abs(lanes.curvature_per_m[piece]))
                rails.append(_chords(points, kept, stride))
    return posts, rails


def _stride(curvature_per_m: float) -> int:
    """Over how many posts one straight rail may run, so that it strays from a curve by no more than ``RAIL_SAGITTA_M``."""
    longest = math.sqrt(8.0 * RAIL_SAGITTA_M / max(curvature_per_m, 1e-9))
    return max(int(min(longest, LONGEST_RAIL_M) / POST_M), 1)


def _chords(points: Floats, kept: NDArray[np.bool_], stride: int) -> Floats:
    """Straight rails along a run of points, over ``stride`` gaps at most and none where a post is missing."""
    rows, first = [], 0
    while first < len(points) - 1:
        last = first
        while last < len(points) - 1 and last - first < stride and kept[last] and kept[last + 1]:
            last += 1
        if last > first:
            chord = points[last] - points[first]
            length = float(np.hypot(*chord))
            rows.append((*(0.5 * (points[last] + points[first])), *(chord / max(length, 1e-9)), 0.5 * length))
        first = max(last, first + 1)
    return np.asarray(rows, np.float64).reshape(-1, 5)


def _objects(road: RoadMap, posts: Floats) -> Floats:
    """All objects of a map, (N, 5): posts, things behind every eighth of them, things in the lanes."""
    rows = [np.column_stack((posts, np.full(len(posts), POST_HEIGHT_M), np.zeros(len(posts)), np.zeros(len(posts))))]
    behind = posts[_chance(len(posts), 1) < 1.0 / ROADSIDE_EVERY]
    if len(behind):
        # away from the road: along the gradient of the clearance
        step = 0.1
        slope = [_clearance_m(road, behind + shift) - _clearance_m(road, behind - shift) for shift in step * np.eye(2)]
        away = np.stack(slope, -1) / np.maximum(np.hypot(*slope), 1e-9)[:, None]
        places = behind + away * (1.0 + 6.0 * _chance(len(behind), 2))[:, None]
        places = places[_clearance_m(road, places) > BEYOND_M]
        rows.append(np.column_stack((places, np.full(len(places), ROADSIDE_HEIGHT_M), np.zeros(len(places)), np.ones(len(places)))))
    for piece in range(len(road.lanes.length_m)):
        count = int(road.lanes.length_m[piece] / ROAD_OBJECT_M + _chance(1, 10 + 3 * piece)[0])
        runs = road.lanes.length_m[piece] * _chance(count, 11 + 3 * piece)
        width = road.lane_width_m[road.lane_of_piece[piece]]
        places, _ = _along(road, piece, runs, width * (_chance(count, 12 + 3 * piece) - 0.5))
        rows.append(np.column_stack((places, np.full(count, ROAD_OBJECT_HEIGHT_M), np.zeros(count), np.full(count, 2.0))))
    found = np.concatenate(rows)
    found[:, SHARE] = -np.log(_chance(len(found), 3))
    return found


def _sorted(rows: Floats, origin: Floats, size: float, columns: int, cells: int) -> tuple[Floats, Ints]:
    """Rows by bucket, and each bucket's first."""
    where = ((rows[:, :2] - origin) / size).astype(np.int64)
    bucket = where[:, 1] * columns + where[:, 0]
    order = np.argsort(bucket, kind="stable")
    first = np.concatenate(([0], np.cumsum(np.bincount(bucket, minlength=cells)))).astype(np.int64)
    return np.ascontiguousarray(rows[order]), first


def build_roadside(road: RoadMap) -> Roadside:
    """Set up the roadside of a map; nothing at all for a map without lanes."""
    posts, rails = (np.concatenate(parts) for parts in _edges(road))
    objects = _objects(road, posts)
    places = np.concatenate((objects[:, :2], rails[:, :2], np.zeros((1, 2)) if not len(objects) + len(rails) else np.zeros((0, 2))))
    low, high = places.min(axis=0) - 1.0, places.max(axis=0) + 1.0
    size = BUCKET_M
    while np.prod(np.ceil((high - low) / size)) > MAX_BUCKETS:
        size *= 2.0
    columns, lines = (int(n) for n in np.ceil((high - low) / size))
    objects, object_from = _sorted(objects, low, size, columns, columns * lines)
    rails, rail_from = _sorted(rails, low, size, columns, columns * lines)
    return Roadside(objects, object_from, rails, rail_from, np.array([low[0], low[1], size, columns, lines], np.float64))


_BY_DIGEST: dict[bytes, Roadside] = {}
_BY_MAP: dict[int, tuple[weakref.ref[RoadMap], Roadside]] = {}


def _digest(road: RoadMap) -> bytes:
    """Name a map by what its roadside depends on, so that equal maps of many recordings share one."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (*vars(road.lanes).values(), road.lane_of_piece, road.lane_width_m, road.lane_speed_limit_mps):
        digest.update(array.tobytes())
    return digest.digest()


def roadside_of(road: RoadMap) -> Roadside:
    """The roadside of a map; those of the last ``KEPT`` different maps are kept, and a map that was just asked for is not hashed again."""
    known = _BY_MAP.get(id(road))
    if known is not None and known[0]() is road:
        return known[1]
    key = _digest(road)
    if key not in _BY_DIGEST:
        while len(_BY_DIGEST) >= KEPT:
            del _BY_DIGEST[next(iter(_BY_DIGEST))]
        _BY_DIGEST[key] = build_roadside(road)
    while len(_BY_MAP) >= KEPT:
        del _BY_MAP[next(iter(_BY_MAP))]
    _BY_MAP[id(road)] = (weakref.ref(road), _BY_DIGEST[key])
    return _BY_DIGEST[key]
