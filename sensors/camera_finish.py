"""From a row's radiance to its bytes: haze, smooth outlines, lamp glow, display curve, sensor noise."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera_geometry import (
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
    FAR,
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
    in_actor,
    in_view,
    ray_at,
)
from sensors.camera_light import EXPOSURE, EXTINCTION, HAZE_HEIGHT_M, HORIZON_B, HORIZON_G, HORIZON_R, tone
from sensors.ground import FAST
from sensors.jit import kernel
from sensors.noise import exp_fast, hash2
from sensors.scene import Kind, Light
from sensors.vehicle_shape import WAIST, ray_part

f4, i4, u4, u1 = np.float32, np.int32, np.uint32, np.uint8
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
def haze_row(light, a0, per_px, b, up_base, up_step, depth, red, green, blue):  # type: ignore[no-untyped-def]
    """Blend a row towards the horizon's colour with distance (Koschmieder); the sky is seen through a layer of finite height.

    Args:
        light: One row of ``light_table``.
        a0: Tangent of the first pixel's angle to the right.
        per_px: Its change with each pixel.
        b: Tangent of the row's angle down.
        up_base: z of the first pixel's ray of unit depth.
        up_step: Its change with each pixel.
        depth: Planar depth, FAR for sky (N,).
        red: Radiance (N,), changed; ``green`` and ``blue`` likewise.
        green: See ``red``.
        blue: See ``red``.
    """
    extinction = light[EXTINCTION]
    air_r, air_g, air_b = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    for k in range(depth.size):
        n = f4(i4(k))
        a = a0 + per_px * n
        length = math.sqrt(ONE + a * a + b * b)
        up = max(up_base + up_step * n, ZERO) / length
        away = depth[k] * length if depth[k] < FAR else f4(HAZE_HEIGHT_M) / (up + f4(0.02))
        through = exp_fast(-extinction * away)
        red[k] = air_r + (red[k] - air_r) * through
        green[k] = air_g + (green[k] - air_g) * through
        blue[k] = air_b + (blue[k] - air_b) * through


@kernel()
def _nearest(hulls, candidates, count, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Mark of the part that a ray (world axes, unit depth) meets first among some hulls."""
    best, mark = FAR, NO_MARK
    for n in range(count):
        hull = hulls[candidates[n]]
        x, y = in_actor(hull, dx, dy)
        near, far, face = ray_part(hull, hull[HULL_X], hull[HULL_Y], hull[HULL_Z], x, y, dz)
        if near <= far and near > ZERO and near < best:
            best, mark = near, i4(candidates[n] * 8 + face)
    return mark


@kernel()
def _pick(mark, k, slot, above, below, right, lower, marks):  # type: ignore[no-untyped-def]
    """Where among a pixel and its neighbours a sub-sample's mark is found: row of the ring and column."""
    if mark == marks[slot, k]:
        return slot, k
    width = marks.shape[1]
    near, far = (min(k + 1, width - 1), max(k - 1, 0)) if right else (max(k - 1, 0), min(k + 1, width - 1))
    first, second = (below, above) if lower else (above, below)
    if mark == marks[slot, near]:
        return slot, near
    if mark == marks[first, k]:
        return first, k
    if mark == marks[slot, far]:
        return slot, far
    if mark == marks[second, k]:
        return second, k
    return slot, k


@kernel()
def smooth_row(view, v, hulls, who, count, begin, end, marks, ring, out):  # type: ignore[no-untyped-def]
    """Copy a row of the ring, mixing the pixels where parts meet by four rays each.

    Args:
        view: As in ``camera_geometry``.
        v: The row; rows v - 1 to v + 1 are in the ring, each at its number modulo 3.
        hulls: As from ``find_hulls``.
        who: The same.
        count: How many there are.
        begin: First column that may show a vehicle in the three rows.
        end: End of those columns.
        marks: (3, W) int32.
        ring: (3, 3, W) radiance by row and colour.
        out: Out: (3, W).
    """
    width, height = marks.shape[1], int(view[ROWS])
    slot, above, below = v % 3, max(v - 1, 0) % 3, min(v + 1, height - 1) % 3
    out[:] = ring[slot]
    candidates = np.empty(MOST_OVERLAPS, np.int32)
    for k in range(max(begin - 1, 0), min(end + 1, width)):
        own = marks[slot, k]
        beside = own == marks[slot, max(k - 1, 0)] and own == marks[slot, min(k + 1, width - 1)]
        if beside and own == marks[above, k] and own == marks[below, k]:
            continue
        found = 0
        for n in range(count):
            inside = who[n, U0] <= k and k < who[n, U1] and who[n, V0] <= v and v < who[n, V1]
            if inside and found < MOST_OVERLAPS:
                candidates[found] = n
                found += 1
        red, green, blue = ZERO, ZERO, ZERO
        for s in range(4):
            right, lower = s == 1 or s == 3, s >= 2
            u = k + 0.5 + (0.25 if right else -0.25) + (0.125 if lower else -0.125)
            dx, dy, dz = ray_at(view, u, v + 0.5 + (0.25 if lower else -0.25) - (0.125 if right else -0.125))
            mark = _nearest(hulls, candidates, found, f4(dx), f4(dy), f4(dz))
            i, j = _pick(mark, k, slot, above, below, right, lower, marks)
            red, green, blue = red + ring[i, 0, j], green + ring[i, 1, j], blue + ring[i, 2, j]
        out[0, k], out[1, k], out[2, k] = red * f4(0.25), green * f4(0.25), blue * f4(0.25)


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
def glow_row(glows, count, v, depth, out):  # type: ignore[no-untyped-def]
    """Add the glow of lamps to a row, over what is not nearer than the lamp."""
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
            share = share if depth[k] > away - f4(0.4) else ZERO
            out[0, k] += glows[n, GLOW_RED] * share
            out[1, k] += glows[n, GLOW_GREEN] * share


@kernel(fastmath=FAST)
def develop_row(light, k0, k1, first, pixels, noisy, radiance, red, green, blue):  # type: ignore[no-untyped-def]
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
        radiance: (3, W).
        red: Out: bytes (W,); ``green`` and ``blue`` likewise.
        green: See ``red``.
        blue: See ``red``.
    """
    exposure = light[EXPOSURE]
    shot, read = SHOT_NOISE * exposure, READ_NOISE * exposure * exposure
    row_r, row_g, row_b = radiance[0], radiance[1], radiance[2]
    for k in range(red.size):
        r, g, b = row_r[k] * exposure, row_g[k] * exposure, row_b[k] * exposure
        if noisy:
            i = u4(first + u4(k))
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
