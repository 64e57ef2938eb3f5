"""Timing on a machine that may be shared: processor time where one thread works, wall time else; best and median of repeats."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds that a job took."""

    best_s: float
    median_s: float

    def rate(self, name: str, amount: float) -> dict[str, float]:
        """Figures of so much done a second, by the best and by the median repeat."""
        return {name: amount / self.best_s, f"{name}_median": amount / self.median_s}

    def micros(self, name: str, parts: float) -> dict[str, float]:
        """Figures of microseconds for each of so many parts, by the best and by the median repeat."""
        return {name: 1e6 * self.best_s / parts, f"{name}_median": 1e6 * self.median_s / parts}


LEAST_S, MOST_REPEATS = 0.3, 200
"""Short jobs are repeated for so long, but no more often than this: a shared machine is quiet only now and then."""


def clocked(job: Callable[[], Any], repeats: int, threads: int = 1) -> Timing:
    """Time a job, as ``in_turns``."""
    return in_turns([job], repeats, threads)[0]


def in_turns(jobs: Sequence[Callable[[], Any]], repeats: int, threads: int = 1) -> list[Timing]:
    """Time jobs one after the other in every repeat, so that all meet the same machine, after one run each that does not count.

    With one thread the clock is the processor time of the process, which waiting for a core does not move; with more it is the wall's,
    which other work on the machine makes longer.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    for job in jobs:
        job()
    taken: list[list[float]] = [[] for _ in jobs]
    begin = time.perf_counter()
    while len(taken[0]) < repeats or (time.perf_counter() - begin < LEAST_S and len(taken[0]) < MOST_REPEATS):
        for job, seconds in zip(jobs, taken, strict=True):
            start = clock()
            job()
            seconds.append(clock() - start)
    return [Timing(min(seconds), statistics.median(seconds)) for seconds in taken]
