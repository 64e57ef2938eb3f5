"""Elementary functions of the fast mode: polynomials without branches, so that loops over cars vectorise.

Coefficients are Chebyshev fits (mpmath.chebyfit, 40 digits); every docstring states the largest error, and the tests hold them to it.
Terms are summed in pairs (G. Estrin, "Organization of computer systems: the fixed plus variable structure computer", 1960), which
keeps the chain of dependent operations short.
"""

from __future__ import annotations

import math

from envs.traffic.elementary import bits_of, float_of, floor, multiply_add
from sensors.jit import leaf

HALF_PI = math.pi / 2.0
HALF_PI_REST = 6.123233995736766e-17  # pi / 2 - HALF_PI
TWO_OVER_PI = 2.0 / math.pi
ROOT_HALF = math.sqrt(0.5)
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
MANTISSA_BITS = 52
BIAS = 1023
ROUNDER = 6755399441055744.0  # 1.5 * 2**52: added to a number, its lowest bits are the nearest whole number
ROUNDER_BITS = 0x4338000000000000
SMALLEST = 2.2250738585072014e-308
LOWEST_EXPONENT = -1000.0


@leaf(forceinline=True)
def _four(x: float, x2: float, a: float, b: float, c: float, d: float) -> float:
    """Four terms of a polynomial."""
    return multiply_add(multiply_add(d, x, c), x2, multiply_add(b, x, a))


@leaf(forceinline=True)
def arcsine(x: float) -> float:
    """Arcsine for |x| <= sqrt(1/2) [rad]; error below 4e-12."""
    z = x * x
    z2 = z * z
    z4 = z2 * z2
    low = _four(z, z2, 0.16666666666180413, 0.07500000279634457, 0.04464259270340489, 0.030391669674475194)
    middle = _four(z, z2, 0.022188854023510098, 0.01937157744514036, 4.53169689729214e-05, 0.07364800113761369)
    high = _four(z, z2, -0.17033138125151512, 0.3389731085682178, -0.34705874354609906, 0.1826212381580885)
    return multiply_add(x * z, multiply_add(multiply_add(high, z4, middle), z4, low), x)


@leaf(forceinline=True)
def cosine_sine(angle: float) -> tuple[float, float]:
    """Cosine and sine of any angle up to 1e5 rad; error below 1e-14 + 1e-16 of the angle."""
    quarters = floor(multiply_add(angle, TWO_OVER_PI, 0.5))
    rest = multiply_add(-quarters, HALF_PI_REST, multiply_add(-quarters, HALF_PI, angle))
    z = rest * rest
    z2 = z * z
    z4 = z2 * z2
    sines = _four(z, z2, -0.16666666666663885, 0.008333333331079221, -0.0001984126691698509, 2.7555990929300494e-06)
    sine = multiply_add(rest * z, multiply_add(-2.480563621730504e-08, z4, sines), rest)
    cosines = _four(z, z2, 0.04166666666666468, -0.0013888888887277342, 2.480158521098989e-05, -2.755636969538362e-07)
    cosine = multiply_add(z2, multiply_add(2.070060046589095e-09, z4, cosines), multiply_add(-0.5, z, 1.0))
    turn = quarters - 4.0 * floor(0.25 * quarters)  # 0, 1, 2 or 3
    is_odd = turn == 1.0 or turn == 3.0
    along = sine if is_odd else cosine
    across = cosine if is_odd else sine
    return (-along if turn == 1.0 or turn == 2.0 else along), (-across if turn >= 2.0 else across)


@leaf(forceinline=True)
def power(base: float, exponent: float) -> float:
    """``base ** exponent`` for 0 <= base and 0 < exponent with results below 1e300; relative error below 2e-11 for exponents up to 8."""
    bits = bits_of(max(base, SMALLEST))
    whole = (bits - ROOT_HALF_BITS) >> MANTISSA_BITS
    t = float_of(bits - (whole << MANTISSA_BITS)) - 1.0  # base = 2**whole * (1 + t), sqrt(1/2) <= 1 + t < sqrt(2)
    t2 = t * t
    t4 = t2 * t2
    a = _four(t, t2, 1.4426950408862034, -0.7213475203430864, 0.4808983490727961, -0.36067378977100695)
    b = _four(t, t2, 0.28853876232996745, -0.24044662677727305, 0.20610869528306625, -0.18043268521020117)
    c = _four(t, t2, 0.16018226130296026, -0.14252340755410017, 0.13062890256021095, -0.13478928738366042)
    d = multiply_add(-0.06806287590390596, t, 0.13113743753686682)
    series = multiply_add(multiply_add(multiply_add(d, t4, c), t4, b), t4, a)
    log2 = multiply_add(t, series, float_of(whole + ROUNDER_BITS) - ROUNDER)
    return power_of_two(max(exponent * log2, LOWEST_EXPONENT))


@leaf(forceinline=True)
def power_of_two(exponent: float) -> float:
    """``2 ** exponent`` for |exponent| <= 1000; relative error below 3e-12."""
    whole = floor(exponent + 0.5)
    f = exponent - whole
    f2 = f * f
    low = _four(f, f2, 0.6931471805568324, 0.24022650695888503, 0.055504109063258665, 0.00961812913523614)
    high = _four(f, f2, 0.0013333478473685416, 0.00015403475186530786, 1.5303700711365693e-05, 1.325080551750225e-06)
    mantissa = multiply_add(f, multiply_add(high, f2 * f2, low), 1.0)
    return mantissa * float_of((bits_of(whole + ROUNDER) + BIAS) << MANTISSA_BITS)
