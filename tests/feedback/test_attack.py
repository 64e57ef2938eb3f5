"""What somebody hostile may try: forged, cross-site, replayed, oversized, traversing and unauthenticated requests, of every route and role.

Nothing is written, nothing is read across roles, and the server never answers with an error of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from envs.drivers import driver_named
from envs.world import World
from feedback.accounts import Accounts
from feedback.roles import ROLES
from feedback.rows import RideRow
from feedback.server.app import create_app
from feedback.server.ride_desk import RideOffer
from feedback.store import Store

URL = "http://127.0.0.1:8000"
SAME_SITE = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
VIDEO = bytes(range(256)) * 40


def add_videos(store: Store) -> None:
    """Give every clip a file that can be served."""
    (store.folder / "clips").mkdir(exist_ok=True)
    for clip in store.clips():
        content = clip.id.encode() + VIDEO
        path = f"clips/{clip.seed}.mp4"
        (store.folder / path).write_bytes(content)
        store.add_clip(replace(clip, video_path=path, video_sha256=hashlib.sha256(content).hexdigest()))


def make_room(folder: Path, small_database: Path) -> Store:
    """A study with videos and two practice pairs."""
    folder.mkdir(exist_ok=True)
    shutil.copy(small_database, folder / "feedback.db")
    store = Store(folder / "feedback.db")
    add_videos(store)
    ids = [clip.id for clip in store.clips()]
    store.add_pair(ids[0], ids[3], "practice", answer="A", lesson="The one ride crashed.")
    store.add_pair(ids[4], ids[1], "practice", answer="B", lesson="The one ride crashed.")
    return store


def browser(app: FastAPI, accounts: Accounts, token: str | None = None) -> TestClient:
    """A browser, logged in if there is a token; errors of the server come back as 500."""
    client = TestClient(app, base_url=URL, headers=SAME_SITE, follow_redirects=False, raise_server_exceptions=False)
    if token is not None:
        secret = accounts.log_in(token)
        session = accounts.session(secret)
        assert secret is not None and session is not None
        client.cookies.set("session", secret)
        client.headers["X-CSRF-Token"] = session.csrf_token
    return client


def everybody(app: FastAPI, accounts: Accounts) -> dict[str, TestClient]:
    """A browser for somebody of each role, and for a stranger."""
    browsers = {role: browser(app, accounts, accounts.add_person(f"{role} person", role)[1]) for role in ROLES}
    return {"stranger": browser(app, accounts), **browsers}


def content(folder: Path) -> list[str]:
    """All that a study's database holds."""
    connection = sqlite3.connect(folder / "feedback.db")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def csrf(client: TestClient) -> dict[str, Any]:
    """What a form of a page carries."""
    return {"csrf_token": client.headers["X-CSRF-Token"]}


LABEL, RIDE = {"reviewer", "lead", "admin"}, {"reviewer", "lead", "admin"}
WATCH, AUDIT, PEOPLE = {"lead", "auditor", "admin"}, {"auditor", "admin"}, {"admin"}
ANYBODY = {"reviewer", "lead", "auditor", "admin"}
EVEN_STRANGERS = {"stranger", *ANYBODY}

MAY = {
    ("GET", "/"): EVEN_STRANGERS,
    ("GET", "/login"): EVEN_STRANGERS,
    ("POST", "/login"): EVEN_STRANGERS,
    ("GET", "/invite/{secret}"): EVEN_STRANGERS,
    ("POST", "/invite"): EVEN_STRANGERS,
    ("POST", "/logout"): ANYBODY,
    ("GET", "/guidelines"): ANYBODY,
    ("GET", "/practice"): LABEL,
    ("GET", "/compare"): LABEL,
    ("GET", "/done"): LABEL,
    ("POST", "/undo"): LABEL,
    ("GET", "/history"): LABEL,
    ("GET", "/history/{label_id}"): LABEL,
    ("GET", "/progress"): WATCH,
    ("GET", "/audit"): AUDIT,
    ("GET", "/people"): PEOPLE,
    ("POST", "/people/invite"): PEOPLE,
    ("POST", "/people/role"): PEOPLE,
    ("GET", "/api/state"): LABEL,
    ("POST", "/api/labels"): LABEL,
    ("POST", "/api/undo"): LABEL,
    ("GET", "/api/practice"): LABEL,
    ("POST", "/api/practice"): LABEL,
    ("GET", "/api/said/{label_id}"): LABEL,
    ("POST", "/api/said/{label_id}"): LABEL,
    ("GET", "/api/clips/{clip_id}/video"): LABEL,
    ("GET", "/ride"): RIDE,
    ("GET", "/ride/{ride_id}"): RIDE,
    ("POST", "/api/rides"): RIDE,
    ("GET", "/api/rides/{name}/stream"): RIDE,
    ("POST", "/api/rides/{name}/wheel"): RIDE,
    ("POST", "/api/rides/{name}/cause"): RIDE,
    ("POST", "/api/rides/{name}/end"): RIDE,
    ("POST", "/api/rides/rating"): RIDE,
}
"""Who may use which route; one that is missing here fails a test, so that no route is ever added without a thought about it."""

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def offer() -> RideOffer:
    return RideOffer("idle", "highway-fast-v0", lambda: (World("highway-fast-v0", 1, num_threads=1), driver_named("idle", 5)))


