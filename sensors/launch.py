"""Running a kernel over many worlds on several threads.

The kernel releases the interpreter's lock and takes the first and the end world of its share. This compiles each kernel once, where a
``prange`` around a large one compiles it several times over; the shares do not touch each other, so results do not depend on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def over_worlds(kernel: Callable[..., None], worlds: int, *arguments: Any) -> None:
    """Call ``kernel(first, end, *arguments)`` for shares of worlds 0 to ``worlds`` on as many threads as numba may use."""
    threads = min(numba.get_num_threads(), worlds)
    if threads <= 1:
        kernel(0, worlds, *arguments)
        return
    edges = [worlds * k // threads for k in range(threads + 1)]
    pool = _pool(numba.get_num_threads())
    waiting = [pool.submit(kernel, first, end, *arguments) for first, end in zip(edges, edges[1:], strict=False)]
    for job in waiting:
        job.result()
