"""Clips: windows with crashes and what follows, round trips through files, damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.recording import Recording
from envs.scene_table import RecordingError
from feedback.clips import DEAD_DECISIONS, Clip, ClipShelf, clip_at, cut_clips, usual_decisions, window_starts
from feedback.store import Store
from sensors.errors import ConfigError
from sensors.scene import Scene

Rides = dict[str, list[Recording]]


def crashed_clip(rides: Rides) -> Clip:
    return next(clip for ride in rides["random"] for clip in cut_clips(ride) if clip.recording.terminated.any())


def test_window_holds_the_recordings_own_instants(rides: Rides) -> None:
    ride = rides["idm"][0]
    clip = clip_at(ride, 5, 8)
    assert clip.num_decisions == 8
    assert clip.duration_s == pytest.approx(8.0)
    assert clip.start_s == pytest.approx(5.0)
    assert torch.equal(clip.recording.scenes.position_m, ride.scenes.position_m[25:66])
    assert torch.equal(clip.recording.at_decisions().position_m, ride.at_decisions().position_m[5:14])
    assert torch.equal(clip.recording.actions, ride.actions[5:13])
    assert clip.recording.decision_of_substep.tolist() == [-1] + [decision for decision in range(8) for _ in range(5)]


def test_clips_last_six_to_ten_seconds_and_six_decisions(rides: Rides) -> None:
    for clip in (clip for rows in rides.values() for ride in rows for clip in cut_clips(ride)):
        assert 6.0 <= clip.duration_s <= 10.0
        assert clip.num_decisions >= 6
    for decisions in (5, 11):
        with pytest.raises(ConfigError, match="expected at least 6 decisions and 6 to 10 s"):
            clip_at(rides["idm"][0], 0, decisions)


def test_usual_length_follows_the_decision_rate(rides: Rides) -> None:
    slow = rides["idm"][0]
    assert usual_decisions(slow) == 8
    assert usual_decisions(replace(slow, dt_s=0.04)) == 40
    with pytest.raises(ConfigError, match="6 to 10 s"):
        usual_decisions(replace(slow, dt_s=0.4))


@given(
    length=st.integers(6, 10),
    more=st.integers(0, 30),
    end=st.one_of(st.none(), st.integers(0, 39)),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4),
)
def test_windows_show_the_crash_and_what_follows(length: int, more: int, end: int | None, draws: list[float]) -> None:
    total = length + more
    terminated = torch.zeros(total, dtype=torch.bool)
    if end is not None and end < total:
        terminated[end:] = True
    starts = window_starts(terminated, length, torch.tensor(draws, dtype=torch.float64))
    assert 1 <= len(starts) <= len(draws)
    assert all(0 <= start <= total - length for start in starts)
    if terminated.any():
        assert all(start <= max(int(end or 0) - 1, 0) for start in starts)  # something still happens in each
        with_end = [start for start in starts if start <= int(end or 0) < start + length]
        assert with_end
        dead_after = max(start + length - 1 - int(end or 0) for start in with_end)
        assert dead_after >= min(DEAD_DECISIONS, total - 1 - int(end or 0))


def test_decisions_mark_the_end_once_and_what_follows_it(rides: Rides) -> None:
    decisions = crashed_clip(rides).decisions()
    assert int(decisions.terminal.sum()) == 1
    end = int(decisions.terminal.int().argmax())
    assert decisions.ended.tolist() == [place > end for place in range(8)]
    assert bool(decisions.next_scene.crashed[end, 0]) and not bool(decisions.scene.crashed[end, 0])
    assert decisions.dt_s == pytest.approx(1.0)


def test_clip_after_the_end_is_over_from_its_start(rides: Rides) -> None:
    ride = next(ride for ride in rides["random"] if int(ride.terminated.int().argmax()) < 20 and ride.terminated.any())
    clip = clip_at(ride, 22, 8)
    assert clip.ended_before
    assert clip.decisions().ended.all() and not clip.decisions().terminal.any()
    assert clip.outcome == "had crashed before"


def test_outcome_tells_when_it_crashed(rides: Rides) -> None:
    clip = crashed_clip(rides)
    first = int(clip.recording.scenes.crashed[:, 0].int().argmax())
    assert clip.outcome == f"crashed at {first * 0.2:.1f} s"
    assert clip_at(rides["idm"][0], 0, 8).outcome == "still driving at 8.0 s"


def test_save_and_load_give_the_same_clip(rides: Rides, tmp_path: Path) -> None:
    clip = replace(crashed_clip(rides), driver="random", run="demo")
    clip.save(tmp_path / "clip.parquet")
    back = Clip.load(tmp_path / "clip.parquet")
    assert back.recording.differences(clip.recording) == []
    assert (back.start_decision, back.ended_before, back.driver, back.run) == (clip.start_decision, clip.ended_before, "random", "demo")
    assert back.content_hash == clip.content_hash


def test_content_hash_sees_every_change(rides: Rides) -> None:
    clip = clip_at(rides["idm"][0], 0, 8)
    moved = clip.recording.scenes.position_m.clone()
    moved[-1, -1, 0] += 1e-3
    changed = [
        replace(clip, driver="other"),
        replace(clip, recording=replace(clip.recording, seed=99)),
        replace(clip, recording=replace(clip.recording, scenes=replace(clip.recording.scenes, position_m=moved))),
        clip_at(rides["idm"][0], 1, 8),
        clip_at(rides["idm"][1], 0, 8),
    ]
    assert len({clip.content_hash, *(each.content_hash for each in changed)}) == 6


def test_a_truncated_and_a_foreign_file_are_refused(rides: Rides, tmp_path: Path) -> None:
    path = tmp_path / "clip.parquet"
    clip_at(rides["idm"][0], 0, 8).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordingError, match="not a whole drive-fusion clip file"):
        Clip.load(path)
    rides["idm"][0].save(path)
    with pytest.raises(RecordingError, match="expected a 'drive-fusion clip'"):
        Clip.load(path)


def test_shelf_gives_back_what_was_added_and_tells_what_is_missing(rides: Rides, store: Store) -> None:
    shelf, clip = ClipShelf(store), crashed_clip(rides)
    name = shelf.add(clip)
    assert shelf.add(clip) == name
    row = store.clip(name)
    assert row is not None and row.outcome == clip.outcome and row.seed == clip.recording.seed
    assert ClipShelf(store)[name].content_hash == name
    path = store.folder / row.scenes_path
    clip_at(rides["idm"][0], 0, 8).save(path)
    with pytest.raises(RecordingError, match="holds another clip"):
        ClipShelf(store)[name]
    path.unlink()
    with pytest.raises(RecordingError, match="is missing"):
        ClipShelf(store)[name]
    with pytest.raises(RecordingError, match="has no clip"):
        ClipShelf(store)["nothing"]


def test_video_is_named_by_its_clip_and_added_once(rides: Rides, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[torch.Tensor] = []

    def write(scenes: Scene, path: Path, width_px: int) -> str:
        written.append(scenes.time_s)
        path.write_bytes(b"video")
        return "5" * 64

    monkeypatch.setattr("sensors.views.video.write_clip_video", write)
    shelf, clip = ClipShelf(store), crashed_clip(rides)
    name = shelf.add(clip)
    shelf.add_video(name)
    shelf.add_video(name)
    row = store.clip(name)
    assert row is not None and (row.video_path, row.video_sha256) == (f"clips/{name}.mp4", "5" * 64)
    assert len(written) == 1 and torch.equal(written[0], clip.recording.scenes.time_s)
