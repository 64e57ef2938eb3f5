"""Who a request is from: the session cookie, and what a request that changes something must carry.

Only what asks the database runs in a thread; the rest is async, which saves each request five turns of waiting for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Form, Header, HTTPException, Request, Response

from feedback.accounts import Accounts, Session
from feedback.roles import Right, may
from feedback.server.guard import RateLimit
from feedback.store import Store


class LoggedOut(Exception):
    """The request is nobody's: no session, or one that has ended."""


class Doors:
    """Reads and writes the session cookie.

    Args:
        accounts: Who may come in.
        secure: The site is reached by https, so that cookies can insist on it.
    """

    def __init__(self, accounts: Accounts, secure: bool) -> None:
        self.accounts = accounts
        self.secure = secure
        self.cookie = "__Host-session" if secure else "session"
        self.failures = RateLimit()

    def secret(self, request: Request) -> str | None:
        """The session's secret that a browser sent."""
        return request.cookies.get(self.cookie)

    def open(self, response: Response, secret: str) -> None:
        """Hand a browser its session."""
        response.set_cookie(
            self.cookie, secret, max_age=int(self.accounts.absolute_s), path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def close(self, response: Response) -> None:
        """Take the session from a browser."""
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="lax")


async def doors_of(request: Request) -> Doors:
    """The application's doors."""
    doors: Doors = request.app.state.doors
    return doors


async def store_of(request: Request) -> Store:
    """The application's store."""
    store: Store = request.app.state.store
    return store


def maybe_session(request: Request, doors: Annotated[Doors, Depends(doors_of)]) -> Session | None:
    """Who a request is from, or nobody."""
    return doors.accounts.session(doors.secret(request))


async def session_of(session: Annotated[Session | None, Depends(maybe_session)]) -> Session:
    """Who a request is from.

    Raises:
        LoggedOut: If it is from nobody.
    """
    if session is None:
        raise LoggedOut
    return session


async def session_by_header(
    session: Annotated[Session, Depends(session_of)], x_csrf_token: Annotated[str | None, Header(max_length=200)] = None
) -> Session:
    """Who a script's request is from that changes something."""
    return _checked(session, x_csrf_token)


async def session_by_form(
    session: Annotated[Session, Depends(session_of)], csrf_token: Annotated[str | None, Form(max_length=200)] = None
) -> Session:
    """Who a form is from that changes something."""
    return _checked(session, csrf_token)


def _checked(session: Session, csrf_token: str | None) -> Session:
    if not session.csrf_matches(csrf_token):
        raise HTTPException(403, "the page is out of date; reload it")
    return session


def with_right(right: Right, who: Callable[..., Awaitable[Session]] = session_of) -> Callable[..., Awaitable[Session]]:
    """Make a dependency: somebody who has a right; others are refused, whatever they send."""

    async def allowed(session: Session) -> Session:
        if not may(session.reviewer.role, right):
            raise HTTPException(403, f"your role, {session.reviewer.role}, does not include this")
        return session

    allowed.__annotations__["session"] = Annotated[Session, Depends(who)]  # FastAPI reads it; a string could not name `who`
    return allowed


StoreOfApp = Annotated[Store, Depends(store_of)]
DoorsOfApp = Annotated[Doors, Depends(doors_of)]
MaybeSession = Annotated[Session | None, Depends(maybe_session)]
SessionOfPage = Annotated[Session, Depends(session_of)]
SessionOfForm = Annotated[Session, Depends(session_by_form)]
Labeller = Annotated[Session, Depends(with_right("label"))]
LabellerOfScript = Annotated[Session, Depends(with_right("label", session_by_header))]
LabellerOfForm = Annotated[Session, Depends(with_right("label", session_by_form))]
Rider = Annotated[Session, Depends(with_right("ride"))]
RiderOfScript = Annotated[Session, Depends(with_right("ride", session_by_header))]
Watcher = Annotated[Session, Depends(with_right("progress"))]
Auditor = Annotated[Session, Depends(with_right("audit"))]
Admin = Annotated[Session, Depends(with_right("people"))]
AdminOfForm = Annotated[Session, Depends(with_right("people", session_by_form))]