@pytest.fixture
def app(study: Path, small_database: Path, offer: RideOffer) -> Iterator[FastAPI]:
    store = make_room(study, small_database)
    made = create_app(store, Accounts(store), URL, offer)
    yield made
    made.state.rides.close()
    store.close()


@pytest.fixture
def people(app: FastAPI) -> dict[str, TestClient]:
    browsers = everybody(app, app.state.doors.accounts)
    for role in ("reviewer", "lead", "admin"):
        assert browsers[role].get("/api/state").status_code == 200
    return browsers


@pytest.fixture
def store(app: FastAPI) -> Store:
    found: Store = app.state.store
    return found


def routes(app: FastAPI) -> list[tuple[str, str]]:
    described = app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in described.items() for method in methods]


def filled(path: str, value: str = "1") -> str:
    return re.sub(r"\{\w+\}", value, path)


def body_for(path: str, client: TestClient) -> dict[str, Any]:
    """A request of which nothing is wrong but who sends it."""
    answer = {"pair_id": 1, "choice": "left", "latency_s": 1.0, "replays": 0, "client_key": KEY}
    wheel = {"seq": 1, "held": True, "acceleration": 0.0, "steering": 0.0, "paused": False, "rate": 1.0}
    bodies: dict[str, dict[str, Any]] = {
        "/api/labels": answer,
        "/api/practice": answer,
        "/api/undo": {"client_key": KEY},
        "/api/said/{label_id}": {name: value for name, value in answer.items() if name != "pair_id"},
        "/api/rides": {"client_key": KEY},
        "/api/rides/{name}/wheel": wheel,
        "/api/rides/{name}/cause": {"takeover": 0, "cause": "too close"},
        "/api/rides/{name}/end": {"client_key": KEY},
        "/api/rides/rating": {"ride_id": 1, "stars": 5, "client_key": KEY},
    }
    return bodies.get(path, {})


def send(client: TestClient, method: str, path: str, **changes: Any) -> Any:
    url = filled(path, "0" * 32 if "rides/{name}" in path else "1")
    if method == "GET":
        return client.get(url, **changes)
    if path.startswith("/api/"):
        return client.post(url, json=body_for(path, client), **changes)
    form = {"name": "reviewer person", "role": "admin", "client_key": KEY * 2, "token": "x", "secret": "x"}
    known = csrf(client) if "X-CSRF-Token" in client.headers else {"csrf_token": "x" * 32}
    return client.post(url, data={**known, **form}, **changes)


def test_every_route_says_who_may_use_it(app: FastAPI) -> None:
    assert sorted(routes(app)) == sorted(MAY)


def test_nobody_reads_or_writes_what_their_role_does_not_include(app: FastAPI, people: dict[str, TestClient], study: Path) -> None:
    before = content(study)
    for (method, path), allowed in MAY.items():
        for who in sorted(EVEN_STRANGERS - allowed):
            reply = send(people[who], method, path)
            if who == "stranger":
                assert reply.status_code in (401, 303), (who, method, path)
                assert reply.status_code == 401 or reply.headers["location"] == "/login"
            else:
                assert reply.status_code == 403, (who, method, path, reply.text)
            assert not re.search(r"person|invite/|sha256|/api/clips/", reply.text), (who, method, path)
    assert content(study) == before


