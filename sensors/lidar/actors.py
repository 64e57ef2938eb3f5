"""Which pieces of the range image show an actor: its parts, and the patches of other materials on them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sensors.jit import kernel, leaf
from sensors.lidar import materials as m
from sensors.lidar.pieces import (
    COLUMN_NUMBERS,
    MOVED_X,
    MOVED_Y,
    PIECE,
    PIECE_NUMBERS,
    STEP,
    TIME,
    VECTOR,
    Doubles,
    Floats,
    Ints,
    columns_of,
    range_of,
    show_part,
    show_patch,
)
from sensors.pose import SceneArrays
from sensors.vehicle_shape import (
    CAR,
    FACE_FRONT,
    FACE_LEFT,
    FACE_REAR,
    FRONT,
    FRONT_LEAN,
    MAX_PARTS,
    PART_NUMBERS,
    REAR,
    REAR_LEAN,
    SIDE,
    SIDE_LEAN,
    Z0,
    Z1,
    fill_parts,
)

f4, u8 = np.float32, np.uint64
PATCHES, REFLECTIVITY, PLAIN_REFLECTIVITY, ROOF = m.PATCHES, m.REFLECTIVITY, m.PLAIN_REFLECTIVITY, m.ROOF
FIRST_COLUMN, COUNT, BEAM, BEAM_END, PATCH, CODE = range(6)
"""Columns of the list of pieces: first column, columns, beams, whether it is a patch, 2 actor + part."""
PIECE_FIELDS = 6
MOST_OF_A_PART = 1 + len(PATCHES)


class View(NamedTuple):
    """Where one sensor looks from, and what a thread works in."""

    origin: Doubles  # (3,) the sensor in the world at the end of the sweep
    world_R_sensor: Doubles  # (3, 3) then
    motion: Doubles  # (6,) velocity of the sensor x and y [m/s], yaw rate [rad/s], time of a turn [s], most noise in azimuth and elevation
    columns: Floats  # (COLUMN_NUMBERS,)
    parts: Doubles  # (MAX_PARTS, PART_NUMBERS) of one actor


@kernel()
def new_view() -> View:
    """Room for a thread."""
    return View(np.empty(3), np.empty((3, 3)), np.empty(6), np.empty(COLUMN_NUMBERS, f4), np.empty((MAX_PARTS, PART_NUMBERS)))


@kernel()
def room_for(count: int, pool: Floats, pieces: Ints) -> tuple[Floats, Ints]:
    """Give larger copies of the pool and the list of pieces, with room for ``count`` and as many more."""
    wider, longer = np.empty(2 * count * PIECE_NUMBERS, f4), np.empty((2 * count, PIECE_FIELDS), np.int32)
    for i in range(pool.size):  # a slice assignment takes seconds to compile
        wider[i] = pool[i]
    for n in range(len(pieces)):
        for field in range(PIECE_FIELDS):
            longer[n, field] = pieces[n, field]
    return wider, longer


@leaf()
def span_of(scene: SceneArrays, b: int, actor: int, max_range_m: float, columns: int, v: View) -> tuple[int, int]:
    """Bound the columns [k0, k1) that can see an actor; none where it is out of range."""
    sweep_s = v.motion[3]
    vx, vy = scene.velocity[b, actor, 0] - v.motion[0], scene.velocity[b, actor, 1] - v.motion[1]
    x = scene.position[b, actor, 0] - v.origin[0] - 0.5 * sweep_s * vx
    y = scene.position[b, actor, 1] - v.origin[1] - 0.5 * sweep_s * vy
    length, width, height = scene.size[b, actor, 0], scene.size[b, actor, 1], scene.size[b, actor, 2]
    z = 0.5 * height - v.origin[2]
    radius = 0.5 * math.sqrt(length * length + width * width + height * height) + 0.5 * sweep_s * math.hypot(vx, vy)
    if math.sqrt(x * x + y * y + z * z) - radius >= max_range_m:
        return 0, 0
    r = v.world_R_sensor
    slack = v.motion[4] + sweep_s * abs(v.motion[2])  # twice half the turn: a tilted sensor's azimuth turns a little faster
    span: tuple[int, int] = columns_of(
        r[0, 0] * x + r[1, 0] * y + r[2, 0] * z, r[0, 1] * x + r[1, 1] * y + r[2, 1] * z, radius, slack, columns
    )
    return span


@leaf()
def list_piece(n: int, first: int, count: int, patch: int, code: int, tan_elevation: Floats, pool: Floats, pieces: Ints) -> int:
    """List piece ``n`` if a beam meets it; returns how many there are then."""
    low, high = range_of(n * PIECE_NUMBERS, count, pool)
    if low > high:
        return n
    b0 = 0
    while b0 < tan_elevation.size and tan_elevation[b0] < low:
        b0 += 1
    b1 = b0
    while b1 < tan_elevation.size and tan_elevation[b1] <= high:
        b1 += 1
    pieces[n, FIRST_COLUMN], pieces[n, COUNT], pieces[n, BEAM], pieces[n, BEAM_END] = first, count, b0, b1
    pieces[n, PATCH], pieces[n, CODE] = patch, code
    return n + 1 if b0 < b1 else n


@leaf()
def away_from(depth: float) -> float:
    """Keep a sensor that lies in a plane off it."""
    return 1e-9 if abs(depth) < 1e-9 else depth


@leaf()
def may_meet(
    place: tuple[float, float, float], half: tuple[float, float], turn: tuple[float, float], tan_elevation: Floats, v: View
) -> bool:
    """Whether a beam can meet a small thing; for a scan that does not roll.

    Args:
        place: The middle of the thing from the sensor, in the actor's axes [m].
        half: Half of its longest diagonal, and of its height [m].
        turn: Cosine and sine of the actor's heading.
        tan_elevation: Of the beams, rising.
        v: Where the sensor looks from.
    """
    r = v.world_R_sensor
    x, y, z = turn[0] * place[0] - turn[1] * place[1], turn[1] * place[0] + turn[0] * place[1], place[2]
    cx, cy = r[0, 0] * x + r[1, 0] * y + r[2, 0] * z, r[0, 1] * x + r[1, 1] * y + r[2, 1] * z
    cz = r[0, 2] * x + r[1, 2] * y + r[2, 2] * z
    near, far = math.hypot(cx, cy) - half[0], math.hypot(cx, cy) + half[0]
    if near < 0.1:
        return True
    rise = half[1] * abs(r[2, 2]) + half[0] * math.hypot(r[0, 2], r[1, 2])
    low, high = cz - rise, cz + rise
    low, high = low / (near if low < 0.0 else far) - v.motion[5], high / (near if high > 0.0 else far) + v.motion[5]
    for e in range(tan_elevation.size):
        if tan_elevation[e] >= low:
            return bool(tan_elevation[e] <= high)
    return False


@leaf()
def add_actor(
    scene: SceneArrays,
    b: int,
    actor: int,
    begin: int,
    end: int,
    materials: bool,
    n: int,
    tan_elevation: Floats,
    v: View,
    pool: Floats,
    pieces: Ints,
) -> int:
    """Add the pieces that show an actor in columns [begin, end), for which there is room; returns how many there are then."""
    kind, length, wide, high = scene.kind[b, actor], scene.size[b, actor, 0], scene.size[b, actor, 1], scene.size[b, actor, 2]
    vx, vy, spin = scene.velocity[b, actor, 0], scene.velocity[b, actor, 1], scene.yaw_rate[b, actor]
    parts, up = fill_parts(kind, length, wide, high, v.parts), v.origin[2]
    for first in range(begin, end, PIECE):
        count = min(PIECE, (end - first + VECTOR - 1) & -VECTOR)
        k = u8(first + count // 2)
        time, mx, my = v.columns[TIME + k], v.columns[MOVED_X + k], v.columns[MOVED_Y + k]
        heading = scene.heading[b, actor] + spin * time
        cos, sin = math.cos(heading), math.sin(heading)
        x = v.origin[0] + mx - scene.position[b, actor, 0] - vx * time
        y = v.origin[1] + my - scene.position[b, actor, 1] - vy * time
        x, y = cos * x + sin * y, cos * y - sin * x
        middle, velocity, frame = (mx, my, time), (f4(vx), f4(vy)), (f4(cos), f4(sin), f4(spin), f4(x), f4(y))
        for number in range(parts):
            rho, source = REFLECTIVITY[kind, number] if materials else PLAIN_REFLECTIVITY[kind, number], n
            p, q = v.parts, number  # no slices: each costs its reference counts
            ahead, behind, aside = p[q, FRONT_LEAN], p[q, REAR_LEAN], p[q, SIDE_LEAN]
            d0, d1 = away_from(p[q, Z1] - up), away_from(up - p[q, Z0])
            d2, d3 = away_from(p[q, FRONT] - x - ahead * up), away_from(p[q, REAR] + x - behind * up)
            d4, d5 = away_from(p[q, SIDE] - y - aside * up), away_from(p[q, SIDE] + y - aside * up)
            if v.motion[3] == 0.0 and min(min(min(d0, d1), min(d2, d3)), min(d4, d5)) > 0.0:
                continue
            reflectivity = (
                f4(ROOF if kind == CAR else rho),
                f4(rho / math.sqrt(1.0 + ahead * ahead)),
                f4(rho / math.sqrt(1.0 + behind * behind)),
                f4(rho / math.sqrt(1.0 + aside * aside)),
            )
            depth, lean = (f4(d0), f4(d1), f4(d2), f4(d3), f4(d4), f4(d5)), (f4(ahead), f4(behind), f4(aside))
            show_part(v.columns, first, count, middle, velocity, frame, depth, lean, reflectivity, n * PIECE_NUMBERS, pool)
            n = list_piece(n, first, count, 0, 2 * actor + number, tan_elevation, pool, pieces)
            if n == source or not materials:
                continue
            for row in range(len(PATCHES)):
                if PATCHES[row, m.KIND] != kind or PATCHES[row, m.PART] != number:
                    continue
                face = int(PATCHES[row, m.FACE])
                if (d2 if face == FACE_FRONT else d3 if face == FACE_REAR else d4 if face == FACE_LEFT else d5) > 0.0:
                    continue
                sideways = face == FACE_FRONT or face == FACE_REAR
                half, place = (0.5 * wide, y) if sideways else (0.5 * length, x)
                limits = (
                    f4(PATCHES[row, m.ACROSS_LOW] * half - place),
                    f4(PATCHES[row, m.ACROSS_HIGH] * half - place),
                    f4(PATCHES[row, m.BOTTOM] * high - up),
                    f4(PATCHES[row, m.TOP] * high - up),
                )
                rise = 0.5 * (float(limits[2]) + float(limits[3]))
                across = 0.5 * (float(limits[0]) + float(limits[1]))
                if face == FACE_FRONT:
                    spot = (d2 - ahead * rise, across, rise)
                elif face == FACE_REAR:
                    spot = (behind * rise - d3, across, rise)
                elif face == FACE_LEFT:
                    spot = (across, d4 - aside * rise, rise)
                else:
                    spot = (across, aside * rise - d5, rise)
                half_rise = 0.5 * (float(limits[3]) - float(limits[2]))
                reach = math.hypot(0.5 * (float(limits[1]) - float(limits[0])), 2.0 * half_rise)  # leaning faces lean less than twice
                if v.motion[3] == 0.0 and not may_meet(spot, (reach, half_rise), (cos, sin), tan_elevation, v):
                    continue
                where = source * PIECE_NUMBERS, source * PIECE_NUMBERS + (face - 1) * STEP
                side, share = f4(1.0 if sideways else 0.0), f4(PATCHES[row, m.MATERIAL] / rho)
                show_patch(v.columns, first, count, middle, velocity, frame, limits, side, share, where, n * PIECE_NUMBERS, pool)
                n = list_piece(n, first, count, 1, 2 * actor + number, tan_elevation, pool, pieces)
    return n
