"""The straight highway lent to the general kernels for a decision: they take hands on the wheel, and give the same numbers otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.network.engine import NetworkEngine
from envs.network.layout import BY_COMMAND, BY_IDM
from envs.traffic import layout as highway
from envs.traffic.layout import LANE_WIDTH_M, NOBODY


class General:
    """An engine of general kernels that steps a highway's records."""

    def __init__(self, id: str, num_worlds: int, config: Mapping[str, Any]) -> None:
        """Make the engine, and let it place its own cars once: that fills in what the highway's records lack."""
        self.engine = NetworkEngine(id, num_worlds, config)
        self.engine.renew(np.zeros(num_worlds, np.int64), np.ones(num_worlds, np.bool_))
        self.stepping = False
        """Are its records the present ones?"""

    def take(self, cars: NDArray[Any], episodes: NDArray[Any], targets_mps: NDArray[np.float64]) -> None:
        """Copy the highway's records, (B, A) and (B,)."""
        mine = self.engine.cars
        for name in _shared(cars, mine):
            mine[name] = cars[name]
        for name in _shared(episodes, self.engine.episodes):
            self.engine.episodes[name] = episodes[name]
        mine["driver"] = np.where(cars["autonomous"], BY_IDM, BY_COMMAND)
        mine["pushed"] = cars["impact_partner"] != NOBODY
        mine["run_m"], mine["offset_m"] = cars["x_m"], cars["y_m"] - LANE_WIDTH_M * cars["lane"]
        mine["speed_index"] = np.abs(cars["target_speed_mps"][..., None] - targets_mps).argmin(-1)
        self.stepping = True

    def give_back(self, cars: NDArray[Any], episodes: NDArray[Any]) -> None:
        """Copy the records back."""
        cars[:] = highway_cars(self.engine.cars)
        for name in _shared(episodes, self.engine.episodes):
            episodes[name] = self.engine.episodes[name]


def highway_cars(general: NDArray[Any]) -> NDArray[Any]:
    """General records as the highway's, (B, A); what it derives is left at zero."""
    cars = np.zeros(general.shape, highway.CAR)
    for name in _shared(cars, general):
        cars[name] = general[name]
    cars["autonomous"] = general["driver"] == BY_IDM
    cars["impact_partner"] = np.where(general["pushed"], 0, NOBODY)
    return cars


def _shared(first: NDArray[Any], second: NDArray[Any]) -> tuple[str, ...]:
    """Fields that both kinds of records have."""
    return tuple(name for name in first.dtype.names or () if name in (second.dtype.names or ()))
