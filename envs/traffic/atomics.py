"""Numbers that threads share: added to and read without locks, by kernels that have released the interpreter's lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from envs.traffic.elementary import in_python
from sensors.jit import leaf

NEXT, END, CHUNK, DONE = range(4)
"""Places in a share: the next world that nobody steps yet, the end, how many to take at once, how many are done."""

POLLS = 100


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Where an element of an int64 array lies."""
    made = context.make_array(kind)(context, builder, value=array)
    return cgutils.get_item_pointer(context, builder, kind, made, [index], wraparound=False)


def _add_in_python(array: Any, index: int, value: int) -> int:
    before = int(array[index])
    array[index] += value
    return before


@in_python(_add_in_python)
@intrinsic
def fetch_add(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Add to an element of an int64 array in one step that no thread can come between; gives what was there before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.atomic_rmw("add", pointer, arguments[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), generate


@in_python(lambda array, index: int(array[index]))
@intrinsic
def read(typing: Any, array: Any, index: Any) -> Any:
    """Read an element of an int64 array that other threads write."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load_atomic(pointer, "acquire", 8, typ=ir.IntType(64))

    return types.int64(array, types.int64), generate


@leaf(inline="always")
def take(share: Any) -> Any:
    """Take some worlds out of a share: the first and the one after the last, which are equal when none are left."""
    first = min(fetch_add(share, NEXT, share[CHUNK]), share[END])
    return first, min(first + share[CHUNK], share[END])


_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@leaf()
def wait_a_little(array: Any, index: int, unlike: int) -> int:
    """Read an element up to POLLS times while it is still one value, then let another thread go first; gives what was read last."""
    for _ in range(POLLS):
        value = read(array, index)
        if value != unlike:
            return value
    _sched_yield()  # on a busy machine the thread that is waited for may need this very core
    return read(array, index)


@leaf(nogil=True)
def listen(bell: Any, heard: int, patience: int) -> int:
    """Wait until a bell, (1,) int64, is past what was heard; gives its state, the old one when patience (little waits) runs out."""
    for _ in range(patience):
        rung = wait_a_little(bell, 0, heard)
        if rung != heard:
            return rung
    return heard


@leaf()
def await_all(share: Any) -> None:
    """Wait until all worlds of a share are done."""
    done = read(share, DONE)
    while done < share[END]:
        done = wait_a_little(share, DONE, done)


def share_of(first: int, end: int, threads: int) -> NDArray[np.int64]:
    """Worlds to be taken by some threads, in portions so small that no thread waits long for another."""
    share = np.zeros(4, np.int64)
    share[NEXT], share[END], share[CHUNK] = first, end, max(1, (end - first) // (8 * threads)) if threads > 1 else end - first
    share[DONE] = first
    return share
