"""open3d, loaded when it is needed: it is large, and on a bare machine it lacks system libraries."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sensors.errors import ConfigError

PACKAGES = "libusb-1.0-0 libgl1 libegl1 libgomp1 libx11-6"
"""What open3d's wheel links and a bare Debian lacks."""


def open3d() -> Any:
    """The library.

    Raises:
        ConfigError: It is not installed, or a system library is missing; the message says which and what to install.
    """
    try:
        return import_module("open3d")
    except (ImportError, OSError) as error:
        line = (str(error).splitlines() or ["no reason given"])[0]
        raise ConfigError(f"open3d does not load: {line}; on Debian: apt-get install {PACKAGES}") from error
