"""One encoder a modality: from an observation to a bird's-eye map of C channels, (B, C, X, Y).

Every encoder takes the observation as `envs` packs it and ``alive`` (B, K) of its sensors, and replaces a dead sensor's numbers before
anything looks at them. Norms are GroupNorm and LayerNorm only: batch statistics differ between rollout and update.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from drive_fusion.bev import BevGrid, as_map, batch_cells, splat_max, splat_sum
from drive_fusion.fusion.seen import RADAR_POINT_FEATURES, RadarPoints
from drive_fusion.layers import Block, conv
from drive_fusion.sizes import ModelSize
from envs.observation import EGO_SCALES, RADAR_SCALES
from sensors.camera.config import Camera
from sensors.frames import EGO_FEATURES, RADAR_FEATURES
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar

GROUND_M = 0.25
"""Lidar returns below this height are the road. They are most of a sweep and say little of traffic, so they are not encoded: it makes the
lidar branch several times cheaper."""
LIDAR_FEATURES = 10


def depth_bins_m(bins: int, near_m: float = 3.0, far_m: float = 75.0) -> Tensor:
    """Depths at which a pixel may lie: equal steps of the logarithm, (D,)."""
    return torch.logspace(math.log10(near_m), math.log10(far_m), bins)


def centre_px(first_stride: int) -> float:
    """Where a feature cell's receptive field is centred, from the first of its pixels.

    A layer of patches is centred on the middle of a patch, a strided 3 x 3 layer on the first of the pixels that it steps over; stages of
    3 x 3 on top do not move that.
    """
    return first_stride / 2 if first_stride == 4 else 0.5


def lift_cells(cameras: tuple[Camera, ...], grid: BevGrid, bins: int, stride_px: int = 8, first_stride: int = 4) -> tuple[Tensor, Tensor]:
    """Precompute where each feature cell of each camera lands at each depth.

    Args:
        cameras: K cameras of one resolution.
        grid: The bird's-eye grid.
        bins: D.
        stride_px: Pixels from one feature cell to the next.
        first_stride: Stride of the camera's first layer.

    Returns:
        Cell number and whether it is inside, each (K, D, h * w), for feature maps of height by width over the stride, rounded up.
    """
    depth_m = depth_bins_m(bins).double()
    cells, inside = [], []
    for camera in cameras:
        rows, columns = math.ceil(camera.height_px / stride_px), math.ceil(camera.width_px / stride_px)
        down = torch.arange(rows, dtype=torch.float64) * stride_px + centre_px(first_stride) - camera.height_px / 2
        right = torch.arange(columns, dtype=torch.float64) * stride_px + centre_px(first_stride) - camera.width_px / 2
        up, left = torch.meshgrid(-down / camera.focal_px, -right / camera.focal_px, indexing="ij")
        rays = torch.stack((torch.ones_like(up), left, up), -1).reshape(-1, 3)  # (h w, 3), planar depth 1
        ego_T_camera = torch.from_numpy(camera.mount.ego_T_sensor())
        xyz_ego = (depth_m[:, None, None] * rays) @ ego_T_camera[:3, :3].mT + ego_T_camera[:3, 3]  # (D, h w, 3)
        cell, within, _, _ = grid.locate(xyz_ego[..., 0], xyz_ego[..., 1])
        cells.append(cell)
        inside.append(within)
    return torch.stack(cells), torch.stack(inside)


class CameraEncoder(nn.Module):
    """A small CNN, a softmax over depths, and a sum into the grid (Philion and Fidler 2020, Lift, Splat, Shoot).

    What is lifted is how a feature differs from the mean of its picture row. What is alike along a row, sky and road, fills most of a
    picture and looks the same in every world; lifted with the rest it drowns the cars, and a driver learns to do without its cameras.
    """

    cell: Tensor
    inside: Tensor

    def __init__(self, cameras: tuple[Camera, ...], size: ModelSize):
        super().__init__()
        self.grid, self.bins, self.width = size.grid, size.depth_bins, size.splat_channels
        stride_px = size.camera_stride_px
        self.columns = math.ceil(cameras[0].width_px / stride_px)
        self.pad = (0, -cameras[0].width_px % stride_px, 0, -cameras[0].height_px % stride_px)
        layers: list[nn.Module] = []
        before = 3
        for channels, stride in zip(size.camera_channels, size.camera_strides, strict=True):
            layers += [*conv(before, channels, stride), *(Block(channels) for _ in range(size.camera_blocks))]
            before = channels
        self.trunk = nn.Sequential(*layers, nn.Conv2d(before, self.bins + self.width, 1))
        cell, inside = lift_cells(cameras, size.grid, self.bins, stride_px, size.camera_strides[0])
        self.register_buffer("cell", cell.flatten(), persistent=False)
        self.register_buffer("inside", inside.float(), persistent=False)

    def forward(self, rgb: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            rgb: (B, K, 3, H, W) in [0, 255], bytes or floats.
            alive: (B, K) bool.

        Returns:
            The map, (B, C, X, Y), and how likely each depth is at each feature cell, (B, K, D, h * w).
        """
        worlds, cameras = alive.shape
        image = rgb * (1.0 / 255.0)
        if not bool(alive.all()):
            image = torch.where(alive[:, :, None, None, None], image, 0.0)  # not a product: a dead camera's NaN must not get through
        if any(self.pad):
            image = nn.functional.pad(image, self.pad)
        found = self.trunk(image.flatten(0, 1)).flatten(2)  # (B K, D + C, h w)
        found = found.view(worlds, cameras, self.bins + self.width, -1)
        likely = found[:, :, : self.bins].softmax(2)
        depth = likely * self.inside * alive[:, :, None, None]  # (B, K, D, h w)
        by_row = found[:, :, self.bins :].unflatten(3, (-1, self.columns))  # (B, K, C, h, w)
        context = (by_row - by_row.mean(4, keepdim=True)).flatten(3).transpose(2, 3).contiguous()  # (B, K, h w, C)
        rows = depth.contiguous()[..., None] * context[:, :, None]  # (B, K, D, h w, C)
        cell = batch_cells(self.cell.expand(worlds, -1), self.grid.cells)
        return as_map(splat_sum(rows.view(-1, self.width), cell, worlds * self.grid.cells), worlds, self.grid), likely


