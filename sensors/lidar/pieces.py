"""Where in a range image the parts of actors are: pieces of up to 64 columns, each with its planes and its bounds.

The direction of beam b in column k is ``g_k + tan(elevation_b) z_k``: g_k the column's vector across the sensor's axis, z_k that axis,
both turned to where the sensor looks when the column is measured. A plane ``n . x <= c`` is met at the parameter depth / (n . d), depth
being c - n . origin. Kept is the inverse, w = (n . d) / depth, which is linear in the tangent t of the elevation: w = a + b t. A convex
part is entered at the smallest w of the planes that the sensor is outside of (depth < 0). It is seen within the edges between those
planes and the ones that the sensor is inside of: in every column an interval of t, found once for all beams. Patches of another material
on a plane are bounded likewise.

In a rolling scan each column has its own time: depths follow the motion, and the rest is the same.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.jit import leaf
from sensors.lidar.config import MAX_COLUMNS

f4, i4, u8 = np.float32, np.int32, np.uint64
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
F4 = np.float32
Vector = tuple[F4, F4, F4]

PIECE = 64
"""Most columns of a piece."""
VECTOR = 8
"""Pieces begin at a multiple of this many columns where the image's edge allows."""

STRIDE = MAX_COLUMNS + 16
"""Distance between rows over all columns: a constant, so that the compiler knows that rows do not overlap; not a multiple of a page."""
GX, GY, GZ, ZX, ZY, ZZ, MOVED_X, MOVED_Y, TIME, AZIMUTH_NOISE, ELEVATION_NOISE = (u8(n * STRIDE) for n in range(11))
"""Rows of the columns: g and z in world axes, how far the sensor is from where it ends the sweep [m], when [s], and noise of the head.
Unsigned, as all indices here: a signed one may count from the end, which stops vector code."""
COLUMN_NUMBERS = 11 * STRIDE

STEP = PIECE + 16
SLOTS = 5
"""Planes that a convex part can show: its top or bottom, front, rear, left and right. All four sides only from far above."""
A, B, STRENGTH = (u8(n * SLOTS * STEP) for n in range(3))
"""Rows of a piece, one for each slot: a and b of w, and reflectivity times distance to the plane."""
LOW, HIGH = u8(15 * STEP), u8(16 * STEP)
"""Rows of a piece: the tangents between which it is seen."""
PIECE_NUMBERS = 17 * STEP
SLOT_1, SLOT_2, SLOT_3, SLOT_4 = u8(STEP), u8(2 * STEP), u8(3 * STEP), u8(4 * STEP)

NEVER = f4(1e30)
FAR = f4(1e9)
TINY = f4(1e-20)
HALF, ONE, ZERO = f4(0.5), f4(1.0), f4(0.0)

rows = leaf(fastmath={"contract"})


@rows
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


@rows
def tighten(low: F4, high: F4, a: F4, b: F4, here: bool) -> tuple[F4, F4]:
    """Narrow an interval of t to where a + b t >= 0, if this bound is a bound ``here``."""
    b = TINY if abs(b) < TINY else b
    edge = -a / b
    low = max(low, edge) if (b > ZERO) & here else low
    high = min(high, edge) if (b < ZERO) & here else high
    return low, high


@rows
def between(low: F4, high: F4, p: Vector, q: Vector) -> tuple[F4, F4]:
    """Narrow an interval of t by the edge between two planes, if the sensor is outside of just one of them: where w of that one is no less.

    Args:
        low: Of the interval.
        high: Of the interval.
        p: One plane's n . g, n . z and depth.
        q: The other's.
    """
    outer, inner = p[2] < ZERO, q[2] < ZERO
    sign = ONE if outer else -ONE
    a, b = sign * (p[2] * q[0] - q[2] * p[0]), sign * (p[2] * q[1] - q[2] * p[1])
    narrowed: tuple[F4, F4] = tighten(low, high, a, b, outer != inner)
    return narrowed


