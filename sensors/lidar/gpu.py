"""Lidars on a GPU, through the very functions that the CPU's kernels call, in five launches for all worlds and sensors.

A thread places one sensor, aims one column, lists the pieces of one sensor, casts one column of all beams, and makes two returns of what
their rays met. Pieces stay numbers here: what the CPU keeps as rows, a column's thread has in registers. Neighbouring threads have
neighbouring columns, so that all large arrays are read and written in one go.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import cuda

from sensors.errors import ConfigError
from sensors.frames import LidarFrames
from sensors.gpu import array_of, launch, on_device, scene_on
from sensors.ground import place_in_grid
from sensors.jit import leaf
from sensors.lidar.actors import (
    BEAM,
    BEAM_END,
    CODE,
    COUNT,
    FACES,
    FIRST_COLUMN,
    PATCH,
    PIECE_FIELDS,
    PLANE_NUMBERS,
    Pieces,
    View,
    add_actor,
)
from sensors.lidar.aim import aim_still, aim_then, head_noise, place, time_of
from sensors.lidar.air import KINDS
from sensors.lidar.config import Lidar
from sensors.lidar.detector import (
    AIR_ENDS,
    AIR_NUMBERS,
    AIR_POWERS,
    AIR_TOTAL,
    BY_FADE,
    BY_RANGE,
    DETECTOR_NUMBERS,
    FADE,
    KEEP_FROM,
    KEEP_SLOPE,
    KEPT,
    LEAST,
    LONGEST,
    PER_INTENSITY,
    PER_THRESHOLD,
    SIGMA,
    WEAK,
    drawn,
    exact_return,
    lines_of,
    noisy_return,
    reflected,
    with_air,
)
from sensors.lidar.markings import ground_point, is_painted
from sensors.lidar.optics import AIR_STREAM, FIRST_SENSOR, HEAD_STREAM, RAYS_STREAM, Images, Optics, optics_of
from sensors.lidar.pieces import (
    ACROSS,
    COLUMN_NUMBERS,
    COS,
    GX,
    GY,
    GZ,
    INNER,
    LIMITS,
    MIDDLE_TIME,
    MIDDLE_X,
    MIDDLE_Y,
    MOVED_X,
    MOVED_Y,
    NEVER,
    NUMBERS,
    OUTER,
    REFLECTIVITY,
    SENSOR_X,
    SENSOR_Y,
    SIN,
    SPEED_X,
    SPEED_Y,
    SPIN,
    TIME,
    ZERO,
    ZX,
    ZY,
    ZZ,
    Floats,
    inner_of,
    outer_of,
    patch_bounds,
    plane_of,
    plane_still,
    plane_then,
    turned,
)
from sensors.lidar.rays import GROUND_CODE, see_ground, see_part, see_patch
from sensors.lidar.scan import asks_for_paint, ground_of, most_of, paint_of, weigh_air
from sensors.noise import world_key
from sensors.paint import KEPT_GRIDS, PaintGrid, grid_of
from sensors.pose import SceneArrays, Sky
from sensors.road import RoadMap
from sensors.scene import Scene
from sensors.vehicle_shape import MAX_PARTS, PART_NUMBERS

F4 = np.float32
f4, u4, u8 = np.float32, np.uint32, np.uint64
ROOM_BYTES = 1 << 30
"""Worlds are scanned in batches that work in so much memory of the GPU."""
Aimed = tuple[F4, F4, F4, F4, F4, F4, F4, F4, F4]
Slot = tuple[F4, F4]


class Desk(NamedTuple):
    """What a batch of N sensors is worked on in; P pieces each, E beams, C columns."""

    origin: Any  # (N, 3) and so on to slots: a View each
    world_R_sensor: Any
    motion: Any
    columns: Any
    parts: Any
    planes: Any
    slots: Any
    fields: Any  # (N, P, PIECE_FIELDS)
    numbers: Any  # (N, P, NUMBERS)
    counts: Any  # (N,) pieces
    detector: Any  # (N, DETECTOR_NUMBERS)
    air: Any  # (N, AIR_NUMBERS)
    kinds: Any  # (N, KINDS, 3)
    foggy: Any  # (N,) whether returns from the air are to be expected
    ground: Any  # (N, 3)
    paint: Any  # (N,) strength of lane paint
    spot: Any  # (N, 4) place in the road's grid
    who: Any  # (N, E, C) codes of what rays met
    missing: Any  # (1,) not 0 where a sensor had no room for all pieces


@cuda.jit  # type: ignore[untyped-decorator]
def place_sensors(scene: Any, sky: Any, grid: Any, optics: Any, first: int, desk: Any, out: Any) -> None:
    """Place sensor ``first + i``, and weigh air and ground."""
    i = cuda.grid(1)
    sensors = out.range_m.shape[1]
    if i >= len(desk.origin) or first + i >= out.range_m.shape[0] * sensors:
        return
    b, k = (first + i) // sensors, (first + i) % sensors
    v = View(desk.origin[i], desk.world_R_sensor[i], desk.motion[i], desk.columns[i], desk.parts[i], desk.planes[i], desk.slots[i])
    place(scene, b, k, optics, v)
    desk.foggy[i] = weigh_air(scene, b, k, sky, optics, desk.detector[i], desk.air[i], desk.kinds[i])
    desk.ground[i, 0], desk.ground[i, 1], desk.ground[i, 2] = ground_of(b, sky, v)
    desk.paint[i] = paint_of(b, sky, v)
    desk.spot[i, 0], desk.spot[i, 1], desk.spot[i, 2], desk.spot[i, 3] = place_in_grid(grid, v.origin[0], v.origin[1])


@leaf()
def shaken(deviation_rad: float, number: int, column: int, count: int, key: tuple[np.uint32, np.uint32]) -> float:
    """Noise of the head in a column: the draws of ``aim.shake_columns``, of which ``number`` is the first."""
    if deviation_rad == 0.0 or column >= count:
        return 0.0
    half = (count + 1) // 2
    first, second, _, _ = drawn(u4(number + column % half), key)
    return float(f4(deviation_rad) * (first if column < half else second))


@cuda.jit  # type: ignore[untyped-decorator]
def aim_columns(scene: Any, optics: Any, first: int, desk: Any, out: Any) -> None:
    """Aim one column of one sensor."""
    whole, (worlds, sensors, _, count) = optics.azimuth.shape[1], out.range_m.shape
    i, column = cuda.grid(1) // whole, cuda.grid(1) % whole
    if i >= len(desk.origin) or first + i >= worlds * sensors:
        return
    b, k, c = (first + i) // sensors, (first + i) % sensors, u8(column)
    key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, HEAD_STREAM)
    azimuth_rad, elevation_rad = head_noise(k, optics)
    noise = shaken(azimuth_rad, 0, column, count, key), shaken(elevation_rad, count, column, count, key)
    axes, row = desk.world_R_sensor[i], desk.columns[i]
    g = aim_still((optics.azimuth[0, column], optics.azimuth[1, column]), noise, axes)
    spin, sweep_s = desk.motion[i, 2], desk.motion[i, 3]
    if sweep_s == 0.0:
        row[GX + c], row[GY + c], row[GZ + c] = g
        return
    arm = desk.origin[i, 0] - scene.position[b, 0, 0], desk.origin[i, 1] - scene.position[b, 0, 1]
    aimed = aim_then(g, time_of(column, sweep_s / count, sweep_s), spin, (desk.motion[i, 0], desk.motion[i, 1]), arm, axes)
    row[GX + c], row[GY + c], row[GZ + c], row[ZX + c], row[ZY + c], row[ZZ + c], row[MOVED_X + c], row[MOVED_Y + c], row[TIME + c] = aimed


@cuda.jit  # type: ignore[untyped-decorator]
def list_pieces(scene: Any, optics: Any, first: int, desk: Any, out: Any) -> None:
    """List the pieces of all actors that one sensor sees."""
    i = cuda.grid(1)
    worlds, sensors, _, columns = out.range_m.shape
    if i >= len(desk.origin) or first + i >= worlds * sensors:
        return
    b, k = (first + i) // sensors, (first + i) % sensors
    v = View(desk.origin[i], desk.world_R_sensor[i], desk.motion[i], desk.columns[i], desk.parts[i], desk.planes[i], desk.slots[i])
    pieces, n = Pieces(desk.fields[i], desk.numbers[i]), 0
    most, longest, materials = most_of(columns), desk.detector[i, LONGEST], optics.switches[k, 1]
    for actor in range(1, scene.valid.shape[1]):
        if scene.valid[b, actor]:
            if n + most > len(pieces.fields):
                desk.missing[0] = 1
                break
            n = add_actor(scene, b, actor, columns, longest, materials, n, optics.tan_elevation, v, pieces)
    desk.counts[i] = n


@leaf()
def aimed_at(columns: Floats, c: np.uint64, rolls: bool, zz: np.float32) -> Aimed:
    """A column's numbers GX to TIME; in a scan that does not roll those after GZ are not used, but for the sensor's axis upwards."""
    if not rolls:
        return columns[GX + c], columns[GY + c], columns[GZ + c], ZERO, ZERO, zz, ZERO, ZERO, ZERO
    return (
        columns[GX + c],
        columns[GY + c],
        columns[GZ + c],
        columns[ZX + c],
        columns[ZY + c],
        columns[ZZ + c],
        columns[MOVED_X + c],
        columns[MOVED_Y + c],
        columns[TIME + c],
    )


@leaf(fastmath={"contract"})
def turned_for(aimed: Aimed, p: Floats, n: int) -> tuple[F4, F4, F4, F4, F4, F4]:
    """A column in the frame of piece n of a rolling scan, as ``pieces.turn_columns`` has it."""
    time = aimed[8] - p[n, MIDDLE_TIME]
    moved = aimed[6] - p[n, MIDDLE_X] - p[n, SPEED_X] * time, aimed[7] - p[n, MIDDLE_Y] - p[n, SPEED_Y] * time
    frame = p[n, COS], p[n, SIN], p[n, SPIN], p[n, SENSOR_X], p[n, SENSOR_Y]
    here: tuple[F4, F4, F4, F4, F4, F4] = turned(time, frame, moved, (aimed[0], aimed[1], aimed[2]), (aimed[3], aimed[4], aimed[5]))
    return here


@leaf(fastmath={"contract"})
def slot_then(numbers: Floats, n: int, slot: int, here: tuple[F4, F4, F4, F4, F4, F4], aimed: Aimed, face: Slot) -> tuple[F4, F4, F4]:
    """Numbers a, b and strength of a slot of piece n in a column of a rolling scan; ``face`` has a and b of the first one."""
    u = plane_of(numbers, n, slot)
    a, b, depth = plane_then(u, (here[0], here[1]), (here[2], here[3], aimed[2]), (here[4], here[5], aimed[5]))
    if slot < OUTER:
        a, b = outer_of(a, b, depth)
        return a, b, -numbers[n, REFLECTIVITY + slot] * depth
    a, b = inner_of(a, b, depth, face)
    return a, b, ZERO


@leaf(fastmath={"contract"})
def slot_still(numbers: Floats, n: int, slot: int, aimed: Aimed) -> tuple[F4, F4, F4]:
    """Numbers a, b and strength of a slot of piece n in a column of a scan that does not roll."""
    c = plane_of(numbers, n, slot)
    return plane_still(c, (aimed[0], aimed[1], aimed[2])), c[3], numbers[n, REFLECTIVITY + slot] if slot < OUTER else ZERO


@leaf(fastmath={"contract"})
def cast_part(
    numbers: Floats, n: int, code: F4, beams: tuple[int, int], rolls: bool, aimed: Aimed, tangents: Floats, w: Any, met: Any, who: Any
) -> None:
    """Let a column's rays see piece n, a part: ``w``, ``met`` and ``who`` are (beams,) of that column."""
    if rolls:
        here, face = turned_for(aimed, numbers, n), (ZERO, ZERO)
        o0 = slot_then(numbers, n, 0, here, aimed, face)
        o1, o2 = slot_then(numbers, n, 1, here, aimed, face), slot_then(numbers, n, 2, here, aimed, face)
        face = o0[0], o0[1]
        i0, i1 = slot_then(numbers, n, 3, here, aimed, face), slot_then(numbers, n, 4, here, aimed, face)
        i2, i3 = slot_then(numbers, n, 5, here, aimed, face), slot_then(numbers, n, 6, here, aimed, face)
    else:
        o0, o1, o2 = slot_still(numbers, n, 0, aimed), slot_still(numbers, n, 1, aimed), slot_still(numbers, n, 2, aimed)
        i0, i1 = slot_still(numbers, n, 3, aimed), slot_still(numbers, n, 4, aimed)
        i2, i3 = slot_still(numbers, n, 5, aimed), slot_still(numbers, n, 6, aimed)
    strengths = o0[2], o1[2], o2[2]
    for e in range(beams[0], beams[1]):
        t = tangents[e]
        outer = o0[0] + t * o0[1], o1[0] + t * o1[1], o2[0] + t * o2[1]
        inner = i0[0] + t * i0[1], i1[0] + t * i1[1], i2[0] + t * i2[1], i3[0] + t * i3[1]
        w[e], met[e], who[e] = see_part((w[e], met[e], who[e]), code, outer, strengths, inner)


