"""Requests made up from the OpenAPI description, fitting and not, for every route and role: no error of the server's own, answers as
described, and nothing written by those who may not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from envs.drivers import driver_named
from envs.world import World
from feedback.accounts import Accounts
from feedback.server.app import create_app
from feedback.server.ride_desk import RideOffer
from tests.feedback.test_attack import EVEN_STRANGERS, MAY, URL, content, everybody, make_room

schemathesis = pytest.importorskip("schemathesis")

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, small_database: Path) -> Iterator[tuple[FastAPI, Path, dict[str, TestClient]]]:
    """A study with practice pairs and answers, and a browser for each role and for a stranger."""
    folder = tmp_path_factory.mktemp("room") / "study"
    store = make_room(folder, small_database)
    offer = RideOffer("idle", "highway-fast-v0", lambda: (World("highway-fast-v0", 1, num_threads=1), driver_named("idle", 5)))
    app = create_app(store, Accounts(store), URL, offer)
    app.state.doors.failures.failures = 10**6  # or strangers would be told to wait, and see nothing else
    browsers = everybody(app, app.state.doors.accounts)
    for role in ("reviewer", "lead", "admin"):
        assert browsers[role].get("/api/state").status_code == 200
    yield app, folder, browsers
    app.state.rides.close()
    store.close()


def described(app: FastAPI) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return schemathesis.openapi.from_dict(app.openapi())


def send(client: TestClient, case: Any, honest: bool) -> Any:
    """Send a made-up request as this browser's page would, with its token unless it is to be a forgery."""
    token = client.headers.get("X-CSRF-Token")
    if honest and token and isinstance(case.body, dict) and "csrf_token" in described_fields(case):
        case.body["csrf_token"] = token
    wanted = case.as_transport_kwargs(base_url=URL)
    names = {"method", "url", "params", "data", "json", "files", "headers", "cookies"}
    request = {name: value for name, value in wanted.items() if name in names and value is not None}
    headers = {**request.pop("headers", {}), **client.headers}
    if not honest:
        headers.pop("x-csrf-token", None)
    request.pop("cookies", None)
    if isinstance(request.get("data"), (str, bytes)):
        request["content"] = request.pop("data")
    return client.request(**request, headers=headers)


def described_fields(case: Any) -> set[str]:
    """The fields of the form that a route takes."""
    body = case.operation.definition.raw.get("requestBody", {}).get("content", {})
    form = body.get("application/x-www-form-urlencoded", {}).get("schema", {})
    if "$ref" in form:
        form = case.operation.schema.raw_schema["components"]["schemas"][form["$ref"].rsplit("/", 1)[1]]
    return set(form.get("properties", {}))


def try_route(room: tuple[FastAPI, Path, dict[str, TestClient]], method: str, path: str, examples: int) -> None:
    app, folder, browsers = room
    operation = described(app)[path][method.lower()]
    checks = [schemathesis.checks.CHECKS.get_one(name) for name in CHECKS]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=some.data())
    def requests_are_answered(data: Any) -> None:
        role = data.draw(some.sampled_from(sorted(browsers)))
        mode = data.draw(some.sampled_from(list(schemathesis.GenerationMode)))
        case = data.draw(operation.as_strategy(mode))
        if role not in MAY[method, path]:
            end_rides(app)
        before = opinions(folder) if role not in MAY[method, path] else []
        answer = send(browsers[role], case, honest=data.draw(some.booleans()))
        case.validate_response(answer, checks=checks)
        if role not in MAY[method, path]:
            assert answer.status_code in (303, 400, 401, 403, 404, 413, 421, 422)
            assert opinions(folder) == before
        if (method, path) == ("POST", "/logout") and answer.status_code == 303:
            browsers.update(everybody_again(app, browsers))

    requests_are_answered()


def end_rides(app: FastAPI) -> None:
    """Have rides that others were allowed to start stored now, not while somebody else's request is looked at."""
    desk = app.state.rides
    for reviewer, ride in list(desk._rides.items()):
        desk.stop(reviewer)
        ride.thread.join(300.0)  # on a busy machine the first one compiles for minutes
        assert not ride.thread.is_alive()


def opinions(folder: Path) -> list[str]:
    """All that a study's database holds, but for when somebody was last seen."""
    lines = content(folder)
    sessions = [line for line in lines if line.startswith('INSERT INTO "session"')]
    return [line for line in lines if line not in sessions] + [str(len(sessions))]


def everybody_again(app: FastAPI, browsers: dict[str, TestClient]) -> dict[str, TestClient]:
    """Log everybody in anew."""
    accounts: Accounts = app.state.doors.accounts
    names = [role for role in browsers if role != "stranger"]
    from tests.feedback.test_attack import browser

    return {role: browser(app, accounts, accounts.renew_token(f"{role} person")) for role in names}


@pytest.mark.parametrize(("method", "path"), MAY)
def test_made_up_requests_are_answered_as_described(room: tuple[FastAPI, Path, dict[str, TestClient]], method: str, path: str) -> None:
    try_route(room, method, path, 25)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), MAY)
def test_very_many_made_up_requests_are_answered_as_described(
    room: tuple[FastAPI, Path, dict[str, TestClient]], method: str, path: str
) -> None:
    try_route(room, method, path, 400)


def test_every_answer_of_a_script_has_a_described_shape(room: tuple[FastAPI, Path, dict[str, TestClient]]) -> None:
    app = room[0]
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            described = operation["responses"]
            assert {"403", "422", "503"} <= set(described), (method, path)
            if path.startswith("/api/") and "video" not in path and "stream" not in path:
                shape = described["200"]["content"]["application/json"]["schema"]
                assert "$ref" in shape and not shape.get("additionalProperties"), (method, path)
    assert EVEN_STRANGERS > MAY["GET", "/api/state"]
