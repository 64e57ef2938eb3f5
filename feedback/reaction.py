"""How late people take the wheel: the time from what made them do so to their hand being there, learned with intervals."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from feedback.reviewers import Interval
from sensors.errors import ConfigError

STRAY = 0.01
"""Share of takeovers whose cause is the decision under way, however soon the hand was there."""
LOG_MEDIAN_DEVIATION, LOG_SPREAD_DEVIATION = 1.0, 0.7
"""How unlike the given reaction time people's may be, as logarithms."""
WITHIN = (1 / 6, 1 / 2, 5 / 6)
"""Where in a decision its cause may lie: thirds of it."""


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
    worth: float = 1.0
    """How much each takeover counted, of 1: less where the hazard fits rides of different start states unlike."""


@dataclass(frozen=True)
class Onsets:
    """When hands were at the wheel, of N rides of D decisions; rows of censored rides are all zero."""

    since_s: Tensor  # (N, D) from each decision's start to the onset
    dt_s: Tensor  # (N, 1) time between decisions
    could: Tensor  # (N, D) 1 where the decision was live and not after the onset
    under_way: Tensor  # (N, D) 1 at the decision during which, or after which, the hand came
    left_s: Tensor  # (N, D) from each decision's start to the end of the watching
    live: Tensor  # (N, D)

    def density(self, log_median: Tensor, log_spread: Tensor) -> Tensor:
        """Chance per second that the hand comes at the onset because of each decision, (..., N, D); the cause is anywhere in it."""
        within = reacted(self.since_s, log_median, log_spread) - reacted(self.since_s - self.dt_s, log_median, log_spread)
        return (1.0 - STRAY) * within.clamp(min=0.0) / self.dt_s * self.could + STRAY * self.under_way / self.dt_s

    def exposure(self, log_median: Tensor, log_spread: Tensor) -> Tensor:
        """Probability that a cause somewhere in each decision shows as a takeover while they watched, (..., N, D)."""
        told = [reacted(self.left_s - share * self.dt_s, log_median, log_spread) for share in WITHIN]
        return sum(told[1:], told[0]) / len(told) * self.live


def log_belief(reaction: ReactionTime, log_median: Tensor, log_spread: Tensor) -> Tensor:
    """What is believed of reaction times before any was seen, as a log-density up to a constant."""
    median = (log_median - math.log(reaction.median_s)) / LOG_MEDIAN_DEVIATION
    spread = (log_spread - math.log(reaction.spread)) / LOG_SPREAD_DEVIATION
    return -0.5 * (median**2 + spread**2)


def survival_nll(logits: Tensor, onset: Tensor, exposure: Tensor) -> Tensor:
    """Negative log-likelihood of rides under a discrete hazard.

    With h = sigmoid(logit) and H = -log(1 - h), a decision is the cause with probability c_d = h_d exp(-sum_{s<d} H_s). Causes are not
    seen, only onsets one reaction time later, so they are summed over: a takeover has -log sum_d p(d) c_d. In a censored ride there was
    no cause, or the hand was not there before the end: -log(exp(-sum H) + sum_d c_d (1 - exposure_d)).

    Args:
        logits: (..., N, D).
        onset: p(d) for rides with a takeover, zeros for censored ones, (..., N, D).
        exposure: Probability that a cause in each decision shows before the watching ends, (..., N, D).

    Returns:
        (..., N).
    """
    cumulative = torch.nn.functional.softplus(logits)
    before = cumulative.cumsum(-1) - cumulative
    cause = torch.nn.functional.logsigmoid(logits) - before
    never = torch.full_like(cause, -1e9)
    taken = -torch.logsumexp(torch.where(onset > 0, onset.clamp(min=1e-30).log() + cause, never), -1)
    late = torch.where(exposure < 1, (1.0 - exposure).clamp(min=1e-30).log() + cause, never)
    survived = -torch.logaddexp(-cumulative.sum(-1), torch.logsumexp(late, -1))
    return torch.where(onset.sum(-1) > 0, taken, survived)
