"""How late people take the wheel: the time from what made them do so to their hand being there, learned with intervals."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from feedback.reviewers import Interval
from sensors.errors import ConfigError

STRAY = 0.01
"""Share of takeovers whose cause is the decision under way, however soon the hand was there."""
LOG_MEDIAN_DEVIATION, LOG_SPREAD_DEVIATION = 0.7, 0.7
"""How unlike the given reaction time people's may be, as logarithms."""
GRID = 61
GRID_MEDIAN_S, GRID_SPREAD = (0.05, 6.0), (0.05, 1.5)


@dataclass(frozen=True)
class ReactionTime:
    """Time from what made somebody take over to their hand at the wheel: log-normal."""

    median_s: float = 0.8
    """Half of the people are faster."""
    spread: float = 0.4
    """Standard deviation of the logarithm."""

    def __post_init__(self) -> None:
        if not (self.median_s > 0 and self.spread > 0):
            raise ConfigError(f"ReactionTime got {asdict(self)}, expected both above 0")

    def cdf(self, time_s: Tensor) -> Tensor:
        """Probability of having reacted within a time, same shape."""
        return reacted(time_s, torch.tensor(math.log(self.median_s)), torch.tensor(math.log(self.spread)))


def reacted(time_s: Tensor, log_median: Tensor, log_spread: Tensor) -> Tensor:
    """Probability of having reacted within a time, in the common shape of all three."""
    score = (time_s.clamp(min=1e-6).log() - log_median) * (-log_spread).exp()
    return torch.where(time_s > 0, 0.5 * (1.0 + torch.erf(score / math.sqrt(2.0))), torch.zeros_like(score))


@dataclass(frozen=True)
class ReactionFit:
    """What is known of reaction times."""

    takeovers: int
    """How many there were to learn from."""
    median_s: Interval
    """Time within which half of the takeovers come [s]."""
    spread: Interval
    """Standard deviation of its logarithm."""


@dataclass(frozen=True)
class Onsets:
    """When hands were at the wheel, of N rides of D decisions; rows of censored rides are all zero."""

    since_s: Tensor  # (N, D) from each decision's start to the onset
    dt_s: Tensor  # (N, 1) time between decisions
    could: Tensor  # (N, D) 1 where the decision was live and not after the onset
    under_way: Tensor  # (N, D) 1 at the decision during which, or after which, the hand came
    middle_left_s: Tensor  # (N, D) from each decision's middle to the end of the watching
    live: Tensor  # (N, D)

    def density(self, log_median: Tensor, log_spread: Tensor) -> Tensor:
        """Chance per second that the hand comes at the onset because of each decision, (..., N, D); the cause is anywhere in it."""
        within = reacted(self.since_s, log_median, log_spread) - reacted(self.since_s - self.dt_s, log_median, log_spread)
        return (1.0 - STRAY) * within.clamp(min=0.0) / self.dt_s * self.could + STRAY * self.under_way / self.dt_s

    def exposure(self, log_median: Tensor, log_spread: Tensor) -> Tensor:
        """Share of each decision that could have shown as a takeover while they watched, (..., N, D)."""
        return reacted(self.middle_left_s, log_median, log_spread) * self.live


def log_belief(reaction: ReactionTime, log_median: Tensor, log_spread: Tensor) -> Tensor:
    """What is believed of reaction times before any was seen, as a log-density up to a constant."""
    median = (log_median - math.log(reaction.median_s)) / LOG_MEDIAN_DEVIATION
    spread = (log_spread - math.log(reaction.spread)) / LOG_SPREAD_DEVIATION
    return -0.5 * (median**2 + spread**2)


def grid() -> tuple[Tensor, Tensor]:
    """Logarithms of all medians and spreads that are considered, each (G,) and in the order of a G x G table."""
    median, spread = (torch.linspace(math.log(low), math.log(high), GRID) for low, high in (GRID_MEDIAN_S, GRID_SPREAD))
    return median, spread


def fit_of(log_posterior: np.ndarray, takeovers: int) -> ReactionFit:
    """Sum up posteriors over the grid, (M, G, G), one for each member: the mixture of all (bagged posteriors, Buehlmann 2014)."""
    flat = log_posterior.reshape(len(log_posterior), -1)
    weights = np.exp(flat - flat.max(1, keepdims=True))
    table = (weights / weights.sum(1, keepdims=True)).mean(0).reshape(GRID, GRID)
    median, spread = (each.exp().numpy().astype(float) for each in grid())
    return ReactionFit(takeovers, _interval(median, table.sum(1)), _interval(spread, table.sum(0)))


def _interval(values: np.ndarray, mass: np.ndarray) -> Interval:
    """Mean, and the central 95 %, with straight lines between grid points on a logarithmic scale."""
    edges = np.concatenate(([0.0], np.cumsum(mass)))
    log = np.log(values)
    half = 0.5 * (log[1] - log[0])
    borders = np.concatenate((log - half, [log[-1] + half]))
    low, high = np.exp(np.interp([0.025, 0.975], edges, borders))
    return Interval(float((values * mass).sum()), float(low), float(high))
