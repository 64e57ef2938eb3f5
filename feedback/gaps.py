"""Where the ego is on its road and how close the cars before and behind it are: the geometry of a scene, no opinion in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.road import RoadMap
from sensors.scene import Scene

FAR_M = 100.0
"""A gap to nobody, and the largest gap told."""
FAR_S = 10.0
"""The largest headway and time to collision told."""
LANE_OVERRUN_M = 5.0
"""How far beyond a lane's ends still counts as on it, as in highway-env's ``AbstractLane.on_lane``."""
CLOSING_MPS = 0.1
"""Slower approaches count as keeping the distance."""
STANDING_MPS = 0.5
"""Headways are told for at least this speed, so that a parked car has a finite one."""


@dataclass(frozen=True)
class LanePoses(Batch):
    """Each actor against the lane that it is on."""

    lane: Tensor  # (B, A) int64
    run_m: Tensor  # (B, A) arc length along the lane
    lateral_m: Tensor  # (B, A) offset from the centre line, positive left
    heading_error_rad: Tensor  # (B, A)
    on_road: Tensor  # (B, A) bool: the centre is within some lane


@dataclass(frozen=True)
class Gaps(Batch):
    """The ego's distance, bumper to bumper, to the next car ahead and behind in its path; ``FAR_M`` and 0 where nobody is."""

    front_m: Tensor  # (B,)
    front_closing_mps: Tensor  # (B,) positive while the gap shrinks
    rear_m: Tensor  # (B,)
    rear_closing_mps: Tensor  # (B,)
    ego_speed_mps: Tensor  # (B,)
    rear_braking_mps2: Tensor  # (B,) how hard the car behind brakes, 0 or more

    @property
    def headway_s(self) -> Tensor:
        """Time until the ego is where the leader's rear bumper is now, (B,), at most ``FAR_S``."""
        return (self.front_m / self.ego_speed_mps.clamp(min=STANDING_MPS)).clamp(max=FAR_S)

    @property
    def front_ttc_s(self) -> Tensor:
        """Time to collision with the leader at constant speeds, (B,), at most ``FAR_S``."""
        return time_to_collision(self.front_m, self.front_closing_mps)

    @property
    def rear_ttc_s(self) -> Tensor:
        """Time until the car behind runs into the ego at constant speeds, (B,), at most ``FAR_S``."""
        return time_to_collision(self.rear_m, self.rear_closing_mps)


def time_to_collision(gap_m: Tensor, closing_mps: Tensor) -> Tensor:
    """How long a gap lasts at a constant closing speed, at most ``FAR_S``; ``FAR_S`` where the gap does not shrink."""
    lasts = (gap_m / closing_mps.clamp(min=CLOSING_MPS)).clamp(max=FAR_S)
    return torch.where(closing_mps > CLOSING_MPS, lasts, torch.full_like(lasts, FAR_S))


def lane_poses(scene: Scene) -> LanePoses:
    """Find every actor's lane; actors that are not valid get lane 0 and zeros.

    Args:
        scene: B worlds of A actors.

    Returns:
        Lanes, offsets and the rest, each (B, A).
    """
    worlds, actors = scene.valid.shape
    road, device, dtype = scene.road, scene.device, scene.position_m.dtype
    lane, run, lateral, error, within = np.zeros((5, worlds * actors))
    valid = scene.valid.reshape(-1).cpu().numpy()
    if road.num_lanes and valid.any():
        points = scene.position_m.detach().double().reshape(-1, 2).cpu().numpy()[valid]
        headings = scene.heading_rad.detach().double().reshape(-1).cpu().numpy()[valid]
        lane[valid], run[valid], lateral[valid], error[valid] = road.locate(points, headings)
        number = lane.astype(np.int64)
        beside = np.abs(lateral) <= 0.5 * road.lane_width_m[number]
        within[valid] = (beside & (run >= -LANE_OVERRUN_M) & (run < road.lane_length_m[number] + LANE_OVERRUN_M))[valid]

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=device).reshape(worlds, actors)

    return LanePoses(tensor(lane).long(), tensor(run), tensor(lateral), tensor(error), tensor(within).bool())


def ego_frame(scene: Scene) -> tuple[Tensor, Tensor]:
    """Place and velocity of every actor relative to the ego, in its frame.

    Args:
        scene: B worlds of A actors.

    Returns:
        Relative position [m] and relative velocity [m/s], each (B, A, 2), x forward and y left of the ego.
    """
    cos, sin = scene.heading_rad[:, 0].cos(), scene.heading_rad[:, 0].sin()
    ego_R_world = torch.stack((torch.stack((cos, sin), -1), torch.stack((-sin, cos), -1)), -2)  # (B, 2, 2)
    position = scene.position_m - scene.position_m[:, :1]
    velocity = scene.velocity_mps - scene.velocity_mps[:, :1]
    return position @ ego_R_world.mT, velocity @ ego_R_world.mT


