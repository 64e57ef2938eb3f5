"""Rides and what was said about them as tables of numbers, parted so that what is held out was really never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from feedback.folds import folds_of
from feedback.hazard import Hazard
from feedback.likelihood import ANSWERS
from feedback.panel import Said
from feedback.reviewers import numbered
from feedback.reward_model import RewardConfig, RewardNet
from feedback.windows import Windows
from sensors.errors import ConfigError


@dataclass(frozen=True)
class RideWindows:
    """A clip as the reward model sees it."""

    seen: Windows  # D decisions
    group: str
    """Clips of one group share a start state."""


@dataclass(frozen=True)
class Comparison:
    """One answer about two rides, by their names."""

    first: str
    second: str
    answer: str
    """'A': the first is better; 'B'; 'tie'; anything else ('cannot', 'skip') says nothing and is left out."""
    reviewer: str = ""
    """Pseudonym of who answered; all who are not named count as one."""
    mirrored: bool = False
    """True: the second ride was shown on the left."""


@dataclass(frozen=True)
class Table:
    """All rides and comparisons as tensors: M live windows of N rides, P comparisons."""

    features: Tensor  # (M, F)
    ride: Tensor  # (M,)
    ended: Tensor  # (2, N) decisions spent dead and arrived
    hazard: Tensor  # (N,) sum of H
    first: Tensor  # (P,)
    second: Tensor  # (P,)
    said: Said
    names: tuple[str, ...]  # (K,) reviewers
    fold_of_pair: Tensor  # (P, 2)

    @property
    def answer(self) -> Tensor:
        """Place of each answer in ANSWERS, (P,)."""
        return self.said.answer

    def returns(self, net: RewardNet) -> Tensor:
        """Raw reward of every ride by every member, summed over its decisions, (E, N)."""
        live = net.live(self.features)
        sums = torch.zeros((len(live), self.ended.shape[1])).index_add(1, self.ride, live)
        return sums + net.ended @ self.ended

    def advantage(self, per_ride: Tensor) -> Tensor:
        """First ride minus second, (..., N) to (..., P)."""
        return per_ride[..., self.first] - per_ride[..., self.second]


def table_of(rides: Mapping[str, RideWindows], comparisons: Sequence[Comparison], hazard: Hazard | None, config: RewardConfig) -> Table:
    """Lay out rides and answers; arguments as for ``feedback.reward_fit.fit_reward``.

    Raises:
        ConfigError: Too few comparisons, or one names a ride that is not there.
    """
    used = [comparison for comparison in comparisons if comparison.answer in ANSWERS]
    least = 2 * config.folds
    if len(used) < least:
        raise ConfigError(
            f"learning a reward got {len(used)} answers ({len(comparisons) - len(used)} more compare nothing), "
            f"expected at least {least}; label more pairs"
        )
    missing = {name for comparison in used for name in (comparison.first, comparison.second)} - set(rides)
    if missing:
        raise ConfigError(f"{len(missing)} compared rides are not there, among them {min(missing)!r}; give every clip that a label names")
    names = sorted(rides)
    number = {name: place for place, name in enumerate(names)}
    pairs = [(number[comparison.first], number[comparison.second]) for comparison in used]
    fold = torch.tensor(folds_of([rides[name].group for name in names], pairs, config.folds, config.seed))
    pair = torch.tensor(pairs)
    seen = [rides[name].seen for name in names]
    features = torch.cat([one.features[one.live] for one in seen])
    ride = torch.cat([torch.full((int(one.live.sum()),), place) for place, one in enumerate(seen)])
    sums = torch.zeros(len(names))
    if hazard is not None:
        with torch.no_grad():
            sums = sums.index_add(0, ride, hazard.cumulative(features, torch.ones(len(features))))
    ended = torch.stack([torch.stack((one.dead.sum(), one.arrived.sum())) for one in seen], 1).float()
    answer = torch.tensor([ANSWERS.index(comparison.answer) for comparison in used])
    people, who = numbered([comparison.reviewer for comparison in used])
    left = torch.tensor([-1.0 if comparison.mirrored else 1.0 for comparison in used])
    said = Said(answer, torch.from_numpy(who), left)
    return Table(features, ride, ended, sums, pair[:, 0], pair[:, 1], said, people, fold[pair])


def shares(table: Table, config: RewardConfig) -> tuple[Tensor, Tensor]:
    """Which comparisons each member learns from and stops by, two (E, P) masks; fold 0 is nobody's."""
    reserved = (table.fold_of_pair == 0).any(1)
    there = [fold for fold in range(1, config.folds) if bool((table.fold_of_pair == fold).any())] or [1]
    wanted = [there[member % len(there)] for member in range(config.members)]  # of few start states, members share a fold
    own = torch.stack([(table.fold_of_pair == fold).any(1) for fold in wanted])
    learn, validate = ~own & ~reserved, own & ~reserved
    if not (bool(learn.any(1).all()) and bool(validate.any(1).all())):
        raise ConfigError(
            f"{len(table.answer)} answers cannot be parted into {config.folds} folds without common start states; "
            "label pairs of more start states, or set fewer folds"
        )
    return learn, validate


def unheard(table: Table, learn: Tensor) -> Tensor:
    """Answers of the reviewers whom each member leaves out, (E, P) bool: nobody's where there are fewer of them than members."""
    members = len(learn)
    left_out = (table.said.reviewer % members) == torch.arange(members)[:, None]
    enough = 1 < members <= len(table.names) and bool((learn & ~left_out).any(1).all())
    return left_out if enough else torch.zeros_like(left_out)
