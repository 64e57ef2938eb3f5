"""The C library's elementary functions, bit for bit, without calling it where that is known to give the same.

highway-env's numbers are the C library's. A call of it takes 10 to 20 ns, most of them, on some processors, for a look at the rounding
mode, and nothing around it vectorises. So its algorithms stand here once more, with every product that it fuses into a sum: those of
glibc 2.36 for processors with fused multiply-add (sine and cosine after A. Ziv, "Fast evaluation of elementary mathematical
functions with correctly rounded last bit", 1991; powers after S. Nagy, "Arm optimized routines", 2018). Which arguments they cover is
said by each; the library answers for the others. ``SAME`` says for each function whether this machine's library gives these numbers, by
a print of 4096 answers: where it does not, the library is called.
"""

from __future__ import annotations

import math
from typing import Any

from numba import config

from envs.traffic.elementary import bits_of, float_of, fused_multiply_add
from envs.traffic.libm_tables import LOG_SHIFT, LOG_START, SHARES, logarithms, powers_of_two, sines_and_cosines
from sensors.jit import leaf
from sensors.libm import answers

KNOWN = {
    "sin": "cc7f53f0709f4cad",
    "cos": "9af354fa72c47918",
    "tan": "d0d14093dcfe89d8",
    "atan": "1846b5c8c6ddac9e",
    "atan2": "5c25fc2abab0522d",
    "asin": "dc566a644d801eb9",
    "pow": "fad23d31a14ceddf",
}
"""Prints of the answers of the functions below."""
SAME = {name: answers()[name] == known and not config.DISABLE_JIT for name, known in KNOWN.items()}
SAME_SIN, SAME_COS, SAME_TAN, SAME_ATAN, SAME_ATAN2, SAME_ASIN, SAME_POW = SAME.values()

ANGLES = sines_and_cosines()
LOGARITHMS = logarithms()
POWER_RESTS, POWER_BITS = powers_of_two()

TINY = 2.0**-26  # below it sines, tangents and arcs give their argument back
TAYLOR_END = 0.126
OCTANT_END = 0.85546875
HALF_TURN_END = 0x1368FD / 0x80000
ANGLE_END = 1e8
TANGENT_END = 0.0607
ARCTANGENT_END = 0.0625
ARCSINE_END = 0.125
LEAST_BASE, MOST_BASE = 1e-30, 1e30
LEAST_EXPONENT, MOST_EXPONENT = 0.01, 5.0

HALF_PI = 1.5707963267948966
HALF_PI_REST = 6.123233995736766e-17
PART_1 = 1.5707963407039642  # parts of pi / 2, so short that multiples of the first two are exact
PART_2 = -1.3909067564377153e-08
PART_3 = -4.97899623147991e-17
PART_4 = -1.9034889620193266e-25
TWO_OVER_PI = 0.6366197723675814
TO_WHOLE = 1.5 * 2.0**52  # added to a number, its lowest bits are the nearest whole number
TO_STEP = 1.5 * 2.0**45  # and here the nearest multiple of 1/128

SINE_3, SINE_5 = -0.16666666666666488, 0.008333332142857223
COSINE_4, COSINE_6 = -0.04166666666666644, 0.001388888740079376

LN2, LN2_REST = 0.6931471805598903, 5.497923018708371e-14
LOG_1, LOG_2 = -0.6666666666666679, 0.5000000000000007
LOG_3, LOG_4 = 0.7999999995323976, -0.6666666663487739
LOG_5, LOG_6 = -1.142909628459501, 1.0000415263675542
STEPS_PER_E = 184.6649652337873  # 128 / log 2, and log 2 / 128 in two parts
STEP, STEP_REST = 0.005415212348111709, 1.2864023111638346e-14
EXP_2, EXP_3 = 0.49999999999996786, 0.16666666666665886
EXP_4, EXP_5 = 0.0416666808410674, 0.008333335853059549


@leaf(forceinline=True)
def _step_of(size: float) -> tuple[Any, float]:
    """The nearest multiple of 1/128, as the place of its row among the ANGLES, and what is left."""
    shifted = TO_STEP + size
    return (bits_of(shifted) & 127) * 4, size - (shifted - TO_STEP)


@leaf(forceinline=True)
def _sine_series(square: float) -> float:
    """A sine's series behind its first term, over the cube of the argument; for the rest of a step."""
    return fused_multiply_add(SINE_5, square, SINE_3)


@leaf(forceinline=True)
def _cosine_series(square: float) -> float:
    """What a cosine lacks of 1; for the rest of a step."""
    return square * fused_multiply_add(fused_multiply_add(COSINE_6, square, COSINE_4), square, 0.5)


@leaf(forceinline=True)
def _taylor_sine(angle: float, rest: float) -> float:
    """Sine of an angle below TAYLOR_END and a rest too small to be added to it."""
    square = angle * angle
    series = fused_multiply_add(-2.5022014848318398e-08, square, 2.755729806860771e-06)
    series = fused_multiply_add(series, square, -0.00019841269834414642)
    series = fused_multiply_add(series, square, 0.008333333333332329)
    series = fused_multiply_add(series, square, -0.16666666666666666)
    return angle + fused_multiply_add(square, fused_multiply_add(series, angle, -0.5 * rest), rest)


