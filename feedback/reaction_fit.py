"""How late people take the wheel, with intervals that allow for a hazard that is itself only learned.

The hazard of a ride is told by a network that has not seen it, or else it would put causes where that network's own reaction time wants
them. It may be too low or too high for all, and too flat or too steep: both are learned beside the reaction time and integrated out. What
is still wrong with it shows in how unlike rides of different start states pull: the likelihood counts for as much as those pulls are worth
(Pauli, Racugno and Ventura 2011: a composite likelihood's magnitude adjusted by Godambe's information), and never for more than its word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from feedback.reaction import Onsets, ReactionFit, ReactionTime, log_belief, survival_nll
from feedback.reviewers import Interval

SHIFT_DEVIATION, LOG_STRETCH_DEVIATION = 1.0, 0.5
"""How far off the hazard's log-odds may be, in level and as the logarithm of a factor on their differences."""
SIZE = 4
ROUNDS, DRAWS = 4, 1000
"""The proposal is improved so many times, each by so many draws."""
CHUNK = 250
MEDIANS_S, SPREADS = (0.15, 0.3, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0), (0.25, 0.5)
"""Where the search may start: with decisions a second apart, a reaction that is a second off is often likely too."""
STEP = 1e-3


@dataclass(frozen=True)
class Watched:
    """N rides of D decisions, and what was foretold of them."""

    logits: Tensor  # (N, D) log-odds of a takeover, by a network that has not seen the ride
    onsets: Onsets
    group: Tensor  # (N,) number of the start state

    def of(self, chosen: Tensor) -> Watched:
        """Some of the rides, chosen by a mask (N,)."""
        each = self.onsets
        parts = (each.since_s, each.dt_s, each.could, each.under_way, each.left_s, each.live)
        return Watched(self.logits[chosen], Onsets(*(part[chosen] for part in parts)), self.group[chosen])

    def doubled(self) -> Watched:
        """In double precision."""
        each = self.onsets
        parts = (each.since_s, each.dt_s, each.could, each.under_way, each.left_s, each.live)
        return Watched(self.logits.double(), Onsets(*(part.double() for part in parts)), self.group)

    def log_likelihood(self, points: Tensor) -> Tensor:
        """Of every ride at S points (log median, log spread, shift, log stretch), (S, 4) to (S, N)."""
        median, spread, shift, stretch = (points[:, place, None, None] for place in range(SIZE))
        middle = (self.logits * self.onsets.live).sum() / self.onsets.live.sum().clamp(min=1.0)
        logits = middle + shift + stretch.exp() * (self.logits - middle)
        return -survival_nll(logits, self.onsets.density(median, spread), self.onsets.exposure(median, spread))


def fit_reaction(watched: Watched, belief: ReactionTime, seed: int = 0) -> ReactionFit:
    """Learn how late people are.

    Args:
        watched: Rides, with takeovers among them.
        belief: What is thought of reaction times before.
        seed: Of the draws.
    """
    told = watched.doubled()
    middle, curve = _likeliest(told, belief)
    worth = _worth(told, middle, curve)
    points, weights = _draws(told, belief, middle, curve, worth, seed)
    taken = int((watched.onsets.under_way.sum(1) > 0).sum())
    return ReactionFit(taken, _interval(points[:, 0].exp(), weights), _interval(points[:, 1].exp(), weights), worth)


def _believed(points: Tensor, belief: ReactionTime) -> Tensor:
    """Log-density before any ride was seen, (..., 4) to (...)."""
    off = (points[..., 2] / SHIFT_DEVIATION) ** 2 + (points[..., 3] / LOG_STRETCH_DEVIATION) ** 2
    return log_belief(belief, points[..., 0], points[..., 1]) - 0.5 * off


def _likeliest(told: Watched, belief: ReactionTime) -> tuple[Tensor, Tensor]:
    """The likeliest point (4,), and the curvature of minus the log-posterior there, (4, 4), positive."""
    tried = torch.tensor([[math.log(one), math.log(other), 0.0, 0.0] for one in MEDIANS_S for other in SPREADS], dtype=torch.float64)
    worth = told.log_likelihood(tried).sum(1) + _believed(tried, belief)
    point = tried[int(worth.argmax())].clone().requires_grad_()
    optimiser = torch.optim.LBFGS([point], max_iter=60, line_search_fn="strong_wolfe")

    def loss(at: Tensor) -> Tensor:
        return -told.log_likelihood(at[None]).sum() - _believed(at, belief)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(point)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    middle = point.detach()
    curve = torch.autograd.functional.hessian(loss, middle)  # type: ignore[no-untyped-call]
    values, vectors = torch.linalg.eigh(0.5 * (curve + curve.T))
    return middle, vectors @ torch.diag(values.clamp(min=0.5)) @ vectors.T


def _worth(told: Watched, middle: Tensor, curve: Tensor) -> float:
    """For how much of its word the likelihood counts, in (0, 1]: curvature against the spread of start states' pulls."""
    ahead, behind = (told.log_likelihood(middle + sign * STEP * torch.eye(SIZE, dtype=middle.dtype)) for sign in (1.0, -1.0))
    pulls = ((ahead - behind) / (2.0 * STEP)).T  # (N, 4)
    groups = int(told.group.max()) + 1
    of_group = torch.zeros((groups, SIZE), dtype=pulls.dtype).index_add(0, told.group, pulls)
    there = int(torch.bincount(told.group, minlength=groups).gt(0).sum())
    spread = of_group.T @ of_group * (there / max(there - 1, 1))
    ratio = float(torch.trace(torch.linalg.solve(curve, spread))) / SIZE
    return 1.0 / max(ratio, 1.0)


def _draws(told: Watched, belief: ReactionTime, middle: Tensor, curve: Tensor, worth: float, seed: int) -> tuple[Tensor, Tensor]:
    """Points (S, 4) and how much each counts (S,), by adaptive importance sampling (Cappe et al. 2008) from a Student t."""
    generator = torch.Generator().manual_seed(seed)
    covariance = torch.linalg.inv(curve) / worth
    for _ in range(ROUNDS):
        root = torch.linalg.cholesky(1.3 * covariance + 1e-9 * torch.eye(SIZE, dtype=middle.dtype))
        normal = torch.randn((DRAWS, SIZE), generator=generator, dtype=middle.dtype)
        length = torch.randn((DRAWS, 5), generator=generator, dtype=middle.dtype).square().mean(1, keepdim=True).rsqrt()
        points = middle + (normal * length) @ root.T
        square = (normal * length).square().sum(1)
        proposed = -0.5 * (5 + SIZE) * torch.log1p(square / 5)
        likely = torch.cat([told.log_likelihood(part).sum(1) for part in points.split(CHUNK)])
        log_weights = worth * likely + _believed(points, belief) - proposed
        weights = torch.softmax(log_weights, 0)
        middle = weights @ points
        away = points - middle
        covariance = (weights[:, None] * away).T @ away
    return points, weights


def _interval(values: Tensor, weights: Tensor) -> Interval:
    """Mean, and the central 95 %."""
    order = values.argsort()
    reached = weights[order].cumsum(0)
    low, high = (float(values[order][int((reached < share).sum().clamp(max=len(values) - 1))]) for share in (0.025, 0.975))
    return Interval(float(weights @ values), low, high)
