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
from numba.np.ufunc import parallel


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def usable_threads() -> int:
    """Give ``numba.get_num_threads()``, once numba has started its threads without its locks: 30 us when caches are cold."""
    count = getattr(parallel, "_get_num_threads", None)  # defined when the threads start
    return int(count()) if count is not None else int(numba.get_num_threads())


def over_worlds(kernel: Callable[..., None], worlds: int, *arguments: Any) -> None:
    """Call ``kernel(first, end, *arguments)`` for shares of worlds 0 to ``worlds`` on as many threads as numba may use."""
    threads = min(usable_threads(), worlds) if worlds > 1 else 1
    if threads <= 1:
        kernel(0, worlds, *arguments)
        return
    edges = [worlds * k // threads for k in range(threads + 1)]
    pool = _pool(usable_threads())
    waiting = [pool.submit(kernel, first, end, *arguments) for first, end in zip(edges, edges[1:], strict=False)]
    for job in waiting:
        job.result()
