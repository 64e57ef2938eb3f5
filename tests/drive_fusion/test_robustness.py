"""The bench of robustness at its smallest, and what its single-sense drivers see."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from drive_fusion.bench.robustness import SUBSETS, RobustnessBench, bench_robustness, observed_by, taught_drivers, with_senses
from drive_fusion.cloning import lessons
from drive_fusion.evaluation import Evaluation
from drive_fusion.rule_driver import RuleDriver
from sensors.errors import ConfigError
from sensors.presets import RIGS

ID = "highway-fast-v0"


def test_a_part_of_the_rig_sees_that_part_of_the_observation():
    micro = RIGS["micro"]
    whole = lessons(ID, micro, RuleDriver(), 2, conditions="mixed")
    for senses in SUBSETS:
        part = with_senses(micro, senses)
        seen, expected = observed_by(whole.observations, micro, senses), lessons(ID, part, RuleDriver(), 2, conditions="mixed").observations
        assert seen.keys() == expected.keys()
        assert all(torch.equal(seen[name], expected[name]) for name in seen), senses
    assert with_senses(micro, "CLR") == micro


def test_the_bench_teaches_once_and_tells_every_figure(tmp_path, capsys):
    config = RobustnessBench(folder=tmp_path, episodes=4, epochs=1, evaluation_seeds=2, subset_seeds=1, seeds=(0, 3))
    figures = bench_robustness(config)
    for name in ("C", "L", "R", "CLR", "CLR_without_dropout"):
        assert 0.0 <= figures[f"{name}.crashed.low"] <= figures[f"{name}.crashed"] <= figures[f"{name}.crashed.high"] <= 1.0
    assert figures["CLR-C.progress_m"] == pytest.approx(figures["CLR.progress_m"] - figures["C.progress_m"])
    fused, other = ([Evaluation.load(tmp_path / "scores" / f"mixed-{name}-{seed}.json") for seed in (0, 3)] for name in ("CLR", "R"))
    apart_m = [mine["progress_m"] - theirs["progress_m"] for mine, theirs in zip(fused, other, strict=True)]
    assert figures["CLR-R.progress_m"] == pytest.approx(np.mean(apart_m))
    assert figures["CLR-R.progress_m.low"] <= np.mean(apart_m) <= figures["CLR-R.progress_m.high"]
    assert figures["subset.CLR-L.score"] == pytest.approx(figures["subset.CLR.with_dropout.score"] - figures["subset.L.with_dropout.score"])
    assert {f"subset.{subset}.{with_}_dropout.score" for subset in SUBSETS for with_ in ("with", "without")} <= figures.keys()
    assert json.loads((tmp_path / "scores" / "mixed-CLR-3.json").read_text())["conditions"] == "mixed"
    assert json.loads((tmp_path / "scores" / "subset-C-of-CLR-0.json").read_text())["faults"] == ["dead:lidar", "dead:radar"]
    capsys.readouterr()
    assert set(taught_drivers(config, 3)) == {"C", "L", "R", "CLR", "CLR without dropout"}
    assert "held-out" not in capsys.readouterr().out, "drivers that are there must not be taught again"


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="modality_dropout is 0.0, expected above 0"):
        RobustnessBench(modality_dropout=0.0)
    with pytest.raises(ConfigError, match="episodes is 0"):
        RobustnessBench(episodes=0)