@leaf(fastmath={"contract"})
def cast_patch(
    numbers: Floats, n: int, code: F4, beams: tuple[int, int], rolls: bool, aimed: Aimed, tangents: Floats, met: Any, who: Any
) -> None:
    """Let a column's rays see piece n, a patch."""
    if rolls:
        here, u, q = turned_for(aimed, numbers, n), plane_of(numbers, n, 0), LIMITS
        a, b, depth = plane_then(u, (here[0], here[1]), (here[2], here[3], aimed[2]), (here[4], here[5], aimed[5]))
        cx, cy = numbers[n, ACROSS], numbers[n, ACROSS + 1]
        limits = numbers[n, q], numbers[n, q + 1], numbers[n, q + 2], numbers[n, q + 3]
        across, shift = (cx * here[2] + cy * here[3], cx * here[4] + cy * here[5]), cx * here[0] + cy * here[1]
        a0, b0, a1, b1, a2, b2, a3, b3 = patch_bounds((a, b), across, (aimed[2], aimed[5]), shift, limits)
        a0, strength = a0 if depth < ZERO else -NEVER, -numbers[n, REFLECTIVITY] * depth
    else:
        (a0, b0, strength), (a1, b1, _) = slot_still(numbers, n, 0, aimed), slot_still(numbers, n, 1, aimed)
        (a2, b2, _), (a3, b3, _) = slot_still(numbers, n, 2, aimed), slot_still(numbers, n, 3, aimed)
    for e in range(beams[0], beams[1]):
        t = tangents[e]
        met[e] = see_patch(met[e], who[e], code, (a0 + t * b0, a1 + t * b1, a2 + t * b2, a3 + t * b3), strength)


