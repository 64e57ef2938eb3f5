"""What a point of the ground shows: paint, road, shoulder or grass, filtered over a pixel's footprint; shared by cameras and bird's-eye.

Points come a row at a time, relative to a viewpoint whose place in the grid is known in float64, so that float32 is enough anywhere.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.frames import Semantic
from sensors.jit import kernel
from sensors.paint import COS, CURVATURE, EDGE_CELL, HIGH, LAST, LOW, PX, PY, REACH_M, ROAD_CELL, SHOULDER_M, SIN
from sensors.road import DASH_M, DASH_PERIOD_M, PAINT_WIDTH_M

f4, i4, u1, u8 = np.float32, np.int32, np.uint8, np.uint64
FAST = {"contract"}
PI, HALF_PI = f4(math.pi), f4(math.pi / 2)
HALF_PAINT = f4(0.5 * PAINT_WIDTH_M)
DASH_SHARE, PER_PERIOD = f4(DASH_M / DASH_PERIOD_M), f4(1.0 / DASH_PERIOD_M)
WIDEST = f4(2.0 * REACH_M)
SHOULDER_WIDTH = f4(SHOULDER_M)
ROAD, PAINT, SHOULDER, GRASS = u1(Semantic.ROAD), u1(Semantic.PAINT), u1(Semantic.SHOULDER), u1(Semantic.GRASS)
HALF, ONE, ZERO = f4(0.5), f4(1.0), f4(0.0)

MAX_WIDTH = 4096
"""Points that are looked up at once: the widest image."""
STRIDE = MAX_WIDTH + 16
"""Distance between the rows of the scratch: a constant, so that the compiler knows that rows do not overlap and makes vector code; not a
multiple of a page, so that rows do not share cache lines."""
GROUND_ROWS = 13
X, Y, UX, UY, VX, VY, PAINT_SHARE, ROAD_SHARE, HARD_SHARE, SUNLIT, SKYLIT, FINE, COARSE = (u8(n * STRIDE) for n in range(GROUND_ROWS))
"""Where each row of the scratch begins. Unsigned, as all indices of it: a signed one may count from the end, which stops vector code."""
NEXT = u8(STRIDE)


@kernel(fastmath=FAST)
def clamp01(x):  # type: ignore[no-untyped-def]
    """Clip to 0 to 1."""
    return min(max(x, ZERO), ONE)


@kernel(fastmath=FAST)
def floor(x):  # type: ignore[no-untyped-def]
    """Floor that stays float32; ``math.floor`` goes through int64 and stops loops from vectorising."""
    t = f4(i4(x))
    return t - ONE if t > x else t


@kernel(fastmath=FAST)
def band(x, low, high, width):  # type: ignore[no-untyped-def]
    """Share of [x - width/2, x + width/2] that lies within low to high."""
    h = HALF * width
    return clamp01((min(x + h, high) - max(x - h, low)) / width)


@kernel(fastmath=FAST)
def dash_share(run, width):  # type: ignore[no-untyped-def]
    """Share of [run - width/2, run + width/2] under dashes, by the integral of their pattern: right at any distance."""
    a, b = (run - HALF * width) * PER_PERIOD, (run + HALF * width) * PER_PERIOD
    fa, fb = floor(a), floor(b)
    return ((fb * DASH_SHARE + min(b - fb, DASH_SHARE)) - (fa * DASH_SHARE + min(a - fa, DASH_SHARE))) / (b - a)


@kernel(fastmath=FAST)
def arctan2(y, x):  # type: ignore[no-untyped-def]
    """Angle of (x, y) to 2e-6 rad, by Hastings' polynomial (Abramowitz and Stegun 4.4.49)."""
    ax, ay = abs(x), abs(y)
    q = min(ax, ay) / max(max(ax, ay), f4(1e-20))
    s = q * q
    p = f4(-0.0851330) + s * (f4(0.0208351))
    p = f4(0.9998660) + s * (f4(-0.3302995) + s * (f4(0.1801410) + s * p))
    angle = q * p
    angle = HALF_PI - angle if ay > ax else angle
    angle = PI - angle if x < ZERO else angle
    return -angle if y < ZERO else angle


@kernel(fastmath=FAST)
def offset_of(forward, left, curvature):  # type: ignore[no-untyped-def]
    """Distance to the left of a curve through the origin of (forward, left)."""
    if curvature == ZERO:
        return left
    e = left - HALF * curvature * (forward * forward + left * left)
    return f4(2.0) * e / (ONE + math.sqrt(max(ONE - f4(2.0) * curvature * e, ZERO)))


@kernel(fastmath=FAST)
def run_of(forward, left, curvature):  # type: ignore[no-untyped-def]
    """Length along a curve through the origin to the point of it that is next to (forward, left)."""
    return forward if curvature == ZERO else arctan2(curvature * forward, ONE - curvature * left) / curvature


