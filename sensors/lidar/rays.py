"""What every ray of a beam meets first: the ground, then the pieces that show parts of actors, then patches on those.

A row keeps w, the inverse of the parameter at which a ray meets something (``sensors.lidar.pieces``): the nearest thing has the largest, 0
is the sky. With it go strength, reflectivity times distance to the plane that was met, and a code: 2 actor + part, or ``GROUND_CODE``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, leaf
from sensors.lidar.actors import BEAM, BEAM_END, CODE, COUNT, FIRST_COLUMN, NEXT, PATCH, Pieces
from sensors.lidar.pieces import (
    GZ,
    PIECE_NUMBERS,
    REFLECTIVITY,
    SLOT_1,
    SLOT_2,
    SLOT_3,
    SLOT_4,
    SLOT_5,
    SLOT_6,
    STRENGTH,
    STRIDE,
    VECTOR,
    ZERO,
    A,
    B,
    Floats,
    Ints,
    plane_of,
)

f4, i2, i4, u1, u4, u8 = np.float32, np.int16, np.int32, np.uint8, np.uint32, np.uint64
Row = tuple[Floats, Floats, NDArray[np.uint8], NDArray[np.int16]]

GROUND, AIR = -1, -2
"""Labels of returns that show no actor."""
GROUND_CODE, AIR_CODE = f4(2 * GROUND), f4(2 * AIR)
INVERSE, MET, WHO, DISTANCE, POWER, NORMAL, CHANCE, ON_X, ON_Y = (u8(n * STRIDE) for n in range(9))
"""Rows of a beam: w, strength, code, range [m], reflectivity over squared range [1/m^2], a normal and a uniform number; where the ground is
met, x and y from where the sensor ends the sweep [m]."""
BEAM_NUMBERS = 9 * STRIDE
ONE = f4(1.0)
Seen = tuple[np.float32, np.float32, np.float32]

rows = leaf(fastmath={"contract"})
inside = inlined(fastmath={"contract"})


@inside
def see_ground(gz: np.float32, zz: np.float32, tangent: np.float32, per_height: np.float32) -> np.float32:
    """The w of the ground; ``per_height`` is 1 over the sensor's height, 0 below the ground."""
    return max(-(gz + tangent * zz) * per_height, ZERO)


@inside
def see_part(
    seen: Seen,
    code: np.float32,
    outer: tuple[np.float32, np.float32, np.float32],
    strengths: tuple[np.float32, np.float32, np.float32],
    inner: tuple[np.float32, np.float32, np.float32, np.float32],
) -> Seen:
    """What a ray sees with a part beside what it saw: w, strength and code.

    Args:
        seen: Without it.
        code: Of the part.
        outer: The w of the planes that it can be entered by.
        strengths: Of those.
        inner: The w of the planes that it can be left by.
    """
    strength, enter = strengths[1] if outer[1] < outer[0] else strengths[0], min(outer[0], outer[1])
    strength, enter = strengths[2] if outer[2] < enter else strength, min(enter, outer[2])
    leave = max(max(inner[0], inner[1]), max(inner[2], inner[3]))
    hit = (enter > seen[0]) & (enter >= leave)
    return enter if hit else seen[0], strength if hit else seen[1], code if hit else seen[2]


@inside
def see_patch(
    met: np.float32,
    who: np.float32,
    code: np.float32,
    bounds: tuple[np.float32, np.float32, np.float32, np.float32],
    strength: np.float32,
) -> np.float32:
    """Strength of what a ray sees with a patch on the part of a code; ``bounds`` are not negative within it."""
    hit = (who == code) & (min(min(bounds[0], bounds[1]), min(bounds[2], bounds[3])) >= ZERO)
    return strength if hit else met


@rows
def cast_ground(columns: Floats, count: int, tangent: np.float32, ground: tuple[np.float32, np.float32, np.float32], row: Floats) -> None:
    """Start a beam's row with the ground.

    Args:
        columns: Rows over all columns.
        count: How many.
        tangent: Of the beam's elevation.
        ground: How much the sensor's axis rises, 1 over its height, and the strength of the ground.
        row: Written.
    """
    zz, per_height, strength = ground
    for column in range(count):
        k = u8(column)
        row[INVERSE + k] = see_ground(columns[GZ + k], zz, tangent, per_height)
        row[MET + k], row[WHO + k] = strength, GROUND_CODE


