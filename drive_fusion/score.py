"""How well an episode was driven, as one number between 0 and 1: NAVSIM's PDM score carried over to whole episodes.

PDMS = NC * DAC * (5 TTC + 5 EP + 2 C) / 12 (Dauner et al. 2024, NAVSIM v1). What differs here, because an episode lasts 30 to 40 s and not
4 s, and because the traffic is highway-env's, is said at each part. Missing against later versions: driving direction, traffic lights, lane
keeping and extended comfort. Figures of this score compare with each other only within one ``SCORE_VERSION``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensors.scene import Scene

SCORE_VERSION = "pdms-episode-1"


@dataclass(frozen=True)
class ScoreConstants:
    """The constants of `SCORE_VERSION`."""

    ttc_times_s: tuple[float, ...] = (0.0, 0.3, 0.6, 0.9)
    """NAVSIM: boxes moved at constant velocity must not overlap at these times."""
    standing_mps: float = 0.005
    """NAVSIM: a standing car is not asked for its time to collision."""
    road_tolerance_m: float = 0.3
    """nuPlan's tolerance of the drivable area."""
    acceleration_mps2: tuple[float, float] = (-4.05, 2.40)
    """nuPlan's comfortable longitudinal acceleration."""
    lateral_acceleration_mps2: float = 4.89
    """nuPlan's comfortable lateral acceleration."""
    yaw_rate_radps: float = 0.95
    """nuPlan's comfortable yaw rate. Its bounds of jerk and yaw acceleration are left out: highway-env's controls jump."""
    short_m: float = 5.0
    """NAVSIM: where the reference progress is no more than this, progress counts as made."""
    weights: tuple[float, float, float] = (5.0, 5.0, 2.0)
    """Of TTC, EP and C."""


PARTS = ("no_collision", "on_road", "time_to_collision", "progress", "comfort", "score")


class Scorer:
    """Follows B episodes scene by scene and scores them."""

    def __init__(self, start: Scene, horizon_s: float, constants: ScoreConstants | None = None):
        """Begin.

        Args:
            start: The scene at reset.
            horizon_s: How long an undisturbed episode lasts.
            constants: Others than the version's own, for studies of the score itself.
        """
        self.constants = constants or ScoreConstants()
        limits = start.road.lane_speed_limit_mps
        self.reference_m = (float(limits.max()) if len(limits) else 30.0) * horizon_s
        """Progress at the road's speed limit throughout; NAVSIM has a planner's best proposal there."""
        self.progress_m = torch.zeros(start.num_worlds, dtype=torch.float64, device=start.device)
        self.instants = torch.zeros_like(self.progress_m)
        self._collided = torch.zeros(start.num_worlds, dtype=torch.bool, device=start.device)
        self._at_fault, self._off_road = self._collided.clone(), self._collided.clone()
        self._close, self._rough = self.instants.clone(), self.instants.clone()
        self._last_m = start.position_m[:, 0].double()

    def add(self, scene: Scene, active: Tensor) -> None:
        """Take in the scene after one simulation substep.

        Args:
            scene: Of all worlds.
            active: Worlds whose episode still runs, (B,) bool; the others are left alone.
        """
        position_m = scene.position_m[:, 0].double()
        self.progress_m += (position_m - self._last_m).norm(dim=-1) * active
        self._last_m = position_m
        self.instants += active
        first = scene.crashed[:, 0] & active & ~self._collided
        if bool(first.any()):
            self._at_fault |= first & at_fault(scene)
        self._collided |= first
        self._off_road |= active & self._leaves_road(scene)
        self._close += active & self._about_to_hit(scene)
        self._rough += active & self._uncomfortable(scene)

    def parts(self) -> dict[str, Tensor]:
        """The parts and the score, each (B,) float64, by the names in ``PARTS``.

        - no_collision: 0 after a collision that the ego caused, else 1.
        - on_road: 0 if the ego's centre left every lane at any time, else 1.
        - time_to_collision: share of instants that pass (NAVSIM: 0 or 1 for the whole 4 s).
        - progress: distance driven over the speed limit's, at most 1.
        - comfort: share of instants within the bounds.
        """
        counted = self.instants.clamp(min=1)
        short = self.reference_m <= self.constants.short_m
        progress = torch.ones_like(self.progress_m) if short else (self.progress_m / self.reference_m).clamp(max=1.0)
        no_collision, on_road = (~self._at_fault).double(), (~self._off_road).double()
        graded = torch.stack((1 - self._close / counted, progress, 1 - self._rough / counted))
        weights = graded.new_tensor(self.constants.weights)
        score = no_collision * on_road * (weights[:, None] * graded).sum(0) / weights.sum()
        return dict(zip(PARTS, (no_collision, on_road, *graded, score), strict=True))

    def _leaves_road(self, scene: Scene) -> Tensor:
        road = scene.road
        if not road.num_lanes:
            return torch.zeros_like(self._off_road)
        lane, _, lateral_m, _ = road.locate(scene.position_m[:, 0].double().cpu().numpy(), scene.heading_rad[:, 0].double().cpu().numpy())
        outside = abs(lateral_m) > road.lane_width_m[lane] / 2 + self.constants.road_tolerance_m
        left: Tensor = torch.from_numpy(outside).to(scene.device)
        return left

    def _about_to_hit(self, scene: Scene) -> Tensor:
        """Whether the ego, going on as it goes, soon overlaps with someone ahead who does so too, (B,)."""
        relative_m = _in_ego_frame(scene)
        times_s = relative_m.new_tensor(self.constants.ttc_times_s)
        closing_mps = (scene.velocity_mps - scene.velocity_mps[:, :1]).norm(dim=-1)
        sizes_m = scene.size_m[..., :2].norm(dim=-1)
        near = relative_m.norm(dim=-1) < closing_mps * times_s.max() + (sizes_m + sizes_m[:, :1]) / 2
        candidate = near & scene.valid & (relative_m[..., 0] > 0)
        candidate[:, 0] = False
        world, actor = candidate.nonzero(as_tuple=True)
        offset_m = scene.position_m[world, actor] - scene.position_m[world, 0]
        drift_mps = scene.velocity_mps[world, actor] - scene.velocity_mps[world, 0]
        moved_m = offset_m[:, None] + drift_mps[:, None] * times_s[:, None]  # (N, T, 2)
        heading, ego_heading = scene.heading_rad[world, actor], scene.heading_rad[world, 0]
        overlap = boxes_overlap(moved_m, (ego_heading[:, None], heading[:, None]), (scene.size_m[world, 0], scene.size_m[world, actor]))
        hit = torch.zeros_like(self._off_road)
        hit[world[overlap.any(1)]] = True
        moving: Tensor = scene.velocity_mps[:, 0].norm(dim=-1) > self.constants.standing_mps
        return hit & moving

    def _uncomfortable(self, scene: Scene) -> Tensor:
        heading = scene.heading_rad[:, 0]
        along = torch.stack((heading.cos(), heading.sin()), -1)
        acceleration = scene.acceleration_mps2[:, 0]
        forward = (acceleration * along).sum(-1)
        sideways = acceleration[:, 1] * along[:, 0] - acceleration[:, 0] * along[:, 1]
        low, high = self.constants.acceleration_mps2
        rough = (forward < low) | (forward > high) | (sideways.abs() > self.constants.lateral_acceleration_mps2)
        return rough | (scene.yaw_rate_radps[:, 0].abs() > self.constants.yaw_rate_radps)


