"""What is known of each reviewer, and how surely: rationality, carelessness, and a liking for one side.

A reviewer k who compares two rides answers by the logit ``beta_k (D - kappa * H + e) + b_k`` for the ride on the left, where D is the
difference in learned reward, H that in cumulative takeover hazard, and e what the reward model gets wrong about this pair: the same for
all who judged it, normal, of a size that is learned too. Ties follow Davidson, and with probability epsilon_k the answer is careless: a
tie with a share that is learned (before: 1/3), else one side or the other. Everything is estimated together and told with intervals: few
answers make them wide.

The reward model can say a part of the hazard's cost itself, and was learned together with a kappa of its own. So D is allowed to be off by
a straight line in what the model sees, and by any multiple of what such a line can say of H: where answers cannot tell the two apart,
kappa's interval shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feedback.hmc import Draws, Floats, draw, split_rhat
from feedback.likelihood import ANSWERS, CARELESS_TIES_PRIOR, LAPSE_PRIOR_B, LOG_TIE_PRIOR
from sensors.errors import ConfigError

LOG_RATIONALITY_DEVIATION = 1.0
"""Reviewers' log beta, before they answered."""
SIDE_BIAS_DEVIATION = 1.0
"""b, before they answered."""
ODD_SHARE = 0.3
"""Share of reviewers whose carelessness may be anything: epsilon ~ Beta(1, 9) for the others, Beta(2, 3) for these. With Beta(1, 9) alone,
a reviewer who guesses half of the time was not believed before some 500 answers."""
LINE_DEVIATION = 0.3
"""How far off the learned reward is thought to be, per standard deviation of a feature."""
SHARED_DEVIATION = 3.0
"""How many units of reward for a unit of H the reward model may have taken on itself, or left to kappa, as far as it could."""
RIDGE = 1e-3
SURE = 0.95
CHAINS, WARM_UP, DRAWS = 4, 400, 400


@dataclass(frozen=True)
class Interval:
    """A number and the shortest interval that holds it with 95 % probability."""

    estimate: float
    """Posterior mean."""
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        """Whether a number lies within."""
        return self.low <= truth <= self.high


@dataclass(frozen=True)
class Judgements:
    """P answers of K reviewers about Q pairs of rides."""

    advantage: Floats  # (P,) reward of the first ride less that of the second, told by somebody who did not learn from this answer
    answer: NDArray[np.int64]  # (P,) place in ANSWERS; A is the first ride
    reviewer: NDArray[np.int64]  # (P,) number of the reviewer
    left: Floats  # (P,) 1 where the first ride was on the left, -1 where it was on the right
    names: tuple[str, ...]  # (K,)
    pair: NDArray[np.int64] | None = None  # (P,) number of the pair; None: the advantage is exact
    hazard: Floats | None = None  # (P,) the same difference in cumulative hazard
    features: Floats | None = None  # (P, F) the same difference in what the model saw, standardised

    def __post_init__(self) -> None:
        rows = {len(each) for each in (self.advantage, self.answer, self.reviewer, self.left)}
        if len(rows) != 1 or not len(self.advantage):
            raise ConfigError(f"Judgements got columns of {sorted(rows)} rows, expected one length above 0")
        if self.reviewer.max() >= len(self.names):
            raise ConfigError(f"Judgements got reviewer {int(self.reviewer.max())} of {len(self.names)} names, expected a name for each")


@dataclass(frozen=True)
class ReviewerFit:
    """What is known of one reviewer."""

    reviewer: str
    """Pseudonym."""
    answers: int
    """How many of their answers say something."""
    rationality: Interval
    """beta: how surely the better ride wins; the panel's geometric mean is 1. Always 1 for a single reviewer."""
    lapse: Interval
    """epsilon: share of careless answers."""
    side_bias: Interval
    """b: logit that the ride on the left gets for being there."""
    consensus: Interval | None
    """Share of A and B answers that agree with what the panel's reward says; None where there are none."""


