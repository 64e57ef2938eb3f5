"""Lidars: range images of vehicles and ground, exact in geometry, with a detector, materials and weather.

Power follows the range equation, reflectivity cos(incidence) / R^2 exp(-2 alpha R). Without noise every ray that meets something within the
maximum range returns its exact range; ``Lidar`` says what its noise does.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.faults import Modality
from sensors.frames import LidarFrames
from sensors.jit import inlined, kernel, leaf
from sensors.launch import over_worlds
from sensors.lidar.actors import (
    COUNT,
    FIRST_COLUMN,
    MOST_OF_A_PART,
    PATCH,
    Pieces,
    View,
    add_actor,
    more_pieces,
    new_pieces,
    new_view,
    vectors_of,
)
from sensors.lidar.air import extinction, fill_air
from sensors.lidar.config import MAX_COLUMNS, Lidar
from sensors.lidar.detector import (
    AIR_NUMBERS,
    BY_FADE,
    BY_RANGE,
    DETECTOR_NUMBERS,
    FADE,
    INTENSITY_RANGE_M,
    KEEP_FROM,
    KEEP_SLOPE,
    KEPT,
    LEAST,
    LONGEST,
    PER_INTENSITY,
    PER_THRESHOLD,
    SIGMA,
    WEAK,
    add_air,
    detect,
    detect_exact,
    detect_ground,
    draw,
    leave_empty,
    receive,
)
from sensors.lidar.materials import ASPHALT, SNOW, WET_SHARE
from sensors.lidar.pieces import (
    AZIMUTH_NOISE,
    ELEVATION_NOISE,
    GX,
    GY,
    GZ,
    MOVED_X,
    MOVED_Y,
    PIECE,
    PIECE_NUMBERS,
    TIME,
    VECTOR,
    ZX,
    ZY,
    ZZ,
    Doubles,
    Floats,
    Ints,
    show_patch,
    show_rolling,
    show_still,
    show_still_patch,
    turn_columns,
)
from sensors.lidar.rays import (
    BEAM_NUMBERS,
    NORMAL,
    Row,
    cast_ground,
    cast_pieces,
    mark_shown,
    meets_nothing,
    sort_pieces,
    stretch_from,
    update_shown,
)
from sensors.noise import sensor_number, world_key
from sensors.pose import SceneArrays, mounts_of, place_sensor, point_velocity, scene_arrays
from sensors.recycle import room
from sensors.scene import Scene
from sensors.vehicle_shape import MAX_PARTS

f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64

FIRST_SENSOR = sensor_number(Modality.LIDAR, 0)
FIRST_PIECES, LISTED_AT_ONCE = 256, 2560
"""Pieces that a thread has room for at first, and how many more can be listed: as many as an actor may take."""
RAYS_STREAM, HEAD_STREAM, AIR_STREAM = range(3)


class Optics(NamedTuple):
    """K lidars as the kernels take them; E beams, C columns."""

    mounts: Doubles  # (K, 4, 4) ego_T_sensor
    detectors: Floats  # (K, DETECTOR_NUMBERS)
    times: Doubles  # (K, 3) of a turn [s], noise of azimuth and elevation [rad]
    fades: Doubles  # (K,) CARLA's attenuation [1/m], -1: by the weather
    switches: NDArray[np.bool_]  # (K, 3) noise, materials, returns from the air
    azimuth: Doubles  # (2, C and on to whole vectors) cosines and sines of the columns; the last one's again
    tan_elevation: Floats  # (E,)
    cos_elevation: Floats  # (E,)


class Images(NamedTuple):
    """Where the kernels write, each (B, K, E, C)."""

    range_m: Floats
    intensity: Floats
    hit: NDArray[np.generic]
    actor: NDArray[np.int16]


class Room(NamedTuple):
    """What a thread works in; kept from call to call, as fresh pages cost as much as a sweep."""

    sight: View
    row: Floats  # (BEAM_NUMBERS,)
    air: Floats  # (AIR_NUMBERS,)
    pieces: Pieces
    pool: Floats  # rows of all pieces
    showing: Ints  # (pieces,)
    firsts: Ints  # (beams,)
    marks: NDArray[np.uint8]  # one for each vector of columns, 0
    detector: Floats  # (DETECTOR_NUMBERS,)
    most: Ints  # (1,) pieces that were needed


class Sky(NamedTuple):
    """Weather as the kernels take it, each (B,)."""

    rain: NDArray[np.float32]
    snow: NDArray[np.float32]
    wetness: NDArray[np.float32]
    snow_cover: NDArray[np.float32]


@inlined(fastmath={"contract"})
def aim(cos: float, sin: float, aside: float, up: float, axis: tuple[float, float, float]) -> float:
    """One coordinate of a column's vector: ``axis`` is that row of ``world_R_sensor``, aside and up what noise adds to the angles."""
    return axis[0] * (cos - aside * sin) + axis[1] * (sin + aside * cos) + axis[2] * up


