"""What a scripted teacher likes about driving on an id, as a reward that a learner can also be paid: the yardstick of learned rewards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feedback.gaps import gaps, lane_poses
from feedback.windows import lane_changed, progress_mps
from sensors.errors import ConfigError
from sensors.scene import Scene


@dataclass(frozen=True)
class Taste:
    """A teacher's reward of one decision; 0 for every decision after an episode has ended."""

    idle_mps: float
    """Progress at this speed is worth nothing."""
    span_mps: float
    """Progress faster by this much is worth 1 a second."""
    crash: float = 10.0
    """What a crash costs."""
    arrival: float = 0.0
    """What it is worth to arrive."""
    lane_change: float = 0.0
    """What a lane change costs."""
    speed_change_per_mps: float = 0.0
    """What it costs to change speed by 1 m/s: comfort."""
    close_per_s: float = 0.0
    """What a second with a headway under ``headway_s`` costs."""
    headway_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.span_mps > 0.0 or min(self.crash, self.lane_change, self.speed_change_per_mps, self.close_per_s) < 0.0:
            raise ConfigError(f"{self}: expected span_mps above 0, and costs of at least 0")

    def reward(self, scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
        """Reward of one decision in each of B worlds, as ``feedback.RewardModel.reward`` has it.

        Args:
            scene: What the driver saw.
            actions: What it chose; nobody judges that.
            next_scene: One decision later, before any reset.
            terminal: Whether the episode ended with it (a time limit is no end), (B,) bool.

        Returns:
            (B,); 0 where the ego had crashed before.
        """
        poses = lane_poses(_ego_alone(scene))
        dt_s = next_scene.time_s - scene.time_s
        crash = next_scene.crashed[:, 0]
        paid = dt_s * (progress_mps(scene, next_scene, poses) - self.idle_mps) / self.span_mps
        paid = paid - self.crash * crash + self.arrival * (terminal & ~crash)
        paid = paid - self.speed_change_per_mps * (next_scene.speed_mps[:, 0] - scene.speed_mps[:, 0]).abs()
        if self.lane_change:
            paid = paid - self.lane_change * lane_changed(scene, poses, lane_poses(_ego_alone(next_scene)))
        if self.close_per_s:
            paid = paid - self.close_per_s * dt_s * (gaps(next_scene).headway_s < self.headway_s)
        return torch.where(scene.crashed[:, 0], torch.zeros_like(paid), paid)

    def after_the_end(self, next_scene: Scene) -> Tensor:
        """Reward of every decision after an end, (B,)."""
        return torch.zeros_like(next_scene.time_s)


def _ego_alone(scene: Scene) -> Scene:
    """The same scene with nobody but the ego in it: finding lanes for all takes longer than the rest."""
    alone = torch.zeros_like(scene.valid)
    alone[:, 0] = scene.valid[:, 0]
    return replace(scene, valid=alone)


HIGHWAY = Taste(idle_mps=10.0, span_mps=10.0, lane_change=0.1, close_per_s=0.5)
"""The reward of ``feedback.scripted.true_reward``: 1 + (progress - 20 m) / 10 a second."""
CROSSING = Taste(idle_mps=0.0, span_mps=9.0, arrival=2.0, speed_change_per_mps=0.02)
"""Where 9 m/s is the fastest: progress at it is worth 1 a second, a crash costs as much as the whole ride is worth, arriving two seconds'
driving, and a change of speed by one step of the id's target speeds 0.09."""
TASTES = {"highway-v0": HIGHWAY, "highway-fast-v0": HIGHWAY, "intersection-v0": CROSSING}


def taste_of(id: str) -> Taste:
    """What scripted teachers like on an id.

    Raises:
        ConfigError: Nobody has said so yet.
    """
    if id not in TASTES:
        raise ConfigError(f"no scripted teacher has a taste for {id!r}, expected one of {', '.join(TASTES)}; add one to TASTES")
    return TASTES[id]
