"""Live rides through the server: started, seen, driven, ended and stored by their own rider alone, within limits."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from envs.drivers import driver_named
from envs.world import World
from feedback.accounts import Accounts
from feedback.server import ride_desk
from feedback.server.app import create_app
from feedback.server.ride_desk import RideOffer
from feedback.store import Store

ID = "highway-fast-v0"


def make() -> tuple[Any, Any]:
    return World(ID, 1, num_threads=1, config={"vehicles_count": 3, "duration": 30}), driver_named("slower", 5)


@dataclass
class Served:
    """A server that runs."""

    url: str
    store: Store
    accounts: Accounts
    desk: ride_desk.RideDesk
    stop: Callable[[], None]
    clients: list[httpx.Client] = field(default_factory=list)

    def rider(self, name: str) -> Rider:
        _, token = self.accounts.add_person(name)
        secret = self.accounts.log_in(token)
        session = self.accounts.session(secret)
        assert secret is not None and session is not None
        headers = {"Origin": self.url, "X-CSRF-Token": session.csrf_token}
        client = httpx.Client(base_url=self.url, headers=headers, cookies={"session": secret}, timeout=60)
        self.clients.append(client)
        return Rider(client, session.reviewer.id)


@dataclass
class Rider:
    """Somebody at the page."""

    client: httpx.Client
    id: int
    ride: str = ""
    seq: int = 0

    def start(self, key: str = "ride-key-0001") -> httpx.Response:
        reply = self.client.post("/api/rides", json={"client_key": key})
        if reply.status_code == 200:
            self.ride, self.seq = reply.json()["ride"], reply.json()["seq"]
        return reply

    def wheel(self, **changes: Any) -> httpx.Response:
        self.seq += 1
        body = {"seq": self.seq, "held": False, "acceleration": 0.0, "steering": 0.0, "paused": False, "rate": 1.0}
        return self.client.post(f"/api/rides/{self.ride}/wheel", json=body | changes)

    def end(self) -> httpx.Response:
        return self.client.post(f"/api/rides/{self.ride}/end", json={"client_key": "end-key-0001"})

    def packets(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        with self.client.stream("GET", f"/api/rides/{self.ride}/stream") as reply:
            assert reply.status_code == 200
            waiting = b""
            for part in reply.iter_bytes():
                waiting += part
                while len(waiting) >= 8:
                    about, picture = struct.unpack(">II", waiting[:8])
                    if len(waiting) < 8 + about + picture:
                        break
                    yield json.loads(waiting[8 : 8 + about]), waiting[8 + about : 8 + about + picture]
                    waiting = waiting[8 + about + picture :]


@pytest.fixture
def served(study: Path, small_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(ride_desk, "WIDTH_PX", 160)
    monkeypatch.setattr(ride_desk, "VIDEO_WIDTH_PX", 160)
    shutil.copy(small_database, study / "feedback.db")
    with Store(study / "feedback.db") as store, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        accounts = Accounts(store)
        app = create_app(store, accounts, url, RideOffer("slower", ID, make), max_rides=2)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(30)

        served = Served(url, store, accounts, app.state.rides, stop)
        yield served
        for client in served.clients:
            client.close()
        stop()
        assert not thread.is_alive()


def until(condition: Callable[[], Any], wait_s: float = 30.0) -> Any:
    end = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
    return found


def test_a_ride_is_seen_driven_ended_stored_rated_and_replayed(served: Served) -> None:
    ada = served.rider("Ada")
    begun = ada.start().json()
    assert begun["state"] in ("starting", "riding")
    seen, causes_said = [], 0
    for about, picture in ada.packets():
        seen.append((time.monotonic(), about, len(picture)))
        assert not picture or picture[:2] == b"\xff\xd8"  # a JPEG
        now = about["time_s"]
        assert ada.wheel(held=2.0 <= now < 4.4, acceleration=-0.5 if now < 3.0 else 0.0).status_code in (200, 429)
        if about["takeovers"] and about["takeovers"][0]["release_s"] and not causes_said:
            causes_said = ada.client.post(f"/api/rides/{ada.ride}/cause", json={"takeover": 0, "cause": "too fast"}).status_code
        if now > 9.0 and about["state"] == "riding":
            ada.end()
    about = seen[-1][1]
    assert (about["state"], about["line"], causes_said) == ("over", "", 200)
    riding = [(when, each) for when, each, size in seen if size]
    assert len(riding) / (riding[-1][0] - riding[0][0]) > 8.0  # 15 a second asked, on a machine that does other things too
    assert {each["held"] for _, each in riding} == {False, True}
    (ride,) = served.store.rides(ada.id)
    assert ride.id == about["ride_id"] and ride.driver == "slower" and 8.0 <= ride.duration_s <= 10.0
    (takeover,) = [row for row in served.store.takeovers() if row.onset_s is not None]
    assert (takeover.reviewer_id, takeover.cause, takeover.ride_id) == (ada.id, "too fast", ride.id)
    rating = {"ride_id": ride.id, "stars": 4, "comment": "calm", "client_key": "rate-key-0001"}
    assert ada.client.post("/api/rides/rating", json=rating).status_code == 200
    assert served.store.rides()[0].stars == 4
    page = ada.client.get(f"/ride/{ride.id}")
    assert page.status_code == 200 and "too fast" in page.text
    for clip_id in (takeover.clip_id, takeover.after_clip_id):
        assert clip_id is not None
        until(lambda clip_id=clip_id: served.store.clip(clip_id).video_path, 60.0)
        reply = ada.client.get(f"/api/clips/{clip_id}/video")
        assert reply.status_code == 200 and b"ftyp" in reply.content[:16]


def test_one_ride_a_person_and_only_so_many_at_once(served: Served) -> None:
    ada, bob, eve = (served.rider(name) for name in ("Ada", "Bob", "Eve"))
    first = ada.start().json()["ride"]
    assert ada.start("another-key-0001").json()["ride"] == first
    assert bob.start().status_code == 200
    refused = eve.start()
    assert refused.status_code == 503 and refused.headers["retry-after"] == "30" and "2 places" in refused.json()["error"]
    ada.end()
    until(lambda: served.desk.find(ada.id, first).state == "over")  # type: ignore[union-attr]
    assert eve.start().status_code == 200


def test_nobody_sees_or_drives_anothers_ride(served: Served) -> None:
    ada, eve = served.rider("Ada"), served.rider("Eve")
    ada.start()
    eve.start()
    eve.ride = ada.ride
    assert eve.client.get(f"/api/rides/{ada.ride}/stream").status_code == 404
    assert eve.wheel(held=True).status_code == 404
    assert eve.end().status_code == 404
    assert eve.client.post(f"/api/rides/{ada.ride}/cause", json={"takeover": 0, "cause": "too fast"}).status_code == 404


def test_replayed_and_late_messages_move_nothing(served: Served) -> None:
    ada = served.rider("Ada")
    ada.start()
    live = until(lambda: served.desk.find(ada.id, ada.ride).live)  # type: ignore[union-attr]
    until(lambda: live.time_s > 0)
    assert ada.wheel().status_code == 200
    ada.seq = 100
    assert ada.wheel(steering=0.5).status_code == 200
    for seq in (101, 100, 1):
        assert ada.wheel(seq=seq, steering=-1.0).status_code == 409
    assert live.present.steering == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"acceleration": 1.5}, {"steering": -7}, {"steering": None}, {"held": "yes"}, {"rate": 2.0}, {"rate": 0.0}, {"seq": 0},
        {"seq": 2**60}, {"seq": "9"}, {"paused": 1}, {"extra": 1}, {"acceleration": "0"},
    ],
)  # fmt: skip
def test_an_impossible_message_is_one_clear_line_and_moves_nothing(served: Served, changes: dict[str, Any]) -> None:
    ada = served.rider("Ada")
    ada.start()
    live = until(lambda: served.desk.find(ada.id, ada.ride).live)  # type: ignore[union-attr]
    reply = ada.wheel(**changes)
    assert reply.status_code == 422 and "\n" not in reply.json()["error"]
    assert live.present.steering == live.present.acceleration == 0.0
    text = '{"seq": 1, "held": true, "acceleration": NaN, "steering": Infinity, "paused": false, "rate": 1.0}'
    headers = {"Content-Type": "application/json"}
    assert ada.client.post(f"/api/rides/{ada.ride}/wheel", content=text, headers=headers).status_code == 422


def test_a_flood_of_messages_is_stopped(served: Served) -> None:
    ada = served.rider("Ada")
    ada.start()
    until(lambda: served.desk.find(ada.id, ada.ride).live)  # type: ignore[union-attr]
    ride = served.desk.find(ada.id, ada.ride)
    assert ride is not None
    ride.tokens = 3.0
    spent = [ride.spend() for _ in range(50)]
    assert 3 <= spent.count(True) < 10
    ride.tokens, ride.refilled = 0.0, time.monotonic() + 5
    assert ada.wheel().status_code == 429
    ride.refilled = time.monotonic()


def test_a_ride_whose_page_is_gone_ends_and_is_stored(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ride_desk, "IDLE_S", 2.5)
    ada = served.rider("Ada")
    ada.start()
    ride = served.desk.find(ada.id, ada.ride)
    until(lambda: ride.state == "over")  # type: ignore[union-attr]
    (row,) = served.store.rides()
    assert 1.0 <= row.duration_s <= 4.0


def test_logging_out_ends_the_ride_and_its_pictures(served: Served) -> None:
    ada = served.rider("Ada")
    ada.start()
    pictures = ada.packets()
    until(lambda: next(pictures)[0]["time_s"] > 1.5)
    assert ada.client.post("/logout", data={"csrf_token": ada.client.headers["X-CSRF-Token"]}).status_code == 303
    last = [about for about, _ in pictures]
    assert last[-1]["state"] in ("riding", "storing", "over")
    until(lambda: served.store.rides())
    assert ada.client.get(f"/api/rides/{ada.ride}/stream").status_code == 401


def test_stopping_the_server_stores_the_rides_that_are_on(served: Served) -> None:
    ada = served.rider("Ada")
    ada.start()
    live = until(lambda: served.desk.find(ada.id, ada.ride).live)  # type: ignore[union-attr]
    until(lambda: live.time_s > 2.2)
    served.stop()
    (row,) = served.store.rides()
    assert row.duration_s >= 2.0 and row.outcome.startswith("still driving")


def test_a_driver_that_breaks_down_is_one_clear_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[Any, Any]:
        raise RuntimeError("no such thing as /secret/path")

    monkeypatch.setattr(served.desk, "offer", RideOffer("slower", ID, broken))
    ada = served.rider("Ada")
    ada.start()
    about = [each for each, _ in ada.packets()][-1]
    assert about["state"] == "over" and "broke down" in about["line"] and "secret" not in about["line"]
    assert served.store.rides() == []
    assert ada.start("another-key-0001").status_code == 200


def test_without_an_offer_there_is_no_page(store: Store) -> None:
    from fastapi.testclient import TestClient

    accounts = Accounts(store)
    _, token = accounts.add_person("Ada")
    secret = accounts.log_in(token)
    assert secret is not None
    client = TestClient(create_app(store, accounts), base_url="http://127.0.0.1:8000")
    client.cookies.set("session", secret)
    reply = client.get("/ride")
    assert reply.status_code == 404 and "--ride DRIVER" in reply.text
    assert "Ride along" not in client.get("/guidelines").text


def test_the_command_refuses_a_driver_that_there_is_not() -> None:
    from drive_fusion.review import ride_offer
    from sensors.errors import ConfigError

    with pytest.raises(ConfigError, match="did you mean"):
        ride_offer("slowest", ID)
    with pytest.raises(ConfigError):
        ride_offer("idle", "motorway-v0")


def test_a_ride_whose_video_cannot_be_made_is_stored_all_the_same(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from feedback.clips import ClipShelf

    def broken(*_: Any) -> None:
        raise RuntimeError("no encoder at /secret/path")

    monkeypatch.setattr(ClipShelf, "add_video", broken)
    ada = served.rider("Ada")
    ada.start()
    ride = served.desk.find(ada.id, ada.ride)
    assert ride is not None
    until(lambda: ride.live is not None and ride.state == "riding" and ride.live.time_s > 0.0, 120.0)
    until(lambda: ada.wheel(held=True).status_code == 200 and ride.live is not None and ride.live.held, 120.0)
    until(lambda: ride.live is not None and ride.live.time_s > 2.0 and ada.wheel(held=True).status_code == 200, 120.0)
    assert ada.end().status_code == 200
    assert ride.thread is not None
    ride.thread.join(120)
    assert (ride.state, ride.line) == ("over", "") and ride.ride_id is not None
    assert [row.id for row in served.store.rides()] == [ride.ride_id]
    assert list((served.store.folder / "rides").glob("*.journal")) == []
