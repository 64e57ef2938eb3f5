"""Somebody else at the wheel: a person or a script that drives actors by acceleration and steering, at every substep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.engine import Hands
from sensors.errors import ConfigError
from sensors.scene import Scene

MOST = 1e6
"""The largest control that is taken [m/s2 or rad]; no wheel turns so far."""


@dataclass(frozen=True)
class Override:
    """Who is driven by hand, and how, in any action space."""

    where: Tensor
    """bool (B,) for the egos (of several agents the first) of some worlds, or (B, A) for any actors of the scene."""
    acceleration_mps2: Tensor
    """Shaped as ``where``, or with a row for every substep of the decision before it: (S, B), (S, B, A)."""
    steering_rad: Tensor
    """The same; positive to the left."""


Drivers = Override | Callable[[Scene], Override | None] | None
"""An override for a whole decision, or a function that is asked before every substep."""


def hands_of(drivers: Drivers, world: Any) -> Hands | Callable[[int], Hands] | None:
    """Check who drives, and put it as the engine takes it.

    Args:
        drivers: What was handed in.
        world: The world.

    Raises:
        ConfigError: Of another kind, shape or type, or numbers that are not finite.
    """
    if drivers is None:
        return None
    if isinstance(drivers, Override):
        return _hands(drivers, world.scene, world.substeps_per_step)
    if not callable(drivers):
        raise ConfigError(f"override is a {type(drivers).__name__}, expected an envs.Override or a function from a scene to one")

    def ask(substep: int) -> Hands:
        scene = world.present_scene()
        given = drivers(scene)
        if given is None:
            return Hands(np.zeros(scene.valid.shape, np.bool_), np.zeros((world.substeps_per_step, *scene.valid.shape, 2)))
        return _hands(given, scene, world.substeps_per_step)

    return ask


def _hands(override: Override, scene: Scene, substeps: int) -> Hands:
    where = torch.as_tensor(override.where).cpu()
    worlds, actors = scene.valid.shape
    if where.dtype != torch.bool or tuple(where.shape) not in ((worlds,), (worlds, actors)):
        raise ConfigError(f"override: where is {where.dtype} {tuple(where.shape)}, expected bool ({worlds},) or ({worlds}, {actors})")
    chosen = np.zeros((worlds, actors), np.bool_)
    chosen[:, : 1 if where.ndim == 1 else actors] = where.reshape(worlds, -1).numpy()
    if (chosen & ~scene.valid.cpu().numpy()).any():
        raise ConfigError("override: where chooses actors that are not there (scene.valid is False)")
    controls = np.zeros((substeps, worlds, actors, 2))
    for place, name in enumerate(("acceleration_mps2", "steering_rad")):
        controls[..., : 1 if where.ndim == 1 else actors, place] = _numbers(name, getattr(override, name), tuple(where.shape), substeps)
    return Hands(chosen, controls)


def _numbers(name: str, values: Any, shape: tuple[int, ...], substeps: int) -> NDArray[np.float64]:
    """One kind of control for every substep, (S, B, 1 or A)."""
    array = torch.as_tensor(values).detach().cpu().double().numpy()
    if array.shape not in (shape, (substeps, *shape)):
        raise ConfigError(f"override: {name} has shape {array.shape}, expected {shape} or {(substeps, *shape)}")
    if not np.isfinite(array).all():
        raise ConfigError(f"override: {name} holds NaN or infinity, expected finite numbers")
    if np.abs(array).max(initial=0.0) > MOST:
        raise ConfigError(f"override: {name} reaches {np.abs(array).max():.3g}, expected at most {MOST:.0e}: beyond that speeds overflow")
    rows = np.broadcast_to(array, (substeps, *shape))
    return rows[..., None] if len(shape) == 1 else rows
