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

MOST_WORLDS = 100_000_000


def as_array(values: Any, name: str) -> NDArray[Any]:
    """See a tensor, array or sequence of plain numbers as a NumPy array.

    Raises:
        ConfigError: It is none of them, or ragged.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{name}: {error}") from None
    if array.dtype.kind not in "biufc":
        raise ConfigError(f"{name} are {type(values).__name__} {in_short(values)}, expected numbers")
    return array


def in_short(value: Any) -> str:
    """A value on one line of at most 40 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


def by_agent(values: Any, name: str) -> NDArray[Any]:
    """Stack a tuple of N agents' arrays (B, ...) as (B, N, ...).

    Raises:
        ConfigError: They have no worlds, or differ in shape.
    """
    each = [as_array(own, name) for own in values]
    if not each or each[0].ndim == 0 or any(own.shape != each[0].shape for own in each):
        raise ConfigError(
            f"{name} have shapes {', '.join(str(own.shape) for own in each)}, expected one array of all worlds for each agent"
        )
    return np.stack(each, 1)


def checked_seed(seed: Any) -> int:
    """Give a seed back.

    Raises:
        ConfigError: It is no whole number from 0 to 2**63 - 1.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ConfigError(f"reset: seed {in_short(seed)}, expected whole numbers of at least 0 and below 2**63, or None")
    return int(seed)


def checked_worlds(num_worlds: object) -> int:
    """Give a number of worlds back.

    Raises:
        ConfigError: It is not a whole number of at least 1.
    """
    if not isinstance(num_worlds, (int, np.integer)) or isinstance(num_worlds, bool) or num_worlds < 1:
        raise ConfigError(f"num_worlds is {in_short(num_worlds)}, expected a whole number of at least 1")
    if num_worlds > MOST_WORLDS:
        raise ConfigError(f"num_worlds is {num_worlds}, expected at most {MOST_WORLDS}")
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
