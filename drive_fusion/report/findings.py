"""What a study's figures support, in sentences; nothing is claimed that an interval does not exclude."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959964


@dataclass(frozen=True)
class Difference:
    """A paired difference over the same seeds, with its 95 % interval (normal approximation of the mean)."""

    mean: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0.0 or self.high < 0.0


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """First minus second, seed by seed, each (N,), N >= 2."""
    delta = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    half = Z95 * float(delta.std(ddof=1)) / math.sqrt(len(delta))
    mean = float(delta.mean())
    return Difference(mean, mean - half, mean + half)


def _compared(name: str, other: str, what: str, unit: str, difference: Difference, digits: int) -> str:
    interval = f"[{difference.low:+.{digits}f}, {difference.high:+.{digits}f}] {unit}"
    if not difference.shown:
        return f"No difference in {what} between {name} and {other} is shown: {difference.mean:+.{digits}f} {interval} contains zero."
    fewer = "fewer" if what == "crashes" else "less"
    more = "more" if difference.mean > 0 else fewer
    return f"{name} has {more} {what} than {other}: {difference.mean:+.{digits}f} {interval}."


def driver_findings(drivers: Sequence[dict[str, Any]], name: str, others: Sequence[str]) -> list[str]:
    """Compare a driver with others on the same seeds.

    Args:
        drivers: Rows of the evaluation, each with ``name`` and ``per_seed`` of ``crashed`` and ``progress_m``.
        name: The driver in question.
        others: Names to compare it with; those without a row are passed over.

    Returns:
        Two sentences for each other driver: crashes, then progress.
    """
    rows = {row["name"]: row["per_seed"] for row in drivers}
    sentences = []
    for other in others:
        if other not in rows or name not in rows:
            continue
        crashes = paired(np.asarray(rows[name]["crashed"], float) * 100, np.asarray(rows[other]["crashed"], float) * 100)
        progress = paired(rows[name]["progress_m"], rows[other]["progress_m"])
        sentences.append(_compared(name, other, "crashes", "percentage points", crashes, 1))
        sentences.append(_compared(name, other, "progress", "m an episode", progress, 0))
    return sentences
