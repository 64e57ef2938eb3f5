"""``numpy.matmul`` of a rotation and points, as OpenBLAS rounds it: which of the two products is fused into the sum is measured here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.traffic.elementary import fused_multiply_add
from sensors.jit import leaf

NEITHER, FIRST, SECOND = range(3)

Multiply = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


def fused_product(multiply: Multiply) -> int:
    """Which product of ``a x + b y`` is not rounded. (1 + e)^2 - 1 - 2e is e^2, and is lost where the square is rounded.

    Args:
        multiply: Gives ``a x + b y`` for the coefficients (a, b) and the point (x, y).
    """
    epsilon = 2.0**-30
    square, rest = (1.0 + epsilon, 1.0 + epsilon), (-1.0 - 2.0 * epsilon, 1.0)
    if multiply(np.array([square[0], rest[0]]), np.array([square[1], rest[1]])) != 0.0:
        return FIRST
    if multiply(np.array([rest[0], square[0]]), np.array([rest[1], square[1]])) != 0.0:
        return SECOND
    return NEITHER


def _one_point(row: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    return float((np.array([row, row]) @ point)[0])


def _four_points(row: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    return float((np.array([row, row]) @ np.array([point] * 4).T)[0, 0])


FUSED_OF_ONE = fused_product(_one_point)
FUSED_OF_FOUR = fused_product(_four_points)


@leaf()
def mixed_of_one(a: float, b: float, x: float, y: float) -> float:
    """``a x + b y`` as a matrix times one point has it."""
    if FUSED_OF_ONE == FIRST:
        return fused_multiply_add(a, x, b * y)
    if FUSED_OF_ONE == SECOND:
        return fused_multiply_add(b, y, a * x)
    return a * x + b * y


@leaf()
def mixed_of_four(a: float, b: float, x: float, y: float) -> float:
    """``a x + b y`` as a matrix times the four corners of a box has it."""
    if FUSED_OF_FOUR == FIRST:
        return fused_multiply_add(a, x, b * y)
    if FUSED_OF_FOUR == SECOND:
        return fused_multiply_add(b, y, a * x)
    return a * x + b * y
