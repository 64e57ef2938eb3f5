"""Small arrays on a kernel's own stack, on a CPU as on a GPU: GPUs have no heap for kernels, and a CPU's is slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import from_dtype
from numpy.typing import DTypeLike

from envs.traffic.elementary import in_python


def on_stack(shape: tuple[int, ...], dtype: DTypeLike) -> Callable[[], Any]:
    """Make a function that gives an array of a fixed shape, not filled, which lasts until the kernel that calls it returns.

    Args:
        shape: Its shape.
        dtype: Of its elements; records are allowed.
    """
    kind = np.dtype(dtype)
    element = from_dtype(kind)
    array_type = types.Array(element, len(shape), "C")
    strides = tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) * kind.itemsize for axis in range(len(shape)))

    def typed(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            words = ir.ArrayType(ir.IntType(64), (strides[0] * shape[0] + 7) // 8)
            place = cgutils.alloca_once(builder, words)
            array = context.make_array(array_type)(context, builder)
            whole = context.get_value_type(types.intp)
            array.data = builder.bitcast(place, array.data.type)
            array.shape = cgutils.pack_array(builder, [whole(length) for length in shape])
            array.strides = cgutils.pack_array(builder, [whole(stride) for stride in strides])
            array.itemsize = whole(kind.itemsize)
            array.nitems = whole(int(np.prod(shape)))
            array.meminfo = cgutils.get_null_value(array.meminfo.type)
            array.parent = cgutils.get_null_value(array.parent.type)
            return array._getvalue()

        return array_type(), generate

    with_names = np.dtype((np.record, kind)) if kind.names else kind  # Python reads fields of such records as kernels do
    room: Callable[[], Any] = in_python(lambda: np.empty(shape, with_names))(intrinsic(typed))
    return room
