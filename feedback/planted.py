"""Reviewers whose parameters are known, as the reward model thinks of people: to see whether it finds them, and foretells others."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """One reviewer: Davidson ties, a liking for one side, careless answers; see ``feedback.reviewers``."""

    slope: float = 1.0
    """beta: logit for one unit of true return."""
    lapse: float = 0.1
    """epsilon: share of careless answers, a third of them each of A, tie and B."""
    side_bias: float = 0.0
    """b: logit that the ride on the left gets."""
    tie_weight: float = 0.3
    """Davidson's nu."""

    def __post_init__(self) -> None:
        if not (self.slope >= 0 and 0 <= self.lapse <= 1 and self.tie_weight >= 0):
            raise ConfigError(f"Planted got {asdict(self)}, expected slope and tie_weight of at least 0 and a lapse in [0, 1]")

    def chances(self, advantage: Floats, left: Floats) -> Floats:
        """How likely A, tie and B are.

        Args:
            advantage: True return of the first ride less that of the second, (P,).
            left: 1 where the first ride is on the left, -1 where it is on the right, (P,).

        Returns:
            (P, 3).
        """
        half = 0.5 * (self.slope * advantage + self.side_bias * left)
        top = np.abs(half)
        weights = np.stack((np.exp(half - top), self.tie_weight * np.exp(-top), np.exp(-half - top)), 1)
        chances: Floats = (1.0 - self.lapse) * weights / weights.sum(1, keepdims=True) + self.lapse / 3.0
        return chances


def planted_panel(count: int, seed: int = 0, slope: float = 1.0) -> tuple[Planted, ...]:
    """Draw a panel such as people may make: log beta ~ N(log slope, 0.5), epsilon ~ Beta(1, 9), b ~ N(0, 0.7).

    Args:
        count: How many reviewers.
        seed: Draws them.
        slope: Logit for one unit of true return, of the usual reviewer.
    """
    random = np.random.default_rng(seed)
    steep, careless, side = slope * np.exp(random.normal(0, 0.5, count)), random.beta(1, 9, count), random.normal(0, 0.7, count)
    return tuple(Planted(float(a), float(b), float(c)) for a, b, c in zip(steep, careless, side, strict=True))
