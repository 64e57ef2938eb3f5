"""Threads that step worlds together and are there at once.

A thread that sleeps takes some 50 us to wake, as long as a few worlds take to step. So after work a team's threads listen for the
next call for a moment before they sleep, and worlds are taken in small portions by whoever is there; the caller takes part. Worlds do
not touch each other, so results do not depend on who steps which.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.traffic.atomics import listen, share_of

PATIENCE = 100
"""Little waits before a thread goes to sleep, about 0.1 ms together."""

SILENT = np.zeros(0, np.int64)
"""A bell that calls nobody."""

Job = tuple[Callable[..., None], tuple[Any, ...]]


class Team:
    """Some threads beside the one that calls."""

    def __init__(self, helpers: int) -> None:
        """Start the threads; they end with the interpreter."""
        self._bell = np.zeros(1, np.int64)
        self._job: Job | None = None
        self._is_busy = threading.Lock()
        self._asleep: set[int] = set()
        self._beds = [threading.Lock() for _ in range(helpers)]
        for number, bed in enumerate(self._beds):
            bed.acquire()
            threading.Thread(target=self._help, args=(number,), name=f"worlds-{number}", daemon=True).start()

    def _help(self, number: int) -> None:
        heard = 0
        while True:
            rung = listen(self._bell, heard, PATIENCE)
            if rung == heard and self._bell[0] == heard:  # nothing runs between this look and the next line: it is one thread's turn
                self._asleep.add(number)
                self._beds[number].acquire()
                continue
            heard = int(self._bell[0])
            job = self._job
            if job is not None:
                job[0](*job[1])

    def run(self, kernel: Callable[..., None], first: int, end: int, *arguments: Any) -> None:
        """Call ``kernel(share, bell, *arguments)`` on all threads; the kernel rings the bell, takes worlds, and waits for the others."""
        threads = len(self._beds) + 1
        if not self._is_busy.acquire(blocking=False):  # another thread's call: do this one alone
            threads = 1
        try:
            share = share_of(first, end, threads)
            if threads > 1:
                self._job = (kernel, (share, SILENT, *arguments))
                for number in tuple(self._asleep):
                    self._asleep.discard(number)
                    self._beds[number].release()
            kernel(share, self._bell if threads > 1 else SILENT, *arguments)
        finally:
            if threads > 1:
                self._job = None
                self._is_busy.release()


@functools.cache
def team_of(threads: int) -> Team:
    """The team of so many threads, the caller included."""
    return Team(threads - 1)


def over_threads(kernel: Callable[..., None], worlds: int, threads: int, *arguments: Any) -> None:
    """Call ``kernel(share, bell, *arguments)`` for worlds 0 to ``worlds`` on some threads."""
    if min(threads, worlds) <= 1:
        kernel(share_of(0, worlds, 1), SILENT, *arguments)
    else:
        team_of(threads).run(kernel, 0, worlds, *arguments)
