"""The takeover hazard: how likely somebody is to take the wheel because of a decision, given that they have not done so before."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from feedback.ensemble import Ensemble, one_thread
from sensors.errors import ConfigError

LARGEST_LOGIT = 5.0
"""Bounds h at 0.993, so that no single decision weighs without limit."""


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
        score = (time_s.clamp(min=1e-6).log() - math.log(self.median_s)) / self.spread
        return torch.where(time_s > 0, 0.5 * (1.0 + torch.erf(score / math.sqrt(2.0))), torch.zeros_like(time_s))


@dataclass(frozen=True)
class HazardConfig:
    """How the hazard is learned."""

    hidden: int = 16
    """Units of a hidden layer."""
    steps: int = 300
    """Most updates."""
    learning_rate: float = 3e-3
    """Step size of AdamW."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    validation_share: float = 0.25
    """Share of the start states whose rides only say when to stop."""
    reaction: ReactionTime = ReactionTime()
    """How late people are."""
    seed: int = 0
    """Seed of the first weights and the split."""


@dataclass(frozen=True)
class Ride:
    """One ride that somebody watched with a hand at the wheel: D decisions of ``dt_s``."""

    features: Tensor  # (D, F)
    live: Tensor  # (D,) bool: false once the episode had ended
    dt_s: float
    onset_s: float | None
    """When they took over, from the ride's start; None: they did not."""
    watched_s: float
    """How long they watched; a ride without a takeover is censored there."""
    group: str
    """Rides of one group share a start state and are never split between learning and validation."""

    def onset_weights(self, reaction: ReactionTime) -> Tensor:
        """Probability that each decision was the one that made them take over, (D,); zeros for a censored ride."""
        start = torch.arange(len(self.features), dtype=torch.float32) * self.dt_s
        if self.onset_s is None:
            return torch.zeros_like(start)
        weights = (reaction.cdf(self.onset_s - start) - reaction.cdf(self.onset_s - start - self.dt_s)) * self.live
        total = weights.sum()
        if total > 0:
            return weights / total
        weights = torch.zeros_like(start)  # sooner than anybody reacts: the decision under way, or the last one before the end
        weights[min(int(self.onset_s / self.dt_s), max(int(self.live.sum()) - 1, 0))] = 1.0
        return weights

    def exposure(self, reaction: ReactionTime) -> Tensor:
        """Share of each decision that could have shown as a takeover while they watched, (D,)."""
        middle = (torch.arange(len(self.features), dtype=torch.float32) + 0.5) * self.dt_s
        return reaction.cdf(self.watched_s - middle) * self.live


def survival_nll(logits: Tensor, onset: Tensor, exposure: Tensor) -> Tensor:
    """Negative log-likelihood of rides under a discrete hazard.

    With h = sigmoid(logit) and H = -log(1 - h): a censored ride survives, sum of H over what was exposed. A takeover's cause is not
    seen, only its onset one reaction time later, so it is summed over: -log sum_d p(d) h_d exp(-sum_{s<d} H_s).

    Args:
        logits: (N, D).
        onset: p(d) for rides with a takeover, zeros for censored ones, (N, D).
        exposure: Weight of each decision in a censored ride, (N, D).

    Returns:
        (N,).
    """
    cumulative = nn.functional.softplus(logits)
    before = cumulative.cumsum(1) - cumulative
    per_decision = onset.clamp(min=1e-30).log() + nn.functional.logsigmoid(logits) - before
    taken = -torch.logsumexp(torch.where(onset > 0, per_decision, torch.full_like(per_decision, -1e9)), 1)
    survived = (cumulative * exposure).sum(1)
    return torch.where(onset.sum(1) > 0, taken, survived)


