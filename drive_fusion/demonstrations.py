"""What a driver is taught by: decisions that were recorded, seen through a rig, and what somebody who sees the whole scene would do.

Frames are rendered again from the recorded scenes, so any recording serves any rig. A recording of a driver with actions is its own label;
a `teacher` that sees the whole scene can label whatever was recorded, also the mistakes of a disturbed driver, from which a clone learns to
recover (Laskey et al. 2017, DART). A teacher that can tell the ``chances`` of every action teaches more with each decision: which others
would do as well, and which would end badly (Hinton et al. 2015). Episodes that IDM drove have no actions: they are read off its lane
changes and its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from drive_fusion.privileged import PRIVILEGED, PrivilegedState
from envs.conditions import draw_conditions
from envs.drivers import META_ACTIONS, Driver
from envs.history import history_of
from envs.observation import pack
from envs.recording import Recording
from envs.rollout import record
from envs.seeds import seed_set, uniform
from envs.world import World
from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.presets import rig_named
from sensors.quality import Quality, check_frames
from sensors.rig import Rig
from sensors.scene import Light, Scene

SPEED_STEP_MPS = 1.5
"""An autopilot that gained more than this within a decision is read as FASTER, one that lost more as SLOWER: well above the ripple of
following somebody, well below the 5 m/s between highway-env's target speeds."""
RENDER_BATCH = 256
WHOLE = ""
"""Names an observation that has no parts."""


@dataclass(frozen=True)
class DisturbedDriver:
    """A driver who at random moments does something else, so that a recording shows how to get out of trouble."""

    driver: Driver
    num_actions: int
    rate: float = 0.15
    """Share of decisions that are replaced by a random action."""
    seed: int = 0
    autopilot: bool = False

    @property
    def needs_frames(self) -> Rig | None:
        """What the driver itself wants to see."""
        return self.driver.needs_frames

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Ask the driver, and disturb some worlds; keyed by episode and step."""
        actions, state = self.driver.act(scene, frames, state)
        seeds, steps = scene.episode_seed.cpu(), scene.step.cpu()
        disturbed = (uniform(self.seed, seeds, steps, 1) < self.rate).to(actions.device)
        drawn = (uniform(self.seed, seeds, steps, 2) * self.num_actions).long().to(actions.device)
        return torch.where(disturbed, drawn, actions), state

    def reset(self, state: Any, where: Tensor) -> Any:
        """Forget what the driver forgets."""
        return self.driver.reset(state, where)


@dataclass(frozen=True)
class Demonstrations:
    """N decisions: what was seen, and what the driver did."""

    observations: dict[str, Tensor]  # each (N, ...), as `envs` packs them
    actions: Tensor  # (N,) int64
    episode: Tensor  # (N,) int64, which recording a decision comes from
    quality: Quality = field(default_factory=Quality)
    """Whether the frames were sound."""
    chances: Tensor | None = None
    """How likely a teacher who can say so would take each action, (N, A)."""

    def __len__(self) -> int:
        return len(self.actions)

    def select(self, rows: Tensor) -> Demonstrations:
        """Take some decisions."""
        chosen = {name: value[rows] for name, value in self.observations.items()}
        chances = None if self.chances is None else self.chances[rows]
        return Demonstrations(chosen, self.actions[rows], self.episode[rows], self.quality, chances)

    @classmethod
    def join(cls, parts: Sequence[Demonstrations]) -> Demonstrations:
        """Several sets of one rig and teacher as one; their episodes stay apart.

        Raises:
            ConfigError: No part, or some tell chances and others do not.
        """
        if not parts or len({part.chances is None for part in parts}) > 1:
            raise ConfigError(f"Demonstrations.join: got {len(parts)} parts, expected at least one, and chances in all of them or in none")
        first = [0]
        for part in parts:
            first.append(first[-1] + int(part.episode.max()) + 1)
        return cls(
            {name: torch.cat([part.observations[name] for part in parts]) for name in parts[0].observations},
            torch.cat([part.actions for part in parts]),
            torch.cat([part.episode + offset for part, offset in zip(parts, first, strict=False)]),
            sum((part.quality for part in parts[1:]), parts[0].quality),
            None if parts[0].chances is None else torch.cat([part.chances for part in parts if part.chances is not None]),
        )


@runtime_checkable
class Judge(Protocol):
    """A driver who can say how good each action is."""

    def chances(self, scene: Scene) -> Tensor:
        """How likely it would take each action, (B, A)."""
        ...


def demonstrations(recordings: Sequence[Recording], rig: str | Rig, teacher: Driver | None = None) -> Demonstrations:
    """See recorded decisions through a rig.

    Decisions after an episode's end are left out.

    Args:
        recordings: Of one id with discrete actions.
        rig: Its sensors look at the recorded scenes; "privileged" is the state of the world itself.
        teacher: Labels every scene, by a method ``chances`` of a scene where it has one; without a teacher, the recorded actions are the
            labels.

    Raises:
        ConfigError: There is nothing to learn from, or the actions are not discrete.
    """
    rig = rig if rig == PRIVILEGED else rig_named(rig)
    running = [_running_decisions(recording) for recording in recordings]
    scenes = [recording.scenes.select(instants) for recording, (instants, _) in zip(recordings, running, strict=True)]
    if not sum(part.num_worlds for part in scenes):
        raise ConfigError("no recorded decisions to clone; record at least one episode")
    seen, quality = _seen(scenes, [instants for instants, _ in running], recordings, rig)
    told: Tensor | None = None
    if teacher is None:
        actions = torch.cat([_recorded_actions(recording)[rows] for recording, (_, rows) in zip(recordings, running, strict=True)])
    elif isinstance(teacher, Judge) and getattr(teacher, "tells_chances", True):
        told = torch.cat([teacher.chances(group) for group in _together(scenes)])
        actions = told.argmax(1)
    else:
        actions = torch.cat([teacher.act(group, None, None)[0] for group in _together(scenes)])
    episodes = torch.cat([torch.full((part.num_worlds,), number) for number, part in enumerate(scenes)])
    return Demonstrations(seen, actions, episodes, quality, told)


def _running_decisions(recording: Recording) -> tuple[Tensor, Tensor]:
    """At which instants was decided before the episode's end, and which of the decisions those are, bool (T,)."""
    ended = (recording.terminated | recording.truncated).long().cumsum(0)
    running = torch.cat((torch.tensor([True]), ended[:-1] == 0)) if len(ended) else ended.bool()
    return recording.decision_instants()[:-1][running], running


