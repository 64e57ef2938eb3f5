"""The takeover hazard: how likely somebody is to take the wheel because of a decision, given that they have not done so before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from feedback.ensemble import Ensemble, one_thread
from feedback.reaction import Onsets, ReactionFit, ReactionTime, fit_of, grid, log_belief
from sensors.errors import ConfigError

LARGEST_LOGIT = 5.0
"""Bounds h at 0.993, so that no single decision weighs without limit."""


REACTION_RATE = 0.02
"""Step size for the reaction time while the hazard learns."""
FEWEST_TAKEOVERS = 3
"""Reviewers with fewer takeovers get no reaction time of their own."""


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
    members: int = 5
    """Networks, each of a Bayesian bootstrap of the rides and with a reaction time of its own; the hazard is their mean."""
    reaction: ReactionTime = ReactionTime()
    """How late people are thought to be before any takeover was seen."""
    fit_reaction: bool = True
    """Whether to learn how late people are; False: they are as ``reaction`` says."""
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
    reviewer: str = ""
    """Pseudonym of who watched."""


def survival_nll(logits: Tensor, onset: Tensor, exposure: Tensor) -> Tensor:
    """Negative log-likelihood of rides under a discrete hazard.

    With h = sigmoid(logit) and H = -log(1 - h): a censored ride survives, sum of H over what was exposed. A takeover's cause is not
    seen, only its onset one reaction time later, so it is summed over: -log sum_d p(d) h_d exp(-sum_{s<d} H_s).

    Args:
        logits: (..., N, D).
        onset: p(d) for rides with a takeover, zeros for censored ones, (..., N, D).
        exposure: Weight of each decision in a censored ride, (..., N, D).

    Returns:
        (..., N).
    """
    cumulative = nn.functional.softplus(logits)
    before = cumulative.cumsum(-1) - cumulative
    per_decision = onset.clamp(min=1e-30).log() + nn.functional.logsigmoid(logits) - before
    taken = -torch.logsumexp(torch.where(onset > 0, per_decision, torch.full_like(per_decision, -1e9)), -1)
    survived = (cumulative * exposure).sum(-1)
    return torch.where(onset.sum(-1) > 0, taken, survived)


class Hazard(nn.Module):
    """h of a decision window."""

    def __init__(self, width: int, hidden: int, generator: torch.Generator | None = None, members: int = 1) -> None:
        """Make an untrained hazard for rows of ``width`` numbers."""
        super().__init__()
        self.net = Ensemble(width, hidden, members, generator)

    def member_logits(self, features: Tensor) -> Tensor:
        """Log-odds of a takeover by every member, rows (N, F) to (E, N), bounded above."""
        out: Tensor = self.net(features)
        return LARGEST_LOGIT - nn.functional.softplus(LARGEST_LOGIT - out)

    def logit(self, features: Tensor) -> Tensor:
        """Log-odds of a takeover, rows (N, F) to (N,)."""
        return self.member_logits(features).mean(0)

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
    reaction: ReactionFit | None = None
    """How late people are; None where that was not learned."""
    reactions: dict[str, ReactionFit] = field(default_factory=dict)
    """The same for each reviewer who is named and took over a few times."""


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
    features, onsets = tables(rides)
    generator = torch.Generator().manual_seed(config.seed)
    held_out = _held_out(rides, config, generator)
    hazard = Hazard(features.shape[-1], config.hidden, generator, config.members)
    hazard.net.standardise_by(torch.cat([ride.features[ride.live] for ride in rides]))
    fit = _Fit(hazard, features, onsets, held_out, config)
    exposure = onsets.exposure(*fit.start)
    rate = torch.tensor(takeovers / max(float(exposure.sum()), 1.0)).clamp(1e-4, 0.5)
    nn.init.constant_(hazard.net.last_bias, float(torch.logit(rate)))
    constant = survival_nll(torch.logit(rate).expand_as(exposure), onsets.density(*fit.start), exposure)
    with one_thread():
        weights = torch.empty(config.members, len(rides)).exponential_(generator=generator)
        best = fit.descend(weights)
        reaction, reactions = fit.reactions(weights, [ride.reviewer for ride in rides]) if config.fit_reaction else (None, {})
    return hazard, HazardReport(len(rides), takeovers, best, float(constant[held_out].mean()), reaction, reactions)


def tables(rides: Sequence[Ride]) -> tuple[Tensor, Onsets]:
    """Pad N rides to one length: features (N, D, F), and when the wheel was taken."""

    def padded(rows: list[Tensor]) -> Tensor:
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    features, live = padded([ride.features for ride in rides]), padded([ride.live.float() for ride in rides])
    dt_s = torch.tensor([ride.dt_s for ride in rides])[:, None]
    place = torch.arange(features.shape[1])
    start_s = place * dt_s
    taken = torch.tensor([ride.onset_s is not None for ride in rides])[:, None]
    onset_s = torch.tensor([ride.onset_s or 0.0 for ride in rides])[:, None]
    watched_s = torch.tensor([ride.watched_s for ride in rides])[:, None]
    last = torch.minimum((onset_s / dt_s).long(), (live.sum(1, keepdim=True).long() - 1).clamp(min=0))
    since_s = onset_s - start_s
    return features, Onsets(
        since_s=since_s,
        dt_s=dt_s,
        could=live * taken * (since_s > 0),
        under_way=((place == last) & taken).float(),
        middle_left_s=watched_s - start_s - 0.5 * dt_s,
        live=live,
    )


def _held_out(rides: Sequence[Ride], config: HazardConfig, generator: torch.Generator) -> Tensor:
    """Choose start states for validation, (N,) bool; all rides serve both ways where there is only one start state."""
    groups = sorted({ride.group for ride in rides})
    order = torch.randperm(len(groups), generator=generator).tolist()
    count = max(1, round(config.validation_share * len(groups)))
    chosen = {groups[number] for number in order[:count]}
    return torch.tensor([len(groups) == 1 or ride.group in chosen for ride in rides])


class _Fit:
    """Learning in progress: networks, and each one's reaction time as logarithms of median and spread."""

    def __init__(self, hazard: Hazard, features: Tensor, onsets: Onsets, held_out: Tensor, config: HazardConfig) -> None:
        self.hazard, self.features, self.onsets, self.held_out, self.config = hazard, features, onsets, held_out, config
        median, spread = math.log(config.reaction.median_s), math.log(config.reaction.spread)
        self.start = (torch.tensor(median), torch.tensor(spread))
        self.reaction = torch.tensor([[median], [spread]]).repeat(1, config.members)[..., None, None].requires_grad_(config.fit_reaction)

    def nll(self) -> Tensor:
        """Negative log-likelihood of every ride by every member, (E, N)."""
        logits = self.hazard.member_logits(self.features.flatten(0, 1)).unflatten(1, self.features.shape[:2])
        return survival_nll(logits, self.onsets.density(*self.reaction), self.onsets.exposure(*self.reaction))

    def descend(self, weights: Tensor) -> float:
        """Train on what is not held out; each member keeps what did best on the held-out rides. Gives their mean NLL there."""
        config, held_out = self.config, self.held_out
        learning = ~held_out if bool((~held_out).any()) else held_out
        optimiser = torch.optim.AdamW(self.hazard.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        clock = torch.optim.Adam([self.reaction], REACTION_RATE) if config.fit_reaction else None
        everything = {**dict(self.hazard.named_parameters()), "reaction": self.reaction}
        best = torch.full((config.members,), torch.inf)
        kept = {name: value.detach().clone() for name, value in everything.items()}
        for _ in range(config.steps):
            nll = self.nll()
            validation = nll.detach()[:, held_out].mean(1)
            better = validation < best
            best = torch.where(better, validation, best)
            for name, value in everything.items():
                new = better if name != "reaction" else better[None]
                kept[name] = torch.where(new.reshape(*new.shape, *[1] * (value.ndim - new.ndim)), value.detach(), kept[name])
            optimiser.zero_grad()
            if clock is not None:
                clock.zero_grad()
            believed = log_belief(config.reaction, *self.reaction).sum() / max(int(learning.sum()), 1)
            loss = (nll * weights)[:, learning].sum(1) / weights[:, learning].sum(1)
            (loss.sum() - believed).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if clock is not None:
                clock.step()
        with torch.no_grad():
            for name, value in everything.items():
                value.copy_(kept[name])
        self.hazard.requires_grad_(False)
        return float(best.mean())

    def reactions(self, weights: Tensor, reviewers: Sequence[str]) -> tuple[ReactionFit, dict[str, ReactionFit]]:
        """How late people are, all together and one by one, given what each member has learned, each of its own bootstrap."""
        with torch.no_grad():
            likelihood = self._over_grid() * weights[..., None, None]  # (E, N, G, G)
        medians, spreads = grid()
        belief = log_belief(self.config.reaction, medians[:, None], spreads)
        taken = self.onsets.under_way.sum(1) > 0

        def of(chosen: Tensor) -> ReactionFit:
            return fit_of((likelihood[:, chosen].sum(1) + belief).double().numpy(), int((chosen & taken).sum()))

        each = {name: torch.tensor([reviewer == name for reviewer in reviewers]) for name in sorted(set(reviewers) - {""})}
        enough = {name: chosen for name, chosen in each.items() if int((chosen & taken).sum()) >= FEWEST_TAKEOVERS}
        return of(torch.ones_like(taken)), {name: of(chosen) for name, chosen in enough.items()}

    def _over_grid(self) -> Tensor:
        """Log-likelihood of every ride by every member at each point of the grid, (E, N, G, G)."""
        logits = self.hazard.member_logits(self.features.flatten(0, 1)).unflatten(1, self.features.shape[:2])
        medians, spreads = grid()
        rows = []
        for median in medians:  # (G, 1, 1, 1) spreads against (E, N, D)
            point = (median, spreads[:, None, None, None])
            nll = survival_nll(logits, self.onsets.density(*point), self.onsets.exposure(*point))
            rows.append(-nll)  # (G, E, N)
        return torch.stack(rows).permute(2, 3, 0, 1)
