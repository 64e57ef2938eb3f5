"""What a point of the ground shows: paint, road, shoulder or grass, filtered over a pixel's footprint; shared by cameras and bird's-eye.

Points come a row at a time, relative to a viewpoint whose place in the grid is known in float64, so that float32 is enough anywhere.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.frames import Semantic
from sensors.jit import inlined, leaf
from sensors.paint import COS, CURVATURE, EDGE_CELL, GRASS_CELL, HIGH, LAST, LOW, PX, PY, REACH_M, ROAD_CELL, SHOULDER_M, SIN
from sensors.road import DASH_M, DASH_PERIOD_M, PAINT_WIDTH_M

f4, i4, u8 = np.float32, np.int32, np.uint64
FAST = {"contract"}
plain = leaf()
fast = leaf(fastmath=FAST)
"""With fused multiply-adds, for what runs once a pixel."""
PI, HALF_PI = f4(math.pi), f4(math.pi / 2)
HALF_PAINT = f4(0.5 * PAINT_WIDTH_M)
DASH_SHARE, PER_PERIOD = f4(DASH_M / DASH_PERIOD_M), f4(1.0 / DASH_PERIOD_M)
WIDEST = f4(2.0 * REACH_M)
SHOULDER_WIDTH = f4(SHOULDER_M)
ROAD, PAINT, SHOULDER, GRASS = f4(Semantic.ROAD), f4(Semantic.PAINT), f4(Semantic.SHOULDER), f4(Semantic.GRASS)
HALF, ONE, ZERO = f4(0.5), f4(1.0), f4(0.0)

MAX_WIDTH = 4096
"""Points that are looked up at once: the widest image."""
STRIDE = MAX_WIDTH + 16
"""Distance between the rows of the scratch: a constant, so that the compiler knows that rows do not overlap and makes vector code; not a
multiple of a page, so that rows do not share cache lines."""
GROUND_ROWS = 16
X, Y, UX, UY, VX, VY, PAINT_SHARE, ROAD_SHARE, HARD_SHARE, LABEL, CELL, OFFSET, RUN, ACROSS, ALONG, INSIDE = (
    u8(n * STRIDE) for n in range(GROUND_ROWS)
)
"""Where each row of the scratch begins. Unsigned, as all indices of it: a signed one may count from the end, which stops vector code."""
NEXT = u8(STRIDE)


@leaf(inline="always")
def whole(count):  # type: ignore[no-untyped-def]
    """Round up to whole vectors: loops of so many have no rest, which would run one by one; scratch rows have room for it."""
    return ((count + 15) >> 4) << 4


@leaf(inline="always")
def eights(count):  # type: ignore[no-untyped-def]
    """``whole`` for loops with much to do for each point: compilers take eight at once there."""
    return ((count + 7) >> 3) << 3


@fast
def clamp01(x):  # type: ignore[no-untyped-def]
    """Clip to 0 to 1."""
    return min(max(x, ZERO), ONE)


@fast
def floor(x):  # type: ignore[no-untyped-def]
    """Floor that stays float32; ``math.floor`` goes through int64 and stops loops from vectorising."""
    t = f4(i4(x))
    return t - ONE if t > x else t


@fast
def band(x, low, high, width):  # type: ignore[no-untyped-def]
    """Share of [x - width/2, x + width/2] that lies within low to high."""
    h = HALF * width
    return clamp01((min(x + h, high) - max(x - h, low)) / width)


@fast
def dash_share(run, width):  # type: ignore[no-untyped-def]
    """Share of [run - width/2, run + width/2] under dashes, by the integral of their pattern: right at any distance."""
    a, b = (run - HALF * width) * PER_PERIOD, (run + HALF * width) * PER_PERIOD
    fa, fb = floor(a), floor(b)
    return ((fb * DASH_SHARE + min(b - fb, DASH_SHARE)) - (fa * DASH_SHARE + min(a - fa, DASH_SHARE))) / (b - a)


@fast
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


@fast
def offset_of(forward, left, curvature):  # type: ignore[no-untyped-def]
    """Distance to the left of a curve through the origin of (forward, left)."""
    if curvature == ZERO:
        return left
    e = left - HALF * curvature * (forward * forward + left * left)
    return f4(2.0) * e / (ONE + math.sqrt(max(ONE - f4(2.0) * curvature * e, ZERO)))


@fast
def run_of(forward, left, curvature):  # type: ignore[no-untyped-def]
    """Length along a curve through the origin to the point of it that is next to (forward, left)."""
    return forward if curvature == ZERO else arctan2(curvature * forward, ONE - curvature * left) / curvature


@fast
def place_in_grid(grid, x, y):  # type: ignore[no-untyped-def]
    """Cell of a viewpoint, and its place within that cell, as numbers for ``ground_row``."""
    frame = grid[5]
    gx, gy = (x - frame[0]) / frame[2], (y - frame[1]) / frame[2]
    i, j = math.floor(min(max(gx, -1e6), 1e6)), math.floor(min(max(gy, -1e6), 1e6))
    return f4(i), f4(j), f4(gx - i), f4(gy - j)


@fast
def cell_at(place, x, y, per_cell):  # type: ignore[no-untyped-def]
    """Column and row of a point's cell, whole numbers in float32; ``place`` of the viewpoint, from which x and y are [m]."""
    return place[0] + floor(place[2] + x * per_cell), place[1] + floor(place[3] + y * per_cell)


