"""Sky and ground of one image row, before any vehicle."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from sensors.camera.light import (
    AMBIENT_B,
    AMBIENT_G,
    AMBIENT_R,
    HORIZON_B,
    HORIZON_G,
    HORIZON_R,
    SUN_B,
    SUN_G,
    SUN_R,
    SUN_X,
    SUN_Y,
    SUN_Z,
    ZENITH_B,
    ZENITH_G,
    ZENITH_R,
)
from sensors.ground import (
    COARSE,
    FAST,
    FINE,
    GROUND_ROWS,
    HARD_SHARE,
    NEXT,
    PAINT_SHARE,
    ROAD_SHARE,
    SKYLIT,
    STRIDE,
    SUNLIT,
    UX,
    UY,
    VX,
    VY,
    X,
    Y,
    clamp01,
    floor,
)
from sensors.jit import kernel

f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64
ZERO, ONE = f4(0), f4(1)
FAR = f4(1e6)
"""Depth of the sky while a row is drawn."""
DEPTH, DETAIL, LINE, RING = (u8((GROUND_ROWS + row) * STRIDE) for row in (0, 1, 2, 5))
"""Further rows of the scratch: planar depth, pixels a metre of ground, the colours of the row that is finished and of three drawn ones."""
SCRATCH_ROWS = GROUND_ROWS + 14
GRAIN_SIZE = 256
FINE_M, COARSE_M = 0.04, 0.6
"""Size of a texel of the two layers of grain."""
GROUND_FAR_M = 20_000.0
"""Beyond this depth the ground is taken for sky."""
# albedo: asphalt, shoulder, grass, paint
ASPHALT, SHOULDER_RGB, GRASS_RGB, PAINT_RGB = (0.105, 0.108, 0.115), (0.20, 0.19, 0.17), (0.085, 0.15, 0.045), (0.80, 0.80, 0.77)


@functools.cache
def grain_table() -> NDArray[np.float32]:
    """Smooth repeating noise with mean 0 within -1 to 1, row by row, (GRAIN_SIZE ** 2,); the same everywhere, by integer sums."""
    state = np.arange(GRAIN_SIZE * GRAIN_SIZE, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    layer = ((state >> np.uint64(40)) & np.uint64(255)).astype(np.int64).reshape(GRAIN_SIZE, GRAIN_SIZE)
    total = np.zeros_like(layer)
    for _ in range(3):
        for axis in (0, 1):
            layer = np.roll(layer, 1, axis) + 2 * layer + np.roll(layer, -1, axis)
        layer = (layer - layer.min()) * 255 // (layer.max() - layer.min())
        total += layer
    centred = total - total.mean()
    return np.ascontiguousarray((centred / np.abs(centred).max()).astype(np.float32).reshape(-1))


@kernel(fastmath=FAST)
def ground_points(right, ray, ray_z, step_z, z, down, s, first, count):  # type: ignore[no-untyped-def]
    """Where a part of a row meets the ground, and what a pixel covers there.

    Args:
        right: Change of the ray by one pixel to the right, world axes (x, y), with unit depth.
        ray: Ray of the first pixel, (x, y).
        ray_z: Its z, float64.
        step_z: Change of z by one pixel to the right, float64.
        z: The camera's height [m].
        down: Change of the ray by one pixel down (x, y, z).
        s: Scratch: DEPTH, DETAIL, X, Y, and the pixel's edges UX, UY (along the row), VX, VY (down) are written.
        first: Column of the first pixel.
        count: How many.
    """
    rx, ry = right
    ax, ay = ray
    wx, wy, wz = down
    sz = f4(step_z)
    for i in range(count):
        k, n = u8(first) + u8(i), f4(i4(i))
        dx, dy, dz = ax + rx * n, ay + ry * n, f4(ray_z + step_z * i4(i))
        inverse = ONE / dz
        t = -z * inverse
        a, b = sz * inverse, wz * inverse
        s[DEPTH + k] = t
        s[X + k], s[Y + k] = t * dx, t * dy
        ux, uy, vx, vy = t * (rx - dx * a), t * (ry - dy * a), t * (wx - dx * b), t * (wy - dy * b)
        s[UX + k], s[UY + k], s[VX + k], s[VY + k] = ux, uy, vx, vy
        s[DETAIL + k] = ONE / (max(abs(ux) + abs(vx), abs(uy) + abs(vy)) + f4(1e-3))
        s[SUNLIT + k], s[SKYLIT + k] = ONE, ONE


@kernel()
def grain_place(x, y):  # type: ignore[no-untyped-def]
    """Offsets of a viewpoint in the two layers of grain, fine x, fine y, coarse x, coarse y, in texels."""
    tile_f, tile_c = GRAIN_SIZE * FINE_M, GRAIN_SIZE * COARSE_M
    return f4(x % tile_f / FINE_M), f4(y % tile_f / FINE_M), f4(x % tile_c / COARSE_M), f4(y % tile_c / COARSE_M)


@kernel(fastmath=FAST)
def _grain_at(grain, x, y):  # type: ignore[no-untyped-def]
    """Noise of a texel."""
    i, j = i4(floor(x)), i4(floor(y))
    return grain[np.uint64(u4(u4(j & i4(GRAIN_SIZE - 1)) * u4(GRAIN_SIZE) + u4(i & i4(GRAIN_SIZE - 1))))]


@kernel(fastmath=FAST)
def grain_row(grain, place, s, first, count):  # type: ignore[no-untyped-def]
    """Look up the two layers of grain, faded where a pixel covers more than a texel: FINE and COARSE of the scratch."""
    fine_x, fine_y, coarse_x, coarse_y = place
    for i in range(count):
        k = u8(first) + u8(i)
        x, y = s[X + k], s[Y + k]
        inverse = s[DETAIL + k]
        fade = f4(FINE_M) * inverse
        fine = ZERO
        if fade > f4(0.06):
            fine = _grain_at(grain, fine_x + x * f4(1 / FINE_M), fine_y + y * f4(1 / FINE_M)) * min(fade, ONE)
        coarse = _grain_at(grain, coarse_x + x * f4(1 / COARSE_M), coarse_y + y * f4(1 / COARSE_M))
        s[FINE + k], s[COARSE + k] = fine, coarse * min(f4(2 * COARSE_M) * inverse, ONE)


@kernel(fastmath=FAST)
def colour_ground(light, s, out, first, count):  # type: ignore[no-untyped-def]
    """Light a part of a row of ground: albedo by what it is, grain, sun and sky.

    Args:
        light: One row of ``light_table``.
        s: Scratch: PAINT_SHARE to COARSE are read, the three colour rows from ``out`` on written.
        out: Where the first colour row begins.
        first: Column of the first pixel.
        count: How many.
    """
    up = light[SUN_Z]
    sun_r, sun_g, sun_b = light[SUN_R] * up, light[SUN_G] * up, light[SUN_B] * up
    sky_r, sky_g, sky_b = light[AMBIENT_R], light[AMBIENT_G], light[AMBIENT_B]
    to = u8(out)
    for i in range(count):
        k = u8(first) + u8(i)
        fine, coarse = s[FINE + k], s[COARSE + k]
        tar = ONE + f4(0.30) * fine + f4(0.16) * coarse
        turf = ONE + f4(0.45) * fine + f4(0.35) * coarse
        a, hard = s[ROAD_SHARE + k], s[HARD_SHARE + k]
        p = s[PAINT_SHARE + k] * (ONE + f4(0.06) * fine)
        e, g = max(hard - a, ZERO), ONE - max(hard, a)
        r = tar * (a * f4(ASPHALT[0]) + e * f4(SHOULDER_RGB[0])) + turf * g * f4(GRASS_RGB[0])
        q = tar * (a * f4(ASPHALT[1]) + e * f4(SHOULDER_RGB[1])) + turf * g * f4(GRASS_RGB[1])
        b = tar * (a * f4(ASPHALT[2]) + e * f4(SHOULDER_RGB[2])) + turf * g * f4(GRASS_RGB[2])
        lit, dome = s[SUNLIT + k], s[SKYLIT + k]
        s[to + k] = (r + p * (f4(PAINT_RGB[0]) - r)) * (sky_r * dome + sun_r * lit)
        s[to + NEXT + k] = (q + p * (f4(PAINT_RGB[1]) - q)) * (sky_g * dome + sun_g * lit)
        s[to + NEXT + NEXT + k] = (b + p * (f4(PAINT_RGB[2]) - b)) * (sky_b * dome + sun_b * lit)


@kernel(fastmath=FAST)
def sky_numbers(light):  # type: ignore[no-untyped-def]
    """What ``sky_colour`` needs, as scalars that stay in registers: sun direction, its colour, horizon, zenith less horizon."""
    horizon = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    rise = light[ZENITH_R] - light[HORIZON_R], light[ZENITH_G] - light[HORIZON_G], light[ZENITH_B] - light[HORIZON_B]
    return (light[SUN_X], light[SUN_Y], light[SUN_Z]), (light[SUN_R], light[SUN_G], light[SUN_B]), horizon, rise


@kernel(fastmath=FAST)
def sky_colour(sky, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Radiance of the sky along a unit direction: horizon to zenith, and a glow about the sun."""
    sun, sun_rgb, horizon, rise = sky
    a = math.sqrt(clamp01(dz))
    c = clamp01(dx * sun[0] + dy * sun[1] + dz * sun[2])
    c2 = c * c
    c4 = c2 * c2
    c16 = c4 * c4 * c4 * c4
    c64 = c16 * c16 * c16 * c16
    glow = f4(0.08) * c4 + f4(0.25) * c16 * c4 + f4(0.6) * c64 * c64 * c64
    r = horizon[0] + a * rise[0] + glow * sun_rgb[0]
    g = horizon[1] + a * rise[1] + glow * sun_rgb[1]
    b = horizon[2] + a * rise[2] + glow * sun_rgb[2]
    return r, g, b


@kernel(fastmath=FAST)
def colour_sky(sky, ray, step, s, out, first, count):  # type: ignore[no-untyped-def]
    """Colour a part of a row of sky, rays from ``ray`` (x, y, z) on by ``step`` a pixel; ``sky`` from ``sky_numbers``."""
    ax, ay, az = ray
    sx, sy, sz = step
    to = u8(out)
    for i in range(count):
        k, n = u8(first) + u8(i), f4(i4(i))
        dx, dy, dz = ax + sx * n, ay + sy * n, az + sz * n
        inverse = ONE / math.sqrt(dx * dx + dy * dy + dz * dz)
        r, g, b = sky_colour(sky, dx * inverse, dy * inverse, dz * inverse)
        s[to + k], s[to + NEXT + k], s[to + NEXT + NEXT + k] = r, g, b
        s[DEPTH + k] = FAR
