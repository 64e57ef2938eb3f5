"""The rig: which sensors a car carries, where they sit, and how fine they are.

Sensors of one kind in a rig share their resolution, so that their frames stack. Mounting poses are in the ego frame: origin at the
centre of the car's footprint on the ground, x forward, y left, z up. Angles are applied as yaw, then pitch (positive nose down), then
roll, in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Mount:
    """Where a sensor sits on the car."""

    x_m: float = 0.0
    y_m: float = 0.0
    z_m: float = 1.5
    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value):
                raise ConfigError(f"Mount.{name} is {value}, expected a finite number")

    def ego_T_sensor(self) -> NDArray[np.float64]:
        """The rigid transform from the sensor's frame (x forward, y left, z up) to the ego frame, (4, 4)."""
        cy, sy = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        cp, sp = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        cr, sr = math.cos(self.roll_rad), math.sin(self.roll_rad)
        yaw = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        pitch = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
        transform = np.eye(4)
        transform[:3, :3] = yaw @ pitch @ roll
        transform[:3, 3] = (self.x_m, self.y_m, self.z_m)
        return transform


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels."""

    name: str
    mount: Mount = field(default_factory=Mount)
    height_px: int = 24
    width_px: int = 48
    horizontal_fov_rad: float = math.radians(70.0)
    noise: bool = True

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
        if self.detections < 1 or not self.max_range_m > 0.0:
            raise ConfigError(f"radar {self.name!r} has {self.detections} detections to {self.max_range_m} m, expected more than 0")
        if not 0.0 < self.horizontal_fov_rad <= 2 * math.pi:
            raise ConfigError(f"radar {self.name!r} has a field of view of {self.horizontal_fov_rad} rad, expected 0 to 2 pi")


@dataclass(frozen=True)
class Rig:
    """All sensors of a car."""

    name: str
    cameras: tuple[Camera, ...] = ()
    lidars: tuple[Lidar, ...] = ()
    radars: tuple[Radar, ...] = ()

    def __post_init__(self) -> None:
        names: list[str] = [sensor.name for sensor in self.sensors]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ConfigError(f"rig {self.name!r} has two sensors named {double[0]!r}; give each its own name")
        self._one_size("cameras", {(camera.height_px, camera.width_px) for camera in self.cameras})
        self._one_size("lidars", {(lidar.elevations_rad, lidar.columns) for lidar in self.lidars})
        self._one_size("radars", {radar.detections for radar in self.radars})

    def _one_size(self, kind: str, sizes: set[object]) -> None:
        if len(sizes) > 1:
            raise ConfigError(f"rig {self.name!r}: its {kind} differ in size, but frames of one kind must stack; use one size")

    @property
    def sensors(self) -> tuple[Camera | Lidar | Radar, ...]:
        """All sensors: cameras, then lidars, then radars."""
        return (*self.cameras, *self.lidars, *self.radars)

    @property
    def num_sensors(self) -> int:
        """Cameras, lidars and radars together: the length of ``alive`` and ``age``, in that order."""
        return len(self.sensors)


def _elevations(low_deg: float, high_deg: float, beams: int) -> tuple[float, ...]:
    return tuple(float(value) for value in np.radians(np.linspace(low_deg, high_deg, beams)))


def _micro() -> Rig:
    views = (("front", 0.0), ("left", 60.0), ("right", -60.0))
    return Rig(
        "micro",
        cameras=tuple(
            Camera(f"camera_{name}", Mount(1.0, 0.0, 1.4, yaw_rad=math.radians(yaw), pitch_rad=math.radians(2.0))) for name, yaw in views
        ),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-12.0, 2.0, 8), columns=64),),
        radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5)),),
    )


def _preview() -> Rig:
    return Rig(
        "preview",
        cameras=(Camera("camera_front", Mount(1.0, 0.0, 1.4, pitch_rad=math.radians(3.0)), 360, 640, math.radians(75.0)),),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-20.0, 4.0, 32), columns=512),),
        radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5), detections=64),),
    )


RIGS: dict[str, Rig] = {rig.name: rig for rig in (_micro(), _preview())}


def rig_named(rig: str | Rig) -> Rig:
    """Look up a preset by name; a rig passes through.

    Raises:
        ConfigError: There is no such preset.
    """
    if isinstance(rig, Rig):
        return rig
    if rig not in RIGS:
        raise unknown_name("rig", rig, RIGS)
    return RIGS[rig]