def test_whoever_may_is_let_in(app: FastAPI, people: dict[str, TestClient]) -> None:
    for (method, path), allowed in MAY.items():
        if method == "GET" and "stream" not in path:
            for who in sorted(allowed):
                assert send(people[who], method, path).status_code in (200, 303, 404, 422), (who, path)


def test_names_are_seen_by_admins_alone(app: FastAPI, people: dict[str, TestClient]) -> None:
    for role, client in people.items():
        for path in ("/progress", "/audit", "/people", "/compare", "/history", "/guidelines", "/ride", "/api/state"):
            if "lead person" in client.get(path).text:
                assert (role, path) == ("admin", "/people")


def test_a_change_of_role_counts_from_the_next_request_on(app: FastAPI, people: dict[str, TestClient]) -> None:
    accounts: Accounts = app.state.doors.accounts
    assert people["admin"].get("/people").status_code == 200
    accounts.set_role("admin person", "reviewer")
    assert people["admin"].get("/people").status_code == 403
    assert people["admin"].post("/people/invite", data={**csrf(people["admin"]), "name": "Eve"}).status_code == 403


def test_nobody_changes_their_own_role_and_no_unknown_role_is_given(people: dict[str, TestClient], study: Path) -> None:
    admin, before = people["admin"], content(study)
    assert admin.post("/people/role", data={**csrf(admin), "name": "admin person", "role": "reviewer"}).status_code == 409
    for role in ("root", "", "ADMIN", "reviewer,admin"):
        assert admin.post("/people/role", data={**csrf(admin), "name": "reviewer person", "role": role}).status_code == 422
        assert admin.post("/people/invite", data={**csrf(admin), "name": "Eve", "role": role}).status_code == 422
    assert content(study) == before