@fast
def number_of(i, j, columns, rows):  # type: ignore[no-untyped-def]
    """Number of a cell by its column and row, -1 outside the grid."""
    inside = (i >= ZERO) & (j >= ZERO) & (i < columns) & (j < rows)
    return j * columns + i if inside else f4(-1)


@fast
def corner_of(place, i, j, size):  # type: ignore[no-untyped-def]
    """Where the corner of a cell is from the viewpoint."""
    return (i - place[0] - place[2]) * size, (j - place[1] - place[3]) * size


@fast
def on_solid(offset, run, low, high):  # type: ignore[no-untyped-def]
    """Whether a point is on a solid line: its offset from it, and its run along it, which goes from ``low`` to ``high``."""
    return (run >= low) & (run < high) & (abs(offset) <= HALF_PAINT)


@fast
def on_dash(offset, run, low, high, phase):  # type: ignore[no-untyped-def]
    """Whether a point is on a dash of a line."""
    periods = (run + phase) * PER_PERIOD
    return on_solid(offset, run, low, high) & (periods - floor(periods) < DASH_SHARE)


@fast
def _find_cells(grid, place, s, first, count):  # type: ignore[no-untyped-def]
    """Write the number of each point's cell to CELL, -1 outside the grid; whole numbers that float32 holds exactly."""
    per_cell, columns, rows = f4(1.0 / grid[5][2]), f4(grid[6]), f4(grid[7])
    for n in range(whole(count)):
        k = u8(first) + u8(n)
        i, j = cell_at(place, s[X + k], s[Y + k], per_cell)
        s[CELL + k] = number_of(i, j, columns, rows)


@fast
def _same(row, s, at, end):  # type: ignore[no-untyped-def]
    """End of the run of points in one cell; a cell is convex, so that two of its points have all between them with them."""
    cell = s[row + u8(at)]
    at += 1
    while cell >= ZERO and at + 16 <= end and s[row + u8(at + 15)] == cell:
        at += 16
    while at < end and s[row + u8(at)] == cell:
        at += 1
    return at


@fast
def _fill(road, hard, label, s, first, count):  # type: ignore[no-untyped-def]
    """Give all points of a run one surface without paint."""
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        s[PAINT_SHARE + k], s[ROAD_SHARE + k], s[HARD_SHARE + k], s[LABEL + k] = ZERO, road, hard, label


@fast
def _along_straight(table, row, corner, s, first, count):  # type: ignore[no-untyped-def]
    """Measure points by a straight curve of a cell whose corner lies at ``corner``: OFFSET, RUN, and a pixel's extent ACROSS, ALONG."""
    cos, sin = table[row, COS], table[row, SIN]
    cx, cy = corner[0] + table[row, PX], corner[1] + table[row, PY]
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        x, y, ux, uy, vx, vy = s[X + k] - cx, s[Y + k] - cy, s[UX + k], s[UY + k], s[VX + k], s[VY + k]
        s[OFFSET + k], s[RUN + k] = y * cos - x * sin, x * cos + y * sin
        s[ACROSS + k] = max(abs(uy * cos - ux * sin) + abs(vy * cos - vx * sin), f4(1e-3))
        s[ALONG + k] = max(abs(ux * cos + uy * sin) + abs(vx * cos + vy * sin), f4(1e-2))


