"""Labels that a simulator gives free: what lies in each cell of the bird's-eye grid, how it moves, where it will be, what is broken.

All are in the ego's frame and on the grid of the maps that the network fuses. The ego itself is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drive_fusion.bev import BevGrid, cell_centres_m
from drive_fusion.encoders import centre_px, depth_bins_m
from drive_fusion.sizes import ModelSize
from sensors.batch import Batch
from sensors.faults.kinds import FAULTS_OF, FaultKind, Modality
from sensors.faults.levels import levels_of
from sensors.frames import CameraFrames
from sensors.rig import Rig
from sensors.road import Floats, Pieces, RoadMap
from sensors.scene import Kind, Scene

UNKNOWN = -1


class Cell(IntEnum):
    """What a cell of the ground shows."""

    OFF_ROAD = 0
    ROAD = 1
    LINE = 2
    """Road with a painted line within half a cell's width of the cell's centre."""
    VEHICLE = 3
    OBSTACLE = 4


@dataclass(frozen=True)
class Labels(Batch):
    """The labels of B instants."""

    occupied: Tensor  # (B, X, Y) bool
    occupied_later: Tensor  # (B, X, Y) bool, a second on, in the frame of now
    later_known: Tensor  # (B,) bool
    velocity_mps: Tensor  # (B, 2, X, Y) over ground, along the ego's axes; 0 where nothing is
    cell: Tensor  # (B, X, Y) int64, a Cell
    depth_bin: Tensor  # (B, K, h * w) int64, UNKNOWN for the sky and beyond the last bin; K = 0 without cameras
    faulty: Tensor  # (B, columns) bool, the columns of fault_columns

    def narrow(self) -> Labels:
        """The same in a third of the memory, for who keeps many."""
        return replace(self, cell=self.cell.to(torch.uint8), depth_bin=self.depth_bin.to(torch.int8))

    def wide(self) -> Labels:
        """What lessons take, of what ``narrow`` gave."""
        return replace(self, cell=self.cell.long(), depth_bin=self.depth_bin.long())


def labels_of(
    scene: Scene,
    rig: Rig,
    size: ModelSize,
    camera: CameraFrames | None = None,
    later: Scene | None = None,
    later_known: Tensor | None = None,
) -> Labels:
    """Make the labels of B worlds.

    Args:
        scene: Now.
        rig: Whose faults and cameras.
        size: Of the network that will be taught.
        camera: The rig's frames of now, for their true depth; without them depth is unknown.
        later: The same worlds a second on.
        later_known: Worlds of which ``later`` is true, (B,) bool; by default all, or none without ``later``.
    """
    grid = size.feature_grid
    covered = covers(scene, grid)  # (B, A, cells)
    shape = (scene.num_worlds, grid.x_cells, grid.y_cells)
    after = covers(later, grid, scene).any(1) if later is not None else torch.zeros_like(covered[:, 0])
    known = torch.full((scene.num_worlds,), later is not None, device=scene.device) if later_known is None else later_known
    return Labels(
        occupied=covered.any(1).view(shape),
        occupied_later=after.view(shape),
        later_known=known,
        velocity_mps=cell_velocity_mps(scene, covered).view(shape[0], 2, *shape[1:]),
        cell=cell_kinds(scene, grid, covered).view(shape),
        depth_bin=depth_labels(camera, rig, size, scene.num_worlds).to(scene.device),
        faulty=fault_labels(scene, rig),
    )


def in_frame_of(scene: Scene, seer: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (B, A, 2), headings (B, A) and velocities (B, A, 2) of a scene in the frame of another scene's ego."""
    heading_rad = seer.heading_rad[:, :1]
    cos, sin = heading_rad.cos(), heading_rad.sin()

    def turned(vector: Tensor) -> Tensor:
        return torch.stack((cos * vector[..., 0] + sin * vector[..., 1], cos * vector[..., 1] - sin * vector[..., 0]), -1)

    return turned(scene.position_m - seer.position_m[:, :1]), scene.heading_rad - heading_rad, turned(scene.velocity_mps)


def covers(scene: Scene, grid: BevGrid, seer: Scene | None = None) -> Tensor:
    """Which cells each actor's footprint overlaps, by separating axes (Gottschalk et al. 1996).

    Args:
        scene: B worlds of A actors.
        grid: N cells.
        seer: Its ego's frame is the grid's; by default the scene's own.

    Returns:
        (B, A, N) bool; false for the ego, and for actors that are not there.
    """
    xy_m, heading_rad, _ = in_frame_of(scene, seer if seer is not None else scene)
    cos, sin = heading_rad.cos()[..., None], heading_rad.sin()[..., None]
    half = scene.size_m[..., :2, None] / 2.0
    length_m, width_m = half[..., 0, :], half[..., 1, :]  # (B, A, 1)
    deep_m, wide_m = grid.cell_m[0] / 2.0, grid.cell_m[1] / 2.0
    centre_m = cell_centres_m(grid).to(xy_m)
    x, y = (centre_m[:, axis] - xy_m[..., axis, None] for axis in (0, 1))  # (B, A, N)
    overlap = (x.abs() < deep_m + length_m * cos.abs() + width_m * sin.abs()) & (
        y.abs() < wide_m + length_m * sin.abs() + width_m * cos.abs()
    )
    overlap &= (x * cos + y * sin).abs() < length_m + deep_m * cos.abs() + wide_m * sin.abs()
    overlap &= (y * cos - x * sin).abs() < width_m + deep_m * sin.abs() + wide_m * cos.abs()
    there = scene.valid.clone()
    there[:, 0] = False
    return overlap & there[..., None]


