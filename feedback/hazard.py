"""The takeover hazard: how likely somebody is to take the wheel because of a decision, given that they have not done so before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from feedback.ensemble import Ensemble, bootstrap, descend, one_thread
from feedback.reaction import Onsets, ReactionFit, ReactionTime, log_belief, survival_nll
from feedback.reaction_fit import Watched, fit_reaction
from sensors.errors import ConfigError

LARGEST_LOGIT = 5.0
"""Bounds h at 0.993, so that no single decision weighs without limit."""


REACTION_RATE = 0.02
"""Step size for the reaction time while the hazard learns."""
LINE_SCALE, LINE_MOVES = 0.1, 60
"""Scale of the Cauchy belief about the weights of each network's line, and the moves of L-BFGS that it is learned by before it bends."""
STARTS = (0.4, 1.0, 2.2)
"""Multiples of the reaction time that is believed before, from which it is learned."""
PATIENCE = 30
"""Updates without any network doing better on what it holds out, after which learning stops."""
FEWEST_TAKEOVERS = 3
"""Reviewers with fewer takeovers get no reaction time of their own."""


@dataclass(frozen=True)
class HazardConfig:
    """How the hazard is learned."""

    hidden: int = 16
    """Units of a hidden layer."""
    steps: int = 300
    """Most updates."""
    learning_rate: float = 0.01
    """Step size of AdamW."""
    weight_decay: float = 0.1
    """Decoupled weight decay."""
    members: int = 5
    """Networks, each of a Bayesian bootstrap of the rides and with a reaction time of its own; the hazard is their mean. Start states fall
    into as many parts: each network stops by one of them, and the reaction time is learned from what it says of that one."""
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
    group, held_out = _held_out(rides, config, generator)
    hazard = Hazard(features.shape[-1], config.hidden, generator, config.members)
    hazard.net.standardise_by(torch.cat([ride.features[ride.live] for ride in rides]))
    fit = _Fit(hazard, features, onsets, held_out, config)
    exposure = onsets.exposure(*fit.start)
    rate = torch.tensor(takeovers / max(float(exposure.sum()), 1.0)).clamp(1e-4, 0.5)
    nn.init.constant_(hazard.net.last_bias, float(torch.logit(rate)))
    constant = survival_nll(torch.logit(rate).expand_as(exposure), onsets.density(*fit.start), exposure)
    share = held_out / held_out.sum(1, keepdim=True)
    with one_thread():
        weights = bootstrap((config.members, len(rides)), generator)
        best = fit.descend(weights)
        reaction, reactions = fit.reactions(group, [ride.reviewer for ride in rides]) if config.fit_reaction else (None, {})
    return hazard, HazardReport(len(rides), takeovers, best, float((constant * share).sum(1).mean()), reaction, reactions)


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
        left_s=watched_s - start_s,
        live=live,
    )


