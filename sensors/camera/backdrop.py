"""Sky and ground of one image row, in the haze, before any vehicle."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from sensors.camera.light import (
    AMBIENT_B,
    AMBIENT_G,
    AMBIENT_R,
    DISC_B,
    DISC_G,
    DISC_R,
    EXTINCTION,
    HAZE_HEIGHT_M,
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
from sensors.frames import Semantic
from sensors.ground import (
    FAST,
    GROUND_ROWS,
    HARD_SHARE,
    LABEL,
    NEXT,
    PAINT_SHARE,
    ROAD_SHARE,
    STRIDE,
    UX,
    UY,
    VX,
    VY,
    X,
    Y,
    clamp01,
    fast,
    floor,
    whole,
)
from sensors.jit import inlined
from sensors.noise import exp_fast

f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64
ZERO, ONE, SKY = f4(0), f4(1), f4(Semantic.SKY)
FAR = f4(1e6)
"""Depth of the sky while a row is drawn."""
CAMERA_ROWS = 30
DEPTH, DETAIL, SUNLIT, SKYLIT, FINE, COARSE, RED, GREEN, BLUE = (u8((GROUND_ROWS + n) * STRIDE) for n in range(9))
"""Further rows of the scratch: planar depth, pixels a metre of ground, shares of sun and sky light, grain, and the picture's colours."""
ACTOR, LEFT, BEFORE, SEEN_R, SEEN_G, SEEN_B = (u8((GROUND_ROWS + n) * STRIDE) for n in range(9, 15))
"""Of vehicles, nearest first: the actor at a pixel's middle, what share of the pixel is still left for what is behind, the same before
the part in hand, and the light of the share that is taken."""
GAIN, AWAY, PX, PY, PZ, PER_M, DARK, PALE, GLASS, GLOW_R, GLOW_G, THROUGH, SAMPLES = (u8((GROUND_ROWS + n) * STRIDE) for n in range(15, 28))
"""Of the face in hand: share of the picture, depth, place on the actor, pixels a metre, and its materials. THROUGH is the
haze before the ground; SAMPLES are three rows of the sky's."""
SCRATCH_ROWS = GROUND_ROWS + CAMERA_ROWS
SKY_STEP = 16
FINE_SKY = 0.01
"""Pixels wider than this angle [rad] each get a look at the sky of their own; of narrower ones, every SKY_STEP-th."""
GRAIN_SIZE = 256
FINE_M, COARSE_M = 0.04, 0.2
"""Size of a texel of the two layers of grain."""
PATCH_M = 0.6
"""Size of what the coarse layer shows: it is so smooth that its texels are not seen."""
UNSEEN = f4(0.06)
"""Where a pixel covers more texels than one over this along its longer side, nothing is seen of them."""
GROUND_FAR_M = 20_000.0
"""Beyond this depth the ground is taken for sky."""
# albedo: asphalt, shoulder, grass, paint
ASPHALT, SHOULDER_RGB, GRASS_RGB, PAINT_RGB = (0.105, 0.108, 0.115), (0.20, 0.19, 0.17), (0.085, 0.15, 0.045), (0.80, 0.80, 0.77)


@functools.cache
def grain_table() -> NDArray[np.float32]:
    """Smooth repeating noise with mean 0 within -1 to 1, row by row, fine and coarse, (2, GRAIN_SIZE ** 2); the same everywhere."""
    return np.stack((_grain(2), _grain(2 * round(PATCH_M / COARSE_M))))