@leaf(fastmath={"contract"})
def aim_columns(azimuth: Doubles, v: View) -> None:
    """Write the rows GX to GZ of a scan that does not roll."""
    r = v.world_R_sensor
    x, y, z = (r[0, 0], r[0, 1], r[0, 2]), (r[1, 0], r[1, 1], r[1, 2]), (r[2, 0], r[2, 1], r[2, 2])
    for column in range(azimuth.shape[1]):
        k = u8(column)
        cos, sin, aside, up = azimuth[0, k], azimuth[1, k], float(v.columns[AZIMUTH_NOISE + k]), float(v.columns[ELEVATION_NOISE + k])
        v.columns[GX + k], v.columns[GY + k] = aim(cos, sin, aside, up, x), aim(cos, sin, aside, up, y)
        v.columns[GZ + k] = aim(cos, sin, aside, up, z)


@leaf(fastmath={"contract"})
def aim_rolling(azimuth: Doubles, count: int, ego: tuple[float, float], v: View) -> None:
    """Write the rows of the columns of a rolling scan: where each looks, and where the sensor is then."""
    r, speed_x, speed_y, spin, sweep_s = v.world_R_sensor, v.motion[0], v.motion[1], v.motion[2], v.motion[3]
    x, y, z = (r[0, 0], r[0, 1], r[0, 2]), (r[1, 0], r[1, 1], r[1, 2]), (r[2, 0], r[2, 1], r[2, 2])
    arm_x, arm_y = v.origin[0] - ego[0], v.origin[1] - ego[1]
    ego_x, ego_y, per_column = speed_x + spin * arm_y, speed_y - spin * arm_x, sweep_s / count
    for column in range(azimuth.shape[1]):
        k = u8(column)
        cos, sin, aside, up = azimuth[0, k], azimuth[1, k], float(v.columns[AZIMUTH_NOISE + k]), float(v.columns[ELEVATION_NOISE + k])
        time = per_column * (float(i4(column)) + 1.0) - sweep_s
        angle = spin * time
        square = angle * angle
        less = -0.5 * square * (1.0 - square * (1.0 / 12.0) * (1.0 - square * (1.0 / 30.0)))
        sine = angle * (1.0 - square * (1.0 / 6.0) * (1.0 - square * (1.0 / 20.0) * (1.0 - square * (1.0 / 42.0))))
        gx, gy = aim(cos, sin, aside, up, x), aim(cos, sin, aside, up, y)
        v.columns[GX + k], v.columns[GY + k] = gx + (less * gx - sine * gy), gy + (less * gy + sine * gx)
        v.columns[GZ + k], v.columns[ZZ + k] = aim(cos, sin, aside, up, z), r[2, 2]
        v.columns[ZX + k] = r[0, 2] + (less * r[0, 2] - sine * r[1, 2])
        v.columns[ZY + k] = r[1, 2] + (less * r[1, 2] + sine * r[0, 2])
        v.columns[MOVED_X + k] = ego_x * time + (less * arm_x - sine * arm_y)
        v.columns[MOVED_Y + k] = ego_y * time + (less * arm_y + sine * arm_x)
        v.columns[TIME + k] = time


@leaf()
def shake_columns(key: tuple[np.uint32, np.uint32], azimuth_rad: float, elevation_rad: float, count: int, row: Floats, v: View) -> None:
    """Write the noise of the head, a draw a column; none where the deviations are 0."""
    shake_row(key, u4(0), f4(azimuth_rad), count, AZIMUTH_NOISE, row, v)
    shake_row(key, u4(count), f4(elevation_rad), count, ELEVATION_NOISE, row, v)


@leaf()
def shake_row(
    key: tuple[np.uint32, np.uint32], first: np.uint32, deviation_rad: np.float32, count: int, place: np.uint64, row: Floats, v: View
) -> None:
    """Write one row of noise."""
    if deviation_rad > f4(0.0):
        draw(count, first, key, row)
        for k in range(count):
            v.columns[place + u8(k)] = deviation_rad * row[NORMAL + u8(k)]
    for k in range(count if deviation_rad > f4(0.0) else 0, (count + VECTOR - 1) & -VECTOR):
        v.columns[place + u8(k)] = f4(0.0)


