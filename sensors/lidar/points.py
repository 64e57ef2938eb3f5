"""Range images as point clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.errors import ConfigError
from sensors.frames import LidarFrames
from sensors.lidar.config import Lidar


@dataclass(frozen=True)
class Points(Batch):
    """One lidar's returns; P = beams x columns, beam by beam."""

    xyz_m: Tensor  # (B, P, 3) float32; 0 where there is none
    intensity: Tensor  # (B, P) float32
    ring: Tensor  # (B, P) int16, number of the beam, from below
    time_s: Tensor  # (B, P) float32, relative to the scene's time: 0 and before
    actor: Tensor  # (B, P) int16, as in LidarFrames
    mask: Tensor  # (B, P) bool, which points there are


def points(frames: LidarFrames, lidar: Lidar, number: int = 0, in_ego: bool = True) -> Points:
    """Turn a lidar's ranges into points, by the directions that it is meant to look in.

    A rolling scan's points are each in the frame of their own column's time, as the sensor gives them: they are not put right for motion.

    Args:
        frames: From ``render``.
        lidar: The lidar that gave them.
        number: Which of the rig's lidars it is.
        in_ego: Give points in the ego frame; False: in the sensor's own (x forward, y left, z up).

    Raises:
        ConfigError: The frames are not of such a lidar.
    """
    worlds, sensors, beams, columns = frames.range_m.shape
    if not 0 <= number < sensors or (beams, columns) != (lidar.beams, lidar.columns):
        raise ConfigError(
            f"points of lidar {lidar.name!r}: frames have {sensors} lidars of {beams} x {columns}, expected number {number} "
            f"of {lidar.beams} x {lidar.columns}; pass the lidar and the place that it has in the rig"
        )
    elevation = torch.tensor(lidar.elevations_rad, dtype=torch.float64)[:, None]  # (E, 1)
    azimuth = 2.0 * math.pi * (torch.arange(columns, dtype=torch.float64) + 0.5) / columns  # (C,)
    ahead, left = elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin()
    directions = torch.stack((ahead, left, elevation.sin().expand(beams, columns)), -1)  # (E, C, 3)
    mask = frames.hit[:, number].reshape(worlds, -1)
    xyz = (frames.range_m[:, number, ..., None].double() * directions).reshape(worlds, -1, 3)
    if in_ego:
        ego_T_lidar = torch.from_numpy(lidar.mount.ego_T_sensor())
        xyz = xyz @ ego_T_lidar[:3, :3].mT + ego_T_lidar[:3, 3]
    rings = torch.arange(beams, dtype=torch.int16)[:, None].expand(beams, columns)
    times = torch.from_numpy(lidar.column_times_s()).float().expand(beams, columns)
    return Points(
        xyz_m=(xyz * mask[..., None]).float(),
        intensity=frames.intensity[:, number].reshape(worlds, -1),
        ring=rings.reshape(1, -1).expand(worlds, -1),
        time_s=times.reshape(1, -1).expand(worlds, -1),
        actor=frames.actor[:, number].reshape(worlds, -1),
        mask=mask,
    )
