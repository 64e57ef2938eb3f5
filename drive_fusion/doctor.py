"""``drive-fusion doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from sensors.errors import ConfigError, DriveFusionError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class DoctorConfig:
    """Options of ``drive-fusion doctor``."""

    strict: bool = False
    """Exit with 1 when an optional part is missing, too."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    status: str
    """``ok``, ``missing`` (something needs it) or ``absent`` (only an extra needs it)."""
    detail: str


def _packages() -> Finding:
    names = ("torch", "numba", "gymnasium", "highway-env", "stable-baselines3", "numpy")
    try:
        return Finding("packages", "ok", ", ".join(f"{name} {version(name)}" for name in names))
    except PackageNotFoundError as error:
        return Finding("packages", "missing", f"{error.name} is not installed; pip install -c constraints.txt -e .")


def _threads() -> Finding:
    import numba

    import_module("sensors.jit")
    try:
        numba.njit(parallel=True)(lambda: None)
        numba.set_num_threads(1)
        from numba.np.ufunc.parallel import _launch_threads  # numba offers no public way to start its pool early

        _launch_threads()
    except ValueError:
        detail = "numba finds no thread-safe threading layer; Debian: apt-get install libgomp1 libtbb12"
        return Finding("threads", "missing", detail)
    return Finding("threads", "ok", f"{numba.threading_layer()}, {os.cpu_count()} cores")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("device", "ok", f"cuda: {torch.cuda.get_device_name()}")
    return Finding("device", "ok", "cpu (no CUDA device; everything runs, training is slower)")


def _open3d() -> Finding:
    from sensors.clouds.library import open3d

    try:
        open3d()
    except ConfigError as error:
        return Finding("open3d", "absent", f"point clouds and one test oracle need it: {error}")
    return Finding("open3d", "ok", version("open3d"))


def _browser() -> Finding:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        return Finding("browser", "absent", "the browser tests need Chromium; Debian: apt-get install chromium")
    return Finding("browser", "ok", path)


def _video() -> Finding:
    import av

    try:
        av.codec.Codec("libx264", "w")
    except Exception as error:  # PyAV's error classes differ between versions
        return Finding("video", "missing", f"PyAV {version('av')} cannot write H.264 ({error}); pip install --force-reinstall av")
    return Finding("video", "ok", f"PyAV {version('av')} with libx264")


def _cache() -> Finding:
    from sensors.jit import cache_parent

    try:
        folder = cache_parent()
    except OSError as error:
        return Finding("cache", "missing", str(error))
    compiled = sum(1 for _ in folder.rglob("*.nbc"))
    return Finding("cache", "ok", f"{folder} ({compiled} compiled kernels; the first run compiles for a minute)")


def _worlds() -> Finding:
    from envs.ids import IDS
    from envs.network.choice import is_native

    native = [id for id in IDS if is_native(id)]
    others = [id for id in IDS if id not in native]
    rest = f"; through highway-env itself: {', '.join(others)}" if others else ""
    return Finding("worlds", "ok", f"native: {len(native)} of {len(IDS)} ids, {', '.join(native)}{rest}")


CHECKS: tuple[Callable[[], Finding], ...] = (_packages, _threads, _device, _open3d, _browser, _video, _cache, _worlds)


def findings() -> list[Finding]:
    """Look at everything; a check that breaks is itself a finding."""
    found = [Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")]
    for check in CHECKS:
        name = check.__name__.removeprefix("_")
        try:
            found.append(check())
        except (ImportError, OSError, DriveFusionError) as error:
            found.append(Finding(name, "missing", f"{type(error).__name__}: {error}"))
    return found


def run_doctor(config: DoctorConfig) -> int:
    """Print the findings; 1 when something needed is missing."""
    found = findings()
    width = max(len(finding.name) for finding in found)
    for finding in found:
        print(f"{finding.name:<{width}}  {finding.status:<7}  {finding.detail}")
    bad = {"missing", "absent"} if config.strict else {"missing"}
    return int(any(finding.status in bad for finding in found))
