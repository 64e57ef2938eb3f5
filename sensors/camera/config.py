"""What a camera is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sensors.errors import ConfigError
from sensors.mount import Mount, check_counts, check_timing


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels."""

    name: str
    mount: Mount = field(default_factory=Mount)
    height_px: int = 24
    width_px: int = 48
    horizontal_fov_rad: float = math.radians(70.0)
    noise: bool = True
    noise_level: float = 1.0
    """Factor on the standard deviation of the sensor's noise, 0 to 10."""
    exposure_ev: float = 0.0
    """Stops added to the automatic exposure, -4 to 4; brighter pictures are bought with gain, and so with noise."""
    shutter_s: float = 0.01
    """How long the shutter is open, 0.0001 to 0.1: the length of the streaks of rain and snow, and of motion blur."""
    looks: int = 1
    """Instants averaged while the shutter is open, an odd number up to 99; 1: no motion blur. Each costs most of a picture."""
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""

    def __post_init__(self) -> None:
        check_timing(f"camera {self.name!r}", self.rate_hz, self.latency_s)
        check_counts(f"camera {self.name!r}", height_px=self.height_px, width_px=self.width_px)
        if self.height_px < 1 or self.width_px < 1:
            raise ConfigError(f"camera {self.name!r} is {self.height_px} x {self.width_px} pixels, expected at least 1 x 1")
        if self.looks not in range(1, 100, 2):
            raise ConfigError(f"camera {self.name!r} has looks {self.looks}, expected an odd number from 1 to 99")
        if not 0.0 < self.horizontal_fov_rad < math.pi:
            raise ConfigError(
                f"camera {self.name!r} has a horizontal field of view of {self.horizontal_fov_rad} rad, expected 0 to pi exclusive"
            )

        for name, low, high in (("noise_level", 0.0, 10.0), ("exposure_ev", -4.0, 4.0), ("shutter_s", 1e-4, 0.1)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"camera {self.name!r} has {name} {getattr(self, name)}, expected {low:g} to {high:g}")

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.width_px / math.tan(0.5 * self.horizontal_fov_rad)
