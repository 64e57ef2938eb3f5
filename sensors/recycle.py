"""Memory for large frames, used again once nobody holds it: fresh pages cost as much as drawing a tenth of the picture."""

from __future__ import annotations

import sys
import threading

import numpy as np
from numpy.typing import NDArray

KEPT = 8
"""Blocks that are kept for the next call."""
SMALLEST = 1 << 18
"""Smaller ones [bytes] are left to the allocator, which keeps those itself."""
LINE = 64
"""Large blocks begin at a cache line, which vector code does not straddle then."""

_blocks: list[NDArray[np.uint8]] = []
_lock = threading.Lock()


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


def _aligned(block: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    skipped = -block.ctypes.data % LINE
    return block[skipped : skipped + size]
