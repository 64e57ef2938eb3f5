"""Elementary functions without the C library: bit for bit what it answers, over their ranges and at their edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from envs.traffic import libm
from envs.traffic.elementary import TWO_PI, fraction_of, rest_of_turns, wrap_to_pi
from envs.traffic.libm_tables import logarithms, powers_of_two, sines_and_cosines
from sensors.jit import kernel
from sensors.libm import ASKED, FUNCTIONS, answers, arguments_of, print_of

COUNT = 300_000
OURS: dict[str, Callable[..., float]] = {
    "sin": libm.sine,
    "cos": libm.cosine,
    "tan": libm.tangent,
    "atan": libm.arctangent,
    "atan2": libm.direction,
    "asin": libm.arcsine,
    "pow": libm.power,
}
EDGES = {
    "sin": (libm.TINY, libm.TAYLOR_END, libm.OCTANT_END, libm.HALF_TURN_END, libm.HALF_PI, math.pi, libm.ANGLE_END, math.inf),
    "cos": (libm.TINY, libm.TAYLOR_END, libm.OCTANT_END, libm.HALF_TURN_END, libm.HALF_PI, math.pi, libm.ANGLE_END, math.inf),
    "tan": (libm.TINY, libm.TANGENT_END, 0.787, libm.HALF_PI, 25.0, math.inf),
    "atan": (libm.TINY, libm.ARCTANGENT_END, 1.0, 16.0, 1e300, math.inf),
    "asin": (libm.TINY, libm.ARCSINE_END, 0.5, 1.0),
}


@kernel()
def each_of_one(function: Any, values: Any, out: Any) -> None:
    for number in range(len(values)):
        out[number] = function(values[number])


@kernel()
def each_of_two(function: Any, values: Any, others: Any, out: Any) -> None:
    for number in range(len(values)):
        out[number] = function(values[number], others[number])


def ours(name: str, *columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """What our function gives."""
    out = np.empty(len(columns[0]))
    (each_of_one if len(columns) == 1 else each_of_two)(OURS[name], *columns, out)
    return out


def theirs(name: str, *columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the library gives; Python raises where it gives NaN or infinity."""
    function = FUNCTIONS[name][0]

    def answer(*row: float) -> float:
        try:
            return function(*row)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return np.array([answer(*row) for row in zip(*(column.tolist() for column in columns), strict=True)])


def assert_same_bits(got: NDArray[np.float64], expected: NDArray[np.float64], *columns: NDArray[np.float64]) -> None:
    wrong = got.view(np.int64) != expected.view(np.int64)
    wrong &= ~(np.isnan(got) & np.isnan(expected))
    assert not wrong.any(), [column[wrong][:5] for column in columns]


def around(*values: float) -> NDArray[np.float64]:
    """Numbers, the 40 floats on either side of each, and their opposites."""
    numbers = [*values, 0.0, 5e-324, 2.3e-308]
    near = [number + offset * np.spacing(number) for number in numbers if math.isfinite(number) for offset in range(-40, 41)]
    every = np.array([*near, *numbers])
    return np.concatenate((every, -every))


@pytest.mark.parametrize("name", EDGES)
def test_a_function_of_one_number_gives_the_librarys_bits(name: str) -> None:
    draws, widest = np.random.default_rng(3), {"sin": 12.0, "cos": 12.0, "tan": 1.6, "atan": 3.0, "asin": 1.0}[name]
    signs = draws.choice((-1.0, 1.0), COUNT)
    edges = around(*EDGES[name])
    values = np.concatenate(
        (
            draws.uniform(-widest, widest, COUNT),
            signs * widest * draws.uniform(0.0, 1.0, COUNT) ** 4,
            signs * widest * 10.0 ** draws.uniform(-18.0, 0.0, COUNT),
            edges,
        )
    )
    assert_same_bits(ours(name, values), theirs(name, values), values)


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_angles_turn_like_the_librarys(name: str) -> None:
    draws = np.random.default_rng(4)
    quarters = np.round(draws.uniform(-1e4, 1e4, COUNT)) * (math.pi / 2.0)  # hardest: next to nothing is left
    values = np.concatenate((draws.uniform(-1e9, 1e9, COUNT), quarters))
    assert_same_bits(ours(name, values), theirs(name, values), values)


def test_directions_give_the_librarys_bits() -> None:
    draws = np.random.default_rng(7)
    x = np.concatenate((draws.uniform(-2.0, 40.0, COUNT), 10.0 ** draws.uniform(-32.0, 32.0, COUNT)))
    shares = np.concatenate(
        (draws.uniform(-0.07, 0.07, COUNT), draws.choice((-1.0, 1.0), COUNT) * 10.0 ** draws.uniform(-40.0, 0.0, COUNT))
    )
    ends = [0.0, 5e-324, 1e-300, 1.0, 1e300, math.inf, math.nan]
    pairs = np.array([(one, other) for one in (*ends, *(-end for end in ends)) for other in (*ends, *(-end for end in ends))])
    y, x = np.concatenate((x * shares, pairs[:, 0])), np.concatenate((x, pairs[:, 1]))
    assert_same_bits(ours("atan2", y, x), theirs("atan2", y, x), y, x)


