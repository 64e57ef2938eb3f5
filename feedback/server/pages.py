"""The pages that reviewers see."""

from __future__ import annotations

import math
import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi import Path as UrlPath
from fastapi.responses import RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from feedback.accounts import Session
from feedback.practice import PAIRS
from feedback.roles import may
from feedback.server.doors import Doors, DoorsOfApp, Labeller, LabellerOfForm, MaybeSession, SessionOfForm, SessionOfPage, StoreOfApp
from feedback.server.replies import page_of, way_of

QUESTION = "Which ride would you rather sit in?"

SAID = {
    "left": "Left is better",
    "right": "Right is better",
    "tie": "About the same",
    "cannot": "Cannot compare",
    "skip": "Skipped",
}
HISTORY_ROWS = 50

router = APIRouter()
_templates = Jinja2Templates(Path(__file__).parent / "templates")
_templates.env.globals.update(may=may, said_words=SAID)

Secret = Annotated[str, UrlPath(pattern="^[0-9a-zA-Z_-]{8,64}$")]


def page(request: Request, name: str, session: Session | None = None, status: int = 200, **values: Any) -> Response:
    """Render a template."""
    values = {"session": session, "question": QUESTION, "rides": request.app.state.rides is not None, "here": request.url.path, **values}
    return _templates.TemplateResponse(request, f"{name}.html", values, status_code=status)


def error_page(request: Request, status: int, line: str, headers: dict[str, str] | None = None) -> Response:
    """One clear line on a page of its own."""
    shown = page(request, "error", status=status, line=line)
    shown.headers.update(headers or {})
    return shown


def home_of(session: Session | None) -> str:
    """Where somebody's work is."""
    return "/compare" if session is None or may(session.reviewer.role, "label") else "/progress"


@router.get("/", **way_of())
def start(session: MaybeSession) -> Response:
    """Lead to the work."""
    return RedirectResponse(home_of(session), 303)


@router.get("/login", **page_of())
def login_page(request: Request, session: MaybeSession) -> Response:
    """Ask for the token."""
    return page(request, "login") if session is None else RedirectResponse(home_of(session), 303)