@leaf(fastmath={"contract"})
def cast_paint(
    grid: Any, spot: tuple[F4, F4, F4, F4], strength: F4, least: F4, aimed: Aimed, z: tuple[F4, F4], tangents: Floats, w: Any, met: Any,
    who: Any,
) -> None:  # fmt: skip
    """Let a column's rays that meet the ground see lane paint, as ``markings.paint_row``; ``z`` is the sensor's axis, x and y."""
    for e in range(len(tangents)):
        if who[e] == GROUND_CODE:
            x, y = ground_point(w[e], least, tangents[e], (aimed[0], aimed[1]), z, (aimed[6], aimed[7]))
            met[e] = strength if is_painted(grid, spot, x, y) else met[e]


@cuda.jit  # type: ignore[untyped-decorator]
def cast_columns(grid: Any, optics: Any, first: int, desk: Any, out: Any) -> None:
    """Find what all beams of one column meet: w goes where the ranges come, strength where the intensities do."""
    worlds, sensors, beams, columns = out.range_m.shape
    i, column = cuda.grid(1) // columns, cuda.grid(1) % columns
    if i >= len(desk.origin) or first + i >= worlds * sensors:
        return
    b, k = (first + i) // sensors, (first + i) % sensors
    w, met, who = out.range_m[b, k, :, column], out.intensity[b, k, :, column], desk.who[i, :, column]
    rolls, zz, tangents = desk.motion[i, 3] > 0.0, desk.ground[i, 0], optics.tan_elevation
    aimed = aimed_at(desk.columns[i], u8(column), rolls, zz)
    for e in range(beams):
        w[e] = see_ground(aimed[2], zz, tangents[e], desk.ground[i, 1])
        met[e], who[e] = desk.ground[i, 2], GROUND_CODE
    fields, numbers = desk.fields[i], desk.numbers[i]
    for patches in range(2 if optics.switches[k, 1] else 1):
        for n in range(desk.counts[i]):
            begin = fields[n, FIRST_COLUMN]
            if fields[n, PATCH] != patches or column < begin or column >= begin + fields[n, COUNT]:
                continue
            code, shown = f4(fields[n, CODE]), (fields[n, BEAM], fields[n, BEAM_END])
            if patches:
                cast_patch(numbers, n, code, shown, rolls, aimed, tangents, met, who)
            else:
                cast_part(numbers, n, code, shown, rolls, aimed, tangents, w, met, who)
    if asks_for_paint(k, grid, optics):
        spot, axes = (desk.spot[i, 0], desk.spot[i, 1], desk.spot[i, 2], desk.spot[i, 3]), desk.world_R_sensor[i]
        z = (aimed[3], aimed[4]) if rolls else (f4(axes[0, 2]), f4(axes[1, 2]))
        cast_paint(grid, spot, desk.paint[i], desk.detector[i, LEAST], aimed, z, tangents, w, met, who)


