"""A point cloud: lidar returns of one instant in the ego's frame."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sensors.errors import ConfigError
from sensors.frames import LidarFrames
from sensors.lidar.config import Lidar
from sensors.lidar.points import points

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class PointCloud:
    """P points."""

    xyz_m: Floats32  # (P, 3) x forward, y left, z up
    intensity: Floats32  # (P,) 0 to 1
    ring: NDArray[np.uint16]  # (P,) beam, from the lowest
    time_s: Floats32  # (P,) when the point was measured, relative to the frame
    actor: NDArray[np.int32]  # (P,) a free label as in LidarFrames: which actor it lies on, negative for none

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
    seen = points(frames.select([world]), lidar, k)
    there = seen.mask[0]

    def column(values: Tensor, dtype: type[np.generic]) -> NDArray[Any]:
        return values[0][there].numpy().astype(dtype)

    return PointCloud(
        xyz_m=column(seen.xyz_m, np.float32),
        intensity=column(seen.intensity, np.float32),
        ring=column(seen.ring, np.uint16),
        time_s=column(seen.time_s, np.float32),
        actor=column(seen.actor, np.int32),
    )
