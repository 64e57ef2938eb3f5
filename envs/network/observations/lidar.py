"""Distance and relative speed of what is around the ego, by sectors (LidarObservation).

Source: highway_env.envs.common.observation: every vehicle and every solid object is entered in the sector of its centre and in those of
its corners' span, by a ray along the middle of each. Sectors without anything show the range as distance and as speed, as in highway-env.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.layout import LANDMARK
from envs.network.observations.observer import Observer
from envs.network.rotation import mixed_of_four
from envs.traffic.collisions import interval_distance
from envs.traffic.elementary import PI, dot2, norm2
from sensors.errors import ConfigError
from sensors.jit import leaf

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


class Beams(NamedTuple):
    """What a lidar shows, as the kernel takes it."""

    directions: NDArray[np.float64]
    """Unit vectors along the middle of each sector, (cells, 2)."""
    sector_rad: float
    range_m: float
    normalized: bool
    things: int
    """How many obstacles and goals there are; their records are the last."""


def lidar_observer(env: Any) -> Observer:
    """Make the observer of an environment with LidarObservation.

    Raises:
        ConfigError: There are no cells.
    """
    seen = env.observation_type
    if seen.cells < 1:
        raise ConfigError(f"LidarObservation: cells is {seen.cells}, expected at least 1")
    directions = np.array([seen.index_to_direction(index) for index in range(seen.cells)])
    beams = Beams(directions, float(seen.angle), float(seen.maximum_range), bool(seen.normalize), len(env.road.objects))
    return Observer({"": ((int(seen.cells), 2), np.dtype(np.float32))}, observe_lidar, (beams,))


@leaf()
def corners_of(car: Any) -> Corners:
    """Corners of a box in turn [m] (highway_env.utils.rect_corners)."""
    long, wide = car.length_m / 2.0, car.width_m / 2.0
    return corner(car, -long, -wide), corner(car, -long, wide), corner(car, long, wide), corner(car, long, -wide)


@leaf()
def corner(car: Any, long: float, wide: float) -> tuple[float, float]:
    """A point of a box's own frame on the road [m]."""
    return mixed_of_four(car.cos, -car.sin, long, wide) + car.x_m, mixed_of_four(car.sin, car.cos, long, wide) + car.y_m


@leaf()
def angle_of(x: float, y: float, beams: Beams) -> float:
    """Bearing of a point as seen from the ego, from the beginning of the first sector [rad]."""
    return math.atan2(y, x) + beams.sector_rad / 2.0


@leaf()
def sector_of(angle: float, beams: Beams) -> int:
    """Sector of a bearing."""
    return math.floor(angle / beams.sector_rad) % len(beams.directions)


@leaf()
def distance_to_box(me: Any, box: Corners, end_x: float, end_y: float) -> float:
    """How far along a ray from the ego a box is [m], infinity if it is missed (highway_env.utils.distance_to_rect)."""
    ray_x, ray_y = end_x - me.x_m, end_y - me.y_m
    a, b, d = box[0], box[1], box[3]
    first = strip(me, a, b, ray_x, ray_y)
    second = strip(me, a, d, ray_x, ray_y)
    if (
        interval_distance(first[0], first[1], second[0], second[1]) <= 0.0
        and interval_distance(0.0, 1.0, first[0], first[1]) <= 0.0
        and interval_distance(0.0, 1.0, second[0], second[1]) <= 0.0
    ):
        return (second[0] if second[0] > first[0] else first[0]) * norm2(ray_x, ray_y)
    return math.inf


@leaf()
def strip(me: Any, a: tuple[float, float], b: tuple[float, float], ray_x: float, ray_y: float) -> tuple[float, float]:
    """Where a ray from the ego crosses the strip across the side from ``a`` to ``b``."""
    side_x, side_y = b[0] - a[0], b[1] - a[1]
    length = norm2(side_x, side_y)
    side_x, side_y = side_x / length, side_y / length
    along = dot2(ray_x, ray_y, side_x, side_y)
    near = dot2(a[0] - me.x_m, a[1] - me.y_m, side_x, side_y) / along
    far = dot2(b[0] - me.x_m, b[1] - me.y_m, side_x, side_y) / along
    return (near, far) if along >= 0.0 else (far, near)


@leaf()
def enter(me: Any, car: Any, beams: Beams, cell: int, distance: float, cells: Any) -> None:
    """Enter something at a distance in a sector, unless something nearer is there."""
    if distance <= cells[cell, 0]:
        vx, vy = car.speed_mps * car.cos - me.speed_mps * me.cos, car.speed_mps * car.sin - me.speed_mps * me.sin
        cells[cell, 0] = distance
        cells[cell, 1] = dot2(vx, vy, beams.directions[cell, 0], beams.directions[cell, 1])


@leaf()
def span_of(me: Any, box: Corners, beams: Beams) -> tuple[int, int]:
    """First and last sector that a box covers."""
    low, high = math.inf, -math.inf
    for place in range(4):
        angle = angle_of(box[place][0] - me.x_m, box[place][1] - me.y_m, beams)
        low, high = min(low, angle), max(high, angle)
    if low < -PI / 2.0 and PI / 2.0 < high:
        low, high = high, low + 2.0 * PI
    return sector_of(low, beams), sector_of(high, beams)


@leaf()
def look_at(me: Any, car: Any, beams: Beams, cells: Any) -> None:
    """Enter one vehicle or object into the sectors, (cells, 2)."""
    distance = norm2(car.x_m - me.x_m, car.y_m - me.y_m)
    if distance > beams.range_m:
        return
    middle = sector_of(angle_of(car.x_m - me.x_m, car.y_m - me.y_m, beams), beams)
    enter(me, car, beams, middle, distance - car.width_m / 2.0, cells)
    box = corners_of(car)
    first, last = span_of(me, box, beams)
    count = last - first + 1 if first < last else len(cells) - first + last + 1
    for place in range(count):
        cell = (first + place) % len(cells)
        end_x = me.x_m + beams.range_m * beams.directions[cell, 0]
        end_y = me.y_m + beams.range_m * beams.directions[cell, 1]
        enter(me, car, beams, cell, distance_to_box(me, box, end_x, end_y), cells)


@leaf(nogil=True)
def observe_lidar(first: int, end: int, where: Any, cars: Any, episodes: Any, beams: Beams, arrays: tuple[Any, ...]) -> None:
    """Write the sectors of a share of worlds; the arguments are those of ``Observer.write``."""
    for world in range(first, end):
        if len(where) > 0 and not where[world]:
            continue
        mine, episode, cells = cars[world], episodes[world], arrays[0][world]
        me = mine[episode.ego]
        cells[:] = beams.range_m
        for place in range(episode.vehicles + beams.things):
            number = place if place < episode.vehicles else len(mine) - beams.things + place - episode.vehicles
            if number != episode.ego and mine[number].driver != LANDMARK:
                look_at(me, mine[number], beams, cells)
        if beams.normalized:
            for cell in range(len(cells)):
                cells[cell, 0] = cells[cell, 0] / np.float32(beams.range_m)
                cells[cell, 1] = cells[cell, 1] / np.float32(beams.range_m)