@cuda.jit  # type: ignore[untyped-decorator]
def detect_rays(scene: Any, optics: Any, first: int, desk: Any, out: Any) -> None:
    """Turn what two rays met, half the columns apart, into returns."""
    worlds, sensors, beams, columns = out.range_m.shape
    half = (columns + 1) // 2
    thread = cuda.grid(1)
    i, e, pair = thread // (half * beams), thread // half % beams, thread % half
    if i >= len(desk.origin) or first + i >= worlds * sensors:
        return
    b, k, d, air, cosine = (first + i) // sensors, (first + i) % sensors, desk.detector[i], desk.air[i], optics.cos_elevation[e]
    shares, noise = (d[BY_RANGE], d[BY_FADE]), optics.switches[k, 0]
    key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, RAYS_STREAM)
    air_key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, AIR_STREAM)
    normal, normal_2, chance, chance_2 = drawn(u4(e * columns + pair), key)
    scales, sigmas, keeping = (d[PER_INTENSITY], d[PER_THRESHOLD]), (d[SIGMA], d[WEAK]), (d[KEEP_FROM], d[KEEP_SLOPE], d[KEPT])
    ends, shine = (air[AIR_ENDS], air[AIR_ENDS + 1]), (air[AIR_POWERS], air[AIR_POWERS + 1], air[AIR_POWERS + 2])
    for column in range(pair, columns, half):
        w, met, who = out.range_m[b, k, e, column], out.intensity[b, k, e, column], desk.who[i, e, column]
        if noise:
            distance, power = reflected(w, met, cosine, d[LEAST], shares, d[FADE])
            if desk.foggy[i]:
                distance, power, who = with_air(
                    distance, power, who, u4(e * columns + column), air_key, d[FADE], lines_of(air), ends, shine, air[AIR_TOTAL]
                )
            is_second = column >= half
            own, luck = normal_2 if is_second else normal, chance_2 if is_second else chance
            ranged, intensity, hit, actor = noisy_return(distance, power, who, own, luck, d[LONGEST], scales, sigmas, keeping)
        else:
            ranged, intensity, hit, actor = exact_return(w, met, who, cosine, d[LEAST], shares, d[FADE], d[PER_INTENSITY])
        out.range_m[b, k, e, column], out.intensity[b, k, e, column] = ranged, intensity
        out.hit[b, k, e, column], out.actor[b, k, e, column] = hit, actor


