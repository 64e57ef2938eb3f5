"""95 % intervals: Wilson's for rates, the bootstrap for means and for paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959963984540054
RESAMPLES, RUN_RESAMPLES = 4000, 2000


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 1, scale: float = 1.0) -> str:
        """As ``644.1 [641.9, 646.2]``, after multiplying by ``scale``."""
        value, low, high = (f"{scale * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def wilson(successes: int, trials: int) -> Estimate:
    """A rate with Wilson's score interval (Wilson 1927), which stays inside [0, 1] and is right near its ends.

    Args:
        successes: How often it happened.
        trials: Out of how many, at least 1.
    """
    rate = successes / trials
    centre = rate + Z95**2 / (2 * trials)
    spread = Z95 * math.sqrt(rate * (1 - rate) / trials + Z95**2 / (4 * trials**2))
    below = 1 + Z95**2 / trials
    low = 0.0 if successes == 0 else (centre - spread) / below
    high = 1.0 if successes == trials else (centre + spread) / below
    return Estimate(rate, low, high)


def mean(values: ArrayLike) -> Estimate:
    """A mean with its percentile bootstrap interval (Efron 1979), the same every time for the same values."""
    numbers = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng(0).integers(0, len(numbers), (RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(1), (2.5, 97.5))
    return Estimate(float(numbers.mean()), float(low), float(high))


def paired_difference(ours: ArrayLike, theirs: ArrayLike) -> Estimate:
    """Mean of ours minus theirs over the same seeds, with its interval; excluding zero is a difference."""
    return mean(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64))


def runs_and_episodes(runs: int, episodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of R training runs and of E episodes each resampling takes, (RUN_RESAMPLES, R) and (RUN_RESAMPLES, E); the same every time."""
    random = np.random.default_rng(0)
    return random.integers(0, runs, (RUN_RESAMPLES, runs)), random.integers(0, episodes, (RUN_RESAMPLES, episodes))


def over_runs(values: ArrayLike) -> Estimate:
    """A mean over training runs and episodes (R, E) with a bootstrap interval over both: another training, other traffic."""
    numbers = np.asarray(values, dtype=np.float64)
    means = [numbers[np.ix_(run, episode)].mean() for run, episode in zip(*runs_and_episodes(*numbers.shape), strict=True)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(numbers.mean()), float(low), float(high))
