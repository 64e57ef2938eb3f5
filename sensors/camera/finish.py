"""From a row's radiance to its bytes: haze, smooth outlines, lamp glow, display curve, sensor noise."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import DEPTH, FAR, LINE, RING
from sensors.camera.geometry import (
    AT_COS,
    AT_HEIGHT,
    AT_KIND,
    AT_LENGTH,
    AT_LIGHTS,
    AT_SIN,
    AT_VALID,
    AT_WIDTH,
    AT_X,
    AT_Y,
    COLUMNS,
    FOCAL,
    HULL_X,
    HULL_Y,
    HULL_Z,
    NO_MARK,
    ROWS,
    U0,
    U1,
    V0,
    V1,
    VIEW_X,
    VIEW_Y,
    in_view,
    ray_in,
    row_rays,
)
from sensors.camera.light import EXPOSURE, EXTINCTION, HAZE_HEIGHT_M, HORIZON_B, HORIZON_G, HORIZON_R, tone
from sensors.ground import FAST, NEXT, STRIDE
from sensors.jit import kernel
from sensors.noise import exp_fast, hash2
from sensors.scene import Kind, Light
from sensors.vehicle_shape import FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN, WAIST, Z0, Z1, ray_faces

f4, i4, u4, u1, u8 = np.float32, np.int32, np.uint32, np.uint8, np.uint64
ZERO, ONE = f4(0), f4(1)
SHOT_NOISE, READ_NOISE = f4(4.0e-4), f4(4.0e-6)
"""Variance of a pixel's radiance: SHOT_NOISE x radiance + READ_NOISE, at exposure 1."""
PER_BYTE_SUM = f4(0.70710678 / 147.80054)
"""Scales a difference of byte sums to variance one: a byte has variance (256^2 - 1) / 12."""
MOST_OVERLAPS = 8
BRAKE, LEFT, RIGHT, CAR = int(Light.BRAKE), int(Light.LEFT), int(Light.RIGHT), int(Kind.CAR)
# Columns of a lamp's glow: place in the image, radius, reach [px], depth [m], red, green.
GLOW_U, GLOW_V, GLOW_RADIUS, GLOW_DEPTH, GLOW_RED, GLOW_GREEN = range(6)
GLOW_M = f4(0.20)


@kernel(fastmath=FAST)
def haze_row(light, a0, per_px, b, up_base, up_step, s, out, count):  # type: ignore[no-untyped-def]
    """Blend a row towards the horizon's colour with distance (Koschmieder); the sky is seen through a layer of finite height.

    Args:
        light: One row of ``light_table``.
        a0: Tangent of the first pixel's angle to the right.
        per_px: Its change with each pixel.
        b: Tangent of the row's angle down.
        up_base: z of the first pixel's ray of unit depth.
        up_step: Its change with each pixel.
        s: Scratch: DEPTH is read, the three colour rows from ``out`` on changed.
        out: Where the first colour row begins.
        count: Pixels in the row.
    """
    extinction = light[EXTINCTION]
    air_r, air_g, air_b = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    at = u8(out)
    for i in range(count):
        k, n = u8(i), f4(i4(i))
        a = a0 + per_px * n
        length = math.sqrt(ONE + a * a + b * b)
        up = max(up_base + up_step * n, ZERO) / length
        depth = s[DEPTH + k]
        away = depth * length if depth < FAR else f4(HAZE_HEIGHT_M) / (up + f4(0.02))
        through = exp_fast(-extinction * away)
        s[at + k] = air_r + (s[at + k] - air_r) * through
        s[at + NEXT + k] = air_g + (s[at + NEXT + k] - air_g) * through
        s[at + NEXT + NEXT + k] = air_b + (s[at + NEXT + NEXT + k] - air_b) * through


@kernel()
def _nearest(hulls, candidates, count, rays, u):  # type: ignore[no-untyped-def]
    """Mark of the part that the ray at column ``u`` meets first, among some hulls."""
    best, mark = FAR, NO_MARK
    for c in range(count):
        n = candidates[c]
        x, y, z = ray_in(hulls, n, rays, u)
        front, rear, side = (
            (hulls[n, FRONT], hulls[n, FRONT_LEAN]),
            (hulls[n, REAR], hulls[n, REAR_LEAN]),
            (hulls[n, SIDE], hulls[n, SIDE_LEAN]),
        )
        origin = (hulls[n, HULL_X], hulls[n, HULL_Y], hulls[n, HULL_Z])
        near, far, face = ray_faces((hulls[n, Z0], hulls[n, Z1]), front, rear, side, origin, (f4(x), f4(y), f4(z)))
        if near <= far and near > ZERO and near < best:
            best, mark = near, i4(n * 8 + face)
    return mark


