"""Sensors by CARLA's own attribute names, defaults and units (CARLA 0.9, sensors reference): degrees, metres, z up, y to the right.

An attribute that works otherwise here is taken only at CARLA's default, and says so when it is given another value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sensors.camera.config import Camera
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.radar.config import Radar

RADAR_TICK_S = 0.05
"""A radar that looks at every scene shoots as many points as in this time."""


def carla_mount(x: float = 0.0, y: float = 0.0, z: float = 2.4, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> Mount:
    """A place in CARLA's axes, ``carla.Transform(Location, Rotation)``: y right, pitch nose up, yaw clockwise; metres and degrees."""
    return Mount(x, -y, z, yaw_rad=-math.radians(yaw), pitch_rad=-math.radians(pitch), roll_rad=math.radians(roll))


def _rate(sensor_tick: float) -> float:
    if sensor_tick < 0.0:
        raise ConfigError(f"sensor_tick is {sensor_tick} s, expected 0 (every scene) or more")
    return 1.0 / sensor_tick if sensor_tick > 0.0 else 0.0


def _only(sensor: str, given: Mapping[str, tuple[float, float, str]]) -> None:
    """Refuse values of attributes that have no counterpart."""
    for name, (value, default, instead) in given.items():
        if value != default:
            raise ConfigError(f"{sensor}: {name} is {value}, but only CARLA's default {default} is taken; {instead}")


def carla_camera(
    name: str = "camera",
    mount: Mount | None = None,
    *,
    image_size_x: int = 800,
    image_size_y: int = 600,
    fov: float = 90.0,
    sensor_tick: float = 0.0,
) -> Camera:
    """A camera as ``sensor.camera.rgb``.

    Raises:
        ConfigError: An impossible size, field of view or tick.
    """
    return Camera(name, mount or carla_mount(), image_size_y, image_size_x, math.radians(fov), rate_hz=_rate(sensor_tick))


def carla_lidar(
    name: str = "lidar",
    mount: Mount | None = None,
    *,
    channels: int = 32,
    range: float = 10.0,
    points_per_second: int = 56_000,
    rotation_frequency: float = 10.0,
    upper_fov: float = 10.0,
    lower_fov: float = -30.0,
    horizontal_fov: float = 360.0,
    atmosphere_attenuation_rate: float = 0.004,
    dropoff_general_rate: float = 0.45,
    dropoff_intensity_limit: float = 0.8,
    dropoff_zero_intensity: float = 0.4,
    sensor_tick: float = 0.0,
    noise_stddev: float = 0.0,
) -> Lidar:
    """A lidar as ``sensor.lidar.ray_cast``.

    It turns ``rotation_frequency`` times a second, and each turn has ``points_per_second / (channels * rotation_frequency)`` columns. As
    there, intensity is exp(-rate R) without reflectivity or incidence, and the weather plays no part.

    Raises:
        ConfigError: No points in a turn, impossible angles, or an attribute that works otherwise here.
    """
    _only(
        f"lidar {name!r}",
        {
            "horizontal_fov": (horizontal_fov, 360.0, "a lidar turns fully; the fault field_of_view narrows it"),
            "sensor_tick": (sensor_tick, 0.0, "rotation_frequency is its rate"),
        },
    )
    if channels < 1 or not rotation_frequency > 0.0:
        raise ConfigError(f"lidar {name!r}: {channels} channels at {rotation_frequency} turns a second, expected more than 0 of both")
    columns = int(points_per_second / (channels * rotation_frequency))
    elevations = tuple(float(angle) for angle in np.radians(np.linspace(lower_fov, upper_fov, channels)))
    return Lidar(
        name,
        mount or carla_mount(),
        elevations,
        columns,
        range,
        noise_stddev,
        weak_noise_m=0.0,
        dropoff_rate=dropoff_general_rate,
        azimuth_noise_rad=0.0,
        elevation_noise_rad=0.0,
        air_returns=False,
        materials=False,
        fade_per_m=atmosphere_attenuation_rate,
        dropoff_intensity_limit=dropoff_intensity_limit,
        dropoff_zero_intensity=dropoff_zero_intensity,
        rate_hz=rotation_frequency,
    )


def carla_radar(
    name: str = "radar",
    mount: Mount | None = None,
    *,
    horizontal_fov: float = 30.0,
    vertical_fov: float = 30.0,
    points_per_second: int = 1_500,
    range: float = 100.0,
    sensor_tick: float = 0.0,
) -> Radar:
    """A radar as ``sensor.other.radar``, but with a radar's physics.

    It has room for as many detections as CARLA's shoots points in ``sensor_tick`` (in 0.05 s where that is 0).

    Raises:
        ConfigError: No point in a tick, an impossible field of view, or an attribute that works otherwise here.
    """
    _only(f"radar {name!r}", {"vertical_fov": (vertical_fov, 30.0, "elevation is measured, not limited")})
    room = round(points_per_second * (sensor_tick or RADAR_TICK_S))
    return Radar(name, mount or carla_mount(), room, math.radians(horizontal_fov), range, rate_hz=_rate(sensor_tick))
