"""What a live ride leaves in the study: its recording and hands, clips of what came before and after each takeover, and their rows."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envs.recording import Recording
from envs.scene_table import RecordingError
from feedback.clips import FEWEST_DECISIONS, ClipShelf, clip_at, usual_decisions
from feedback.live_ride import Hand, LiveTakeover, RideResult, replay
from feedback.rows import RideRow
from feedback.store import Store
from sensors.errors import ConfigError

AFTER_ONSET = 2
"""Decisions of a takeover that its first clip still shows."""


def keep_ride(
    store: Store, reviewer_id: int, driver: str, result: RideResult, client_key: str, name: str | None = None
) -> tuple[int, list[str]]:
    """Write a ride into its study: files first, then rows, so that no row names what is not there.

    A takeover is stored as the scripts' are: a clip, and when in it the wheel was taken, which is what the hazard learns from. Stretches
    of the ride in which nobody took it are stored as watched. Sent again with the same key, nothing is written twice.

    Args:
        store: The study's store.
        reviewer_id: Who rode.
        driver: Who drove otherwise.
        result: The ride.
        client_key: Name of this very ride.
        name: What to call its files; where they are there already, they are taken as they are. None makes a name.

    Returns:
        The ride's number, and the clips that a video is to be made of.
    """
    recording = result.recording
    relative = Path("rides") / f"{name or secrets.token_hex(12)}.parquet"
    path = store.folder / relative
    if not path.is_file():
        _write_hands(path.with_suffix(".hands.json"), result)
        recording.save(path)
    row = RideRow(
        id=0,
        reviewer_id=reviewer_id,
        reviewer="",
        env_id=recording.id,
        seed=recording.seed,
        driver=driver,
        recording=relative.as_posix(),
        recording_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        duration_s=recording.dt_s * (len(recording.decision_of_substep) - 1),
        by_hand_s=result.by_hand_s,
        distance_m=result.distance_m,
        outcome=result.outcome,
        stars=None,
        created_unix_s=0.0,
    )
    ride_id = store.add_ride(row, client_key)
    shelf = ClipShelf(store)
    shown: list[str] = []
    for number, takeover in enumerate(result.takeovers):
        shown += _keep_takeover(store, shelf, reviewer_id, driver, recording, takeover, f"{client_key}-{number}", ride_id, row.recording)
    for number, (first, decisions) in enumerate(_quiet(recording, result.takeovers)):
        clip = clip_at(recording, first, decisions, driver, row.recording)
        key = f"{client_key}-quiet-{number}"
        store.add_takeover(reviewer_id, shelf.add(clip), None, clip.duration_s, recording=row.recording, client_key=key, ride_id=ride_id)
    return ride_id, shown


def load_ride(study: Path, row: RideRow) -> tuple[Recording, list[Hand], list[int]]:
    """Read a ride's files.

    Returns:
        The recording, the substeps that the person drove, and the decisions before which the wheel went back.

    Raises:
        RecordingError: A file is missing or changed.
    """
    path = study / row.recording
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != row.recording_sha256:
        raise RecordingError(f"ride {row.id}: {path} is missing or is not the one that was stored; copy the right one back")
    try:
        about = json.loads(path.with_suffix(".hands.json").read_text())
        hands = [Hand(**each) for each in about["hands"]]
        return Recording.load(path), hands, [int(each) for each in about["handed_back"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"ride {row.id}: {path.with_suffix('.hands.json')} cannot be read ({error}); copy it back") from error


def replay_ride(study: Path, row: RideRow) -> list[str]:
    """Drive a stored ride again, and name what came out differently; nothing, on the same machine and versions."""
    recording, hands, handed_back = load_ride(study, row)
    return recording.differences(replay(recording, hands, handed_back))


def _write_hands(path: Path, result: RideResult) -> None:
    about: dict[str, Any] = {"hands": [asdict(hand) for hand in result.hands], "handed_back": list(result.handed_back)}
    about["takeovers"] = [asdict(takeover) for takeover in result.takeovers]
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _keep_takeover(
    store: Store,
    shelf: ClipShelf,
    reviewer_id: int,
    driver: str,
    recording: Recording,
    takeover: LiveTakeover,
    key: str,
    ride_id: int,
    name: str,
) -> list[str]:
    """Store one takeover, with the clip that leads to it and the one that follows it, where the ride is long enough for them."""
    release_s = takeover.onset_s if takeover.release_s is None else takeover.release_s
    onset, length = _decision_at(recording, takeover.onset_s), _clip_decisions(recording)
    row: dict[str, Any] = {
        "recording": name,
        "driver_actions": takeover.driver_actions,
        "person_actions": takeover.person_actions,
        "client_key": key,
        "ride_id": ride_id,
    }
    if length is None:
        store.add_takeover(reviewer_id, None, takeover.onset_s, release_s, takeover.cause, request_s=takeover.request_s, **row)
        return []
    first = min(max(onset + AFTER_ONSET - length, 0), recording.num_decisions - length)
    before = clip_at(recording, first, length, driver, name)
    after = clip_at(recording, min(onset, recording.num_decisions - length), length, driver, name)
    start_s = before.start_s - float(recording.scenes.time_s[0])
    ids = [shelf.add(before), shelf.add(after)]
    store.add_takeover(
        reviewer_id,
        ids[0],
        max(takeover.onset_s - start_s, 0.0),
        min(max(release_s, takeover.onset_s) - start_s, before.duration_s),
        takeover.cause,
        request_s=takeover.request_s - start_s,
        after_clip_id=ids[1],
        **row,
    )
    return list(dict.fromkeys(ids))


def _clip_decisions(recording: Recording) -> int | None:
    """How many decisions a clip of this ride has; None if the ride is too short for any."""
    try:
        usual = usual_decisions(recording)
    except ConfigError:
        return None
    for length in range(min(usual, recording.num_decisions), FEWEST_DECISIONS - 1, -1):
        try:
            clip_at(recording, 0, length)
        except ConfigError:
            continue
        return length
    return None


def _decision_at(recording: Recording, time_s: float) -> int:
    """Which decision was being carried out at a time of the ride."""
    instant = min(round(time_s / recording.dt_s) + 1, len(recording.decision_of_substep) - 1)
    return int(recording.decision_of_substep[instant])


def _quiet(recording: Recording, takeovers: tuple[LiveTakeover, ...]) -> Iterator[tuple[int, int]]:
    """Windows, as first decision and length, in which the driver drove and nobody took the wheel."""
    length = _clip_decisions(recording)
    if length is None:
        return
    begin = 0
    for takeover in (*takeovers, None):
        # What leads to a takeover is in its own clip.
        end = recording.num_decisions if takeover is None else max(_decision_at(recording, takeover.onset_s) + AFTER_ONSET - length, 0)
        while begin + length <= end and not bool(recording.terminated[:begin].any()):
            yield begin, length
            begin += length
        if takeover is not None and takeover.release_s is not None:
            begin = _decision_at(recording, takeover.release_s) + 1