def test_cross_site_requests_change_nothing_anywhere(people: dict[str, TestClient], study: Path) -> None:
    before = content(study)
    evil: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": URL.replace("http", "https")},
        {"Origin": URL + ".evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for (method, path), headers in itertools.product(MAY, evil):
        if method == "POST":
            assert send(people["admin"], method, path, headers=headers).status_code == 403, (path, headers)
    assert content(study) == before


def test_forged_tokens_change_nothing_anywhere(people: dict[str, TestClient], study: Path) -> None:
    admin, before = people["admin"], content(study)
    other = people["lead"].headers["X-CSRF-Token"]
    for (method, path), token in itertools.product(MAY, ("", "x" * 32, other, other[:-1], "é", "x" * 190)):
        if method == "POST" and path not in ("/login", "/invite"):
            url = filled(path, "0" * 32 if "rides/{name}" in path else "1")
            if path.startswith("/api/"):
                reply = admin.post(url, json=body_for(path, admin), headers={"X-CSRF-Token": token.encode()})
            else:
                reply = admin.post(url, data={"csrf_token": token, "name": "Eve", "role": "admin", "client_key": KEY * 2})
            assert reply.status_code == 403, (path, token)
    assert content(study) == before


@pytest.mark.parametrize("cookie", ["", "x" * 32, "../../etc/passwd", "a" * 4000, "' OR 1=1 --", "\x7f"])
def test_forged_sessions_are_strangers(app: FastAPI, study: Path, cookie: str) -> None:
    before = content(study)
    client = browser(app, app.state.doors.accounts)
    for method, path in MAY:
        if MAY[method, path] != EVEN_STRANGERS:
            reply = send(client, method, path, headers={"Cookie": f"session={cookie}"})
            assert reply.status_code in (401, 303)
    assert content(study) == before


def test_a_session_of_another_study_or_of_before_the_log_out_is_nothing(app: FastAPI, people: dict[str, TestClient]) -> None:
    lead = people["lead"]
    secret = lead.cookies["session"]
    assert lead.post("/logout", data=csrf(lead)).status_code == 303
    lead.cookies.set("session", secret)
    assert lead.get("/api/state").status_code == 401 and lead.get("/progress").status_code == 303


def test_replayed_requests_write_once(app: FastAPI, people: dict[str, TestClient], study: Path, store: Store) -> None:
    client = people["reviewer"]
    pair_id = client.get("/api/state").json()["pair"]["id"]
    body = {**body_for("/api/labels", client), "pair_id": pair_id}
    assert client.post("/api/labels", json=body).status_code == 200
    (label,) = store.labels()
    revision = {**body_for("/api/said/{label_id}", client), "choice": "tie", "client_key": KEY + "r"}
    assert client.post(f"/api/said/{label.id}", json=revision).status_code == 200
    undo = {"client_key": KEY + "u"}
    assert client.post("/api/undo", json=undo).status_code == 200
    before = content(study)
    for path, sent in (("/api/labels", body), (f"/api/said/{label.id}", revision), ("/api/undo", undo)):
        assert client.post(path, json=sent).status_code < 500
    assert content(study) == before
    assert people["lead"].post("/api/labels", json=body).status_code in (404, 409, 200)
    assert [row.choice for row in store.labels(active=False)][:4] == [label.choice, "undo", "tie", "undo"]


def test_a_replayed_invitation_lets_nobody_in(app: FastAPI, study: Path) -> None:
    accounts: Accounts = app.state.doors.accounts
    _, secret = accounts.invite("Eve")
    first, second = browser(app, accounts), browser(app, accounts)
    assert first.post("/invite", data={"secret": secret}).status_code == 200
    assert first.get("/compare").status_code == 200
    before = content(study)
    reply = second.post("/invite", data={"secret": secret})
    assert reply.status_code == 404 and "session" not in reply.cookies
    assert second.get("/compare").status_code == 303
    assert content(study) == before


def test_nobody_sees_or_changes_anothers_answers_rides_or_clips(people: dict[str, TestClient], study: Path, store: Store) -> None:
    reviewer, other = people["reviewer"], people["lead"]
    pair = reviewer.get("/api/state").json()["pair"]
    reviewer.post("/api/labels", json={**body_for("/api/labels", reviewer), "pair_id": pair["id"]})
    (label,) = store.labels()
    number = next(each.id for each in store.reviewers() if each.pseudonym == label.reviewer)
    ride_id = store.add_ride(
        RideRow(0, number, "", "highway-v0", 1, "idle", "rides/x.parquet", "ab", 9.0, 1.0, 200.0, "arrived", None, 0.0), "ride-0001"
    )
    last_clip = store.pairs()[3][2]
    before = content(study)
    for who in (other, people["admin"]):
        assert who.get(f"/api/said/{label.id}").status_code == 404
        assert who.get(f"/history/{label.id}").status_code == 404
        assert who.get(f"/ride/{ride_id}").status_code == 404
        assert who.post(f"/api/said/{label.id}", json=body_for("/api/said/{label_id}", who)).status_code == 404
        rating = {"ride_id": ride_id, "stars": 1, "client_key": KEY}
        assert who.post("/api/rides/rating", json=rating).status_code == 409
        assert "arrived" not in who.get("/ride").text
    assert reviewer.get(f"/api/clips/{last_clip}/video").status_code == 404
    assert content(study) == before


TRAVERSALS = [
    "..", "../../etc/passwd", "..%2f..%2ffeedback.db", "%2e%2e/feedback.db", "..\\feedback.db", "/etc/passwd", "....//feedback.db",
    "feedback.db%00", "%c0%ae%c0%ae/feedback.db",
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_where_it_belongs(people: dict[str, TestClient], path: str) -> None:
    for place in (
        "/static/{}",
        "/api/clips/{}/video",
        "/invite/{}",
        "/history/{}",
        "/ride/{}",
        "/api/said/{}",
        "/api/rides/{}/stream",
        "/{}",
    ):
        reply = people["reviewer"].get(place.format(path), follow_redirects=True)
        assert reply.status_code < 500
        assert "SQLite" not in reply.text and "root:" not in reply.text and "CREATE TABLE" not in reply.text


def test_oversized_requests_are_refused_everywhere(people: dict[str, TestClient], study: Path) -> None:
    before = content(study)
    for method, path in MAY:
        if method == "POST":
            url = filled(path, "0" * 32 if "rides/{name}" in path else "1")
            reply = people["admin"].post(url, content=b"x" * 17_000, headers={"Content-Type": "application/json"})
            assert reply.status_code == 413, path
    assert content(study) == before


ODD: list[Any] = [
    None, True, [], {}, "", "x", -1, 0, 2**63, 2**200, 1.5, 1e308, -1e308, "\x00", "\ud800", "💥" * 50, "x" * 1500, ["safety"] * 6,
    [[[]]], {"$ne": 1}, "'; DROP TABLE label; --", "<script>", "%s%n", "NaN", float("nan"), float("inf"),
]  # fmt: skip


def test_no_odd_value_in_any_place_is_an_error_of_the_server_or_is_written(
    app: FastAPI, people: dict[str, TestClient], study: Path
) -> None:
    """Every place of every body, one after the other, takes every odd value; so do bodies as a whole."""
    client = people["reviewer"]
    schemas = app.openapi()["components"]["schemas"]
    before = content(study)
    tried = 0
    for (method, path), allowed in MAY.items():
        if method != "POST" or not path.startswith("/api/") or "reviewer" not in allowed:
            continue
        url = filled(path, "0" * 32 if "rides/{name}" in path else "1")
        reference = app.openapi()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        bodies = [*ODD]
        for name in schemas[reference.rsplit("/", 1)[1]]["properties"]:
            bodies += [{**body_for(path, client), "pair_id": 999, "ride_id": 999, name: value} for value in ODD]
            bodies.append({key: value for key, value in body_for(path, client).items() if key != name} | {"extra": 1})
        for body in bodies:
            text = json.dumps(body).encode()
            reply = client.post(url, content=text, headers={"Content-Type": "application/json"})
            assert 400 <= reply.status_code < 500, (path, body, reply.status_code)
            assert "\n" not in reply.json()["error"] and len(reply.json()["error"]) < 400
            tried += 1
    assert tried > 500
    assert content(study) == before


@pytest.mark.parametrize("place", ["/history?before={}", "/audit?before={}", "/history/{}", "/ride/{}", "/api/said/{}", "/invite/{}"])
def test_no_odd_value_in_an_address_is_an_error_of_the_server(people: dict[str, TestClient], place: str) -> None:
    for value in ("-1", "0", "9" * 30, "1.5", "x", "%00", "%ff", "1%20OR%201=1", "nan", "💥", "a" * 3000):
        assert people["admin"].get(place.format(value)).status_code in (404, 422, 429)


def test_guessing_invitations_is_made_to_wait(app: FastAPI) -> None:
    accounts: Accounts = app.state.doors.accounts
    _, secret = accounts.invite("Eve")
    client = browser(app, accounts)
    for number in range(10):
        assert client.post("/invite", data={"secret": f"{number:032}"}).status_code == 404
    assert client.post("/invite", data={"secret": secret}).status_code == 429
    assert client.get(f"/invite/{secret}").status_code == 429


def test_what_people_write_is_shown_as_text(app: FastAPI, people: dict[str, TestClient], store: Store) -> None:
    admin = people["admin"]
    name = "<script>alert(1)</script>"
    reply = admin.post("/people/invite", data={**csrf(admin), "name": name, "role": "lead"})
    assert reply.status_code == 200 and name not in reply.text and "&lt;script&gt;" in reply.text
    number = store.add_reviewer("<b>otter</b>")[0]
    store.add_label(number, store.pairs()[0][0], "A", 1.0, comment="<i>hm</i>")
    store.add_takeover(number, store.clips()[0].id, 1.0, 2.0, "<u>cause</u>")
    for path in ("/progress", "/audit", "/people"):
        assert not re.search(r"<(script>alert|b>otter|i>hm|u>cause)", admin.get(path).text)


def test_an_invitation_that_is_too_old_lets_nobody_in(app: FastAPI) -> None:
    accounts: Accounts = app.state.doors.accounts
    _, secret = accounts.invite("Eve", valid_s=-1.0)
    client = browser(app, accounts)
    assert client.get(f"/invite/{secret}").status_code == 404
    assert client.post("/invite", data={"secret": secret}).status_code == 404
    _, fresh = accounts.invite("Eve")
    assert client.post("/invite", data={"secret": secret}).status_code == 404
    assert client.post("/invite", data={"secret": fresh}).status_code == 200


def test_of_two_who_use_one_invitation_together_one_comes_in(app: FastAPI) -> None:
    from concurrent.futures import ThreadPoolExecutor

    accounts: Accounts = app.state.doors.accounts
    _, secret = accounts.invite("Eve")
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: accounts.accept(secret), range(8)))
    assert sum(each is not None for each in opened) == 1
