"""The ride-along page, and what its script asks and tells: pictures come down one long answer, the wheel goes up in small requests.

Each request passes the same checks as any other: host, origin, session, role, the page's token, size, and every value.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi import Path as UrlPath
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from feedback.checks import MAX_TEXT_LENGTH
from feedback.rows import RIDE_RATES, TAKEOVER_CAUSES, Cause, RideRow, TakeoverRow
from feedback.server.api import ClientKey
from feedback.server.doors import DoorsOfApp, Rider, RiderOfScript, StoreOfApp
from feedback.server.pages import page
from feedback.server.replies import CauseNoted, Rated, RideBegun, RideState, file_of, json_of, page_of
from feedback.server.ride_desk import OpenRide, RideDesk, watch

router = APIRouter()

Name = Annotated[str, UrlPath(pattern="^[0-9a-f]{32}$")]
RideId = Annotated[int, UrlPath(gt=0, lt=2**63)]


class Wheel(BaseModel):
    """All that the person wants now: each message stands for itself, so that a lost one does not matter."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seq: int = Field(gt=0, lt=2**53)
    held: bool
    acceleration: float = Field(ge=-1, le=1, allow_inf_nan=False)
    steering: float = Field(ge=-1, le=1, allow_inf_nan=False)
    paused: bool
    rate: float

    @field_validator("rate")
    @classmethod
    def _is_offered(cls, rate: float) -> float:
        if rate not in RIDE_RATES:
            raise ValueError(f"expected one of {', '.join(f'{each:g}' for each in RIDE_RATES)}")
        return rate


class Start(BaseModel):
    """Asks for a ride."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client_key: ClientKey


class Why(BaseModel):
    """Why the wheel was taken."""

    model_config = ConfigDict(extra="forbid", strict=True)

    takeover: int = Field(ge=0, lt=1000)
    cause: Cause


class Rating(BaseModel):
    """How the ride was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ride_id: int = Field(gt=0, lt=2**63)
    stars: int = Field(ge=1, le=5)
    comment: str = Field(default="", max_length=MAX_TEXT_LENGTH)
    client_key: ClientKey


async def desk_of(request: Request) -> RideDesk:
    """The application's rides.

    Raises:
        HTTPException: 404 if none are offered.
    """
    desk: RideDesk | None = request.app.state.rides
    if desk is None:
        raise HTTPException(404, "no ride-alongs here; whoever runs the study starts them with drive-fusion review --ride DRIVER")
    return desk


Desk = Annotated[RideDesk, Depends(desk_of)]


def _mine(desk: RideDesk, reviewer_id: int, name: str) -> OpenRide:
    ride = desk.find(reviewer_id, name)
    if ride is None:
        raise HTTPException(404, "this ride is not yours, or is over; reload the page")
    return ride


@router.get("/ride", **page_of(404))
def ride_page(request: Request, session: Rider, store: StoreOfApp, desk: Desk) -> Response:
    """The page to ride along on, and the rides so far."""
    rides = store.rides(session.reviewer.id)[::-1]
    return page(request, "ride", session, past=rides[:20], causes=TAKEOVER_CAUSES)


@router.get("/ride/{ride_id}", **page_of(404))
def past_ride_page(request: Request, session: Rider, store: StoreOfApp, ride_id: RideId) -> Response:
    """A reviewer's own ride: what came before and after each time they took the wheel."""
    mine: list[RideRow] = [ride for ride in store.rides(session.reviewer.id) if ride.id == ride_id]
    if not mine:
        raise HTTPException(404, "this ride is not yours")
    taken: list[TakeoverRow] = [row for row in store.takeovers() if row.ride_id == ride_id and row.onset_s is not None]
    ready = {clip_id: _has_video(store, clip_id) for row in taken for clip_id in (row.clip_id, row.after_clip_id) if clip_id is not None}
    return page(request, "past_ride", session, ride=mine[0], taken=taken, ready=ready)


def _has_video(store: Any, clip_id: str) -> bool:
    clip = store.clip(clip_id)
    return clip is not None and clip.video_path is not None


@router.post("/api/rides", **json_of(RideBegun, 404))
def start(body: Start, session: RiderOfScript, desk: Desk) -> dict[str, Any]:
    """Start a ride, or come back to the one that is on."""
    ride = desk.start(session.reviewer.id, body.client_key)
    if ride is None:
        raise HTTPException(503, f"all {desk.most} places are taken; try again in a minute", {"Retry-After": "30"})
    return {"ride": ride.name, "seq": ride.seq, **ride.about()}


@router.get("/api/rides/{name}/stream", **file_of("application/octet-stream"))
async def stream(name: Name, request: Request, session: Rider, doors: DoorsOfApp, desk: Desk) -> Response:
    """Pictures as they are made: for each two lengths (big-endian, 32 bits), then JSON, then a JPEG."""
    ride, secret = _mine(desk, session.reviewer.id, name), doors.secret(request)
    return StreamingResponse(watch(ride, lambda: doors.accounts.session(secret) is not None), media_type="application/octet-stream")


@router.post("/api/rides/{name}/wheel", **json_of(RideState, 404, 429))
def wheel(name: Name, body: Wheel, session: RiderOfScript, desk: Desk) -> dict[str, Any]:
    """Take in what the person wants; what arrives late is refused."""
    ride = _mine(desk, session.reviewer.id, name)
    if not ride.spend():
        raise HTTPException(429, "too many messages; slow down", {"Retry-After": "1"})
    if body.seq <= ride.seq:
        raise HTTPException(409, "a newer message has arrived already")
    ride.seq = body.seq
    if ride.live is not None and ride.state == "riding":
        from feedback.live_ride import Wish

        ride.live.wish(Wish(body.held, body.acceleration, body.steering, body.paused, body.rate))
    return {"state": ride.state}


@router.post("/api/rides/{name}/cause", **json_of(CauseNoted, 404, 429))
def say_cause(name: Name, body: Why, session: RiderOfScript, desk: Desk) -> dict[str, Any]:
    """Note why the wheel was taken, while the ride is on."""
    ride = _mine(desk, session.reviewer.id, name)
    if not ride.spend():
        raise HTTPException(429, "too many messages; slow down", {"Retry-After": "1"})
    if ride.live is None or ride.state != "riding" or not ride.live.say_cause(body.takeover, body.cause):
        raise HTTPException(409, "there is no such takeover in this ride, or the ride is over")
    return {"cause": body.cause}


@router.post("/api/rides/{name}/end", **json_of(RideState, 404))
def end(name: Name, body: Start, session: RiderOfScript, desk: Desk) -> dict[str, Any]:
    """End the ride; what was driven is stored."""
    ride = _mine(desk, session.reviewer.id, name)
    desk.stop(session.reviewer.id)
    return {"state": ride.state}


@router.post("/api/rides/rating", **json_of(Rated))
def rate(body: Rating, session: RiderOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Store how the ride was."""
    return {"rating_id": store.rate_ride(session.reviewer.id, body.ride_id, body.stars, body.comment, body.client_key)}
