"""Lidars: range images of vehicles and ground, exact in geometry, with simple keyed noise.

Power follows the range equation, reflectivity cos(incidence) / R^2 exp(-2 alpha R), with alpha = 3.912 / visibility (Koschmieder).
Without noise every ray that meets something within the maximum range returns its exact range. With noise a return needs the power of a
10 % reflector met head-on at maximum range in clear air, give or take half; some are lost, and ranges are blurred.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.faults import Modality
from sensors.frames import LidarFrames
from sensors.jit import kernel
from sensors.launch import over_worlds
from sensors.lidar.config import Lidar
from sensors.lidar.rays import (
    COEFFICIENTS,
    PLANES,
    STRENGTH,
    VECTOR,
    Doubles,
    Floats,
    cast_ground,
    cast_part,
    detect_exact,
    detect_noisy,
    set_planes,
    span_of,
)
from sensors.noise import sensor_number, world_key
from sensors.pose import SceneArrays, mounts_of, place_sensor, scene_arrays
from sensors.scene import Scene
from sensors.vehicle_shape import CAR, MAX_PARTS, PART_NUMBERS, fill_parts

f4, i4, u4 = np.float32, np.int32, np.uint32
Ints = NDArray[np.int64]

KOSCHMIEDER = 3.912
GROUND_REFLECTIVITY = 0.15
REFLECTIVITY = np.array([[0.5, 0.25], [0.6, 0.5], [0.3, 0.3]])
"""By kind and part: paint, and for a car's second part a cabin that is mostly glass."""
ROOF_REFLECTIVITY = 0.5
THRESHOLD_REFLECTIVITY = 0.1
"""Reflectivity that is just detected at maximum range."""
FIRST_SENSOR = sensor_number(Modality.LIDAR, 0)


class Optics(NamedTuple):
    """K lidars as the kernels take them; E beams, C columns."""

    mounts: Doubles  # (K, 4, 4) ego_T_sensor
    settings: Doubles  # (K, 2) maximum range and its noise [m]
    azimuth: Doubles  # (2, C) cosines and sines of the columns
    tan_elevation: Floats  # (E,)
    cos_elevation: Floats  # (E,)


class Images(NamedTuple):
    """Where the kernels write, each (B, K, E, C)."""

    range_m: Floats
    intensity: Floats
    hit: NDArray[np.generic]
    actor: NDArray[np.int16]


class Scratch(NamedTuple):
    """What one thread works in; C columns, A actors, of which up to MAX_PARTS A parts are seen."""

    origin: Doubles  # (3,) the sensor in the world
    world_R_sensor: Doubles  # (3, 3)
    directions: Floats  # (3, C) column directions in world axes
    parts: Doubles  # (MAX_PARTS, PART_NUMBERS) of one actor
    sensor: Doubles  # (3,) the sensor in an actor's frame
    sensor_R_actor: Doubles  # (3, 3)
    planes: Floats  # (MAX_PARTS A, 6, 6) of the parts that are seen
    spans: Ints  # (MAX_PARTS A, 5) their actor, columns [k0, k1) and beams [b0, b1)
    limits: Floats  # (5,) of the detector
    key: NDArray[np.uint32]  # (2,) of its noise
    w: Floats  # (C,) inverse parameter of the nearest thing in a row
    strength: Floats  # (C,) its reflectivity times distance
    actor: NDArray[np.int32]  # (C,)


@kernel()
def _scratch(actors: int, columns: int) -> Scratch:
    return Scratch(
        np.empty(3),
        np.empty((3, 3)),
        np.empty((3, columns), f4),
        np.empty((MAX_PARTS, PART_NUMBERS)),
        np.empty(3),
        np.empty((3, 3)),
        np.empty((MAX_PARTS * actors, PLANES, COEFFICIENTS), f4),
        np.empty((MAX_PARTS * actors, 5), np.int64),
        np.empty(5, f4),
        np.empty(2, u4),
        np.empty(columns, f4),
        np.empty(columns, f4),
        np.empty(columns, np.int32),
    )


@kernel()
def _aim(azimuth: Doubles, world_R_sensor: Doubles, directions: Floats) -> None:
    """Write the columns' directions across the sensor's axis in world axes; ``azimuth`` holds cosines and sines, (2, C)."""
    for axis in range(3):
        ahead, left = world_R_sensor[axis, 0], world_R_sensor[axis, 1]
        for k in range(azimuth.shape[1]):
            directions[axis, k] = f4(ahead * azimuth[0, k] + left * azimuth[1, k])


@kernel()
def _add_actor(scene: SceneArrays, b: int, actor: int, tan_elevation: Floats, count: int, s: Scratch) -> int:
    """List the parts of an actor that the sensor may see, and return how many parts are listed now."""
    heading, kind, size = scene.heading[b, actor], scene.kind[b, actor], scene.size[b, actor]
    cos, sin = math.cos(heading), math.sin(heading)
    dx, dy = s.origin[0] - scene.position[b, actor, 0], s.origin[1] - scene.position[b, actor, 1]
    s.sensor[0], s.sensor[1], s.sensor[2] = cos * dx + sin * dy, cos * dy - sin * dx, s.origin[2]
    for axis in range(3):
        x, y = s.world_R_sensor[0, axis], s.world_R_sensor[1, axis]
        s.sensor_R_actor[axis, 0], s.sensor_R_actor[axis, 1] = cos * x + sin * y, cos * y - sin * x
        s.sensor_R_actor[axis, 2] = s.world_R_sensor[2, axis]
    columns = s.directions.shape[1]
    for number in range(fill_parts(kind, size[0], size[1], size[2], s.parts)):
        planes, span = s.planes[count], s.spans[count]
        if set_planes(s.parts[number], s.sensor, (cos, sin), REFLECTIVITY[kind, number], planes) == 0:
            continue
        span[0] = actor
        span[1], span[2], span[3], span[4] = span_of(s.parts[number], s.sensor, s.sensor_R_actor, tan_elevation, columns)
        if kind == CAR and number == 1:
            planes[0, STRENGTH] *= ROOF_REFLECTIVITY / REFLECTIVITY[kind, number]
        count += 1 if span[3] < span[4] else 0
    return count