def _grain(reach: int) -> NDArray[np.float32]:
    """One layer: random numbers smoothed three times by a triangle of so many texels to either side, and the sum of all; in integers."""
    state = np.arange(GRAIN_SIZE * GRAIN_SIZE, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    layer = ((state >> np.uint64(40)) & np.uint64(255)).astype(np.int64).reshape(GRAIN_SIZE, GRAIN_SIZE)
    total = np.zeros_like(layer)
    for _ in range(3):
        for axis in (0, 1):
            layer = sum(((reach - abs(n)) * np.roll(layer, n, axis) for n in range(1 - reach, reach)), np.zeros_like(layer))
        layer = (layer - layer.min()) * 255 // (layer.max() - layer.min())
        total += layer
    centred = total - total.mean()
    return np.ascontiguousarray((centred / np.abs(centred).max()).astype(np.float32).reshape(-1))


@fast
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
    for i in range(whole(count)):
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


@inlined()
def grain_place(x, y):  # type: ignore[no-untyped-def]
    """Offsets of a viewpoint in the two layers of grain, fine x, fine y, coarse x, coarse y, in texels."""
    tile_f, tile_c = GRAIN_SIZE * FINE_M, GRAIN_SIZE * COARSE_M
    return f4(x % tile_f / FINE_M), f4(y % tile_f / FINE_M), f4(x % tile_c / COARSE_M), f4(y % tile_c / COARSE_M)


@fast
def _find_texels(x0, y0, per_m, s, texels, first, count):  # type: ignore[no-untyped-def]
    """Number the texel of a layer of grain under each point."""
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        x, y = i4(floor(x0 + s[X + k] * per_m)), i4(floor(y0 + s[Y + k] * per_m))
        texels[u8(i)] = i4(i4(i4(y & i4(GRAIN_SIZE - 1)) * i4(GRAIN_SIZE)) + i4(x & i4(GRAIN_SIZE - 1)))


@fast
def _look_up(grain, texels, row, s, first, count):  # type: ignore[no-untyped-def]
    """Write the grain of each point's texel to a row of the scratch; by itself, as processors look up one by one."""
    for i in range(count):
        s[row + u8(first) + u8(i)] = grain[u8(texels[u8(i)])]


@fast
def _no_grain(row, s, first, count):  # type: ignore[no-untyped-def]
    """No grain."""
    for i in range(whole(count)):
        s[row + u8(first) + u8(i)] = ZERO


@inlined()
def grain_row(grain, place, s, texels, first, count):  # type: ignore[no-untyped-def]
    """Look up the two layers of grain, FINE and COARSE of the scratch, where a pixel does not cover many texels all along.

    Args:
        grain: ``grain_table()``.
        place: ``grain_place`` of the viewpoint.
        s: Scratch: X, Y and DETAIL are read.
        texels: Scratch, int32, as long as ``count`` in whole vectors.
        first: Column of the first pixel.
        count: How many.
    """
    detail = max(s[DETAIL + u8(first)], s[DETAIL + u8(first + count - 1)])
    for layer in range(2):
        size, seen, row = (f4(FINE_M), f4(FINE_M), FINE) if layer == 0 else (f4(COARSE_M), f4(PATCH_M), COARSE)
        if detail * seen > UNSEEN:
            _find_texels(place[2 * layer], place[2 * layer + 1], ONE / size, s, texels, first, count)
            _look_up(grain[layer], texels, row, s, first, count)
        else:
            _no_grain(row, s, first, count)


@fast
def haze_row(extinction, tangents, s, first, count):  # type: ignore[no-untyped-def]
    """Write what share of the light gets THROUGH the haze before the ground (Koschmieder); ``tangents`` as for ``colour_ground``."""
    right, step, below = tangents
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        tangent = right + step * f4(i4(i))
        s[THROUGH + k] = exp_fast(-extinction * s[DEPTH + k] * math.sqrt(ONE + tangent * tangent + below * below))


@fast
def albedo_of(s, k):  # type: ignore[no-untyped-def]
    """Albedo of a pixel of dry ground without its paint (red, green, blue), and the share of paint."""
    detail = s[DETAIL + k]
    fine, coarse = s[FINE + k] * min(f4(FINE_M) * detail, ONE), s[COARSE + k] * min(f4(2 * PATCH_M) * detail, ONE)
    tar = ONE + f4(0.30) * fine + f4(0.16) * coarse
    turf = ONE + f4(0.45) * fine + f4(0.35) * coarse
    a, hard = s[ROAD_SHARE + k], s[HARD_SHARE + k]
    p = s[PAINT_SHARE + k] * (ONE + f4(0.06) * fine)
    a, e, g = tar * a, tar * max(hard - a, ZERO), turf * (ONE - max(hard, a))
    r = a * f4(ASPHALT[0]) + e * f4(SHOULDER_RGB[0]) + g * f4(GRASS_RGB[0])
    q = a * f4(ASPHALT[1]) + e * f4(SHOULDER_RGB[1]) + g * f4(GRASS_RGB[1])
    b = a * f4(ASPHALT[2]) + e * f4(SHOULDER_RGB[2]) + g * f4(GRASS_RGB[2])
    return r, q, b, p


@fast
def colour_ground(light, tangents, s, first, count):  # type: ignore[no-untyped-def]
    """Light a part of a row of ground: albedo by what it is, grain, sun and sky, and the haze before it (Koschmieder).

    Args:
        light: One row of ``light_table``.
        tangents: Of the first pixel's angle to the right, its change with each pixel, and of the row's angle down.
        s: Scratch: PAINT_SHARE to COARSE and DEPTH are read, RED, GREEN and BLUE written.
        first: Column of the first pixel.
        count: How many.
    """
    up = light[SUN_Z]
    sun_r, sun_g, sun_b = light[SUN_R] * up, light[SUN_G] * up, light[SUN_B] * up
    sky_r, sky_g, sky_b = light[AMBIENT_R], light[AMBIENT_G], light[AMBIENT_B]
    air_r, air_g, air_b = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    haze_row(light[EXTINCTION], tangents, s, first, count)
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        r, q, b, p = albedo_of(s, k)
        lit, dome = s[SUNLIT + k], s[SKYLIT + k]
        through = s[THROUGH + k]
        s[RED + k] = air_r + ((r + p * (f4(PAINT_RGB[0]) - r)) * (sky_r * dome + sun_r * lit) - air_r) * through
        s[GREEN + k] = air_g + ((q + p * (f4(PAINT_RGB[1]) - q)) * (sky_g * dome + sun_g * lit) - air_g) * through
        s[BLUE + k] = air_b + ((b + p * (f4(PAINT_RGB[2]) - b)) * (sky_b * dome + sun_b * lit) - air_b) * through


@fast
def sky_numbers(light):  # type: ignore[no-untyped-def]
    """What ``sky_colour`` needs, as scalars that stay in registers: sun direction, its colour, horizon, zenith less horizon."""
    horizon = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    rise = light[ZENITH_R] - light[HORIZON_R], light[ZENITH_G] - light[HORIZON_G], light[ZENITH_B] - light[HORIZON_B]
    return (light[SUN_X], light[SUN_Y], light[SUN_Z]), (light[DISC_R], light[DISC_G], light[DISC_B]), horizon, rise


@fast
def sky_colour(sky, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Radiance of the sky along a unit direction: horizon to zenith, and a glow about the sun."""
    sun, sun_rgb, horizon, rise = sky
    a = math.sqrt(clamp01(dz))
    c = clamp01(dx * sun[0] + dy * sun[1] + dz * sun[2])
    c2 = c * c
    c4 = c2 * c2
    c16 = c4 * c4 * c4 * c4
    c16_up = max(c16, f4(1e-3))  # its 12th power stays above the numbers that processors are slow with
    c64 = c16_up * c16_up * c16_up * c16_up
    glow = f4(0.08) * c4 + f4(0.25) * c16 * c4 + f4(0.6) * c64 * c64 * c64
    r = horizon[0] + a * rise[0] + glow * sun_rgb[0]
    g = horizon[1] + a * rise[1] + glow * sun_rgb[1]
    b = horizon[2] + a * rise[2] + glow * sun_rgb[2]
    return r, g, b


@fast
def _hazed_sky(light, sky, ray, step, s, to, count):  # type: ignore[no-untyped-def]
    """Colour sky along rays from ``ray`` (x, y, z) on by ``step``, seen through a layer of haze of finite height; ``to`` is red's place."""
    ax, ay, az = ray
    sx, sy, sz = step
    air_r, air_g, air_b = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    optical = -light[EXTINCTION] * f4(HAZE_HEIGHT_M)
    for i in range(whole(count)):
        k, n = u8(to) + u8(i), f4(i4(i))
        dx, dy, dz = ax + sx * n, ay + sy * n, az + sz * n
        inverse = ONE / math.sqrt(dx * dx + dy * dy + dz * dz)
        r, g, b = sky_colour(sky, dx * inverse, dy * inverse, dz * inverse)
        through = exp_fast(optical / (max(dz, ZERO) * inverse + f4(0.02)))
        s[k], s[NEXT + k], s[NEXT + NEXT + k] = air_r + (r - air_r) * through, air_g + (g - air_g) * through, air_b + (b - air_b) * through


@fast
def _between(samples, step, s, first, count):  # type: ignore[no-untyped-def]
    """Fill RED, GREEN and BLUE between samples that lie ``step`` pixels apart, a multiple of 16."""
    for j in range((count + step - 1) // step):
        k, at = u8(samples) + u8(j), u8(first + j * step)
        r, g, b = s[k], s[NEXT + k], s[NEXT + NEXT + k]
        per_step = ONE / f4(step)
        up_r, up_g, up_b = (s[k + u8(1)] - r) * per_step, (s[NEXT + k + u8(1)] - g) * per_step, (s[NEXT + NEXT + k + u8(1)] - b) * per_step
        for i in range(whole(step)):
            n = f4(i4(i))
            s[RED + at + u8(i)] = r + up_r * n
            s[GREEN + at + u8(i)] = g + up_g * n
            s[BLUE + at + u8(i)] = b + up_b * n


@inlined(fastmath=FAST)
def colour_sky(light, sky, ray, step, s, first, count):  # type: ignore[no-untyped-def]
    """Colour a part of a row of sky.

    Args:
        light: One row of ``light_table``.
        sky: From ``sky_numbers``.
        ray: Of the first pixel (x, y, z).
        step: Its change with each pixel.
        s: Scratch: RED, GREEN, BLUE, DEPTH and LABEL are written, SAMPLES used.
        first: Column of the first pixel.
        count: How many.
    """
    if step[0] * step[0] + step[1] * step[1] + step[2] * step[2] > f4(FINE_SKY * FINE_SKY):
        _hazed_sky(light, sky, ray, step, s, RED + u8(first), count)
    else:  # the sky changes little from pixel to pixel
        wide = (step[0] * f4(SKY_STEP), step[1] * f4(SKY_STEP), step[2] * f4(SKY_STEP))
        _hazed_sky(light, sky, ray, wide, s, SAMPLES, (count + SKY_STEP - 1) // SKY_STEP + 1)
        _between(SAMPLES, SKY_STEP, s, first, count)
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        s[DEPTH + k], s[LABEL + k] = FAR, SKY
