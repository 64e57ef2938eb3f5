"""Foretelling answers: figures against slow ones, what nobody can beat, planted reviewers, and a reward close to the ceiling."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feedback.foretelling import calibration_error, foretold, told_answers
from feedback.hazard import Hazard
from feedback.panel import Answers
from feedback.planted import Planted, planted_panel
from feedback.reward_fit import fit_reward
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.reward_table import Comparison, RideWindows, shares, table_of, unheard
from sensors.errors import ConfigError
from tests.feedback.test_reward_model import CONFIG, NAMES, VARYING, compared, some_rides


def some_chances(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet((1.0, 0.3, 1.0), count)


def test_figures_are_sums_over_questions() -> None:
    told, true = some_chances(50, 0), some_chances(50, 1)
    found = foretold(told, true)
    right = sum(row[0] if guess[0] >= guess[2] else row[2] for guess, row in zip(told, true, strict=True))
    decided = sum(row[0] + row[2] for row in true)
    assert found.accuracy == pytest.approx(right / decided)
    assert found.ceiling == pytest.approx(sum(max(row[0], row[2]) for row in true) / decided)
    assert found.nll == pytest.approx(
        -np.mean([sum(p * math.log(q) for p, q in zip(*rows, strict=True)) for rows in zip(true, told, strict=True)])
    )
    assert found.least_nll == pytest.approx(-np.mean([sum(p * math.log(p) for p in row) for row in true]))


def test_nobody_beats_who_knows_the_truth() -> None:
    true = some_chances(4000, 2)
    best, other = foretold(true, true), foretold(some_chances(4000, 3), true)
    assert best.accuracy == best.ceiling and best.nll == pytest.approx(best.least_nll)
    assert other.accuracy < best.ceiling and other.nll > best.least_nll
    assert best.calibration_error < 2 * best.calibration_noise < other.calibration_error


def test_an_oracle_s_entropy_is_zero_and_ties_alone_are_refused() -> None:
    sure = np.asarray([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert foretold(sure, sure).least_nll == 0.0 and foretold(sure, sure).ceiling == 1.0
    with pytest.raises(ConfigError, match="all ties"):
        foretold(sure, np.asarray([[0.0, 1.0, 0.0]] * 2))
    with pytest.raises(ConfigError, match="expected two of"):
        foretold(sure, sure[:1])


def test_calibration_error_is_the_mean_distance_over_bins() -> None:
    told = np.asarray([0.1, 0.2, 0.8, 0.9])
    assert calibration_error(told, np.asarray([0.0, 1.0, 1.0, 1.0]), bins=2) == pytest.approx(0.5 * (0.35 + 0.15))


@given(
    advantage=st.floats(-300, 300), slope=st.floats(0, 10), lapse=st.floats(0, 1), side=st.floats(-2, 2), tie=st.floats(0, 3)
)  # at a slope of 10 plain exponentials are just not too large
def test_planted_reviewers_answer_by_davidson(advantage: float, slope: float, lapse: float, side: float, tie: float) -> None:
    told = Planted(slope, lapse, side, tie).chances(np.asarray([advantage / 10]), np.asarray([-1.0]))[0]
    logit = slope * advantage / 10 - side
    weights = np.asarray([math.exp(logit / 2), tie, math.exp(-logit / 2)])
    assert told == pytest.approx((1 - lapse) * weights / weights.sum() + lapse / 3, abs=1e-12)
    assert told.sum() == pytest.approx(1.0)


def test_planted_panels_are_seeded_and_nonsense_is_refused() -> None:
    assert planted_panel(3, 1) == planted_panel(3, 1) != planted_panel(3, 2)
    with pytest.raises(ConfigError, match="lapse in"):
        Planted(lapse=1.5)


def made_up_model(with_hazard: bool = False) -> RewardModel:
    generator = torch.Generator().manual_seed(0)
    net = RewardNet(len(NAMES), 4, 3, generator).requires_grad_(False)
    net.ended.copy_(torch.tensor([[-2.0, 1.0]] * 3))
    hazard = Hazard(len(NAMES), 4, generator).requires_grad_(False) if with_hazard else None
    answers = Answers(temperature=0.7, tie_weight=0.3, lapse=0.1, takeover_weight=0.5 if with_hazard else 0.0)
    config = RewardConfig(members=3, folds=4)
    return RewardModel(config, net, torch.randn(40, len(NAMES), generator=generator), answers, hazard)


@pytest.mark.parametrize("with_hazard", [False, True])
def test_told_chances_are_davidson_s_of_each_member_s_return(with_hazard: bool) -> None:
    model = made_up_model(with_hazard)
    rides = [ride.seen for ride in some_rides(6)[0].values()]
    pairs = [(rides[0], rides[1]), (rides[2], rides[0]), (rides[4], rides[5])]
    told = told_answers(model, pairs)
    for place, (first, second) in enumerate(pairs):
        returns = [model.member_rewards(each).sum(1) - 0.5 * model.parts(each).hazard.sum() * with_hazard for each in (first, second)]
        logit = (returns[0] - returns[1]) / 0.7
        weights = torch.stack(((logit / 2).exp(), torch.full_like(logit, 0.3), (-logit / 2).exp()), -1)
        expected = 0.9 * weights / weights.sum(-1, keepdim=True) + 0.1 / 3
        assert torch.allclose(told[:, place], expected, atol=1e-5)
    assert told_answers(model, []).shape == (3, 0, 3)


def named(answers: list[Comparison], reviewers: int) -> list[Comparison]:
    return [replace(each, reviewer=f"reviewer {place % reviewers}") for place, each in enumerate(answers)]


def test_the_temperature_is_that_of_reviewers_whom_a_member_has_not_heard() -> None:
    rides, returns = some_rides(144)
    answers = compared(returns, 240)
    table = table_of(rides, named(answers, 7), None, CONFIG)
    seen, validate = shares(table, CONFIG)
    left_out = unheard(table, seen)
    assert left_out.any(0).all()  # everybody is left out by somebody
    for member in range(CONFIG.members):
        strangers = set(table.said.reviewer[left_out[member]].tolist())
        heard = set(table.said.reviewer[seen[member] & ~left_out[member]].tolist())
        assert strangers and not strangers & heard
    _, few = fit_reward(rides, named(answers, 4), config=replace(CONFIG, steps=1, reviewer_draws=0))
    _, many = fit_reward(rides, named(answers, 7), config=replace(CONFIG, steps=1, reviewer_draws=0))
    assert few.temperature_answers == 0 and many.temperature_answers == int((left_out & validate).sum()) > 20


def test_reviewers_of_other_tastes_make_the_temperature_of_strangers_higher() -> None:
    """Six reviewers like progress and each something of their own as well: what is learned of five says less about the sixth."""
    rides, returns = some_rides(144)
    own = {name: ride.seen.features[:, VARYING].sum(0) for name, ride in rides.items()}
    generator, answers = np.random.default_rng(0), []
    for place, each in enumerate(compared(returns, 600)):
        taste = 6.0 * float(own[each.first][place % 6] - own[each.second][place % 6])
        worth = 2.0 * (returns[each.first] - returns[each.second]) + taste + generator.logistic()
        answers.append(replace(each, answer="A" if worth > 0 else "B", reviewer=f"reviewer {place % 6}"))
    _, report = fit_reward(rides, answers, config=replace(CONFIG, reviewer_draws=0))
    assert report.answers.temperature > 1.1 * report.familiar_temperature


def with_noise(rides: dict[str, RideWindows], seed: int) -> dict[str, RideWindows]:
    """The same rides, with something in every feature."""
    generator = torch.Generator().manual_seed(seed)
    noisy = {}
    for name, ride in rides.items():
        noise = 0.3 * torch.randn(ride.seen.features.shape, generator=generator) * ride.seen.live[:, None]
        noisy[name] = replace(ride, seen=replace(ride.seen, features=ride.seen.features + noise))
    return noisy


def test_what_weighs_much_is_learned_beside_much_that_means_nothing() -> None:
    """39 features of which three matter and 120 answers: a belief about lines with heavy tails tells them apart, a flat one does not."""
    rides, returns = some_rides(144)
    fresh, true = some_rides(96, seed=7)
    seen, noisy = with_noise(rides, 1), with_noise(fresh, 2)
    shares_right = []
    for scale in (0.2, 50.0):
        model, _ = fit_reward(seen, compared(returns, 120), config=replace(CONFIG, steps=0, line_scale=scale))
        told = {name: float(model.reward_of(ride.seen).sum()) for name, ride in noisy.items()}
        pairs = [(one, other) for one in told for other in told if true[one] > true[other]]
        shares_right.append(sum(told[one] > told[other] for one, other in pairs) / len(pairs))
    assert shares_right[0] > shares_right[1] + 0.02