def test_powers_give_the_librarys_bits() -> None:
    draws = np.random.default_rng(5)
    bases = np.concatenate((draws.uniform(0.0, 2.0, COUNT), draws.uniform(0.999, 1.001, COUNT), 10.0 ** draws.uniform(-30.0, 30.0, COUNT)))
    exponents = np.concatenate((draws.uniform(3.5, 4.5, COUNT), np.full(COUNT, 4.0), draws.uniform(0.01, 5.0, COUNT)))
    edges = np.array(
        [0.0, 5e-324, 1e-300, 1e-30, 0.5, 1.0, np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0), 1e30, 1e300, math.inf, math.nan]
    )
    pairs = np.array([(base, exponent) for base in edges for exponent in (0.0, 0.01, 1.0, 4.0, 5.0, 6.0, -1.0, 1e-300)])
    pairs = pairs[(pairs[:, 0] > 0.0) | (pairs[:, 1] >= 0.0)]  # Python calls one over zero an error, the library infinity
    bases, exponents = np.concatenate((bases, pairs[:, 0])), np.concatenate((exponents, pairs[:, 1]))
    assert_same_bits(ours("pow", bases, exponents), theirs("pow", bases, exponents), bases, exponents)


def test_bases_below_the_least_leave_one_as_it_is() -> None:
    assert 1.0 - math.pow(libm.LEAST_BASE, 3.5) == 1.0


@pytest.mark.parametrize("name", OURS)
def test_prints_of_the_known_answers_are_ours(name: str) -> None:
    if not libm.SAME[name]:
        pytest.skip(f"this library's {name} has the print {answers()[name]}: it is called")
    columns = [np.array(column) for column in arguments_of(name)]
    got = ours(name, *columns)
    assert len(got) == ASKED
    assert print_of(got) == libm.KNOWN[name]


def test_a_print_tells_one_wrong_last_digit() -> None:
    values = theirs("sin", np.array(arguments_of("sin")[0]))
    changed = values.copy()
    changed[ASKED // 2] = np.nextafter(changed[ASKED // 2], 2.0)
    assert print_of(values) == answers()["sin"] != print_of(changed)


def test_tables_hold_what_they_say() -> None:
    with localcontext() as context:
        context.prec = 60
        rows = sines_and_cosines().reshape(-1, 4)
        for sine, sine_rest, cosine, cosine_rest in rows:
            exact_sine, exact_cosine = Decimal(sine) + Decimal(sine_rest), Decimal(cosine) + Decimal(cosine_rest)
            assert abs(exact_sine**2 + exact_cosine**2 - 1) < Decimal(10) ** -31
        assert np.array_equal(rows[:, 0], [math.sin(number / 128) for number in range(len(rows))])
        for short, high, low in logarithms().reshape(-1, 3):
            assert abs((Decimal(high) + Decimal(low)).exp() * Decimal(short) - 1) < Decimal(10) ** -29
        rests, bits = powers_of_two()
        for number, (rest, pattern) in enumerate(zip(rests, bits, strict=True)):
            value = float(np.int64(pattern + (number << 45)).view(np.float64))
            assert abs((Decimal(value) * (1 + Decimal(rest))) ** 128 / Decimal(2) ** number - 1) < Decimal(10) ** -29


def test_remainders_are_pythons() -> None:
    draws = np.random.default_rng(6)
    wide = draws.uniform(-1.0, 1.0, 20_000) * 10.0 ** draws.uniform(-20.0, 18.0, 20_000)
    edges = around(TWO_PI, 2.0 * TWO_PI, math.pi)
    for value in (*draws.uniform(-20.0, 20.0, 20_000), *wide, *edges, 1e300, -1e300):
        assert np.float64(rest_of_turns(value)).tobytes() == np.float64(value % TWO_PI).tobytes()
        assert np.float64(fraction_of(value)).tobytes() == np.float64(value % 1.0).tobytes()
        assert wrap_to_pi(value) == (value + math.pi) % TWO_PI - math.pi
    assert math.isnan(wrap_to_pi(math.inf)) and math.isnan(wrap_to_pi(math.nan))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels are not compiled")
def test_kernels_compiled_for_one_library_are_not_used_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from sensors import jit

    before = jit.source_hash.__wrapped__("envs.traffic.libm")
    monkeypatch.setattr(jit, "answers", lambda: answers() | {"tan": "0" * 16})
    assert jit.source_hash.__wrapped__("envs.traffic.libm") != before