def _held_out(rides: Sequence[Ride], config: HazardConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Number start states, (N,), and choose whose rides each member holds out, (E, N) bool.

    All rides serve both ways where there is only one start state; members share what they hold out where there are too few.
    """
    names = sorted({ride.group for ride in rides})
    place = {name: number for number, name in enumerate(names)}
    group = torch.tensor([place[ride.group] for ride in rides])
    parts = min(config.members, len(names)) if config.members > 1 else min(4, len(names))
    part = torch.empty(len(names), dtype=torch.long)
    part[torch.randperm(len(names), generator=generator)] = torch.arange(len(names)) % parts
    return group, part[group] == torch.arange(config.members)[:, None] % parts


class _Fit:
    """Learning in progress: networks, and each one's reaction time as logarithms of median and spread."""

    def __init__(self, hazard: Hazard, features: Tensor, onsets: Onsets, held_out: Tensor, config: HazardConfig) -> None:
        self.hazard, self.features, self.onsets, self.held_out, self.config = hazard, features, onsets, held_out, config
        median, spread = math.log(config.reaction.median_s), math.log(config.reaction.spread)
        self.start = (torch.tensor(median), torch.tensor(spread))
        self.reaction = torch.tensor([[median], [spread]]).repeat(1, config.members)[..., None, None].requires_grad_(config.fit_reaction)

    def nll(self) -> Tensor:
        """Negative log-likelihood of every ride by every member, (E, N)."""
        logits = self.hazard.member_logits(self.features.flatten(0, 1)).reshape(-1, *self.features.shape[:2])
        return survival_nll(logits, self.onsets.density(*self.reaction), self.onsets.exposure(*self.reaction))

    def descend(self, weights: Tensor) -> float:
        """Train on what is not held out; each member keeps what did best on the held-out rides. Gives their mean NLL there."""
        config, held_out = self.config, self.held_out
        learning = (~held_out if bool((~held_out).any()) else held_out) * weights  # (E, N)

        def loss() -> tuple[Tensor, Tensor]:
            nll = self.nll()
            believed = log_belief(config.reaction, *self.reaction).sum() / learning.sum(1).mean()
            return nll.detach(), ((nll * learning).sum(1) / learning.sum(1)).sum() - believed

        def of_lines() -> Tensor:
            return loss()[1] + (self.hazard.net.steepness(LINE_SCALE) / learning.sum(1)).sum()

        def unseen() -> Tensor:
            return (self.nll().detach() * held_out).sum(1) / held_out.sum(1)

        clock = [self.reaction] if config.fit_reaction else []
        self._learn_lines([self.hazard.net.line, self.hazard.net.last_bias, *clock], of_lines, unseen)
        self.hazard.net.line.requires_grad_(False)
        bends = [each for each in self.hazard.parameters() if each.requires_grad]
        optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(bends, config.learning_rate, weight_decay=config.weight_decay)]
        optimisers += [torch.optim.Adam(clock, REACTION_RATE)] if clock else []
        everything = {**dict(self.hazard.named_parameters()), "reaction": self.reaction}
        best = torch.full((config.members,), torch.inf)
        kept = {name: value.detach().clone() for name, value in everything.items()}
        last_better = 0
        for step in range(config.steps + 1):
            nll, total = loss()
            validation = (nll * held_out).sum(1) / held_out.sum(1)
            better = validation < best
            best = torch.where(better, validation, best)
            last_better = step if bool(better.any()) else last_better
            for name, value in everything.items():
                new = better if name != "reaction" else better[None]
                kept[name] = torch.where(new.reshape(*new.shape, *[1] * (value.ndim - new.ndim)), value.detach(), kept[name])
            if step == config.steps or step - last_better > PATIENCE:
                break
            for optimiser in optimisers:
                optimiser.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            for optimiser in optimisers:
                optimiser.step()
        with torch.no_grad():
            for name, value in everything.items():
                value.copy_(kept[name])
        self.hazard.requires_grad_(False)
        return float(best.mean())

    def _learn_lines(self, lines: list[Tensor], objective: Callable[[], Tensor], unseen: Callable[[], Tensor]) -> None:
        """Learn what is linear, from several reaction times on; each member keeps what did best on what it holds out.

        A hazard that was learned with a reaction time one decision off explains that one best: from a single start it would stay there.
        """
        first = [each.detach().clone() for each in lines]
        starts = STARTS if self.config.fit_reaction else (1.0,)
        best, kept = torch.full((self.config.members,), torch.inf), [each.clone() for each in first]
        for factor in starts:
            with torch.no_grad():
                for each, value in zip(lines, first, strict=True):
                    each.copy_(value)
                self.reaction[0] += math.log(factor)
            descend(lines, objective, min(self.config.steps, LINE_MOVES))
            found = unseen()
            better = found < best
            best = torch.where(better, found, best)
            for place, each in enumerate(lines):
                new = better[None] if each is self.reaction else better
                kept[place] = torch.where(new.reshape(*new.shape, *[1] * (each.ndim - new.ndim)), each.detach(), kept[place])
        with torch.no_grad():
            for each, value in zip(lines, kept, strict=True):
                each.copy_(value)

    def reactions(self, group: Tensor, reviewers: Sequence[str]) -> tuple[ReactionFit, dict[str, ReactionFit]]:
        """How late people are, all together and one by one, given what members say of rides that they have not seen."""
        with torch.no_grad():
            logits = self.hazard.member_logits(self.features.flatten(0, 1)).reshape(-1, *self.features.shape[:2])
            unseen = (logits * self.held_out[..., None]).sum(0) / self.held_out.sum(0).clamp(min=1)[:, None]
        everybody = Watched(unseen, self.onsets, group)
        known = self.held_out.any(0)
        taken = (self.onsets.under_way.sum(1) > 0) & known
        each = {name: torch.tensor([reviewer == name for reviewer in reviewers]) & known for name in sorted(set(reviewers) - {""})}
        enough = {name: chosen for name, chosen in each.items() if int((chosen & taken).sum()) >= FEWEST_TAKEOVERS}

        def of(chosen: Tensor) -> ReactionFit:
            return fit_reaction(everybody.of(chosen), self.config.reaction, self.config.seed)

        return of(known), {name: of(chosen) for name, chosen in enough.items()}
