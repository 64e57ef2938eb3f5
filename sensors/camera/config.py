"""What a camera is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sensors.errors import ConfigError
from sensors.mount import Mount, check_timing


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels."""

    name: str
    mount: Mount = field(default_factory=Mount)
    height_px: int = 24
    width_px: int = 48
    horizontal_fov_rad: float = math.radians(70.0)
    noise: bool = True
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""

    def __post_init__(self) -> None:
        check_timing(f"camera {self.name!r}", self.rate_hz, self.latency_s)
        if self.height_px < 1 or self.width_px < 1:
            raise ConfigError(f"camera {self.name!r} is {self.height_px} x {self.width_px} pixels, expected at least 1 x 1")
        if not 0.0 < self.horizontal_fov_rad < math.pi:
            raise ConfigError(
                f"camera {self.name!r} has a horizontal field of view of {self.horizontal_fov_rad} rad, expected 0 to pi exclusive"
            )

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.width_px / math.tan(0.5 * self.horizontal_fov_rad)
