"""From a row's radiance to its bytes: lamp glow, sensor noise, display curve; and the labels."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import ACTOR, BLUE, DEPTH, FAR, GREEN, RED
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
    ROWS,
    VIEW_X,
    VIEW_Y,
    in_view,
)
from sensors.camera.light import CEILING, KNEE
from sensors.ground import LABEL, fast, plain
from sensors.noise import bits_of, float_of, hash2
from sensors.scene import Kind, Light
from sensors.vehicle_shape import WAIST

f4, i4, u4, u1, u8, i2 = np.float32, np.int32, np.uint32, np.uint8, np.uint64, np.int16
ZERO, ONE, NOBODY = f4(0), f4(1), i2(-1)
SHOT_NOISE, READ_NOISE = f4(4.0e-4), f4(4.0e-6)
"""Variance of a pixel's radiance: SHOT_NOISE x radiance + READ_NOISE, at exposure 1."""
PER_BYTE_SUM = f4(0.5 / 73.90027)
"""Scales a sum of four bytes to variance one: a byte has variance (256^2 - 1) / 12."""
BRAKE, LEFT, RIGHT, CAR = int(Light.BRAKE), int(Light.LEFT), int(Light.RIGHT), int(Kind.CAR)
# Columns of a lamp's glow: place in the image, radius, reach [px], depth [m], red, green.
GLOW_U, GLOW_V, GLOW_RADIUS, GLOW_DEPTH, GLOW_RED, GLOW_GREEN = range(6)
GLOW_M = f4(0.20)


@plain
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


@plain
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


@fast
def glow_row(glows, count, v, width, s):  # type: ignore[no-untyped-def]
    """Add the glow of lamps to the colours of row ``v``, over what is not nearer than the lamp."""
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
            if s[DEPTH + u8(k)] > away - f4(0.4):
                s[RED + u8(k)] += glows[n, GLOW_RED] * share
                s[GREEN + u8(k)] += glows[n, GLOW_GREEN] * share


@fast
def _to_bytes(r, g, b):  # type: ignore[no-untyped-def]
    """Display values of radiances of 0 or more: ``tone`` of ``sensors.camera.light`` with the rounding; one division for all three."""
    top, knee, half = f4(CEILING * 255.0 * 255.0), f4(KNEE), f4(0.5)
    r, g, b = min(r, f4(9)), min(g, f4(9)), min(b, f4(9))
    under_r, under_g, under_b = r + knee, g + knee, b + knee
    scale = top / (under_r * under_g * under_b)
    red, green, blue = r * (under_g * under_b) * scale, g * (under_r * under_b) * scale, b * (under_r * under_g) * scale
    red, green, blue = min(math.sqrt(red), f4(255)), min(math.sqrt(green), f4(255)), min(math.sqrt(blue), f4(255))
    return u1(i4(red + half)), u1(i4(green + half)), u1(i4(blue + half))  # type: ignore[operator]


@fast
def _deviation(variance):  # type: ignore[no-untyped-def]
    """Square root to 0.2 %, by one step of Newton's from a first guess in the bits; it keeps clear of the divider, which is busy."""
    guess = float_of(i4(i4(0x5F375A86) - i4(bits_of(variance) >> i4(1))))
    return variance * guess * (f4(1.5) - f4(0.5) * variance * guess * guess)


@fast
def _draw_bits(k0, k1, first, bits):  # type: ignore[no-untyped-def]
    """Draw a row's random bits; apart from their use, as a long chain of dependent steps keeps processors waiting."""
    for n in range(bits.size):
        bits[u8(n)] = hash2(u4(first + u4(n)), k0, k1)


@fast
def _develop_noisy(exposure, bits, s, red, green, blue):  # type: ignore[no-untyped-def]
    """Bytes of a row with noise.

    Three draws come from the four bytes of one hash: their sum and two of their differences are uncorrelated. Their tails end at 3.5
    standard deviations, which an eight-bit image does not show.
    """
    shot, read = SHOT_NOISE * exposure, READ_NOISE * exposure * exposure
    unit = PER_BYTE_SUM
    for n in range(red.size):
        k = u8(n)
        drawn = bits[k]
        even, odd = u4(drawn & u4(0x00FF00FF)), u4(u4(drawn >> u4(8)) & u4(0x00FF00FF))
        pairs = u4(even + odd)
        low, high = i4(pairs & u4(0xFFFF)), i4(pairs >> u4(16))
        gaps = u4(u4(even - odd) + u4(0x01000100))  # each half holds its difference + 256
        low_gap, high_gap = i4(gaps & u4(0xFFFF)), i4(gaps >> u4(16))
        r, g, b = s[RED + k] * exposure, s[GREEN + k] * exposure, s[BLUE + k] * exposure
        r += _deviation(shot * r + read) * (f4(i4(i4(low + high) - i4(510))) * unit)
        g += _deviation(shot * g + read) * (f4(i4(low - high)) * unit)
        b += _deviation(shot * b + read) * (f4(i4(low_gap - high_gap)) * unit)
        red[k], green[k], blue[k] = _to_bytes(max(r, ZERO), max(g, ZERO), max(b, ZERO))


@fast
def _develop_clean(exposure, s, red, green, blue):  # type: ignore[no-untyped-def]
    """Bytes of a row without noise."""
    for n in range(red.size):
        k = u8(n)
        red[k], green[k], blue[k] = _to_bytes(s[RED + k] * exposure, s[GREEN + k] * exposure, s[BLUE + k] * exposure)


@plain
def develop_row(exposure, k0, k1, first, noisy, s, bits, rgb, v):  # type: ignore[no-untyped-def]
    """Expose, add shot and read noise, apply the display curve, round to bytes.

    Args:
        exposure: Factor on radiance.
        k0: Key words of the camera's noise.
        k1: See ``k0``.
        first: Number of the row's first pixel.
        noisy: Whether to add noise.
        s: Scratch: RED, GREEN and BLUE are read.
        bits: Scratch, (W,) uint32.
        rgb: Out: (3, H, W) uint8.
        v: Which row of it.
    """
    if noisy:
        _draw_bits(k0, k1, first, bits)
        _develop_noisy(exposure, bits, s, rgb[0, v], rgb[1, v], rgb[2, v])
    else:
        _develop_clean(exposure, s, rgb[0, v], rgb[1, v], rgb[2, v])


@fast
def label_row(s, depth, semantic):  # type: ignore[no-untyped-def]
    """Write a row's depth, 0 for the sky, and its classes."""
    for n in range(depth.size):
        k = u8(n)
        t = s[DEPTH + k]
        depth[k], semantic[k] = t if t < FAR else ZERO, u1(i4(s[LABEL + k]))


@fast
def name_row(s, instance, first, end):  # type: ignore[no-untyped-def]
    """Write who is seen in a row; nobody but from column ``first`` to ``end``."""
    for n in range(instance.size):
        instance[u8(n)] = NOBODY
    for n in range(end - first):
        k = u8(first) + u8(n)
        instance[k] = i2(i4(s[ACTOR + k]))
