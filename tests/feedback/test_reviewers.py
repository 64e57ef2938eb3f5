"""What is learned of reviewers: the density against finite differences and a plain likelihood, and planted reviewers within intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from feedback import planted as reviewer
from feedback.hmc import draw, split_rhat
from feedback.reviewers import (
    Interval,
    Judgements,
    PanelDensity,
    PanelFit,
    _log_lapse_prior,
    fit_reviewers,
    interval,
    numbered,
    wilson,
)
from sensors.errors import ConfigError


@dataclass(frozen=True)
class Planted:
    """A panel whose parameters are known."""

    rationality: np.ndarray  # (K,) geometric mean 1
    slope: float
    lapse: np.ndarray
    side: np.ndarray
    tie_weight: float
    takeover_weight: float
    misfit: float

    def judge(self, count: int, random: np.random.Generator) -> Judgements:
        """Answers about random pairs, two for each on average; the told advantage lacks each pair's own error."""
        pairs, reviewers = count // 2, len(self.lapse)
        pair, who, left = random.integers(0, pairs, count), random.integers(0, reviewers, count), random.choice([-1.0, 1.0], count)
        advantage, error = random.normal(0, 2, pairs), self.misfit * random.normal(0, 1, pairs)
        hazard = 0.3 * advantage + np.abs(random.normal(0, 1, pairs)) * random.choice([-1.0, 1.0], pairs)
        worth = (advantage + error - self.takeover_weight * hazard)[pair]
        logit = self.slope * self.rationality[who] * worth + self.side[who] * left
        weights = np.stack((np.exp(logit / 2), np.full(count, self.tie_weight), np.exp(-logit / 2)), 1)
        told = (1 - self.lapse[who])[:, None] * weights / weights.sum(1, keepdims=True) + self.lapse[who][:, None] / 3
        answer = (random.random((count, 1)) > told.cumsum(1)).sum(1)
        names = tuple(f"reviewer {number}" for number in range(reviewers))
        return Judgements(advantage[pair], answer, who, left, names, pair if self.misfit else None, hazard[pair] if self.misfit else None)

    def covered(self, fit: PanelFit) -> list[bool]:
        """Whether each parameter lies in its interval."""
        inside = [fit.slope.covers(self.slope), fit.tie_weight.covers(self.tie_weight)]
        for number, each in enumerate(fit.reviewers):
            inside += [each.rationality.covers(self.rationality[number]), each.lapse.covers(self.lapse[number])]
            inside.append(each.side_bias.covers(self.side[number]))
        if fit.takeover_weight is not None and fit.misfit is not None:
            inside += [fit.takeover_weight.covers(self.takeover_weight), fit.misfit.covers(self.misfit)]
        return inside


def planted(random: np.random.Generator, reviewers: int, misfit: float = 0.0) -> Planted:
    rationality = np.exp(random.normal(0, 0.6, reviewers))
    return Planted(
        rationality / np.exp(np.log(rationality).mean()),
        random.uniform(0.5, 2.0),
        random.beta(1, 9, reviewers),
        random.normal(0, 0.7, reviewers),
        math.exp(random.normal(-1.2, 0.7)),
        random.uniform(0, 1.5) if misfit else 0.0,
        misfit,
    )


def test_gradient_of_the_density_is_right() -> None:
    random = np.random.default_rng(0)
    judged = replace(planted(random, 3, misfit=0.5).judge(40, random), features=random.normal(size=(40, 4)))
    density = PanelDensity(judged, 2.0)
    points = density.start() + 0.3 * random.standard_normal((3, density.size))
    _, gradient = density(points)
    for place in range(density.size):
        ahead, behind = points.copy(), points.copy()
        ahead[:, place] += 1e-5
        behind[:, place] -= 1e-5
        assert gradient[:, place] == pytest.approx((density(ahead)[0] - density(behind)[0]) / 2e-5, abs=1e-4)


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_kappa_is_not_what_the_reward_happened_to_leave_to_it(kappa: float) -> None:
    """Of two models of one panel, the first left to kappa what a line can say of the hazard and the second took it all on itself."""
    random = np.random.default_rng(4)
    features, bent = random.normal(size=(500, 6)), 0.7 * random.normal(size=500)
    line = features @ np.asarray([0.8, 0.5, 0.0, 0.0, -0.4, 0.2])
    advantage = 2.0 * random.normal(size=500)
    logit = 1.5 * (advantage - kappa * (line + bent))
    answer = np.where(random.random(500) < 1.0 / (1.0 + np.exp(-logit)), 0, 2)
    shared = {"answer": answer, "reviewer": np.zeros(500, np.int64), "left": np.ones(500), "names": ("",)}
    shared |= {"hazard": line + bent, "features": features}
    for taken in (0.6, -kappa):
        fit = fit_reviewers(Judgements(advantage=advantage + taken * line, **shared), seed=2, warm_up=300, draws=300)
        assert fit.takeover_weight is not None and fit.takeover_slope is not None and fit.settled
        assert fit.takeover_weight.covers(kappa) and fit.takeover_slope.covers(1.5 * kappa)
        assert fit.takeover_weight.high < 2.0


