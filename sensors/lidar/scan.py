"""Scanning worlds on a CPU: pieces are listed and shown, then every beam is cast and detected as a row."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sensors.ground import place_in_grid
from sensors.jit import inlined, kernel, leaf
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
from sensors.lidar.aim import look
from sensors.lidar.air import KINDS, extinction, fill_air
from sensors.lidar.config import MAX_COLUMNS
from sensors.lidar.detector import (
    AIR_NUMBERS,
    DETECTOR_NUMBERS,
    FADE,
    LEAST,
    LONGEST,
    PER_THRESHOLD,
    add_air,
    detect,
    detect_exact,
    detect_ground,
    draw,
    fetch_row,
    leave_empty,
    level_return,
    put_vectors,
    receive,
    repeat_return,
)
from sensors.lidar.markings import paint_row
from sensors.lidar.materials import ASPHALT, LANE_PAINT, SNOW, WET_PAINT_SHARE, WET_SHARE
from sensors.lidar.optics import AIR_STREAM, FIRST_SENSOR, RAYS_STREAM, Images, Optics
from sensors.lidar.pieces import (
    PIECE,
    PIECE_NUMBERS,
    STRIDE,
    VECTOR,
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
    Row,
    cast_ground,
    cast_pieces,
    list_marked,
    meets_nothing,
    sort_pieces,
    start_marked,
    update_shown,
)
from sensors.noise import world_key
from sensors.pose import SceneArrays, Sky
from sensors.prepared import compiled
from sensors.vehicle_shape import MAX_PARTS

f4, u4 = np.float32, np.uint32
Ground = tuple[np.float32, np.float32, np.float32]

FIRST_PIECES, LISTED_AT_ONCE = 256, 2560
"""Pieces that a thread has room for at first, and how many more can be listed: as many as an actor may take."""


class Room(NamedTuple):
    """What a thread works in; kept from call to call, as fresh pages cost as much as a sweep."""

    sight: View
    row: Floats  # (BEAM_NUMBERS,)
    air: Floats  # (AIR_NUMBERS,)
    kinds: Doubles  # (KINDS, 3)
    pieces: Pieces
    pool: Floats  # rows of all pieces
    showing: Ints  # (pieces,)
    firsts: Ints  # (beams,)
    marks: Ints  # of each vector of columns
    marked: Ints  # vectors of columns in which pieces show
    places: Ints  # of each vector of columns in a beam's row
    returns: Row  # of a beam
    detector: Floats  # (DETECTOR_NUMBERS,)
    most: Ints  # (1,) pieces that were needed


@leaf()
def list_pieces(
    scene: SceneArrays, b: int, max_range_m: float, materials: bool, optics: Optics, columns: int, v: View, listed: tuple[int, int],
    pieces: Pieces,
) -> tuple[int, int]:  # fmt: skip
    """List the pieces of all actors within range while there is room; the ego's own car is not seen.

    Args:
        scene: Worlds.
        b: Which.
        max_range_m: Range.
        materials: Whether patches are wanted.
        optics: Lidars.
        columns: C.
        v: Where the sensor looks from.
        listed: How many pieces there are already, and the actor that comes next.
        pieces: Written.

    Returns:
        The same as ``listed``, afterwards.
    """
    n, actor = listed
    while actor < scene.valid.shape[1] and n + most_of(columns) <= len(pieces.fields):
        if scene.valid[b, actor]:
            n = add_actor(scene, b, actor, columns, max_range_m, materials, n, optics.tan_elevation, v, pieces)
        actor += 1
    return n, actor


@inlined()
def most_of(columns: int) -> int:
    """Most pieces that an actor can have."""
    return (3 + columns // PIECE) * MAX_PARTS * MOST_OF_A_PART


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
def weigh_air(scene: SceneArrays, b: int, k: int, sky: Sky, optics: Optics, d: Floats, air: Floats, kinds: Doubles) -> bool:
    """Write the numbers of the detector and of the air; whether returns from the air are to be expected."""
    for i in range(DETECTOR_NUMBERS):
        d[i] = optics.detectors[k, i]
    if optics.fades[k] < 0.0:
        d[FADE] = -2.0 * extinction(scene.visibility[b], sky.rain[b], sky.snow[b])
    if not (optics.switches[k, 0] and optics.switches[k, 2]):
        return False
    expected: bool = fill_air(scene.visibility[b], sky.rain[b], sky.snow[b], 1.0 / d[PER_THRESHOLD], d[LONGEST], air, kinds)
    return expected


@inlined()
def shine_of(b: int, sky: Sky, dry: float, wet_share: float) -> float:
    """Reflectivity of a part of the ground, of which standing water leaves a share and which snow covers."""
    shine = dry * (1.0 - (1.0 - wet_share) * sky.wetness[b])
    return float(shine + (SNOW - shine) * sky.snow_cover[b])


@inlined()
def ground_of(b: int, sky: Sky, v: View) -> Ground:
    """How much the sensor's axis rises, 1 over its height, and the strength of the ground."""
    height = v.origin[2]
    strength = f4(max(height, 0.0) * shine_of(b, sky, ASPHALT, WET_SHARE))
    return f4(v.world_R_sensor[2, 2]), f4(1.0 / height if height > 0.0 else 0.0), strength


