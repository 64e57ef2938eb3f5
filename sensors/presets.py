"""Rigs by name."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.config import Camera
from sensors.errors import unknown_name
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.rig import Rig


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
