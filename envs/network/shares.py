"""Shares of worlds on several threads, for work that is several kernels in turn: the highway's team of threads, called from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.traffic.atomics import CHUNK, DONE, END, NEXT, await_all, fetch_add, take
from envs.traffic.team import team_of
from sensors.jit import kernel

Job = Callable[[int, int], None]
WORTH_WAKING_US = 500.0
"""Less work than this is done sooner by one thread."""


@kernel(nogil=True)
def _open(share: Any, bell: Any, portion: int) -> None:
    """Set how many worlds are taken at once, and call the others."""
    share[CHUNK] = portion
    fetch_add(bell, 0, 1)


@kernel(nogil=True)
def _take(share: Any) -> Any:
    """The first and the end world of a portion, equal when none are left."""
    return take(share)


@kernel(nogil=True)
def _note(share: Any, count: int) -> None:
    """Say that some worlds are done."""
    fetch_add(share, DONE, count)


@kernel(nogil=True)
def _wait(share: Any) -> None:
    """Wait until all are."""
    await_all(share)


def over_shares(job: Job, worlds: int, threads: int) -> None:
    """Call ``job(first, end)`` for shares of worlds 0 to ``worlds`` on some threads; its kernels release the interpreter's lock.

    Whatever a share raises is raised here, once all have ended.
    """
    if min(threads, worlds) <= 1:
        job(0, worlds)
        return
    failures: list[BaseException] = []

    def part(share: Any, bell: Any) -> None:
        if len(bell) > 0:
            _open(share, bell, -(-int(share[END] - share[NEXT]) // threads))
        first, end = _take(share)
        while first < end:
            try:
                job(int(first), int(end))
            except BaseException as error:  # a thread that ends early would be waited for in vain
                failures.append(error)
            _note(share, end - first)
            first, end = _take(share)
        if len(bell) > 0:
            _wait(share)

    team_of(threads).run(part, 0, worlds)
    if failures:
        raise failures[0]
