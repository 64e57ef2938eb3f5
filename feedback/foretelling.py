"""How well a learned reward foretells answers that nobody learned from, beside what nobody can beat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feedback.likelihood import ANSWERS, answer_log_probs
from feedback.reward_model import RewardModel
from feedback.windows import Windows
from sensors.errors import ConfigError

Floats = NDArray[np.float64]
BINS = 10
NOISE_DRAWS = 200


@dataclass(frozen=True)
class Foretold:
    """What foretelling P answers came to."""

    answers: int
    """P."""
    accuracy: float
    """Expected share of answers A and B that are what the model thinks likelier of the two."""
    ceiling: float
    """The same for a judge who knows the true reward and how each reviewer errs: nobody can beat it."""
    nll: float
    """Expected negative log-likelihood of an answer, ties among them [nats]."""
    least_nll: float
    """The same for that judge."""
    calibration_error: float
    """Mean distance between the told chance of A (of A and B) and its frequency among drawn answers, over ten bins of equal count."""
    calibration_noise: float
    """The same, on average, if the told chances were true: what so few answers show of a perfect model."""


def foretold(told: Floats, true: Floats, seed: int = 0) -> Foretold:
    """Hold told chances of answers against true ones.

    Args:
        told: Chances of A, tie and B by the model, (P, 3).
        true: The same by who answered, (P, 3).
        seed: Draws the answers that calibration is counted over.

    Raises:
        ConfigError: The tables have unlike shapes, or nobody ever says A or B.
    """
    if told.shape != true.shape or told.ndim != 2 or told.shape[1] != len(ANSWERS):
        raise ConfigError(f"foretold got chances of shapes {told.shape} and {true.shape}, expected two of (P, {len(ANSWERS)})")
    decided = true[:, 0] + true[:, 2]
    if not decided.sum() > 0:
        raise ConfigError(f"foretold got {len(true)} questions that are all ties, expected some A or B")
    picked = np.where(told[:, 0] >= told[:, 2], true[:, 0], true[:, 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(true > 0, true * np.log(true), 0.0).sum(1)
    random = np.random.default_rng(seed)
    kept = random.random(len(true)) < decided
    chance = told[kept, 0] / (told[kept, 0] + told[kept, 2])
    said = random.random(int(kept.sum())) < true[kept, 0] / decided[kept]
    perfect = random.random((NOISE_DRAWS, len(chance))) < chance
    return Foretold(
        answers=len(true),
        accuracy=float(picked.sum() / decided.sum()),
        ceiling=float(np.maximum(true[:, 0], true[:, 2]).sum() / decided.sum()),
        nll=float(-(true * np.log(np.maximum(told, 1e-12))).sum(1).mean()),
        least_nll=float(entropy.mean()),
        calibration_error=calibration_error(chance, said.astype(float)),
        calibration_noise=float(np.mean([calibration_error(chance, row.astype(float)) for row in perfect])),
    )


def calibration_error(told: Floats, happened: Floats, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal count (Guo et al. 2017, equation 3, with Nguyen and O'Connor's 2015 bins).

    Args:
        told: Chances, (P,).
        happened: 0 or 1, or how likely it truly was, (P,).
        bins: How many.
    """
    parts = np.array_split(np.argsort(told, kind="stable"), min(bins, max(len(told), 1)))
    return float(sum(abs(told[part].mean() - happened[part].mean()) * len(part) for part in parts if len(part)) / max(len(told), 1))


def told_answers(model: RewardModel, pairs: Sequence[tuple[Windows, Windows]]) -> Tensor:
    """Chances of A, tie and B by every member, for a reviewer of whom nothing is known: usual rationality, no side bias.

    Args:
        model: Its members and how reviewers answer.
        pairs: The windows of both rides of each pair; the first is A.

    Returns:
        (E, P, 3). What the model as a whole says is the mean over members: one that is far out has one voice, however far.
    """
    answers = model.answers
    usual = (torch.tensor(value) for value in (answers.tie_weight, answers.lapse, answers.careless_ties))
    return answer_log_probs(_advantages(model, pairs) / answers.temperature, *usual).exp()


def _advantages(model: RewardModel, pairs: Sequence[tuple[Windows, Windows]]) -> Tensor:
    """Reward of the first ride less hazard, less the second's, by every member, (E, P)."""
    if not pairs:
        return torch.zeros(model.config.members, 0)
    rides = {id(each): each for each in itertools.chain.from_iterable(pairs)}
    place = {name: number for number, name in enumerate(rides)}
    seen = list(rides.values())
    with torch.no_grad():
        together = Windows(*(torch.cat([getattr(each, part) for each in seen]) for part in ("features", "dead", "arrived")))
        rewards = model.member_rewards(together)
        if model.hazard is not None:
            rewards = rewards - model.answers.takeover_weight * model.hazard.cumulative(together.features, together.live)
        ride = torch.repeat_interleave(torch.arange(len(seen)), torch.tensor([len(each.dead) for each in seen]))
        returns = rewards.new_zeros((len(rewards), len(seen))).index_add(1, ride, rewards)
    first, second = (torch.tensor([place[id(pair[side])] for pair in pairs]) for side in (0, 1))
    return returns[:, first] - returns[:, second]
