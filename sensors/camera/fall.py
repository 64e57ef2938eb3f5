"""Rain drops and snow flakes close to the camera, as streaks along their way past it while the shutter is open; and the veil of a low sun.

What falls farther away is the weather's visibility. How many there are follows the rates (``drops_per_m3``, ``flakes_per_m3``), their
streaks their fall and the ego's own motion. They are drawn some times stronger than a lens would show them (MARK): a drop of 2 mm covers a
pixel for 1 % of the exposure, which no viewer of one picture would see.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import BLUE, DEPTH, GREEN, RED
from sensors.camera.geometry import COLUMNS, FOCAL, ROWS
from sensors.camera.light import AMBIENT_B, AMBIENT_G, AMBIENT_R, DISC_B, DISC_G, DISC_R, DROPS, FLAKES, GLARE, SUN_X, SUN_Y, SUN_Z, WHITE
from sensors.ground import clamp01, eights, fast, plain
from sensors.noise import hash2, uniform

f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64
ZERO, ONE = f4(0), f4(1)
FALLERS, PIXELS_EACH = 1024, 16
"""Most that are drawn, and least number of pixels for each; beyond that fewer stand for all, each stronger."""
NEAR_M, FAR_M = 0.6, 4.0
DROP_M, FLAKE_M, DROP_MPS, FLAKE_MPS = 0.0025, 0.007, 7.0, 1.2
MARK, MOST = 2.5, 0.75
MARGIN = 1.25
"""Starts are spread over so much more than the image, as streaks come in from beside it."""
# Columns: first and end row, one end, vector to the other over its squared length, vector, half width [px], share, depth [m].
ROW_0, ROW_1, AT_U, AT_V, PER_U, PER_V, BY_U, BY_V, HALF, SHARE, AWAY = range(11)
FALLER_NUMBERS = 11
VEIL_NARROW, VEIL_FLOOR = f4(0.006), f4(0.03)
"""Veil of a glare source, over its light: VEIL_NARROW / (angle^2 + VEIL_FLOOR), the inverse square of Stiles and Holladay (CIE 146)."""


@plain
def _put_faller(view, a, b, depth, motion, size, share, faller):  # type: ignore[no-untyped-def]
    """Write one streak that begins at a place of the image and a depth and goes by ``motion`` [m], camera axes; whether it is in view."""
    after = depth + motion[2]
    if after < 0.5 * NEAR_M:
        return False
    focal = view[FOCAL]
    u, v = a * focal + 0.5 * view[COLUMNS], b * focal + 0.5 * view[ROWS]
    to_u = (a * depth + motion[0]) / after * focal + 0.5 * view[COLUMNS]
    to_v = (b * depth + motion[1]) / after * focal + 0.5 * view[ROWS]
    half = 0.5 * size * focal / (0.5 * (depth + after))
    by_u, by_v = to_u - u, to_v - v
    length = math.hypot(by_u, by_v)
    wide = max(half, 0.5)
    share *= min(MARK * math.sqrt(2.0 * half / (2.0 * half + length)), 1.0) * half / wide
    low, high = min(v, to_v) - wide, max(v, to_v) + wide
    if high < 0.0 or low > view[ROWS] or max(u, to_u) < -wide or min(u, to_u) > view[COLUMNS] + wide or share < 0.002:
        return False
    scale = 1.0 / max(length * length, 1e-6)
    faller[ROW_0], faller[ROW_1], faller[AT_U], faller[AT_V] = math.floor(low), math.ceil(high), u, v
    faller[PER_U], faller[PER_V], faller[BY_U], faller[BY_V] = by_u * scale, by_v * scale, by_u, by_v
    faller[HALF], faller[SHARE], faller[AWAY] = wide, min(share, MOST), min(depth, after)
    return True


@plain
def find_fallers(view, light, velocity, shutter_s, key, fallers):  # type: ignore[no-untyped-def]
    """List the drops and flakes that the camera sees.

    Args:
        view: (VIEW_NUMBERS,).
        light: One row of ``light_table``.
        velocity: The ego's [m/s], world axes, (2,).
        shutter_s: How long the shutter is open.
        key: Key words of this scene's and camera's draws, (2,).
        fallers: Out: (FALLERS, FALLER_NUMBERS) float32.

    Returns:
        How many.
    """
    half_u, half_v = 0.5 * view[COLUMNS] / view[FOCAL] * MARGIN, 0.5 * view[ROWS] / view[FOCAL] * MARGIN
    volume_m3 = 4.0 * half_u * half_v / 3.0 * (FAR_M**3 - NEAR_M**3)
    count, draw = 0, 0
    for kind in range(2):
        number = (light[DROPS] if kind == 0 else light[FLAKES]) * volume_m3
        drawn = min(number, 0.5 * FALLERS, view[COLUMNS] * view[ROWS] / PIXELS_EACH)
        if drawn <= 0.0:
            continue
        share, size, down = math.sqrt(number / drawn), DROP_M if kind == 0 else FLAKE_M, DROP_MPS if kind == 0 else FLAKE_MPS
        x, y, z = -velocity[0] * shutter_s, -velocity[1] * shutter_s, -down * shutter_s
        motion = (
            view[0] * x + view[3] * y + view[6] * z,
            view[1] * x + view[4] * y + view[7] * z,
            view[2] * x + view[5] * y + view[8] * z,
        )
        for _ in range(int(math.ceil(drawn))):
            a = half_u * (2.0 * uniform(hash2(u4(draw), key[0], key[1])) - 1.0)
            b = half_v * (2.0 * uniform(hash2(u4(draw + 1), key[0], key[1])) - 1.0)
            depth = FAR_M * max(uniform(hash2(u4(draw + 2), key[0], key[1])), (NEAR_M / FAR_M) ** 3) ** (1.0 / 3.0)
            draw += 3
            count += _put_faller(view, a, b, depth, motion, size, share, fallers[count])
    return count


@fast
def fall_row(light, fallers, count, v, width, s):  # type: ignore[no-untyped-def]
    """Lay streaks over the colours of row ``v``."""
    white = light[WHITE] / max((light[AMBIENT_R] + light[AMBIENT_G] + light[AMBIENT_B]) * f4(1 / 3), f4(1e-6))
    r, g, b = light[AMBIENT_R] * white, light[AMBIENT_G] * white, light[AMBIENT_B] * white
    for n in range(count):
        if f4(v) < fallers[n, ROW_0] or f4(v) >= fallers[n, ROW_1]:
            continue
        u0, dv, half = fallers[n, AT_U], f4(v) + f4(0.5) - fallers[n, AT_V], fallers[n, HALF]
        by_u, by_v = fallers[n, BY_U], fallers[n, BY_V]
        reach, near, far = half + ONE, ZERO, ONE
        if abs(by_v) > f4(0.01):
            one, two = (dv - reach) / by_v, (dv + reach) / by_v
            near, far = clamp01(min(one, two)), clamp01(max(one, two))
        low, high = u0 + min(near * by_u, far * by_u) - reach, u0 + max(near * by_u, far * by_u) + reach
        for i in range(max(int(low), 0), min(int(high) + 1, width)):
            du = f4(i) + f4(0.5) - u0
            t = clamp01(du * fallers[n, PER_U] + dv * fallers[n, PER_V])
            ex, ey = du - t * by_u, dv - t * by_v
            share = clamp01(half + f4(0.5) - math.sqrt(ex * ex + ey * ey)) * fallers[n, SHARE]
            k = u8(i)
            if s[DEPTH + k] > fallers[n, AWAY]:
                s[RED + k] += (r - s[RED + k]) * share
                s[GREEN + k] += (g - s[GREEN + k]) * share
                s[BLUE + k] += (b - s[BLUE + k]) * share


@plain
def sun_in_image(view, light):  # type: ignore[no-untyped-def]
    """Place of the sun in the image [px], where its veil is centred; how strong the veil is, 0 where the sun is not before the camera."""
    x, y, z = light[SUN_X], light[SUN_Y], light[SUN_Z]
    depth = view[2] * x + view[5] * y + view[8] * z
    if light[GLARE] == 0.0 or depth < 0.3:
        return f4(0), f4(0), f4(0)
    scale = view[FOCAL] / depth
    u, v = (view[0] * x + view[3] * y + view[6] * z) * scale, (view[1] * x + view[4] * y + view[7] * z) * scale
    return f4(u + 0.5 * view[COLUMNS]), f4(v + 0.5 * view[ROWS]), f4(light[GLARE])


@fast
def veil_row(light, sun, per_px, v, width, s):  # type: ignore[no-untyped-def]
    """Add the veil of the sun, which the lens scatters over row ``v``."""
    u0, v0, power = sun
    down = (f4(v) + f4(0.5) - v0) * per_px
    beyond = down * down + VEIL_FLOOR
    r, g, b = light[DISC_R] * power * VEIL_NARROW, light[DISC_G] * power * VEIL_NARROW, light[DISC_B] * power * VEIL_NARROW
    for i in range(eights(width)):
        k, across = u8(i), (f4(i4(i)) + f4(0.5) - u0) * per_px
        fall = ONE / (across * across + beyond)
        s[RED + k] += r * fall
        s[GREEN + k] += g * fall
        s[BLUE + k] += b * fall