@kernel()
def _list_parts(scene: SceneArrays, b: int, max_range_m: float, tan_elevation: Floats, s: Scratch) -> int:
    """List the parts of all actors within range; the ego's own car is not seen."""
    count = 0
    for a in range(1, scene.valid.shape[1]):
        if scene.valid[b, a]:
            distance = math.hypot(scene.position[b, a, 0] - s.origin[0], scene.position[b, a, 1] - s.origin[1])
            if distance - 0.5 * math.hypot(scene.size[b, a, 0], scene.size[b, a, 1]) < max_range_m:
                count = _add_actor(scene, b, a, tan_elevation, count, s)
    return count


@kernel()
def _cast_row(beam: int, tangent: np.float32, count: int, s: Scratch) -> None:
    """Find what every ray of a beam meets first."""
    columns = s.w.size
    height = s.origin[2]
    per_height = f4(1.0 / height if height > 0.0 else 0.0)
    ax, ay, az = f4(s.world_R_sensor[0, 2]) * tangent, f4(s.world_R_sensor[1, 2]) * tangent, f4(s.world_R_sensor[2, 2]) * tangent
    cast_ground(s.directions[2], az, per_height, f4(max(height, 0.0) * GROUND_REFLECTIVITY), s.w, s.strength, s.actor)
    for n in range(count):
        actor, k0, k1, b0, b1 = s.spans[n]
        if not b0 <= beam < b1:
            continue
        start = k0 % columns
        for begin, end in ((start, min(start + k1 - k0, columns)), (0, start + k1 - k0 - columns)):
            if begin < end:
                a, z = begin & -VECTOR, min((end + VECTOR - 1) & -VECTOR, columns)
                cast_part(s.planes, n, i4(actor), (ax, ay, az), s.directions, (a, z), s.w, s.strength, s.actor)


@kernel(nogil=True)
def _scan(first: int, end: int, scene: SceneArrays, optics: Optics, out: Images) -> None:
    """Scan worlds ``first`` to ``end`` with every lidar."""
    sensors, beams, columns = out.range_m.shape[1:]
    s = _scratch(scene.valid.shape[1], columns)
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        max_range_m, noise_m = optics.settings[k, 0], optics.settings[k, 1]
        place_sensor(scene.position[b, 0], scene.heading[b, 0], optics.mounts[k], s.origin, s.world_R_sensor)
        _aim(optics.azimuth, s.world_R_sensor, s.directions)
        count = _list_parts(scene, b, max_range_m, optics.tan_elevation, s)
        s.limits[0], s.limits[1] = 1.0 / max_range_m, -2.0 * KOSCHMIEDER / scene.visibility[b]
        s.limits[2], s.limits[3], s.limits[4] = max_range_m * max_range_m / THRESHOLD_REFLECTIVITY, noise_m, max_range_m
        s.key[0], s.key[1] = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, 0)
        for e in range(beams):
            _cast_row(e, optics.tan_elevation[e], count, s)
            row = (out.range_m[b, k, e], out.intensity[b, k, e], out.hit[b, k, e], out.actor[b, k, e])
            if noise_m > 0.0:
                detect_noisy(s.w, s.strength, s.actor, optics.cos_elevation[e], s.limits, u4(e * columns), s.key, row)
            else:
                detect_exact(s.w, s.strength, s.actor, optics.cos_elevation[e], s.limits, row)


@functools.lru_cache(maxsize=16)
def _optics(lidars: tuple[Lidar, ...]) -> Optics:
    azimuth = 2.0 * math.pi * (np.arange(lidars[0].columns) + 0.5) / lidars[0].columns
    elevation = np.array(lidars[0].elevations_rad)
    return Optics(
        mounts_of([lidar.mount for lidar in lidars]),
        np.array([(lidar.max_range_m, lidar.range_noise_m) for lidar in lidars]),
        np.stack((np.cos(azimuth), np.sin(azimuth))),
        np.tan(elevation).astype(f4),
        np.cos(elevation).astype(f4),
    )


def render_lidar(scene: Scene, lidars: Sequence[Lidar]) -> LidarFrames:
    """Scan a scene with K lidars of one size.

    Args:
        scene: B worlds on the CPU, poses finite.
        lidars: Lidars that share beams and columns.

    Returns:
        Frames (B, K, beams, columns), every sensor valid; for no lidar (B, 0, 0, 0).
    """
    worlds, sensors = scene.num_worlds, len(lidars)
    beams, columns = (lidars[0].beams, lidars[0].columns) if lidars else (0, 0)
    shape = (worlds, sensors, beams, columns)
    images = Images(np.empty(shape, f4), np.empty(shape, f4), np.empty(shape, np.bool_), np.empty(shape, np.int16))
    if worlds and lidars:
        out = images._replace(hit=images.hit.view(np.uint8))
        over_worlds(_scan, worlds, scene_arrays(scene), _optics(tuple(lidars)), out)
    return LidarFrames(
        range_m=torch.from_numpy(images.range_m),
        intensity=torch.from_numpy(images.intensity),
        hit=torch.from_numpy(images.hit),
        actor=torch.from_numpy(images.actor),
        valid=torch.ones((worlds, sensors), dtype=torch.bool),
        age_s=torch.zeros((worlds, sensors)),
    )