class Hazard(nn.Module):
    """h of a decision window."""

    def __init__(self, width: int, hidden: int, generator: torch.Generator | None = None) -> None:
        """Make an untrained hazard for rows of ``width`` numbers."""
        super().__init__()
        self.net = Ensemble(width, hidden, 1, generator)

    def logit(self, features: Tensor) -> Tensor:
        """Log-odds of a takeover, rows (N, F) to (N,), bounded above."""
        out: Tensor = self.net(features)[0]
        return LARGEST_LOGIT - nn.functional.softplus(LARGEST_LOGIT - out)

    def cumulative(self, features: Tensor, live: Tensor) -> Tensor:
        """H = -log(1 - h) of every decision, (N,); 0 once the episode has ended."""
        return nn.functional.softplus(self.logit(features)) * live


@dataclass(frozen=True)
class HazardReport:
    """What learning the hazard came to."""

    rides: int
    takeovers: int
    validation_nll: float
    """Mean negative log-likelihood of a held-out ride."""
    constant_nll: float
    """The same for the best single hazard."""


def fit_hazard(rides: Sequence[Ride], config: HazardConfig = HazardConfig()) -> tuple[Hazard, HazardReport]:
    """Learn the hazard from watched rides, with and without takeovers; stops by held-out start states.

    Args:
        rides: What was watched.
        config: How to learn.

    Raises:
        ConfigError: There is nothing to learn from: no ride, or none with a takeover.
    """
    takeovers = sum(ride.onset_s is not None for ride in rides)
    if not takeovers:
        raise ConfigError(f"the takeover hazard got {len(rides)} rides with {takeovers} takeovers, expected at least one takeover")
    features, onset, exposure = _tables(rides, config.reaction)
    generator = torch.Generator().manual_seed(config.seed)
    held_out = _held_out(rides, config, generator)
    hazard = Hazard(features.shape[-1], config.hidden, generator)
    seen = torch.cat([ride.features[ride.live] for ride in rides])
    hazard.net.standardise_by(seen)
    rate = torch.tensor(takeovers / max(float(exposure.sum()), 1.0)).clamp(1e-4, 0.5)
    nn.init.constant_(hazard.net.last_bias, float(torch.logit(rate)))
    constant = survival_nll(torch.logit(rate).expand_as(onset), onset, exposure)
    with one_thread():
        best = _descend(hazard, (features, onset, exposure), held_out, config)
    return hazard, HazardReport(len(rides), takeovers, best, float(constant[held_out].mean()))


def _tables(rides: Sequence[Ride], reaction: ReactionTime) -> tuple[Tensor, Tensor, Tensor]:
    """Pad rides to one length: features (N, D, F), onset weights (N, D), exposures (N, D)."""

    def padded(rows: list[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    return (
        padded([ride.features for ride in rides]),
        padded([ride.onset_weights(reaction) for ride in rides]),
        padded([ride.exposure(reaction) for ride in rides]),
    )


def _held_out(rides: Sequence[Ride], config: HazardConfig, generator: torch.Generator) -> Tensor:
    """Choose start states for validation, (N,) bool; all rides serve both ways where there is only one start state."""
    groups = sorted({ride.group for ride in rides})
    order = torch.randperm(len(groups), generator=generator).tolist()
    count = max(1, round(config.validation_share * len(groups)))
    chosen = {groups[number] for number in order[:count]}
    return torch.tensor([len(groups) == 1 or ride.group in chosen for ride in rides])


def _descend(hazard: Hazard, tables: tuple[Tensor, Tensor, Tensor], held_out: Tensor, config: HazardConfig) -> float:
    """Train on the rest, keep the weights that did best on the held-out rides, and give that NLL."""
    features, onset, exposure = tables
    learning = ~held_out if bool((~held_out).any()) else held_out
    optimiser = torch.optim.AdamW(hazard.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    best, kept = math.inf, copy.deepcopy(hazard.state_dict())
    for _ in range(config.steps):
        logits = hazard.logit(features.reshape(-1, features.shape[-1])).reshape(onset.shape)
        nll = survival_nll(logits, onset, exposure)
        validation = float(nll[held_out].mean().detach())
        if validation < best:
            best, kept = validation, copy.deepcopy(hazard.state_dict())
        optimiser.zero_grad()
        nll[learning].mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    hazard.load_state_dict(kept)
    hazard.requires_grad_(False)
    return best