@kernel(fastmath=FAST)
def line_share(lines, n, px, py, ux, uy, vx, vy, widest):  # type: ignore[no-untyped-def]
    """Share of a pixel that painted line ``n`` covers, and whether its middle is painted.

    u and v are the pixel's edges on the ground, no longer than ``widest`` together.
    """
    x, y, cos, sin, curvature = px - lines[n, PX], py - lines[n, PY], lines[n, COS], lines[n, SIN], lines[n, CURVATURE]
    forward, left = x * cos + y * sin, y * cos - x * sin
    offset = offset_of(forward, left, curvature)
    if abs(offset) > HALF_PAINT + HALF * min(widest, WIDEST):
        return ZERO, False
    run = run_of(forward, left, curvature)
    if run < lines[n, LOW] or run >= lines[n, HIGH]:
        return ZERO, False
    across = min(max(abs(uy * cos - ux * sin) + abs(vy * cos - vx * sin), f4(1e-3)), WIDEST)
    share, painted = band(offset, -HALF_PAINT, HALF_PAINT, across), abs(offset) <= HALF_PAINT
    phase = lines[n, LAST]
    if phase >= ZERO:
        along = max(abs(ux * cos + uy * sin) + abs(vx * cos + vy * sin), f4(1e-2))
        share *= dash_share(run + phase, along)
        periods = (run + phase) * PER_PERIOD
        painted = painted and periods - floor(periods) < DASH_SHARE
    return share, painted


@kernel(fastmath=FAST)
def lane_shares(lanes, n, px, py, ux, uy, vx, vy):  # type: ignore[no-untyped-def]
    """How far a point lies inside lane ``n``, and the shares of the pixel within the lane and within its shoulder too."""
    x, y, cos, sin, curvature = px - lanes[n, PX], py - lanes[n, PY], lanes[n, COS], lanes[n, SIN], lanes[n, CURVATURE]
    forward, left = x * cos + y * sin, y * cos - x * sin
    across = max(abs(uy * cos - ux * sin) + abs(vy * cos - vx * sin), f4(1e-3))
    inside = lanes[n, LAST] - abs(offset_of(forward, left, curvature))
    run = run_of(forward, left, curvature)
    over = max(lanes[n, LOW] - run, run - lanes[n, HIGH])
    inside = min(inside, -over) if over > ZERO else inside
    return inside, clamp01(HALF + inside / across), clamp01(HALF + (inside + SHOULDER_WIDTH) / across)


@kernel(fastmath=FAST)
def place_in_grid(grid, x, y):  # type: ignore[no-untyped-def]
    """Cell of a viewpoint, and its place within that cell, as numbers for ``ground_row``."""
    frame = grid[5]
    gx, gy = (x - frame[0]) / frame[2], (y - frame[1]) / frame[2]
    i, j = math.floor(min(max(gx, -1e8), 1e8)), math.floor(min(max(gy, -1e8), 1e8))
    return i4(i), i4(j), f4(gx - i), f4(gy - j)


@kernel(fastmath=FAST)
def ground_row(grid, place, s, first, count, label):  # type: ignore[no-untyped-def]
    """Look up a row of points: their paint, road and hard shares, and what is at their middle.

    Args:
        grid: ``PaintGrid.arrays()``.
        place: ``place_in_grid`` of the viewpoint.
        s: Scratch of rows of ``STRIDE`` numbers: X to VY are read; PAINT_SHARE, ROAD_SHARE and HARD_SHARE (with shoulder) written.
        first: The first point.
        count: How many points.
        label: Out: a ``Semantic`` of each point (W,) uint8.
    """
    cover, line_from, lines, lane_from, lanes, frame, columns, rows = grid
    i0, j0, fx, fy = place
    cell, per_cell = f4(frame[2]), f4(1.0 / frame[2])
    for n in range(count):
        k = u8(first + n)
        gx, gy = fx + s[X + k] * per_cell, fy + s[Y + k] * per_cell
        bx, by = floor(gx), floor(gy)
        i, j = i0 + i4(bx), j0 + i4(by)
        share, inner, outer, what = ZERO, ZERO, ZERO, GRASS
        if i >= 0 and j >= 0 and i < columns and j < rows:
            where = u8(j * columns + i)
            px, py = (gx - bx) * cell, (gy - by) * cell
            ux, uy, vx, vy = s[UX + k], s[UY + k], s[VX + k], s[VY + k]
            if cover[where] == ROAD_CELL:
                inner, outer, what = ONE, ONE, ROAD
            elif cover[where] == EDGE_CELL:
                best = f4(-1e9)
                for lane in range(lane_from[where], lane_from[where + u8(1)]):
                    inside, a, b = lane_shares(lanes, u8(lane), px, py, ux, uy, vx, vy)
                    best, inner, outer = max(best, inside), inner + a, outer + b
                inner, outer = min(inner, ONE), min(outer, ONE)
                what = ROAD if best >= ZERO else (SHOULDER if best >= -SHOULDER_WIDTH else GRASS)
            widest = abs(ux) + abs(uy) + abs(vx) + abs(vy)
            for line in range(line_from[where], line_from[where + u8(1)]):
                part, painted = line_share(lines, u8(line), px, py, ux, uy, vx, vy, widest)
                share += part
                what = PAINT if painted else what
        s[PAINT_SHARE + k], s[ROAD_SHARE + k] = min(share, ONE), inner
        s[HARD_SHARE + k], label[k] = outer, what