def _likelihood(judged: Judgements, point: np.ndarray) -> float:
    """Sum of log-probabilities of exact judgements of three reviewers, one answer at a time."""
    total = 0.0
    ties = 1 / (1 + math.exp(-point[10]))
    for row in range(len(judged.answer)):
        who = judged.reviewer[row]
        lapse = 1 / (1 + math.exp(-point[6 + who]))
        logit = math.exp(point[who]) * judged.advantage[row] + point[3 + who] * judged.left[row]
        weights = [math.exp(logit / 2), math.exp(point[9]), math.exp(-logit / 2)]
        careless = [(1 - ties) / 2, ties, (1 - ties) / 2][judged.answer[row]]
        total += math.log((1 - lapse) * weights[judged.answer[row]] / sum(weights) + lapse * careless)
    return total


def test_likelihood_equals_a_plain_sum_over_answers() -> None:
    random = np.random.default_rng(1)
    judged = planted(random, 3).judge(30, random)
    density = PanelDensity(judged, 1.0)
    one, other = density.start() + 0.2 * random.standard_normal((2, density.size))
    change = density(one[None])[0] - density(other[None])[0]
    prior = np.zeros((2, density.size))
    rows = np.stack((one, other))
    prior_value = density._prior(rows, prior, 1 / (1 + np.exp(-rows[:, 6:9])))
    assert change == pytest.approx(_likelihood(judged, one) - _likelihood(judged, other) + prior_value[0] - prior_value[1])


