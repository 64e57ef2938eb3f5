"""A canvas that draws the ground from above and soft-edged boxes on it, many pictures at once.

A mark is a rounded box: ``MARK_NUMBERS`` numbers in pixels and 0 to 255, see the columns. A line is a box without width, a dot one
without size; their radius gives them body.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.ground import (
    GROUND_ROWS,
    HARD_SHARE,
    PAINT_SHARE,
    ROAD_SHARE,
    STRIDE,
    UX,
    UY,
    VX,
    VY,
    X,
    Y,
    ground_row,
    place_in_grid,
)
from sensors.jit import kernel

f4, u1, u8 = np.float32, np.uint8, np.uint64
MARK_U, MARK_V, MARK_COS, MARK_SIN, MARK_HALF_LENGTH, MARK_HALF_WIDTH, MARK_RADIUS, MARK_SOFT, MARK_R, MARK_G, MARK_B, MARK_ALPHA = range(
    12
)
MARK_NUMBERS = 12
GRASS, HARD, ROAD, PAINT = (70, 92, 66), (104, 104, 100), (62, 65, 71), (232, 232, 226)


@kernel()
def _draw_ground(grid, x, y, pose, s, picture):  # type: ignore[no-untyped-def]
    """Paint the map under a picture whose pixels lie at world x, y of the first pixel's middle, and steps along u and v in ``pose``."""
    ux, uy, vx, vy = pose
    height, width = picture.shape[0], picture.shape[1]
    place = place_in_grid(grid, x, y)
    for v in range(height):
        for n in range(width):
            k = u8(n)
            s[X + k], s[Y + k] = ux * n + vx * v, uy * n + vy * v
            s[UX + k], s[UY + k], s[VX + k], s[VY + k] = ux, uy, vx, vy
        ground_row(grid, place, s, 0, width)
        for n in range(width):
            k = u8(n)
            paint, road, hard = s[PAINT_SHARE + k], s[ROAD_SHARE + k], s[HARD_SHARE + k]
            for c in range(3):
                value = GRASS[c] + hard * (HARD[c] - GRASS[c])
                value += road * (ROAD[c] - value)
                picture[v, n, c] = value + paint * (PAINT[c] - value)


@kernel()
def _draw_mark(mark, picture):  # type: ignore[no-untyped-def]
    """Blend one rounded box into a picture."""
    alpha = mark[MARK_ALPHA]
    if alpha <= 0.0:
        return
    u, v, cos, sin = mark[MARK_U], mark[MARK_V], mark[MARK_COS], mark[MARK_SIN]
    radius, soft = mark[MARK_RADIUS], max(mark[MARK_SOFT], f4(1.0))
    a, b = mark[MARK_HALF_LENGTH], mark[MARK_HALF_WIDTH]
    grown = radius + f4(0.5) * soft
    reach_u, reach_v = abs(cos) * a + abs(sin) * b + grown, abs(sin) * a + abs(cos) * b + grown
    height, width = picture.shape[0], picture.shape[1]
    if not (u + reach_u > 0.0 and u - reach_u < width and v + reach_v > 0.0 and v - reach_v < height):
        return
    for j in range(max(int(v - reach_v), 0), min(int(v + reach_v) + 1, height)):
        for i in range(max(int(u - reach_u), 0), min(int(u + reach_u) + 1, width)):
            du, dv = f4(i) + f4(0.5) - u, f4(j) + f4(0.5) - v
            p, q = abs(cos * du + sin * dv) - a, abs(cos * dv - sin * du) - b
            outside = math.sqrt(max(p, f4(0)) ** 2 + max(q, f4(0)) ** 2) + min(max(p, q), f4(0)) - radius
            share = alpha * min(max(f4(0.5) - outside / soft, f4(0)), f4(1))
            for c in range(3):
                picture[j, i, c] += share * (mark[MARK_R + c] - picture[j, i, c])


@kernel(nogil=True)
def draw_worlds(first, end, grid, origins, poses, marks, pictures):  # type: ignore[no-untyped-def]
    """Draw worlds ``first`` to ``end``: the ground, then their marks in order.

    Args:
        first: First world.
        end: End of the worlds.
        grid: ``PaintGrid.arrays()``.
        origins: World position of the first pixel's middle, (B, 2) float64.
        poses: World steps of one pixel right (x, y) and one down (x, y), (B, 4).
        marks: (B, M, MARK_NUMBERS) float32.
        pictures: Out: (B, H, W, 3) uint8.
    """
    _, height, width, _ = pictures.shape
    picture = np.empty((height, width, 3), np.float32)
    s = np.empty(GROUND_ROWS * STRIDE, np.float32)
    for w in range(first, end):
        pose = (f4(poses[w, 0]), f4(poses[w, 1]), f4(poses[w, 2]), f4(poses[w, 3]))
        _draw_ground(grid, origins[w, 0], origins[w, 1], pose, s, picture)
        for m in range(marks.shape[1]):
            _draw_mark(marks[w, m], picture)
        for v in range(height):
            for u in range(width):
                for c in range(3):
                    pictures[w, v, u, c] = u1(picture[v, u, c] + f4(0.5))