@inlined()
def paint_of(b: int, sky: Sky, v: View) -> np.float32:
    """Strength of lane paint."""
    return f4(max(v.origin[2], 0.0) * shine_of(b, sky, LANE_PAINT, WET_PAINT_SHARE))


@inlined()
def asks_for_paint(k: int, grid: Any, optics: Optics) -> bool:
    """Whether lidar k tells paint from asphalt, and there is paint."""
    return bool(optics.switches[k, 3] and len(grid[2]) > 0)


@inlined()
def scan_exactly(
    columns: int,
    beam: tuple[np.float32, np.float32],
    ground: Ground,
    level: bool,
    materials: bool,
    shown: int,
    showing: Ints,
    pieces: Pieces,
    pool: Floats,
    room: Room,
    out: Row,
) -> None:
    """Write the returns of a beam without noise: of the ground everywhere, then of the vectors of columns in which pieces show.

    Args:
        columns: C.
        beam: Tangent and cosine of its elevation.
        ground: As for ``rays.cast_ground``.
        level: All columns look alike: the ground's return is the same in all of them.
        materials: Whether patches show.
        shown: How many pieces show.
        showing: Which.
        pieces: All.
        pool: Their rows.
        room: To work in; it knows where the sensor looks and its detector.
        out: Written.
    """
    (tangent, cosine), v, d, row = beam, room.sight, room.detector, room.row
    if level:
        repeat_return(columns, level_return(v.columns, beam, ground, d), out)
    else:
        detect_ground(v.columns, columns, beam, ground, d, out)
    if shown == 0:
        return
    fetch_row(out, columns)
    vectors = list_marked(room.marks, (columns + VECTOR - 1) // VECTOR, room.marked, room.places)
    start_marked(v.columns, room.marked, vectors, level, tangent, ground, row)
    cast_pieces(pool, pieces, showing, shown, room.places, v.motion[3] > 0.0, tangent, 0, row)
    if materials:
        cast_pieces(pool, pieces, showing, shown, room.places, v.motion[3] > 0.0, tangent, 1, row)
    detect_exact(vectors * VECTOR, cosine, d, row, room.returns)
    put_vectors(columns, room.marked, vectors, room.returns, out)


@leaf()
def scan_beams(
    b: int, k: int, foggy: bool, scene: SceneArrays, sky: Sky, grid: Any, optics: Optics, pieces: Pieces, pool: Floats, showing: Ints,
    room: Room, out: Images,
) -> None:  # fmt: skip
    """Write what lidar k of world b returns, once its pieces are shown and sorted; arguments as in ``_scan``."""
    beams, columns = out.range_m.shape[2:]
    whole = (columns + VECTOR - 1) & -VECTOR
    v, row, air, firsts, marks, d = room.sight, room.row, room.air, room.firsts, room.marks, room.detector
    for vector in range(whole // VECTOR):
        marks[vector], room.places[vector] = 0, vector
    noise, materials, rolls = optics.switches[k, 0], optics.switches[k, 1], v.motion[3] > 0.0
    ground, paint, paints = ground_of(b, sky, v), paint_of(b, sky, v), asks_for_paint(k, grid, optics)
    spot = place_in_grid(grid, v.origin[0], v.origin[1])
    key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, RAYS_STREAM)
    air_key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, AIR_STREAM)
    slope = math.hypot(v.world_R_sensor[2, 0], v.world_R_sensor[2, 1])
    least, level = f4(-(slope * (1.0 + v.motion[4]) + v.motion[5])), slope == 0.0  # only an exact scan asks whether it is level
    shown = 0
    for e in range(beams):
        tangent, cosine = optics.tan_elevation[e], optics.cos_elevation[e]
        place = (out.range_m[b, k, e], out.intensity[b, k, e], out.hit[b, k, e], out.actor[b, k, e])
        shown = update_shown(pieces.fields, e, firsts, shown, showing, marks)
        if not foggy and shown == 0 and meets_nothing(least, ground[0], tangent, f4(v.origin[2]), d[LEAST] / cosine):
            leave_empty(columns, place)
            continue
        if not noise and not paints:
            beam = tangent, cosine
            scan_exactly(columns, beam, ground, level, materials, shown, showing, pieces, pool, room, place)
            continue
        cast_ground(v.columns, whole, tangent, ground, row)
        cast_pieces(pool, pieces, showing, shown, room.places, rolls, tangent, 0, row)
        if materials:
            cast_pieces(pool, pieces, showing, shown, room.places, rolls, tangent, 1, row)
        if paints:
            paint_row(v.columns, columns, tangent, d[LEAST], rolls, v.world_R_sensor, grid, spot, paint, row)
        if not noise:
            detect_exact(columns, cosine, d, row, place)
            continue
        receive(columns, cosine, d, row)
        if foggy:
            add_air(columns, u4(e * columns), air_key, d, air, row)
        draw(columns, u4(e * columns), key, row)
        detect(columns, d, row, place)


