"""What a step of the world gives besides the next scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.scene import Scene

NO_TERMS: dict[str, Tensor] = {}


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


class FastStep(NamedTuple):
    """What ``World.step_autoreset`` gives: observations and outcomes, no scene."""

    observation: Any  # (B, ...), or a dict of such; of the new episode where one ended
    reward: Tensor  # (B,) the world's dtype
    terminated: Tensor  # (B,) bool
    truncated: Tensor  # (B,) bool
    finals: Any = None  # the same shapes, of the episodes that ended, zero elsewhere; None where none ended
    terms: Mapping[str, Tensor] = NO_TERMS  # of several agents: theirs, as in Outcome.terms, (B, N)

    @property
    def final_observation(self) -> Any:
        """What the episodes that ended last saw, shaped as ``observation``; zero in the other worlds."""
        if self.finals is not None:
            return self.finals
        if isinstance(self.observation, Tensor):
            return torch.zeros_like(self.observation)
        if isinstance(self.observation, tuple):
            return tuple(torch.zeros_like(values) for values in self.observation)
        return {name: torch.zeros_like(values) for name, values in self.observation.items()}
