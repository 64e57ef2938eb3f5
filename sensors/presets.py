"""Rigs by name, and rigs of one's own by ``module:name``."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np

from sensors.camera.config import Camera
from sensors.carla import carla_camera, carla_lidar, carla_mount, carla_radar
from sensors.errors import ConfigError, unknown_name
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.rig import Rig


def _elevations(low_deg: float, high_deg: float, beams: int) -> tuple[float, ...]:
    return tuple(float(value) for value in np.radians(np.linspace(low_deg, high_deg, beams)))


def _mount(x_m: float, y_m: float, z_m: float, yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> Mount:
    return Mount(x_m, y_m, z_m, yaw_rad=math.radians(yaw_deg), pitch_rad=math.radians(pitch_deg))


def _micro() -> Rig:
    views = (("front", 0.0), ("left", 60.0), ("right", -60.0))
    return Rig(
        "micro",
        cameras=tuple(Camera(f"camera_{name}", _mount(1.0, 0.0, 1.4, yaw, 2.0)) for name, yaw in views),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-12.0, 2.0, 8), columns=64),),
        radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5)),),
    )


def _nano() -> Rig:
    views = (("front", 1.2, 0.0, 0.0), ("left", 0.3, 0.9, 90.0), ("back", -1.5, 0.0, 180.0), ("right", 0.3, -0.9, -90.0))
    return Rig(
        "nano",
        cameras=tuple(Camera(f"camera_{name}", _mount(x, y, 1.4, yaw, 2.0), 48, 96, math.radians(100.0)) for name, x, y, yaw in views),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-20.0, 3.0, 16), columns=128),),
        radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5)), Radar("radar_back", _mount(-2.4, 0.0, 0.5, 180.0))),
    )


SIX_VIEWS = (
    ("front", 1.2, 0.0, 0.0, 70.0),
    ("front_left", 1.0, 0.8, 55.0, 70.0),
    ("front_right", 1.0, -0.8, -55.0, 70.0),
    ("back", -1.5, 0.0, 180.0, 110.0),
    ("back_left", 0.3, 0.8, 110.0, 70.0),
    ("back_right", 0.3, -0.8, -110.0, 70.0),
)
FIVE_RADARS = (
    ("front", 2.4, 0.0, 0.0),
    ("front_left", 2.2, 0.8, 60.0),
    ("front_right", 2.2, -0.8, -60.0),
    ("back_left", -2.2, 0.8, 150.0),
    ("back_right", -2.2, -0.8, -150.0),
)


def _six_cameras(height_px: int, width_px: int) -> tuple[Camera, ...]:
    return tuple(
        Camera(f"camera_{name}", _mount(x, y, 1.5, yaw, 2.0), height_px, width_px, math.radians(fov)) for name, x, y, yaw, fov in SIX_VIEWS
    )


def _base() -> Rig:
    corners = (FIVE_RADARS[0], *FIVE_RADARS[3:], ("back", -2.4, 0.0, 180.0))
    return Rig(
        "base",
        cameras=_six_cameras(96, 192),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-25.0, 5.0, 32), columns=256, max_range_m=100.0),),
        radars=tuple(Radar(f"radar_{name}", _mount(x, y, 0.5, yaw), detections=32) for name, x, y, yaw in corners),
    )


def _large() -> Rig:
    return Rig(
        "large",
        cameras=_six_cameras(256, 704),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-30.67, 10.67, 32), columns=1024, max_range_m=100.0),),
        radars=tuple(Radar(f"radar_{name}", _mount(x, y, 0.5, yaw), detections=60, max_range_m=250.0) for name, x, y, yaw in FIVE_RADARS),
    )


NUSCENES_MIDDLE_M = 1.45
"""nuScenes measures from the rear axle of its car (4.08 m long, some 0.6 m of it behind the axle), we from the middle of the car."""


def _nuscenes() -> Rig:
    """The sensors of nuScenes, at about the places of its published calibration (Caesar et al. 2020), with their own rates."""

    def place(x: float, y: float, z: float, yaw_deg: float = 0.0) -> Mount:
        return _mount(x - NUSCENES_MIDDLE_M, y, z, yaw_deg)

    cameras = (
        ("CAM_FRONT", place(1.70, 0.02, 1.51), 70.0),
        ("CAM_FRONT_LEFT", place(1.52, 0.49, 1.51, 55.0), 70.0),
        ("CAM_FRONT_RIGHT", place(1.55, -0.49, 1.50, -55.0), 70.0),
        ("CAM_BACK", place(0.03, 0.0, 1.58, 180.0), 110.0),
        ("CAM_BACK_LEFT", place(1.04, 0.48, 1.59, 110.0), 70.0),
        ("CAM_BACK_RIGHT", place(1.01, -0.48, 1.56, -110.0), 70.0),
    )
    radars = (
        ("RADAR_FRONT", place(3.41, 0.0, 0.50)),
        ("RADAR_FRONT_LEFT", place(2.42, 0.80, 0.78, 90.0)),
        ("RADAR_FRONT_RIGHT", place(2.42, -0.80, 0.77, -90.0)),
        ("RADAR_BACK_LEFT", place(-0.56, 0.63, 0.53, 175.0)),
        ("RADAR_BACK_RIGHT", place(-0.56, -0.62, 0.53, -175.0)),
    )
    return Rig(
        "nuscenes",
        cameras=tuple(Camera(name, mount, 900, 1600, math.radians(fov), rate_hz=12.0) for name, mount, fov in cameras),
        lidars=(Lidar("LIDAR_TOP", place(0.94, 0.0, 1.84), _elevations(-30.67, 10.67, 32), columns=1086, max_range_m=100.0, rate_hz=20.0),),
        radars=tuple(
            Radar(name, mount, detections=125, horizontal_fov_rad=math.radians(120.0), max_range_m=250.0, rate_hz=13.0)
            for name, mount in radars
        ),
    )


def _carla() -> Rig:
    """One sensor of each kind with CARLA's defaults, where its examples put them."""
    return Rig(
        "carla",
        cameras=(carla_camera("camera", carla_mount(x=1.5, z=2.4)),),
        lidars=(carla_lidar("lidar", carla_mount(z=2.5)),),
        radars=(carla_radar("radar", carla_mount(x=2.0, z=1.0, pitch=5.0)),),
    )


