"""Fast mode: its elementary functions against the C library's, its decisions against exact mode's, and its independence."""

import math
import threading

import numpy as np
import pytest

from envs.config import complete_config
from envs.native import Highways, highway_of
from envs.traffic.polynomials import arcsine, cosine_sine, power, power_of_two
from sensors.errors import ConfigError

FAST = "highway-fast-v0"
DRAWS = np.random.default_rng(11)


def spread(low: float, high: float, count: int = 4000) -> list[float]:
    """Numbers all over an interval, its ends too."""
    return [low, high, *(float(value) for value in DRAWS.uniform(low, high, count))]


def test_arcsine() -> None:
    assert max(abs(arcsine(x) - math.asin(x)) for x in spread(-math.sqrt(0.5), math.sqrt(0.5))) < 4e-12
    assert arcsine(0.0) == 0.0


@pytest.mark.parametrize("reach", [0.1, 1.0, 4.0, 1e5])
def test_cosine_sine(reach: float) -> None:
    bound = 1.5e-14 + 1e-16 * reach
    for angle in spread(-reach, reach):
        cosine, sine = cosine_sine(angle)
        assert abs(cosine - math.cos(angle)) < bound and abs(sine - math.sin(angle)) < bound
    assert cosine_sine(0.0) == (1.0, 0.0)


def test_power() -> None:
    for base, exponent in zip(spread(1e-3, 4.0), spread(0.5, 8.0), strict=True):
        assert power(base, exponent) == pytest.approx(math.pow(base, exponent), rel=2e-11)
    assert power(1.0, 4.0) == 1.0 and power(0.0, 3.5) < 1e-200
    assert max(abs(power_of_two(x) / 2.0**x - 1.0) for x in spread(-300.0, 300.0)) < 3e-12


@pytest.mark.parametrize(("id", "worlds", "decisions"), [(FAST, 60, 30), ("highway-v0", 8, 20)])
def test_fast_mode_decides_as_exact_mode(id: str, worlds: int, decisions: int) -> None:
    """Positions are compared until the first crash of a world, after which the side of a push may hang on rounding."""
    exact, fast = (Highways(id, worlds, mode=mode) for mode in ("exact", "fast"))
    exact.reset(np.arange(worlds) + 900)
    fast.reset(np.arange(worlds) + 900)
    differs, changes = 0.0, 0
    for row in np.random.default_rng(5).integers(0, 5, (decisions, worlds)):
        exact.step(row)
        fast.step(row)
        running = ~exact.cars["crashed"][:, 0]
        for name in ("lane", "target_lane", "crashed"):
            np.testing.assert_array_equal(exact.cars[name][running], fast.cars[name][running])
        calm = ~exact.cars["crashed"].any(1)
        for name in ("x_m", "y_m", "heading_rad", "speed_mps", "steering_rad", "acceleration_mps2"):
            differs = max(differs, float(np.abs(exact.cars[name] - fast.cars[name])[calm].max(initial=0.0)))
        changes += int((exact.cars["lane"] != exact.cars["target_lane"]).sum())
    assert 0.0 < differs < 1e-6, "equal in every bit would mean that one mode was compared with itself"
    assert changes > 20


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_a_world_does_not_depend_on_batch_and_threads(mode: str) -> None:
    batches = [Highways(FAST, worlds, mode=mode, threads=threads) for worlds, threads in ((67, 1), (67, 2), (67, 3), (1, 1))]
    for batch in batches[:3]:
        batch.reset(np.arange(67) * 5 + 1)
    batches[3].reset(np.array([66 * 5 + 1]))
    for row in np.random.default_rng(6).integers(0, 5, (25, 67)):
        results = [batch.step_and_renew(row[-1:] if len(batch.cars) == 1 else row) for batch in batches]
        for _, observations, finals in results[1:3]:
            np.testing.assert_array_equal(observations, results[0][1])
            np.testing.assert_array_equal(finals, results[0][2])
        np.testing.assert_array_equal(results[3][1][0], results[0][1][-1])
    for batch in batches[1:3]:
        assert batch.cars.tobytes() == batches[0].cars.tobytes() and batch.episodes.tobytes() == batches[0].episodes.tobytes()
    assert batches[3].cars.tobytes() == batches[0].cars[-1:].tobytes()


def test_several_callers_share_a_team() -> None:
    """Calls that meet are stepped one on the team and the others alone; all are right."""
    alone = Highways(FAST, 16)
    crowd = [Highways(FAST, 16, threads=2) for _ in range(3)]
    rows = np.random.default_rng(8).integers(0, 5, (40, 16))

    def drive(highways: Highways) -> None:
        highways.reset(np.arange(16))
        for row in rows:
            highways.step_and_renew(row)

    callers = [threading.Thread(target=drive, args=(highways,)) for highways in crowd]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    drive(alone)
    for highways in crowd:
        assert highways.cars.tobytes() == alone.cars.tobytes()


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'fast'"):
        highway_of(FAST, complete_config(FAST, None), "fats")