def new_desk(items: int, pieces: int, beams: int, columns: int, device: torch.device) -> Desk:
    """Room for so many sensors of one size."""

    def room(*shape: int, dtype: torch.dtype = torch.float32) -> Any:
        return array_of(torch.empty((items, *shape), dtype=dtype, device=device))

    double, integer = torch.float64, torch.int32
    return Desk(
        room(3, dtype=double),
        room(3, 3, dtype=double),
        room(6, dtype=double),
        room(COLUMN_NUMBERS),
        room(MAX_PARTS, PART_NUMBERS, dtype=double),
        room(FACES, PLANE_NUMBERS, dtype=double),
        room(OUTER + INNER, dtype=torch.int64),
        room(pieces, PIECE_FIELDS, dtype=integer),
        room(pieces, NUMBERS),
        room(dtype=integer),
        room(DETECTOR_NUMBERS),
        room(AIR_NUMBERS),
        room(KINDS, 3, dtype=double),
        room(dtype=torch.bool),
        room(3),
        room(),
        room(4),
        room(beams, columns),
        array_of(torch.zeros(1, dtype=integer, device=device)),
    )


def bytes_of(pieces: int, beams: int, columns: int) -> int:
    """What one sensor takes of a desk, nearly."""
    return 4 * (COLUMN_NUMBERS + pieces * (PIECE_FIELDS + NUMBERS) + beams * columns) + 1024


@functools.lru_cache(maxsize=8)
def _optics_on(lidars: tuple[Lidar, ...], device: torch.device) -> Optics:
    optics: Optics = on_device(optics_of(lidars), device)
    return optics