@dataclass(frozen=True)
class PanelFit:
    """What is known of the reviewers together."""

    reviewers: tuple[ReviewerFit, ...]
    slope: Interval
    """Logit for one unit of reward, at beta = 1; its inverse is the temperature."""
    tie_weight: Interval
    """Davidson's nu."""
    takeover_weight: Interval | None
    """kappa, in units of reward for one unit of H; None without a hazard."""
    takeover_slope: Interval | None
    """Logit that one unit of H costs at beta = 1, kappa times the slope: it does not depend on the reward's units."""
    misfit: Interval | None
    """Standard deviation of the reward model's error about one pair, in units of reward; None where the advantage was exact."""
    settled: bool
    """Whether the sampler's chains met; where they did not, believe no interval."""

    def reviewer(self, name: str) -> ReviewerFit:
        """Find a reviewer by pseudonym.

        Raises:
            KeyError: There is none.
        """
        return {each.reviewer: each for each in self.reviewers}[name]


def fit_reviewers(judgements: Judgements, seed: int = 0, warm_up: int = WARM_UP, draws: int = DRAWS) -> PanelFit:
    """Estimate all reviewers together.

    Args:
        judgements: What they answered about what.
        seed: Of the draws.
        warm_up: Moves of the sampler that do not count.
        draws: Moves of each of its four chains that count.

    Returns:
        Posterior means and 95 % intervals.
    """
    scale = max(float(np.abs(judgements.advantage).std()), float(np.abs(judgements.advantage).mean()), 1e-9)
    density = PanelDensity(judgements, scale)
    random = np.random.default_rng(seed)
    start = density.start() + 0.1 * random.standard_normal((CHAINS, density.size))
    return _told(judgements, density, draw(density, start, warm_up, draws, seed), scale)