def _together(scenes: Sequence[Scene]) -> list[Scene]:
    """Consecutive scenes of one map and as many actors as batches: looking at many at once takes less time."""
    groups: list[list[Scene]] = []
    for part in scenes:
        last = groups[-1][-1] if groups else None
        alike = (
            last is not None
            and last.road is part.road
            and all(a.shape[1:] == b.shape[1:] for a, b in ((last.valid, part.valid), (last.faults.kind, part.faults.kind)))
        )
        if alike and sum(each.num_worlds for each in groups[-1]) < RENDER_BATCH:
            groups[-1].append(part)
        else:
            groups.append([part])
    return [group[0] if len(group) == 1 else Scene.cat(group) for group in groups]


def _seen(
    scenes: Sequence[Scene], instants: Sequence[Tensor], recordings: Sequence[Recording], rig: Rig | str
) -> tuple[dict[str, Tensor], Quality]:
    """Recorded scenes as they are observed, and whether the frames were sound."""
    from sensors.rendering import render

    if isinstance(rig, str):
        tell = PrivilegedState()
        return {WHOLE: torch.cat([tell(group) for group in _together(scenes)])}, Quality()
    past = [history_of(recording.scenes, own, rig) for recording, own in zip(recordings, instants, strict=True)]
    groups = [(group, []) for group in _together(scenes)] if not any(past) else list(zip(scenes, past, strict=True))
    parts, quality = [], Quality()
    for group, before in groups:
        frames = render(group, rig, before)
        quality += check_frames([frames], rig)
        parts.append(pack(frames, rig))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, quality


def lessons(id: str, rig: str | Rig, teacher: Driver, episodes: int, seed: int = 0, conditions: str | None = None) -> Demonstrations:
    """What a driver meets who is now and then disturbed, and what he would do there.

    Args:
        id: highway-env's name of the world.
        rig: Who is taught sees through it.
        teacher: Drives, disturbed, and labels; it sees the whole scene.
        episodes: How many; recorded some at a time, so that only what is learned from is kept.
        seed: Of the training episodes and of the disturbances.
        conditions: A suite of ``envs.conditions.SUITES``: each episode's own weather and faults.
    """
    parts = []
    for seeds in seed_set("train", episodes, seed=seed).split(RENDER_BATCH):
        world = World(id, num_worlds=len(seeds))
        draw_conditions(world, conditions, seeds)
        parts.append(demonstrations(record(world, DisturbedDriver(teacher, world.num_actions or 0, seed=seed), seeds), rig, teacher))
    return Demonstrations.join(parts)


def _recorded_actions(recording: Recording) -> Tensor:
    if recording.autopilot:
        return meta_actions(recording)
    if recording.actions.ndim != 1:
        raise ConfigError(f"a recording of {recording.id} has actions of {recording.actions.shape[1]} numbers, expected discrete ones")
    return recording.actions


def meta_actions(recording: Recording) -> Tensor:
    """Read the nearest meta-action off every decision of an autopilot.

    A lane change counts in the decision in which the car began to signal; any other decision by its change of speed against
    ``SPEED_STEP_MPS``.

    Args:
        recording: T decisions of a world whose ego IDM and MOBIL drove.

    Returns:
        (T,) int64, numbers of ``META_ACTIONS``.
    """
    lights, speed_mps = recording.scenes.lights[:, 0], recording.scenes.speed_mps[:, 0]
    decision = recording.decision_of_substep
    actions = torch.full((recording.num_decisions,), META_ACTIONS.index("IDLE"))
    for number in range(recording.num_decisions):
        instants = (decision == number).nonzero().flatten()
        gained_mps = speed_mps[instants[-1]] - speed_mps[instants[0] - 1]
        if abs(gained_mps) > SPEED_STEP_MPS:
            actions[number] = META_ACTIONS.index("FASTER" if gained_mps > 0 else "SLOWER")
        for light, action in ((Light.LEFT, "LANE_LEFT"), (Light.RIGHT, "LANE_RIGHT")):
            on = (lights & int(light)) > 0
            if bool((on[instants] & ~on[instants - 1]).any()):
                actions[number] = META_ACTIONS.index(action)
    return actions