@leaf(forceinline=True)
def _stepped_sine(angle: float, rest: float) -> float:
    """Sine of an angle from TAYLOR_END to OCTANT_END by the sine and cosine of the nearest step."""
    row, left = _step_of(abs(angle))
    if angle <= 0.0:
        rest = -rest
    square = left * left
    sine = left + fused_multiply_add(left * square, _sine_series(square), rest)
    lack = fused_multiply_add(left, rest, _cosine_series(square))
    more = fused_multiply_add(sine, ANGLES[row + 3], ANGLES[row + 1])
    more = fused_multiply_add(sine, ANGLES[row + 2], fused_multiply_add(-lack, ANGLES[row], more))
    return math.copysign(ANGLES[row] + more, angle)


@leaf(forceinline=True)
def _stepped_cosine(angle: float, rest: float) -> float:
    """Cosine of an angle up to OCTANT_END by the sine and cosine of the nearest step."""
    row, left = _step_of(abs(angle))
    left = left + (-rest if angle < 0.0 else rest)
    square = left * left
    sine = fused_multiply_add(left * square, _sine_series(square), left)
    more = fused_multiply_add(-sine, ANGLES[row + 1], ANGLES[row + 3])
    more = fused_multiply_add(-_cosine_series(square), ANGLES[row + 2], more)
    return ANGLES[row + 2] + fused_multiply_add(-sine, ANGLES[row], more)


@leaf(forceinline=True)
def _octant_sine(angle: float, rest: float) -> float:
    return _taylor_sine(angle, rest) if abs(angle) < TAYLOR_END else _stepped_sine(angle, rest)


@leaf()
def _quarters_of(angle: float) -> tuple[Any, float, float]:
    """Whole quarter turns of an angle up to ANGLE_END, and what is left in two parts."""
    shifted = fused_multiply_add(angle, TWO_OVER_PI, TO_WHOLE)
    quarters = shifted - TO_WHOLE
    near = fused_multiply_add(-quarters, PART_2, fused_multiply_add(-quarters, PART_1, angle))
    nearer = fused_multiply_add(-quarters, PART_3, near)
    lost = fused_multiply_add(-quarters, PART_3, near - nearer)
    left = fused_multiply_add(-quarters, PART_4, nearer)
    return bits_of(shifted) & 3, left, lost + fused_multiply_add(-quarters, PART_4, nearer - left)


@leaf()
def _turned_sine(quarters: int, angle: float, rest: float) -> float:
    """Sine some quarter turns further."""
    value = _stepped_cosine(angle, rest) if quarters & 1 else _octant_sine(angle, rest)
    return -value if quarters & 2 else value


@leaf()
def sine(angle: float) -> float:
    """``math.sin``; without it up to ANGLE_END."""
    size = abs(angle)
    if not SAME_SIN or not size < ANGLE_END:
        return math.sin(angle)
    if size < TINY:
        return angle
    if size < OCTANT_END:
        return _octant_sine(angle, 0.0)
    if size < HALF_TURN_END:
        return math.copysign(_stepped_cosine(HALF_PI - size, HALF_PI_REST), angle)
    quarters, left, rest = _quarters_of(angle)
    return _turned_sine(quarters, left, rest)


@leaf()
def cosine(angle: float) -> float:
    """``math.cos``; without it up to ANGLE_END."""
    size = abs(angle)
    if not SAME_COS or not size < ANGLE_END:
        return math.cos(angle)
    if size < OCTANT_END:
        return _stepped_cosine(angle, 0.0)
    if size < HALF_TURN_END:
        left = HALF_PI - size
        nearer = left + HALF_PI_REST
        return _octant_sine(nearer, (left - nearer) + HALF_PI_REST)
    quarters, left, rest = _quarters_of(angle)
    return _turned_sine(quarters + 1, left, rest)


@leaf()
def cosine_sine(angle: float) -> tuple[float, float]:
    """``cosine`` and ``sine`` at less than the cost of both."""
    size = abs(angle)
    if SAME_SIN and SAME_COS and size < OCTANT_END:
        return _stepped_cosine(angle, 0.0), angle if size < TINY else _octant_sine(angle, 0.0)
    if SAME_SIN and SAME_COS and HALF_TURN_END <= size < ANGLE_END:
        quarters, left, rest = _quarters_of(angle)
        return _turned_sine(quarters + 1, left, rest), _turned_sine(quarters, left, rest)
    return cosine(angle), sine(angle)


@leaf()
def tangent(angle: float) -> float:
    """``math.tan``; without it up to TANGENT_END."""
    if not SAME_TAN or not abs(angle) < TANGENT_END:
        return math.tan(angle)
    square = angle * angle
    series = fused_multiply_add(0.008896546349534924, square, 0.021869380598167253)
    series = fused_multiply_add(series, square, 0.05396825411095433)
    series = fused_multiply_add(series, square, 0.1333333333332673)
    series = fused_multiply_add(series, square, 0.3333333333333333)
    return fused_multiply_add(angle * square, series, angle)