def gaps(scene: Scene, poses: LanePoses | None = None) -> Gaps:
    """Measure the gap to the next car ahead and behind.

    A car is in the ego's path if it is on the same lane, or if its body overlaps the straight strip that the ego sweeps (a car that
    cuts in is not yet on the lane).

    Args:
        scene: B worlds of A actors.
        poses: ``lane_poses(scene)`` where it is at hand.
    """
    poses = lane_poses(scene) if poses is None else poses
    position, velocity = ego_frame(scene)
    same_lane = (poses.lane == poses.lane[:, :1]) & poses.on_road & poses.on_road[:, :1]
    width, length = scene.size_m[..., 1], scene.size_m[..., 0]
    in_strip = position[..., 1].abs() < 0.5 * (width + width[:, :1])
    along = torch.where(same_lane, poses.run_m - poses.run_m[:, :1], position[..., 0])
    others = scene.valid.clone()
    others[:, 0] = False
    in_path = others & (same_lane | in_strip) & scene.valid[:, :1]
    between = (along.abs() - 0.5 * (length + length[:, :1])).clamp(0.0, FAR_M)

    forward = torch.stack((scene.heading_rad.cos(), scene.heading_rad.sin()), -1)
    braking = -(scene.acceleration_mps2 * forward).sum(-1).clamp(max=0.0)

    def nearest(side: Tensor, sign: float) -> tuple[Tensor, Tensor, Tensor]:
        distance = torch.where(side & in_path, between, torch.full_like(between, FAR_M))
        gap, who = distance.min(dim=1)
        closing = -sign * velocity[..., 0].gather(1, who[:, None])[:, 0]
        nobody = torch.zeros_like(closing)
        brakes = braking.gather(1, who[:, None])[:, 0]
        return gap, torch.where(gap < FAR_M, closing, nobody), torch.where(gap < FAR_M, brakes, nobody)

    front, front_closing, _ = nearest(along >= 0.0, 1.0)
    rear, rear_closing, rear_braking = nearest(along < 0.0, -1.0)
    return Gaps(front, front_closing, rear, rear_closing, scene.speed_mps[:, 0], rear_braking)


def speed_limit(scene: Scene, poses: LanePoses) -> Tensor:
    """Speed limit of the ego's lane [m/s], (B,); infinite where there is no lane."""
    limits = torch.as_tensor(scene.road.lane_speed_limit_mps, dtype=scene.speed_mps.dtype, device=scene.device)
    if not len(limits):
        return torch.full_like(scene.speed_mps[:, 0], torch.inf)
    return limits[poses.lane[:, 0]]


def box_time_to_collision(scene: Scene) -> Tensor:
    """Time until the ego's box meets any other box, if nobody changes speed or direction.

    Boxes are taken parallel to the ego (a turned one by the box around it), so the time is exact on a road and cautious at crossings.

    Args:
        scene: B worlds of A actors.

    Returns:
        (B,), at most ``FAR_S``; 0 where boxes overlap.
    """
    position, velocity = ego_frame(scene)
    turned = scene.heading_rad - scene.heading_rad[:, :1]
    length, width = scene.size_m[..., 0], scene.size_m[..., 1]
    half_long = 0.5 * (turned.cos().abs() * length + turned.sin().abs() * width)
    half_side = 0.5 * (turned.sin().abs() * length + turned.cos().abs() * width)
    reach = torch.stack((half_long + half_long[:, :1], half_side + half_side[:, :1]), -1)  # (B, A, 2)
    moving = velocity.abs() > 1e-3
    pace = torch.where(moving, velocity, torch.ones_like(velocity))
    one, other = (-reach - position) / pace, (reach - position) / pace
    overlaps = position.abs() < reach
    always, never = torch.full_like(one, -torch.inf), torch.full_like(one, torch.inf)
    enter = torch.where(moving, torch.minimum(one, other), torch.where(overlaps, always, never)).amax(-1)
    leave = torch.where(moving, torch.maximum(one, other), torch.where(overlaps, never, always)).amin(-1)
    others = scene.valid & scene.valid[:, :1]
    others[:, 0] = False
    meets = others & (enter < leave) & (leave > 0.0)
    return torch.where(meets, enter.clamp(0.0, FAR_S), torch.full_like(enter, FAR_S)).amin(1)


def lane_sides(road: RoadMap) -> tuple[np.ndarray, np.ndarray]:
    """Say which lanes have a neighbour on the left and on the right; two masks of shape (L,)."""
    places = set(zip(road.lane_road.tolist(), road.lane_index.tolist(), strict=True))
    pairs = list(zip(road.lane_road.tolist(), road.lane_index.tolist(), strict=True))
    left = np.asarray([(number, index - 1) in places for number, index in pairs], bool)
    right = np.asarray([(number, index + 1) in places for number, index in pairs], bool)
    return left, right
