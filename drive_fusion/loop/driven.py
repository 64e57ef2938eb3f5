"""What a recorded ride comes to: learned reward, progress, distance, crash, and whether somebody would have taken the wheel."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from drive_fusion.loop.gate import Driven
from envs.recording import Recording
from feedback.clips import Clip
from feedback.gaps import lane_poses
from feedback.reward_model import RewardModel
from feedback.takeover import Rider
from feedback.windows import progress_mps


def driven(rides: Sequence[Recording], model: RewardModel, rider: Rider | None = None) -> Driven:
    """Sum up rides that were recorded to the horizon.

    Args:
        rides: One an episode.
        model: Says the learned reward, absorbing states' too.
        rider: The scripted hand at the wheel.
    """
    rows = [_row(ride, model, rider or Rider()) for ride in rides]
    return Driven(*(tuple(column) for column in zip(*rows, strict=True)))


def _row(ride: Recording, model: RewardModel, rider: Rider) -> tuple[float, float, float, float, float]:
    decisions = Clip(ride, 0, False).decisions()
    alive = ~decisions.over
    scene, next_scene = decisions.scene, decisions.next_scene
    step_m = (next_scene.time_s - scene.time_s) * progress_mps(scene, next_scene, lane_poses(scene))
    learned = model.reward_of(decisions.windows(model.config.windows))
    last = int((ride.decision_of_substep < int(alive.sum())).nonzero()[-1])  # of the instants before the end of the episode
    lived = ride.scenes.select(slice(0, last + 1))
    travelled_m = (lived.position_m[1:, 0] - lived.position_m[:-1, 0]).norm(dim=-1).sum()
    crashed = bool((next_scene.crashed[:, 0] & alive).any())
    taken = rider.watch(lived, ride.dt_s).onset_s is not None
    figures = (learned.sum(), torch.where(alive, step_m, torch.zeros_like(step_m)).sum(), crashed, taken, travelled_m)
    learned_sum, progress_m, crash, takeover, distance_m = (float(figure) for figure in figures)
    return learned_sum, progress_m, crash, takeover, distance_m