class PillarNet(nn.Module):
    """Points to a map: a small network on each point, then the largest value per cell (Lang et al. 2019, PointPillars; no caps)."""

    def __init__(self, features: int, grid: BevGrid, width: int, hidden: int):
        super().__init__()
        self.grid = grid
        self.net = nn.Sequential(nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, features: Tensor, world: Tensor, cell: Tensor, num_worlds: int) -> Tensor:
        """Encode N points of B worlds.

        Args:
            features: (N, F).
            world: Which world a point belongs to, (N,) int64.
            cell: Which cell of that world's grid, (N,) int64.
            num_worlds: B.

        Returns:
            (B, W, X, Y); zero where no point fell.
        """
        rows = splat_max(self.net(features), world * self.grid.cells + cell, num_worlds * self.grid.cells)
        return as_map(rows, num_worlds, self.grid)


class LidarEncoder(nn.Module):
    """Points above the road, from range images and the rig's beam directions, in pillars."""

    direction: Tensor
    origin_m: Tensor
    max_range_m: Tensor

    def __init__(self, lidars: tuple[Lidar, ...], grid: BevGrid, width: int, hidden: int):
        super().__init__()
        self.grid = grid
        self.pillars = PillarNet(LIDAR_FEATURES, grid, width, hidden)
        poses = torch.stack([torch.from_numpy(lidar.mount.ego_T_sensor()).float() for lidar in lidars])
        local = torch.stack([beam_directions(lidar) for lidar in lidars])  # (K, P, 3)
        self.register_buffer("direction", local @ poses[:, :3, :3].mT, persistent=False)
        self.register_buffer("origin_m", poses[:, :3, 3], persistent=False)
        self.register_buffer("max_range_m", torch.tensor([lidar.max_range_m for lidar in lidars]), persistent=False)

    def forward(self, sweep: Tensor, alive: Tensor) -> Tensor:
        """Encode sweeps.

        Args:
            sweep: (B, K, 3, beams, columns): hit, range over the largest range, intensity.
            alive: (B, K) bool.

        Returns:
            (B, W, X, Y).
        """
        hit, reach, intensity = sweep.flatten(3).unbind(2)  # each (B, K, P)
        height_m = reach * (self.direction[..., 2] * self.max_range_m[:, None]) + self.origin_m[:, None, 2]
        world, lidar, ray = ((hit > 0.5) & alive[..., None] & (height_m > GROUND_M)).nonzero(as_tuple=True)
        range_m = reach[world, lidar, ray] * self.max_range_m[lidar]
        xyz_m = range_m[:, None] * self.direction[lidar, ray] + self.origin_m[lidar]  # (N, 3)
        cell, inside, off_x, off_y = self.grid.locate(xyz_m[:, 0], xyz_m[:, 1])
        near = torch.stack((range_m / 80.0, intensity[world, lidar, ray], off_x, off_y), -1)
        world, cell, xyz_m, near = world[inside], cell[inside], xyz_m[inside], near[inside]
        features = torch.cat((xyz_m / xyz_m.new_tensor([40.0, 20.0, 1.5]), near, self._from_mean(xyz_m, world, cell, len(sweep))), -1)
        result: Tensor = self.pillars(features, world, cell, len(sweep))
        return result

    def _from_mean(self, xyz_m: Tensor, world: Tensor, cell: Tensor, num_worlds: int) -> Tensor:
        """Each point's offset from the mean of its pillar, in metres, (N, 3)."""
        row = world * self.grid.cells + cell
        total = splat_sum(torch.cat((xyz_m, torch.ones_like(xyz_m[:, :1])), -1), row, num_worlds * self.grid.cells)[row]
        return xyz_m - total[:, :3] / total[:, 3:]


