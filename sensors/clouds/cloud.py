"""A point cloud: lidar returns of one instant in the ego's frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.frames import LidarFrames
from sensors.lidar.config import Lidar

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class PointCloud:
    """P points."""

    xyz_m: Floats32  # (P, 3) x forward, y left, z up
    intensity: Floats32  # (P,) 0 to 1
    ring: NDArray[np.uint16]  # (P,) beam, from the lowest
    time_s: Floats32  # (P,) when the point was measured, relative to the frame
    actor: NDArray[np.int32]  # (P,) a free label: which actor it lies on, negative for none

    def __post_init__(self) -> None:
        if self.xyz_m.ndim != 2 or self.xyz_m.shape[1] != 3:
            raise ConfigError(f"PointCloud.xyz_m has shape {self.xyz_m.shape}, expected (P, 3)")
        for field in fields(self)[1:]:
            shape = getattr(self, field.name).shape
            if shape != (len(self),):
                raise ConfigError(f"PointCloud.{field.name} has shape {shape}, expected ({len(self)},) as xyz_m has rows")

    def __len__(self) -> int:
        """P."""
        return len(self.xyz_m)

    def select(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> PointCloud:
        """Some of the points, by a mask (P,) or by number."""
        return PointCloud(*(getattr(self, field.name)[which] for field in fields(self)))


def clouds_of(frames: LidarFrames, lidars: tuple[Lidar, ...], world: int = 0) -> list[PointCloud]:
    """Turn one world's range images into clouds.

    Args:
        frames: Of a rig's K lidars.
        lidars: Those lidars.
        world: Which world.

    Returns:
        K clouds; that of a lidar that delivered nothing is empty.
    """
    return [_cloud(frames, lidar, world, k) for k, lidar in enumerate(lidars)]


def _cloud(frames: LidarFrames, lidar: Lidar, world: int, k: int) -> PointCloud:
    hit = frames.hit[world, k].numpy()
    ring, column = np.nonzero(hit)
    azimuth, elevation = 2.0 * math.pi * (column + 0.5) / lidar.columns, np.asarray(lidar.elevations_rad)[ring]
    direction = np.stack((np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)), -1)  # (P, 3)
    ego_T_lidar = lidar.mount.ego_T_sensor()
    xyz_lidar = direction * frames.range_m[world, k].numpy()[hit][:, None]
    return PointCloud(
        xyz_m=(xyz_lidar @ ego_T_lidar[:3, :3].T + ego_T_lidar[:3, 3]).astype(np.float32),
        intensity=frames.intensity[world, k].numpy()[hit].astype(np.float32),
        ring=ring.astype(np.uint16),
        time_s=np.zeros(len(ring), np.float32),
        actor=frames.actor[world, k].numpy()[hit].astype(np.int32),
    )