@rows
def slot_of(plane: Vector, reflectivity: F4) -> Vector:
    """Numbers a, b and strength of a plane's slot; one that the sensor is inside of is never the entry."""
    scale = ONE / plane[2]
    outside = plane[2] < ZERO
    return plane[0] * scale if outside else NEVER, plane[1] * scale if outside else ZERO, -reflectivity * plane[2]


@rows
def show_part(
    columns: Floats,
    first: int,
    count: int,
    middle: Vector,
    velocity: tuple[F4, F4],
    frame: tuple[F4, F4, F4, F4, F4],
    depth: tuple[F4, F4, F4, F4, F4, F4],
    lean: Vector,
    reflectivity: tuple[F4, F4, F4, F4],
    piece: int,
    pool: Floats,
) -> None:
    """Write the rows of a piece that shows a part.

    Args:
        columns: Rows over all columns.
        first: Its first column.
        count: How many.
        middle: Where the sensor is at its middle column from where it ends the sweep, x and y [m], and when that is [s].
        velocity: The actor's, in world axes [m/s].
        frame: As for ``turned``.
        depth: The sensor's in each plane at the middle [m]: top, bottom, front, rear, left, right.
        lean: Of front, rear and sides.
        reflectivity: Of top or bottom, front, rear and sides, over the length of their normals.
        piece: Where its rows begin.
        pool: Where they are.
    """
    d0, d1, d2, d3, d4, d5 = depth
    r0, r2, r3, r4 = reflectivity
    up = d0 < ZERO
    o = u8(piece)
    for column in range(count):
        i = u8(column)
        k = u8(first) + i
        time, gz, zz = columns[TIME + k] - middle[2], columns[GZ + k], columns[ZZ + k]
        moved = columns[MOVED_X + k] - middle[0] - velocity[0] * time, columns[MOVED_Y + k] - middle[1] - velocity[1] * time
        g, z = (columns[GX + k], columns[GY + k], gz), (columns[ZX + k], columns[ZY + k], zz)
        ex, ey, gx, gy, zx, zy = turned(time, frame, moved, g, z)
        top, bottom = (gz, zz, d0), (-gz, -zz, d1)
        front, rear = (gx + lean[0] * gz, zx + lean[0] * zz, d2 - ex), (lean[1] * gz - gx, lean[1] * zz - zx, d3 + ex)
        left, right = (gy + lean[2] * gz, zy + lean[2] * zz, d4 - ey), (lean[2] * gz - gy, lean[2] * zz - zy, d5 + ey)
        low, high = -FAR, FAR
        low, high = between(low, high, top, front)
        low, high = between(low, high, top, rear)
        low, high = between(low, high, top, left)
        low, high = between(low, high, top, right)
        low, high = between(low, high, bottom, front)
        low, high = between(low, high, bottom, rear)
        low, high = between(low, high, bottom, left)
        low, high = between(low, high, bottom, right)
        low, high = between(low, high, front, left)
        low, high = between(low, high, front, right)
        low, high = between(low, high, rear, left)
        low, high = between(low, high, rear, right)
        a0, b0, s0 = slot_of(top if up else bottom, r0)
        a1, b1, s1 = slot_of(front, r2)
        a2, b2, s2 = slot_of(rear, r3)
        a3, b3, s3 = slot_of(left, r4)
        a4, b4, s4 = slot_of(right, r4)
        p = o + i
        pool[p + A], pool[p + B], pool[p + STRENGTH] = a0, b0, s0
        pool[p + SLOT_1 + A], pool[p + SLOT_1 + B], pool[p + SLOT_1 + STRENGTH] = a1, b1, s1
        pool[p + SLOT_2 + A], pool[p + SLOT_2 + B], pool[p + SLOT_2 + STRENGTH] = a2, b2, s2
        pool[p + SLOT_3 + A], pool[p + SLOT_3 + B], pool[p + SLOT_3 + STRENGTH] = a3, b3, s3
        pool[p + SLOT_4 + A], pool[p + SLOT_4 + B], pool[p + SLOT_4 + STRENGTH] = a4, b4, s4
        pool[p + LOW], pool[p + HIGH] = low, high


