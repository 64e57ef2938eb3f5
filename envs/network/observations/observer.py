"""What every kind of observation is to the engine: named arrays, and a kernel that writes those of a share of worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.prepared import prepared

Part = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape of one world and dtype."""

EVERY_WORLD: NDArray[np.bool_] = np.zeros(0, np.bool_)
"""A mask that the kernels take as no mask."""


@dataclass(frozen=True)
class Observer:
    """Writes one kind of observation. It remembers nothing: cars and episodes are all of the state."""

    parts: Mapping[str, Part]
    """Shape of one world and dtype of every array; the key of a plain array is empty."""
    kernel: Callable[..., None]
    """Takes first and end world, mask, cars, episodes, the settings, and the arrays as a tuple."""
    settings: tuple[Any, ...]
    draws: bool = False
    """Does an observation draw from the episode's generator? Then it must be written exactly once for every one of highway-env's."""

    def new(self, worlds: int) -> dict[str, NDArray[Any]]:
        """Arrays for some worlds, of zeros."""
        return {name: np.zeros((worlds, *shape), dtype) for name, (shape, dtype) in self.parts.items()}

    def prepared(
        self, cars: NDArray[np.void], episodes: NDArray[np.void], where: NDArray[np.bool_] = EVERY_WORLD
    ) -> Callable[[tuple[NDArray[Any], ...]], None]:
        """Give what writes the observations of worlds into such arrays as ``new`` makes; records and mask must not change place."""
        arrays = tuple(self.new(1).values())
        return prepared(self.kernel, 0, len(cars), where, cars, episodes, *self.settings, like=(arrays,))

    def write(
        self,
        first: int,
        end: int,
        where: NDArray[np.bool_] | None,
        cars: NDArray[np.void],
        episodes: NDArray[np.void],
        out: dict[str, NDArray[Any]],
    ) -> None:
        """Write the observations of the worlds from ``first`` to before ``end``; releases the interpreter's lock.

        Args:
            first: First world of the share.
            end: World after the last.
            where: Only these worlds, (B,); None for all.
            cars: CAR records, (B, A).
            episodes: EPISODE records, (B,); their generators move on where ``draws`` says so.
            out: Arrays as ``new`` makes them, for B worlds.
        """
        arrays = tuple(out[name] for name in self.parts)
        self.kernel(first, end, EVERY_WORLD if where is None else where, cars, episodes, *self.settings, arrays)
