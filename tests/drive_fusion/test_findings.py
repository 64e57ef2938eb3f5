"""The report's sentences follow from the paired intervals."""

import numpy as np
import pytest

from drive_fusion.report.findings import driver_findings, paired


def row(name, crashed, progress):
    return {"name": name, "per_seed": {"crashed": crashed, "progress_m": progress}}


def test_the_paired_interval_by_hand():
    difference = paired([3.0, 5.0, 7.0, 9.0], [2.0, 3.0, 6.0, 5.0])  # 1, 2, 1, 4: mean 2, sd sqrt(2), half 1.96 * sqrt(2) / 2
    assert difference.mean == pytest.approx(2.0)
    assert difference.high - difference.mean == pytest.approx(1.959964 * np.sqrt(2.0) / 2.0)
    assert difference.shown


def test_a_clear_difference_is_stated_and_an_unclear_one_is_not_claimed():
    wobble = np.tile([-1.0, 1.0], 50)
    drivers = [row("ours", [False] * 100, 600 + wobble), row("idm", [True] * 50 + [False] * 50, 600 + wobble[::-1])]
    crashes, progress = driver_findings(drivers, "ours", ["idm", "absent"])
    assert crashes.startswith("ours has fewer crashes than idm: -50.0")
    assert progress.startswith("No difference in progress between ours and idm is shown")