@inlined()
def _beside(table, row, corner, s, k):  # type: ignore[no-untyped-def]
    """Offset of a point from a straight curve of its cell, and a pixel's extent across it."""
    cos, sin = table[row, COS], table[row, SIN]
    x, y = s[X + k] - (corner[0] + table[row, PX]), s[Y + k] - (corner[1] + table[row, PY])
    across = abs(s[UY + k] * cos - s[UX + k] * sin) + abs(s[VY + k] * cos - s[VX + k] * sin)
    return y * cos - x * sin, across


@plain
def _beyond(table, row, corner, s, low, high, sign, limit):  # type: ignore[no-untyped-def]
    """First of the points ``low`` to ``high`` whose offset times ``sign`` is over a limit; the offset changes one way along a row."""
    while low < high:
        middle = (low + high) >> 1
        offset, _ = _beside(table, row, corner, s, u8(middle))
        if offset * sign > limit:
            high = middle
        else:
            low = middle + 1
    return low


@inlined()
def _near_line(table, row, corner, s, first, count):  # type: ignore[no-untyped-def]
    """First and end of those points of a run whose pixels a straight line may touch."""
    end = first + count
    begins, wide = _beside(table, row, corner, s, u8(first))
    ends, wide_too = _beside(table, row, corner, s, u8(end - 1))
    reach = HALF_PAINT + HALF * min(f4(1.1) * max(wide, wide_too), WIDEST)
    if min(begins, ends) > reach or max(begins, ends) < -reach:
        return first, first
    if count <= 32:
        return first, end
    sign = ONE if ends > begins else -ONE
    return _beyond(table, row, corner, s, first, end, sign, -reach), _beyond(table, row, corner, s, first, end, sign, reach)


@fast
def _along_arc(table, row, corner, s, first, count):  # type: ignore[no-untyped-def]
    """``_along_straight`` for a curve that bends."""
    cos, sin, curvature = table[row, COS], table[row, SIN], table[row, CURVATURE]
    cx, cy = corner[0] + table[row, PX], corner[1] + table[row, PY]
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        x, y, ux, uy, vx, vy = s[X + k] - cx, s[Y + k] - cy, s[UX + k], s[UY + k], s[VX + k], s[VY + k]
        forward, left = x * cos + y * sin, y * cos - x * sin
        s[OFFSET + k], s[RUN + k] = offset_of(forward, left, curvature), run_of(forward, left, curvature)
        s[ACROSS + k] = max(abs(uy * cos - ux * sin) + abs(vy * cos - vx * sin), f4(1e-3))
        s[ALONG + k] = max(abs(ux * cos + uy * sin) + abs(vx * cos + vy * sin), f4(1e-2))


@fast
def _add_solid(low, high, s, first, count):  # type: ignore[no-untyped-def]
    """Add a solid line to the paint of measured points, and the label where it covers their middle."""
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        offset, run = s[OFFSET + k], s[RUN + k]
        on = (run >= low) & (run < high)
        share = band(offset, -HALF_PAINT, HALF_PAINT, min(s[ACROSS + k], WIDEST))
        s[PAINT_SHARE + k] = min(s[PAINT_SHARE + k] + (share if on else ZERO), ONE)
        s[LABEL + k] = PAINT if on_solid(offset, run, low, high) else s[LABEL + k]


@fast
def _add_dashed(low, high, phase, s, first, count):  # type: ignore[no-untyped-def]
    """Add a dashed line likewise."""
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        offset, run = s[OFFSET + k], s[RUN + k]
        on = (run >= low) & (run < high)
        share = band(offset, -HALF_PAINT, HALF_PAINT, min(s[ACROSS + k], WIDEST)) * dash_share(run + phase, s[ALONG + k])
        painted = on_dash(offset, run, low, high, phase)
        s[PAINT_SHARE + k] = min(s[PAINT_SHARE + k] + (share if on else ZERO), ONE)
        s[LABEL + k] = PAINT if painted else s[LABEL + k]


@fast
def _add_lane(half_width, low, high, s, first, count):  # type: ignore[no-untyped-def]
    """Add a lane to the surface of measured points: road, and paved strip beside it. INSIDE keeps how far inside the best lane is."""
    for n in range(eights(count)):
        k = u8(first) + u8(n)
        run, per_across = s[RUN + k], ONE / s[ACROSS + k]
        inside = half_width - abs(s[OFFSET + k])
        over = max(low - run, run - high)
        inside = min(inside, -over) if over > ZERO else inside
        s[INSIDE + k] = max(s[INSIDE + k], inside)
        s[ROAD_SHARE + k] = min(s[ROAD_SHARE + k] + clamp01(HALF + inside * per_across), ONE)
        s[HARD_SHARE + k] = min(s[HARD_SHARE + k] + clamp01(HALF + (inside + SHOULDER_WIDTH) * per_across), ONE)


