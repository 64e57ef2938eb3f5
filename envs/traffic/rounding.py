"""GPU code that rounds as CPU code does: numba-cuda lets NVVM fuse products and sums, which CPU kernels round twice.

With that off, and the square roots and divisions that are exact anyway, a kernel without transcendental functions gives the CPU's very
numbers; the fast mode has none but an arctangent that nothing depends on.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def rounded_as_on_cpus() -> Iterator[None]:
    """Compile kernels without fusing products and sums by themselves, as long as this lasts; those compiled before stay as they are.

    numba-cuda has no option for it, but hands the options of NVVM through one function; in its simulator there is no such function.
    """
    nvvm: Any = importlib.import_module("numba.cuda.cudadrv.nvvm")
    compile_ir = getattr(nvvm, "compile_ir", None)
    if compile_ir is None:
        yield
        return
    nvvm.compile_ir = functools.partial(compile_ir, fma=False)
    try:
        yield
    finally:
        nvvm.compile_ir = compile_ir
