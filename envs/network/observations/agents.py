"""What each of several agents sees (MultiAgentObservation): one agent's observation, made again for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.network.observations.observer import EVERY_WORLD, Observer
from sensors.prepared import prepared


@dataclass(frozen=True)
class AgentsObserver(Observer):
    """Writes one kind of observation for every agent of a world; arrays have an axis of N agents after that of the worlds."""

    agents: int = 1

    @staticmethod
    def of(one: Observer, agents: int) -> AgentsObserver:
        """Make it from the observer of one agent."""
        parts = {name: ((agents, *shape), dtype) for name, (shape, dtype) in one.parts.items()}
        return AgentsObserver(parts, one.kernel, one.settings, one.draws, agents)

    def prepared(
        self, cars: NDArray[np.void], episodes: NDArray[np.void], where: NDArray[np.bool_] = EVERY_WORLD
    ) -> Callable[[tuple[NDArray[Any], ...]], None]:
        """See ``Observer.prepared``."""
        mine = tuple(self._of_one(len(cars)).values())
        look = prepared(self.kernel, 0, len(cars), where, cars, episodes, *self.settings, mine)

        def observe(arrays: tuple[NDArray[Any], ...]) -> None:
            rows = slice(None) if len(where) == 0 else np.flatnonzero(where)
            for agent in self._one_by_one(episodes):
                look()
                for values, every in zip(mine, arrays, strict=True):
                    every[rows, agent] = values[rows]

        return observe

    def _of_one(self, worlds: int) -> dict[str, NDArray[Any]]:
        """Arrays for one agent of each world."""
        return {name: np.zeros((worlds, *shape[1:]), dtype) for name, (shape, dtype) in self.parts.items()}

    def _one_by_one(self, episodes: NDArray[np.void]) -> Iterator[int]:
        """Count the agents, each in the ego's place for the while."""
        first = episodes["ego"].copy()
        try:
            for agent in range(self.agents):
                episodes["ego"] = first + agent
                yield agent
        finally:
            episodes["ego"] = first

    def write(
        self,
        first: int,
        end: int,
        where: NDArray[np.bool_] | None,
        cars: NDArray[np.void],
        episodes: NDArray[np.void],
        out: dict[str, NDArray[Any]],
    ) -> None:
        """See ``Observer.write``; agents look one after the other, as highway-env's do, each in the ego's place for the while."""
        rows = slice(first, end) if where is None else first + np.flatnonzero(where[first:end])
        mine = self._of_one(len(episodes))
        for agent in self._one_by_one(episodes):
            super().write(first, end, where, cars, episodes, mine)
            for name, values in mine.items():
                out[name][rows, agent] = values[rows]