@kernel(nogil=True)
def _scan(first: int, end: int, scene: SceneArrays, sky: Sky, grid: Any, optics: Optics, out: Images, room: Room) -> None:
    """Scan worlds ``first`` to ``end`` with every lidar; what allocates nothing is in leaves, as here every array costs an atomic."""
    sensors, beams, columns = out.range_m.shape[1:]
    v, pieces, pool, showing = room.sight, room.pieces, room.pool, room.showing
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        foggy = weigh_air(scene, b, k, sky, optics, room.detector, room.air, room.kinds)
        look(scene, b, k, columns, optics, room.row, v)
        longest, materials, n, actor = room.detector[LONGEST], optics.switches[k, 1], 0, 1
        while actor < scene.valid.shape[1]:
            if n + most_of(columns) > len(pieces.fields):
                pieces = more_pieces(n + most_of(columns), pieces)
            n, actor = list_pieces(scene, b, longest, materials, optics, columns, v, (n, actor), pieces)
        if n > len(showing):
            pool, showing = vectors_of(2 * n * PIECE_NUMBERS), np.empty(2 * n, np.int32)
        room.most[0] = max(room.most[0], n)
        show_pieces(n, v.motion[3] > 0.0, pieces, v, pool)
        sort_pieces(pieces.fields, n, beams, room.firsts)
        scan_beams(b, k, foggy, scene, sky, grid, optics, pieces, pool, showing, room, out)


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
            np.empty((KINDS, 3)),
            new_pieces(most + LISTED_AT_ONCE),
            vectors_of(most * PIECE_NUMBERS),
            np.empty(most, np.int32),
            np.empty(max(beams, 128), np.int32),
            np.empty(MAX_COLUMNS // VECTOR + 1, np.int32),
            np.empty(MAX_COLUMNS // VECTOR + 1, np.int32),
            np.empty(MAX_COLUMNS // VECTOR + 1, np.int32),
            (vectors_of(STRIDE), vectors_of(STRIDE), np.empty(STRIDE, np.uint8), np.empty(STRIDE, np.int16)),
            np.empty(DETECTOR_NUMBERS, f4),
            np.zeros(1, np.int32),
        )
    return room


_entries: list[Callable[..., None]] = []
"""``_scan`` as it is compiled for the first call's arguments: those of others have the same types, contiguous and writable."""


def scan_share(first: int, end: int, scene: SceneArrays, sky: Sky, grid: Any, optics: Optics, out: Images) -> None:
    """``_scan`` in the calling thread's room."""
    arguments = first, end, scene, sky, grid, optics, out, _room(out.range_m.shape[2])
    if not _entries:
        _entries.append(compiled(_scan, *arguments))
    _entries[0](*arguments)
