"""Memory for frames that is used again: fresh pages cost the operating system's zeroing, which can take as long as the rendering."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_BYTES = 1 << 18
"""Smaller arrays come from numpy's own allocator, which keeps them itself."""
KEPT_BYTES = 1 << 28
"""Most that is kept for later."""

_free: dict[int, list[NDArray[np.uint8]]] = {}
_kept = [0]


def _give_back(buffer: NDArray[np.uint8]) -> None:
    if _kept[0] + buffer.nbytes <= KEPT_BYTES:
        _kept[0] += buffer.nbytes
        _free.setdefault(buffer.nbytes, []).append(buffer)


def reused(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of any content, in memory that goes back to a shelf when the array dies.

    It dies with the last tensor made of it by ``torch.from_numpy``. Make no numpy view of it that outlives it: such a view holds the
    memory, not the array.

    Args:
        shape: Of the array.
        dtype: Of its numbers.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size < SMALLEST_BYTES:
        return np.empty(shape, dtype)
    try:
        buffer = _free[size].pop()
        _kept[0] -= size
    except (KeyError, IndexError):
        buffer = np.empty(size, np.uint8)
    array: NDArray[Any] = buffer.view(dtype).reshape(shape)
    weakref.finalize(array, _give_back, buffer).atexit = False
    return array
