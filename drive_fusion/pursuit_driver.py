"""A scripted driver who sees the whole scene and steers: keeps to its lane's middle by pure pursuit (Coulter 1992), and overtakes.

It is the first teacher where the ego only steers, as on racetrack-v0: PPO on privileged state did not find out by itself how to overtake.
It changes to a lane beside its own where somebody is in its way and nobody there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from drive_fusion.privileged.lanes import LaneGuide, Place, in_ego_frame
from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.rig import Rig
from sensors.scene import Scene

HALF_LENGTH_M = 2.5
"""From highway-env's cars' middle, the point that their kinematic bicycle turns about, to an axle."""
STEERING_RAD = math.pi / 4
"""What a full action steers."""
STEP_M = 1.0


@dataclass
class PursuitDriver:
    """Steers only; somebody else sees to the speed."""

    pursued_m: float = 6.0
    """How far ahead on its lane the point lies that it steers for."""
    pursued_changing_m: float = 10.0
    """The same on the way to another lane."""
    in_the_way_m: float = 22.0
    """Who is slower and nearer than this in its lane is to be overtaken."""
    free_behind_m: float = 8.0
    free_ahead_m: float = 16.0
    """Nobody may be so near in the lane that it changes to."""
    beside_m: float = 2.5
    """Who is so near a lane's middle is in it."""
    autopilot: bool = False
    needs_frames: Rig | None = None
    _guide: LaneGuide | None = field(default=None, repr=False)

    def reset(self, state: Any, where: Tensor) -> Any:
        """Nothing to forget."""
        return state

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Decide for every world, (B, 1), from the scene alone.

        Raises:
            ConfigError: The world's action is not one number, the steering.
        """
        if scene.action.shape[1] != 1:
            raise ConfigError(f"driver 'pursuit' steers by one number, but this world's action has {scene.action.shape[1]}")
        if self._guide is None or not self._guide.is_of(scene):
            self._guide = LaneGuide(scene.road, scene.device)
        here = self._guide.locate(scene)
        goal, changing = self._chosen(scene, self._guide, here)
        further_m = torch.where(changing, self.pursued_changing_m, self.pursued_m)[:, None].to(here.run_m)
        aim_m = in_ego_frame(scene, self._guide.points(goal, further_m, torch.zeros_like(goal.lane)) - scene.position_m[:, :1])[:, 0]
        return self._steering(aim_m)[:, None].float(), None

    def _steering(self, aim_m: Tensor) -> Tensor:
        """The action whose circle goes through a point in the ego's frame, (B,)."""
        curvature_per_m = 2.0 * aim_m[:, 1] / (aim_m**2).sum(1).clamp(min=1.0)
        slip_rad = torch.asin((HALF_LENGTH_M * curvature_per_m).clamp(-0.9, 0.9))
        return (-torch.atan(2.0 * slip_rad.tan()) / STEERING_RAD).clamp(-1.0, 1.0)  # highway-env steers to the right

    def _chosen(self, scene: Scene, guide: LaneGuide, here: Place) -> tuple[Place, Tensor]:
        """The lane to be in, and whether that is another one, (B,)."""
        blocked = self._somebody(scene, guide, here, 0.0, self.in_the_way_m, slower=True)
        chosen, changing = here, torch.zeros_like(blocked)
        for side in range(2):
            lane = guide.beside[here.lane, side]
            there = here._replace(lane=lane.clamp(min=0), run_m=here.run_m * guide.length_m[lane.clamp(min=0)] / guide.length_m[here.lane])
            free = (lane >= 0) & ~self._somebody(scene, guide, there, -self.free_behind_m, self.free_ahead_m)
            change = blocked & free & ~changing
            chosen = chosen._replace(
                lane=torch.where(change, there.lane, chosen.lane), run_m=torch.where(change, there.run_m, chosen.run_m)
            )
            changing = changing | change
        return chosen, changing

    def _somebody(self, scene: Scene, guide: LaneGuide, place: Place, from_m: float, to_m: float, slower: bool = False) -> Tensor:
        """Whether anybody is on a stretch of a lane, (B,)."""
        stretch_m = torch.arange(from_m, to_m, STEP_M, dtype=place.run_m.dtype, device=scene.device).expand(len(place.lane), -1)
        line_m = guide.points(place, stretch_m, torch.zeros_like(place.lane))
        near = torch.cdist(scene.position_m[:, 1:].to(line_m), line_m).amin(2) < self.beside_m
        if slower:
            near &= scene.speed_mps[:, 1:] < scene.speed_mps[:, :1]
        return (near & scene.valid[:, 1:]).any(1)
