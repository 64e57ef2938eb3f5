"""What a radar is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sensors.errors import ConfigError
from sensors.mount import Mount, check_timing


@dataclass(frozen=True)
class Radar:
    """An automotive radar that reports point detections."""

    name: str
    mount: Mount = field(default_factory=Mount)
    detections: int = 32
    horizontal_fov_rad: float = math.radians(120.0)
    max_range_m: float = 150.0
    noise: bool = True
    """False: every visible scatterer is detected, exactly measured, and nothing else."""
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""

    def __post_init__(self) -> None:
        check_timing(f"radar {self.name!r}", self.rate_hz, self.latency_s)
        if self.detections < 1 or not self.max_range_m > 0.0:
            raise ConfigError(f"radar {self.name!r} has {self.detections} detections to {self.max_range_m} m, expected more than 0")
        if not 0.0 < self.horizontal_fov_rad <= 2 * math.pi:
            raise ConfigError(f"radar {self.name!r} has a field of view of {self.horizontal_fov_rad} rad, expected 0 to 2 pi")
