"""The report's sentences follow from the paired intervals."""

import numpy as np

from drive_fusion.evaluation import Evaluation
from drive_fusion.report.findings import driver_findings


def evaluation(name, crashed, progress):
    per_seed = {"crashed": tuple(crashed), "progress_m": tuple(progress)}
    return Evaluation(name, "highway-fast-v0", tuple(range(len(crashed))), None, per_seed)


def test_a_clear_difference_is_stated_and_an_unclear_one_is_not_claimed():
    wobble = np.tile([-1.0, 1.0], 50)
    ours = evaluation("ours", [0.0] * 100, 600 + wobble)
    idm = evaluation("idm", [1.0] * 50 + [0.0] * 50, 600 + wobble[::-1])
    crashes, progress = driver_findings([ours, idm], "ours", ["idm", "absent"])
    assert crashes.startswith("“ours” crashes less often than “idm”: -50.0 [")
    assert progress.startswith("No difference in progress between “ours” and “idm” is shown")


def test_the_sentence_turns_with_the_sign():
    ours = evaluation("ours", [1.0, 1.0, 1.0, 1.0], [10.0, 12.0, 14.0, 16.0])
    idm = evaluation("idm", [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0])
    crashes, progress = driver_findings([ours, idm], "ours", ["idm"])
    assert crashes == "“ours” crashes more often than “idm”: +100.0 [+100.0, +100.0] percentage points."
    assert progress.startswith("“ours” gets further than “idm”: +10")
