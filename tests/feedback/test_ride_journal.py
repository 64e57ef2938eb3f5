"""A ride that is interrupted by a kill of its server is stored as far as it got, and once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.drivers import driver_named
from envs.scene_table import RecordingError
from envs.world import World
from feedback import audit
from feedback.accounts import Accounts
from feedback.live_ride import LiveRide, RideResult, Wish
from feedback.ride_files import keep_ride, load_ride, replay_ride
from feedback.ride_journal import SUFFIX, RideJournal, beginning, interrupted, recover
from feedback.store import Store
from sensors.scene import Scene


@pytest.fixture(scope="module")
def ridden(tmp_path_factory: pytest.TempPathFactory) -> tuple[RideResult, list[str]]:
    """A ride with two takeovers, the second given back only after 15 s, and its journal's lines."""
    folder = tmp_path_factory.mktemp("rides")
    now = [100.0]
    world = World("highway-fast-v0", 1, num_threads=1, config={"duration": 17, "vehicles_count": 3})
    driver = driver_named("idle", 5)
    journal = RideJournal(folder, beginning(1, "ride-key-0001", "idle", world, 3, driver.autopilot))

    def show(live: LiveRide, scene: Scene) -> None:
        held = 2.3 <= live.time_s < 4.1 or 8.0 <= live.time_s < 15.0
        live.wish(Wish(held=held, acceleration=-0.2))
        if live.time_s > 5.0:
            live.say_cause(0, "too fast")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    result = LiveRide(world, driver, 3, show, lambda: now[0], sleep, note=journal.note).run()
    lines = journal.path.read_text().splitlines()
    journal.close(forget=True)
    assert result is not None and not journal.path.exists()
    return result, lines


def leave(store: Store, text: str, name: str = "0" * 24) -> Path:
    """What a kill leaves."""
    for folder in ("rides", "clips"):
        (store.folder / folder).mkdir(exist_ok=True)
    path = store.folder / "rides" / f"{name}{SUFFIX}"
    path.write_text(text)
    return path


@pytest.mark.parametrize("decisions", [1, 4, 10, 17])
def test_an_interrupted_ride_is_stored_as_far_as_it_got(store: Store, reviewer_id: int, ridden: Any, decisions: int) -> None:
    result, lines = ridden
    torn = (lines[decisions + 1] if decisions + 1 < len(lines) else "")[:40]  # the kill came while the next line was written
    path = leave(store, "\n".join(lines[: decisions + 1]) + "\n" + torn)
    assert interrupted(store.folder) == [path]
    kept = recover(store, path)
    assert kept is not None and interrupted(store.folder) == []
    (row,) = store.rides(reviewer_id)
    assert (row.id, row.driver, row.seed) == (kept[0], "idle", 3)
    recording, hands, handed_back = load_ride(store.folder, row)
    whole = result.recording
    count = len(recording.decision_of_substep)
    assert recording.num_decisions == decisions
    assert recording.actions.equal(whole.actions[:decisions])
    for name in ("position_m", "heading_rad", "velocity_mps"):
        assert torch.equal(getattr(recording.scenes, name)[:, 0], getattr(whole.scenes, name)[:count, 0]), name
    assert hands == [hand for hand in result.hands if hand.decision < decisions]
    assert handed_back == [decision for decision in result.handed_back if decision < decisions]
    taken = [each for each in store.takeovers() if each.onset_s is not None]
    expected = [each for each in result.takeovers if each.onset_s < decisions]
    assert [each.cause for each in taken] == [each.cause if decisions > 5 else "" for each in expected]
    for each, original in zip(taken, expected, strict=True):
        by_then = slice(sum(original.onset_s < float(t + 1) for t in range(decisions)))
        assert list(each.person_actions) == original.person_actions[by_then]
    assert replay_ride(store.folder, row) == []
    assert audit.verify(store.engine).problems == ()


def test_a_kill_while_the_ride_is_stored_leaves_it_once(store: Store, reviewer_id: int, ridden: Any) -> None:
    result, lines = ridden
    path = leave(store, "\n".join(lines) + "\n")
    keep_ride(store, reviewer_id, "idle", result, "ride-key-0001", "0" * 24)  # all stored, and then killed before the journal went
    rows = store.takeovers()
    assert recover(store, path) is not None
    assert (len(store.rides()), store.takeovers()) == (1, rows)


def test_a_ride_that_is_on_is_left_alone(store: Store, reviewer_id: int, ridden: Any) -> None:
    (store.folder / "rides").mkdir()
    journal = RideJournal(store.folder / "rides", json.loads(ridden[1][0]))
    journal.note(json.loads(ridden[1][1]))
    assert recover(store, journal.path) is None
    assert store.rides() == [] and journal.path.exists()
    journal.close(forget=False)
    (store.folder / "clips").mkdir()
    assert recover(store, journal.path) is not None
    assert len(store.rides()) == 1


@pytest.mark.parametrize("text", ["", "{}", '{"reviewer_id": 1}\n', "no journal\n\n"])
def test_a_ride_that_had_no_whole_decision_leaves_nothing(store: Store, text: str) -> None:
    path = leave(store, text)
    assert recover(store, path) is None
    assert store.rides() == [] and not path.exists()


def test_what_is_no_journal_is_one_clear_line_and_stays(store: Store, ridden: Any) -> None:
    path = leave(store, '{"reviewer_id": 1}\n{"action": 1}\n')
    with pytest.raises(RecordingError, match="no journal of a ride") as error:
        recover(store, path)
    assert "\n" not in str(error.value) and path.exists()


def test_a_server_killed_in_mid_ride_stores_the_ride_when_it_is_next_started(study: Path, database: str) -> None:
    with Store(database) as store:
        accounts = Accounts(store)
        ada, token = accounts.add_person("Ada")
        secret = accounts.log_in(token)
        session = accounts.session(secret)
        assert session is not None

    def serve() -> tuple[subprocess.Popen[str], str]:
        program = "from drive_fusion.cli import main; raise SystemExit(main())"
        options = ["review", str(study), "--port", "0", "--ride", "slower", "--id", "highway-fast-v0"]
        process = subprocess.Popen([sys.executable, "-c", program, *options], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        found = re.match("review room: (.*)", process.stdout.readline())
        assert found is not None
        return process, found[1]

    def post(path: str, **body: object) -> dict[str, Any]:
        headers = {"Cookie": f"session={secret}", "X-CSRF-Token": session.csrf_token, "Origin": url, "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer: dict[str, Any] = json.loads(reply.read())
        return answer

    def lines() -> int:
        return sum(len(path.read_text().splitlines()) for path in interrupted(study))

    process, url = serve()
    try:
        ride, seq, until = post("/api/rides", client_key="ride-key-0001")["ride"], 0, time.monotonic() + 120
        while lines() < 6 and time.monotonic() < until:
            seq += 1
            post(f"/api/rides/{ride}/wheel", seq=seq, held=lines() > 2, acceleration=-0.2, steering=0.0, paused=False, rate=1.0)
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        written = lines() - 1
        assert written >= 5
        process, url = serve()
        until = time.monotonic() + 120
        while interrupted(study) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    with Store(database) as store:
        (row,) = store.rides(ada.id)
        assert load_ride(study, row)[0].num_decisions == written
        assert row.by_hand_s >= 1.0
        assert [each.ride_id for each in store.takeovers() if each.onset_s is not None] == [row.id]
        assert audit.verify(store.engine).problems == ()
