"""The reward model: its likelihood, what it recovers of planted reviewers, its files, and its place in the world."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from feedback.hazard import Ride
from feedback.likelihood import ANSWERS, answer_log_probs, decided_probability
from feedback.model_file import ModelFileError, save_model
from feedback.reward_fit import Comparison, FitReport, RideWindows, calibration_bins, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.windows import WindowConfig, Windows, feature_names
from sensors.errors import ConfigError
from sensors.scene import Scene

NAMES = feature_names(WindowConfig())
LIKED, DISLIKED = NAMES.index("progress"), NAMES.index("near_1s")
RISKY, CRASH = NAMES.index("any_ttc_soon"), NAMES.index("crash")
VARYING = [LIKED, DISLIKED, RISKY, NAMES.index("speed"), NAMES.index("jerk"), NAMES.index("lateral")]
CONFIG = RewardConfig(hidden=8, steps=120)
Rides = dict[str, RideWindows]


def planted(features: Tensor) -> Tensor:
    return 1.5 * features[:, LIKED] - 2.0 * features[:, DISLIKED]


def some_rides(count: int, seed: int = 0, decisions: int = 6) -> tuple[Rides, dict[str, float]]:
    """Rides of random windows, every fourth with a crash and dead decisions after it, and their planted returns."""
    generator = torch.Generator().manual_seed(seed)
    rides, returns = {}, {}
    for number in range(count):
        features, dead = torch.zeros(decisions, len(NAMES)), torch.zeros(decisions, dtype=torch.bool)
        features[:, VARYING] = 0.5 * torch.randn(decisions, len(VARYING), generator=generator)
        if number % 4 == 0:
            crash = 1 + number % 3
            features[crash, CRASH] = 1.0
            dead[crash + 1 :] = True
        features[dead] = 0.0
        reward = planted(features) - 4.0 * features[:, CRASH]
        reward[dead] = -1.0
        rides[f"ride {number}"] = RideWindows(Windows(features, dead, torch.zeros_like(dead)), f"start {number // 2}")
        returns[f"ride {number}"] = float(reward.sum())
    return rides, returns


def compared(returns: dict[str, float], count: int, mistakes: float = 0.0, seed: int = 0) -> list[Comparison]:
    """Answers about pairs within blocks of twelve neighbouring rides; some are turned round."""
    generator = torch.Generator().manual_seed(seed)
    names, answers = list(returns), []
    for _ in range(count):
        block = 12 * int(torch.randint(len(names) // 12, (1,), generator=generator))
        first, second = (names[block + int(place)] for place in torch.randperm(12, generator=generator)[:2])
        better = returns[first] > returns[second]
        wrong = bool(torch.rand(1, generator=generator) < mistakes)
        answers.append(Comparison(first, second, "A" if better != wrong else "B"))
    return answers


@pytest.fixture(scope="module")
def fitted() -> tuple[RewardModel, FitReport]:
    rides, returns = some_rides(144)
    return fit_reward(rides, [*compared(returns, 300), Comparison("ride 0", "ride 1", "cannot")], config=CONFIG)


def agreement(model: RewardModel, seed: int = 7) -> float:
    """Share of fresh pairs that the model ranks like the planted return."""
    rides, returns = some_rides(100, seed)
    told = {name: float(model.reward_of(ride.seen).sum()) for name, ride in rides.items()}
    pairs = [(one, other) for one in told for other in told if returns[one] > returns[other] + 0.5]
    return sum(told[one] > told[other] for one, other in pairs) / len(pairs)


@given(x=st.floats(-50, 50), tie=st.floats(0.01, 5), lapse=st.floats(0.0, 0.5))
def test_answers_follow_davidson_with_lapses(x: float, tie: float, lapse: float) -> None:
    total = math.exp(x / 2) + math.exp(-x / 2) + tie
    expected = [(1 - lapse) * part / total + lapse / 3 for part in (math.exp(x / 2), tie, math.exp(-x / 2))]
    told = answer_log_probs(torch.tensor(x, dtype=torch.float64), torch.tensor(tie).double(), torch.tensor(lapse).double())
    assert told.exp().tolist() == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_a_lapse_bounds_what_one_wrong_answer_costs() -> None:
    hopeless = torch.tensor(-1000.0)
    with_lapse = -answer_log_probs(hopeless, torch.tensor(0.1), torch.tensor(0.1))[ANSWERS.index("A")]
    assert float(with_lapse) == pytest.approx(-math.log(0.1 / 3), rel=1e-4)
    assert float(decided_probability(hopeless, torch.tensor(0.1), torch.tensor(0.0))) == pytest.approx(0.0, abs=1e-6)


def test_recovers_a_planted_reviewer_on_fresh_rides(fitted: tuple[RewardModel, FitReport]) -> None:
    model, report = fitted
    assert agreement(model) > 0.9
    assert report.accuracy > 0.8
    assert report.nll < 0.75 * report.chance_nll
    assert (report.comparisons, report.left_out) == (300, 1)


def test_mistakes_are_taken_for_lapses_and_do_little_harm(fitted: tuple[RewardModel, FitReport]) -> None:
    rides, returns = some_rides(144)
    model, report = fit_reward(rides, compared(returns, 300, mistakes=0.1), config=CONFIG)
    assert report.answers.lapse > fitted[1].answers.lapse + 0.02
    assert agreement(model) > 0.8


def cost_of_a_crash(model: RewardModel) -> float:
    """What a crash takes off the reward, in units of what one unit of progress adds."""
    features = torch.zeros(3, len(NAMES))
    features[1, CRASH], features[2, LIKED] = 1.0, 1.0
    live = torch.zeros(3, dtype=torch.bool)
    plain, crashed, ahead = model.member_rewards(Windows(features, live, live)).mean(0).tolist()
    return (plain - crashed) / (ahead - plain)


def crashing_rides(count: int, seed: int = 0) -> Rides:
    """Rides of six windows of which nothing but progress differs; every other one ends in a crash."""
    generator = torch.Generator().manual_seed(seed)
    rides = {}
    for number in range(count):
        features, none = torch.zeros(6, len(NAMES)), torch.zeros(6, dtype=torch.bool)
        features[:, LIKED] = torch.rand(6, generator=generator)
        features[5, CRASH] = float(number % 2)
        rides[f"ride {number}"] = RideWindows(Windows(features, none, none), f"start {number // 2}")
    return rides


def test_a_crash_that_always_lost_costs_more_than_the_least_that_answers_allow() -> None:
    rides = crashing_rides(144)
    progress = {name: float(ride.seen.features[:, LIKED].sum()) for name, ride in rides.items()}
    crashed = {name: bool(ride.seen.features[:, CRASH].any()) for name, ride in rides.items()}
    comparisons = compared({name: progress[name] - 1000.0 * crashed[name] for name in rides}, 300)
    least = max(
        abs(progress[each.first] - progress[each.second])
        for each in comparisons
        if crashed[each.first] != crashed[each.second] and (progress[each.first] > progress[each.second]) == crashed[each.first]
    )
    model, _ = fit_reward(rides, comparisons, config=CONFIG)
    assert 1.3 * least < cost_of_a_crash(model) < 3.0 * least


@pytest.mark.parametrize("cost", [0.5, 1.5])
def test_the_cost_of_a_crash_that_answers_tell_is_told(cost: float) -> None:
    rides = crashing_rides(288)
    returns = {name: float((ride.seen.features[:, LIKED] - cost * ride.seen.features[:, CRASH]).sum()) for name, ride in rides.items()}
    model, _ = fit_reward(rides, compared(returns, 900), config=CONFIG)
    assert cost_of_a_crash(model) == pytest.approx(cost, rel=0.2)


def test_a_crash_and_being_dead_are_disliked(fitted: tuple[RewardModel, FitReport]) -> None:
    model, _ = fitted
    usual = torch.zeros(1, len(NAMES))
    crash = usual.clone()
    crash[0, CRASH] = 1.0
    no = torch.tensor([False])
    assert float(model.reward_of(Windows(crash, no, no))) < float(model.reward_of(Windows(usual, no, no))) - 1.0
    assert model.absorbing_reward < -0.5


def test_scale_and_zero_are_anchored_on_the_reference_windows(fitted: tuple[RewardModel, FitReport]) -> None:
    model, _ = fitted
    none = torch.zeros(len(model.reference), dtype=torch.bool)
    told = model.member_rewards(Windows(model.reference, none, none))
    assert torch.allclose(told.mean(1), torch.zeros(CONFIG.members), atol=1e-4)
    assert torch.allclose(told.std(1, correction=0), torch.ones(CONFIG.members), atol=1e-4)


def test_a_later_model_keeps_the_reference(fitted: tuple[RewardModel, FitReport]) -> None:
    rides, returns = some_rides(60, seed=3)
    later, _ = fit_reward(rides, compared(returns, 80), config=replace(CONFIG, steps=20), previous=fitted[0])
    assert torch.equal(later.reference, fitted[0].reference)


def test_same_seed_same_model_bit_for_bit() -> None:
    rides, returns = some_rides(60)
    answers, config = compared(returns, 80), replace(CONFIG, steps=20)
    one, other = (fit_reward(rides, answers, config=config)[0] for _ in range(2))
    another = fit_reward(rides, answers, config=replace(config, seed=1))[0]
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), other.net.parameters(), strict=True))
    assert one.answers == other.answers
    assert not torch.equal(one.net.ensemble.line, another.net.ensemble.line)


def test_ties_raise_the_tie_weight(fitted: tuple[RewardModel, FitReport]) -> None:
    rides, returns = some_rides(144)
    answers = compared(returns, 240)
    tied = [replace(each, answer="tie") if abs(returns[each.first] - returns[each.second]) < 1.5 else each for each in answers]
    _, with_ties = fit_reward(rides, tied, config=CONFIG)
    assert with_ties.answers.tie_weight > 2 * fitted[1].answers.tie_weight


def test_takeovers_join_the_preference_with_a_weight_of_at_least_zero() -> None:
    """Reviewers dislike nothing but what makes people take the wheel."""
    rides, _ = some_rides(144)
    returns = {name: -4.0 * float((ride.seen.features[:, RISKY] > 0.6).sum()) for name, ride in rides.items()}
    watched = []
    for ride in rides.values():
        near = (ride.seen.features[:, RISKY] > 0.6).nonzero().flatten()
        onset = float(near[0]) + 0.9 if len(near) else None
        watched.append(Ride(ride.seen.features, ride.seen.live, 1.0, onset, 6.0, ride.group))
    model, report = fit_reward(rides, compared(returns, 300), watched, CONFIG)
    assert report.hazard is not None and report.hazard.validation_nll < report.hazard.constant_nll
    assert report.answers.takeover_weight > 0.0
    plain, safe = torch.zeros(1, len(NAMES)), torch.tensor([False])
    danger = plain.clone()
    danger[0, RISKY] = 1.2
    parts = model.parts(Windows(torch.cat((plain, danger)), safe.expand(2), safe.expand(2)))
    assert parts.hazard[1] > parts.hazard[0]
    reward = model.reward_of(Windows(torch.cat((plain, danger)), safe.expand(2), safe.expand(2)))
    expected = parts.mean - 0.5 * parts.spread - model.answers.takeover_weight * parts.hazard
    assert torch.allclose(reward, expected)


def test_too_few_answers_and_unknown_rides_are_refused() -> None:
    rides, returns = some_rides(24)
    with pytest.raises(ConfigError, match="got 5 answers .* label more pairs"):
        fit_reward(rides, compared(returns, 5), config=CONFIG)
    with pytest.raises(ConfigError, match="'ride 99'"):
        fit_reward(rides, [*compared(returns, 40), Comparison("ride 0", "ride 99", "A")], config=CONFIG)


def test_calibration_bins_compare_what_was_told_with_what_happened() -> None:
    told = torch.tensor([0.9, 0.1, 0.2, 0.8])
    assert calibration_bins(told, torch.tensor([1.0, 0.0, 1.0, 1.0]), bins=2) == (
        (pytest.approx(0.15), 0.5, 2),
        (pytest.approx(0.85), 1.0, 2),
    )


def test_reward_of_scenes_is_absorbing_after_a_crash(fitted: tuple[RewardModel, FitReport], highway_scene: Callable[..., Scene]) -> None:
    model, _ = fitted
    alive = highway_scene([(100.0, -4.0, 20.0)], [(100.0, -4.0, 30.0)])
    crashed = highway_scene([(110.0, -4.0, 0.0)], [(105.0, -4.0, 5.0)], time_s=1.0, crashed=True)
    actions, terminal = torch.tensor([1, 3]), torch.tensor([True, True])
    dead = model.reward(crashed, actions, crashed, terminal)
    assert dead.tolist() == pytest.approx([model.absorbing_reward] * 2)
    assert model.reward(alive, actions, crashed, terminal).shape == (2,)
    assert model.after_the_end(crashed).tolist() == pytest.approx([model.absorbing_reward] * 2)
    assert model.after_the_end(alive).tolist() == pytest.approx([model.arrival_reward] * 2)


def test_save_and_load_give_the_same_rewards(fitted: tuple[RewardModel, FitReport], tmp_path: Path) -> None:
    model, _ = fitted
    path = tmp_path / "models" / "reward"
    model.save(path)
    back = RewardModel.load(path)
    none = torch.zeros(len(model.reference), dtype=torch.bool)
    assert torch.equal(back.reward_of(Windows(model.reference, none, none)), model.reward_of(Windows(model.reference, none, none)))
    assert (back.config, back.answers, back.absorbing_reward) == (model.config, model.answers, model.absorbing_reward)
    assert back.about["report"]["comparisons"] == 300
    assert [each.name for each in path.parent.iterdir()] == ["reward"]


def test_every_truncation_is_refused(fitted: tuple[RewardModel, FitReport], tmp_path: Path) -> None:
    path = tmp_path / "reward"
    fitted[0].save(path)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="truncated or no reward model"):
            RewardModel.load(path)


def test_damaged_foreign_and_missing_files_are_refused(fitted: tuple[RewardModel, FitReport], tmp_path: Path) -> None:
    path = tmp_path / "reward"
    fitted[0].save(path)
    flipped = bytearray(path.read_bytes())
    flipped[-5] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ModelFileError, match="damaged: content hash"):
        RewardModel.load(path)
    path.write_bytes(b"\x80\x04pickle of something else entirely")
    with pytest.raises(ModelFileError, match="truncated or no reward model"):
        RewardModel.load(path)
    save_model(path, "something else 1", {"x": torch.zeros(1)}, {})
    with pytest.raises(ModelFileError, match="is a 'something else 1'"):
        RewardModel.load(path)
    with pytest.raises(ModelFileError, match="cannot be read"):
        RewardModel.load(tmp_path / "missing")


def test_a_save_that_fails_leaves_the_old_file(
    fitted: tuple[RewardModel, FitReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reward"
    fitted[0].save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelFileError, match="No space left on device"):
        replace(fitted[0], about={"other": 1}).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["reward"]
