"""A reward that was learned from what a fused driver sees: the same parts, likelihood and calibration as over scenes, another input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drive_fusion.twin.eyes import FusedEyes
from feedback.reward_fit import Comparison, FitReport, RideWindows, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.windows import BOUND, WindowConfig, Windows
from sensors.scene import Scene


def fit_twin(
    rides: Mapping[str, RideWindows], comparisons: Sequence[Comparison], eyes: FusedEyes, config: RewardConfig | None = None
) -> tuple[Twin, FitReport]:
    """Learn a twin from comparisons.

    Args:
        rides: Clips by name, as ``eyes.rides`` gives them.
        comparisons: Answers about them.
        eyes: Who saw them.
        config: How to learn; its ``windows`` are not used.

    Returns:
        The twin, and what learning came to.

    Raises:
        ConfigError: Too few comparisons, or one names a ride that is not there.
    """
    config = replace(config or RewardConfig(), windows=WindowConfig(given=eyes.width))
    model, report = fit_reward(rides, comparisons, config=config)
    return Twin(model, eyes), report


@dataclass(frozen=True, eq=False)
class Twin:
    """A learned reward of what a fused driver sees, to be asked like ``feedback.RewardModel``."""

    model: RewardModel
    """Over windows that ``eyes`` give."""
    eyes: FusedEyes

    def reward(self, scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
        """Reward of one decision in each of B worlds, (B,); arguments as for ``feedback.RewardModel.reward``.

        Both scenes are rendered: this costs as much as two looks of the driver.
        """
        del actions, terminal  # the frames tell
        rows = torch.cat((self.eyes.see(scene), self.eyes.see(next_scene)), 1).clamp(-BOUND, BOUND)
        crashed = scene.crashed[:, 0].cpu()
        rows = torch.where(crashed[:, None], torch.zeros_like(rows), rows)
        return self.model.reward_of(Windows(rows, crashed, torch.zeros_like(crashed)))