@fast
def _begin_edge(s, first, count):  # type: ignore[no-untyped-def]
    """Points before any lane is added."""
    for n in range(whole(count)):
        s[INSIDE + u8(first) + u8(n)] = f4(-1e9)


@fast
def _label_edge(s, first, count):  # type: ignore[no-untyped-def]
    """Label points of which all lanes are added."""
    for n in range(whole(count)):
        k = u8(first) + u8(n)
        inside = s[INSIDE + k]
        s[LABEL + k] = ROAD if inside >= ZERO else (SHOULDER if inside >= -SHOULDER_WIDTH else GRASS)


@inlined()
def _measure(table, row, corner, s, first, count):  # type: ignore[no-untyped-def]
    """Measure points by a curve of their cell."""
    if table[row, CURVATURE] == ZERO:
        _along_straight(table, row, corner, s, first, count)
    else:
        _along_arc(table, row, corner, s, first, count)


@inlined()
def _draw_line(lines, row, corner, s, first, count):  # type: ignore[no-untyped-def]
    """Add a painted line to points of its cell."""
    _measure(lines, row, corner, s, first, count)
    if lines[row, LAST] < ZERO:
        _add_solid(lines[row, LOW], lines[row, HIGH], s, first, count)
    else:
        _add_dashed(lines[row, LOW], lines[row, HIGH], lines[row, LAST], s, first, count)


@inlined()
def _draw_cell(grid, place, cell, s, first, count):  # type: ignore[no-untyped-def]
    """Look up points that lie in one cell with lines or lanes of its own."""
    cover, line_from, lines, lane_from, lanes, frame, columns, _ = grid
    corner = corner_of(place, f4(cell % columns), f4(cell // columns), f4(frame[2]))
    where = u8(cell)
    paved = ONE if cover[where] == ROAD_CELL else ZERO
    _fill(paved, paved, ROAD if cover[where] == ROAD_CELL else GRASS, s, first, count)
    if cover[where] == EDGE_CELL:
        _begin_edge(s, first, count)
        for n in range(lane_from[where], lane_from[where + u8(1)]):
            row = u8(n)
            _measure(lanes, row, corner, s, first, count)
            _add_lane(lanes[row, LAST], lanes[row, LOW], lanes[row, HIGH], s, first, count)
        _label_edge(s, first, count)
    for n in range(line_from[where], line_from[where + u8(1)]):
        row = u8(n)
        begin, end = first, first + count
        if lines[row, CURVATURE] == ZERO:
            begin, end = _near_line(lines, row, corner, s, first, count)
        if begin < end:
            _draw_line(lines, row, corner, s, begin, end - begin)


@inlined()
def _plain(grid, cell):  # type: ignore[no-untyped-def]
    """What covers a cell all over: GRASS_CELL or ROAD_CELL; EDGE_CELL if it has an edge or paint of its own."""
    if cell < ZERO:
        return GRASS_CELL
    where = u8(cell)
    return int(grid[0][where]) if grid[1][where + u8(1)] == grid[1][where] else EDGE_CELL


@inlined()
def ground_row(grid, place, s, first, count):  # type: ignore[no-untyped-def]
    """Look up a row of points on a straight line: their paint, road and hard shares, and what is at their middle.

    Points of one cell are done together: they ask the same few curves. Up to 15 points beyond the last are written too.

    Args:
        grid: ``PaintGrid.arrays()``.
        place: ``place_in_grid`` of the viewpoint.
        s: Scratch of rows of ``STRIDE`` numbers: X to VY are read; PAINT_SHARE, ROAD_SHARE, HARD_SHARE (with shoulder) and
            LABEL (a ``Semantic``) are written.
        first: The first point.
        count: How many points.
    """
    _find_cells(grid, place, s, first, count)
    at, end = first, first + count
    while at < end:
        cell = s[CELL + u8(at)]
        cover, to = _plain(grid, cell), _same(CELL, s, at, end)
        if cover == EDGE_CELL:
            _draw_cell(grid, place, int(cell), s, at, to - at)
        else:
            while to < end and _plain(grid, s[CELL + u8(to)]) == cover:
                to = _same(CELL, s, to, end)
            paved = ONE if cover == ROAD_CELL else ZERO
            _fill(paved, paved, ROAD if cover == ROAD_CELL else GRASS, s, at, to - at)
        at = to
