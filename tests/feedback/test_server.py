"""The review room's requests: who may do what, what is written, and one clear line for what is refused."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from drive_fusion.cli import main
from feedback import accounts as accounts_module
from feedback.accounts import Accounts
from feedback.audit import verify
from feedback.server.app import create_app
from feedback.server.command import serve
from feedback.server.config import ReviewConfig
from feedback.store import Store
from sensors.errors import ConfigError

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8000"
SAME_SITE = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
KEY = "0123456789abcdef0123456789abcdef"
VIDEO = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, small_database: Path) -> tuple[Path, str]:
    """The small study with a video for each clip and an account for Ada, and her token; made once and copied."""
    folder = tmp_path_factory.mktemp("prepared") / "study"
    (folder / "clips").mkdir(parents=True)
    (folder / "secret.mp4").write_bytes(b"not a clip")
    shutil.copy(small_database, folder)
    with Store(folder / "feedback.db") as store:
        for clip in store.clips():
            content = bytes([clip.seed]) + VIDEO
            path = f"clips/{clip.seed}.mp4"
            (folder / path).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            store.add_clip(replace(clip, video_path=path, video_sha256=sha256))
        _, token = Accounts(store).add_person("Ada")
    return folder, token


@pytest.fixture
def room(prepared: tuple[Path, str], study: Path) -> Iterator[Store]:
    shutil.copytree(prepared[0], study, dirs_exist_ok=True)
    with Store(study / "feedback.db") as store:
        yield store


@pytest.fixture
def accounts(room: Store) -> Accounts:
    return Accounts(room)


@pytest.fixture
def token(prepared: tuple[Path, str]) -> str:
    return prepared[1]


@pytest.fixture
def client(room: Store, accounts: Accounts) -> TestClient:
    """A browser that has not logged in."""
    return TestClient(create_app(room, accounts, URL), base_url=URL, headers=SAME_SITE, follow_redirects=False)


@pytest.fixture
def ada(client: TestClient, accounts: Accounts, token: str) -> TestClient:
    """A browser that Ada has logged in with."""
    secret = accounts.log_in(token)
    session = accounts.session(secret)
    assert secret is not None and session is not None
    client.cookies.set("session", secret)
    client.headers["X-CSRF-Token"] = session.csrf_token
    return client


def answer(state: dict[str, Any], **changes: object) -> dict[str, object]:
    return {"pair_id": state["pair"]["id"], "choice": "left", "latency_s": 4.5, "replays": 1, "client_key": KEY} | changes


def history(store: Store) -> int:
    return len(store.labels(active=False))


# The main way


def test_a_label_given_in_the_browser_is_in_the_store_in_the_pairs_own_order(ada: TestClient, room: Store) -> None:
    for number in range(4):
        state = ada.get("/api/state").json()
        reviewer = room.reviewers()[0]
        shown = room.assignment(reviewer.id, state["pair"]["id"])
        assert shown is not None
        assert state["pair"]["left"]["video"].split("/")[3] == shown.left.id
        side = "left" if number % 2 else "right"
        reply = ada.post("/api/labels", json=answer(state, choice=side, client_key=f"key-{number:04}")).json()
        label = room.labels()[-1]
        assert reply["label_id"] == label.id
        liked = label.clip_a if label.choice == "A" else label.clip_b
        assert liked == getattr(shown, side).id
        assert (label.reviewer, label.latency_s, label.replays, label.mirrored) == (reviewer.pseudonym, 4.5, 1, shown.mirrored)
    assert len(room.labels()) == 4


def test_the_reply_brings_the_next_pair_that_was_announced(ada: TestClient) -> None:
    state = ada.get("/api/state").json()
    reply = ada.post("/api/labels", json=answer(state)).json()
    assert reply["pair"] == state["next"]
    assert reply["progress"] == {"done": 1, "remaining": 3}


def test_after_the_last_pair_comes_the_last_page(ada: TestClient) -> None:
    state = ada.get("/api/state").json()
    for number in range(4):
        state = ada.post("/api/labels", json=answer(state, client_key=f"key-{number:04}")).json()
    assert state["pair"] is None
    redirect = ada.get("/compare")
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/done")
    assert "All done. Thank you!" in ada.get("/done").text


def test_undo_by_script_and_by_form_opens_the_pair_again(ada: TestClient, room: Store) -> None:
    first = ada.get("/api/state").json()
    ada.post("/api/labels", json=answer(first))
    reply = ada.post("/api/undo", json={"client_key": "undo-0001"}).json()
    assert (reply["undone"], reply["pair"]) == (first["pair"]["id"], first["pair"])
    ada.post("/api/labels", json=answer(first, client_key="key-0002"))
    form = {"csrf_token": ada.headers["X-CSRF-Token"], "client_key": KEY.replace("0", "f")}
    assert ada.post("/undo", data=form).headers["location"] == "/compare"
    assert room.labels() == [] and history(room) == 4


def test_sending_an_answer_twice_stores_it_once(ada: TestClient, room: Store) -> None:
    body = answer(ada.get("/api/state").json())
    assert ada.post("/api/labels", json=body).json()["label_id"] == ada.post("/api/labels", json=body).json()["label_id"]
    assert history(room) == 1


def test_a_pair_tells_nothing_of_who_drove(ada: TestClient, room: Store) -> None:
    room.add_clip(replace(room.clips()[0], id="f" * 64, driver="secret-driver", run="secret-run", scenes_sha256="9"))
    room.add_pair("f" * 64, room.clips()[1].id, "secret-reason")
    pages = [ada.get(path).text for path in ("/api/state", "/compare", "/guidelines", "/done")]
    assert not any("secret" in page for page in pages)
    assert set(ada.get("/api/state").json()["pair"]["left"]) == {"video", "outcome", "frames_per_s"}


def test_clips_can_be_sought_by_range(ada: TestClient) -> None:
    url = ada.get("/api/state").json()["pair"]["left"]["video"]
    whole = ada.get(url)
    assert (whole.status_code, whole.headers["content-type"], whole.headers["accept-ranges"]) == (200, "video/mp4", "bytes")
    part = ada.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert ada.get(url, headers={"Range": "bytes=999999-"}).status_code == 416


# Who may


@pytest.mark.parametrize("path", ["/compare", "/guidelines", "/done", "/"])
def test_pages_lead_strangers_to_the_log_in(client: TestClient, path: str) -> None:
    reply = client.get(path, follow_redirects=True)
    assert reply.url.path == "/login" and "Your token" in reply.text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/state"), ("GET", "/api/clips/1/video"), ("POST", "/api/labels"), ("POST", "/api/undo")]
)
def test_strangers_read_and_write_nothing(client: TestClient, room: Store, method: str, path: str) -> None:
    body = answer({"pair": {"id": 1}}) if path == "/api/labels" else {"client_key": KEY}
    reply = client.request(method, path, json=body)
    assert (reply.status_code, reply.json()) == (401, {"error": "you are logged out; log in again"})
    assert history(room) == 0


def test_a_wrong_token_is_refused_in_words_and_soon_made_to_wait(client: TestClient, token: str) -> None:
    for _ in range(10):
        reply = client.post("/login", data={"token": "x" * 32})
        assert reply.status_code == 401 and "not known here" in reply.text and "session" not in reply.cookies
    reply = client.post("/login", data={"token": token})
    assert reply.status_code == 429 and 0 < int(reply.headers["retry-after"]) <= 60


@pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "  "}, {"token": "\x00"}, {"token": "' OR 1=1 --"}])
def test_no_token_lets_nobody_in(client: TestClient, token: str, data: dict[str, str]) -> None:
    assert client.post("/login", data=data).status_code == 401


def test_the_session_cookie_is_out_of_scripts_reach_and_new_at_each_log_in(client: TestClient, token: str) -> None:
    client.cookies.set("session", "chosen-by-an-attacker")
    first = client.post("/login", data={"token": token})
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert "chosen-by-an-attacker" not in cookie
    assert client.post("/login", data={"token": token}).headers["set-cookie"] != cookie


def test_a_wrong_token_leaves_the_session_that_there_is(ada: TestClient) -> None:
    assert ada.post("/login", data={"token": "wrong"}).status_code == 401
    assert ada.get("/api/state").status_code == 200


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(room: Store, accounts: Accounts, token: str) -> None:
    url = "https://review.example"
    with TestClient(create_app(room, accounts, url), base_url=url, headers={"Origin": url}, follow_redirects=False) as client:
        reply = client.post("/login", data={"token": token})
        assert reply.headers["set-cookie"].startswith("__Host-session=") and "Secure" in reply.headers["set-cookie"]
        assert "max-age" in reply.headers["strict-transport-security"]
        assert client.get("/guidelines").status_code == 200


def test_logging_out_ends_the_session_on_the_server(ada: TestClient) -> None:
    secret = ada.cookies["session"]
    assert ada.post("/logout", data={"csrf_token": ada.headers["X-CSRF-Token"]}).headers["location"] == "/login"
    ada.cookies.set("session", secret)
    assert ada.get("/api/state").status_code == 401


def test_a_reviewer_in_the_body_is_refused(ada: TestClient, room: Store) -> None:
    other, _ = room.add_reviewer("heron")
    reply = ada.post("/api/labels", json=answer(ada.get("/api/state").json(), reviewer_id=other))
    assert reply.status_code == 422 and "reviewer_id" in reply.json()["error"]
    assert history(room) == 0


def test_nobody_answers_a_pair_or_sees_a_clip_that_only_others_were_asked_about(ada: TestClient, room: Store) -> None:
    assert ada.get("/api/state").status_code == 200  # gives Ada the first two pairs, of clips 1 to 3
    last = room.pairs()[-1]
    reply = ada.post("/api/labels", json=answer({"pair": {"id": last[0]}}))
    assert (reply.status_code, reply.json()) == (404, {"error": f"pair {last[0]} was not shown to you; reload the page"})
    assert ada.get(f"/api/clips/{last[2]}/video").status_code == 404
    assert history(room) == 0


# What else is refused


@pytest.mark.parametrize("path", ["/api/labels", "/api/undo", "/login", "/logout", "/undo"])
def test_requests_from_other_sites_change_nothing(ada: TestClient, room: Store, path: str) -> None:
    body = answer(ada.get("/api/state").json())
    for header, value in (
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1:9999"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ):
        assert ada.post(path, json=body, headers={header: value}).status_code == 403
    assert history(room) == 0
    assert ada.get("/api/state").status_code == 200


def test_a_request_that_does_not_say_where_it_comes_from_changes_nothing(ada: TestClient, room: Store) -> None:
    body = answer(ada.get("/api/state").json())
    del ada.headers["Origin"], ada.headers["Sec-Fetch-Site"]
    assert ada.post("/api/labels", json=body).status_code == 403
    assert history(room) == 0


@pytest.mark.parametrize("csrf", [None, "", "wrong"])
def test_without_the_pages_own_token_nothing_is_written(ada: TestClient, room: Store, csrf: str | None) -> None:
    body = answer(ada.get("/api/state").json())
    del ada.headers["X-CSRF-Token"]
    headers = {} if csrf is None else {"X-CSRF-Token": csrf}
    for path, data in (("/api/labels", body), ("/api/undo", {"client_key": KEY})):
        assert ada.post(path, json=data, headers=headers).status_code == 403
    for path in ("/logout", "/undo"):
        assert ada.post(path, data={"csrf_token": csrf or "", "client_key": KEY}).status_code == 403
    assert history(room) == 0 and ada.get("/api/state").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "[", "127.0.0.1.evil.example"])
def test_other_host_names_are_not_served(client: TestClient, host: str) -> None:
    reply = client.get("/login", headers={"Host": host})
    assert reply.status_code == 421 and "Your token" not in reply.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_id": 10**6}, "was not shown to you"),
        ({"pair_id": "1"}, "pair_id: "),
        ({"pair_id": 2**63}, "pair_id: "),
        ({"pair_id": -1}, "pair_id: "),
        ({"choice": "A"}, "choice: Input should be 'left', 'right', 'tie', 'cannot' or 'skip'"),
        ({"latency_s": -1}, "latency_s: "),
        ({"latency_s": 1e300}, "latency_s: "),
        ({"latency_s": None}, "latency_s: "),
        ({"replays": -1}, "replays: "),
        ({"replays": 0.5}, "replays: "),
        ({"client_key": "short"}, "client_key: "),
        ({"client_key": "x" * 65}, "client_key: "),
        ({"client_key": "<script>alert(1)</script>"}, "client_key: "),
    ],
)
def test_an_impossible_answer_is_one_clear_line_and_not_written(
    ada: TestClient, room: Store, changes: dict[str, object], message: str
) -> None:
    reply = ada.post("/api/labels", json=answer(ada.get("/api/state").json(), **changes))
    assert reply.status_code in (404, 422)
    assert message in reply.json()["error"] and "\n" not in reply.json()["error"]
    assert history(room) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"latency_s": NaN}', b"[" * 5000])
def test_a_malformed_body_is_one_clear_line(ada: TestClient, room: Store, body: bytes) -> None:
    reply = ada.post("/api/labels", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)
    assert reply.json()["error"].count("\n") == 0
    assert history(room) == 0


@pytest.mark.parametrize("value", ["\x00", "\xff", "x" * 8000, "%00", "..;/"])
def test_odd_headers_cookies_and_forms_are_refused_and_never_an_error_of_the_server(ada: TestClient, room: Store, value: str) -> None:
    body = answer(ada.get("/api/state").json())
    odd = value.encode("latin-1").replace(b"\x00", b"\x01")
    replies = [
        ada.post("/api/labels", json=body, headers={"X-CSRF-Token": odd}),
        ada.post("/login", content=b"token=" + odd, headers={"Content-Type": "application/x-www-form-urlencoded"}),
        ada.post("/login", content=odd, headers={"Content-Type": "multipart/form-data; boundary=x"}),
        ada.post("/login", files={"token": ("name", odd)}),
        ada.post("/undo", data={"csrf_token": value, "client_key": value}),
        ada.get("/api/state", headers={"Cookie": b"session=" + odd}),
        ada.get(f"/api/clips/{quote(value)}/video"),
    ]
    assert [reply.status_code for reply in replies if not 400 <= reply.status_code < 500] == []
    assert history(room) == 0


def test_nan_is_no_latency(ada: TestClient, room: Store) -> None:
    pair_id = ada.get("/api/state").json()["pair"]["id"]
    body = f'{{"pair_id": {pair_id}, "choice": "left", "latency_s": NaN, "replays": 0, "client_key": "{KEY}"}}'
    reply = ada.post("/api/labels", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422 and "latency_s" in reply.text
    assert history(room) == 0


def test_an_answered_pair_is_a_conflict_in_one_line(ada: TestClient, room: Store) -> None:
    state = ada.get("/api/state").json()
    ada.post("/api/labels", json=answer(state))
    reply = ada.post("/api/labels", json=answer(state, client_key="another-key"))
    assert reply.status_code == 409 and "is closed" in reply.json()["error"]
    assert history(room) == 1


def test_oversized_bodies_are_refused_announced_or_not(ada: TestClient, room: Store) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    assert ada.post("/api/labels", content=b" " * 20_000).status_code == 413
    assert ada.post("/login", data={"token": "x" * 20_000}).status_code == 413
    assert ada.post("/api/labels", content=endless()).status_code == 413
    assert ada.post("/api/labels", content=b"x", headers={"Content-Length": "-1"}).status_code == 413
    assert history(room) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/api/clips/..%2f..%2fsecret.mp4/video",
        "/api/clips/%2e%2e/video",
        "/api/clips/../../secret.mp4",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/../app.py",
        "/static//etc/passwd",
        "/static/..%5capp.py",
    ],
)
def test_paths_lead_to_no_other_file(ada: TestClient, path: str) -> None:
    reply = ada.get(path)
    assert reply.status_code in (404, 422)
    assert "not a clip" not in reply.text and "FastAPI" not in reply.text and "root:" not in reply.text


def test_a_clip_that_leaves_the_study_by_a_link_is_not_served(ada: TestClient, study: Path, tmp_path: Path) -> None:
    url = ada.get("/api/state").json()["pair"]["left"]["video"]
    (tmp_path / "outside.mp4").write_bytes(b"outside")
    for path in (study / "clips").iterdir():
        path.unlink()
        path.symlink_to(tmp_path / "outside.mp4")
    reply = ada.get(url)
    assert reply.status_code == 404 and "missing" in reply.json()["error"]


def test_a_missing_or_changed_video_is_one_clear_line(ada: TestClient, study: Path) -> None:
    pair = ada.get("/api/state").json()["pair"]
    assert ada.get(pair["left"]["video"]).status_code == 200
    for path in (study / "clips").iterdir():
        path.write_bytes(b"something else")
    changed = ada.get(pair["left"]["video"])
    assert changed.status_code == 409 and "not the one that was stored" in changed.json()["error"]
    for path in (study / "clips").iterdir():
        path.unlink()
    missing = ada.get(pair["left"]["video"])
    assert missing.status_code == 404 and "missing; press X" in missing.json()["error"]


def test_a_database_that_cannot_be_written_is_one_clear_line_to_repeat_after(ada: TestClient, room: Store, study: Path) -> None:
    state = ada.get("/api/state").json()
    other = sqlite3.connect(study / "feedback.db", isolation_level=None)
    impatient = create_app(Store(study / "feedback.db", busy_timeout_s=0.05), url=URL)
    other.execute("BEGIN IMMEDIATE")
    with TestClient(impatient, base_url=URL, headers=ada.headers, cookies=ada.cookies) as client:
        reply = client.post("/api/labels", json=answer(state))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
        assert "locked by another program" in reply.json()["error"] and str(study) not in reply.json()["error"]
        other.execute("ROLLBACK")
        other.close()
        assert client.post("/api/labels", json=answer(state)).status_code == 200
    impatient.state.store.close()


@pytest.mark.parametrize("path", ["/login", "/compare", "/api/state", "/static/style.css", "/nowhere", "/api/nowhere"])
def test_every_answer_keeps_the_browser_from_running_framing_and_sniffing(ada: TestClient, path: str) -> None:
    headers = ada.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in headers


def test_pages_have_no_inline_script_or_style_and_nothing_from_elsewhere(ada: TestClient) -> None:
    for path in ("/login", "/guidelines", "/compare", "/done"):
        page = ada.get(path, follow_redirects=True).text
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", page)
        assert not re.search(r"""(?:src|href|action)=["'](?!/[^/])""", page)
    for file in (ROOT / "feedback/server/static").iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org)", file.read_text())


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_contrast_in_light_and_dark() -> None:
    css = (ROOT / "feedback/server/static/style.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL))
    grounds = {ink: ("ground", "surface", "raised") for ink in ("ink", "quiet")}
    grounds |= {"blue": ("ground", "surface"), "good": ("surface",), "on-blue": ("blue", "blue-strong"), "problem-ink": ("problem-ground",)}
    for colours in (light, light | dark):
        for ink, behind in grounds.items():
            for ground in behind:
                one, other = sorted((luminance(colours[ink]), luminance(colours[ground])))
                assert (other + 0.05) / (one + 0.05) >= 4.5, (ink, ground)


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere"])
def test_unknown_addresses_are_404(ada: TestClient, path: str) -> None:
    assert ada.get(path).status_code == 404
    assert ada.delete("/api/labels").status_code == 405


def test_there_is_no_way_to_register_and_no_description_served(client: TestClient) -> None:
    for path in ("/register", "/signup", "/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


# The command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "--port is 70000"),
        ({"host": "0.0.0.0"}, "would let other machines in.*--public-url"),
        ({"public_url": "review.example"}, "expected http://NAME"),
        ({"public_url": "https://a.example/path"}, "expected http://NAME"),
        ({"public_url": "https://user:pw@a.example"}, "no more than scheme, name and port"),
        ({"tls_certificate": Path("x")}, "needs both"),
        ({"idle_timeout_min": 0.0}, "--idle-timeout-min is 0.0"),
        ({"absolute_timeout_h": float("nan")}, "--absolute-timeout-h is nan"),
        ({"add_reviewer": "a", "erase_reviewer": "b"}, "give one of"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(study: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReviewConfig(study, **options)


def test_it_listens_to_other_machines_only_when_told_and_when_accounts_exist(store: Store, study: Path) -> None:
    config = ReviewConfig(study, host="0.0.0.0", port=0, public_url="https://review.example")
    with pytest.raises(ConfigError, match="nobody has an account yet.*--add-reviewer"):
        serve(config)


def test_a_taken_port_and_a_missing_study_are_one_clear_line(store: Store, study: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen on 127.0.0.1 port .*--port 0"):
            serve(ReviewConfig(study, port=taken.getsockname()[1]))
    with pytest.raises(ConfigError, match="no study at"):
        serve(ReviewConfig(study / "nowhere"))


def test_the_command_makes_renews_and_erases_accounts(store: Store, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = []
    for option in ("add_reviewer", "renew_token"):
        assert serve(ReviewConfig(study, **{option: "Ada"})) == 0  # type: ignore[arg-type]
        found = re.search(r"token, shown this once: (\S{32})\n", capsys.readouterr().out)
        assert found is not None
        tokens.append(found[1])
    assert store.reviewer_by_token(tokens[0]) is None
    reviewer = store.reviewer_by_token(tokens[1])
    assert reviewer is not None
    serve(ReviewConfig(study, erase_reviewer="Ada"))
    assert reviewer.pseudonym in capsys.readouterr().out
    assert store.reviewer_by_token(tokens[1]) is None


def test_the_servers_start_does_not_wait_for_torch() -> None:
    names = "('torch', 'numpy', 'alembic')"
    program = f"import sys, feedback.server.command, feedback.server.app, uvicorn; print([m for m in {names} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).strip() == "[]"


def test_the_largest_number_there_is_is_an_answer_that_is_not_yours(ada: TestClient) -> None:
    for path in ("/history/{}", "/api/said/{}", "/history?before={}", "/ride/{}"):
        assert ada.get(path.format(2**63 - 1)).status_code in (200, 404)
        assert ada.get(path.format(2**63)).status_code in (404, 422)


@pytest.mark.parametrize(("trouble", "words"), [("read-only", "read-only"), ("full", "disk full or failing")])
def test_a_study_that_cannot_be_written_is_one_clear_line_and_can_still_be_read(
    ada: TestClient, room: Store, study: Path, trouble: str, words: str
) -> None:
    state = ada.get("/api/state").json()
    assert ada.post("/api/labels", json=answer(state)).status_code == 200
    url = f"sqlite:///file:{study / 'feedback.db'}?mode=ro&uri=true" if trouble == "read-only" else study / "feedback.db"
    with Store(url) as broken:
        if trouble == "full":
            event.listen(broken.engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
            broken.engine.dispose()
        accounts = Accounts(broken)
        client = TestClient(create_app(broken, accounts, URL), base_url=URL, headers=dict(ada.headers), follow_redirects=False)
        client.cookies.set("session", ada.cookies["session"])
        comment = "x" * 1000
        for number in range(40):  # until the pages that are there are used up
            pair_id = room.ahead(1, 2, with_video=True).pairs[0].pair_id
            body = {"choice": "tie", "latency_s": 1.0, "replays": 0, "client_key": f"{number:032d}", "comment": comment}
            reply = client.post("/api/labels", json={**body, "pair_id": pair_id})
            if reply.status_code != 200:
                break
            room.undo(1)
        assert reply.status_code == 503 and reply.headers["retry-after"] == "2"
        line = reply.json()["error"]
        assert words in line and "\n" not in line and str(study) not in line
        assert client.get("/history").status_code == 200
    stored = len(room.labels(active=False))
    assert ada.post("/api/labels", json={**body, "pair_id": pair_id}).status_code == 200  # nothing is lost: it is sent again
    assert len(room.labels(active=False)) == stored + 1
    assert verify(room.engine).problems == ()


def test_somebody_who_is_logged_in_can_read_a_study_that_cannot_be_written(
    ada: TestClient, accounts: Accounts, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(f"sqlite:///file:{study / 'feedback.db'}?mode=ro&uri=true") as sealed:
        monkeypatch.setattr(accounts_module, "SEEN_EVERY_S", -1.0)  # each request is to be noted, and cannot be
        assert Accounts(sealed).session(ada.cookies["session"]) is not None


def test_a_study_of_a_newer_program_is_one_line_at_the_start(room: Store, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with room.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert main(["review", str(study), "--port", "0"]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "schema '9999' is newer than this program" in line and "update drive-fusion" in line
