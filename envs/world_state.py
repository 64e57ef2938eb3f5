"""A snapshot of native worlds: plain arrays, so that it can be kept in any file and is checked when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import Settings
from envs.traffic.layout import CAR, EPISODE, NOBODY, Rules
from sensors.errors import ConfigError

DERIVED = ("rank", "front")


@dataclass(frozen=True)
class WorldState:
    """Everything that B native worlds need to go on identically."""

    id: str
    config: Settings
    cars: NDArray[Any]  # (B, A) CAR records
    episodes: NDArray[Any]  # (B,) EPISODE records, PCG64 states included

    @property
    def num_worlds(self) -> int:
        """B."""
        return len(self.cars)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """One contiguous array for every field, named ``cars.*`` (B, A) and ``episodes.*`` (B,)."""
        tables = {"cars": (self.cars, CAR), "episodes": (self.episodes, EPISODE)}
        return {
            f"{table}.{name}": np.ascontiguousarray(records[name])
            for table, (records, dtype) in tables.items()
            for name in dtype.names or ()
            if name not in DERIVED
        }

    @staticmethod
    def of_arrays(id: str, config: Settings, arrays: Mapping[str, NDArray[Any]]) -> WorldState:
        """Put ``arrays()`` together again.

        Raises:
            ConfigError: An array is missing, or has another shape or type.
        """
        if "cars.x_m" not in arrays or arrays["cars.x_m"].ndim != 2:
            raise ConfigError("world state: array 'cars.x_m' (B, A) is missing; was this written by WorldState.arrays()?")
        shape: tuple[int, ...] = arrays["cars.x_m"].shape
        cars, episodes = np.zeros(shape, CAR), np.zeros(shape[0], EPISODE)
        for table, records in (("cars", cars), ("episodes", episodes)):
            for name in records.dtype.names or ():
                if name not in DERIVED:
                    records[name] = _checked(f"{table}.{name}", arrays, records[name])
        return WorldState(id, config, cars, episodes)


def _checked(name: str, arrays: Mapping[str, NDArray[Any]], like: NDArray[Any]) -> NDArray[Any]:
    if name not in arrays:
        raise ConfigError(f"world state: array {name!r} is missing; the state is truncated or of another version")
    got = arrays[name]
    if got.shape != like.shape or got.dtype != like.dtype:
        raise ConfigError(f"world state: {name} is {got.dtype} {got.shape}, expected {like.dtype} {like.shape}")
    return got


def check_state(state: object, id: str, config: Settings, cars: int, rules: Rules) -> WorldState:
    """Make sure that a state belongs to a world before any of it is taken over.

    Args:
        state: What was handed in.
        id: The world's id.
        config: Its complete settings.
        cars: A, its actors.
        rules: Its rules.

    Raises:
        ConfigError: The state is of another kind, id or configuration, is truncated, or holds impossible numbers.
    """
    if not isinstance(state, WorldState):
        raise ConfigError(f"load: got a {type(state).__name__}, expected the WorldState that state() or fork() of {id} gives")
    if state.id != id:
        raise ConfigError(f"load: the state is of {state.id}, expected {id}")
    if state.config != config:
        keys = sorted(key for key in config.keys() | state.config.keys() if config.get(key) != state.config.get(key))
        raise ConfigError(f"load: the state was made with other settings: {', '.join(keys)}; build the world with the state's config")
    tables = ((state.cars, CAR, (state.num_worlds, cars)), (state.episodes, EPISODE, (state.num_worlds,)))
    for records, dtype, shape in tables:
        if records.dtype != dtype or records.shape != shape:
            raise ConfigError(f"load: the state holds records of shape {records.shape}, expected {shape}; it is truncated or foreign")
    _check_numbers(state, rules)
    return state


def _check_numbers(state: WorldState, rules: Rules) -> None:
    for name in CAR.names or ():
        if CAR[name].kind == "f" and not np.isfinite(state.cars[name]).all():
            raise ConfigError(f"load: {name} of the state holds NaN or infinity")
    for name in ("lane", "target_lane"):
        if not ((state.cars[name] >= 0) & (state.cars[name] < rules.lanes)).all():
            raise ConfigError(f"load: {name} of the state is outside 0 to {rules.lanes - 1}")
    if not (state.episodes["action"] >= NOBODY).all() or not (state.episodes["increment_low"] & np.uint64(1)).all():
        raise ConfigError("load: the state's actions or generators are not ones that a world can have")
