"""What a fused driver sees of scenes: frames are rendered and go through its encoders, fusion and neck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from drive_fusion.extractor import FusedExtractor
from envs.observation import pack
from feedback.clips import Clip
from feedback.reward_table import RideWindows
from feedback.windows import BOUND, Windows
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.rendering import render
from sensors.rig import Rig
from sensors.scene import Scene


class FusedEyes:
    """A fused driver's features extractor, at rest: it learns nothing here and remembers nothing."""

    def __init__(self, extractor: FusedExtractor, rig: str | Rig):
        """Look through an extractor.

        Args:
            extractor: The driver's.
            rig: The sensors that it was built for.

        Raises:
            ConfigError: The driver has a memory: what it sees of a scene is then no function of the scene.
        """
        if extractor.temporal != "none":
            raise ConfigError(f"a twin needs a driver without memory, got temporal={extractor.temporal!r}")
        self.extractor, self.rig = extractor, rig_named(rig)
        self.extractor.train(False)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> FusedEyes:
        """Take the eyes of a checkpoint.

        Raises:
            ConfigError: The checkpoint's driver does not see through a rig, or has a memory.
            CheckpointError: There is none, or it is damaged.
        """
        from drive_fusion.ppo import FusedPPO

        policy = FusedPPO.load(path, device=device).policy
        eyes = policy.features_extractor
        if not isinstance(eyes, FusedExtractor) or not len(eyes.encoders):
            raise ConfigError(f"{path} holds a driver that sees through no sensors, expected one that was trained with a rig")
        kwargs = policy.features_extractor_kwargs
        return cls(eyes, kwargs["rig"])

    @property
    def width(self) -> int:
        """Numbers that tell a decision: the features before and after it."""
        return 2 * self.extractor.features_dim

    def see(self, scene: Scene) -> Tensor:
        """Features of B scenes, each seen for itself, (B, F)."""
        device = next(self.extractor.parameters()).device
        with torch.no_grad():
            observation = {name: part.to(device).float() for name, part in pack(render(scene, self.rig), self.rig).items()}
            features: Tensor = self.extractor(observation)
            return features.cpu()

    def windows(self, scenes: Scene, ended: Tensor) -> Windows:
        """Describe D decisions by what is seen before and after each.

        Args:
            scenes: D + 1 scenes in order.
            ended: Whether the episode had ended before each decision, (D,) bool; a crashed ego always counts as ended.
        """
        features = self.see(scenes)
        rows = torch.cat((features[:-1], features[1:]), 1).clamp(-BOUND, BOUND)
        crashed = scenes.crashed[:-1, 0]
        over = crashed | ended
        return Windows(torch.where(over[:, None], torch.zeros_like(rows), rows), crashed, over & ~crashed)

    def rides(self, clips: Sequence[Clip]) -> dict[str, RideWindows]:
        """Clips as the twin sees them, by content hash."""
        rides = {}
        for clip in clips:
            seen = self.windows(clip.recording.at_decisions(), clip.decisions().ended)
            rides[clip.content_hash] = RideWindows(seen, clip.group)
        return rides
