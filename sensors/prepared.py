"""Kernels called without numba's look at every argument's type, which takes longer than a few worlds take to step or to scan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from numba import config


class Memory:
    """A record for a prepared kernel: NumPy would describe all its fields to numba anew at each call, which takes 5 us."""

    def __init__(self, record: np.record) -> None:
        """See the bytes of a record; numba reads them through ``data``."""
        self.data = np.frombuffer(record, np.uint8)


def compiled(kernel: Callable[..., Any], *like: Any) -> Callable[..., Any]:
    """Give what numba calls for arguments of some types, compiled or loaded from the cache.

    Types are not looked at again: arguments must have those of ``like``, arrays the same dtype and number of dimensions, writable and
    contiguous; records go through ``lasting``.

    Args:
        kernel: What ``sensors.jit.kernel`` made.
        like: Arguments by examples.
    """
    if config.DISABLE_JIT:
        return kernel
    entry: Callable[..., Any] = kernel.compile(tuple(numba.typeof(argument) for argument in like))  # type: ignore[attr-defined]
    return entry


def lasting(*arguments: Any) -> tuple[Any, ...]:
    """Arguments that are handed to a compiled kernel again and again; records among them must not change place."""
    return tuple(Memory(one) if isinstance(one, np.record) and not config.DISABLE_JIT else one for one in arguments)


def prepared(kernel: Callable[..., Any], *first: Any, like: tuple[Any, ...] = ()) -> Callable[..., Any]:
    """Give a compiled kernel, or a plain function, with its first arguments in place; those that follow have the types of ``like``."""
    if not hasattr(kernel, "compile"):
        return partial(kernel, *first)
    return partial(compiled(kernel, *first, *like), *lasting(*first))