@leaf()
def look(scene: SceneArrays, b: int, k: int, columns: int, optics: Optics, row: Floats, v: View) -> None:
    """Put a sensor in its place and aim its columns."""
    ego = scene.position[b, 0]
    place_sensor(ego, scene.heading[b, 0], optics.mounts[k], v.origin, v.world_R_sensor)
    arm_x, arm_y, spin = v.origin[0] - ego[0], v.origin[1] - ego[1], scene.yaw_rate[b, 0]
    v.motion[0], v.motion[1] = point_velocity(scene.velocity[b, 0, 0], scene.velocity[b, 0, 1], spin, arm_x, arm_y)
    shaking = optics.switches[k, 0]
    azimuth_rad, elevation_rad = optics.times[k, 1] if shaking else 0.0, optics.times[k, 2] if shaking else 0.0
    v.motion[2], v.motion[3], v.motion[4], v.motion[5] = spin, optics.times[k, 0], 7.0 * azimuth_rad, 7.0 * elevation_rad + 1e-4
    key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, HEAD_STREAM)
    shake_columns(key, azimuth_rad, elevation_rad, columns, row, v)
    if v.motion[3] > 0.0:
        aim_rolling(optics.azimuth, columns, (ego[0], ego[1]), v)
    else:
        aim_columns(optics.azimuth, v)


