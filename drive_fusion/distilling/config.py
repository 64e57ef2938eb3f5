"""Options of ``drive-fusion distill``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from drive_fusion.training import TrainConfig
from sensors.errors import ConfigError


@dataclass(frozen=True)
class DistillConfig:
    """Options of ``drive-fusion distill``."""

    teacher: Path
    """A checkpoint of a driver that was trained with --rig privileged; or rule, the scripted driver who sees everything."""
    study: Path = Path("studies/train")
    """The study's folder; the run goes into its runs/NAME."""
    run: str = "distilled"
    """The run's name."""
    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    rig: str = "micro"
    """The sensors that the pupil sees with; 'privileged' is the state of the world itself."""
    spatial: str = "concat"
    """How the modalities' bird's-eye maps are fused: concat, sum, attention, graph or hybrid."""
    temporal: str = "none"
    """What is remembered from one decision to the next: none, stack, gru, conv_gru or transformer."""
    size: str = "micro"
    """How big the network is: micro, nano, base or large."""
    modality_dropout: float = 0.0
    """Chance of each sense to fall silent for a stretch of training, so that the driver learns to do without."""
    chunk: int | None = None
    """With a memory, consecutive decisions that are unrolled at once; unless given, the longest divisor of n_steps up to 16."""
    burn_in: int = 4
    """With a memory, decisions that are run before a chunk."""
    num_envs: int = 64
    """Worlds stepped side by side."""
    n_steps: int = 16
    """Decisions of every world between lessons."""
    steps: int = 100_000
    """Decisions that the teacher comments on in all."""
    teacher_share: float = 0.3
    """The teacher drives at first; over this share of the steps the pupil takes over, decision by decision."""
    practice: float = 0.0
    """Share of the steps, at the end, in which the pupil learns from what its own choices earn, by the values of a teacher who has some."""
    passes: float = 6.0
    """How often a decision is learned from, on average."""
    remember: int = 50_000
    """Newest decisions that lessons are drawn from; with rig micro a decision takes about 13 KB."""
    batch: int = 512
    """Decisions a gradient step; must divide num_envs times n_steps."""
    lr: float = 2e-3
    """Learning rate of Adam, falling to zero along a cosine."""
    value_weight: float = 0.1
    """Weight of the critic's lesson: the teacher's value, in units of its own spread."""
    auxiliary: float = 0.0
    """Weight, at the start, of lessons on what the simulator knows of each decision (occupancy, velocities, ground, faults); falls to 0.
    Their labels take about 6 KB a remembered decision."""
    keep: str = "frames"
    """What is kept of observations: frames; scenes, which minibatches are rendered from again; auto is scenes where they do."""
    minutes: float | None = None
    """Stop after so many minutes, the learning rate falling accordingly; steps then is the most that is driven."""
    seed: int = 0
    """Seed of weights, exploration and traffic."""
    device: str = "auto"
    """Where the network runs: cpu, cuda or auto."""
    threads: int = 0
    """Threads of torch; 0 is one a core. A resumed run is bit-equal only with as many."""
    save_every: int = 10_000
    """Steps between checkpoints; the remembered decisions lie beside them until the end."""
    resume: bool = False
    """Go on with the run where its last checkpoint stands."""

    def __post_init__(self) -> None:
        for name in ("teacher_share", "modality_dropout", "practice"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"distill: {name} is {getattr(self, name)}, expected 0 to 1")
        if self.teacher_share + self.practice > 1.0:
            raise ConfigError(f"distill: teacher_share {self.teacher_share} and practice {self.practice} come to more than 1")
        for name in ("passes", "lr"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"distill: {name} is {getattr(self, name)}, expected above 0")
        if self.value_weight < 0.0 or (self.minutes is not None and not self.minutes > 0.0):
            raise ConfigError(f"distill: value_weight {self.value_weight} must be 0 or more, minutes {self.minutes} above 0")
        if self.remember < self.num_envs * self.n_steps:
            raise ConfigError(
                f"distill: remember is {self.remember}, expected at least num_envs {self.num_envs} x n_steps {self.n_steps} decisions"
            )
        if self.pupil.rig == "none":
            raise ConfigError("distill: the pupil's rig is 'none', expected one with sensors, or privileged")

    @property
    def pupil(self) -> TrainConfig:
        """The pupil as `drive-fusion train` would make it."""
        shared = {field.name for field in fields(TrainConfig)} & {field.name for field in fields(self)}
        return TrainConfig(**{name: getattr(self, name) for name in shared})
