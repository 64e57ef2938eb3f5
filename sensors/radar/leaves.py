"""How the radar's small functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensors.jit import kernel


def leaf(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A kernel that allocates nothing and returns no array. numba then counts no references, an atomic for every array of every call."""
    return kernel(_nrt=False, **options)


def inlined(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A leaf that is always merged into its callers: a call passes every array as seven words, a tuple of ten arrays as seventy."""
    return leaf(forceinline=True, **options)
