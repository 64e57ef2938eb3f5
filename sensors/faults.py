"""What is wrong with which sensor, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from sensors.batch import Batch


class Modality(IntEnum):
    """The kinds of sensor, in the order in which masks and ages list them."""

    CAMERA = 0
    LIDAR = 1
    RADAR = 2


class FaultKind(IntEnum):
    """What is wrong with a sensor."""

    NONE = 0
    DEAD = 1


@dataclass(frozen=True)
class Faults(Batch):
    """Up to F faults a world; entry f of world b acts while ``start_step <= step < end_step``. All (B, F) int64."""

    kind: Tensor
    modality: Tensor
    index: Tensor
    """Which sensor of that modality in the rig; -1 is all of them."""
    severity: Tensor
    start_step: Tensor
    end_step: Tensor

    @classmethod
    def none(cls, num_worlds: int, device: str | torch.device = "cpu") -> Faults:
        """No fault at all: F = 0."""
        empty = torch.zeros((num_worlds, 0), dtype=torch.int64, device=device)
        return cls(empty, empty, empty, empty, empty, empty)

    @classmethod
    def dead(cls, num_worlds: int, modality: Modality, index: int = -1, device: str | torch.device = "cpu") -> Faults:
        """One sensor (or all of a modality) dead for the whole episode, in every world."""

        def full(value: int) -> Tensor:
            return torch.full((num_worlds, 1), value, dtype=torch.int64, device=device)

        return cls(full(FaultKind.DEAD), full(modality), full(index), full(1), full(0), full(2**31))