def cell_velocity_mps(scene: Scene, covered: Tensor) -> Tensor:
    """Mean velocity over ground of the actors in each cell, along the ego's axes, (B, 2, N) float32."""
    velocity_mps = in_frame_of(scene, scene)[2].float()
    share = covered.float()
    return torch.einsum("ban,bac->bcn", share, velocity_mps) / share.sum(1).clamp(min=1.0)[:, None]


def cell_kinds(scene: Scene, grid: BevGrid, covered: Tensor) -> Tensor:
    """What each cell shows, a ``Cell``, (B, N) int64: of several things the one with the highest number."""
    centre_m = cell_centres_m(grid).double()
    heading_rad = scene.heading_rad[:, :1].double().cpu()
    cos, sin = heading_rad.cos(), heading_rad.sin()
    x = scene.position_m[:, :1, 0].double().cpu() + cos * centre_m[:, 0] - sin * centre_m[:, 1]
    y = scene.position_m[:, :1, 1].double().cpu() + sin * centre_m[:, 0] + cos * centre_m[:, 1]
    points_m = torch.stack((x, y), -1).reshape(-1, 2).numpy()
    road = scene.road
    on_lane = _beside(road, road.lanes, road.lane_width_m[road.lane_of_piece] / 2.0, points_m)
    on_line = _beside(road, road.paint, np.full(len(road.paint.length_m), grid.cell_m[1] / 2.0), points_m)
    found = np.where(on_line, Cell.LINE, np.where(on_lane, Cell.ROAD, Cell.OFF_ROAD))
    ground = torch.from_numpy(found.astype(np.int64)).view(covered.shape[0], -1).to(covered.device)
    obstacle = scene.kind == Kind.OBSTACLE
    ground = torch.where((covered & ~obstacle[..., None]).any(1), int(Cell.VEHICLE), ground)
    return torch.where((covered & obstacle[..., None]).any(1), int(Cell.OBSTACLE), ground)


def _beside(road: RoadMap, pieces: Pieces, reach_m: Floats, points_m: Floats) -> NDArray[np.bool_]:
    """Which points lie alongside any piece, no further from it than ``reach_m`` (S,): (N,) bool."""
    if not len(pieces.length_m):
        return np.zeros(len(points_m), bool)
    run_m, lateral_m, _ = replace(road, lanes=pieces).project(points_m)
    along = (run_m >= pieces.offset_m) & (run_m <= pieces.offset_m + pieces.length_m)
    return np.asarray((along & (np.abs(lateral_m) <= reach_m)).any(1))


def depth_labels(camera: CameraFrames | None, rig: Rig, size: ModelSize, worlds: int) -> Tensor:
    """Nearest depth bin at the middle of each feature cell, (B, K, h * w) int64."""
    stride_px, first_px = size.camera_stride_px, int(centre_px(size.camera_strides[0]))
    count = len(rig.cameras)
    height, width = (rig.cameras[0].height_px, rig.cameras[0].width_px) if count else (0, 0)
    rows, columns = -(-height // stride_px), -(-width // stride_px)
    if camera is None or not count:
        return torch.full((worlds, count, rows * columns), UNKNOWN)
    down = (torch.arange(rows) * stride_px + first_px).clamp(max=height - 1)
    right = (torch.arange(columns) * stride_px + first_px).clamp(max=width - 1)
    depth_m = camera.depth_m[:, :, down][..., right].flatten(2)  # (B, K, h w)
    bins = depth_bins_m(size.depth_bins).log()
    step = (bins[1] - bins[0]) if size.depth_bins > 1 else torch.tensor(torch.inf)
    place = (depth_m.clamp(min=0.1).log() - bins[0]) / step
    nearest = place.round().long().clamp(min=0)
    return torch.where((depth_m > 0.0) & (nearest < size.depth_bins) & camera.valid[..., None], nearest, UNKNOWN)


def fault_columns(rig: Rig) -> list[tuple[Modality, int, FaultKind]]:
    """Which fault of which sensor each column of ``Labels.faulty`` tells."""
    kinds = zip(Modality, (rig.cameras, rig.lidars, rig.radars), strict=True)
    return [(modality, number, kind) for modality, sensors in kinds for number in range(len(sensors)) for kind in FAULTS_OF[modality]]


def fault_labels(scene: Scene, rig: Rig) -> Tensor:
    """Which faults act now on which sensors of the rig, (B, columns) bool."""
    columns = fault_columns(rig)
    faulty = torch.zeros(scene.num_worlds, len(columns), dtype=torch.bool)
    faults, step = scene.faults.to("cpu"), scene.step.cpu()
    for modality, sensors in zip(Modality, (rig.cameras, rig.lidars, rig.radars), strict=True):
        levels = levels_of(faults, step, modality, len(sensors)) if sensors else {}
        for place, (other, number, kind) in enumerate(columns):
            if other is modality and kind in levels:
                faulty[:, place] = levels[kind][:, number] > 0
    return faulty.to(scene.device)
