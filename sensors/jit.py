"""How kernels are compiled: one numba setting for the whole project, and a cache that cannot go stale.

numba keeps a caller's old machine code when a function it calls in another file changes, so the cache folder is named by a
hash of every source file that may hold a kernel.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
from numba.core import config

KERNEL_PACKAGES = ("sensors", "envs")


def source_hash(folders: list[Path]) -> str:
    """Hash every Python file below some folders, by relative name and content; hex, 16 characters."""
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _kernel_folders() -> list[Path]:
    """Where the packages that hold kernels lie, without importing them."""
    folders = []
    for package in KERNEL_PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            folders.append(Path(next(iter(spec.submodule_search_locations))))
    return folders


def cache_folder() -> Path:
    """Choose a writable folder for compiled kernels, keyed by their sources.

    ``DRIVE_FUSION_CACHE`` names the parent; otherwise the user's cache folder, or the temporary one where that is read-only.
    """
    home_cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parents = [home_cache / "drive-fusion", Path(tempfile.gettempdir()) / f"drive-fusion-{os.getuid()}"]
    if "DRIVE_FUSION_CACHE" in os.environ:
        parents.insert(0, Path(os.environ["DRIVE_FUSION_CACHE"]))
    key = source_hash(_kernel_folders())
    for parent in parents:
        folder = parent / "numba" / key
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


if "NUMBA_CACHE_DIR" not in os.environ:
    config.CACHE_DIR = str(cache_folder())
if config.THREADING_LAYER == "default":
    offer_tbb()
    config.THREADING_LAYER = "threadsafe"  # workqueue aborts when two Python threads launch kernels


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with the project's settings: cached, numpy's division, no fastmath unless asked.

    Args:
        options: Passed on to ``numba.njit``, e.g. ``parallel=True`` or ``fastmath={"contract"}``.
    """
    settings: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": False} | options
    decorate: Callable[[Callable[..., Any]], Any] = numba.njit(**settings)
    return decorate