@rows
def start_marked(
    columns: Floats,
    marked: Ints,
    vectors: int,
    level: bool,
    tangent: np.float32,
    ground: tuple[np.float32, np.float32, np.float32],
    row: Floats,
) -> None:
    """``cast_ground`` for some vectors of columns alone, which lie side by side in the row.

    Args:
        columns: Rows over all columns.
        marked: Which vectors.
        vectors: How many.
        level: All columns look alike.
        tangent: As for ``cast_ground``.
        ground: As there.
        row: Written.
    """
    zz, per_height, strength = ground
    alike = see_ground(columns[GZ], zz, tangent, per_height)
    for place in range(vectors * VECTOR):
        k = u8(place)
        row[INVERSE + k], row[MET + k], row[WHO + k] = alike, strength, GROUND_CODE
    if level:
        return
    for n in range(vectors):
        source, k = GZ + u8(marked[n] * VECTOR), INVERSE + u8(n * VECTOR)
        for column in range(min(VECTOR, STRIDE - marked[n] * VECTOR)):  # not a constant, of which no vector code is made
            row[k + u8(column)] = see_ground(columns[source + u8(column)], zz, tangent, per_height)


@leaf()
def meets_nothing(least: np.float32, zz: np.float32, tangent: np.float32, height: np.float32, need: np.float32) -> bool:
    """Whether no ray of a beam meets ground with a w above ``need``; ``least`` is what no column's g has less of in z."""
    return bool(height <= ZERO or -(least + tangent * zz) <= need * height)


@inside
def cast_part(pool: Floats, piece: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats) -> None:
    """Let a beam's row see a piece that shows a part.

    Args:
        pool: Rows of all pieces.
        piece: Where its rows begin.
        first: Where its first column is in the row.
        count: How many columns.
        code: What it shows.
        tangent: Of the beam's elevation.
        row: Changed where the piece is nearer than what was seen so far.
    """
    p, f = u8(piece), u8(first)
    for column in range(count):
        i = p + u8(column)
        k = f + u8(column)
        outer = (
            pool[i + A] + tangent * pool[i + B],
            pool[i + SLOT_1 + A] + tangent * pool[i + SLOT_1 + B],
            pool[i + SLOT_2 + A] + tangent * pool[i + SLOT_2 + B],
        )
        inner = (
            pool[i + SLOT_3 + A] + tangent * pool[i + SLOT_3 + B],
            pool[i + SLOT_4 + A] + tangent * pool[i + SLOT_4 + B],
            pool[i + SLOT_5 + A] + tangent * pool[i + SLOT_5 + B],
            pool[i + SLOT_6 + A] + tangent * pool[i + SLOT_6 + B],
        )
        strengths = pool[i + STRENGTH], pool[i + SLOT_1 + STRENGTH], pool[i + SLOT_2 + STRENGTH]
        seen = row[INVERSE + k], row[MET + k], row[WHO + k]
        row[INVERSE + k], row[MET + k], row[WHO + k] = see_part(seen, code, outer, strengths, inner)


@inside
def cast_patch(pool: Floats, piece: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats) -> None:
    """Let a beam's row see a patch where its part is what was seen; arguments as for ``cast_part``."""
    p, f = u8(piece), u8(first)
    for column in range(count):
        i = p + u8(column)
        k = f + u8(column)
        bounds = (
            pool[i + A] + tangent * pool[i + B],
            pool[i + SLOT_1 + A] + tangent * pool[i + SLOT_1 + B],
            pool[i + SLOT_2 + A] + tangent * pool[i + SLOT_2 + B],
            pool[i + SLOT_3 + A] + tangent * pool[i + SLOT_3 + B],
        )
        row[MET + k] = see_patch(row[MET + k], row[WHO + k], code, bounds, pool[i + STRENGTH])


@inside
def cast_still(pool: Floats, numbers: Floats, n: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats) -> None:
    """``cast_part`` in a scan that does not roll: of piece n only the rows of a are read, the rest is the same in all columns."""
    p, f = u8(n * PIECE_NUMBERS), u8(first)
    b0, b1, b2 = tangent * plane_of(numbers, n, 0)[3], tangent * plane_of(numbers, n, 1)[3], tangent * plane_of(numbers, n, 2)[3]
    b3, b4 = tangent * plane_of(numbers, n, 3)[3], tangent * plane_of(numbers, n, 4)[3]
    b5, b6 = tangent * plane_of(numbers, n, 5)[3], tangent * plane_of(numbers, n, 6)[3]
    strengths = numbers[n, REFLECTIVITY], numbers[n, REFLECTIVITY + 1], numbers[n, REFLECTIVITY + 2]
    for column in range(count):
        i = p + u8(column)
        k = f + u8(column)
        outer = pool[i + A] + b0, pool[i + SLOT_1 + A] + b1, pool[i + SLOT_2 + A] + b2
        inner = pool[i + SLOT_3 + A] + b3, pool[i + SLOT_4 + A] + b4, pool[i + SLOT_5 + A] + b5, pool[i + SLOT_6 + A] + b6
        seen = row[INVERSE + k], row[MET + k], row[WHO + k]
        row[INVERSE + k], row[MET + k], row[WHO + k] = see_part(seen, code, outer, strengths, inner)


