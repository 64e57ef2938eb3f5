"""Where in a range image the parts of actors are: pieces of up to 64 columns, each with its planes.

The direction of beam b in column k is ``g_k + tan(elevation_b) z_k``: g_k the column's vector across the sensor's axis, z_k that axis,
both turned to where the sensor looks when the column is measured. A plane ``n . x <= c`` is met at the parameter depth / (n . d), depth
being c - n . origin. Kept is the inverse, w = (n . d) / depth, which is linear in the tangent t of the elevation: w = a + b t. A convex
part is entered at the smallest w of the planes that the sensor is outside of (depth < 0), and seen where none of those that it is inside
of has a larger one, as that one would be left before. Of the six planes of a part at most three are outer and at most four can be left
by; where the sensor is outside of more (far above, or while it crosses one), each face is a piece of its own, bound by its neighbours.

Patches of another material on a face are bounded by four planes through the sensor, inside of which a + b t is not negative.

In a rolling scan each column has its own time: depths follow the motion, and the rest is the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, leaf
from sensors.lidar.config import MAX_COLUMNS

f4, i4, u8 = np.float32, np.int32, np.uint64
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
F4 = np.float32
Vector = tuple[F4, F4, F4]
Plane = tuple[F4, F4, F4, F4]

PIECE = 64
"""Most columns of a piece."""
VECTOR = 16
"""Pieces begin at a multiple of this many columns and have such a multiple."""

STRIDE = MAX_COLUMNS + 16
"""Distance between rows over all columns: a constant, so that the compiler knows that rows do not overlap; not a multiple of a page."""
GX, GY, GZ, ZX, ZY, ZZ, MOVED_X, MOVED_Y, TIME, AZIMUTH_NOISE, ELEVATION_NOISE = (u8(n * STRIDE) for n in range(11))
"""Rows of the columns: g and z in world axes, how far the sensor is from where it ends the sweep [m], when [s], and noise of the head.
Unsigned, as all indices here: a signed one may count from the end, which stops vector code. All but the first three are written for a
rolling scan alone, the noise where there is some."""
STEP = PIECE + 16
EX, EY, TX, TY, UX, UY = (u8(11 * STRIDE + n * STEP) for n in range(6))
"""Rows of the piece that is being shown in a rolling scan: what ``turned`` gives."""
COLUMN_NUMBERS = 11 * STRIDE + 6 * STEP

OUTER, INNER = 3, 4
SLOTS = OUTER + INNER
"""Planes of a piece: those it can be entered by, then those it can be left by. One there is no use for repeats the first of its kind."""
A, B, STRENGTH = u8(0), u8(SLOTS * STEP), u8(2 * SLOTS * STEP)
"""Rows of a piece, one for each slot: a and b of w, and for the outer ones reflectivity times distance to the plane. In a scan that does
not roll only a differs between columns, and the others are not written."""
PIECE_NUMBERS = (2 * SLOTS + OUTER) * STEP
SLOT_1, SLOT_2, SLOT_3, SLOT_4, SLOT_5, SLOT_6 = (u8(n * STEP) for n in range(1, SLOTS))

COS, SIN, SPIN, SENSOR_X, SENSOR_Y, MIDDLE_X, MIDDLE_Y, MIDDLE_TIME, SPEED_X, SPEED_Y, PLANES = range(11)
"""Numbers of a piece, from which its rows are made. In a rolling scan: the actor's heading at the piece's middle as cosine and sine, its
yaw rate, where the sensor is in its frame then, how far the sensor is from where it ends the sweep, when, the actor's velocity in world
axes; then four for each slot: its normal in the actor's frame and the depth at the middle. In a scan that does not roll only these are
needed: what g is multiplied with to give a, and b."""
REFLECTIVITY = PLANES + 4 * SLOTS
"""Of the outer slots: over the length of their normals in a rolling scan, else strength."""
NUMBERS = REFLECTIVITY + OUTER
ACROSS, LIMITS = PLANES + 4, PLANES + 6
"""Of a patch in a rolling scan: after its face's plane, the direction across in the actor's frame, then from and to across and in height,
from the sensor at the middle [m]."""

NEVER = f4(1e30)
TINY = f4(1e-9)
HALF, ONE, ZERO, TWO = f4(0.5), f4(1.0), f4(0.0), f4(2.0)

rows = leaf(fastmath={"contract"})
inside = inlined(fastmath={"contract"})


@inside
def turned(time: F4, frame: tuple[F4, F4, F4, F4, F4], moved: tuple[F4, F4], g: Vector, z: Vector) -> tuple[F4, F4, F4, F4, F4, F4]:
    """Turn a column into an actor's frame at the column's own time.

    Args:
        time: Since the piece's middle [s].
        frame: Cosine and sine of the actor's heading there, its yaw rate [rad/s], and where the sensor is in its frame, x and y [m].
        moved: How far the sensor went since, relative to the actor, in world axes [m].
        g: The column's vector in world axes.
        z: The sensor's axis.

    Returns:
        How far the sensor is from where it was in the actor's frame, x and y [m]; x and y of g, and of z, there.
    """
    cos, sin, spin, sx, sy = frame
    angle = spin * time
    square = angle * angle
    less, s = -HALF * square * (ONE - square * f4(1.0 / 12.0)), angle * (ONE - square * f4(1.0 / 6.0))
    ex, ey = cos * moved[0] + sin * moved[1], cos * moved[1] - sin * moved[0]
    px, py = sx + ex, sy + ey
    gx, gy, zx, zy = cos * g[0] + sin * g[1], cos * g[1] - sin * g[0], cos * z[0] + sin * z[1], cos * z[1] - sin * z[0]
    return (
        ex + (less * px + s * py),
        ey + (less * py - s * px),
        gx + (less * gx + s * gy),
        gy + (less * gy - s * gx),
        zx + (less * zx + s * zy),
        zy + (less * zy - s * zx),
    )


@inside
def plane_then(u: Plane, e: tuple[F4, F4], g: Vector, z: Vector) -> tuple[F4, F4, F4]:
    """A plane in a column of a rolling scan.

    Args:
        u: Its normal in the actor's frame, and its depth at the piece's middle.
        e: How far the sensor is from where it was then, in the actor's frame.
        g: The column's vector in the actor's frame.
        z: The sensor's axis there.

    Returns:
        a, b, and the depth.
    """
    depth = u[3] - u[0] * e[0] - u[1] * e[1]
    depth = TINY if abs(depth) < TINY else depth
    scale = ONE / depth
    return (u[0] * g[0] + u[1] * g[1] + u[2] * g[2]) * scale, (u[0] * z[0] + u[1] * z[1] + u[2] * z[2]) * scale, depth


@inside
def plane_still(c: Plane, g: Vector) -> F4:
    """The number a of a plane in a column of a scan that does not roll; c has what g is multiplied with, and b."""
    return c[0] * g[0] + c[1] * g[1] + c[2] * g[2]


@inside
def outer_of(a: F4, b: F4, depth: F4) -> tuple[F4, F4]:
    """The numbers of a slot to enter by; never where the sensor is inside of the plane."""
    return (a if depth < ZERO else -NEVER), (b if depth < ZERO else ZERO)


@inside
def inner_of(a: F4, b: F4, depth: F4, face: tuple[F4, F4]) -> tuple[F4, F4]:
    """The numbers of a slot to leave by.

    Where the sensor is outside of the plane, that one is another face of which the slot's ``face`` must be the one that is entered by:
    its w may not be larger, or not less than that w mirrored at its own.
    """
    return (TWO * face[0] - a if depth < ZERO else a), (TWO * face[1] - b if depth < ZERO else b)


@inside
def patch_bounds(
    face: tuple[F4, F4], across: tuple[F4, F4], height: tuple[F4, F4], shift: F4, limits: Plane
) -> tuple[F4, F4, F4, F4, F4, F4, F4, F4]:
    """Numbers a and b of the four bounds of a patch in a column: left and right of it, below and above.

    Args:
        face: a and b of its face.
        across: What is across the face, of g and of z.
        height: Upwards, likewise.
        shift: How far the sensor is across from where it was at the piece's middle [m].
        limits: Lowest and highest across and in height [m].
    """
    right, left = limits[0] - shift, limits[1] - shift
    return (
        across[0] - right * face[0],
        across[1] - right * face[1],
        left * face[0] - across[0],
        left * face[1] - across[1],
        height[0] - limits[2] * face[0],
        height[1] - limits[2] * face[1],
        limits[3] * face[0] - height[0],
        limits[3] * face[1] - height[1],
    )


@inside
def plane_of(numbers: Floats, n: int, slot: int) -> Plane:
    """The four numbers of a slot of piece n."""
    q = PLANES + 4 * slot
    return numbers[n, q], numbers[n, q + 1], numbers[n, q + 2], numbers[n, q + 3]


@rows
def show_still(columns: Floats, first: int, count: int, numbers: Floats, n: int, pool: Floats) -> None:
    """Write the rows of a of piece ``n``, a part, in a scan that does not roll.

    Args:
        columns: Rows over all columns.
        first: Its first column.
        count: How many.
        numbers: Of all pieces, (pieces, NUMBERS).
        n: Which one.
        pool: Where the rows are.
    """
    o, f = u8(n * PIECE_NUMBERS), u8(first)
    c0, c1, c2, c3 = plane_of(numbers, n, 0), plane_of(numbers, n, 1), plane_of(numbers, n, 2), plane_of(numbers, n, 3)
    c4, c5, c6 = plane_of(numbers, n, 4), plane_of(numbers, n, 5), plane_of(numbers, n, 6)
    for column in range(count):
        k, p = f + u8(column), o + u8(column)
        g = columns[GX + k], columns[GY + k], columns[GZ + k]
        pool[p + A], pool[p + SLOT_1 + A], pool[p + SLOT_2 + A] = plane_still(c0, g), plane_still(c1, g), plane_still(c2, g)
        pool[p + SLOT_3 + A], pool[p + SLOT_4 + A] = plane_still(c3, g), plane_still(c4, g)
        pool[p + SLOT_5 + A], pool[p + SLOT_6 + A] = plane_still(c5, g), plane_still(c6, g)


@rows
def show_still_patch(columns: Floats, first: int, count: int, numbers: Floats, n: int, pool: Floats) -> None:
    """Write the rows of a of piece ``n``, a patch, in a scan that does not roll; arguments as for ``show_still``."""
    o, f = u8(n * PIECE_NUMBERS), u8(first)
    c0, c1, c2, c3 = plane_of(numbers, n, 0), plane_of(numbers, n, 1), plane_of(numbers, n, 2), plane_of(numbers, n, 3)
    for column in range(count):
        k, p = f + u8(column), o + u8(column)
        g = columns[GX + k], columns[GY + k], columns[GZ + k]
        pool[p + A], pool[p + SLOT_1 + A] = plane_still(c0, g), plane_still(c1, g)
        pool[p + SLOT_2 + A], pool[p + SLOT_3 + A] = plane_still(c2, g), plane_still(c3, g)


@rows
def turn_columns(columns: Floats, first: int, count: int, numbers: Floats, n: int) -> None:
    """Write the rows EX to UY for piece ``n`` of a rolling scan."""
    frame = numbers[n, COS], numbers[n, SIN], numbers[n, SPIN], numbers[n, SENSOR_X], numbers[n, SENSOR_Y]
    mx, my, mt, vx, vy = numbers[n, MIDDLE_X], numbers[n, MIDDLE_Y], numbers[n, MIDDLE_TIME], numbers[n, SPEED_X], numbers[n, SPEED_Y]
    for column in range(count):
        i = u8(column)
        k = u8(first) + i
        time = columns[TIME + k] - mt
        moved = columns[MOVED_X + k] - mx - vx * time, columns[MOVED_Y + k] - my - vy * time
        g, z = (columns[GX + k], columns[GY + k], columns[GZ + k]), (columns[ZX + k], columns[ZY + k], columns[ZZ + k])
        ex, ey, gx, gy, zx, zy = turned(time, frame, moved, g, z)
        columns[EX + i], columns[EY + i], columns[TX + i] = ex, ey, gx
        columns[TY + i], columns[UX + i], columns[UY + i] = gy, zx, zy


@rows
def show_rolling(columns: Floats, first: int, count: int, numbers: Floats, n: int, pool: Floats) -> None:
    """Write the rows of piece ``n``, a part, in a rolling scan, after ``turn_columns``; arguments as for ``show_still``."""
    o, f = u8(n * PIECE_NUMBERS), u8(first)
    for slot in range(SLOTS):
        p, q, is_outer = o + u8(slot * STEP), PLANES + 4 * slot, slot < OUTER
        u = numbers[n, q], numbers[n, q + 1], numbers[n, q + 2], numbers[n, q + 3]
        if is_outer:
            reflectivity = numbers[n, REFLECTIVITY + slot]
            for column in range(count):
                i = u8(column)
                e, z = (columns[EX + i], columns[EY + i]), (columns[UX + i], columns[UY + i], columns[ZZ + f + i])
                a, b, depth = plane_then(u, e, (columns[TX + i], columns[TY + i], columns[GZ + f + i]), z)
                pool[p + A + i], pool[p + B + i] = outer_of(a, b, depth)
                pool[p + STRENGTH + i] = -reflectivity * depth
        else:
            for column in range(count):
                i = u8(column)
                e, z = (columns[EX + i], columns[EY + i]), (columns[UX + i], columns[UY + i], columns[ZZ + f + i])
                a, b, depth = plane_then(u, e, (columns[TX + i], columns[TY + i], columns[GZ + f + i]), z)
                pool[p + A + i], pool[p + B + i] = inner_of(a, b, depth, (pool[o + A + i], pool[o + B + i]))


@rows
def show_patch(columns: Floats, first: int, count: int, numbers: Floats, n: int, pool: Floats) -> None:
    """Write the rows of piece ``n``, a patch, in a rolling scan, after ``turn_columns``; arguments as for ``show_still``."""
    o, f, q, r = u8(n * PIECE_NUMBERS), u8(first), ACROSS, LIMITS
    u = numbers[n, PLANES], numbers[n, PLANES + 1], numbers[n, PLANES + 2], numbers[n, PLANES + 3]
    cx, cy, reflectivity = numbers[n, q], numbers[n, q + 1], numbers[n, REFLECTIVITY]
    limits = numbers[n, r], numbers[n, r + 1], numbers[n, r + 2], numbers[n, r + 3]
    for column in range(count):
        i = u8(column)
        k, p = f + i, o + i
        ex, ey, gx, gy, zx, zy = columns[EX + i], columns[EY + i], columns[TX + i], columns[TY + i], columns[UX + i], columns[UY + i]
        gz, zz = columns[GZ + k], columns[ZZ + k]
        a, b, depth = plane_then(u, (ex, ey), (gx, gy, gz), (zx, zy, zz))
        across = cx * gx + cy * gy, cx * zx + cy * zy
        a0, b0, a1, b1, a2, b2, a3, b3 = patch_bounds((a, b), across, (gz, zz), cx * ex + cy * ey, limits)
        pool[p + A], pool[p + B] = (a0 if depth < ZERO else -NEVER), b0
        pool[p + SLOT_1 + A], pool[p + SLOT_1 + B] = a1, b1
        pool[p + SLOT_2 + A], pool[p + SLOT_2 + B] = a2, b2
        pool[p + SLOT_3 + A], pool[p + SLOT_3 + B] = a3, b3
        pool[p + STRENGTH] = -reflectivity * depth