@leaf(forceinline=True)
def _arctangent_series(square: float) -> float:
    """An arctangent's series behind its first term, over the cube of the argument."""
    series = fused_multiply_add(0.07601836584380736, square, -0.09090424391727987)
    series = fused_multiply_add(series, square, 0.11111109821886427)
    series = fused_multiply_add(series, square, -0.14285714283953163)
    series = fused_multiply_add(series, square, 0.19999999999998855)
    return fused_multiply_add(series, square, -0.3333333333333333)


@leaf()
def arctangent(value: float) -> float:
    """``math.atan``; without it up to ARCTANGENT_END."""
    if not SAME_ATAN or not abs(value) < ARCTANGENT_END:
        return math.atan(value)
    if abs(value) < TINY / 4.0:
        return value
    square = value * value
    return fused_multiply_add(value * square, _arctangent_series(square), value)


@leaf()
def direction(y: float, x: float) -> float:
    """``math.atan2``; without it where x is positive and y small beside it."""
    size = abs(y)
    if not SAME_ATAN2 or not (size < x * ARCTANGENT_END and x < MOST_BASE and (size > LEAST_BASE or size == 0.0)):
        return math.atan2(y, x)
    ratio = size / x
    product = x * ratio
    lost = ((size - product) - fused_multiply_add(x, ratio, -product)) / x
    square = ratio * ratio
    return math.copysign(ratio + fused_multiply_add(ratio * square, _arctangent_series(square), lost), y)


@leaf()
def arcsine(value: float) -> float:
    """``math.asin``; without it up to ARCSINE_END."""
    if not SAME_ASIN or not abs(value) < ARCSINE_END:
        return math.asin(value)
    square = value * value
    series = fused_multiply_add(0.018138290340456505, square, 0.022355121102652562)
    series = fused_multiply_add(series, square, 0.03038212685821193)
    series = fused_multiply_add(series, square, 0.044642856142105974)
    series = fused_multiply_add(series, square, 0.07500000000261227)
    series = fused_multiply_add(series, square, 0.1666666666666641)
    return fused_multiply_add(value * square, series, value)


@leaf(forceinline=True)
def _logarithm(value: float) -> tuple[float, float]:
    """Natural logarithm of a positive number, not a subnormal one, in two parts."""
    bits = bits_of(value)
    over = bits - LOG_START
    octave = over >> 52
    row = ((over >> LOG_SHIFT) & (SHARES - 1)) * 3
    octaves = float(octave)
    beyond = fused_multiply_add(float_of(bits - (octave << 52)), LOGARITHMS[row], -1.0)
    coarse = fused_multiply_add(octaves, LN2, LOGARITHMS[row + 1])
    middle = coarse + beyond
    half = beyond * -0.5
    square = beyond * half
    high = middle + square
    series = fused_multiply_add(beyond, LOG_6, LOG_5)
    series = fused_multiply_add(series, square, fused_multiply_add(beyond, LOG_4, LOG_3))
    series = fused_multiply_add(series, square, fused_multiply_add(beyond, LOG_2, LOG_1))
    low = fused_multiply_add(octaves, LN2_REST, LOGARITHMS[row + 2]) + ((coarse - middle) + beyond)
    low = low + fused_multiply_add(half, beyond, -square) + ((middle - high) + square)
    low = fused_multiply_add(beyond * square, series, low)
    total = high + low
    return total, (high - total) + low


@leaf(forceinline=True)
def _exponential(value: float, rest: float) -> float:
    """The exponential of a number in two parts, up to 350 either way."""
    shifted = fused_multiply_add(value, STEPS_PER_E, TO_WHOLE)
    steps = shifted - TO_WHOLE
    left = rest + fused_multiply_add(steps, -STEP_REST, fused_multiply_add(steps, -STEP, value))
    place = bits_of(shifted)
    row = place & (SHARES - 1)
    scale = float_of(POWER_BITS[row] + (place << LOG_SHIFT))
    square = left * left
    more = fused_multiply_add(fused_multiply_add(left, EXP_3, EXP_2), square, left + POWER_RESTS[row])
    more = fused_multiply_add(fused_multiply_add(left, EXP_5, EXP_4), square * square, more)
    return fused_multiply_add(more, scale, scale)


@leaf(forceinline=True)
def plain_power(base: float, exponent: float) -> float:
    """``power`` without its look at the arguments, for loops that are to vectorise: bases and exponents from the least to the most."""
    if not SAME_POW:
        return math.pow(base, exponent)
    high, low = _logarithm(base)
    product = exponent * high
    return _exponential(product, fused_multiply_add(exponent, low, fused_multiply_add(exponent, high, -product)))


@leaf()
def power(base: float, exponent: float) -> float:
    """``math.pow``; without it for bases and exponents from the least to the most."""
    if LEAST_BASE <= base <= MOST_BASE and LEAST_EXPONENT <= exponent <= MOST_EXPONENT:
        return plain_power(base, exponent)
    return math.pow(base, exponent)