def beam_directions(lidar: Lidar) -> Tensor:
    """Unit directions of every beam at every column in the lidar's frame, (beams * columns, 3)."""
    azimuth = 2 * math.pi * (torch.arange(lidar.columns, dtype=torch.float64) + 0.5) / lidar.columns
    elevation, azimuth = torch.meshgrid(torch.tensor(lidar.elevations_rad, dtype=torch.float64), azimuth, indexing="ij")
    flat = elevation.cos()
    return torch.stack((flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()), -1).reshape(-1, 3).float()


class RadarEncoder(nn.Module):
    """Every radar detection in pillars, with its radial speed as measured and with the ego's own motion taken out."""

    pose: Tensor
    scale: Tensor

    def __init__(self, radars: tuple[Radar, ...], grid: BevGrid, width: int, hidden: int):
        super().__init__()
        self.grid = grid
        self.pillars = PillarNet(RADAR_POINT_FEATURES, grid, width, hidden)
        poses = torch.stack([torch.from_numpy(radar.mount.ego_T_sensor()).float() for radar in radars])
        self.register_buffer("pose", poses, persistent=False)
        scales = [[RADAR_SCALES.get(name, radar.max_range_m) for name in RADAR_FEATURES] for radar in radars]
        self.register_buffer("scale", torch.tensor(scales), persistent=False)

    def forward(self, detections: Tensor, alive: Tensor, speed_mps: Tensor) -> Tensor:
        """Encode detections.

        Args:
            detections: (B, K, D, 7): mask, then `sensors.frames.RADAR_FEATURES` over their scales.
            alive: (B, K) bool.
            speed_mps: The ego's speed, (B,).

        Returns:
            (B, W, X, Y).
        """
        world, radar, entry = ((detections[..., 0] > 0.5) & alive[..., None]).nonzero(as_tuple=True)
        features, _, _, cell, inside = self._read(detections[world, radar, entry, 1:], radar, speed_mps[world])
        result: Tensor = self.pillars(features[inside], world[inside], cell[inside], len(detections))
        return result

    def points(self, detections: Tensor, alive: Tensor, speed_mps: Tensor) -> RadarPoints:
        """Every detection for itself, for a graph; arguments as for ``forward``."""
        there = (detections[..., 0] > 0.5) & alive[..., None]  # (B, K, D)
        scaled = torch.where(there[..., None], detections[..., 1:], 0.0)
        radar = torch.arange(detections.shape[1], device=detections.device)[:, None].expand(there.shape)
        features, xy_m, velocity_mps, _, _ = self._read(scaled, radar, speed_mps[:, None, None])
        xy_m, velocity_mps, features = (torch.where(there[..., None], part, 0.0).flatten(1, 2) for part in (xy_m, velocity_mps, features))
        return RadarPoints(xy_m, velocity_mps, features, there.flatten(1, 2))

    def _read(self, scaled: Tensor, radar: Tensor, speed_mps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Scaled detections (..., 6): features (..., F), place and velocity along the line of sight (..., 2), cell, and if it is inside."""
        range_m, azimuth, elevation, doppler_mps, _, _ = (scaled * self.scale[radar]).unbind(-1)
        flat = elevation.cos()
        local = torch.stack((flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()), -1)
        direction = (self.pose[radar, :3, :3] * local[..., None, :]).sum(-1)  # no matmul: autocast would round it to bfloat16
        xyz_m = range_m[..., None] * direction + self.pose[radar, :3, 3]
        cell, inside, off_x, off_y = self.grid.locate(xyz_m[..., 0], xyz_m[..., 1])
        over_ground_mps = doppler_mps + speed_mps * direction[..., 0]
        features = torch.cat(
            (
                xyz_m / xyz_m.new_tensor([40.0, 20.0, 1.5]),
                torch.stack((off_x, off_y, direction[..., 0], direction[..., 1], doppler_mps / 10.0, over_ground_mps / 30.0), -1),
                scaled[..., [0, 4, 5]],
            ),
            -1,
        )
        return features, xyz_m[..., :2], over_ground_mps[..., None] * direction[..., :2], cell, inside


class EgoEncoder(nn.Module):
    """What the car knows of itself: speed, yaw rate, acceleration, last action."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, width), nn.LayerNorm(width), nn.SiLU())

    def forward(self, ego: Tensor) -> Tensor:
        """Encode (B, 4 + C) into (B, width)."""
        result: Tensor = self.net(ego)
        return result


def ego_motion(ego: Tensor) -> Tensor:
    """Read speed [m/s] and yaw rate [rad/s] back out of a packed ego observation (..., 4 + C), (..., 2)."""
    return torch.stack([ego[..., EGO_FEATURES.index(name)] * EGO_SCALES[name] for name in ("speed_mps", "yaw_rate_radps")], -1)