@kernel()
def list_pieces(
    scene: SceneArrays, b: int, max_range_m: float, materials: bool, tan_elevation: Floats, columns: int, v: View, pieces: Pieces
) -> tuple[int, Pieces]:
    """List the pieces of all actors within range; the ego's own car is not seen."""
    n, most = 0, (3 + columns // PIECE) * MAX_PARTS * MOST_OF_A_PART
    for a in range(1, scene.valid.shape[1]):
        if scene.valid[b, a]:
            if n + most > len(pieces.fields):
                pieces = more_pieces(n + most, pieces)
            n = add_actor(scene, b, a, columns, max_range_m, materials, n, tan_elevation, v, pieces)
    return n, pieces


@leaf()
def show_pieces(n: int, rolls: bool, pieces: Pieces, v: View, pool: Floats) -> None:
    """Write the rows of n pieces."""
    for piece in range(n):
        first, count, patch = pieces.fields[piece, FIRST_COLUMN], pieces.fields[piece, COUNT], pieces.fields[piece, PATCH]
        if not rolls and patch:
            show_still_patch(v.columns, first, count, pieces.numbers, piece, pool)
        elif not rolls:
            show_still(v.columns, first, count, pieces.numbers, piece, pool)
        if not rolls:
            continue
        turn_columns(v.columns, first, count, pieces.numbers, piece)
        if patch:
            show_patch(v.columns, first, count, pieces.numbers, piece, pool)
        else:
            show_rolling(v.columns, first, count, pieces.numbers, piece, pool)


@leaf()
def scan_exactly(
    columns: int,
    beam: tuple[np.float32, np.float32],
    ground: tuple[np.float32, np.float32, np.float32],
    level: bool,
    materials: bool,
    shown: int,
    showing: Ints,
    pieces: Pieces,
    pool: Floats,
    marks: NDArray[np.uint8],
    d: Floats,
    v: View,
    row: Floats,
    out: Row,
) -> None:
    """Write the returns of a beam without noise; where no piece shows there is the ground alone.

    Args:
        columns: C.
        beam: Tangent and cosine of its elevation.
        ground: As for ``rays.cast_ground``.
        level: As for ``detector.detect_ground``.
        materials: Whether patches show.
        shown: How many pieces show.
        showing: Which.
        pieces: All.
        pool: Their rows.
        marks: Of vectors of columns, all 0, as they are afterwards.
        d: Numbers of the detector.
        v: Where the sensor looks from.
        row: To work in.
        out: Written.
    """
    if shown == 0:
        detect_ground(v.columns, 0, columns, beam, ground, level, d, out)
        return
    vectors, rolls = (columns + VECTOR - 1) // VECTOR, v.motion[3] > 0.0
    mark_shown(pieces.fields, showing, shown, marks, 1)
    vector = 0
    while vector < vectors:
        end = stretch_from(marks, vector, vectors)
        if marks[vector]:
            cast_ground(v.columns, vector * VECTOR, (end - vector) * VECTOR, beam[0], ground, row)
        vector = end
    cast_pieces(pool, pieces, showing, shown, rolls, beam[0], 0, row)
    if materials:
        cast_pieces(pool, pieces, showing, shown, rolls, beam[0], 1, row)
    vector = 0
    while vector < vectors:
        end = stretch_from(marks, vector, vectors)
        first, count = vector * VECTOR, min(end * VECTOR, columns) - vector * VECTOR
        if marks[vector]:
            detect_exact(first, count, beam[1], d, row, out)
        else:
            detect_ground(v.columns, first, count, beam, ground, level, d, out)
        vector = end
    mark_shown(pieces.fields, showing, shown, marks, 0)


@kernel(nogil=True)
def _scan(first: int, end: int, scene: SceneArrays, sky: Sky, optics: Optics, out: Images, room: Room) -> None:
    """Scan worlds ``first`` to ``end`` with every lidar."""
    sensors, beams, columns = out.range_m.shape[1:]
    whole = (columns + VECTOR - 1) & -VECTOR
    v, row, air, pieces, pool, showing = room.sight, room.row, room.air, room.pieces, room.pool, room.showing
    firsts, marks, d = room.firsts, room.marks, room.detector
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        noise, materials, air_returns = optics.switches[k, 0], optics.switches[k, 1], optics.switches[k, 2]
        for i in range(DETECTOR_NUMBERS):
            d[i] = optics.detectors[k, i]
        look(scene, b, k, columns, optics, row, v)
        n, pieces = list_pieces(scene, b, d[LONGEST], materials, optics.tan_elevation, columns, v, pieces)
        if n > len(showing):
            pool, showing = vectors_of(2 * n * PIECE_NUMBERS), np.empty(2 * n, np.int32)
        room.most[0] = max(room.most[0], n)
        rolls = v.motion[3] > 0.0
        show_pieces(n, rolls, pieces, v, pool)
        sort_pieces(pieces.fields, n, beams, firsts)
        if optics.fades[k] < 0.0:
            d[FADE] = -2.0 * extinction(scene.visibility[b], sky.rain[b], sky.snow[b])
        foggy = noise and air_returns and fill_air(scene.visibility[b], sky.rain[b], sky.snow[b], 1.0 / d[PER_THRESHOLD], d[LONGEST], air)
        shine = ASPHALT * (1.0 - (1.0 - WET_SHARE) * sky.wetness[b])
        shine += (SNOW - shine) * sky.snow_cover[b]
        height, upright = f4(v.origin[2]), f4(v.world_R_sensor[2, 2])
        ground = upright, f4(1.0 / v.origin[2] if v.origin[2] > 0.0 else 0.0), f4(max(v.origin[2], 0.0) * shine)
        key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, RAYS_STREAM)
        air_key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, AIR_STREAM)
        slope = math.hypot(v.world_R_sensor[2, 0], v.world_R_sensor[2, 1])
        least, level = f4(-(slope * (1.0 + v.motion[4]) + v.motion[5])), slope == 0.0 and not (noise and optics.times[k, 2] > 0.0)
        shown = 0
        for e in range(beams):
            tangent, cosine = optics.tan_elevation[e], optics.cos_elevation[e]
            place = (out.range_m[b, k, e], out.intensity[b, k, e], out.hit[b, k, e], out.actor[b, k, e])
            shown = update_shown(pieces.fields, e, firsts, shown, showing)
            if not foggy and shown == 0 and meets_nothing(least, upright, tangent, height, d[LEAST] / cosine):
                leave_empty(columns, place)
                continue
            if not noise:
                beam = tangent, cosine
                scan_exactly(columns, beam, ground, level, materials, shown, showing, pieces, pool, marks, d, v, row, place)
                continue
            cast_ground(v.columns, 0, whole, tangent, ground, row)
            cast_pieces(pool, pieces, showing, shown, rolls, tangent, 0, row)
            if materials:
                cast_pieces(pool, pieces, showing, shown, rolls, tangent, 1, row)
            receive(columns, cosine, d, row)
            if foggy:
                add_air(columns, u4(e * columns), air_key, d, air, row)
            draw(columns, u4(e * columns), key, row)
            detect(columns, d, row, place)


_own = threading.local()


