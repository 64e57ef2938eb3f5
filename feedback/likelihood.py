"""How likely an answer is, given how much better one ride's summed reward is: Bradley-Terry with ties and lapses."""

from __future__ import annotations

import torch
from torch import Tensor

ANSWERS = ("A", "tie", "B")
"""The answers that the likelihood knows, in the order of its last dimension; 'cannot' and 'skip' say nothing about the rides."""

LAPSE_PRIOR_B = 9.0
"""Lapse ~ Beta(1, 9): 10 % careless answers before any was seen."""
LOG_TIE_PRIOR = (-1.6, 1.0)
"""Mean and standard deviation of the tie weight's logarithm before any answer was seen."""
TAKEOVER_WEIGHT_PRIOR = 1.0
"""kappa ~ exponential with this mean, in units of reward."""


def answer_log_probs(advantage: Tensor, tie_weight: Tensor, lapse: Tensor) -> Tensor:
    """Probabilities of the answers, in logarithms.

    Davidson (1970): with the advantage ``x`` of A over B and ``Z = e^{x/2} + e^{-x/2} + nu``, P(A) = e^{x/2} / Z and
    P(tie) = nu / Z. With probability ``lapse`` the reviewer answers at random instead.

    Args:
        advantage: Logit of A over B, any shape.
        tie_weight: nu, at least 0.
        lapse: In [0, 1).

    Returns:
        Log-probabilities of ``ANSWERS``, shape (..., 3).
    """
    half = 0.5 * advantage
    tie = tie_weight.log().expand_as(half)
    attentive = torch.log_softmax(torch.stack((half, tie, -half), -1), -1)
    careless = (lapse / len(ANSWERS)).log().expand_as(attentive)
    return torch.logaddexp(attentive + torch.log1p(-lapse), careless)


def decided_probability(advantage: Tensor, tie_weight: Tensor, lapse: Tensor) -> Tensor:
    """Probability of the answer A among the answers A and B, same shape as ``advantage``."""
    log_probs = answer_log_probs(advantage, tie_weight, lapse)
    return torch.sigmoid(log_probs[..., 0] - log_probs[..., 2])


def log_prior(tie_weight: Tensor, lapse: Tensor, takeover_weight: Tensor) -> Tensor:
    """What was believed of a panel of reviewers before they answered, as a log-density up to a constant.

    The density is over log-odds (lapse) and logarithms (the others): there the likeliest lapse under Beta(1, 9) is its mean, 0.1, while
    over the lapse itself it would be 0, and few answers would never move it from there.
    """
    mean, deviation = LOG_TIE_PRIOR
    tie = -0.5 * ((tie_weight.log() - mean) / deviation) ** 2
    careless = lapse.log() + LAPSE_PRIOR_B * torch.log1p(-lapse)
    return careless + tie - takeover_weight / TAKEOVER_WEIGHT_PRIOR
