"""From a row's radiance to its bytes: sensor noise, display curve; and the labels."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import ACTOR, BLUE, DEPTH, FAR, GREEN, RED
from sensors.camera.light import CEILING, KNEE
from sensors.ground import LABEL, fast
from sensors.jit import inlined
from sensors.noise import bits_of, float_of, hash2

f4, i4, u4, u1, u8, i2 = np.float32, np.int32, np.uint32, np.uint8, np.uint64, np.int16
ZERO, ONE, NOBODY = f4(0), f4(1), i2(-1)
SHOT_NOISE, READ_NOISE = f4(4.0e-4), f4(4.0e-6)
"""Variance of an exposed pixel: SHOT_NOISE x gain x pixel + READ_NOISE x gain^2."""
PER_BYTE_SUM = f4(0.5 / 73.90027)
"""Scales a sum of four bytes to variance one: a byte has variance (256^2 - 1) / 12."""


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
def _develop_noisy(exposure, gain, level, bits, s, red, green, blue):  # type: ignore[no-untyped-def]
    """Bytes of a row with noise.

    Three draws come from the four bytes of one hash: their sum and two of their differences are uncorrelated. Their tails end at 3.5
    standard deviations, which an eight-bit image does not show.
    """
    shot, read = SHOT_NOISE * gain, READ_NOISE * gain * gain
    unit = PER_BYTE_SUM * level
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


@inlined()
def develop_row(exposure, gain, level, k0, k1, first, s, bits, rgb, v):  # type: ignore[no-untyped-def]
    """Expose, add shot and read noise, apply the display curve, round to bytes.

    Args:
        exposure: Factor on radiance.
        gain: How much of it is the sensor's amplifier.
        level: Factor on the noise's standard deviation; 0: none.
        k0: Key words of the camera's noise.
        k1: See ``k0``.
        first: Number of the row's first pixel.
        s: Scratch: RED, GREEN and BLUE are read.
        bits: Scratch, (W,) uint32.
        rgb: Out: (3, H, W) uint8.
        v: Which row of it.
    """
    if level > ZERO:
        _draw_bits(k0, k1, first, bits)
        _develop_noisy(exposure, gain, level, bits, s, rgb[0, v], rgb[1, v], rgb[2, v])
    else:
        _develop_clean(exposure, s, rgb[0, v], rgb[1, v], rgb[2, v])


@fast
def keep_row(s, blur, at, width, anew):  # type: ignore[no-untyped-def]
    """Add the light of a row to what earlier looks have left of it, or begin ``anew``: red, green and blue of ``blur`` from ``at`` on."""
    if anew:
        for n in range(3 * width):
            blur[u8(at) + u8(n)] = ZERO
    for n in range(width):
        k, to = u8(n), u8(at) + u8(n)
        blur[to] += s[RED + k]
        blur[to + u8(width)] += s[GREEN + k]
        blur[to + u8(2 * width)] += s[BLUE + k]


@fast
def mean_row(blur, at, width, looks, depth, s):  # type: ignore[no-untyped-def]
    """Take a row back as the mean of its looks, and its depth."""
    share = ONE / f4(looks)
    for n in range(width):
        k, of = u8(n), u8(at) + u8(n)
        s[RED + k], s[GREEN + k] = blur[of] * share, blur[of + u8(width)] * share
        s[BLUE + k], s[DEPTH + k] = blur[of + u8(2 * width)] * share, depth[k] if depth[k] > ZERO else FAR


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