def _preview() -> Rig:
    return Rig(
        "preview",
        cameras=(Camera("camera_front", Mount(1.0, 0.0, 1.4, pitch_rad=math.radians(3.0)), 360, 640, math.radians(75.0)),),
        lidars=(Lidar("lidar_top", Mount(0.0, 0.0, 1.8), _elevations(-20.0, 4.0, 32), columns=512),),
        radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5), detections=64),),
    )


RIGS: dict[str, Rig] = {rig.name: rig for rig in (_micro(), _nano(), _base(), _large(), _nuscenes(), _carla(), _preview())}


def rig_named(rig: str | Rig) -> Rig:
    """Look up a preset by name, or a rig of one's own by ``module:name``; a rig passes through.

    Raises:
        ConfigError: There is no such preset, module or name, or what it names is no rig.
    """
    if isinstance(rig, Rig):
        return rig
    if not isinstance(rig, str):
        raise ConfigError(f"rig is a {type(rig).__name__}, expected a sensors.Rig, the name of one in sensors.RIGS, or module:name")
    if ":" in rig:
        return _own_rig(rig)
    if rig not in RIGS:
        raise unknown_name("rig", rig, RIGS)
    return RIGS[rig]


def _own_rig(path: str) -> Rig:
    module_name, _, name = path.partition(":")
    try:
        module = import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"rig {path!r}: module {module_name!r} does not import ({error}); expected module:name") from error
    if not hasattr(module, name):
        raise unknown_name(f"rig of module {module_name!r}", name, [key for key, value in vars(module).items() if isinstance(value, Rig)])
    rig = getattr(module, name)
    if not isinstance(rig, Rig):
        raise ConfigError(f"rig {path!r} is a {type(rig).__name__}, expected a sensors.Rig")
    return rig
