"""Lidars, weather and images as the kernels take them."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.faults import Modality
from sensors.lidar.config import Lidar
from sensors.lidar.detector import (
    BY_FADE,
    BY_RANGE,
    DETECTOR_NUMBERS,
    FADE,
    INTENSITY_RANGE_M,
    KEEP_FROM,
    KEEP_SLOPE,
    KEPT,
    LEAST,
    LONGEST,
    PER_INTENSITY,
    PER_THRESHOLD,
    SIGMA,
    WEAK,
)
from sensors.lidar.pieces import VECTOR, Doubles, Floats
from sensors.noise import sensor_number
from sensors.pose import mounts_of

f4 = np.float32

FIRST_SENSOR = sensor_number(Modality.LIDAR, 0)
RAYS_STREAM, HEAD_STREAM, AIR_STREAM = range(3)


class Optics(NamedTuple):
    """K lidars as the kernels take them; E beams, C columns."""

    mounts: Doubles  # (K, 4, 4) ego_T_sensor
    detectors: Floats  # (K, DETECTOR_NUMBERS)
    times: Doubles  # (K, 3) of a turn [s], noise of azimuth and elevation [rad]
    fades: Doubles  # (K,) CARLA's attenuation [1/m], -1: by the weather
    switches: NDArray[np.bool_]  # (K, 4) noise, materials, returns from the air, lane paint
    azimuth: Doubles  # (2, C and on to whole vectors) cosines and sines of the columns; the last one's again
    tan_elevation: Floats  # (E,)
    cos_elevation: Floats  # (E,)


class Images(NamedTuple):
    """Where the kernels write, each (B, K, E, C)."""

    range_m: Floats
    intensity: Floats
    hit: NDArray[np.generic]
    actor: NDArray[np.int16]


def _detector(lidar: Lidar) -> NDArray[np.float32]:
    """A lidar's numbers for the kernels, (DETECTOR_NUMBERS,)."""
    d = np.zeros(DETECTOR_NUMBERS, f4)
    longest, carla = lidar.max_range_m, lidar.fade_per_m is not None
    d[LEAST], d[LONGEST] = 1.0 / longest, longest
    d[BY_RANGE], d[BY_FADE], d[PER_INTENSITY] = (0.0, 1.0, 1.0) if carla else (1.0, 0.0, INTENSITY_RANGE_M**2)
    d[PER_THRESHOLD] = longest * longest / max(lidar.threshold_reflectivity, 1e-12)
    d[KEEP_FROM], d[KEEP_SLOPE] = (-0.5, 1.0) if lidar.dropoff_at_threshold else (-1e6, 1e6)
    if lidar.fade_per_m is not None:
        d[FADE], d[PER_THRESHOLD] = -lidar.fade_per_m, 1.0
        d[KEEP_FROM] = 1.0 - lidar.dropoff_zero_intensity
        d[KEEP_SLOPE] = lidar.dropoff_zero_intensity / max(lidar.dropoff_intensity_limit, 1e-6)
    d[KEPT], d[SIGMA], d[WEAK] = 1.0 - lidar.dropoff_rate, lidar.range_noise_m, lidar.weak_noise_m
    return d


@functools.lru_cache(maxsize=16)
def optics_of(lidars: tuple[Lidar, ...]) -> Optics:
    """K lidars that share beams and columns as the kernels take them."""
    azimuth = 2.0 * math.pi * (np.arange(lidars[0].columns) + 0.5) / lidars[0].columns
    elevation = np.array(lidars[0].elevations_rad)
    return Optics(
        mounts_of([lidar.mount for lidar in lidars]),
        np.stack([_detector(lidar) for lidar in lidars]),
        np.array([(lidar.sweep_s, lidar.azimuth_noise_rad, lidar.elevation_noise_rad) for lidar in lidars]),
        np.array([-1.0 if lidar.fade_per_m is None else lidar.fade_per_m for lidar in lidars]),
        np.array([(lidar.noise, lidar.materials, lidar.air_returns, lidar.tells_paint) for lidar in lidars]),
        np.pad(np.stack((np.cos(azimuth), np.sin(azimuth))), ((0, 0), (0, -len(azimuth) % VECTOR)), mode="edge"),
        np.tan(elevation).astype(f4),
        np.cos(elevation).astype(f4),
    )