@kernel()
def _pick(mark, k, slot, above, below, right, lower, marks, width):  # type: ignore[no-untyped-def]
    """Which neighbour of pixel ``k`` (or itself) shows a sub-sample's mark: the place of its red."""
    near, far = (min(k + 1, width - 1), max(k - 1, 0)) if right else (max(k - 1, 0), min(k + 1, width - 1))
    first, second = (below, above) if lower else (above, below)
    i, j = slot, k
    if mark != marks[slot * STRIDE + k]:
        if mark == marks[slot * STRIDE + near]:
            j = near
        elif mark == marks[first * STRIDE + k]:
            i = first
        elif mark == marks[slot * STRIDE + far]:
            j = far
        elif mark == marks[second * STRIDE + k]:
            i = second
    return RING + u8(3 * i * STRIDE + j)


@kernel()
def _mix_pixel(view, k, v, slot, above, below, hulls, who, count, candidates, marks, s):  # type: ignore[no-untyped-def]
    """Give a pixel where parts meet the mean colour that four rays find; it replaces that in the LINE rows."""
    found = 0
    for n in range(count):
        inside = who[n, U0] <= k and k < who[n, U1] and who[n, V0] <= v and v < who[n, V1]
        if inside and found < MOST_OVERLAPS:
            candidates[found] = n
            found += 1
    red, green, blue = ZERO, ZERO, ZERO
    for sample in range(4):
        right, lower = sample == 1 or sample == 3, sample >= 2
        rays = row_rays(view, v + (0.25 if lower else -0.25) - (0.125 if right else -0.125))
        mark = _nearest(hulls, candidates, found, rays, k + (0.25 if right else -0.25) + (0.125 if lower else -0.125))
        at = _pick(mark, k, slot, above, below, right, lower, marks, int(view[COLUMNS]))
        red, green, blue = red + s[at], green + s[at + NEXT], blue + s[at + NEXT + NEXT]
    to = LINE + u8(k)
    s[to], s[to + NEXT], s[to + NEXT + NEXT] = red * f4(0.25), green * f4(0.25), blue * f4(0.25)


@kernel()
def smooth_row(view, v, hulls, who, count, candidates, marks, s):  # type: ignore[no-untyped-def]
    """Mix the pixels of a row where parts meet, each once.

    Args:
        view: As in ``sensors.camera.geometry``.
        v: The row; rows v - 1 to v + 1 are in the ring, each at its number modulo 3.
        hulls: As from ``find_hulls``.
        who: The same.
        count: How many there are.
        candidates: Scratch (MOST_OVERLAPS,) int32.
        marks: Three rows of ``STRIDE`` marks, and one that says in which row a pixel was last looked at here.
        s: Scratch.
    """
    width, height = int(view[COLUMNS]), int(view[ROWS])
    slot, above, below = v % 3, max(v - 1, 0) % 3, min(v + 1, height - 1) % 3
    for n in range(count):
        if v < who[n, V0] - 1 or v > who[n, V1]:
            continue
        for k in range(max(who[n, U0] - 1, 0), min(who[n, U1] + 1, width)):
            if marks[3 * STRIDE + k] == v:
                continue
            marks[3 * STRIDE + k] = v
            own = marks[slot * STRIDE + k]
            beside = own == marks[slot * STRIDE + max(k - 1, 0)] and own == marks[slot * STRIDE + min(k + 1, width - 1)]
            if not (beside and own == marks[above * STRIDE + k] and own == marks[below * STRIDE + k]):
                _mix_pixel(view, k, v, slot, above, below, hulls, who, count, candidates, marks, s)


@kernel(fastmath=FAST)
def copy_row(s, out, count):  # type: ignore[no-untyped-def]
    """Copy three colour rows from ``out`` on to the LINE rows."""
    at = u8(out)
    for i in range(count):
        k = u8(i)
        s[LINE + k], s[LINE + NEXT + k], s[LINE + NEXT + NEXT + k] = s[at + k], s[at + NEXT + k], s[at + NEXT + NEXT + k]


@kernel()
def _add_glow(view, x, y, z, red, green, glows, count):  # type: ignore[no-untyped-def]
    """Note one lamp's glow, at a point relative to the camera's footprint, if it is in view; returns the new count."""
    right, down, depth = in_view(view, x, y, z)
    if depth < 1.0 or count >= len(glows):
        return count
    u, v = right / depth * view[FOCAL] + 0.5 * view[COLUMNS], down / depth * view[FOCAL] + 0.5 * view[ROWS]
    size = GLOW_M * view[FOCAL] / depth
    radius = max(size, 0.55)
    if min(u, v) < -4.0 * radius or u > view[COLUMNS] + 4.0 * radius or v > view[ROWS] + 4.0 * radius:
        return count
    share = min(1.0, size / radius + 0.15)
    glows[count, GLOW_U], glows[count, GLOW_V], glows[count, GLOW_RADIUS], glows[count, GLOW_DEPTH] = u, v, radius, depth
    glows[count, GLOW_RED], glows[count, GLOW_GREEN] = red * share, green * share
    return count + 1


