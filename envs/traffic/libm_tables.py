"""Tables of the C library's elementary functions, made anew from what they mean, in decimal numbers of 50 digits."""

from __future__ import annotations

import struct
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

DIGITS = 50
TINIEST = Decimal(10) ** -DIGITS

ANGLES = 112
ANGLE_STEPS = 128  # to a radian
SHARES = 128
LOG_START = 0x3FE6955500000000  # bits of the number at which the first of SHARES intervals starts; the last one ends at its double
LOG_SHIFT = 45
LOG_BITS = 43  # of the upper part of a logarithm, behind the point


def _float_of(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def _bits_of(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits


def _in_two(value: Decimal) -> tuple[float, float]:
    """A number as the sum of two."""
    high = float(value)
    return high, float(value - Decimal(high))


def _series(first: Decimal, square: Decimal, place: int) -> Decimal:
    """Sum of a sine's or cosine's series from its first term on."""
    term = total = first
    while abs(term) > TINIEST:
        term *= -square / ((place + 1) * (place + 2))
        total += term
        place += 2
    return total


def sines_and_cosines() -> NDArray[np.float64]:
    """Sine and cosine of multiples of 1/128, each in two parts, row by row, (ANGLES * 4,)."""
    rows: list[float] = []
    with localcontext() as context:
        context.prec = DIGITS
        step = Decimal(1) / ANGLE_STEPS
        sine_of_step, cosine_of_step = _series(step, step * step, 1), _series(Decimal(1), step * step, 0)
        sine, cosine = Decimal(0), Decimal(1)
        for _ in range(ANGLES):
            rows += [*_in_two(sine), *_in_two(cosine)]
            sine, cosine = sine * cosine_of_step + cosine * sine_of_step, cosine * cosine_of_step - sine * sine_of_step
    return np.array(rows)


def logarithms() -> NDArray[np.float64]:
    """For each share of an octave a short reciprocal of its middle, and minus its logarithm in two parts, (SHARES * 3,)."""
    rows: list[float] = []
    with localcontext() as context:
        context.prec = DIGITS
        for number in range(SHARES):
            reciprocal = 1.0 / _float_of(LOG_START + (number << LOG_SHIFT) + (1 << (LOG_SHIFT - 1)))
            steps = SHARES if reciprocal >= 1.0 else 2 * SHARES
            short = round(reciprocal * steps) / steps
            logarithm = -Decimal(short).ln()
            high = Decimal(int((logarithm * 2**LOG_BITS).to_integral_value())) / 2**LOG_BITS
            rows += [short, float(high), float(logarithm - high)]
    return np.array(rows)


def powers_of_two() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of 2 ** (number / SHARES): what its float64 lacks, as a share of it; and its bits less ``number << LOG_SHIFT``; (SHARES,) each."""
    rests, bits = np.zeros(SHARES), np.zeros(SHARES, np.int64)
    with localcontext() as context:
        context.prec = DIGITS
        step, value = (Decimal(2).ln() / SHARES).exp(), Decimal(1)
        for number in range(SHARES):
            nearest = Decimal(float(value))
            rests[number] = float((value - nearest) / nearest)
            bits[number] = _bits_of(float(nearest)) - (number << LOG_SHIFT)
            value *= step
    return rests, bits
