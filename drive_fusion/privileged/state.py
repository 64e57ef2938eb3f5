"""Privileged state as one vector of numbers from a scene.

the ego's speed, yaw rate and acceleration as in a rig's observation, its last action; LANE_FEATURES of its lane; that lane's middle as
points in the ego's frame, AHEAD_M on; the nearest ACTORS others, nearest first, ACTOR_FEATURES each, zeros for none; then how near others
would come (`clearances`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from drive_fusion.privileged.clearance import CLEARANCES, clearances
from drive_fusion.privileged.lanes import AHEAD_M, DISTANCE_M, LANE_FEATURES, LaneGuide, in_ego_frame
from envs.observation import EGO_SCALES
from sensors.ego import ego_frames
from sensors.frames import EGO_FEATURES
from sensors.scene import Light, Scene

ACTORS = 10
REACH_M = (-30.0, 80.0, 60.0)
"""Others further behind, ahead or to a side than this are not known: about where the bird's-eye grids of the senses end."""
ACTOR_FEATURES = ("there", "x", "y", "vx", "vy", "cos", "sin", "length", "width", "signal", "brake", "crashed")
"""Position, velocity relative to the ego and heading in the ego's frame, size, signal (1 left, -1 right), ...; scaled to about 1."""
SPEED_MPS, SIZE_M = 20.0, 10.0
"""What is 1 in the vector."""
LARGEST = 4.0


def privileged_space(action_width: int) -> spaces.Box:
    """The space of one world's privileged state, where an action has ``action_width`` numbers in ``Scene.action``."""
    width = len(EGO_FEATURES) + action_width + len(LANE_FEATURES) + 2 * len(AHEAD_M) + ACTORS * len(ACTOR_FEATURES)
    return spaces.Box(-LARGEST, LARGEST, (width + CLEARANCES,), np.float32)


class PrivilegedState:
    """Tells privileged state; keeps the tables that it makes of a road map."""

    def __init__(self) -> None:
        self._guide: LaneGuide | None = None

    def __call__(self, scene: Scene) -> Tensor:
        """Privileged state of B worlds.

        Args:
            scene: Of one map.

        Returns:
            (B, D) float32 on the scene's device, as `privileged_space` says.
        """
        if self._guide is None or not self._guide.is_of(scene):
            self._guide = LaneGuide(scene.road, scene.device)
        guide = self._guide
        place = guide.locate(scene)
        lane = (place.features, guide.ahead(scene, place))
        parts = (ego_motion(scene), scene.action, *lane, nearest_actors(scene), clearances(scene, guide, place))
        return torch.cat([part.float() for part in parts], 1).clamp(-LARGEST, LARGEST)


def ego_motion(scene: Scene) -> Tensor:
    """EGO_FEATURES of the ego, scaled as in a rig's observation, (B, 4)."""
    motion = ego_frames(scene.to("cpu")).motion.to(scene.device)
    return motion / torch.tensor([EGO_SCALES[name] for name in EGO_FEATURES], device=scene.device)


def nearest_actors(scene: Scene) -> Tensor:
    """ACTOR_FEATURES of the nearest ACTORS others within reach, (B, ACTORS * features)."""
    place_m = in_ego_frame(scene, scene.position_m - scene.position_m[:, :1])
    back_m, front_m, side_m = REACH_M
    known = scene.valid & (place_m[..., 0] > back_m) & (place_m[..., 0] < front_m) & (place_m[..., 1].abs() < side_m)
    known[:, 0] = False
    distance_m = torch.where(known, place_m.norm(dim=-1), math.inf)
    near = distance_m.topk(min(ACTORS, scene.num_actors), largest=False).indices  # (B, N)
    speed_mps = in_ego_frame(scene, scene.velocity_mps - scene.velocity_mps[:, :1])
    turned_rad = scene.heading_rad - scene.heading_rad[:, :1]
    lights = scene.lights
    signal = ((lights & int(Light.LEFT)) > 0).long() - ((lights & int(Light.RIGHT)) > 0).long()
    columns = [
        torch.ones_like(turned_rad),
        *(place_m / DISTANCE_M).unbind(-1),
        *(speed_mps / SPEED_MPS).unbind(-1),
        turned_rad.cos(),
        turned_rad.sin(),
        *(scene.size_m[..., :2] / SIZE_M).unbind(-1),
        signal,
        (lights & int(Light.BRAKE)) > 0,
        scene.crashed,
    ]
    table = torch.stack([column.to(turned_rad) for column in columns], -1)  # (B, A, features)
    chosen = table.gather(1, near[..., None].expand(-1, -1, table.shape[-1]))
    chosen = torch.where(known.gather(1, near)[..., None], chosen, 0.0)
    return nn.functional.pad(chosen, (0, 0, 0, ACTORS - chosen.shape[1])).flatten(1)
