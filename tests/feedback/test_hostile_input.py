"""Odd requests one by one, down to the bytes on the wire: a clear 4xx, nothing written, and nobody else kept waiting."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from feedback.accounts import Accounts
from feedback.server import patience
from feedback.server.app import create_app
from feedback.server.command import options_of
from feedback.server.config import ReviewConfig
from feedback.server.guard import RateLimit
from feedback.store import Store
from tests.feedback.test_attack import URL, body_for, browser, content, make_room


@pytest.fixture
def app(study: Path, small_database: Path) -> Iterator[FastAPI]:
    store = make_room(study, small_database)
    yield create_app(store, Accounts(store), URL)
    store.close()


@pytest.fixture
def store(app: FastAPI) -> Store:
    found: Store = app.state.store
    return found


@pytest.fixture
def ada(app: FastAPI) -> TestClient:
    accounts: Accounts = app.state.doors.accounts
    client = browser(app, accounts, accounts.add_person("Ada")[1])
    assert client.get("/api/state").status_code == 200
    return client


def post(client: TestClient, url: str, body: Any) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(url, content=text, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("name", ["a\nb", "a\r\nSet-Cookie: x", "x" * 8000, "\x00", "\u202e", "\ud800", "", "<script>", "__class__"])
def test_a_field_of_the_senders_own_invention_is_refused_in_one_short_line(ada: TestClient, study: Path, name: str) -> None:
    before = content(study)
    reply = post(ada, "/api/labels", {**body_for("/api/labels", ada), name: 1})
    assert reply.status_code == 422
    assert reply.json()["error"].isprintable() and len(reply.json()["error"]) < 150
    assert content(study) == before


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 8000,
        b'{"a":' * 3000,
        b"\xff\xfe\x00",
        b'{"pair_id":' + b"9" * 6000 + b"}",
        b'{"latency_s": 1e999}',
        b'"\\ud800"',
        b" " * 16000,
    ],
    ids=lambda body: body[:8].decode("latin-1"),
)
def test_a_body_that_is_hardly_json_is_refused_in_one_short_line(ada: TestClient, study: Path, body: bytes) -> None:
    before = content(study)
    reply = post(ada, "/api/labels", body)
    assert reply.status_code in (400, 422) and len(reply.json()["error"]) < 150
    assert content(study) == before


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "raw_unicode_escape", "idna", "punycode", "rot13", "undefined", "zlib", "\xff"])
def test_a_form_in_an_odd_alphabet_is_refused(app: FastAPI, ada: TestClient, study: Path, charset: str) -> None:
    stranger, before = browser(app, app.state.doors.accounts), content(study)
    headers = {"Content-Type": f"multipart/form-data; boundary=bb; charset={charset}".encode("latin-1")}
    for value in (b"\\ud800", b"\xff\xfe\xfd", b"a..b", b"xn--\x80\x80"):
        fields = b"".join(
            b'--bb\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
            for name in (b"token", b"secret", b"csrf_token", b"client_key")
        )
        for client, path in ((stranger, "/login"), (stranger, "/invite"), (ada, "/logout"), (ada, "/undo")):
            assert 400 <= client.post(path, content=fields + b"--bb--\r\n", headers=headers).status_code < 500
    assert content(study) == before


def test_a_revision_whose_undo_would_take_a_used_key_is_refused(ada: TestClient, store: Store, study: Path) -> None:
    answer = body_for("/api/labels", ada)
    pair_id = ada.get("/api/state").json()["pair"]["id"]
    taken = hashlib.sha256(b"undo for revision-key").hexdigest()[:32]
    label_id = post(ada, "/api/labels", {**answer, "pair_id": pair_id, "client_key": taken}).json()["label_id"]
    before = content(study)
    del answer["pair_id"]
    reply = post(ada, f"/api/said/{label_id}", {**answer, "choice": "tie", "client_key": "revision-key"})
    assert reply.status_code == 409 and "make a new key" in reply.json()["error"]
    assert content(study) == before and len(store.labels()) == 1


def test_a_clip_that_cannot_be_read_is_one_clear_line(ada: TestClient, store: Store, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = ada.get("/api/state").json()["pair"]["left"]["video"]
    clip = store.clip(url.split("/")[3])
    assert clip is not None and ada.get(url).status_code == 200
    file = study / str(clip.video_path)
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to(file)
    reply = ada.get(url)
    assert reply.status_code == 404 and "cannot be read; press X" in reply.json()["error"]
    file.unlink()
    file.write_bytes(kept)

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/secret/place")

    monkeypatch.setattr("feedback.server.api._sha256", denied)
    reply = ada.get(url)
    assert reply.status_code == 404 and "cannot be read; press X" in reply.json()["error"] and "secret" not in reply.text


def test_two_requests_that_ask_a_rate_limit_together_are_both_answered() -> None:
    limit = RateLimit(failures=3, window_s=0.0)
    others: list[threading.Thread] = []

    class Shared(deque[float]):
        """Another request comes just when the oldest failure is looked at."""

        def __getitem__(self, place: Any) -> Any:
            if not others:
                others.append(threading.Thread(target=limit.wait_s, args=("1.2.3.4",)))
                others[0].start()
                others[0].join(0.3)
            return super().__getitem__(place)

    limit._of["1.2.3.4"] = Shared([time.monotonic() - 1.0])
    assert limit.wait_s("1.2.3.4") == 0.0
    others[0].join(10.0)
    assert not others[0].is_alive()


@pytest.fixture
def port(app: FastAPI, study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of the room as ``drive-fusion review`` serves it, with less patience."""
    monkeypatch.setattr(patience, "HEAD_WAIT_S", 0.3)
    server = uvicorn.Server(options_of(app, ReviewConfig(study)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)


def said_to(port: int, sent: bytes, wait_s: float = 20.0) -> bytes:
    """All that the server answers before it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        connection.sendall(sent)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:  # it has closed what we were still writing to
            pass
        return answer


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-", b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /log"],
    ids=["nothing", "half a head", "half a second head"],
)
def test_a_connection_that_does_not_say_what_it_wants_is_closed(port: int, sent: bytes) -> None:
    begun = time.monotonic()
    answer = said_to(port, sent)
    assert time.monotonic() - begun < 15.0
    assert answer.startswith(b"HTTP/1.1 200") == sent.startswith(b"GET /login")


HEAD = b"POST /api/undo HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1:8000\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 3\r\nContent-Length: 30\r\n\r\n{}x",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /people HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: " + b"0" * 5000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
        HEAD + b" folded: x\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Host: evil.org\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"/api/undo", b"http://evil.org/api/undo") + b"Content-Length: 2\r\n\r\n{}",
        HEAD.replace(b"/api/undo", b"/api/und\xff") + b"Content-Length: 2\r\n\r\n{}",
        HEAD.replace(b"POST", b"TRACE") + b"Content-Length: 2\r\n\r\n{}",
        HEAD.replace(b"POST", b"GET") + b"X-HTTP-Method-Override: POST\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"Host: 127.0.0.1\r\n", b"") + b"X-Forwarded-Host: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET /api/state\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(19),
)
def test_what_is_no_plain_request_is_refused_and_smuggles_nothing(port: int, study: Path, sent: bytes) -> None:
    before = content(study)
    answer = said_to(port, sent)
    statuses = [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert len(statuses) == 1 and statuses[0][:1] == b"4", answer[:300]
    assert content(study) == before


def test_a_head_without_end_is_cut_off(port: int, study: Path) -> None:
    before = content(study)
    answer = said_to(port, HEAD + b"X: " + b"x" * 300_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert content(study) == before
    assert said_to(port, b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_crowded_out_by_idle_connections_nobody_is_for_long(port: int) -> None:
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(260)]
    try:
        ends = time.monotonic() + 20.0
        while not said_to(port, b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < ends
            time.sleep(0.1)
    finally:
        for each in crowd:
            each.close()
