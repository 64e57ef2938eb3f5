"""Lane paint where a lidar's rays meet the ground: by the camera's own grid over the road map, at the very point that a ray meets.

Points of a beam that are near each other are looked up at once, by the cell of the one in their middle: which cell that is need not be
exact, as a cell keeps all lines within ``REACH_M`` of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sensors.ground import HALF_PAINT, cell_at, corner_of, number_of, offset_of, on_dash, on_solid, run_of
from sensors.jit import inlined, leaf
from sensors.lidar.pieces import GX, GY, MOVED_X, MOVED_Y, VECTOR, ZERO, ZX, ZY, Doubles, Floats
from sensors.lidar.rays import GROUND_CODE, INVERSE, MET, ON_X, ON_Y, WHO
from sensors.paint import COS, CURVATURE, HIGH, LAST, LOW, PX, PY, SIN

F4 = np.float32
f4, u8 = np.float32, np.uint64
ONE = f4(1.0)
MOST_SPAN_M = 1.8
"""How far the first and the last of points that are looked up at once may be apart: half of it stays within ``REACH_M`` less paint."""
GROUP = 64
"""Most points that are looked up at once."""
TURN = 16
"""How many times as many columns a turn has at least: points at once are nearly in a row."""
Place = tuple[F4, F4, F4, F4]

rows = leaf(fastmath={"contract"})
inside = inlined(fastmath={"contract"})


@inside
def ground_point(w: F4, least: F4, tangent: F4, g: tuple[F4, F4], z: tuple[F4, F4], moved: tuple[F4, F4]) -> tuple[F4, F4]:
    """Where a ray meets the ground, from where the sensor ends the sweep, x and y [m].

    Args:
        w: Inverse of the parameter there.
        least: What it is taken for if it is less, as for a ray that meets nothing.
        tangent: Of the beam's elevation.
        g: The column's vector across the sensor's axis, x and y.
        z: That axis, likewise.
        moved: How far the sensor is from where it ends the sweep [m].
    """
    far = ONE / max(w, least)
    return (g[0] + tangent * z[0]) * far + moved[0], (g[1] + tangent * z[1]) * far + moved[1]


@inside
def covers(lines: Any, n: np.uint64, corner: tuple[F4, F4], x: F4, y: F4) -> bool:
    """Whether a point is on line n of a cell."""
    x, y = x - (corner[0] + lines[n, PX]), y - (corner[1] + lines[n, PY])
    forward, left = x * lines[n, COS] + y * lines[n, SIN], y * lines[n, COS] - x * lines[n, SIN]
    offset, run = offset_of(forward, left, lines[n, CURVATURE]), run_of(forward, left, lines[n, CURVATURE])
    if lines[n, LAST] < ZERO:
        return bool(on_solid(offset, run, lines[n, LOW], lines[n, HIGH]))
    return bool(on_dash(offset, run, lines[n, LOW], lines[n, HIGH], lines[n, LAST]))


@leaf(fastmath={"contract"})
def is_painted(grid: Any, place: Place, x: F4, y: F4) -> bool:
    """Whether a point of the ground is painted; as ``paint_row``, for one point."""
    i, j = cell_at(place, x, y, f4(1.0 / grid[5][2]))
    cell = number_of(i, j, f4(grid[6]), f4(grid[7]))
    if cell < ZERO:
        return False
    where, corner = u8(cell), corner_of(place, i, j, f4(grid[5][2]))
    for n in range(grid[1][where], grid[1][where + u8(1)]):
        if covers(grid[2], u8(n), corner, x, y):
            return True
    return False


@rows
def put_points(columns: Floats, count: int, tangent: F4, least: F4, rolls: bool, axes: Doubles, row: Floats) -> None:
    """Write rows ON_X and ON_Y of a beam's row that has INVERSE; arguments as for ``paint_row``."""
    zx, zy = f4(axes[0, 2]), f4(axes[1, 2])
    for column in range(count):
        k = u8(column)
        g = columns[GX + k], columns[GY + k]
        if rolls:
            z, moved = (columns[ZX + k], columns[ZY + k]), (columns[MOVED_X + k], columns[MOVED_Y + k])
        else:
            z, moved = (zx, zy), (ZERO, ZERO)
        row[ON_X + k], row[ON_Y + k] = ground_point(row[INVERSE + k], least, tangent, g, z, moved)


@inlined()
def bounds_of(grid: Any, place: Place) -> tuple[F4, F4, F4, F4]:
    """Where a grid begins and ends in x, and in y, from the viewpoint [m]."""
    size, x, y = f4(grid[5][2]), place[0] + place[2], place[1] + place[3]
    return -x * size, (f4(grid[6]) - x) * size, -y * size, (f4(grid[7]) - y) * size


