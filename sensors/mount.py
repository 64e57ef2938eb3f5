"""Where a sensor sits, and when it looks.

Mounting poses are in the ego frame: origin at the centre of the car's footprint on the ground, x forward, y left, z up. Angles are applied
as yaw, then pitch (positive nose down), then roll, in radians.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError


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
        return _ego_T_sensor(self).copy()


@functools.lru_cache(maxsize=256)
def _ego_T_sensor(mount: Mount) -> NDArray[np.float64]:
    cy, sy = math.cos(mount.yaw_rad), math.sin(mount.yaw_rad)
    cp, sp = math.cos(mount.pitch_rad), math.sin(mount.pitch_rad)
    cr, sr = math.cos(mount.roll_rad), math.sin(mount.roll_rad)
    yaw = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    pitch = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    transform = np.eye(4)
    transform[:3, :3] = yaw @ pitch @ roll
    transform[:3, 3] = (mount.x_m, mount.y_m, mount.z_m)
    return transform


def check_timing(what: str, rate_hz: float, latency_s: float) -> None:
    """Refuse a rate or latency that no sensor has.

    Args:
        what: The sensor, for the message.
        rate_hz: Pictures, sweeps or scans a second; 0: one of every scene.
        latency_s: Age of the data when it is delivered.

    Raises:
        ConfigError: One of them is negative or not finite.
    """
    for name, value in (("rate_hz", rate_hz), ("latency_s", latency_s)):
        if not 0.0 <= value < math.inf:
            raise ConfigError(f"{what}: {name} is {value}, expected 0 or more")


def check_counts(what: str, **counts: object) -> None:
    """Refuse numbers of pixels, columns or detections that are not whole.

    Raises:
        ConfigError: One of them is no whole number.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral):
            raise ConfigError(f"{what}: {name} is {count!r}, expected a whole number")
