"""Intervals of figures, against published values."""

from __future__ import annotations

import numpy as np
import pytest

from drive_fusion.intervals import mean, over_runs, paired_difference, wilson


def test_wilsons_interval_against_published_values():
    none = wilson(0, 600)
    assert (none.value, none.low) == (0.0, 0.0) and none.high == pytest.approx(0.00636, abs=1e-5)
    some = wilson(15, 600)
    assert (some.low, some.high) == (pytest.approx(0.01520, abs=1e-5), pytest.approx(0.04083, abs=1e-5))
    assert wilson(5, 5).high == 1.0


def test_means_and_paired_differences():
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    figure = mean(values)
    assert figure.value == pytest.approx(values.mean())
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 * values.std() / 20.0, rel=0.1)
    shifted = paired_difference(values + 0.5, values)
    assert (shifted.low, shifted.value, shifted.high) == pytest.approx((0.5, 0.5, 0.5))
    assert figure.text(1) == f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"


def test_an_interval_over_runs_knows_that_runs_differ():
    alike = np.tile(np.random.default_rng(2).normal(0.0, 1.0, 500), (3, 1))
    apart = alike + np.array([[-3.0], [0.0], [3.0]])
    narrow, wide = over_runs(alike), over_runs(apart)
    assert narrow.value == pytest.approx(wide.value)
    assert narrow.high - narrow.low == pytest.approx(4 * 0.98 / np.sqrt(500), rel=0.15)
    assert wide.high - wide.low > 3.0
