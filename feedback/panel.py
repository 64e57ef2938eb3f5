"""The reviewers' parameters while a reward is learned: a likelihood of their answers whose slope the networks can follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from feedback.likelihood import CARELESS_TIES_PRIOR, LAPSE_PRIOR_B, LOG_TIE_PRIOR, TAKEOVER_WEIGHT_PRIOR, answer_log_probs
from feedback.reviewers import LOG_RATIONALITY_DEVIATION, SIDE_BIAS_DEVIATION


@dataclass(frozen=True)
class Answers:
    """How reviewers turn rewards into answers: fitted on pairs that the networks have not seen."""

    temperature: float = 1.0
    """Reward difference that makes a logit of 1, for a reviewer of the panel's usual rationality."""
    tie_weight: float = 0.2
    """Davidson's nu."""
    lapse: float = 0.1
    """Share of careless answers."""
    takeover_weight: float = 0.0
    """kappa: what one unit of H = -log(1 - h) costs, in units of reward."""
    careless_ties: float = 1.0 / 3.0
    """Share of ties among careless answers."""


@dataclass(frozen=True)
class Said:
    """P answers and who gave them."""

    answer: Tensor  # (P,) place in ANSWERS
    reviewer: Tensor  # (P,) number of the reviewer
    left: Tensor  # (P,) 1 where the first ride was on the left, -1 where on the right


class PanelAnswers(nn.Module):
    """What turns rewards into answers, as numbers without bounds: shared ones, and three of each reviewer."""

    def __init__(self, start: Answers, said: Said, reviewers: int, with_hazard: bool) -> None:
        """Start from what a panel was like.

        Args:
            start: Shared parameters.
            said: The answers.
            reviewers: How many gave them.
            with_hazard: Whether there is a hazard to weigh.
        """
        super().__init__()
        self.said, self.with_hazard = said, with_hazard
        self.log_temperature = nn.Parameter(torch.tensor(start.temperature).log())
        self.log_tie = nn.Parameter(torch.tensor(start.tie_weight).log())
        self.log_takeover = nn.Parameter(torch.tensor(start.takeover_weight).log())
        self.lapse_logit = nn.Parameter(torch.logit(torch.tensor(start.lapse)).repeat(reviewers))
        self.careless_logit = nn.Parameter(torch.logit(torch.tensor(start.careless_ties)))
        self.log_rationality = nn.Parameter(torch.zeros(reviewers))
        self.side = nn.Parameter(torch.zeros(reviewers))

    @property
    def takeover_weight(self) -> Tensor:
        """Kappa."""
        return self.log_takeover.exp() if self.with_hazard else torch.zeros(())

    def logit(self, advantage: Tensor, hazard: Tensor) -> Tensor:
        """Logit of A for each answer's own reviewer, given summed rewards' difference (..., P) and that of H (P,)."""
        rationality = (self.log_rationality - self.log_rationality.mean()).exp()[self.said.reviewer]
        usual = (advantage - self.takeover_weight * hazard) / self.log_temperature.exp()
        return usual * rationality + self.side[self.said.reviewer] * self.said.left

    def log_probs(self, advantage: Tensor, hazard: Tensor) -> Tensor:
        """Log-probabilities of every answer, (..., P, 3)."""
        lapse = self.lapse_logit.sigmoid()[self.said.reviewer]
        return answer_log_probs(self.logit(advantage, hazard), self.log_tie.exp(), lapse, self.careless_logit.sigmoid())

    def nll(self, advantage: Tensor, hazard: Tensor) -> Tensor:
        """Negative log-likelihood of every answer, (..., P)."""
        log_probs = self.log_probs(advantage, hazard)
        return -log_probs.gather(-1, self.said.answer.expand(log_probs.shape[:-1])[..., None])[..., 0]

    def log_prior(self) -> Tensor:
        """What was believed of the reviewers before they answered, as a log-density up to a constant.

        The density is over log-odds (lapse) and logarithms (the others): there the likeliest lapse under Beta(1, 9) is its mean, 0.1,
        while over the lapse itself it would be 0, and few answers would never move it from there.
        """
        mean, deviation = LOG_TIE_PRIOR
        tie = -0.5 * ((self.log_tie - mean) / deviation) ** 2
        lapse = self.lapse_logit.sigmoid()
        careless = (lapse.log() + LAPSE_PRIOR_B * torch.log1p(-lapse)).sum()
        ties, (a, b) = self.careless_logit.sigmoid(), CARELESS_TIES_PRIOR
        careless = careless + a * ties.log() + b * torch.log1p(-ties)
        apart = self.log_rationality - self.log_rationality.mean()
        own = 0.5 * (apart / LOG_RATIONALITY_DEVIATION).square().sum() + 0.5 * (self.side / SIDE_BIAS_DEVIATION).square().sum()
        return careless + tie - own - self.takeover_weight / TAKEOVER_WEIGHT_PRIOR

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let gradients pass to the networks alone."""
        before = [each.requires_grad for each in self.parameters()]
        self.requires_grad_(False)
        try:
            yield
        finally:
            for each, flag in zip(self.parameters(), before, strict=True):
                each.requires_grad_(flag)

    def values(self) -> Answers:
        """The shared parameters as plain numbers; the lapse is the mean over answers."""
        lapse = self.lapse_logit.sigmoid()[self.said.reviewer].mean()
        shared = (self.log_temperature.exp(), self.log_tie.exp(), lapse, self.takeover_weight, self.careless_logit.sigmoid())
        return Answers(*(float(value.detach()) for value in shared))
