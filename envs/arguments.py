"""Checks of what people hand to a world: devices, counts, masks, actions."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.device import device_named
from sensors.errors import ConfigError


def as_array(values: Any, name: str) -> NDArray[Any]:
    """See a tensor, array or sequence of plain numbers as a NumPy array.

    Raises:
        ConfigError: It is none of them, or ragged.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def checked_worlds(num_worlds: object) -> int:
    """Give a number of worlds back.

    Raises:
        ConfigError: It is not a whole number of at least 1.
    """
    if not isinstance(num_worlds, (int, np.integer)) or isinstance(num_worlds, bool) or num_worlds < 1:
        raise ConfigError(f"num_worlds is {num_worlds!r}, expected a whole number of at least 1")
    return int(num_worlds)


def checked_threads(num_threads: int | None) -> int:
    """How many threads to step on.

    Raises:
        ConfigError: More than numba started with, or fewer than 1.
    """
    import numba

    most = int(numba.config.NUMBA_NUM_THREADS)
    if num_threads is None:
        return most
    if not isinstance(num_threads, int) or isinstance(num_threads, bool) or not 1 <= num_threads <= most:
        raise ConfigError(f"num_threads is {num_threads!r}, expected 1 to {most} (this machine has {os.cpu_count()} cores)")
    return num_threads


def resolve_device(device: str | torch.device, announce: str | None) -> torch.device:
    """Find the device that scenes are put on.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"``, or a torch device.
        announce: Whose choice ``"auto"`` is, printed in one line to stderr; None prints nothing.

    Raises:
        ConfigError: No such device, or no GPU here.
    """
    chosen = device_named(device)
    if announce and str(device) == "auto":
        print(f"{announce}: device auto is {chosen}", file=sys.stderr)
    return chosen