@router.post("/login", **page_of(401, 429))
def log_in(request: Request, store: StoreOfApp, doors: DoorsOfApp, token: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Check the token, and begin a new session."""
    address = address_of(request)
    refusal = _too_many(request, doors, address)
    if refusal is not None:
        return refusal
    secret = doors.accounts.log_in(token.strip(), doors.secret(request))
    session = doors.accounts.session(secret)
    if secret is None or session is None:
        doors.failures.failed(address)
        return page(request, "login", status=401, line="That token is not known here. Check that you copied all of it.")
    newcomer = may(session.reviewer.role, "label") and store.progress(session.reviewer.id).done == 0
    response = RedirectResponse("/guidelines" if newcomer else home_of(session), 303)
    doors.open(response, secret)
    return response


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def _too_many(request: Request, doors: Doors, address: str) -> Response | None:
    wait_s = doors.failures.wait_s(address)
    if wait_s <= 0:
        return None
    shown = page(request, "login", status=429, line=f"Too many wrong tokens. Try again in {math.ceil(wait_s)} seconds.")
    shown.headers["Retry-After"] = str(math.ceil(wait_s))
    return shown


@router.get("/invite/{secret}", **page_of(404, 429))
def invitation_page(request: Request, secret: Secret, doors: DoorsOfApp) -> Response:
    """Welcome who follows an invitation; looking does not use it up, so that a link's preview does not either."""
    address = address_of(request)
    refusal = _too_many(request, doors, address)
    if refusal is not None:
        return refusal
    if not doors.accounts.invited(secret):
        doors.failures.failed(address)
        return page(request, "invitation", status=404)
    return page(request, "invitation", secret=secret)


@router.post("/invite", **page_of(404, 429))
def accept(request: Request, doors: DoorsOfApp, secret: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Use the invitation up: begin a session, and show the token to come back with, this once."""
    address = address_of(request)
    refusal = _too_many(request, doors, address)
    if refusal is not None:
        return refusal
    opened = doors.accounts.accept(secret.strip(), doors.secret(request))
    session = None if opened is None else doors.accounts.session(opened[0])
    if opened is None or session is None:
        doors.failures.failed(address)
        return page(request, "invitation", status=404)
    response = page(
        request, "welcome", session, token=opened[1], next="/guidelines" if may(session.reviewer.role, "label") else "/progress"
    )
    doors.open(response, opened[0])
    return response


@router.post("/logout", **way_of())
def log_out(request: Request, doors: DoorsOfApp, session: SessionOfForm) -> Response:
    """End the session, on the server too."""
    doors.accounts.log_out(doors.secret(request) or "")
    if request.app.state.rides is not None:
        request.app.state.rides.stop(session.reviewer.id)
    response = RedirectResponse("/login", 303)
    doors.close(response)
    return response


@router.get("/guidelines", **page_of())
def guidelines_page(request: Request, session: SessionOfPage, store: StoreOfApp) -> Response:
    """Say what is asked."""
    to_practise = 0
    if may(session.reviewer.role, "label"):
        to_practise = len(store.practice(session.reviewer.id, PAIRS)[0])
    return page(request, "guidelines", session, to_practise=to_practise)


@router.get("/practice", **page_of())
def practice_page(request: Request, session: Labeller, store: StoreOfApp) -> Response:
    """Show the practice pairs; the script fetches them."""
    waiting, tried = store.practice(session.reviewer.id, PAIRS)
    if not waiting:
        return RedirectResponse("/compare", 303)
    return page(request, "compare", session, mode="practice", progress={"done": tried, "remaining": len(waiting)})


@router.get("/compare", **page_of())
def compare_page(request: Request, session: Labeller, store: StoreOfApp) -> Response:
    """Show the open pair; its script fetches it."""
    progress = store.progress(session.reviewer.id, with_video=True)
    if progress.remaining == 0:
        return RedirectResponse("/done", 303)
    return page(request, "compare", session, mode="compare", progress=progress._asdict())


@router.get("/history", **page_of())
def history_page(
    request: Request, session: Labeller, store: StoreOfApp, before: Annotated[int | None, Query(gt=0, lt=2**63)] = None
) -> Response:
    """List a reviewer's own answers, newest first."""
    said = store.said(session.reviewer.id, HISTORY_ROWS + 1, before)
    older = said[HISTORY_ROWS - 1].label_id if len(said) > HISTORY_ROWS else None
    return page(request, "history", session, said=said[:HISTORY_ROWS], older=older, done=store.progress(session.reviewer.id).done)


@router.get("/history/{label_id}", **page_of(404))
def revise_page(request: Request, session: Labeller, store: StoreOfApp, label_id: Annotated[int, UrlPath(gt=0, lt=2**63)]) -> Response:
    """Show a pair again that was answered, to change one's mind."""
    found = store.said_of(session.reviewer.id, label_id)
    if found is None:
        raise HTTPException(404, "this answer is not yours, or was changed already")
    progress = store.progress(session.reviewer.id, with_video=True)._asdict()
    return page(request, "compare", session, mode="revise", label_id=label_id, said=found.shown.side(found.choice), progress=progress)


@router.get("/done", **page_of())
def done_page(request: Request, session: Labeller, store: StoreOfApp) -> Response:
    """Say thank you, and offer the way back."""
    progress = store.progress(session.reviewer.id, with_video=True)
    return page(request, "done", session, progress=progress, undo_key=secrets.token_hex(16))


@router.post("/undo", **way_of(409))
def undo(session: LabellerOfForm, store: StoreOfApp, client_key: Annotated[str, Form(pattern="^[0-9a-f]{32}$")]) -> Response:
    """Take the last answer back, from the last page."""
    if store.undo(session.reviewer.id, client_key) is None:
        raise HTTPException(409, "there is no answer to take back")
    return RedirectResponse("/compare", 303)
