"""The scene: everything that moves, as arrays, at one instant, in B worlds with room for A actors each.

Frames are ISO 8855: x forward, y left, z up, right-handed, headings counter-clockwise. Actor 0 is the ego. An actor's position is
the centre of its footprint on the ground; its box rises from z = 0 to its height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum, IntFlag
from typing import Any, Self

import torch
from torch import Tensor

from sensors.errors import ConfigError
from sensors.road import RoadMap

BRAKE_LIGHT_MPS2 = -0.4
VEHICLE_HEIGHT_M = 1.5


class Kind(IntEnum):
    """What an actor is."""

    CAR = 0
    TRUCK = 1
    OBSTACLE = 2


class Light(IntFlag):
    """Lights that are on, as bits of ``Scene.lights``."""

    BRAKE = 1
    LEFT = 2
    RIGHT = 4


class Modality(IntEnum):
    """The kinds of sensor, in the order in which masks and ages list them."""

    CAMERA = 0
    LIDAR = 1
    RADAR = 2


class FaultKind(IntEnum):
    """What is wrong with a sensor."""

    NONE = 0
    DEAD = 1


class Batch:
    """A frozen dataclass of tensors whose first dimension is the world."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor that has a world dimension; nested batches too, shared objects not."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = function(value)
            elif isinstance(value, Batch):
                changed[field.name] = value.map(function)
        return replace(self, **changed)  # type: ignore[type-var]

    def select(self, worlds: Tensor | slice | Sequence[int]) -> Self:
        """Take some worlds: indices (N,), a mask (B,), or a slice; the dimension stays."""
        index = worlds if isinstance(worlds, (Tensor, slice)) else torch.as_tensor(worlds)
        return self.map(lambda tensor: tensor[index])

    def to(self, device: str | torch.device) -> Self:
        """Move to a device."""
        return self.map(lambda tensor: tensor.to(device))

    def clone(self) -> Self:
        """Copy every tensor, so that a world that goes on cannot change what was kept."""
        return self.map(Tensor.clone)

    def merge(self, other: Self, where: Tensor) -> Self:
        """Take worlds from ``other`` where the mask (B,) is set, from here elsewhere."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, Tensor):
                mask = where.reshape(-1, *[1] * (mine.ndim - 1))
                changed[field.name] = torch.where(mask, theirs, mine)
            elif isinstance(mine, Batch):
                changed[field.name] = mine.merge(theirs, where)
        return replace(self, **changed)  # type: ignore[type-var]

    @classmethod
    def cat(cls, batches: Sequence[Self]) -> Self:
        """Join batches along the world dimension; shared objects (the road) are the first one's."""
        first = batches[0]
        changed: dict[str, Any] = {}
        for field in fields(first):  # type: ignore[arg-type]
            value = getattr(first, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = torch.cat([getattr(batch, field.name) for batch in batches])
            elif isinstance(value, Batch):
                changed[field.name] = type(value).cat([getattr(batch, field.name) for batch in batches])
        return replace(first, **changed)  # type: ignore[type-var]


@dataclass(frozen=True)
class Weather(Batch):
    """Light and air, one value a world, each (B,) float32."""

    sun_elevation_rad: Tensor
    sun_azimuth_rad: Tensor
    visibility_m: Tensor
    """Distance at which contrast falls to 2 % (Koschmieder: exp(-3.912 d / V))."""

    @classmethod
    def clear(cls, num_worlds: int, device: str | torch.device = "cpu") -> Weather:
        """A bright day: sun at 50 degrees, 20 km visibility."""

        def full(value: float) -> Tensor:
            return torch.full((num_worlds,), value, dtype=torch.float32, device=device)

        return cls(full(0.87), full(0.6), full(20_000.0))


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


@dataclass(frozen=True)
class Scene(Batch):
    """B worlds of A actors; see the module's text for frames. Floats share one dtype (the world's)."""

    position_m: Tensor  # (B, A, 2)
    heading_rad: Tensor  # (B, A)
    velocity_mps: Tensor  # (B, A, 2)
    acceleration_mps2: Tensor  # (B, A, 2)
    yaw_rate_radps: Tensor  # (B, A)
    size_m: Tensor  # (B, A, 3) length, width, height
    kind: Tensor  # (B, A) int64, a Kind
    lights: Tensor  # (B, A) int64, bits of Light
    crashed: Tensor  # (B, A) bool
    valid: Tensor  # (B, A) bool
    road: RoadMap
    weather: Weather
    faults: Faults
    time_s: Tensor  # (B,) runs on within an episode
    episode_seed: Tensor  # (B,) int64
    step: Tensor  # (B,) int64, simulation substeps since reset
    action: Tensor  # (B, C) float32, the ego's last action: one-hot of a discrete one, else the numbers; 0 at reset

    def __post_init__(self) -> None:
        worlds, actors = self.valid.shape
        expected = {
            "position_m": (worlds, actors, 2),
            "velocity_mps": (worlds, actors, 2),
            "acceleration_mps2": (worlds, actors, 2),
            "size_m": (worlds, actors, 3),
            **{name: (worlds, actors) for name in ("heading_rad", "yaw_rate_radps", "kind", "lights", "crashed")},
            **{name: (worlds,) for name in ("time_s", "episode_seed", "step")},
        }
        for name, shape in expected.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ConfigError(f"Scene.{name} has shape {got}, expected {shape} as in Scene.valid")

    @property
    def num_worlds(self) -> int:
        """B."""
        return int(self.valid.shape[0])

    @property
    def num_actors(self) -> int:
        """A: room for actors; ``valid`` says which are there."""
        return int(self.valid.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.valid.device

    @property
    def speed_mps(self) -> Tensor:
        """Signed speed along the heading, (B, A)."""
        direction = torch.stack((self.heading_rad.cos(), self.heading_rad.sin()), -1)
        return (self.velocity_mps * direction).sum(-1)

    def with_faults(self, faults: Faults) -> Scene:
        """The same scene with other faults."""
        return replace(self, faults=faults)

    def with_weather(self, weather: Weather) -> Scene:
        """The same scene in other weather."""
        return replace(self, weather=weather)


def lights_of(acceleration_long_mps2: Tensor, lane_change: Tensor) -> Tensor:
    """Say which lights a driver shows.

    Args:
        acceleration_long_mps2: Acceleration along the heading, (B, A).
        lane_change: -1 while moving to the right lane, +1 to the left, 0 else, (B, A).

    Returns:
        Bits of ``Light``, (B, A) int64.
    """
    brake = (acceleration_long_mps2 < BRAKE_LIGHT_MPS2).long() * int(Light.BRAKE)
    return brake + (lane_change > 0).long() * int(Light.LEFT) + (lane_change < 0).long() * int(Light.RIGHT)
