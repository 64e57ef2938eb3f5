"""What sensors give: camera images, lidar range images, radar detections, and the ego's own motion, for B worlds.

``valid`` says whether a sensor delivered at all, ``age_s`` how old its data is. A mask says which returns or detections exist;
where it is false the numbers are zero. No sentinel, no NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

from sensors.batch import Batch

RADAR_FEATURES = ("range_m", "azimuth_rad", "elevation_rad", "doppler_mps", "rcs_dbsm", "snr_db")
EGO_FEATURES = ("speed_mps", "yaw_rate_radps", "acceleration_long_mps2", "acceleration_lat_mps2")


class Semantic(IntEnum):
    """What a pixel shows."""

    SKY = 0
    ROAD = 1
    PAINT = 2
    SHOULDER = 3
    GRASS = 4
    VEHICLE = 5
    OBSTACLE = 6


class Origin(IntEnum):
    """What a radar's detection comes from: the truth, which no radar tells."""

    NONE = 0
    """No detection in this row."""
    TARGET = 1
    """An actor, at its place."""
    GHOST = 2
    """The mirror image of an actor."""
    CLUTTER = 3
    """The ground, or what stands in it."""
    FALSE_ALARM = 4
    """The receiver's noise."""


@dataclass(frozen=True)
class CameraFrames(Batch):
    """K cameras of one resolution."""

    rgb: Tensor  # (B, K, 3, H, W) uint8
    depth_m: Tensor  # (B, K, H, W) float32, planar; 0 for the sky
    semantic: Tensor  # (B, K, H, W) uint8, a sensors.Semantic
    instance: Tensor  # (B, K, H, W) int16, actor number, -1 for none
    valid: Tensor  # (B, K) bool
    age_s: Tensor  # (B, K) float32


@dataclass(frozen=True)
class LidarFrames(Batch):
    """K lidars of one size, as range images."""

    range_m: Tensor  # (B, K, beams, columns) float32; 0 where nothing returned
    intensity: Tensor  # (B, K, beams, columns) float32 in [0, 1]
    hit: Tensor  # (B, K, beams, columns) bool
    actor: Tensor  # (B, K, beams, columns) int16, actor that was hit, -1 ground or nothing, -2 the air
    valid: Tensor  # (B, K) bool
    age_s: Tensor  # (B, K) float32


@dataclass(frozen=True)
class RadarFrames(Batch):
    """K radars with room for D detections each."""

    detections: Tensor  # (B, K, D, 6) float32, columns RADAR_FEATURES
    mask: Tensor  # (B, K, D) bool
    actor: Tensor  # (B, K, D) int16, actor that stands there, -1 for clutter, a ghost, a false alarm or none
    origin: Tensor  # (B, K, D) int8, a sensors.Origin
    valid: Tensor  # (B, K) bool
    age_s: Tensor  # (B, K) float32


@dataclass(frozen=True)
class EgoFrames(Batch):
    """What the car knows of itself."""

    motion: Tensor  # (B, 4) float32, columns EGO_FEATURES
    action: Tensor  # (B, C) float32, Scene.action


@dataclass(frozen=True)
class Frames(Batch):
    """One instant of all sensors of a rig. A modality that the rig lacks has K = 0."""

    camera: CameraFrames
    lidar: LidarFrames
    radar: RadarFrames
    ego: EgoFrames
