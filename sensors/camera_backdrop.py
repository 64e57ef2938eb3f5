"""Sky and ground of one image row, before any vehicle."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from sensors.camera_light import (
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
from sensors.ground import FAST, clamp01, floor
from sensors.jit import kernel

f4, i4 = np.float32, np.int32
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
def ground_points(right, ray, ray_z, step_z, z, down, depth, x, y, ux, uy, vx, vy):  # type: ignore[no-untyped-def]
    """Where a span of a row meets the ground, and what a pixel covers there.

    Args:
        right: Change of the ray by one pixel to the right, world axes (x, y), with unit depth.
        ray: Ray of the span's first pixel, (x, y).
        ray_z: Its z, float64.
        step_z: Change of z by one pixel to the right, float64.
        z: The camera's height [m].
        down: Change of the ray by one pixel down (x, y, z).
        depth: Out: planar depth (N,).
        x: Out: offset from the camera [m].
        y: Out: the same.
        ux: Out: edge of the pixel along the row, on the ground.
        uy: Out: the same.
        vx: Out: edge of the pixel down the columns.
        vy: Out: the same.
    """
    rx, ry = right
    ax, ay = ray
    wx, wy, wz = down
    sz = f4(step_z)
    for k in range(depth.size):
        n = f4(i4(k))
        dx, dy, dz = ax + rx * n, ay + ry * n, f4(ray_z + step_z * i4(k))
        inverse = f4(1) / dz
        t = -z * inverse
        depth[k], x[k], y[k] = t, t * dx, t * dy
        a, b = sz * inverse, wz * inverse
        ux[k], uy[k] = t * (rx - dx * a), t * (ry - dy * a)
        vx[k], vy[k] = t * (wx - dx * b), t * (wy - dy * b)


@kernel(fastmath=FAST)
def _grain_at(grain, x, y, offset_x, offset_y, per_texel):  # type: ignore[no-untyped-def]
    """Noise at a ground point."""
    i, j = i4(floor(offset_x + x * per_texel)), i4(floor(offset_y + y * per_texel))
    return grain[np.uint32((j & i4(GRAIN_SIZE - 1)) * i4(GRAIN_SIZE) + (i & i4(GRAIN_SIZE - 1)))]


@kernel()
def grain_place(x, y):  # type: ignore[no-untyped-def]
    """Offsets of a viewpoint in the two layers of grain, fine x, fine y, coarse x, coarse y, in texels."""
    tile_f, tile_c = GRAIN_SIZE * FINE_M, GRAIN_SIZE * COARSE_M
    return f4(x % tile_f / FINE_M), f4(y % tile_f / FINE_M), f4(x % tile_c / COARSE_M), f4(y % tile_c / COARSE_M)


@kernel(fastmath=FAST)
def colour_ground(light, grain, place, x, y, ux, uy, vx, vy, cover, sunlit, open_sky, red, green, blue):  # type: ignore[no-untyped-def]
    """Light a span of ground: albedo by what it is, grain that fades where a pixel cannot show it, sun and sky.

    Args:
        light: One row of ``light_table``.
        grain: ``grain_table()``.
        place: ``grain_place`` of the camera.
        x: Offset from the camera (N,); ``y`` likewise.
        y: See ``x``.
        ux: Pixel edges as from ``ground_points``.
        uy: See ``ux``.
        vx: See ``ux``.
        vy: See ``ux``.
        cover: (paint, road, hard) shares, each (N,).
        sunlit: Share of the sun (N,).
        open_sky: Share of the sky (N,).
        red: Out: radiance (N,).
        green: Out.
        blue: Out.
    """
    paint, road, hard = cover
    fine_x, fine_y, coarse_x, coarse_y = place
    up = light[SUN_Z]
    sun_r, sun_g, sun_b = light[SUN_R] * up, light[SUN_G] * up, light[SUN_B] * up
    sky_r, sky_g, sky_b = light[AMBIENT_R], light[AMBIENT_G], light[AMBIENT_B]
    for k in range(x.size):
        inverse = f4(1) / (max(abs(ux[k]) + abs(vx[k]), abs(uy[k]) + abs(vy[k])) + f4(1e-3))
        fine = _grain_at(grain, x[k], y[k], fine_x, fine_y, f4(1 / FINE_M)) * clamp01(f4(FINE_M) * inverse)
        coarse = _grain_at(grain, x[k], y[k], coarse_x, coarse_y, f4(1 / COARSE_M)) * clamp01(f4(2 * COARSE_M) * inverse)
        tar = f4(1) + f4(0.30) * fine + f4(0.16) * coarse
        turf = f4(1) + f4(0.45) * fine + f4(0.35) * coarse
        a, p = road[k], paint[k] * (f4(1) + f4(0.06) * fine)
        s, g = max(hard[k] - a, f4(0)), f4(1) - max(hard[k], a)
        r = tar * (a * f4(ASPHALT[0]) + s * f4(SHOULDER_RGB[0])) + turf * g * f4(GRASS_RGB[0])
        q = tar * (a * f4(ASPHALT[1]) + s * f4(SHOULDER_RGB[1])) + turf * g * f4(GRASS_RGB[1])
        b = tar * (a * f4(ASPHALT[2]) + s * f4(SHOULDER_RGB[2])) + turf * g * f4(GRASS_RGB[2])
        lit, dome = sunlit[k], open_sky[k]
        red[k] = (r + p * (f4(PAINT_RGB[0]) - r)) * (sky_r * dome + sun_r * lit)
        green[k] = (q + p * (f4(PAINT_RGB[1]) - q)) * (sky_g * dome + sun_g * lit)
        blue[k] = (b + p * (f4(PAINT_RGB[2]) - b)) * (sky_b * dome + sun_b * lit)


@kernel(fastmath=FAST)
def sky_colour(light, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Radiance of the sky along a unit direction: horizon to zenith, and a glow about the sun."""
    a = math.sqrt(clamp01(dz))
    c = clamp01(dx * light[SUN_X] + dy * light[SUN_Y] + dz * light[SUN_Z])
    c2 = c * c
    c4 = c2 * c2
    c16 = c4 * c4 * c4 * c4
    c64 = c16 * c16 * c16 * c16
    glow = f4(0.08) * c4 + f4(0.25) * c16 * c4 + f4(0.6) * c64 * c64 * c64
    r = light[HORIZON_R] + a * (light[ZENITH_R] - light[HORIZON_R]) + glow * light[SUN_R]
    g = light[HORIZON_G] + a * (light[ZENITH_G] - light[HORIZON_G]) + glow * light[SUN_G]
    b = light[HORIZON_B] + a * (light[ZENITH_B] - light[HORIZON_B]) + glow * light[SUN_B]
    return r, g, b


@kernel(fastmath=FAST)
def colour_sky(light, ray, step, red, green, blue):  # type: ignore[no-untyped-def]
    """Colour a span of sky, rays from ``ray`` (x, y, z) on by ``step`` a pixel."""
    ax, ay, az = ray
    sx, sy, sz = step
    for k in range(red.size):
        n = f4(i4(k))
        dx, dy, dz = ax + sx * n, ay + sy * n, az + sz * n
        inverse = f4(1) / math.sqrt(dx * dx + dy * dy + dz * dz)
        red[k], green[k], blue[k] = sky_colour(light, dx * inverse, dy * inverse, dz * inverse)
