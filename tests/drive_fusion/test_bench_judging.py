"""The bench of foretelling: its figures, who answers, and (slow) how close a reward comes to what nobody can beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from drive_fusion.bench.judging import JudgingBench, answered, asked_about, bench_judging, truth
from drive_fusion.extractor import FusedExtractor
from drive_fusion.intervals import over_runs
from drive_fusion.twin import FusedEyes
from envs.observation import observation_space
from sensors.errors import ConfigError
from sensors.presets import RIGS

SMALL = JudgingBench(("highway-fast-v0",), ("oracle", "panel"), (80,), seeds=2, questions=150, train_seeds=12, test_seeds=6)


def test_figures_of_a_small_run_stand_beside_what_nobody_can_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    eyes = FusedEyes(FusedExtractor(observation_space(RIGS["micro"], 5), "micro"), "micro")
    monkeypatch.setattr(FusedEyes, "load", classmethod(lambda cls, path: eyes))
    figures = bench_judging(JudgingBench(**{**vars(SMALL), "teachers": ("panel",), "twin": Path("checkpoint")}))
    name = "highway-fast-v0.panel.80"
    assert 0.6 < figures[f"{name}.accuracy"] <= figures[f"{name}.ceiling"] < 1.0
    assert figures[f"{name}.nll"] > figures[f"{name}.least_nll"] > 0.0
    assert figures[f"{name}.gap_points_low"] <= figures[f"{name}.gap_points"] <= figures[f"{name}.gap_points_high"]
    assert figures[f"{name}.twin_accuracy"] > 0.5
    assert figures[f"{name}.twin_gap_points_low"] < figures[f"{name}.twin_gap_points_high"]


def test_a_panel_s_questions_are_answered_by_strangers_and_other_fits_have_other_answers() -> None:
    asked = asked_about("highway-fast-v0", range(6), 60)
    one, other = (answered(asked, "panel", 30, seed, 4) for seed in (0, 1))
    assert {each.reviewer for each in one} == {f"reviewer {number}" for number in range(4)}
    assert not {(each.first, each.second) for each in one} & {(each.first, each.second) for each in other}
    assert np.allclose(truth(asked, "panel", 0, 4).sum(1), 1.0) and truth(asked, "oracle", 0, 4).max(1).min() == 1.0
    right = [asked.returns[each.first] > asked.returns[each.second] for each in answered(asked, "oracle", 30, 0, 4) if each.answer != "tie"]
    assert right == [each.answer == "A" for each in answered(asked, "oracle", 30, 0, 4) if each.answer != "tie"]


def test_intervals_are_over_fits_as_well_as_questions() -> None:
    random = np.random.default_rng(0)
    alike = random.normal(0, 1, (4, 500)) + 2.0
    unlike = alike + np.asarray([-1.0, -0.5, 0.5, 1.0])[:, None]
    assert over_runs(alike).low < 2.0 < over_runs(alike).high
    assert over_runs(unlike).high - over_runs(unlike).low > 3 * (over_runs(alike).high - over_runs(alike).low)
    with pytest.raises(ConfigError, match="1 or more"):
        JudgingBench(seeds=0)


@pytest.mark.slow
@pytest.mark.parametrize("id", ["highway-fast-v0", "intersection-v0"])
def test_500_answers_come_close_to_the_ceiling_and_are_calibrated(id: str) -> None:
    config = JudgingBench(ids=(id,), teachers=("oracle", "stochastic", "mistake", "panel"), seeds=2)
    figures = bench_judging(config)
    for teacher in config.teachers:
        name = f"{id}.{teacher}.500"
        assert figures[f"{name}.gap_points"] < 4.5, name
        assert figures[f"{name}.calibration_error"] < figures[f"{name}.calibration_noise"] + 0.03, name


@pytest.mark.slow
def test_a_learned_reward_orders_policies_nearly_as_the_true_one_does() -> None:
    """DARD on test worlds, which are set back and tried with every action: 0.71 is unrelated."""
    from envs.world import World
    from feedback.reward_distance import reward_distance, true_reward_of
    from feedback.reward_fit import fit_reward
    from feedback.reward_model import RewardConfig

    train = asked_about("highway-fast-v0", range(120), 1500)
    world = World("highway-fast-v0", num_worlds=16, num_threads=1)
    for count, most in ((100, 0.4), (500, 0.25)):
        answers = answered(train, "oracle", count, 0, 6)
        used = {name for each in answers for name in (each.first, each.second)}
        model, _ = fit_reward({name: train.rides[name] for name in used}, answers, config=RewardConfig(seed=0, reviewer_draws=0))
        told = reward_distance(world, true_reward_of(1.0), model.reward, range(5000, 5016))
        print(count, told)
        assert told.dard < most and told.spearman > 0.7 and told.spearman_returns > 0.9
