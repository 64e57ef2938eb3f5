"""More of NumPy's draws in numba: normal numbers, choices without replacement and with weights.

Sources: G. Marsaglia, W. W. Tsang, "The Ziggurat Method for Generating Random Variables", 2000, with NumPy's tables, which numba ships;
R. W. Floyd's sampling as in J. Bentley, "Programming Pearls: A Sample of Brilliance", 1987.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.np.random import _constants as tables

from envs.traffic.generator import TO_UNIT, draw_choice, next_uint64
from sensors.jit import leaf

HEIGHTS = np.asarray(tables.fi_double, np.float64)
WIDTHS = np.asarray(tables.wi_double, np.float64)
SURE = np.asarray(tables.ki_double, np.uint64)
TAIL = float(tables.ziggurat_nor_r)
ONE_OVER_TAIL = float(tables.ziggurat_nor_inv_r)


@leaf()
def draw_unit(episode: Any) -> float:
    """``Generator.random()``."""
    return np.float64(next_uint64(episode) >> np.uint64(11)) * TO_UNIT


@leaf()
def draw_normal(episode: Any) -> float:
    """``Generator.standard_normal()``."""
    while True:
        bits = next_uint64(episode)
        layer = np.int64(bits & np.uint64(0xFF))
        bits = bits >> np.uint64(8)
        size = (bits >> np.uint64(1)) & np.uint64(0x000FFFFFFFFFFFFF)
        x = np.float64(size) * WIDTHS[layer]
        if bits & np.uint64(1):
            x = -x
        if size < SURE[layer]:
            return x
        if layer == 0:
            return _draw_tail(episode, size)
        if (HEIGHTS[layer - 1] - HEIGHTS[layer]) * draw_unit(episode) + HEIGHTS[layer] < math.exp(-0.5 * x * x):
            return x


@leaf()
def _draw_tail(episode: Any, size: Any) -> float:
    """A normal number beyond the last layer."""
    while True:
        x = -ONE_OVER_TAIL * math.log1p(-draw_unit(episode))
        y = -math.log1p(-draw_unit(episode))
        if y + y > x * x:
            return -(TAIL + x) if (size >> np.uint64(8)) & np.uint64(1) else TAIL + x


@leaf()
def draw_pair(episode: Any, count: int) -> tuple[int, int]:
    """``Generator.choice(count, size=2, replace=False)`` for a count of at least 2."""
    first = draw_choice(episode, count - 1)
    second = draw_choice(episode, count)
    if second == first:
        second = count - 1
    if draw_choice(episode, 2) == 0:
        return second, first
    return first, second


@leaf()
def draw_weighted(episode: Any, cumulated: Any) -> int:
    """``Generator.choice(len(p), size=1, p=p)``, given the cumulated and normalised weights."""
    drawn = draw_unit(episode)
    for number in range(len(cumulated)):
        if drawn < cumulated[number]:
            return number
    return len(cumulated) - 1
