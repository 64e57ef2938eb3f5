"""What a live ride writes down as it goes, so that a kill of the server in mid-ride loses no more than the decision it was at.

A ride repeats bit for bit from its seed, its driver's actions and the person's hands; these are a line a decision. Whoever rides holds a
lock on the file, which ends with the process: a journal that nobody holds is of a ride that was interrupted.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from envs.scene_table import RecordingError, as_json
from feedback.live_ride import Hand, LiveTakeover, RideResult, drive_again, result_of
from feedback.ride_files import keep_ride
from feedback.store import Store

SUFFIX = ".journal"


class RideJournal:
    """The journal of a ride that is on.

    Args:
        folder: The study's folder for rides.
        about: What the ride begins with: ``beginning`` gives it.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.name = secrets.token_hex(12)
        """The ride's name; its recording will have it too."""
        self.path = folder / f"{self.name}{SUFFIX}"
        self._file = self.path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.note(about)

    def note(self, line: dict[str, Any]) -> None:
        """Write a line; it is on disk when this returns."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, forget: bool) -> None:
        """End the journal; ``forget`` it when all that it says is stored, or there is nothing to store."""
        if forget:
            self.path.unlink(missing_ok=True)
        self._file.close()


def beginning(reviewer_id: int, client_key: str, driver: str, world: Any, seed: int, autopilot: bool) -> dict[str, Any]:
    """A journal's first line: who rides, and what the ride repeats from."""
    about = {"reviewer_id": reviewer_id, "client_key": client_key, "driver": driver, "seed": seed, "autopilot": autopilot}
    return about | {"env_id": world.id, "config": as_json(world.config), "dtype": str(world.dtype).removeprefix("torch.")}


def interrupted(study: Path) -> list[Path]:
    """Journals of a study's rides that were interrupted, or that are on elsewhere."""
    return sorted((study / "rides").glob(f"*{SUFFIX}"))


def recover(store: Store, path: Path) -> tuple[int, list[str]] | None:
    """Store an interrupted ride as far as it got, as if it had been ended there; its journal is then gone.

    Args:
        store: The study's store.
        path: The journal.

    Returns:
        The ride's number, and the clips that a video is to be made of; None if the ride is on elsewhere, or had no whole decision.

    Raises:
        RecordingError: The journal is no such file, or its world is not known here. It stays.
        StoreError: If the ride cannot be stored. The journal stays.
    """
    try:
        with path.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            kept = _keep(store, path, file)
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # another server was first
        return None
    return kept


def _keep(store: Store, path: Path, file: IO[str]) -> tuple[int, list[str]] | None:
    lines = list(_whole_lines(file))
    if len(lines) < 2:
        return None
    try:
        about, result = lines[0], _result(lines[0], lines[1:])
        who = int(about["reviewer_id"]), str(about["driver"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordingError(f"{path}: no journal of a ride ({error!r}); remove it, or copy the right one back") from error
    return keep_ride(store, who[0], who[1], result, str(about["client_key"]), path.name.removesuffix(SUFFIX))


def _whole_lines(file: IO[str]) -> Iterator[dict[str, Any]]:
    """Lines up to the first that was not written to its end."""
    for line in file:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _result(about: dict[str, Any], lines: list[dict[str, Any]]) -> RideResult:
    actions = [torch.tensor([line["action"]], dtype=getattr(torch, line["action_dtype"])) for line in lines]
    hands = [Hand(decision, *hand) for decision, line in enumerate(lines) for hand in line["hands"]]
    handed_back = [decision for decision, line in enumerate(lines) if line["handed_back"]]
    recording = drive_again(
        about["env_id"], about["config"], getattr(torch, about["dtype"]), about["seed"], actions, about["autopilot"], hands, handed_back
    )
    end_s = recording.dt_s * (len(recording.decision_of_substep) - 1)
    takeovers = [LiveTakeover(**each) for each in lines[-1]["takeovers"]]
    for takeover in takeovers:
        takeover.release_s = end_s if takeover.release_s is None else takeover.release_s
    for line in lines:
        if line["person_action"] is not None:
            takeover = takeovers[line["takeover"]]
            takeover.driver_actions.append(line["action"])
            takeover.person_actions.append(tuple(line["person_action"]))
    return result_of(recording, hands, handed_back, takeovers)
