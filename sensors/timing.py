"""Which instant each sensor shows: its rate, its latency and the faults of its clock, in the history of scenes.

A sensor with a rate looks at the instants n / rate_hz of the episode's time, one without a rate at every scene. At time t it shows the
newest instant that is at least ``latency_s`` old, as far as the scenes tell: the newest scene not later than it. Before the first such
instant nothing has arrived yet and ``valid`` is False. Where the history does not reach back far enough the sensor shows the oldest scene
of the episode that there is, and its age is that scene's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sensors.camera.config import Camera
from sensors.errors import ConfigError
from sensors.faults.entries import Faults
from sensors.faults.kinds import FaultKind, Modality
from sensors.faults.levels import Levels, begin_of
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar
from sensors.scene import Scene

AnySensors = Sequence[Camera] | Sequence[Lidar] | Sequence[Radar]

SLACK_S = 1e-4
"""Times that are nearer than this are the same: a world's clock may be kept in float32."""
LATENCY_S = (0.1, 0.3, 0.6)
"""Extra latency of the fault LATENCY by severity."""
FRAME_S = 0.1
"""What DESYNCHRONISED takes for a frame of a sensor without a rate."""
HOLD_S = (2.0, 5.0, math.inf)
"""How long FROZEN holds a picture before it takes the next, by severity."""
CLOCK_FAULTS = (FaultKind.LATENCY, FaultKind.DESYNCHRONISED, FaultKind.FROZEN)


def by_severity(values: Sequence[float], level: Tensor) -> Tensor:
    """Look up a number for severities 1 to 3, and 0 for severity 0; float64 of the level's shape."""
    return torch.tensor((0.0, *values), dtype=torch.float64)[level]


def is_timed(sensors: AnySensors) -> bool:
    """Whether any sensor has a rate or a latency of its own."""
    return any(sensor.rate_hz > 0.0 or sensor.latency_s > 0.0 for sensor in sensors)


@dataclass(frozen=True)
class Capture:
    """What K sensors of a modality show in B worlds."""

    shown: Tensor  # (B, K) int64, which scene of the timeline
    valid: Tensor  # (B, K) bool, whether anything has arrived yet
    age_s: Tensor  # (B, K) float32, as the sensor's stamp tells it


class Timeline:
    """The scenes of one render call: the history, oldest first, and the present."""

    def __init__(self, scene: Scene, history: Sequence[Scene] | None) -> None:
        """Line the scenes up.

        Args:
            scene: The present, B worlds.
            history: Earlier scenes of the same worlds. What is of another episode, or later than a newer one, does not count.

        Raises:
            ConfigError: A scene of another number of worlds or actors, or on another device.
        """
        for place, past in enumerate(history or ()):
            if past.valid.shape != scene.valid.shape or past.device != scene.device:
                raise ConfigError(
                    f"history[{place}] has {past.num_worlds} worlds of {past.num_actors} actors on {past.device}, expected "
                    f"{scene.num_worlds} of {scene.num_actors} on {scene.device} as in the scene; select the same worlds in both"
                )
        faults = scene.faults
        self.scenes = [past if past.faults is faults else past.with_faults(faults) for past in history or ()] + [scene]
        self.times_s = torch.stack([one.time_s for one in self.scenes]).double()  # (N, B)
        seeds = torch.stack([one.episode_seed for one in self.scenes])
        follows = (seeds[:-1] == seeds[1:]) & (self.times_s[:-1] <= self.times_s[1:])
        unbroken = follows.flip(0).long().cumprod(0).flip(0).bool()
        self.counts = torch.cat((unbroken, torch.ones_like(seeds[:1], dtype=torch.bool)))  # (N, B)

    def newest_by(self, instant_s: Tensor) -> Tensor:
        """The newest scene not later than given times (B, K), or the oldest of the episode; (B, K) int64."""
        early = self.counts[..., None] & (self.times_s[..., None] <= instant_s + SLACK_S)  # (N, B, K)
        place = torch.arange(len(self.scenes))[:, None, None]
        oldest = self.counts.long().argmax(0)[:, None]
        return torch.maximum((early * place).amax(0), oldest)

    def capture(self, sensors: AnySensors, modality: Modality, levels: Levels) -> Capture:
        """Find what each sensor shows now.

        Args:
            sensors: K of them.
            modality: Their kind.
            levels: The faults that act now.
        """
        scene = self.scenes[-1]
        now_s = self.times_s[-1][:, None].expand(-1, len(sensors))
        none = torch.zeros(now_s.shape, dtype=torch.int64)
        latency_s = torch.tensor([sensor.latency_s for sensor in sensors], dtype=torch.float64)
        latency_s = latency_s + by_severity(LATENCY_S, levels.get(FaultKind.LATENCY, none))
        rate_hz = torch.tensor([sensor.rate_hz for sensor in sensors], dtype=torch.float64)
        arrived = self.newest_by(_sampled(now_s - latency_s, rate_hz))
        age_s = (now_s - self.times_s.gather(0, arrived.T).T).float()
        shown = arrived
        if FaultKind.FROZEN in levels or FaultKind.DESYNCHRONISED in levels:
            held_s = _held(scene, now_s, modality, levels.get(FaultKind.FROZEN, none))
            frame_s = torch.where(rate_hz > 0.0, 1.0 / rate_hz, FRAME_S)
            behind_s = levels.get(FaultKind.DESYNCHRONISED, none) * frame_s
            shown = self.newest_by(_sampled(held_s - latency_s, rate_hz) - behind_s)
        return Capture(shown, now_s - latency_s >= -SLACK_S, age_s)

    def assembled(self, shown: Tensor) -> Scene:
        """One scene in which world b is that of scene ``shown[b]``; (B,) int64."""
        places = torch.unique(shown).tolist()
        scene = self.scenes[places[0]] if places else self.scenes[-1]
        for place in places[1:]:
            scene = scene.merge(self.scenes[place], shown == place)
        return scene


