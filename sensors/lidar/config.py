"""What a lidar is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sensors.errors import ConfigError
from sensors.mount import Mount, check_timing


@dataclass(frozen=True)
class Lidar:
    """A spinning lidar, every beam at every column of one turn.

    Column c looks to azimuth 2 pi (c + 0.5) / columns, from ahead to the left.
    """

    name: str
    mount: Mount = field(default_factory=Mount)
    elevations_rad: tuple[float, ...] = ()
    columns: int = 64
    max_range_m: float = 80.0
    range_noise_m: float = 0.02
    """Standard deviation along the beam; 0 switches all of the lidar's noise off."""
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""

    def __post_init__(self) -> None:
        check_timing(f"lidar {self.name!r}", self.rate_hz, self.latency_s)
        if not self.elevations_rad or self.columns < 1:
            raise ConfigError(f"lidar {self.name!r} has no rays: {len(self.elevations_rad)} beams x {self.columns} columns")
        if any(b <= a for a, b in zip(self.elevations_rad, self.elevations_rad[1:], strict=False)):
            raise ConfigError(f"lidar {self.name!r} needs rising elevations, got {self.elevations_rad}")
        if not max(map(abs, self.elevations_rad)) < math.pi / 2:
            raise ConfigError(f"lidar {self.name!r} has a beam at or beyond the vertical")
        if not self.max_range_m > 0.0 or not self.range_noise_m >= 0.0:
            raise ConfigError(f"lidar {self.name!r}: max_range_m {self.max_range_m} must be > 0, range_noise_m {self.range_noise_m} >= 0")

    @property
    def beams(self) -> int:
        """Number of beams."""
        return len(self.elevations_rad)
