"""What a lidar is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.mount import Mount, check_counts, check_timing

MAX_COLUMNS = 4096


@dataclass(frozen=True)
class Lidar:
    """A spinning lidar, every beam at every column of one turn.

    Column c looks to azimuth 2 pi (c + 0.5) / columns, from ahead to the left. The defaults are those of a good automotive lidar, whose
    turn takes no time; each term of its model can be set, and 0 switches it off. ``noise=False`` is an ideal detector.
    """

    name: str
    mount: Mount = field(default_factory=Mount)
    elevations_rad: tuple[float, ...] = ()
    columns: int = 64
    max_range_m: float = 80.0
    range_noise_m: float = 0.02
    """Standard deviation of a strong return along the beam."""
    noise: bool = True
    """False: an ideal detector, which returns whatever is within range, exactly; none of the terms below that say 'noise' act."""
    weak_noise_m: float = 0.03
    """Noise: standard deviation that is added (in squares) at the threshold; it falls with one over the power."""
    threshold_reflectivity: float = 0.1
    """Noise: reflectivity that, met head-on at maximum range in clear air, has the power of the threshold."""
    dropoff_rate: float = 0.005
    """Noise: share of returns that are lost whatever their power."""
    dropoff_at_threshold: bool = True
    """Noise: a return is kept with a chance of its power over the threshold less a half, from 0 to 1; False: at the threshold, sharp."""
    azimuth_noise_rad: float = 0.0002
    """Noise: standard deviation of a column's azimuth, by the encoder; all beams of a column are fired together."""
    elevation_noise_rad: float = 0.0002
    """Noise: standard deviation of a column's elevation at the horizon, by the bearing."""
    air_returns: bool = True
    """Noise: drops, flakes and fog send light back, and hide what is behind where theirs is stronger."""
    materials: bool = True
    """Glass, plates, reflectors and lane paint; False: one reflectivity for each part of an actor and for the ground."""
    lane_paint: bool | None = None
    """Lane paint among the materials; None: with noise alone. It changes the intensity, not the range, and looking for it takes an exact
    scan twice as long."""
    sweep_s: float = 0.0
    """Rolling scan: how long a turn takes. The last column is measured at the scene's time, the others before it, with the motion of ego
    and actors in between. 0: all columns at once."""
    fade_per_m: float | None = None
    """CARLA's attenuation: intensity is exp(-fade R), whatever is hit and in any weather; None: the range equation."""
    dropoff_intensity_limit: float = 0.8
    """CARLA's, with ``fade_per_m``: below this intensity returns are lost, linearly more the weaker they are."""
    dropoff_zero_intensity: float = 0.4
    """CARLA's, with ``fade_per_m``: share lost at intensity 0."""
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""

    def __post_init__(self) -> None:
        check_timing(f"lidar {self.name!r}", self.rate_hz, self.latency_s)
        object.__setattr__(self, "elevations_rad", tuple(self.elevations_rad))  # a list would be no key
        check_counts(f"lidar {self.name!r}", columns=self.columns)
        if not self.elevations_rad or self.columns < 1:
            raise ConfigError(f"lidar {self.name!r} has no rays: {len(self.elevations_rad)} beams x {self.columns} columns")
        if self.columns > MAX_COLUMNS:
            raise ConfigError(f"lidar {self.name!r} has {self.columns} columns, expected at most {MAX_COLUMNS}")
        if any(b <= a for a, b in zip(self.elevations_rad, self.elevations_rad[1:], strict=False)):
            raise ConfigError(f"lidar {self.name!r} needs rising elevations, got {self.elevations_rad}")
        if not max(map(abs, self.elevations_rad)) < math.pi / 2:
            raise ConfigError(f"lidar {self.name!r} has a beam at or beyond the vertical")
        if not 0.0 < self.max_range_m < math.inf:
            raise ConfigError(f"lidar {self.name!r}: max_range_m is {self.max_range_m}, expected a finite number above 0")
        for name, highest in (
            *((name, math.inf) for name in ("range_noise_m", "weak_noise_m", "threshold_reflectivity", "sweep_s", "fade_per_m")),
            *((name, 1.0) for name in ("dropoff_rate", "dropoff_intensity_limit", "dropoff_zero_intensity")),
            *((name, 0.1) for name in ("azimuth_noise_rad", "elevation_noise_rad")),
        ):
            value = getattr(self, name)
            if value is not None and not (0.0 <= value <= highest and value < math.inf):
                raise ConfigError(f"lidar {self.name!r}: {name} is {value}, expected a finite number from 0 to {highest:g}")

    @property
    def tells_paint(self) -> bool:
        """Whether ground that is painted returns more than asphalt."""
        return self.materials and self.fade_per_m is None and (self.noise if self.lane_paint is None else self.lane_paint)

    @property
    def beams(self) -> int:
        """Number of beams."""
        return len(self.elevations_rad)

    def column_times_s(self) -> NDArray[np.float64]:
        """When each column is measured, relative to the scene's time, (columns,); 0 and before."""
        return self.sweep_s * ((np.arange(self.columns) + 1.0) / self.columns - 1.0)
