"""Options of ``drive-fusion demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sensors.errors import ConfigError

CLIP_WIDTH_PX = 426
"""Width of the demo's videos: sharp enough to judge a ride by, and quickly made."""


@dataclass(frozen=True)
class DemoConfig:
    """Options of ``drive-fusion demo``. The defaults take some seven minutes on two cores without a GPU."""

    study: Path = Path("studies/demo")
    """The study's folder; a study that was stopped goes on from its last finished stage."""
    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    rig: str = "micro"
    """The sensors that the driver sees with."""
    seed: int = 0
    """Seed of everything that is drawn."""
    teaching_episodes: int = 1024
    """Episodes of a rule-based driver to clone the warm start from."""
    clip_episodes: int = 48
    """Episodes of each driver to cut clips from."""
    labels: int = 500
    """Pairs that the scripted reviewers compare."""
    ride_alongs: int = 300
    """Clips that the scripted rider watches with a hand at the wheel."""
    videos: int = 6
    """Pairs that get videos, so that a person can label them."""
    steps: int = 32_000
    """Environment steps of PPO on the learned reward."""
    num_envs: int = 32
    """Worlds stepped side by side in training."""
    evaluation_seeds: int = 120
    """Held-out episodes that every driver is scored on."""

    def __post_init__(self) -> None:
        for name in ("teaching_episodes", "clip_episodes", "labels", "videos", "steps", "num_envs", "evaluation_seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"demo: {name} is {getattr(self, name)}, expected 1 or more")
