"""Eyes taught before there is anything to decide: an extractor learns from recordings what a simulator knows of each instant.

Frames are rendered again from the recorded scenes, so any recording serves any rig; nobody needs to have driven well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from drive_fusion.extractor import FusedExtractor, Inside
from drive_fusion.heads.auxiliary import AuxiliaryHeads, AuxiliaryWeights
from drive_fusion.heads.labels import Labels, labels_of
from drive_fusion.sizes import ModelSize, size_named
from envs.history import history_of
from envs.observation import pack
from envs.recording import Recording
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.rig import Rig
from sensors.scene import Scene

AHEAD_S = 1.0
AHEAD_WITHIN_S = 0.2
"""How far from that an instant may be."""


@dataclass(frozen=True)
class Lessons:
    """N instants: what was seen, and what was true."""

    observations: dict[str, Tensor]  # each (N, ...), as `envs` packs them
    labels: Labels
    episode: Tensor  # (N,) int64, which recording an instant comes from

    def __len__(self) -> int:
        return len(self.episode)

    def select(self, rows: Tensor) -> Lessons:
        """Take some instants."""
        return Lessons({name: value[rows] for name, value in self.observations.items()}, self.labels.select(rows), self.episode[rows])


def lessons_of(recordings: Sequence[Recording], rig: str | Rig, size: str | ModelSize = "micro") -> Lessons:
    """See recorded decisions through a rig, and note what was true; what came after an episode's end too.

    Args:
        recordings: Of any driver.
        rig: Its sensors look at the recorded scenes.
        size: Of the network that will be taught.

    Raises:
        ConfigError: There is nothing to learn from.
    """
    from sensors.rendering import render

    rig, size = rig_named(rig), size_named(size)
    seen: list[dict[str, Tensor]] = []
    labels: list[Labels] = []
    episodes: list[Tensor] = []
    for number, recording in enumerate(recordings):
        instants = recording.decision_instants()[:-1]
        scenes = recording.scenes.select(instants)
        frames = render(scenes, rig, history_of(recording.scenes, instants, rig))
        later, known = _later(recording.scenes, instants)
        labels.append(labels_of(scenes, rig, size, frames.camera, later, known))
        seen.append(pack(frames, rig))
        episodes.append(torch.full((len(instants),), number))
    if not sum(map(len, episodes)):
        raise ConfigError("no recorded instants to learn from; record at least one episode")
    return Lessons({name: torch.cat([part[name] for part in seen]) for name in seen[0]}, Labels.cat(labels), torch.cat(episodes))


def _later(scenes: Scene, instants: Tensor) -> tuple[Scene, Tensor]:
    """The recorded scene nearest to a second after each instant, and whether there is one within a fifth of a second."""
    wanted_s = scenes.time_s[instants] + AHEAD_S
    apart_s = (scenes.time_s[None] - wanted_s[:, None]).abs()
    nearest = apart_s.argmin(1)
    return scenes.select(nearest), apart_s.gather(1, nearest[:, None])[:, 0] < AHEAD_WITHIN_S


@dataclass(frozen=True)
class TeachConfig:
    """How eyes are taught."""

    epochs: int = 10
    """Passes over the lessons."""
    batch: int = 64
    """Instants a gradient step."""
    lr: float = 2e-3
    """Learning rate of Adam, falling to zero along a cosine."""
    weights: AuxiliaryWeights = field(default_factory=AuxiliaryWeights)
    """What counts how much."""
    seed: int = 0
    """Of the order."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not self.lr > 0.0:
            raise ConfigError(f"TeachConfig: epochs {self.epochs} and batch {self.batch} must be 1 or more, lr {self.lr} above 0")


def teach(
    extractor: FusedExtractor,
    lessons: Lessons,
    rig: str | Rig,
    config: TeachConfig | None = None,
    progress: Callable[[float], None] | None = None,
) -> AuxiliaryHeads:
    """Teach an extractor, each instant as the first of an episode; a memory's own parts learn only how to begin.

    Args:
        extractor: Its weights are changed.
        lessons: Made for its rig and size.
        rig: Its rig.
        config: How.
        progress: Told the share that is done, 0 to 1.

    Returns:
        The heads, which judge what was learned.
    """
    config = config or TeachConfig()
    generator = torch.Generator().manual_seed(config.seed)
    device = next(extractor.parameters()).device
    heads = AuxiliaryHeads(extractor, rig_named(rig), config.weights).to(device)
    optimiser = torch.optim.Adam([*extractor.parameters(), *heads.parameters()], lr=config.lr)
    steps = config.epochs * -(-len(lessons) // config.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    extractor.train()
    for _ in range(config.epochs):
        for rows in torch.split(torch.randperm(len(lessons), generator=generator), config.batch):
            part = lessons.select(rows)
            features, inside = looked(extractor, part.observations, device)
            optimiser.zero_grad()
            heads.loss(features, inside, part.labels.to(device)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(schedule.last_epoch / steps)
    extractor.eval()
    return heads


def looked(extractor: FusedExtractor, observations: dict[str, Tensor], device: torch.device) -> tuple[Tensor, Inside]:
    """Features (N, F) of N first instants, and what lies between."""
    stretch = {name: value.to(device)[None] for name, value in observations.items()}
    worlds = stretch["ego"].shape[1]
    state = extractor.initial_state(worlds, drop=extractor.training)
    features, _, inside = extractor.unroll_open(stretch, state, torch.ones(1, worlds, device=device))
    return features[0], inside


@torch.no_grad()
def skill(extractor: FusedExtractor, heads: AuxiliaryHeads, lessons: Lessons) -> dict[str, float]:
    """How well what was learned holds on other lessons.

    Returns:
        ``occupancy_iou`` and ``occupancy_later_iou``, cells told and true over cells told or true; ``ground_accuracy``; the mean error
        ``velocity_mps`` of a component where something is; with cameras ``depth_bins``, the mean distance in bins.
    """
    device = next(extractor.parameters()).device
    features, inside = looked(extractor.eval(), lessons.observations, device)
    told, labels = heads(features, inside), lessons.labels.to(device)
    known = labels.later_known[:, None, None]
    found = {
        "occupancy_iou": _iou(told["occupancy"] > 0.0, labels.occupied),
        "occupancy_later_iou": _iou((told["occupancy_later"] > 0.0) & known, labels.occupied_later & known),
        "ground_accuracy": float((told["ground"].argmax(1) == labels.cell).float().mean()),
    }
    error = (told["velocity_mps"] - labels.velocity_mps).abs().transpose(0, 1)[:, labels.occupied]
    found["velocity_mps"] = float(error.mean())
    if "depth" in told:
        there = labels.depth_bin >= 0
        found["depth_bins"] = float((told["depth"].argmax(2) - labels.depth_bin).abs()[there].float().mean())
    return found


def _iou(told: Tensor, true: Tensor) -> float:
    return float((told & true).sum() / (told | true).sum().clamp(min=1))
