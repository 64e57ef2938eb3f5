"""Parts of the vectorised gymnasium environment: checks of what it is given, infos in gymnasium's format, states joined by world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from envs.arguments import checked_seed
from sensors.errors import ConfigError, unknown_name

Bools = NDArray[np.bool_]


def checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Give the mode, by itself, its name (``"SAME_STEP"``) or gymnasium's value (``"SameStep"``).

    Raises:
        ConfigError: There is no such mode.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    known = {one.name: one for one in AutoresetMode} | {one.value: one for one in AutoresetMode}
    if mode not in known:
        raise unknown_name("autoreset_mode", str(mode), known)
    return known[mode]


def checked_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """One seed a world, as gymnasium reads them.

    Raises:
        ConfigError: Another number of seeds than worlds, or one that is no whole number of at least 0.
    """
    if seed is None:
        return [None] * num_envs
    one_for_all = isinstance(seed, (int, float, np.number))
    given: list[Any] = [seed + index for index in range(num_envs)] if one_for_all else list(seed)  # type: ignore[operator, arg-type]
    if len(given) != num_envs:
        raise ConfigError(f"reset: got {len(given)} seeds for {num_envs} worlds, expected one each, or one number for all")
    return [None if one is None else checked_seed(one) for one in given]


def checked_options(options: Mapping[str, Any] | None, num_envs: int) -> Bools:
    """Which worlds to reset, (B,).

    Raises:
        ConfigError: Another option than ``reset_mask``, or a mask that gymnasium would refuse.
    """
    for name in options or {}:
        if name != "reset_mask":
            raise unknown_name("reset option", str(name), ("reset_mask",))
    if not options:
        return np.ones(num_envs, np.bool_)
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ConfigError(f"reset: options['reset_mask'] is {got}, expected a NumPy array of bool ({num_envs},)")
    if not mask.any():
        raise ConfigError("reset: options['reset_mask'] chooses no world; leave the reset out")
    return mask


def masked(values: Mapping[str, Any], where: Bools) -> dict[str, Any]:
    """Infos in gymnasium's vector format: every array beside a mask ``_name``, zero where the mask is not set.

    Args:
        values: Arrays (B, ...), or mappings of them, of all worlds.
        where: Which worlds tell them, (B,).

    Returns:
        Nothing at all where no world tells anything.
    """
    if not where.any():
        return {}
    infos: dict[str, Any] = {}
    for name, value in values.items():
        infos[name] = masked(value, where) if isinstance(value, Mapping) else _zeroed(value, where)
        infos[f"_{name}"] = where.copy()
    return infos


def _zeroed(values: NDArray[Any], where: Bools) -> NDArray[Any]:
    """An array (B, ...) that is zero where the mask is not set."""
    return np.where(where.reshape(-1, *(1,) * (values.ndim - 1)), values, np.zeros((), values.dtype))


def in_rows(some: Any, where: Bools) -> Any:
    """Spread observations (N, ...) of the worlds in a mask over (B, ...); the others' rows are zero."""
    if isinstance(some, Mapping):
        return {key: in_rows(value, where) for key, value in some.items()}
    if isinstance(some, tuple):
        return tuple(in_rows(part, where) for part in some)
    rows = np.zeros((len(where), *some.shape[1:]), some.dtype)
    rows[where] = some
    return rows


def joined_states(state: Any, other: Any, where: Bools) -> Any:
    """A world's state that is ``other``'s in the masked worlds and ``state``'s elsewhere.

    Args:
        state: A dataclass or mapping whose arrays, tensors and tuples of B entries hold one entry a world.
        other: Another of the same worlds.
        where: Which worlds come from ``other``, (B,).
    """
    if is_dataclass(state) and not isinstance(state, type):
        changed = {field.name: joined_states(getattr(state, field.name), getattr(other, field.name), where) for field in fields(state)}
        return replace(state, **changed)
    if isinstance(state, Mapping):
        return {name: joined_states(value, other[name], where) for name, value in state.items()}
    if isinstance(state, Tensor) and state.ndim and len(state) == len(where):
        chosen = torch.from_numpy(where).to(state.device)
        joined = state.clone()
        joined[chosen] = other[chosen]
        return joined
    if isinstance(state, np.ndarray) and state.ndim and len(state) == len(where):
        copied = state.copy()
        copied[where] = other[where]
        return copied
    if isinstance(state, tuple) and len(state) == len(where):
        return tuple(theirs if chosen else mine for mine, theirs, chosen in zip(state, other, where, strict=True))
    return state