def _room(beams: int) -> Room:
    """The calling thread's room, made larger where it was too small the last time."""
    room: Room | None = getattr(_own, "room", None)
    if room is None or len(room.firsts) < beams or room.most[0] > len(room.showing):
        most = max(FIRST_PIECES, 2 * int(room.most[0]) if room else 0)
        room = _own.room = Room(
            new_view(),
            vectors_of(BEAM_NUMBERS),
            np.empty(AIR_NUMBERS, f4),
            new_pieces(most + LISTED_AT_ONCE),
            vectors_of(most * PIECE_NUMBERS),
            np.empty(most, np.int32),
            np.empty(max(beams, 128), np.int32),
            np.zeros(MAX_COLUMNS // VECTOR + 1, np.uint8),
            np.empty(DETECTOR_NUMBERS, f4),
            np.zeros(1, np.int32),
        )
    return room


def _scan_share(first: int, end: int, scene: SceneArrays, sky: Sky, optics: Optics, out: Images) -> None:
    """``_scan`` in the calling thread's room."""
    _scan(first, end, scene, sky, optics, out, _room(out.range_m.shape[2]))


def _detector(lidar: Lidar) -> NDArray[np.float32]:
    """A lidar's numbers for the kernels, (DETECTOR_NUMBERS,)."""
    d = np.zeros(DETECTOR_NUMBERS, f4)
    longest, carla = lidar.max_range_m, lidar.fade_per_m is not None
    d[LEAST], d[LONGEST] = 1.0 / longest, longest
    d[BY_RANGE], d[BY_FADE], d[PER_INTENSITY] = (0.0, 1.0, 1.0) if carla else (1.0, 0.0, INTENSITY_RANGE_M**2)
    d[PER_THRESHOLD] = longest * longest / max(lidar.threshold_reflectivity, 1e-12)
    d[KEEP_FROM], d[KEEP_SLOPE] = (-0.5, 1.0) if lidar.dropoff_at_threshold else (-1e6, 1e6)
    if lidar.fade_per_m is not None:
        d[FADE], d[PER_THRESHOLD] = -lidar.fade_per_m, 1.0
        d[KEEP_FROM] = 1.0 - lidar.dropoff_zero_intensity
        d[KEEP_SLOPE] = lidar.dropoff_zero_intensity / max(lidar.dropoff_intensity_limit, 1e-6)
    d[KEPT], d[SIGMA], d[WEAK] = 1.0 - lidar.dropoff_rate, lidar.range_noise_m, lidar.weak_noise_m
    return d


@functools.lru_cache(maxsize=16)
def _optics(lidars: tuple[Lidar, ...]) -> Optics:
    azimuth = 2.0 * math.pi * (np.arange(lidars[0].columns) + 0.5) / lidars[0].columns
    elevation = np.array(lidars[0].elevations_rad)
    return Optics(
        mounts_of([lidar.mount for lidar in lidars]),
        np.stack([_detector(lidar) for lidar in lidars]),
        np.array([(lidar.sweep_s, lidar.azimuth_noise_rad, lidar.elevation_noise_rad) for lidar in lidars]),
        np.array([-1.0 if lidar.fade_per_m is None else lidar.fade_per_m for lidar in lidars]),
        np.array([(lidar.noise, lidar.materials, lidar.air_returns) for lidar in lidars]),
        np.pad(np.stack((np.cos(azimuth), np.sin(azimuth))), ((0, 0), (0, -len(azimuth) % VECTOR)), mode="edge"),
        np.tan(elevation).astype(f4),
        np.cos(elevation).astype(f4),
    )


def _images(shape: tuple[int, int, int, int]) -> Images:
    """Room for what the kernels write, in one block that is used again once nobody holds it."""
    rays = math.prod(shape)
    block = room(11 * rays)
    ranges, intensity = (block[4 * n * rays : 4 * (n + 1) * rays].view(f4).reshape(shape) for n in range(2))
    actor, hit = block[8 * rays : 10 * rays].view(np.int16), block[10 * rays :].view(np.bool_)
    return Images(ranges, intensity, hit.reshape(shape), actor.reshape(shape))


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
    images = _images(shape)
    if worlds and lidars:
        weather = scene.weather
        fields = (weather.rain_mm_per_h, weather.snow_mm_per_h, weather.wetness, weather.snow_cover)
        sky = Sky(*(field.float().contiguous().numpy() for field in fields))
        out = images._replace(hit=images.hit.view(np.uint8))
        over_worlds(_scan_share, worlds, scene_arrays(scene), sky, _optics(tuple(lidars)), out)
    return LidarFrames(
        range_m=torch.from_numpy(images.range_m),
        intensity=torch.from_numpy(images.intensity),
        hit=torch.from_numpy(images.hit),
        actor=torch.from_numpy(images.actor),
        valid=torch.ones((worlds, sensors), dtype=torch.bool),
        age_s=torch.zeros((worlds, sensors)),
    )
