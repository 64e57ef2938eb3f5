"""What a radar is: its view, its waveform, its detector, and which effects are on.

The defaults are in the style of the near scan of a Continental ARS 408-21, the radar of nuScenes, seen out to 150 m; ``near_scan`` and
``far_scan`` are its two scans by the data sheet. What no data sheet tells (transmitted power, losses, clutter) is an assumption and says
so. ``noise=False`` turns everything off that is not plain geometry and the radar equation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from sensors.errors import ConfigError
from sensors.mount import Mount, check_counts, check_timing

WIDEST_ARRAY_RAD = math.radians(75.0)
"""Half field of view up to which the radar is one flat array, whose azimuth cell widens as 1 / cos(azimuth); wider ones are several."""
NEAREST_M = 0.2
"""Nothing nearer is reported."""
RESOLVED_MPS = (-111.1, 55.6)
"""Doppler that staggered ramps tell apart: closing at up to 400 km/h, leaving at up to 200 km/h (ARS 408-21)."""


@dataclass(frozen=True)
class Radar:
    """An automotive radar at 77 GHz that reports point detections."""

    name: str
    mount: Mount = field(default_factory=Mount)
    detections: int = 32
    """Room for so many; of more, those of the highest SNR are kept."""
    horizontal_fov_rad: float = math.radians(120.0)
    max_range_m: float = 150.0
    noise: bool = True
    """False: every visible scatterer of an actor is detected, exactly measured, and nothing else: no fluctuation, errors, merging in
    cells, false alarms, clutter, ghosts, ground bounce, spread of RCS or folding."""
    rate_hz: float = 0.0
    """How often it looks; 0 is at every scene. It needs the history of scenes to keep to it."""
    latency_s: float = 0.0
    """How old its data is when it arrives; it needs the history too."""
    snr_at_1m_db: float = 95.0
    """SNR of 0 dBsm at 1 m in the middle of the beam, an assumption: 10 dBsm at 200 m has 13 dB."""
    false_alarm_rate: float = 1e-7
    """Pfa of one resolution cell, which sets the detector's threshold."""
    range_cell_m: float = 0.39
    azimuth_cell_rad: float = math.radians(3.2)
    """Straight ahead; see ``WIDEST_ARRAY_RAD``."""
    elevation_cell_rad: float = math.radians(4.0)
    """Scale of the errors in elevation; the cells are not divided by it."""
    doppler_cell_mps: float = 0.12
    edge_db: float = -6.0
    """Two-way antenna gain at the edge of the field of view, relative to the middle."""
    elevation_beam_rad: float = math.radians(20.0)
    """Full width of the beam in elevation where its one-way gain is half."""
    nyquist_mps: float = 25.0
    """One ramp rate knows Doppler but for multiples of twice this (25 m/s: a chirp every 39 us)."""
    staggered: bool = True
    """Two ramp rates in turn resolve Doppler over ``RESOLVED_MPS``; False: it folds into plus or minus ``nyquist_mps``."""
    fluctuation: bool = True
    """Swerling 1: a target's power is exponential about its mean, new for every scan; False: always its mean."""
    measurement_noise: bool = True
    """Errors of resolution / sqrt(2 SNR)."""
    false_alarms: bool = True
    rcs_spread_db: float = 0.0
    """Standard deviation of how much one actor's RCS differs from its class, the same all through an episode."""
    rain_attenuation: bool = True
    underbody_loss_db: float = 15.0
    """Two-way loss of the path under a car or lorry that stands in the way; infinite: none gets through. An assumption."""
    ground_reflection: float = 0.0
    """Magnitude of the road's reflection that interferes with the direct path (two-ray lobing); 0: none, which is the default because the
    many heights of a real vehicle blur the lobes and the fluctuation stands for what is left."""
    ghosts: bool = True
    """Mirror images of actors behind guard rails and behind the sides of long vehicles."""
    mirror_loss_db: float = 22.0
    """Two-way loss of the reflection, an assumption."""
    clutter: bool = True
    """Posts of guard rails, objects beside the road, joints and covers in it, and the ground near the car; where the map has a road."""
    rail_post_dbsm: float = -17.0
    """Mean RCS of a rail's post or a kerb's metre; an assumption, as the next three."""
    roadside_dbsm: float = 0.0
    """Mean RCS of an object beside the road: a sign, a trunk, a lamp post."""
    road_object_dbsm: float = -22.0
    """Mean RCS of a manhole cover or joint in the road."""
    ground_gamma_db: float = -48.0
    """Reflectivity of the ground, sigma0 = gamma sin(grazing angle), as much of it as the detector's own clutter map leaves."""

    def __post_init__(self) -> None:
        check_timing(f"radar {self.name!r}", self.rate_hz, self.latency_s)
        check_counts(f"radar {self.name!r}", detections=self.detections)
        if self.detections < 1:
            raise self._error("detections", self.detections, "at least 1")
        for name, high in (("horizontal_fov_rad", 2 * math.pi), ("elevation_beam_rad", 2 * math.pi), ("false_alarm_rate", 0.1)):
            if not 0.0 < getattr(self, name) <= high:
                raise self._error(name, getattr(self, name), f"more than 0 and at most {high:g}")
        if not NEAREST_M < self.max_range_m < math.inf:
            raise self._error("max_range_m", self.max_range_m, f"more than {NEAREST_M} and finite")
        for name in ("range_cell_m", "azimuth_cell_rad", "elevation_cell_rad", "doppler_cell_mps", "nyquist_mps"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise self._error(name, getattr(self, name), "more than 0 and finite")
        for name in ("rcs_spread_db", "mirror_loss_db"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise self._error(name, getattr(self, name), "0 or more and finite")
        for name in ("snr_at_1m_db", "edge_db", "rail_post_dbsm", "roadside_dbsm", "road_object_dbsm", "ground_gamma_db"):
            if not math.isfinite(getattr(self, name)):
                raise self._error(name, getattr(self, name), "a finite number")
        if self.edge_db > 0.0:
            raise self._error("edge_db", self.edge_db, "0 or less, as the edge is no stronger than the middle")
        if not self.underbody_loss_db >= 0.0:
            raise self._error("underbody_loss_db", self.underbody_loss_db, "0 or more")
        if not 0.0 <= self.ground_reflection <= 1.0:
            raise self._error("ground_reflection", self.ground_reflection, "0 to 1")

    def _error(self, name: str, got: object, expected: str) -> ConfigError:
        return ConfigError(f"radar {self.name!r}: {name} is {got}, expected {expected}")

    @property
    def cells(self) -> float:
        """Number of resolution cells of one scan: range by azimuth by Doppler."""
        half = 0.5 * self.horizontal_fov_rad
        width = 2.0 * math.sin(half) if half <= WIDEST_ARRAY_RAD else self.horizontal_fov_rad
        ranges = (self.max_range_m - NEAREST_M) / self.range_cell_m
        return ranges * width / self.azimuth_cell_rad * 2.0 * self.nyquist_mps / self.doppler_cell_mps

    @property
    def mean_false_alarms(self) -> float:
        """Expected number of false alarms of one scan: Pfa times the number of cells."""
        return self.false_alarm_rate * self.cells

    @property
    def doppler_span_mps(self) -> tuple[float, float]:
        """Lowest and highest Doppler that is reported; what lies beyond folds back into it."""
        return RESOLVED_MPS if self.staggered else (-self.nyquist_mps, self.nyquist_mps)

    @classmethod
    def near_scan(cls, name: str, mount: Mount | None = None, detections: int = 125) -> Radar:
        """The near scan of an ARS 408-21: 120 degrees out to 70 m, 0.39 m, 3.2 degrees, 0.43 km/h, 20 degrees in elevation, 72 ms."""
        return cls(name, mount or Mount(), detections, max_range_m=70.0, rate_hz=1.0 / 0.072, doppler_cell_mps=0.43 / 3.6)

    @classmethod
    def far_scan(cls, name: str, mount: Mount | None = None, detections: int = 125) -> Radar:
        """The far scan of an ARS 408-21: 18 degrees out to 250 m, 1.79 m, 1.6 degrees, 0.37 km/h, 14 degrees in elevation, 72 ms."""
        return replace(
            cls.near_scan(name, mount, detections),
            horizontal_fov_rad=math.radians(18.0),
            max_range_m=250.0,
            range_cell_m=1.79,
            azimuth_cell_rad=math.radians(1.6),
            doppler_cell_mps=0.37 / 3.6,
            elevation_beam_rad=math.radians(14.0),
            snr_at_1m_db=101.0,
        )