@rows
def show_patch(
    columns: Floats,
    first: int,
    count: int,
    middle: Vector,
    velocity: tuple[F4, F4],
    frame: tuple[F4, F4, F4, F4, F4],
    limits: tuple[F4, F4, F4, F4],
    sideways: F4,
    share: F4,
    source: tuple[int, int],
    piece: int,
    pool: Floats,
) -> None:
    """Write the rows of a piece that shows a patch of another material on a plane: its bounds and, in the first slot, its strength.

    Args:
        columns: As for ``show_part``.
        first: As for ``show_part``.
        count: As for ``show_part``.
        middle: As for ``show_part``.
        velocity: As for ``show_part``.
        frame: As for ``turned``.
        limits: Where the patch is from the sensor at the piece's middle: lowest and highest across the plane and in height [m].
        sideways: 1 if y is across the plane, 0 if x is.
        share: Its reflectivity over that of the part.
        source: Where the rows of its part begin, and those of its plane's slot.
        piece: Where its own begin.
        pool: Where they are.
    """
    o, s, q, ahead = u8(piece), u8(source[0]), u8(source[1]), ONE - sideways
    for column in range(count):
        i = u8(column)
        k = u8(first) + i
        time, gz, zz = columns[TIME + k] - middle[2], columns[GZ + k], columns[ZZ + k]
        moved = columns[MOVED_X + k] - middle[0] - velocity[0] * time, columns[MOVED_Y + k] - middle[1] - velocity[1] * time
        ex, ey, gx, gy, zx, zy = turned(time, frame, moved, (columns[GX + k], columns[GY + k], gz), (columns[ZX + k], columns[ZY + k], zz))
        shift, g, z = sideways * ey + ahead * ex, sideways * gy + ahead * gx, sideways * zy + ahead * zx
        a, b, strength = pool[q + A + i], pool[q + B + i], pool[q + STRENGTH + i]
        low, high = pool[s + LOW + i], pool[s + HIGH + i]
        right, left = limits[0] - shift, limits[1] - shift
        low, high = tighten(low, high, g - right * a, z - right * b, True)
        low, high = tighten(low, high, left * a - g, left * b - z, True)
        low, high = tighten(low, high, gz - limits[2] * a, zz - limits[2] * b, True)
        low, high = tighten(low, high, limits[3] * a - gz, limits[3] * b - zz, True)
        pool[o + LOW + i], pool[o + HIGH + i] = low, high if a < FAR else -FAR
        pool[o + STRENGTH + i] = share * strength


@leaf(fastmath={"contract", "nnan", "nsz"})
def range_of(piece: int, count: int, pool: Floats) -> tuple[F4, F4]:
    """Lowest and highest tangent at which any column of a piece is seen; the first is above the second where none is."""
    low, high = FAR, -FAR
    q = u8(piece)
    for column in range(count):
        i = u8(column)
        a, b = pool[q + LOW + i], pool[q + HIGH + i]
        low, high = min(low, a if a <= b else FAR), max(high, b if a <= b else -FAR)
    return low, high


@leaf()
def columns_of(cx: float, cy: float, radius: float, slack_rad: float, columns: int) -> tuple[int, int]:
    """Bound the columns [k0, k1) that can see a sphere around (cx, cy) in the sensor's frame; k0 may be negative, k1 - k0 <= columns."""
    distance = math.hypot(cx, cy)
    if distance <= 1.001 * radius:
        return 0, columns
    half = math.asin(radius / distance) + slack_rad
    middle, per_radian = math.atan2(cy, cx), columns / (2.0 * math.pi)
    k0 = math.floor((middle - half) * per_radian - 0.51) & -VECTOR
    k1 = math.ceil((middle + half) * per_radian - 0.49) + 1
    return (k0, k1) if k1 - k0 < columns else (0, columns)
