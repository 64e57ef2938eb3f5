"""How kernels are compiled: one numba setting for the whole project, and a cache that cannot go stale.

numba keeps a caller's old machine code when a function it calls in another file changes, so its cache folder is named by
a hash of every source file that a kernel's module imports, in turn.
"""

from __future__ import annotations

import ast
import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
import numpy
from numba.core import config

from sensors.libm import answers

KERNEL_PACKAGES = ("sensors", "envs")


def _file_of(module: str) -> Path | None:
    """Where the source of one of our modules lies, without importing it."""
    if module.split(".")[0] not in KERNEL_PACKAGES:
        return None
    spec = find_spec(module.split(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(next(iter(spec.submodule_search_locations))).joinpath(*module.split(".")[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()), None)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Modules that a file names in the imports at its top."""
    names = []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def sources_of(module: str) -> list[Path]:
    """Every source file of ours that a module's kernels can draw code or constants from: its own and, in turn, what it imports."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _file_of(waiting.pop())
        if path is not None and path not in found:
            found.add(path)
            waiting += _imports(path)
    return sorted(found)


@cache
def source_hash(module: str) -> str:
    """Hash the sources that a module's kernels are made of; hex, 16 characters."""
    libraries = (os.environ.get("OPENBLAS_CORETYPE"), sorted(answers().items()))  # kernels round as NumPy and the C library do here
    built_for = (numba.__version__, numpy.__version__, libraries)
    digest = hashlib.sha256(repr(built_for).encode())
    for path in sources_of(module):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_parent() -> Path:
    """Choose a writable folder for compiled kernels.

    ``DRIVE_FUSION_CACHE`` names the parent; otherwise the user's cache folder, or the temporary one where that is read-only.
    """
    home_cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parents = [home_cache / "drive-fusion", Path(tempfile.gettempdir()) / f"drive-fusion-{os.getuid()}"]
    if "DRIVE_FUSION_CACHE" in os.environ:
        parents.insert(0, Path(os.environ["DRIVE_FUSION_CACHE"]))
    for parent in parents:
        folder = parent / "numba"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"no writable folder for compiled kernels; tried {', '.join(map(str, parents))}; set DRIVE_FUSION_CACHE")


def offer_tbb() -> None:
    """Load the TBB that came with the virtual environment, so that numba finds it where the system has neither TBB nor OpenMP."""
    library = Path(sys.prefix) / "lib" / "libtbb.so.12"
    if library.exists():
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


if config.THREADING_LAYER == "default":
    offer_tbb()
    config.THREADING_LAYER = "threadsafe"  # workqueue aborts when two Python threads launch kernels


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with the project's settings: cached, numpy's division, no fastmath unless asked.

    Args:
        options: Passed on to ``numba.njit``, e.g. ``parallel=True`` or ``fastmath={"contract"}``.
    """
    settings: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": False} | options

    def decorate(function: Callable[..., Any]) -> Any:
        config.CACHE_DIR = str(cache_parent() / source_hash(function.__module__))  # read when the function is decorated
        return numba.njit(**settings)(function)

    return decorate


def leaf(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A kernel that allocates nothing and returns no array. numba then counts no references, an atomic for every array of every call."""
    return kernel(_nrt=False, **options)


def inlined(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A leaf that is always merged into its callers: a call passes every array as seven words, a tuple of ten arrays as seventy."""
    return leaf(forceinline=True, **options)