_kept: dict[tuple[int, str], tuple[PaintGrid, Any]] = {}


def _grid_on(grid: PaintGrid, device: torch.device) -> Any:
    """A road's grid on a device; the last ``KEPT_GRIDS`` are kept."""
    key = id(grid), str(device)
    if key not in _kept or _kept[key][0] is not grid:
        while len(_kept) >= KEPT_GRIDS:
            del _kept[next(iter(_kept))]
        _kept[key] = grid, on_device(grid.arrays(), device)
    return _kept[key][1]


def render(scene: Scene, lidars: Sequence[Lidar]) -> LidarFrames:
    """Scan a scene with K lidars of one size, on its device; as ``sensors.lidar.render.render_lidar``.

    Raises:
        ConfigError: So many actors are so near that a sensor has no room for all that shows of them.
    """
    worlds, sensors, device = scene.num_worlds, len(lidars), scene.device
    beams, columns = (lidars[0].beams, lidars[0].columns) if lidars else (0, 0)
    shape = (worlds, sensors, beams, columns)
    ranges, intensity = torch.empty(shape, device=device), torch.empty(shape, device=device)
    hit, actor = torch.empty(shape, dtype=torch.bool, device=device), torch.empty(shape, dtype=torch.int16, device=device)
    items = worlds * sensors
    if items:
        out = Images(array_of(ranges), array_of(intensity), array_of(hit.view(torch.uint8)), array_of(actor))
        pieces = most_of(columns) + 256 + 8 * scene.num_actors
        batch = min(items, max(1, ROOM_BYTES // bytes_of(pieces, beams, columns)))
        desk = new_desk(batch, pieces, beams, columns, device)
        weather, optics, world = scene.weather, _optics_on(tuple(lidars), device), scene_on(scene)
        fields = (weather.rain_mm_per_h, weather.snow_mm_per_h, weather.wetness, weather.snow_cover)
        sky = Sky(*(array_of(field.float().contiguous()) for field in fields))
        whole, grid = optics.azimuth.shape[1], _grid_on(grid_of(scene.road), device)
        for first in range(0, items, batch):
            launch(place_sensors, batch, device, world, sky, grid, optics, first, desk, out)
            launch(aim_columns, batch * whole, device, world, optics, first, desk, out)
            launch(list_pieces, batch, device, world, optics, first, desk, out, block=32)
            launch(cast_columns, batch * columns, device, grid, optics, first, desk, out)
            launch(detect_rays, batch * beams * ((columns + 1) // 2), device, world, optics, first, desk, out)
        if int(desk.missing[0]):
            raise ConfigError(
                f"a lidar on {device} has room for {pieces} pieces of {scene.num_actors} actors, and more show; "
                "place them less densely, or pass scene.to('cpu')"
            )
    return LidarFrames(
        range_m=ranges,
        intensity=intensity,
        hit=hit,
        actor=actor,
        valid=torch.ones((worlds, sensors), dtype=torch.bool, device=device),
        age_s=torch.zeros((worlds, sensors), device=device),
    )


def example(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A kernel of this module and arguments that it could be launched with, on the host: for compiling it without a GPU."""
    lidar, shape = Lidar("example", elevations_rad=(0.0, math.pi / 8), columns=16), (1, 1, 2, 16)
    one, actors = np.zeros(1, f4), np.zeros((1, 2))
    world = SceneArrays(
        np.zeros((1, 2, 2)), actors, np.zeros((1, 2, 2)), actors, np.ones((1, 2, 3)), np.zeros((1, 2), np.int64), np.ones((1, 2), np.bool_),
        one, np.zeros(1, np.int64), np.zeros(1, np.int64),
    )  # fmt: skip
    images = Images(np.zeros(shape, f4), np.zeros(shape, f4), np.zeros(shape, np.uint8), np.zeros(shape, np.int16))
    with_desk = (optics_of((lidar,)), 0, new_desk(1, 8, 2, 16, torch.device("cpu")), images)
    grid = grid_of(RoadMap.build([])).arrays()
    sky = Sky(one, one, one, one)
    arguments: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "place_sensors": (place_sensors, (world, sky, grid, *with_desk)),
        "aim_columns": (aim_columns, (world, *with_desk)),
        "list_pieces": (list_pieces, (world, *with_desk)),
        "cast_columns": (cast_columns, (grid, *with_desk)),
        "detect_rays": (detect_rays, (world, *with_desk)),
    }
    return arguments[name]
