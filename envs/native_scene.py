"""From the kernels' records to ``Scene``: y is flipped here, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.traffic.batch import hand_out
from envs.traffic.layout import LENGTH_M, WIDTH_M
from sensors.faults import Faults
from sensors.road import RoadMap
from sensors.scene import VEHICLE_HEIGHT_M, Kind, Scene, lights_of
from sensors.weather import Weather


class View:
    """How B native worlds of A actors are handed out; what never changes about their actors is shared by all scenes."""

    def __init__(self, shape: tuple[int, ...], actions: int, substep_s: float, device: torch.device, dtype: torch.dtype) -> None:
        """Prepare what all scenes share.

        Args:
            shape: (B, A).
            actions: How many actions there are.
            substep_s: Length of a simulation substep [s].
            device: Where scenes are put.
            dtype: Dtype of their floats.
        """
        self._substep_s, self._device = substep_s, device
        self._kind_of_float = np.dtype(np.float32 if dtype == torch.float32 else np.float64)
        self._size_m = torch.tensor((LENGTH_M, WIDTH_M, VEHICLE_HEIGHT_M), dtype=dtype, device=device).repeat(*shape, 1)
        self._kind = torch.full(shape, int(Kind.CAR), dtype=torch.int64, device=device)
        self._valid = torch.ones(shape, dtype=torch.bool, device=device)
        self._one_hot = torch.cat((torch.zeros(1, actions), torch.eye(actions))).to(device)  # row 0 is no action

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """Hand out an array that nobody will write again."""
        tensor = torch.from_numpy(array)
        return tensor if self._device.type == "cpu" else tensor.to(self._device)

    def floats(self, array: NDArray[Any]) -> Tensor:
        """Hand out a copy of an array in the world's dtype."""
        return self.tensor(array.astype(self._kind_of_float))

    def scene(
        self, cars: NDArray[Any], episodes: NDArray[Any], substeps: NDArray[np.int64], road: RoadMap, weather: Weather, faults: Faults
    ) -> Scene:
        """Make a scene.

        Args:
            cars: CAR records, (B, A).
            episodes: EPISODE records, (B,).
            substeps: Simulation substeps since reset, (B,).
            road: The road map.
            weather: The weather of every world.
            faults: The faults of every world.
        """
        kind = self._kind_of_float
        position, velocity, acceleration = (np.empty((*cars.shape, 2), kind) for _ in range(3))
        heading, yaw_rate, along, change = (np.empty(cars.shape, kind) for _ in range(4))
        hand_out(cars, position, heading, velocity, acceleration, yaw_rate, along, change)
        return Scene(
            position_m=self.tensor(position),
            heading_rad=self.tensor(heading),
            velocity_mps=self.tensor(velocity),
            acceleration_mps2=self.tensor(acceleration),
            yaw_rate_radps=self.tensor(yaw_rate),
            size_m=self._size_m,
            kind=self._kind,
            lights=lights_of(self.tensor(along), self.tensor(change)),
            crashed=self.tensor(cars["crashed"].copy()),
            valid=self._valid,
            road=road,
            weather=weather,
            faults=faults,
            time_s=self.floats(substeps * self._substep_s),
            episode_seed=self.tensor(episodes["seed"].copy()),
            step=self.tensor(substeps.copy()),
            action=self._one_hot[self.tensor(episodes["action"] + 1)],
        )
