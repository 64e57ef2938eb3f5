"""What this machine's C library answers: a print of its elementary functions, which round differently from library to library.

Kernels that copy its numbers are compiled for one library, so the print names their cache too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

ASKED = 4096
"""Arguments for each function: enough that one product fused into a sum, or not, somewhere in it shows."""
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

FUNCTIONS: dict[str, tuple[Callable[..., float], tuple[tuple[float, float], ...]]] = {
    "sin": (math.sin, ((-12.0, 12.0),)),
    "cos": (math.cos, ((-12.0, 12.0),)),
    "tan": (math.tan, ((-0.0607, 0.0607),)),
    "atan": (math.atan, ((-0.0624, 0.0624),)),
    "atan2": (math.atan2, ((-1.0, 1.0), (17.0, 40.0))),
    "asin": (math.asin, ((-0.1249, 0.1249),)),
    "pow": (math.pow, ((0.001, 2.0), (1.0, 5.0))),
}
"""Functions and the ranges of their arguments."""


def spread(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Numbers all over a range in no order, (ASKED,), the same on every machine."""
    turns = np.arange(1, ASKED + 1) * step
    values: NDArray[np.float64] = low + (high - low) * (turns - np.floor(turns))
    return values


def arguments_of(name: str) -> list[list[float]]:
    """What a function is asked; of one argument, half of them are near zero, where other terms of its series count."""
    ranges = FUNCTIONS[name][1]
    columns = [spread(low, high, GOLDEN ** (place + 1)) for place, (low, high) in enumerate(ranges)]
    if len(columns) == 1:
        columns[0][::2] *= 0.1
    return [column.tolist() for column in columns]


def print_of(values: Any) -> str:
    """Digest of float64 numbers, bit for bit; hex, 16 characters."""
    return hashlib.sha256(np.asarray(values, "<f8").tobytes()).hexdigest()[:16]


@cache
def answers() -> dict[str, str]:
    """The print of each function's answers here."""
    return {name: print_of(list(map(function, *arguments_of(name)))) for name, (function, _) in FUNCTIONS.items()}
