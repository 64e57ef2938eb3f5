"""Hamiltonian Monte Carlo for small smooth posteriors: several chains side by side, in numpy.

Neal 2011, "MCMC using Hamiltonian dynamics". Step size by dual averaging and one diagonal metric, both only while warming up
(Hoffman and Gelman 2014, section 3.2); the number of leapfrog steps is drawn anew each time, so that no orbit closes on itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Density = Callable[[Floats], tuple[Floats, Floats]]
"""Log-density and gradient of C points: (C, D) to (C,) and (C, D)."""

ACCEPTED = 0.8
"""Share of proposals to accept: the step size is set by it."""
MOST_LEAPS = 16
LARGEST_RHAT = 1.05
"""Chains whose variance differs by less than this factor (split R-hat) have met."""


@dataclass(frozen=True)
class Draws:
    """What was drawn."""

    values: Floats  # (N, D), all chains one after another
    rhat: Floats  # (D,) split R-hat of each coordinate

    @property
    def settled(self) -> bool:
        """Whether all chains tell the same."""
        return bool((self.rhat < LARGEST_RHAT).all())


def draw(density: Density, start: Floats, warm_up: int, draws: int, seed: int) -> Draws:
    """Draw from a density.

    Args:
        density: Log-density and gradient.
        start: Where each chain starts, (C, D).
        warm_up: Moves that only find step size and metric.
        draws: Moves that count.
        seed: Of everything that is drawn.
    """
    random = np.random.default_rng(seed)
    chains, size = start.shape
    place, metric = start.copy(), np.ones(size)
    value, slope = density(place)
    step, sure, average, total, tuned = 0.1, 0.1, 0.0, 0.0, 0
    seen: list[Floats] = []
    kept: list[Floats] = []
    windows = {warm_up // 4, warm_up // 2, (3 * warm_up) // 4}
    for move in range(warm_up + draws):
        warming = move < warm_up
        length = (step if warming else sure) * random.uniform(0.8, 1.2)
        place, value, slope, accepted = _move(density, place, value, slope, length, metric, random)
        if warming:
            tuned += 1
            average += (ACCEPTED - accepted - average) / (tuned + 10)
            step = math.exp(math.log(0.5) - math.sqrt(tuned) / 0.05 * average)
            weight = tuned**-0.75
            total = weight * math.log(step) + (1 - weight) * total
            sure = math.exp(total)
            seen.append(place)
            if move in windows:
                metric = _metric(np.concatenate(seen[len(seen) // 2 :]))
                average, total, tuned, seen = 0.0, math.log(step), 0, seen[-1:]
        else:
            kept.append(place)
    table = np.stack(kept, 1)  # (C, N, D)
    return Draws(table.reshape(-1, size), split_rhat(table))


def _metric(points: Floats) -> Floats:
    """Variance of each coordinate, drawn a little to the geometric mean of all, since it comes of few points."""
    variance = points.var(0) + 1e-8
    share = len(points) / (len(points) + 20.0)
    blended: Floats = np.exp(share * np.log(variance) + (1 - share) * np.log(variance).mean())
    return blended


def _move(
    density: Density, place: Floats, value: Floats, slope: Floats, length: float, metric: Floats, random: np.random.Generator
) -> tuple[Floats, Floats, Floats, float]:
    """One proposal in every chain, accepted or not; gives the new state and the mean chance of acceptance."""
    push = random.standard_normal(place.shape) / np.sqrt(metric)
    energy = value - 0.5 * (push**2 * metric).sum(1)
    there, turn = place, slope
    for _ in range(random.integers(MOST_LEAPS // 2, MOST_LEAPS + 1)):
        push = push + 0.5 * length * turn
        there = there + length * metric * push
        told, turn = density(there)
        push = push + 0.5 * length * turn
    gain = told - 0.5 * (push**2 * metric).sum(1) - energy
    chance = np.exp(np.minimum(np.nan_to_num(gain, nan=-np.inf), 0.0))
    take = random.uniform(size=len(place)) < chance
    return np.where(take[:, None], there, place), np.where(take, told, value), np.where(take[:, None], turn, slope), float(chance.mean())


def split_rhat(table: Floats) -> Floats:
    """Potential scale reduction of draws (C, N, D), each chain parted in halves (Gelman et al. 2013, section 11.4), (D,)."""
    half = table.shape[1] // 2
    parts = np.concatenate((table[:, :half], table[:, -half:]))
    within = parts.var(1, ddof=1).mean(0)
    between = parts.mean(1).var(0, ddof=1)
    ratio: Floats = np.sqrt((half - 1) / half + between / np.maximum(within, 1e-300))
    return ratio
