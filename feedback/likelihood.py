"""How likely an answer is, given how much better one ride's summed reward is: Bradley-Terry with ties and lapses."""

from __future__ import annotations

import torch
from torch import Tensor

ANSWERS = ("A", "tie", "B")
"""The answers that the likelihood knows, in the order of its last dimension; 'cannot' and 'skip' say nothing about the rides."""

LAPSE_PRIOR_B = 9.0
"""Lapse ~ Beta(1, 9): 10 % careless answers before any was seen."""
CARELESS_TIES_PRIOR = (2.0, 4.0)
"""Share of ties among careless answers ~ Beta(2, 4), with a mean of 1/3. It is learned, because reviewers who never call a tie do not
do so carelessly either: three equally likely careless answers would then rule out any lapse, however many answers are turned round."""
LOG_TIE_PRIOR = (-1.6, 1.0)
"""Mean and standard deviation of the tie weight's logarithm before any answer was seen."""
TAKEOVER_WEIGHT_PRIOR = 1.0
"""kappa ~ exponential with this mean, in units of reward."""


def answer_log_probs(advantage: Tensor, tie_weight: Tensor, lapse: Tensor, careless_ties: Tensor | float = 1.0 / 3.0) -> Tensor:
    """Probabilities of the answers, in logarithms.

    Davidson (1970): with the advantage ``x`` of A over B and ``Z = e^{x/2} + e^{-x/2} + nu``, P(A) = e^{x/2} / Z and
    P(tie) = nu / Z. With probability ``lapse`` the reviewer answers at random instead: a tie with the share ``careless_ties``, and else
    one side or the other.

    Args:
        advantage: Logit of A over B, any shape.
        tie_weight: nu, at least 0.
        lapse: In [0, 1), a number or one for each advantage.
        careless_ties: In (0, 1); by default all three careless answers are equally likely.

    Returns:
        Log-probabilities of ``ANSWERS``, shape (..., 3).
    """
    half = 0.5 * advantage
    tie = tie_weight.log().expand_as(half)
    attentive = torch.log_softmax(torch.stack((half, tie, -half), -1), -1)
    ties = torch.as_tensor(careless_ties, dtype=advantage.dtype)
    careless = torch.stack((0.5 * (1.0 - ties), ties, 0.5 * (1.0 - ties)), -1).log()
    return torch.logaddexp(attentive + torch.log1p(-lapse)[..., None], (lapse.log()[..., None] + careless).expand_as(attentive))


def decided_probability(advantage: Tensor, tie_weight: Tensor, lapse: Tensor, careless_ties: Tensor | float = 1.0 / 3.0) -> Tensor:
    """Probability of the answer A among the answers A and B, same shape as ``advantage``."""
    log_probs = answer_log_probs(advantage, tie_weight, lapse, careless_ties)
    return torch.sigmoid(log_probs[..., 0] - log_probs[..., 2])