@inside
def cast_still_patch(
    pool: Floats, numbers: Floats, n: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats
) -> None:
    """``cast_patch`` in a scan that does not roll."""
    p, f, strength = u8(n * PIECE_NUMBERS), u8(first), numbers[n, REFLECTIVITY]
    b0, b1 = tangent * plane_of(numbers, n, 0)[3], tangent * plane_of(numbers, n, 1)[3]
    b2, b3 = tangent * plane_of(numbers, n, 2)[3], tangent * plane_of(numbers, n, 3)[3]
    for column in range(count):
        i = p + u8(column)
        k = f + u8(column)
        bounds = pool[i + A] + b0, pool[i + SLOT_1 + A] + b1, pool[i + SLOT_2 + A] + b2, pool[i + SLOT_3 + A] + b3
        row[MET + k] = see_patch(row[MET + k], row[WHO + k], code, bounds, strength)


@leaf()
def sort_pieces(fields: Ints, count: int, beams: int, firsts: Ints) -> None:
    """Make a list of the pieces that begin at each beam, in their order: ``firsts``, one a beam, then column NEXT; -1 ends it."""
    for beam in range(beams):
        firsts[beam] = -1
    for n in range(count - 1, -1, -1):
        fields[n, NEXT], firsts[fields[n, BEAM]] = firsts[fields[n, BEAM]], n


@inlined()
def mark(fields: Ints, n: int, more: int, marks: Ints) -> None:
    """Count a piece in, or out, in all vectors of columns that it takes."""
    first = fields[n, FIRST_COLUMN] // VECTOR
    for vector in range(first, first + fields[n, COUNT] // VECTOR):
        marks[vector] += more


@leaf()
def update_shown(fields: Ints, beam: int, firsts: Ints, shown: int, showing: Ints, marks: Ints) -> int:
    """Drop the pieces that end at a beam from those ``showing`` and add those that begin; returns how many there are then.

    Args:
        fields: Of all pieces.
        beam: Which.
        firsts: Of ``sort_pieces``.
        shown: How many showed in the beam before.
        showing: Which; changed.
        marks: How many of them take each vector of columns; changed.
    """
    kept = 0
    for place in range(shown):
        n = showing[place]
        if beam < fields[n, BEAM_END]:
            showing[kept] = n
            kept += 1
        else:
            mark(fields, n, -1, marks)
    n = firsts[beam]
    while n >= 0:
        showing[kept] = n
        mark(fields, n, 1, marks)
        kept, n = kept + 1, fields[n, NEXT]
    return kept


@inlined()
def list_marked(marks: Ints, vectors: int, marked: Ints, places: Ints) -> int:
    """List the vectors of columns in which pieces show, and where in that list each is; returns how many there are."""
    count = 0
    for vector in range(vectors):  # without a branch, which could not be foreseen
        marked[count], places[vector] = vector, count
        count += int(marks[vector] > 0)
    return count


@leaf()
def cast_pieces(
    pool: Floats, pieces: Pieces, showing: Ints, shown: int, places: Ints, rolls: bool, tangent: np.float32, patches: int, row: Floats
) -> None:
    """Let a beam's row see all parts (``patches`` is 0) or all patches (1) of the pieces that show in it; ``places`` are of vectors."""
    fields, numbers = pieces.fields, pieces.numbers
    for place in range(shown):
        n = showing[place]
        if fields[n, PATCH] != patches:
            continue
        begin, wide, code = n * PIECE_NUMBERS, fields[n, COUNT], f4(fields[n, CODE])
        first = VECTOR * places[fields[n, FIRST_COLUMN] // VECTOR]
        if patches and rolls:
            cast_patch(pool, begin, first, wide, code, tangent, row)
        elif patches:
            cast_still_patch(pool, numbers, n, first, wide, code, tangent, row)
        elif rolls:
            cast_part(pool, begin, first, wide, code, tangent, row)
        else:
            cast_still(pool, numbers, n, first, wide, code, tangent, row)