class PanelDensity:
    """Log-posterior of a panel's parameters, with its gradient.

    Coordinates: log slope, b and logit epsilon of every reviewer; log nu; log-odds of a tie among careless answers; then, where they
    apply, kappa or its negative (so that 0 is no wall), log of the misfit's deviation and the misfit of every pair, log of the line's
    deviation and the line. Rewards are in units of ``scale``.
    """

    def __init__(self, judgements: Judgements, scale: float) -> None:
        """Lay out the coordinates."""
        self.reviewers = len(judgements.names)
        order = np.argsort(judgements.pair, kind="stable") if judgements.pair is not None else np.arange(len(judgements.answer))
        self.advantage = judgements.advantage[order] / scale
        self.answer, self.left, self.who = judgements.answer[order], judgements.left[order], judgements.reviewer[order]
        self.of_reviewer = np.eye(self.reviewers)[self.who]  # (P, K)
        self.tied = (self.answer == ANSWERS.index("tie")).astype(float)
        self.said = 0.5 * ((self.answer == ANSWERS.index("A")).astype(float) - (self.answer == ANSWERS.index("B")))
        self.hazard = None if judgements.hazard is None else judgements.hazard[order]
        self.features = None if judgements.features is None else judgements.features[order]
        if self.features is not None and self.hazard is not None:
            shared = SHARED_DEVIATION / LINE_DEVIATION * _as_line(self.hazard, self.features)
            self.features = np.column_stack((self.features, shared))
        self.line_deviation = LINE_DEVIATION / scale
        place = 3 * self.reviewers
        self.tie, self.careless = place, place + 1
        place += 2
        self.kappa = place if self.hazard is not None else None
        self.kappa_unit = 1.0 / scale
        place += self.hazard is not None
        self.misfit, self.pairs = None, 0
        if judgements.pair is not None:
            _, self.first, self.pair = np.unique(judgements.pair[order], return_index=True, return_inverse=True)
            self.misfit, self.pairs = place, len(self.first)
            place += 1 + self.pairs
        self.line, self.width = None, 0
        if self.features is not None:
            self.line, self.width = place, self.features.shape[1]
            place += 1 + self.width
        self.size = place

    def start(self) -> Floats:
        """A likely point, (D,)."""
        point = np.zeros(self.size)
        point[2 * self.reviewers : 3 * self.reviewers] = math.log(0.1 / 0.9)
        point[self.tie], point[self.careless] = LOG_TIE_PRIOR[0], math.log(0.5)
        for place, value in ((self.kappa, 0.5 * self.kappa_unit), (self.misfit, -1.5), (self.line, math.log(0.3))):
            if place is not None:
                point[place] = value
        return point

    def __call__(self, point: Floats) -> tuple[Floats, Floats]:
        """Log-density (C,) and gradient (C, D) at C points."""
        count = self.reviewers
        slope = np.exp(np.clip(point[:, :count], -20, 8))
        bias, lapse = point[:, count : 2 * count], 1.0 / (1.0 + np.exp(-np.clip(point[:, 2 * count : 3 * count], -30, 30)))
        worth, parts = self._worth(point)
        steep, careless = slope[:, self.who], lapse[:, self.who]
        logit = steep * worth + bias[:, self.who] * self.left
        ties = 1.0 / (1.0 + np.exp(-np.clip(point[:, self.careless, None], -30, 30)))
        value, by_logit, by_tie, by_lapse, by_careless = self._answers(logit, point[:, self.tie, None], careless, ties)
        gradient = np.zeros_like(point)
        by_worth = by_logit * steep
        gradient[:, :count] = (by_worth * worth) @ self.of_reviewer
        gradient[:, count : 2 * count] = (by_logit * self.left) @ self.of_reviewer
        gradient[:, 2 * count : 3 * count] = by_lapse @ self.of_reviewer
        gradient[:, self.tie], gradient[:, self.careless] = by_tie.sum(1), by_careless.sum(1)
        self._spread(gradient, by_worth, point, parts)
        return value.sum(1) + self._prior(point, gradient, lapse), gradient

    def _worth(self, point: Floats) -> tuple[Floats, dict[str, Floats]]:
        """Advantage of the first ride in reward, less hazard, with what the model gets wrong, (C, P); and the parts."""
        worth = np.broadcast_to(self.advantage, (len(point), len(self.advantage)))
        parts: dict[str, Floats] = {}
        if self.kappa is not None and self.hazard is not None:
            parts["hazard"] = -np.abs(point[:, self.kappa, None]) * self.hazard
            worth = worth + parts["hazard"]
        if self.misfit is not None:
            size = np.exp(np.clip(point[:, self.misfit, None], -30, 5))
            parts["misfit"] = size * point[:, self.misfit + 1 : self.misfit + 1 + self.pairs]
            worth = worth + parts["misfit"][:, self.pair]
        if self.line is not None and self.features is not None:
            size = self.line_deviation * np.exp(np.clip(point[:, self.line, None], -30, 5))
            parts["line"] = size * (point[:, self.line + 1 : self.line + 1 + self.width] @ self.features.T)
            worth = worth + parts["line"]
        return worth, parts

    def _answers(self, logit: Floats, log_tie: Floats, lapse: Floats, ties: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Log-likelihood of each answer, and its slopes by logit, log nu, log-odds of a lapse and of a careless tie, each (C, P)."""
        half = 0.5 * logit
        top = np.maximum(np.abs(half), log_tie)
        a, b, tie = np.exp(half - top), np.exp(-half - top), np.exp(log_tie - top)
        total = a + b + tie
        p_tie, lean = tie / total, 0.5 * (a - b) / total
        attentive = np.where(self.tied > 0, tie, np.where(self.said > 0, a, b)) / total
        guess = np.where(self.tied > 0, ties, 0.5 * (1.0 - ties))
        mixed = (1.0 - lapse) * attentive + lapse * guess
        share = (1.0 - lapse) * attentive / mixed
        by_lapse = (guess - attentive) * lapse * (1.0 - lapse) / mixed
        by_careless = lapse * ties * (1.0 - ties) * np.where(self.tied > 0, 1.0, -0.5) / mixed
        return np.log(mixed), share * (self.said - lean), share * (self.tied - p_tie), by_lapse, by_careless

    def _spread(self, gradient: Floats, by_worth: Floats, point: Floats, parts: dict[str, Floats]) -> None:
        """Write the gradient by what makes up the worth."""
        if self.kappa is not None and self.hazard is not None:
            gradient[:, self.kappa] = -np.sign(point[:, self.kappa]) * (by_worth @ self.hazard)
        if self.misfit is not None:
            by_pair = np.add.reduceat(by_worth, self.first, axis=1)
            gradient[:, self.misfit] = (by_pair * parts["misfit"]).sum(1)
            size = np.exp(np.clip(point[:, self.misfit, None], -30, 5))
            gradient[:, self.misfit + 1 : self.misfit + 1 + self.pairs] = by_pair * size
        if self.line is not None and self.features is not None:
            gradient[:, self.line] = (by_worth * parts["line"]).sum(1)
            size = self.line_deviation * np.exp(np.clip(point[:, self.line, None], -30, 5))
            gradient[:, self.line + 1 : self.line + 1 + self.width] = size * (by_worth @ self.features)

    def _prior(self, point: Floats, gradient: Floats, lapse: Floats) -> Floats:
        """Log-prior (C,), whose gradient is added.

        log beta ~ N(0, 1) around the panel's mean, which is N(0, 3) in units of the pairs' scale; b ~ N(0, 1); epsilon ~ Beta(1, 9), or
        Beta(2, 3) for some; log nu ~ N(-1.6, 1); careless ties ~ Beta(2, 4); kappa half-Cauchy, the misfit's and the line's sizes
        half-normal.
        """
        count = self.reviewers
        slope = point[:, :count]
        middle = slope.mean(1, keepdims=True)
        apart = slope - middle
        bias = point[:, count : 2 * count]
        mean, deviation = LOG_TIE_PRIOR
        tie = (point[:, self.tie] - mean) / deviation
        value = -0.5 * (apart**2).sum(1) / LOG_RATIONALITY_DEVIATION**2 - 0.5 * (middle[:, 0] / 3.0) ** 2
        value = value - 0.5 * (bias**2).sum(1) / SIDE_BIAS_DEVIATION**2 - 0.5 * tie**2
        careless, by_careless = _log_lapse_prior(lapse)
        value = value + careless.sum(1)
        gradient[:, :count] -= apart / LOG_RATIONALITY_DEVIATION**2 + middle / 9.0 / count
        gradient[:, count : 2 * count] -= bias / SIDE_BIAS_DEVIATION**2
        gradient[:, 2 * count : 3 * count] += by_careless
        gradient[:, self.tie] -= tie / deviation
        ties, (a, b) = 1.0 / (1.0 + np.exp(-np.clip(point[:, self.careless], -30, 30))), CARELESS_TIES_PRIOR
        value = value + a * np.log(ties) + b * np.log1p(-ties)
        gradient[:, self.careless] += a - (a + b) * ties
        if self.kappa is not None:
            kappa = point[:, self.kappa] / self.kappa_unit
            value = value - np.log1p(kappa**2)
            gradient[:, self.kappa] -= 2.0 * kappa / (1.0 + kappa**2) / self.kappa_unit
        for place, width, unit in ((self.misfit, self.pairs, 0.5), (self.line, self.width, 1.0)):
            if place is not None:
                size, latent = np.exp(np.clip(point[:, place], -30, 5)) / unit, point[:, place + 1 : place + 1 + width]
                value = value + point[:, place] - 0.5 * size**2 - 0.5 * (latent**2).sum(1)
                gradient[:, place] += 1.0 - size**2
                gradient[:, place + 1 : place + 1 + width] -= latent
        total: Floats = value
        return total


def _as_line(hazard: Floats, features: Floats) -> Floats:
    """What a straight line in features (P, F) says of the hazard (P,), by ridge regression."""
    width = features.shape[1]
    rows = np.vstack((features, math.sqrt(RIDGE * len(features)) * np.eye(width)))
    weights = np.linalg.lstsq(rows, np.concatenate((hazard, np.zeros(width))), rcond=None)[0]
    said: Floats = features @ weights
    return said


def _log_lapse_prior(lapse: Floats) -> tuple[Floats, Floats]:
    """Log-density of a lapse's log-odds, and its slope by them, in the lapse's shape."""
    usual = (1.0 - ODD_SHARE) * LAPSE_PRIOR_B * (1.0 - lapse) ** (LAPSE_PRIOR_B - 1.0)
    odd = ODD_SHARE * 12.0 * lapse * (1.0 - lapse) ** 2
    either = np.maximum(usual + odd, 1e-300)
    by_lapse = (odd * (1.0 - 3.0 * lapse) - usual * (LAPSE_PRIOR_B - 1.0) * lapse) / either  # slope of the density by the log-odds
    value = np.log(either) + np.log(np.maximum(lapse, 1e-300)) + np.log1p(-np.minimum(lapse, 1.0 - 1e-16))
    return value, 1.0 - 2.0 * lapse + by_lapse


def _told(judgements: Judgements, density: PanelDensity, drawn: Draws, scale: float) -> PanelFit:
    """Turn draws into what people can read."""
    count, table, rhat = density.reviewers, drawn.values, drawn.rhat.copy()
    if density.kappa is not None:
        table[:, density.kappa] = np.abs(table[:, density.kappa])
        rhat[density.kappa] = split_rhat(table[:, [density.kappa]].reshape(CHAINS, -1, 1))[0]
    middle = table[:, :count].mean(1)
    beta = np.exp(table[:, :count] - middle[:, None])
    lapse = 1.0 / (1.0 + np.exp(-table[:, 2 * count : 3 * count]))
    reviewers = tuple(
        ReviewerFit(
            reviewer=name,
            answers=int((judgements.reviewer == number).sum()),
            rationality=_ratio(beta[:, number]),
            lapse=interval(lapse[:, number], least=0.0),
            side_bias=interval(table[:, count + number]),
            consensus=_consensus(judgements, number),
        )
        for number, name in enumerate(judgements.names)
    )
    kappa = None if density.kappa is None else interval(table[:, density.kappa] * scale, least=0.0)
    cost = None if density.kappa is None else interval(table[:, density.kappa] * np.exp(middle), least=0.0)
    misfit = None if density.misfit is None else interval(np.exp(table[:, density.misfit]) * scale, least=0.0)
    shared = [place for place in range(density.size) if not _latent(density, place)]
    settled = bool((rhat[shared] < 1.1).all())
    return PanelFit(reviewers, _ratio(np.exp(middle) / scale), _ratio(np.exp(table[:, density.tie])), kappa, cost, misfit, settled)


def _latent(density: PanelDensity, place: int) -> bool:
    """Whether a coordinate is of one pair or one feature only, or a size that answers hardly tell."""
    blocks = ((density.misfit, density.pairs), (density.line, density.width))
    return any(start is not None and start <= place <= start + width for start, width in blocks)


def interval(draws: Floats, least: float | None = None) -> Interval:
    """Posterior mean and the shortest interval of 95 % of the draws.

    Args:
        draws: (N,).
        least: The smallest possible value: the interval reaches it where draws crowd against it.
    """
    ordered = np.sort(draws)
    inside = math.ceil(SURE * len(ordered))
    widths = ordered[inside - 1 :] - ordered[: len(ordered) - inside + 1]
    first = int(widths.argmin())
    low, high = float(ordered[first]), float(ordered[first + inside - 1])
    if least is not None and low - least < 0.05 * (high - low):
        low = least
    return Interval(float(ordered.mean()), low, high)


def _ratio(draws: Floats) -> Interval:
    """The same for what is above 0 and of no certain size, (N,): shortest among logarithms, or a long upper tail would be left out."""
    logs = interval(np.log(np.maximum(draws, 1e-300)))
    return Interval(float(draws.mean()), math.exp(logs.low), math.exp(logs.high))


def _consensus(judgements: Judgements, number: int) -> Interval | None:
    """How often a reviewer says what the panel's reward says, with Wilson's interval (1927)."""
    mine = (judgements.reviewer == number) & (judgements.answer != ANSWERS.index("tie"))
    if not mine.any():
        return None
    alike = (judgements.advantage[mine] > 0) == (judgements.answer[mine] == ANSWERS.index("A"))
    return wilson(int(alike.sum()), int(mine.sum()))


def wilson(happened: int, tried: int) -> Interval:
    """A share with Wilson's 95 % interval."""
    z2, share = 1.96**2, happened / tried
    middle = (share + 0.5 * z2 / tried) / (1 + z2 / tried)
    half = math.sqrt(share * (1 - share) * z2 / tried + 0.25 * z2**2 / tried**2) / (1 + z2 / tried)
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


def numbered(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Different names in order, and the place of each one in them."""
    different = tuple(sorted(set(names)))
    place = {name: number for number, name in enumerate(different)}
    return different, np.asarray([place[name] for name in names], np.int64)
