"""What a step of the world gives besides the next scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from sensors.batch import Batch
from sensors.scene import Scene


@dataclass(frozen=True)
class Outcome(Batch):
    """Reward and ends of one decision, in B worlds."""

    reward: Tensor  # (B,) the world's float dtype; highway-env's own reward
    terminated: Tensor  # (B,) bool
    truncated: Tensor  # (B,) bool
    terms: dict[str, Tensor] = field(default_factory=dict)
    """highway-env's reward terms by its names, each (B,) in the float dtype, means where there are several agents; then also
    ``agents_rewards``, (B, N) in the float dtype, and ``agents_terminated``, (B, N) bool: who crashed or arrived."""
    substeps: tuple[Scene, ...] = ()
    """With ``substeps=True``, the scene after every simulation substep; the last is the returned scene."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """As in Batch, for the terms and the substeps too."""
        return replace(
            super().map(function),
            terms={name: function(value) for name, value in self.terms.items()},
            substeps=tuple(scene.map(function) for scene in self.substeps),
        )