def _sampled(due_s: Tensor, rate_hz: Tensor) -> Tensor:
    """The last instant n / rate not after ``due_s``; ``due_s`` itself where the rate is 0."""
    ticks = ((due_s + SLACK_S) * rate_hz).floor()
    return torch.where(rate_hz > 0.0, ticks / rate_hz, due_s)


def _held(scene: Scene, now_s: Tensor, modality: Modality, level: Tensor) -> Tensor:
    """The time at which each sensor's picture was held, (B, K); now where it is not frozen."""
    begin = begin_of(scene.faults, scene.step, modality, level.shape[1], FaultKind.FROZEN)
    begin_s = now_s * begin / scene.step.clamp(min=1)[:, None]  # steps are equally long
    begin_s = torch.where(scene.step[:, None] > 0, begin_s, now_s)
    span_s = by_severity([hold for hold in HOLD_S if math.isfinite(hold)] + [1.0], level)
    frozen = level > 0
    again_s = begin_s + ((now_s - begin_s + SLACK_S) / torch.where(frozen, span_s, 1.0)).floor() * span_s
    return torch.where(frozen, torch.where(level == len(HOLD_S), begin_s, again_s), now_s)


@dataclass(frozen=True)
class HistoryNeed:
    """How much of the past a rig and its faults can ask for."""

    seconds: float
    """Scenes younger than this, and the next older one."""
    begin_step: Tensor | None = None  # (B, F) int64
    """Steps at which pictures are held without end: scenes of the ``seconds`` before each of them too; the present step for none."""

    def __bool__(self) -> bool:
        """Whether any past is needed."""
        return self.seconds > 0.0 or self.begin_step is not None


def history_needed(cameras_lidars_radars: Sequence[AnySensors], faults: Faults) -> HistoryNeed:
    """Find how much past a rig's sensors and the faults of B worlds can ask for, whether or not the faults act yet.

    Args:
        cameras_lidars_radars: The sensors by modality.
        faults: Of B worlds.
    """
    seconds = 0.0
    held: Tensor | None = None
    for modality, sensors in zip(Modality, cameras_lidars_radars, strict=True):
        if not sensors:
            continue
        rates = [sensor.rate_hz for sensor in sensors]
        longest_s = max(1.0 / rate if rate > 0.0 else 0.0 for rate in rates)
        latency, behind, hold = (_severities(faults, modality, kind) for kind in CLOCK_FAULTS)
        late_s = max(sensor.latency_s for sensor in sensors) + max((LATENCY_S[severity - 1] for severity in latency), default=0.0)
        behind_s = max(behind, default=0) * max(1.0 / rate if rate > 0.0 else FRAME_S for rate in rates)
        holds_s = [HOLD_S[severity - 1] for severity in hold]
        seconds = max(seconds, late_s + behind_s + longest_s + max(filter(math.isfinite, holds_s), default=0.0))
        if math.inf in holds_s:
            endless = (faults.modality == modality) & (faults.kind == FaultKind.FROZEN) & (faults.severity == len(HOLD_S))
            begin = torch.where(endless, faults.start_step, -1)
            held = begin if held is None else torch.maximum(held, begin)
    return HistoryNeed(seconds, held)


def _severities(faults: Faults, modality: Modality, kind: FaultKind) -> list[int]:
    """Severities of the entries of a kind."""
    severities: list[int] = torch.unique(faults.severity[(faults.modality == modality) & (faults.kind == kind)]).tolist()
    return severities


def past_of(scenes: Sequence[Scene], need: HistoryNeed, now: Scene) -> list[Scene]:
    """Drop the scenes that no sensor can ask for any more.

    Args:
        scenes: The history, oldest first.
        need: From ``history_needed``.
        now: The present.
    """
    kept: list[Scene] = []
    for place, scene in enumerate(scenes):
        following = scenes[place + 1] if place + 1 < len(scenes) else now
        same = (scene.episode_seed == now.episode_seed) & (scene.time_s <= now.time_s)
        until_s = following.time_s.double()
        wanted = same & (until_s > now.time_s.double() - need.seconds + SLACK_S)
        if need.begin_step is not None:
            begin_s = need.begin_step * (now.time_s.double() / now.step.clamp(min=1))[:, None]
            close = (scene.time_s[:, None] <= begin_s + SLACK_S) & (until_s[:, None] > begin_s - need.seconds + SLACK_S)
            wanted = wanted | (same[:, None] & close & (need.begin_step >= 0)).any(1)
        if bool(wanted.any()):
            kept.append(scene)
    return kept
