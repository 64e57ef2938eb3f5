"""One thread or several: whichever stepped the worlds sooner of late. Results do not depend on it."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 4
"""Decisions on one thread, and as many on several, that are compared."""
PERIOD = 1024
"""Decisions until they are compared again: worlds fill and machines get busy."""
WORTH = 0.9
"""Several threads must take less than this share of one thread's time: they take it from others."""


class Pace:
    """Chooses for one batch of worlds."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._count = 0
        self._least_s = [0.0, 0.0]
        """On one thread, on several; since the last comparison began."""
        self._shares = False

    def run(self, threads: int, work: Callable[[int], None]) -> None:
        """Call ``work(number of threads)`` with 1, or with ``threads`` where that is worth it."""
        if threads <= 1:
            work(1)
            return
        place = self._count % PERIOD
        self._count += 1
        if place >= 2 * TRIES:
            work(threads if self._shares else 1)
            return
        shares = place % 2
        start = time.perf_counter()
        work(threads if shares else 1)
        spent = time.perf_counter() - start
        self._least_s[shares] = spent if place < 2 else min(self._least_s[shares], spent)
        if place == 2 * TRIES - 1:
            self._shares = self._least_s[1] < WORTH * self._least_s[0]
