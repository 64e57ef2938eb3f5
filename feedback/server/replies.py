"""What the review room answers, for its OpenAPI description: every status code and the shape of every JSON answer.

The shapes are for readers and for tests; answers are not checked against them as they go out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict

from feedback.rows import Cause

Described = dict[int | str, dict[str, Any]]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Refusal(_Reply):
    """Why not, in one line."""

    error: str


class Side(_Reply):
    """One clip of a pair, on the side where it is shown."""

    video: str
    outcome: str
    frames_per_s: float


class Question(_Reply):
    """A pair, without anything that could tell who drove."""

    id: int
    left: Side
    right: Side


class Progress(_Reply):
    """How many pairs are answered, and how many wait."""

    done: int
    remaining: int


class Waiting(_Reply):
    """The open pair, and the one to fetch ahead."""

    pair: Question | None
    next: Question | None
    progress: Progress


class State(Waiting):
    """The same, and how long the rest will take."""

    minutes_left: int | None


class Stored(State):
    """An answer is on disk."""

    label_id: int


class Undone(State):
    """The pair whose answer was taken back, if there was one."""

    undone: int | None


class Verdict(_Reply):
    """What everybody should have said to a practice pair."""

    right: bool
    answer: Literal["left", "right", "tie"]
    lesson: str


class Tried(Waiting):
    """A practice pair was answered."""

    verdict: Verdict


class Said(Waiting):
    """A pair that was answered, and what was said."""

    said: Literal["left", "right", "tie", "cannot", "skip"]


class Revised(Waiting):
    """A mind was changed."""

    label_id: int


class LiveTakeover(_Reply):
    """One time that the person had the wheel."""

    onset_s: float
    release_s: float | None
    cause: Cause | Literal[""]


class RideBegun(_Reply):
    """A live ride, and how it stands."""

    ride: str
    seq: int
    state: str
    ride_id: int | None
    line: str
    time_s: float
    takeovers: list[LiveTakeover]
    held: bool = False
    lost: bool = False
    paused: bool = False
    rate: float = 1.0
    wanted: bool = False
    outcome: str = ""


class RideState(_Reply):
    """How a live ride stands."""

    state: str


class CauseNoted(_Reply):
    """Why the wheel was taken."""

    cause: Cause


class Rated(_Reply):
    """A rating is stored."""

    rating_id: int


WHY = {
    200: "done",
    206: "the range that was asked for",
    303: "go on there",
    400: "no readable form, or a request that ended early",
    401: "nobody is logged in, or the token is not known",
    403: "this role may not, the page is out of date, or the request comes from another site",
    404: "not there, or not yours",
    408: "the request came too slowly",
    409: "it contradicts what is stored: a pair that is closed, a key that names something else",
    413: "the request is too large",
    416: "the file has no such range",
    421: "another host is asked for",
    422: "a value is impossible",
    429: "too much at once",
    503: "the study cannot be read or written now, or all places are taken",
}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_HTML = {"text/html": {"schema": {"type": "string"}}}
_AT_THE_DOOR = (400, 403, 408, 413, 421)
"""What is refused before the application sees it, in plain text."""


def _described(statuses: Iterable[int], content: dict[str, Any]) -> Described:
    return {
        status: {"description": WHY[status], "content": {**content, **(_TEXT if status in _AT_THE_DOOR else {})}}
        for status in {*statuses, *_AT_THE_DOOR}
    }


def json_of(model: type[BaseModel], *refusals: int) -> dict[str, Any]:
    """What a route of ``/api`` answers: a model, or one of the refusals that every such route has, or of those given."""
    refused = _described((401, 409, 422, 503, *refusals), {})
    for each in refused.values():
        each["model"] = Refusal
    return {"response_model": None, "responses": {200: {"model": model, "description": WHY[200]}, **refused}}


def file_of(media_type: str, *statuses: int) -> dict[str, Any]:
    """What a route answers that gives bytes."""
    binary = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    given = _described((200, *statuses), binary)
    described = json_of(Refusal, 404)["responses"]
    return {"response_model": None, "response_class": Response, "responses": {**given, **described, 200: given[200]}}


def page_of(*statuses: int) -> dict[str, Any]:
    """What a page's route answers: the page, a way to another one, or a refusal."""
    shown = _described((422, 503, *statuses), _HTML)
    led: Described = {303: {"description": WHY[303]}}
    return {"response_model": None, "response_class": HTMLResponse, "responses": {**shown, **led}}


def way_of(*statuses: int) -> dict[str, Any]:
    """What a route answers that leads to a page."""
    return {**page_of(*statuses), "response_class": RedirectResponse, "status_code": 303}
