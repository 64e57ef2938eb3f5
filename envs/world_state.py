"""A snapshot of native worlds: plain arrays, so that it can be kept in any file and is checked when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import Settings
from envs.engine import Engine, Observations
from sensors.errors import ConfigError

NOBODY = -1
COUNTERS = ("seed", "substeps", "decisions", "appeared", "road_steps", "clock_s")


@dataclass(frozen=True)
class WorldState:
    """Everything that B native worlds need to go on identically."""

    id: str
    config: Settings
    cars: NDArray[Any]  # (B, A) records
    episodes: NDArray[Any]  # (B,) records, PCG64 states included
    kept: Observations = field(default_factory=dict)
    """The present observation, of ids whose observation cannot be made again."""

    @property
    def num_worlds(self) -> int:
        """B."""
        return len(self.cars)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """One contiguous array for every field, named ``cars.*`` (B, A), ``episodes.*`` (B,) and ``kept.*`` (B, ...)."""
        tables = {"cars": self.cars, "episodes": self.episodes}
        fields = {
            f"{table}.{name}": np.ascontiguousarray(records[name])
            for table, records in tables.items()  # one field after the other
            for name in records.dtype.names or ()
        }
        return fields | {f"kept.{name}": values for name, values in self.kept.items()}

    @staticmethod
    def of_arrays(id: str, config: Settings, arrays: Mapping[str, NDArray[Any]]) -> WorldState:
        """Put ``arrays()`` together again.

        Raises:
            ConfigError: An array is missing, or has another shape or type.
        """
        if "cars.x_m" not in arrays or arrays["cars.x_m"].ndim != 2:
            raise ConfigError("world state: array 'cars.x_m' (B, A) is missing; was this written by WorldState.arrays()?")
        shape: tuple[int, ...] = arrays["cars.x_m"].shape
        cars, episodes = (np.zeros(size, dtype) for size, dtype in zip((shape, shape[0]), _record_dtypes(arrays), strict=True))
        for table, records in (("cars", cars), ("episodes", episodes)):
            for name in records.dtype.names or ():
                records[name] = _checked(f"{table}.{name}", arrays, records[name])
        kept = {key.removeprefix("kept."): values for key, values in arrays.items() if key.startswith("kept.")}
        return WorldState(id, config, cars, episodes, kept)


def _record_dtypes(arrays: Mapping[str, NDArray[Any]]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The records of the highway's kernels, or of the general ones."""
    if "cars.driver" in arrays:
        from envs.network.layout import CAR, EPISODE

        return CAR, EPISODE
    from envs.traffic import layout

    return layout.CAR, layout.EPISODE


def _checked(name: str, arrays: Mapping[str, NDArray[Any]], like: NDArray[Any]) -> NDArray[Any]:
    if name not in arrays:
        raise ConfigError(f"world state: array {name!r} is missing; the state is truncated or of another version")
    got = arrays[name]
    if got.shape != like.shape or got.dtype != like.dtype:
        raise ConfigError(f"world state: {name} is {got.dtype} {got.shape}, expected {like.dtype} {like.shape}")
    return got


def check_state(state: object, id: str, config: Settings, engine: Engine) -> WorldState:
    """Make sure that a state belongs to a world before any of it is taken over.

    Args:
        state: What was handed in.
        id: The world's id.
        config: Its complete settings.
        engine: What will step it.

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
    _check_shapes(state, engine)
    for name in state.cars.dtype.names or ():
        if state.cars.dtype[name].kind == "f" and not np.isfinite(state.cars[name]).all():
            raise ConfigError(f"load: {name} of the state holds NaN or infinity")
    _check_episodes(state.episodes)
    known = (state.episodes["action"] >= NOBODY) & (state.episodes["action"] < (engine.num_actions or 1))
    if not known.all() or not (state.episodes["increment_low"] & np.uint64(1)).all():
        raise ConfigError("load: the state's actions or generators are not ones that a world can have")
    engine.check(state.cars, state.episodes)
    return state


def _check_episodes(episodes: NDArray[Any]) -> None:
    """Clocks and actions are finite, and what counts is not below 0."""
    for name in episodes.dtype.names or ():
        if episodes.dtype[name].kind == "f" and not np.isfinite(episodes[name]).all():
            raise ConfigError(f"load: {name} of the state holds NaN or infinity")
        if name in COUNTERS and (episodes[name] < 0).any():
            raise ConfigError(f"load: {name} of the state is {int(episodes[name].min())}, expected at least 0")


def _check_shapes(state: WorldState, engine: Engine) -> None:
    """Compare the arrays with the engine's own; a world may have made more room for actors since, or less."""
    actors = state.cars.shape[1] if state.cars.ndim == 2 and engine.may_grow else engine.cars.shape[1]
    expected = [(engine.cars.dtype, (state.num_worlds, actors)), (engine.episodes.dtype, (state.num_worlds,))]
    for records, (dtype, shape) in zip((state.cars, state.episodes), expected, strict=True):
        if records.dtype != dtype or records.shape != shape:
            raise ConfigError(f"load: the state holds records of shape {records.shape}, expected {shape}; it is truncated or foreign")
    like = {name: (values.dtype, (state.num_worlds, *values.shape[1:])) for name, values in engine.kept_like().items()}
    if {name: (values.dtype, values.shape) for name, values in state.kept.items()} != like:
        raise ConfigError(f"load: the state's observations are {sorted(state.kept)}, expected {sorted(like)} of its number of worlds")