def at_fault(scene: Scene) -> Tensor:
    """Whether the ego caused the collision it is in, (B,).

    It did, unless it was moving and the crashed actor nearest to it lies behind its rear bumper: it was run into from behind.
    """
    relative_m = _in_ego_frame(scene)
    others = scene.crashed & scene.valid
    others[:, 0] = False
    distance_m = torch.where(others, relative_m.norm(dim=-1), torch.inf)
    nearest = distance_m.argmin(1)
    behind = relative_m[torch.arange(len(nearest)), nearest, 0] < -scene.size_m[:, 0, 0] / 2
    return ~(others.any(1) & behind & (scene.speed_mps[:, 0] > 0))


def _in_ego_frame(scene: Scene) -> Tensor:
    """Positions relative to the ego, x ahead and y left, (B, A, 2)."""
    offset = scene.position_m - scene.position_m[:, :1]
    cos, sin = scene.heading_rad[:, :1].cos(), scene.heading_rad[:, :1].sin()
    return torch.stack((offset[..., 0] * cos + offset[..., 1] * sin, offset[..., 1] * cos - offset[..., 0] * sin), -1)


def boxes_overlap(offset_m: Tensor, heading_rad: tuple[Tensor, Tensor], size_m: tuple[Tensor, Tensor]) -> Tensor:
    """Whether pairs of boxes overlap: they do unless an axis of one of them separates them.

    Args:
        offset_m: From the first box's centre to the second's, (N, T, 2).
        heading_rad: Of the first and of the second, each (N, 1).
        size_m: Length and width, first columns of (N, 3) each.

    Returns:
        (N, T) bool.
    """
    turn = heading_rad[1] - heading_rad[0]
    cos, sin = turn.cos().abs(), turn.sin().abs()
    overlap = torch.ones(offset_m.shape[:2], dtype=torch.bool, device=offset_m.device)
    for mine, other in ((0, 1), (1, 0)):
        axis_x, axis_y = heading_rad[mine].cos(), heading_rad[mine].sin()
        length, width = size_m[mine][:, :1] / 2, size_m[mine][:, 1:2] / 2
        other_length, other_width = size_m[other][:, :1] / 2, size_m[other][:, 1:2] / 2
        along = (offset_m[..., 0] * axis_x + offset_m[..., 1] * axis_y).abs()
        across = (offset_m[..., 1] * axis_x - offset_m[..., 0] * axis_y).abs()
        overlap &= along < length + cos * other_length + sin * other_width
        overlap &= across < width + sin * other_length + cos * other_width
    return overlap
