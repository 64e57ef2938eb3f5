"""Clips: windows of recordings that people compare, 6 to 10 s and at least 6 decisions, crashes with what follows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from envs.recording import Recording
from envs.scene_table import RecordingError, read_table, scene_columns, write_table
from envs.seeds import uniform
from feedback.rows import ClipRow
from feedback.windows import Decisions
from sensors.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from feedback.store import Store

FORMAT, VERSION = "drive-fusion clip", 1
SHORTEST_S, USUAL_S, LONGEST_S = 6.0, 8.0, 10.0
FEWEST_DECISIONS = 6
DEAD_DECISIONS = 2
"""A window around a crash keeps at least so many decisions after it, if the recording has them."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A window of a recording, with its own scenes, so that it outlives the run that made it."""

    recording: Recording
    """The window: its first instant is where the clip starts. It cannot be replayed by itself."""
    start_decision: int
    """Decision of the episode at which the window starts."""
    ended_before: bool
    """Whether the episode had ended before the window."""
    driver: str = ""
    """Name of the driver or hash of the policy."""
    run: str = ""
    """Name of the run that recorded it."""

    @property
    def group(self) -> str:
        """Clips of one group come from the same start state of an episode."""
        return f"{self.recording.id} {self.recording.seed}"

    @property
    def num_decisions(self) -> int:
        """D."""
        return self.recording.num_decisions

    @property
    def start_s(self) -> float:
        """Where the window starts in its episode."""
        return float(self.recording.scenes.time_s[0])

    @property
    def duration_s(self) -> float:
        """How long the window is."""
        return self.recording.dt_s * (len(self.recording.decision_of_substep) - 1)

    @property
    def outcome(self) -> str:
        """How the ride went, for people; seconds count from the clip's start."""
        crashed = self.recording.scenes.crashed[:, 0]
        if bool(crashed[0]):
            return "had crashed before"
        if bool(crashed.any()):
            return f"crashed at {self.recording.dt_s * int(crashed.int().argmax()):.1f} s"
        if self.ended_before or bool(self.recording.terminated.any()):
            return "arrived"
        return f"still driving at {self.duration_s:.1f} s"

    def decisions(self) -> Decisions:
        """The window's decisions, for rewards; what follows an end is marked."""
        scenes, window = self.recording.at_decisions(), self.recording
        over_after = window.terminated.long().cumsum(0) > 0
        ended = torch.cat((torch.tensor([False]), over_after[:-1])) | self.ended_before
        return Decisions(
            scene=scenes.select(slice(0, -1)),
            actions=window.actions,
            next_scene=scenes.select(slice(1, None)),
            terminal=window.terminated & ~ended,
            ended=ended,
            autopilot=torch.full((self.num_decisions,), window.autopilot),
            dt_s=self.duration_s / self.num_decisions,
        )

    @cached_property
    def start_hash(self) -> str:
        """Hash of the first scene: clips that agree in it started in the very same situation."""
        return _hash_of(scene_columns(self.recording.scenes.select([0])), self.recording.id)

    @cached_property
    def ride_hash(self) -> str:
        """Hash of all scenes: clips that agree in it look the same, whoever drove."""
        scenes = self.recording.scenes
        return _hash_of(scene_columns(replace(scenes, action=torch.zeros_like(scenes.action))), self.recording.id)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything that is saved: the clip's name everywhere."""
        return _hash_of(self._as_table())

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, at once or not at all."""
        columns, about = self._as_table()
        write_table(path, columns, {"format": FORMAT, "version": VERSION, **about})

    @classmethod
    def load(cls, path: str | Path) -> Clip:
        """Read a clip.

        Raises:
            RecordingError: The file is truncated, damaged or foreign.
            FileNotFoundError: There is no file.
        """
        table, about = read_table(path, FORMAT, VERSION)
        try:
            return cls(Recording.from_table(table, about, path), **about["clip"])
        except (KeyError, TypeError) as error:
            raise RecordingError(f"{path}: a clip with parts missing ({error!r}); cut it again from its recording") from error

    def _as_table(self) -> tuple[dict[str, pa.Array], dict[str, Any]]:
        columns, about = self.recording.as_table()
        own = {name: getattr(self, name) for name in ("start_decision", "ended_before", "driver", "run")}
        return columns, {**about, "clip": own}


def _hash_of(table: tuple[Mapping[str, pa.Array], Mapping[str, Any]], *more: str) -> str:
    """SHA-256 of columns and metadata, hexadecimal."""
    columns, about = table
    digest = hashlib.sha256(json.dumps([about, more], sort_keys=True).encode())
    for name in sorted(columns):
        digest.update(f"{name} {columns[name].type} {len(columns[name])}".encode())
        column = columns[name]
        flat = column.flatten() if hasattr(column, "flatten") else column
        digest.update(flat.to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def usual_decisions(recording: Recording) -> int:
    """How many decisions a clip of some 8 s has.

    Raises:
        ConfigError: No window of 6 to 10 s holds 6 decisions of this recording.
    """
    substeps = int((recording.decision_of_substep == 0).sum())
    dt_s = recording.dt_s * max(substeps, 1)
    count = max(round(USUAL_S / dt_s), FEWEST_DECISIONS)
    _check_length(count, dt_s)
    return count


def _check_length(decisions: int, dt_s: float) -> None:
    if decisions < FEWEST_DECISIONS or not SHORTEST_S - 1e-6 <= decisions * dt_s <= LONGEST_S + 1e-6:
        raise ConfigError(
            f"a clip of {decisions} decisions of {dt_s:g} s lasts {decisions * dt_s:g} s, expected at least {FEWEST_DECISIONS} decisions "
            f"and {SHORTEST_S:g} to {LONGEST_S:g} s: shorter ones teach a reward that crashes"
        )


def clip_at(recording: Recording, start_decision: int, decisions: int, driver: str = "", run: str = "") -> Clip:
    """Cut one window.

    Args:
        recording: A whole episode.
        start_decision: Where the window starts.
        decisions: How long it is.
        driver: Name of the driver or hash of the policy.
        run: Name of the run.

    Raises:
        ConfigError: The window is too short or too long for people, or leaves the recording.
    """
    end = start_decision + decisions
    if not 0 <= start_decision < end <= recording.num_decisions:
        raise ConfigError(f"a window of decisions {start_decision} to {end}, expected one within the recording's {recording.num_decisions}")
    number = recording.decision_of_substep
    inside = (number >= start_decision) & (number < end)
    first = max(int(inside.int().argmax()) - 1, 0)
    last = int(inside.nonzero()[-1, 0])
    _check_length(decisions, recording.dt_s * (last - first) / decisions)
    renumbered = torch.cat((torch.tensor([-1]), number[first + 1 : last + 1] - start_decision))
    span = slice(start_decision, end)
    window = replace(
        recording,
        actions=recording.actions[span].clone(),
        scenes=recording.scenes.select(slice(first, last + 1)).clone(),
        decision_of_substep=renumbered,
        rewards=recording.rewards[span].clone(),
        terminated=recording.terminated[span].clone(),
        truncated=recording.truncated[span].clone(),
    )
    return Clip(window, start_decision, bool(recording.terminated[:start_decision].any()), driver, run)


def cut_clips(
    recording: Recording, decisions: int | None = None, count: int = 2, seed: int = 0, driver: str = "", run: str = ""
) -> list[Clip]:
    """Cut windows out of an episode: around its end if it has one, so that a crash is seen with what follows, else anywhere in it.

    Windows that start after the end are never cut: nothing happens in them.

    Args:
        recording: A whole episode, recorded to its horizon.
        decisions: Length of the windows; some 8 s if None.
        count: Most windows.
        seed: Chooses the places; the same for every driver of the same episode.
        driver: Name of the driver or hash of the policy.
        run: Name of the run.

    Returns:
        Different windows, in order; none if the recording is too short.
    """
    if recording.num_decisions < FEWEST_DECISIONS:
        return []
    length = usual_decisions(recording) if decisions is None else decisions
    latest = recording.num_decisions - length
    if latest < 0:
        return []
    draws = uniform(seed, recording.seed, torch.arange(count))
    starts = window_starts(recording.terminated, length, draws)
    return [clip_at(recording, start, length, driver, run) for start in starts]


def window_starts(terminated: Tensor, length: int, draws: Tensor) -> list[int]:
    """Choose where windows start.

    Args:
        terminated: Whether the episode had ended after each of T decisions, (T,) bool.
        length: Decisions in a window, at most T.
        draws: A number in [0, 1) for each window.

    Returns:
        Different starts, in order, at most as many as draws. The first draw's window holds the end of the episode, if there is one.
    """
    latest = len(terminated) - length
    ends = bool(terminated.any())
    end = int(terminated.int().argmax()) if ends else len(terminated)
    starts: set[int] = set()
    for number, draw in enumerate(draws.tolist()):
        low, high = 0, max(min(latest, end - 1), 0)
        if ends and number == 0:
            low = min(max(end - length + 1 + DEAD_DECISIONS, 0), high)
        starts.add(low + int(draw * (high - low + 1)))
    return sorted(starts)


def make_video(clip: Clip, folder: str | Path, width_px: int = 640) -> tuple[Path, str]:
    """Write what reviewers watch of a clip: camera above, bird's-eye view below.

    Args:
        clip: The clip.
        folder: Where to; the file is named by the clip's hash.
        width_px: Width of the video.

    Returns:
        The MP4, and its SHA-256.
    """
    from sensors.views.video import write_clip_video

    path = Path(folder) / f"{clip.content_hash}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    scenes = clip.recording.scenes
    from_start = replace(scenes, time_s=scenes.time_s - scenes.time_s[0])  # the clip's clock, as in its outcome, not the episode's
    return path, write_clip_video(from_start, path, width_px=width_px)


class ClipShelf:
    """A study's clips: their files, and their rows in the store."""

    def __init__(self, store: Store) -> None:
        """Open the shelf of a store; clips lie in ``clips/`` beside the database."""
        self.store = store
        self._read: dict[str, Clip] = {}

    def add(self, clip: Clip) -> str:
        """Write a clip's file and its row; a clip that is there already stays as it is. Gives its id."""
        name = clip.content_hash
        if self.store.clip(name) is not None:
            return name
        relative = Path("clips") / f"{name}.parquet"
        path = self.store.folder / relative
        clip.save(path)
        row = ClipRow(
            id=name,
            env_id=clip.recording.id,
            seed=clip.recording.seed,
            scenes_path=relative.as_posix(),
            scenes_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            duration_s=clip.duration_s,
            start_s=clip.start_s,
            outcome=clip.outcome,
            driver=clip.driver,
            run=clip.run,
        )
        return self.store.add_clip(row)

    def add_video(self, clip_id: str, width_px: int = 640) -> None:
        """Make a clip's video and add it to the clip's row, if it has none."""
        row = self._row(clip_id)
        if row.video_path is None:
            path, digest = make_video(self[clip_id], self.store.folder / "clips", width_px)
            self.store.add_clip(replace(row, video_path=f"clips/{path.name}", video_sha256=digest))

    def _row(self, clip_id: str) -> ClipRow:
        row = self.store.clip(clip_id)
        if row is None:
            raise RecordingError(f"the study {self.store.folder} has no clip {clip_id!r}; expected an id that its database lists")
        return row

    def __getitem__(self, clip_id: str) -> Clip:
        """Read a clip by its id.

        Raises:
            RecordingError: There is no such clip, or its file is missing or changed.
        """
        if clip_id not in self._read:
            path = self.store.folder / self._row(clip_id).scenes_path
            if not path.is_file():
                raise RecordingError(f"clip {clip_id[:12]}: its file {path} is missing; copy it back, labels about it are still there")
            clip = Clip.load(path)
            if clip.content_hash != clip_id:
                raise RecordingError(f"clip {clip_id[:12]}: {path} holds another clip ({clip.content_hash[:12]}); copy the right one back")
            self._read[clip_id] = clip
        return self._read[clip_id]

    def decisions(self, clip_id: str) -> Decisions:
        """The decisions of a clip, by its id."""
        return self[clip_id].decisions()
