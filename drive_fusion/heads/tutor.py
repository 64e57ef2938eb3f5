"""Auxiliary lessons beside PPO: while the driver learns from reward, its maps also learn what the simulator knows of each decision.

The labels are made once a rollout, from the worlds' scenes. Depth is left out: its labels are pictures, which a rollout does not keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from drive_fusion.extractor import FusedExtractor, Inside
from drive_fusion.heads.auxiliary import AuxiliaryHeads
from drive_fusion.heads.labels import Labels, labels_of
from drive_fusion.heads.lessons import AHEAD_S, AHEAD_WITHIN_S
from drive_fusion.rollout import Minibatch
from envs.recording import with_room
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.scene import Scene

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO

LR = 1e-3
"""Of the heads' own Adam; the eyes follow the learner's."""


class Tutor:
    """Heads on a learner's eyes, and what was true in the decisions of the rollout."""

    def __init__(self, learner: FusedPPO):
        """Build heads; the global generators stay as they were.

        Args:
            learner: Whose eyes.

        Raises:
            ConfigError: It has no eyes of ours, or a rollout that is not our own.
        """
        eyes = learner.policy.features_extractor
        if not isinstance(eyes, FusedExtractor) or not learner.native:
            raise ConfigError("auxiliary lessons need a driver with a rig and the rollout of its own; name a rig, or leave auxiliary out")
        self.rig = rig_named(learner.policy_kwargs["features_extractor_kwargs"]["rig"])
        self.size = eyes.size
        with torch.random.fork_rng():
            torch.manual_seed(learner.seed or 0)
            self.heads = AuxiliaryHeads(eyes, self.rig).to(learner.device)
        self.optimiser = torch.optim.Adam(self.heads.parameters(), lr=LR)
        self._scenes: list[Scene] = []
        self._starts: list[Tensor] = []
        self._labels: Labels | None = None

    def begin(self) -> None:
        """Empty what was noted."""
        self._scenes.clear()
        self._starts.clear()
        self._labels = None

    def see(self, env: Any, starts: Tensor) -> None:
        """Note what the worlds are like in a decision.

        Args:
            env: Made by ``envs.make_sb3_vec``, or a wrapper of one.
            starts: Where an episode begins, (B,) bool.

        Raises:
            ConfigError: It has no scenes.
        """
        scene = getattr(env.unwrapped, "scene", None)
        if not isinstance(scene, Scene):
            raise ConfigError(f"auxiliary lessons need worlds with scenes, got {type(env.unwrapped).__name__}; use envs.make_sb3_vec")
        self._scenes.append(scene.clone().to("cpu"))
        self._starts.append(starts.cpu())

    def labels(self) -> Labels:
        """Of all T * B decisions, step by step."""
        if self._labels is None:
            self._labels = Labels.cat([self._labels_at(step) for step in range(len(self._scenes))])
        return self._labels

    def _labels_at(self, step: int) -> Labels:
        scene = self._scenes[step]
        begins = torch.stack(self._starts)
        later, known = scene, torch.zeros(scene.num_worlds, dtype=torch.bool)
        for other in range(step + 1, len(self._scenes)):  # the first instant near enough to a second on, in the same episode
            known = ((self._scenes[other].time_s - scene.time_s - AHEAD_S).abs() < AHEAD_WITHIN_S) & ~begins[step + 1 : other + 1].any(0)
            if bool(known.any()):
                later = self._scenes[other]
                break
        most = max(scene.num_actors, later.num_actors)
        return labels_of(with_room(scene, most), self.rig, self.size, later=with_room(later, most), later_known=known)

    def loss(self, features: Tensor, fused: Tensor, part: Minibatch, kept: Labels | None = None) -> Tensor:
        """This process's share of the lessons' loss in a minibatch, a scalar.

        Args:
            features: What the eyes make of it, (N, F).
            fused: Their map, (N, W, X, Y).
            part: The minibatch.
            kept: The labels of its rollout, as `Labels.narrow` gives them, where that is not the last one.
        """
        labels = (self.labels() if kept is None else kept).select(part.places.cpu()).wide().to(features.device)
        return self.heads.loss(features, Inside(fused=fused), labels) * (len(part.places) / part.count)

    def step(self, most_norm: float) -> None:
        """Let the heads follow their gradients."""
        nn.utils.clip_grad_norm_(self.heads.parameters(), most_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()

    def state(self) -> dict[str, Any]:
        """Heads and optimiser, as plain data."""
        return {"heads": dict(self.heads.state_dict()), "optimiser": self.optimiser.state_dict()}
