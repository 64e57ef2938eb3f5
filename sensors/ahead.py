"""Fetching memory that is about to be written: large frames lie outside of the near caches, and a store to them waits for its line."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import config, types
from numba.core.imputils import impl_ret_untracked
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

LINE = 64
"""Bytes of a cache line."""


def _fetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of an element of a contiguous array, to be written; no index is too large, as nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(prefetch, [place, number(1), number(3), number(1)])  # for writing, to the nearest cache, data
        return impl_ret_untracked(context, builder, signature.return_type, context.get_dummy_value())

    return types.void(array, index), generate


def _nothing(array: Any, index: int) -> None:
    """Plain Python has no say in this."""


fetch_line = _nothing if config.DISABLE_JIT else intrinsic(_fetch)
