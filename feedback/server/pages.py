"""The pages that people see."""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from feedback.accounts import Session
from feedback.server.doors import DoorsOfApp, MaybeSession, SessionOfForm, SessionOfPage, StoreOfApp

QUESTION = "Which ride would you rather sit in?"

router = APIRouter()
_templates = Jinja2Templates(Path(__file__).parent / "templates")


def _page(request: Request, name: str, session: Session | None = None, status: int = 200, **values: Any) -> Response:
    return _templates.TemplateResponse(request, f"{name}.html", {"session": session, "question": QUESTION, **values}, status_code=status)


def error_page(request: Request, status: int, line: str, headers: dict[str, str] | None = None) -> Response:
    """One clear line on a page of its own."""
    page = _page(request, "error", status=status, line=line)
    page.headers.update(headers or {})
    return page


@router.get("/")
def start() -> Response:
    """Lead to the work."""
    return RedirectResponse("/compare", 303)


@router.get("/login")
def login_page(request: Request, session: MaybeSession) -> Response:
    """Ask for the token."""
    return _page(request, "login") if session is None else RedirectResponse("/compare", 303)


@router.post("/login")
def log_in(request: Request, store: StoreOfApp, doors: DoorsOfApp, token: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Check the token, and begin a new session."""
    address = request.client.host if request.client else ""
    wait_s = doors.failures.wait_s(address)
    if wait_s > 0:
        line = f"Too many wrong tokens. Try again in {math.ceil(wait_s)} seconds."
        page = _page(request, "login", status=429, line=line)
        page.headers["Retry-After"] = str(math.ceil(wait_s))
        return page
    secret = doors.accounts.log_in(token.strip(), doors.secret(request))
    session = doors.accounts.session(secret)
    if secret is None or session is None:
        doors.failures.failed(address)
        return _page(request, "login", status=401, line="That token is not known here. Check that you copied all of it.")
    newcomer = store.progress(session.reviewer.id).done == 0
    response = RedirectResponse("/guidelines" if newcomer else "/compare", 303)
    doors.open(response, secret)
    return response


@router.post("/logout")
def log_out(request: Request, doors: DoorsOfApp, session: SessionOfForm) -> Response:
    """End the session, on the server too."""
    doors.accounts.log_out(doors.secret(request) or "")
    response = RedirectResponse("/login", 303)
    doors.close(response)
    return response


@router.get("/guidelines")
def guidelines_page(request: Request, session: SessionOfPage) -> Response:
    """Say what is asked."""
    return _page(request, "guidelines", session)


@router.get("/compare")
def compare_page(request: Request, session: SessionOfPage, store: StoreOfApp) -> Response:
    """Show the open pair; its script fetches it."""
    progress = store.progress(session.reviewer.id, with_video=True)
    if progress.remaining == 0:
        return RedirectResponse("/done", 303)
    return _page(request, "compare", session, progress=progress)


@router.get("/done")
def done_page(request: Request, session: SessionOfPage, store: StoreOfApp) -> Response:
    """Say thank you, and offer the way back."""
    progress = store.progress(session.reviewer.id, with_video=True)
    return _page(request, "done", session, progress=progress, undo_key=secrets.token_hex(16))


@router.post("/undo")
def undo(session: SessionOfForm, store: StoreOfApp, client_key: Annotated[str, Form(pattern="^[0-9a-f]{32}$")]) -> Response:
    """Take the last answer back, from the last page."""
    if store.undo(session.reviewer.id, client_key) is None:
        raise HTTPException(409, "there is no answer to take back")
    return RedirectResponse("/compare", 303)
