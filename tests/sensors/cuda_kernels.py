"""How the sensors' CUDA kernels are tested without a GPU: in numba's simulator, and compiled to PTX for an H200 (sm_90)."""

import importlib.util
import os
from pathlib import Path

import pytest

from sensors.jit import cache_parent, source_hash
from tests.envs.cuda_scripts import PREPARE_COMPILER, python

PRINT_PTX = """
from importlib import import_module

kernel, arguments = import_module(sys.argv[1]).example(sys.argv[2])
ptx, _ = cuda.compile(kernel.py_func, types.void(*map(typeof, arguments)), device=False, cc=(9, 0), output="ptx", abi="numba")
print(ptx)
"""


def require_numba_cuda() -> None:
    """Skip the test that calls this where numba-cuda is not installed."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed (extra 'gpu' or 'test')")


def ptx_of(module: str, name: str) -> str:
    """PTX of a kernel, compiled once for the present sources.

    Args:
        module: Where ``example(name)`` gives a kernel and arguments (arrays on the host) that it could be launched with.
        name: Which one.
    """
    require_numba_cuda()
    kept = cache_parent() / source_hash(module) / f"{module}-{name}.ptx"
    if kept.exists():
        return kept.read_text()
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    done = python(PREPARE_COMPILER + PRINT_PTX, module, name, **({"CUDA_HOME": home} if Path(home).exists() else {}))
    if done.stderr.startswith("skip: "):
        if os.environ.get("DRIVE_FUSION_REQUIRE_ALL") == "1":
            pytest.fail(f"{done.stderr.strip()}; the wheel nvidia-nvvm of extra 'test' brings both")
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(done.stdout)
    return done.stdout
