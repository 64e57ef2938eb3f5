"""What every ray of a beam meets first: the ground, then the pieces that show parts of actors, then patches on those.

A row keeps w, the inverse of the parameter at which a ray meets something (``sensors.lidar.pieces``): the nearest thing has the largest, 0
is the sky. With it go strength, reflectivity times distance to the plane that was met, and a code: 2 actor + part, or ``GROUND_CODE``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import leaf
from sensors.lidar.actors import BEAM, BEAM_END, CODE, COUNT, FIRST_COLUMN, PATCH
from sensors.lidar.pieces import GZ, HIGH, LOW, PIECE_NUMBERS, SLOT_1, SLOT_2, SLOT_3, SLOT_4, STRENGTH, STRIDE, ZZ, A, B, Floats, Ints

f4, i2, i4, u1, u4, u8 = np.float32, np.int16, np.int32, np.uint8, np.uint32, np.uint64
Row = tuple[Floats, Floats, NDArray[np.uint8], NDArray[np.int16]]

GROUND, AIR = -1, -2
"""Labels of returns that show no actor."""
GROUND_CODE, AIR_CODE = f4(2 * GROUND), f4(2 * AIR)
INVERSE, MET, WHO, DISTANCE, POWER, NORMAL, CHANCE = (u8(n * STRIDE) for n in range(7))
"""Rows of a beam: w, strength, code, range [m], reflectivity over squared range [1/m^2], a normal and a uniform number."""
BEAM_NUMBERS = 7 * STRIDE
ZERO, ONE = f4(0.0), f4(1.0)

rows = leaf(fastmath={"contract"})


@rows
def cast_ground(columns: Floats, count: int, tangent: np.float32, height: np.float32, strength: np.float32, row: Floats) -> None:
    """Start a beam's row with the ground, ``height`` below the sensor."""
    per_height = ONE / height if height > ZERO else ZERO
    for column in range(count):
        k = u8(column)
        row[INVERSE + k] = max(-(columns[GZ + k] + tangent * columns[ZZ + k]) * per_height, ZERO)
        row[MET + k], row[WHO + k] = strength, GROUND_CODE


@leaf()
def lowest(columns: Floats, count: int) -> np.float32:
    """The least z of all columns' vectors across the sensor's axis."""
    least = columns[GZ]
    for column in range(count):
        least = min(least, columns[GZ + u8(column)])
    return f4(least)


@leaf()
def meets_nothing(least: np.float32, zz: np.float32, tangent: np.float32, height: np.float32, need: np.float32) -> bool:
    """Whether no ray of a beam meets ground with an inverse parameter above ``need``; ``least`` is from ``lowest``."""
    return bool(height <= ZERO or -(least + tangent * zz) <= need * height)


@rows
def cast_part(pool: Floats, piece: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats) -> None:
    """Let a beam's row see a piece that shows a part.

    Args:
        pool: Rows of all pieces.
        piece: Where its rows begin.
        first: Its first column.
        count: How many.
        code: What it shows.
        tangent: Of the beam's elevation.
        row: Changed where the piece is nearer than what was seen so far.
    """
    p, f = u8(piece), u8(first)
    for column in range(count):
        i = p + u8(column)
        k = f + u8(column)
        w, met, who = row[INVERSE + k], row[MET + k], row[WHO + k]
        low, high = pool[i + LOW], pool[i + HIGH]
        s0, s1, s2 = pool[i + STRENGTH], pool[i + SLOT_1 + STRENGTH], pool[i + SLOT_2 + STRENGTH]
        s3, s4 = pool[i + SLOT_3 + STRENGTH], pool[i + SLOT_4 + STRENGTH]
        w0, w1 = pool[i + A] + tangent * pool[i + B], pool[i + SLOT_1 + A] + tangent * pool[i + SLOT_1 + B]
        w2, w3 = pool[i + SLOT_2 + A] + tangent * pool[i + SLOT_2 + B], pool[i + SLOT_3 + A] + tangent * pool[i + SLOT_3 + B]
        w4 = pool[i + SLOT_4 + A] + tangent * pool[i + SLOT_4 + B]
        strength, enter = s1 if w1 < w0 else s0, min(w0, w1)
        strength, enter = s2 if w2 < enter else strength, min(enter, w2)
        strength, enter = s3 if w3 < enter else strength, min(enter, w3)
        strength, enter = s4 if w4 < enter else strength, min(enter, w4)
        hit = (enter > w) & (tangent >= low) & (tangent <= high)
        row[INVERSE + k] = enter if hit else w
        row[MET + k] = strength if hit else met
        row[WHO + k] = code if hit else who


@rows
def cast_patch(pool: Floats, piece: int, first: int, count: int, code: np.float32, tangent: np.float32, row: Floats) -> None:
    """Let a beam's row see a patch where its part is what was seen."""
    p, f = u8(piece), u8(first)
    for column in range(count):
        i = u8(column)
        k = f + i
        strength, low, high, met = pool[p + STRENGTH + i], pool[p + LOW + i], pool[p + HIGH + i], row[MET + k]
        hit = (row[WHO + k] == code) & (tangent >= low) & (tangent <= high)
        row[MET + k] = strength if hit else met


@leaf()
def shows_pieces(pieces: Ints, count: int, beam: int) -> bool:
    """Whether a beam meets any piece's bounds."""
    for n in range(count):
        if pieces[n, BEAM] <= beam < pieces[n, BEAM_END]:
            return True
    return False


@leaf()
def cast_pieces(pool: Floats, pieces: Ints, count: int, beam: int, tangent: np.float32, patches: int, row: Floats) -> None:
    """Let a beam's row see all parts (``patches`` is 0) or all patches (1)."""
    for n in range(count):
        if pieces[n, BEAM] <= beam < pieces[n, BEAM_END] and pieces[n, PATCH] == patches:
            begin, first, wide, code = n * PIECE_NUMBERS, pieces[n, FIRST_COLUMN], pieces[n, COUNT], f4(pieces[n, CODE])
            if patches:
                cast_patch(pool, begin, first, wide, code, tangent, row)
            else:
                cast_part(pool, begin, first, wide, code, tangent, row)
