"""The review room as a FastAPI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from feedback.accounts import Accounts
from feedback.checks import MAX_NAME_LENGTH, NotShown
from feedback.server import api, lead_pages, pages, rides
from feedback.server.doors import Doors, LoggedOut
from feedback.server.guard import Guard
from feedback.server.ride_desk import RideDesk, RideOffer
from feedback.store import LabelRejected, Store, StoreError

HERE = Path(__file__).parent


def create_app(
    store: Store,
    accounts: Accounts | None = None,
    url: str = "http://127.0.0.1:8000",
    offer: RideOffer | None = None,
    max_rides: int = 4,
) -> FastAPI:
    """Make the review room of a study.

    Args:
        store: The study's store; its folder holds the clips.
        accounts: Who may come in, and for how long; by default the store's people, with the default timeouts.
        url: Where people reach it. Requests for other hosts or from other sites are refused; https makes cookies secure.
        offer: What people can ride along with, if anything.
        max_rides: How many may ride at the same time.

    Returns:
        The application; its OpenAPI description is made by ``.openapi()`` and not served.
    """
    desk = None if offer is None else RideDesk(store, offer, max_rides)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if desk is not None:
            desk.close()

    app = FastAPI(title="Drive Fusion review room", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.rides = desk
    app.state.store = store
    app.state.url = url.rstrip("/")
    app.state.doors = Doors(accounts or Accounts(store), secure=url.startswith("https://"))
    app.add_middleware(Guard, url=url)
    app.include_router(pages.router)
    app.include_router(lead_pages.router)
    app.include_router(api.router)
    app.include_router(rides.router)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.exception_handler(LoggedOut)(_to_log_in)
    app.exception_handler(RequestValidationError)(_impossible)
    app.exception_handler(LabelRejected)(_rejected)
    app.exception_handler(StoreError)(_store_failed)
    app.exception_handler(HTTPException)(_refused)
    return app


def _answer(request: Request, status: int, line: str, headers: dict[str, str] | None = None) -> Response:
    """One line, as JSON for the pages' own scripts and as a page for people."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": line}, status, headers=headers)
    return pages.error_page(request, status, line, headers)


async def _to_log_in(request: Request, error: LoggedOut) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": "you are logged out; log in again"}, 401)
    return RedirectResponse("/login", 303)


async def _impossible(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    return _answer(request, 422, f"{_in_short(where)}: {first['msg']}")


def _in_short(name: str) -> str:
    """The name of a field, which may be the sender's own invention, as a part of one line."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:MAX_NAME_LENGTH])
    return shown if len(name) <= MAX_NAME_LENGTH else shown + "…"


async def _rejected(request: Request, error: LabelRejected) -> Response:
    return _answer(request, 404 if isinstance(error, NotShown) else 409, str(error))


async def _store_failed(request: Request, error: StoreError) -> Response:
    logging.getLogger("uvicorn.error").error("%s", error)  # who runs the study learns where; reviewers learn what
    line = str(error).replace(request.app.state.store.where, "the study")
    return _answer(request, 503, line, {"Retry-After": "2"})


async def _refused(request: Request, error: HTTPException) -> Response:
    return _answer(request, error.status_code, str(error.detail), dict(error.headers or {}))