@inlined()
def step_of(at: int, end: int, most: int, bounds: tuple[F4, F4, F4, F4], row: Floats) -> int:
    """How many of the points from ``at`` to ``end`` can be looked up at once, at most ``most``; 0 if all are far from the road."""
    i, k = u8(at), u8(end - 1)
    x0, y0, x1, y1 = row[ON_X + i], row[ON_Y + i], row[ON_X + k], row[ON_Y + k]
    spare = abs(x1 - x0) + abs(y1 - y0)
    if (max(x0, x1) + spare < bounds[0]) | (min(x0, x1) - spare > bounds[1]):
        return 0
    if (max(y0, y1) + spare < bounds[2]) | (min(y0, y1) - spare > bounds[3]):
        return 0
    square = ZERO  # of the way across the widest vector
    for first in range(at, end, VECTOR):
        i, k = u8(first), u8(first + VECTOR - 1)
        dx, dy = row[ON_X + k] - row[ON_X + i], row[ON_Y + k] - row[ON_Y + i]
        square = max(square, dx * dx + dy * dy)
    step = most
    while step > 1 and square * f4(step * step) > f4((MOST_SPAN_M * VECTOR) ** 2):
        step >>= 1
    return step


@inside
def is_beside(lines: Any, line: int, corner: tuple[F4, F4], first: int, middle: int, row: Floats) -> bool:
    """Whether all points are beside a line that is straight, by how far the middle one is and the first one from that."""
    n, i, k = u8(line), u8(first), u8(middle)
    x, y = row[ON_X + k] - (corner[0] + lines[n, PX]), row[ON_Y + k] - (corner[1] + lines[n, PY])
    spread = abs(row[ON_X + k] - row[ON_X + i]) + abs(row[ON_Y + k] - row[ON_Y + i])
    away = abs(y * lines[n, COS] - x * lines[n, SIN])
    return bool((lines[n, CURVATURE] == ZERO) & (away > HALF_PAINT + f4(1.5) * spread))


@inside
def paint_points(lines: Any, line: int, corner: tuple[F4, F4], first: int, count: int, strength: F4, row: Floats) -> None:
    """Give ground the strength of paint where a line covers it, in columns ``first`` and on, eight at least, which does no harm."""
    n, end = u8(line), (count + 7) & -8
    px, py, cos, sin = corner[0] + lines[n, PX], corner[1] + lines[n, PY], lines[n, COS], lines[n, SIN]
    low, high, curvature, phase = lines[n, LOW], lines[n, HIGH], lines[n, CURVATURE], lines[n, LAST]
    if curvature == ZERO and phase < ZERO:
        for column in range(end):
            k = u8(first) + u8(column)
            x, y = row[ON_X + k] - px, row[ON_Y + k] - py
            on = on_solid(y * cos - x * sin, x * cos + y * sin, low, high) & (row[WHO + k] == GROUND_CODE)
            row[MET + k] = strength if on else row[MET + k]
    elif curvature == ZERO:
        for column in range(end):
            k = u8(first) + u8(column)
            x, y = row[ON_X + k] - px, row[ON_Y + k] - py
            on = on_dash(y * cos - x * sin, x * cos + y * sin, low, high, phase) & (row[WHO + k] == GROUND_CODE)
            row[MET + k] = strength if on else row[MET + k]
    else:
        for column in range(end):
            k = u8(first) + u8(column)
            x, y = row[ON_X + k] - px, row[ON_Y + k] - py
            forward, left = x * cos + y * sin, y * cos - x * sin
            offset, run = offset_of(forward, left, curvature), run_of(forward, left, curvature)
            dash = on_dash(offset, run, low, high, phase) | (phase < ZERO)
            on = on_solid(offset, run, low, high) & dash & (row[WHO + k] == GROUND_CODE)
            row[MET + k] = strength if on else row[MET + k]


@leaf()
def paint_row(
    columns: Floats, count: int, tangent: F4, least: F4, rolls: bool, axes: Doubles, grid: Any, place: Place, strength: F4, row: Floats
) -> None:
    """Give the ground of a beam's row the strength of paint where there is some.

    Args:
        columns: Rows over all columns.
        count: How many.
        tangent: Of the beam's elevation.
        least: Least w that is within range.
        rolls: Whether the scan rolls.
        axes: ``world_R_sensor``, for one that does not.
        grid: ``PaintGrid.arrays()``.
        place: ``ground.place_in_grid`` of where the sensor ends the sweep.
        strength: Of paint.
        row: Rows INVERSE and WHO are read, MET changed.
    """
    whole, most, bounds = (count + VECTOR - 1) & -VECTOR, GROUP, bounds_of(grid, place)
    line_from, lines, size, per_cell, across, along = grid[1], grid[2], f4(grid[5][2]), f4(1.0 / grid[5][2]), f4(grid[6]), f4(grid[7])
    put_points(columns, whole, tangent, least, rolls, axes, row)
    while most > 1 and most * TURN > count:
        most >>= 1
    for at in range(0, whole, GROUP):
        end = min(at + GROUP, whole)
        step = step_of(at, end, most, bounds, row)
        if step == 0:
            continue
        for first in range(at, end, step):
            middle = min(first + (step >> 1), end - 1)
            i, j = cell_at(place, row[ON_X + u8(middle)], row[ON_Y + u8(middle)], per_cell)
            cell = number_of(i, j, across, along)
            if cell < ZERO:
                continue
            begin, stop = line_from[u8(cell)], line_from[u8(cell) + u8(1)]
            corner = corner_of(place, i, j, size)
            for n in range(begin, stop):
                if not is_beside(lines, n, corner, first, middle, row):
                    paint_points(lines, n, corner, first, min(step, end - first), strength, row)
