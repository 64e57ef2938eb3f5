"""The scene: everything that moves, as arrays, at one instant, in B worlds with room for A actors each.

Frames are ISO 8855: x forward, y left, z up, right-handed, headings counter-clockwise. Actor 0 is the ego. An actor's position is
the centre of its footprint on the ground; its box rises from z = 0 to its height.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag

import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.road import RoadMap
from sensors.weather import Weather

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
