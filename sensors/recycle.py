"""Memory for large frames, used again once nobody holds it: fresh pages cost as much as drawing a tenth of the picture."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 8
"""Blocks, and sets of arrays, that are kept for the next call."""
SMALLEST = 1 << 18
"""Smaller ones [bytes] are left to the allocator, which keeps those itself."""
LINE = 64
"""Large blocks begin at a cache line, which vector code does not straddle then."""

Arrays = tuple[NDArray[Any], ...]

_blocks: list[NDArray[np.uint8]] = []
_sets: list[tuple[Hashable, Arrays]] = []
_lock = threading.RLock()


def room(size: int) -> NDArray[np.uint8]:
    """Give ``size`` bytes that nobody else holds; what is in them is left from before.

    Arrays and tensors made from the result keep it taken for as long as any of them lives: each holds a reference to the block.
    """
    if size < SMALLEST:
        return np.empty(size, np.uint8)
    with _lock:
        for n in range(len(_blocks)):
            if len(_blocks[n]) == size + LINE and sys.getrefcount(_blocks[n]) == 2:  # the list's and this call's
                return _aligned(_blocks[n], size)
        block = np.empty(size + LINE, np.uint8)
        _blocks.append(block)
        del _blocks[:-KEPT]
        return _aligned(block, size)


def arrays(key: Hashable, make: Callable[[], Arrays]) -> Arrays:
    """Give arrays that nobody else holds; what is in them is left from before.

    Those that were made for the same key are given again once nothing made of them is left: a tensor of an array holds that very array,
    and an array of a tensor the tensor. Views of an array that are NumPy's own do not hold it, so that none may be handed out.

    Args:
        key: What they are for: their shapes and what else tells them from others.
        make: Makes them.
    """
    with _lock:
        for known, made in _sets:
            if known == key and not any(sys.getrefcount(part) > 3 for part in made):  # the set's, the loop's and this call's
                return tuple([*made])  # another tuple, so that its arrays are known to be held
        made = make()
        _sets.append((key, made))
        del _sets[:-KEPT]
        return tuple([*made])


def _aligned(block: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    skipped = -block.ctypes.data % LINE
    return block[skipped : skipped + size]
