"""Elementary functions that round as highway-env's NumPy rounds.

Transcendental functions are the C library's, which NumPy calls too where its AVX-512 variants are off. ``numpy.dot`` of two short
vectors is a fused multiply-add in BLAS, so ``dot2`` is one as well.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sensors.jit import kernel

PI = math.pi
TWO_PI = 2.0 * math.pi
NOT_ZERO_EPS = 1e-2


@intrinsic
def fused_multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding, float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic
def multiply_high(typing: Any, a: Any, b: Any) -> Any:
    """Upper 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        left, right = (builder.zext(argument, wide) for argument in arguments)
        return builder.trunc(builder.lshr(builder.mul(left, right), ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@kernel()
def dot2(ax: float, ay: float, bx: float, by: float) -> float:
    """``numpy.dot`` of two 2-vectors."""
    return fused_multiply_add(ay, by, ax * bx)


@kernel()
def norm2(x: float, y: float) -> float:
    """``numpy.linalg.norm`` of a 2-vector."""
    return math.sqrt(fused_multiply_add(y, y, x * x))


@kernel()
def clip(value: float, low: float, high: float) -> float:
    """``numpy.clip`` of one number."""
    if value < low:
        return low
    if value > high:
        return high
    return value


@kernel()
def not_zero(value: float) -> float:
    """Keep a divisor at least 0.01 away from zero (highway_env.utils.not_zero)."""
    if abs(value) > NOT_ZERO_EPS:
        return value
    if value >= 0.0:
        return NOT_ZERO_EPS
    return -NOT_ZERO_EPS


@kernel()
def wrap_to_pi(angle: float) -> float:
    """Wrap an angle to [-pi, pi) (highway_env.utils.wrap_to_pi); the division is skipped where it changes nothing."""
    turned = angle + PI
    if not 0.0 <= turned < TWO_PI:
        turned = turned % TWO_PI
    return turned - PI
