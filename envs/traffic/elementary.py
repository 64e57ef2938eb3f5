"""Elementary functions that round as highway-env's NumPy rounds.

Transcendental functions (``envs.traffic.libm``) are the C library's, which NumPy calls too where its AVX-512 variants are off.
``numpy.dot`` is OpenBLAS's, which ends in a fused multiply-add on some processors (AVX-512) and not on others; ``dot2`` does as NumPy
does here.

Machine instructions that Python has no word for are intrinsics; where numba is switched off (as in its CUDA simulator) plain Python
takes their place, with the same results.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from sensors.jit import leaf

PI = math.pi
TWO_PI = 2.0 * math.pi
NOT_ZERO_EPS = 1e-2


def in_python(plain: Callable[..., Any]) -> Callable[[Any], Any]:
    """Use a plain function in an intrinsic's place where numba is switched off."""
    return lambda compiled: plain if config.DISABLE_JIT else compiled


def _call(builder: Any, name: str, arguments: Any) -> Any:
    """Call one of LLVM's own functions of float64 numbers."""
    number = ir.DoubleType()
    function = builder.module.declare_intrinsic(name, [number], ir.FunctionType(number, [number] * len(arguments)))
    return builder.call(function, arguments)


def _exact_multiply_add(a: float, b: float, c: float) -> float:
    return float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


@in_python(_exact_multiply_add)
@intrinsic
def fused_multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding, float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@in_python(_exact_multiply_add)
@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, float64: rounded once where the processor does that in one instruction, twice elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.fmuladd", arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@in_python(lambda value: float(math.floor(value)))
@intrinsic
def floor(typing: Any, value: Any) -> Any:
    """The whole number at or below a value, as float64 (``math.floor`` gives an int, which does not vectorise)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.floor", arguments)

    return types.float64(types.float64), generate


@in_python(lambda value: struct.unpack("<q", struct.pack("<d", value))[0])
@intrinsic
def bits_of(typing: Any, value: Any) -> Any:
    """The 64 bits of a float64 as an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@in_python(lambda bits: struct.unpack("<d", struct.pack("<Q", bits & 0xFFFFFFFFFFFFFFFF))[0])
@intrinsic
def float_of(typing: Any, bits: Any) -> Any:
    """The float64 that some 64 bits stand for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@in_python(lambda a, b: np.uint64(int(a) * int(b) >> 64))
@intrinsic
def multiply_high(typing: Any, a: Any, b: Any) -> Any:
    """Upper 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        left, right = (builder.zext(argument, wide) for argument in arguments)
        return builder.trunc(builder.lshr(builder.mul(left, right), ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


def numpy_fuses_dot() -> bool:
    """Does ``numpy.dot`` of two 2-vectors round once at its end? (1 + e)^2 - 1 - 2e is e^2, and is lost where it rounds twice."""
    epsilon = 2.0**-30
    return float(np.dot(np.array([-1.0 - 2.0 * epsilon, 1.0 + epsilon]), np.array([1.0, 1.0 + epsilon]))) != 0.0


FUSED_DOT = numpy_fuses_dot()


@leaf()
def dot2(ax: float, ay: float, bx: float, by: float) -> float:
    """``numpy.dot`` of two 2-vectors."""
    if FUSED_DOT:
        return fused_multiply_add(ay, by, ax * bx)
    return ax * bx + ay * by


@leaf()
def norm2(x: float, y: float) -> float:
    """``numpy.linalg.norm`` of a 2-vector."""
    return math.sqrt(dot2(x, y, x, y))


@leaf()
def clip(value: float, low: float, high: float) -> float:
    """``numpy.clip`` of one number."""
    if value < low:
        return low
    if value > high:
        return high
    return value


@leaf()
def not_zero(value: float) -> float:
    """Keep a divisor at least 0.01 away from zero (highway_env.utils.not_zero)."""
    if abs(value) > NOT_ZERO_EPS:
        return value
    if value >= 0.0:
        return NOT_ZERO_EPS
    return -NOT_ZERO_EPS


@leaf()
def fraction_of(value: float) -> float:
    """``value % 1.0``."""
    return value - floor(value)


@leaf()
def rest_of_turns(angle: float) -> float:
    """``angle % TWO_PI``, by differences that are exact: the remainder of floats takes as long as ten divisions on some processors."""
    size = abs(angle)
    if not size < math.inf:
        return math.nan
    while size >= TWO_PI:
        step = TWO_PI
        while step <= 0.5 * size:
            step *= 2.0
        size -= step
    return size if angle >= 0.0 or size == 0.0 else TWO_PI - size


@leaf()
def wrap_to_pi(angle: float) -> float:
    """Wrap an angle to [-pi, pi) (highway_env.utils.wrap_to_pi)."""
    turned = angle + PI
    if not 0.0 <= turned < TWO_PI:
        turned = rest_of_turns(turned)
    return turned - PI
