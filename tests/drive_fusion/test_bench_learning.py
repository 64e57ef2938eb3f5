"""The learning benchmark: its figures against slow ones, and a whole run in small that goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from drive_fusion.bench import learning
from drive_fusion.bench.learning import LearningBench, Recipe, bench_learning, figures_of, share_of_gap
from drive_fusion.evaluation import Evaluation
from drive_fusion.intervals import wilson
from drive_fusion.study import Study
from sensors.errors import ConfigError


def test_the_share_of_the_gap_is_that_of_the_means():
    generator = np.random.default_rng(1)
    constant = generator.normal(4.0, 1.0, 400)
    privileged = constant + generator.normal(2.0, 0.3, (3, 400))
    ours = constant + generator.normal(1.7, 0.3, (3, 400))
    found = share_of_gap(ours, privileged, constant)
    assert found.value == pytest.approx((ours.mean() - constant.mean()) / (privileged.mean() - constant.mean()))
    assert found.low < found.value < found.high and found.high - found.low < 0.1  # paired: the constant's own spread cancels
    assert share_of_gap(privileged, privileged, constant).low == pytest.approx(1.0)
    assert share_of_gap(ours, constant + generator.normal(0.0, 5.0, (3, 400)), constant) is None


def test_the_figures_name_the_best_constant_action_and_each_seeds_share():
    generator = np.random.default_rng(3)
    seeds = tuple(range(50))

    def driven(name: str, returns: np.ndarray) -> Evaluation:
        told = {"return": tuple(returns), "crashed": (0.0,) * 50, "progress_m": (90.0,) * 50}
        return Evaluation(name, "intersection-v0", seeds, None, told)

    idle, slower = generator.normal(4.0, 0.1, 50), generator.normal(0.0, 0.1, 50)
    fixed = [driven("random", idle + 50.0), driven("slower", slower), driven("idle", idle), driven("idm", idle + 60.0)]
    rows = {"privileged": [driven("p", idle + 2.0), driven("p", idle + 4.0)], "sensors": [driven("s", idle + 1.0), driven("s", idle + 3.0)]}
    figures = figures_of(fixed, rows)
    assert figures["sensors.share_of_gap"] == pytest.approx(4.0 / 6.0)
    assert (figures["sensors.share_of_gap.seed_0"], figures["sensors.share_of_gap.seed_1"]) == pytest.approx((0.5, 0.75))
    assert figures["sensors.crash_rate"] == 0.0 and figures["sensors.crash_rate.high"] == pytest.approx(wilson(0, 100).high)
    assert figures["sensors.progress_m"] == pytest.approx(90.0)


def test_a_whole_run_in_small_and_what_it_leaves(tmp_path, monkeypatch):
    small = {"num_envs": 4, "n_steps": 8, "batch": 16}
    recipe = Recipe({**small, "steps": 64, "epochs": 1}, {**small, "steps": 64, "passes": 1.0, "remember": 64}, {}, 4)
    monkeypatch.setattr(learning, "RECIPES", {"intersection": recipe})
    config = LearningBench("intersection-v0", seeds=2, episodes=6, points=2, folder=tmp_path, threads=1)
    figures = bench_learning(config)
    for kind in ("privileged", "own", "sensors"):
        assert figures[f"{kind}.return.low"] <= figures[f"{kind}.return"] <= figures[f"{kind}.return.high"]
        assert figures[f"{kind}.cpu_seconds"] > 0.0
    assert {"random.return", "slower.return", "idle.return", "faster.return", "idm.crash_rate"} <= figures.keys()
    assert "sensors.share_of_gap" not in figures, "in 64 decisions nobody learns, and of no gap there is no share"
    assert (config.place / "curves.png").stat().st_size > 10_000
    text = (config.place / "table.txt").read_text()
    assert "distilled to sensors, seed 1" in text and "PPO, privileged state, seed 0" in text and "idm" in text
    curve = Study(config.place).outcome("sensors-0")["curve"]
    assert [steps for steps, _ in curve] == [32, 64]

    def refuse(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(learning, "trained", refuse)
    monkeypatch.setattr(learning, "distilled", refuse)
    again = bench_learning(config)
    assert again == figures
    with pytest.raises(AssertionError, match="trained again"):
        bench_learning(replace(config, seeds=3))


def test_where_rules_teach_first_ppo_goes_on_from_their_pupil(tmp_path, monkeypatch):
    small = {"num_envs": 4, "n_steps": 8, "batch": 16, "steps": 64}
    rules = {**small, "passes": 1.0, "remember": 64}
    monkeypatch.setattr(learning, "RECIPES", {"racetrack": Recipe({**small, "epochs": 1}, {**small}, {"duration": 4}, 2, rules)})
    config = LearningBench("racetrack-v0", points=1, folder=tmp_path, threads=1)
    study = Study(config.place)
    study.finish("privileged-0", learning.trained(config, "privileged", 0, study))
    told = {run: json.loads((config.place / "runs" / run / "config.json").read_text()) for run in ("ruled-0", "privileged-0")}
    assert (told["ruled-0"]["teacher"], told["ruled-0"]["rig"]) == ("rule", "privileged")
    assert told["privileged-0"]["warm_start"] == str(config.place / "runs" / "ruled-0" / "checkpoints" / "last")
    assert told["privileged-0"]["lr"] < config.training("privileged", 0).lr and told["privileged-0"]["critic_warmup"] == 8
    learning.trained(config, "own", 0, study)
    assert json.loads((config.place / "runs" / "own-0" / "config.json").read_text())["warm_start"] is None


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="every count"):
        LearningBench(seeds=0)
    with pytest.raises(ConfigError, match="minutes 0"):
        LearningBench(minutes=0.0)