@kernel()
def find_glows(view, actors, glows):  # type: ignore[no-untyped-def]
    """List the lit lamps of other cars that face the camera; returns how many."""
    count = 0
    for actor in range(1, len(actors)):
        on = int(actors[actor, AT_LIGHTS])
        if actors[actor, AT_VALID] == 0.0 or on == 0 or actors[actor, AT_KIND] != CAR:
            continue
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
        half, side, z = 0.5 * actors[actor, AT_LENGTH], 0.5 * actors[actor, AT_WIDTH], 0.8 * WAIST * actors[actor, AT_HEIGHT]
        ahead = -cos * x - sin * y
        for left in (-1.0, 1.0):
            blink = (on & LEFT and left > 0) or (on & RIGHT and left < 0)
            braking = on & BRAKE and ahead < -half
            if blink or braking:
                across = (0.88 if blink else 0.74) * side * left
                end = half if ahead > half else -half
                red, green = (0.7, 0.25) if blink else (0.8, 0.02)
                count = _add_glow(view, x + cos * end - sin * across, y + sin * end + cos * across, z, red, green, glows, count)
    return count


@kernel(fastmath=FAST)
def glow_row(glows, count, v, depth, s):  # type: ignore[no-untyped-def]
    """Add the glow of lamps to the LINE rows, over what is not nearer than the lamp; ``depth`` is the row's (W,), 0 for sky."""
    width = depth.size
    for n in range(count):
        u0, v0, radius, away = glows[n, GLOW_U], glows[n, GLOW_V], glows[n, GLOW_RADIUS], glows[n, GLOW_DEPTH]
        reach = f4(2.4) * radius
        dv = (f4(v) + f4(0.5) - v0) / radius
        if abs(dv) * radius > reach:
            continue
        for k in range(max(int(u0 - reach), 0), min(int(u0 + reach) + 1, width)):
            du = (f4(k) + f4(0.5) - u0) / radius
            fall = max(ONE - (du * du + dv * dv) * f4(0.17), ZERO)
            share = fall * fall * fall / (ONE + f4(2.0) * (du * du + dv * dv))
            if depth[k] == ZERO or depth[k] > away - f4(0.4):
                s[LINE + u8(k)] += glows[n, GLOW_RED] * share
                s[LINE + NEXT + u8(k)] += glows[n, GLOW_GREEN] * share


@kernel(fastmath=FAST)
def develop_row(light, k0, k1, first, pixels, noisy, s, rgb, v):  # type: ignore[no-untyped-def]
    """Expose, add shot and read noise, apply the display curve, round to bytes.

    Three nearly normal draws come from eight random bytes: sums and differences of four equal byte sums are uncorrelated. Their tails
    end at 3.5 standard deviations, which an eight-bit image does not show.

    Args:
        light: One row of ``light_table``.
        k0: Key words of the camera's noise.
        k1: See ``k0``.
        first: Number of the row's first pixel.
        pixels: Pixels in the image.
        noisy: Whether to add noise.
        s: Scratch: the LINE rows are read.
        rgb: Out: (3, H, W) uint8.
        v: Which row of it.
    """
    exposure = light[EXPOSURE]
    shot, read = SHOT_NOISE * exposure, READ_NOISE * exposure * exposure
    red, green, blue = rgb[0, v], rgb[1, v], rgb[2, v]
    for n in range(red.size):
        k = u8(n)
        r, g, b = s[LINE + k] * exposure, s[LINE + NEXT + k] * exposure, s[LINE + NEXT + NEXT + k] * exposure
        if noisy:
            i = u4(first + u4(n))
            p, q = hash2(i, k0, k1), hash2(u4(i + pixels), k0, k1)
            s1 = i4(p & u4(255)) + i4(u4(p >> u4(8)) & u4(255))
            s2 = i4(u4(p >> u4(16)) & u4(255)) + i4(p >> u4(24))
            s3 = i4(q & u4(255)) + i4(u4(q >> u4(8)) & u4(255))
            s4 = i4(u4(q >> u4(16)) & u4(255)) + i4(q >> u4(24))
            r += math.sqrt(shot * r + read) * (f4(i4(s1 + s2) + i4(s3 + s4) - i4(1020)) * PER_BYTE_SUM)
            g += math.sqrt(shot * g + read) * (f4(i4(s1 + s2) - i4(s3 + s4)) * PER_BYTE_SUM)
            b += math.sqrt(shot * b + read) * (f4(i4(s1 + s3) - i4(s2 + s4)) * PER_BYTE_SUM)
        red[k] = u1(i4(tone(max(r, ZERO)) * f4(255) + f4(0.5)))
        green[k] = u1(i4(tone(max(g, ZERO)) * f4(255) + f4(0.5)))
        blue[k] = u1(i4(tone(max(b, ZERO)) * f4(255) + f4(0.5)))