def test_sampler_finds_a_normal_with_unlike_scales() -> None:
    deviation = np.asarray([0.01, 1.0, 30.0])

    def density(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        score = (points - 5.0) / deviation
        return -0.5 * (score**2).sum(1), -score / deviation

    drawn = draw(density, np.zeros((4, 3)) + 5.0, 400, 500, seed=1)
    assert drawn.settled
    assert drawn.values.std(0) == pytest.approx(deviation, rel=0.12)
    assert drawn.values.mean(0) == pytest.approx(np.full(3, 5.0), abs=4.0)
    apart = np.stack((np.zeros((50, 1)), np.ones((50, 1)))) + 0.1 * np.random.default_rng(0).standard_normal((2, 50, 1))
    assert split_rhat(apart)[0] > 2.0


def test_planted_reviewers_lie_in_their_intervals() -> None:
    """65 parameters of panels with unlike numbers of reviewers and answers."""
    inside: list[bool] = []
    for seed, (reviewers, answers) in enumerate(((3, 150), (5, 300), (6, 250), (5, 120))):
        random = np.random.default_rng(100 + seed)
        panel = planted(random, reviewers)
        fit = fit_reviewers(panel.judge(answers, random), seed, warm_up=250, draws=200)
        assert fit.settled
        inside += panel.covered(fit)
    assert len(inside) >= 60
    assert sum(inside) / len(inside) >= 0.9


def test_a_wrong_reward_model_and_a_hazard_are_allowed_for() -> None:
    random = np.random.default_rng(7)
    panel = planted(random, 4, misfit=0.8)
    inside = panel.covered(fit_reviewers(panel.judge(500, random), 0, warm_up=250, draws=200))
    assert sum(inside) / len(inside) >= 0.85


@pytest.mark.slow
def test_intervals_cover_over_many_panels() -> None:
    shares = []
    for misfit in (0.0, 0.7):
        inside: list[bool] = []
        for seed in range(12):
            random = np.random.default_rng(1000 + seed)
            panel = planted(random, int(random.integers(3, 8)), misfit)
            inside += panel.covered(fit_reviewers(panel.judge(int(random.integers(100, 900)), random), seed))
        shares.append(sum(inside) / len(inside))
    assert min(shares) >= 0.9


def test_few_answers_make_wide_intervals() -> None:
    random = np.random.default_rng(3)
    panel = planted(random, 3)
    many, few = (fit_reviewers(panel.judge(count, random), 0, warm_up=200, draws=200) for count in (600, 30))
    for name in ("rationality", "side_bias"):
        wide, narrow = (sum(getattr(each, name).high - getattr(each, name).low for each in fit.reviewers) for fit in (few, many))
        assert wide > 1.5 * narrow


def test_a_faultless_reviewer_s_lapse_interval_reaches_zero_and_a_guesser_s_does_not() -> None:
    random = np.random.default_rng(5)
    panel = Planted(np.ones(2), 2.0, np.asarray([0.0, 0.5]), np.zeros(2), 0.2, 0.0, 0.0)
    sure, guesser = fit_reviewers(panel.judge(600, random), 0, warm_up=200, draws=200).reviewers
    assert sure.lapse.low == 0.0 and sure.lapse.high < 0.15
    assert guesser.lapse.low > 0.1 and guesser.lapse.covers(0.5)
    assert sure.consensus is not None and guesser.consensus is not None
    assert sure.consensus.low > guesser.consensus.high


def test_intervals_are_the_shortest_and_reach_a_bound() -> None:
    draws = np.concatenate((np.linspace(0, 1, 951), np.linspace(1.1, 9, 49)))
    told = interval(draws, least=0.0)
    assert (told.low, told.high) == (0.0, pytest.approx(1.0, abs=0.01))
    assert wilson(8, 10) == Interval(0.8, pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


def test_same_seed_same_report_and_unequal_columns_are_refused() -> None:
    random = np.random.default_rng(2)
    judged = planted(random, 2).judge(60, random)
    one, other = (fit_reviewers(judged, 3, warm_up=50, draws=50) for _ in range(2))
    assert one == other
    assert numbered(["b", "a", "b"])[0] == ("a", "b") and numbered(["b", "a", "b"])[1].tolist() == [1, 0, 1]
    with pytest.raises(ConfigError, match="expected one length"):
        replace(judged, left=judged.left[:-1])
    with pytest.raises(ConfigError, match="expected a name for each"):
        replace(judged, names=("only",))


@pytest.mark.slow
def test_intervals_cover_unlikely_reviewers_as_well() -> None:
    """Beta from 0.3 to 10, epsilon up to 0.6, a liking for one side of up to 1.5, 150 to 300 answers each, advantages of many sizes."""
    inside: list[bool] = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        reviewers, each = int(random.integers(2, 6)), int(random.integers(150, 300))
        count = reviewers * each
        beta, lapse = np.exp(random.uniform(math.log(0.3), math.log(10), reviewers)), random.uniform(0, 0.6, reviewers)
        side, tie_weight = random.uniform(-1.5, 1.5, reviewers), math.exp(random.uniform(-3, 0))
        advantage = random.normal(0, 1, count) * np.exp(random.normal(0.5, 1.5, count))
        who, left = random.integers(0, reviewers, count), random.choice([-1.0, 1.0], count)
        panel = [reviewer.Planted(*each, tie_weight) for each in zip(beta, lapse, side, strict=True)]
        told = np.stack([each.chances(advantage, left) for each in panel])[who, np.arange(count)]
        answer = (random.random((count, 1)) > told.cumsum(1)[:, :2]).sum(1)
        fit = fit_reviewers(Judgements(advantage, answer, who, left, tuple("abcde"[:reviewers])), seed, 250, 250)
        middle = np.exp(np.log(beta).mean())
        inside += [fit.slope.covers(middle), fit.tie_weight.covers(tie_weight)]
        for number, found in enumerate(fit.reviewers):
            inside += [found.rationality.covers(beta[number] / middle), found.lapse.covers(lapse[number])]
            inside.append(found.side_bias.covers(side[number]))
    assert sum(inside) / len(inside) >= 0.9


def test_a_lapse_may_be_anything_for_some() -> None:
    usual, odd = _log_lapse_prior(np.asarray([0.1, 0.6]))[0]
    assert usual - odd < math.log(20.0)  # under Beta(1, 9) alone 0.6 is 250 times less likely than 0.1 for log-odds
