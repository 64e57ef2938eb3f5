"""The pages of those who run a study: progress, the audit log, and who may come in."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from feedback import audit
from feedback.accounts import Session
from feedback.agreement import Agreement, ReviewerReport, agreement, reviewer_reports
from feedback.database import StoreError
from feedback.roles import ROLES, Role
from feedback.server.doors import Admin, AdminOfForm, Auditor, DoorsOfApp, StoreOfApp, Watcher
from feedback.server.pages import page
from feedback.server.replies import page_of, way_of
from feedback.store import Store
from sensors.errors import ConfigError

AUDIT_ROWS = 100
BOOTSTRAP_DRAWS = 400

router = APIRouter()


@dataclass(frozen=True)
class Overview:
    """What a lead sees of a study; people by pseudonym."""

    agreement: Agreement
    """How far they agree."""
    reports: list[ReviewerReport]
    """Each reviewer."""
    pairs: int
    """How many pairs there are."""
    judged: int
    """How many of them have an answer that says something."""
    rides: dict[str, int]
    """Live rides by pseudonym."""
    takeovers: dict[str, int]
    """Takeovers by pseudonym."""
    causes: list[tuple[str, int]]
    """Why, most frequent first."""
    disputed: list[tuple[int, str]]
    """Pairs about which people differ, with what was said."""


_overviews: dict[int, tuple[object, Overview]] = {}


def overview(store: Store) -> Overview:
    """Sum a study up; done again only when an opinion was added."""
    newest = audit.entries(store.engine, 1)
    state = (str(store.engine.url), newest[0].sha256 if newest else "", len(store.pairs()))
    kept = _overviews.get(id(store))
    if kept is None or kept[0] != state:
        _overviews.clear()
        kept = _overviews[id(store)] = (state, _overview(store))
    return kept[1]


def _overview(store: Store) -> Overview:
    labels, pairs, watched = store.labels(), store.pairs(), store.takeovers()
    said: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for label in labels:
        if label.choice in ("A", "B", "tie"):
            said[label.pair_id][label.choice] += 1
    taken = [row for row in watched if row.onset_s is not None]
    words = {"A": "first", "B": "second", "tie": "same"}
    disputed = [
        (pair_id, ", ".join(f"{words[choice]} {count}" for choice, count in tally.most_common()))
        for pair_id, tally in said.items()
        if len(tally) > 1
    ]
    return Overview(
        agreement=agreement(labels, BOOTSTRAP_DRAWS),
        reports=reviewer_reports(labels, store.known_answers()),
        pairs=len(pairs),
        judged=len(said),
        rides=Counter(ride.reviewer for ride in store.rides()),
        takeovers=Counter(row.reviewer for row in taken),
        causes=Counter(row.cause for row in taken if row.ride_id is not None).most_common(),
        disputed=sorted(disputed)[:20],
    )


@router.get("/progress", **page_of())
def progress_page(request: Request, session: Watcher, store: StoreOfApp) -> Response:
    """Counts by pseudonym, and how far people agree."""
    return page(request, "progress", session, overview=overview(store))


@router.get("/audit", **page_of())
def audit_page(
    request: Request, session: Auditor, store: StoreOfApp, before: Annotated[int | None, Query(gt=0, lt=2**63)] = None
) -> Response:
    """The log, newest first, and whether it is whole."""
    rows = audit.entries(store.engine, AUDIT_ROWS, before)
    older = rows[-1].id if len(rows) == AUDIT_ROWS and rows[-1].id > 1 else None
    return page(request, "audit", session, rows=rows, older=older, verdict=audit.verify(store.engine))


@router.get("/people", **page_of())
def people_page(request: Request, session: Admin, doors: DoorsOfApp) -> Response:
    """Who may come in."""
    return _people(request, session, doors)


@router.post("/people/invite", **page_of(409))
def invite(
    request: Request,
    session: AdminOfForm,
    doors: DoorsOfApp,
    role: Annotated[Role, Form()],
    name: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Invite somebody; the link is shown this once."""
    try:
        made, secret = doors.accounts.invite(name.strip(), role, by=session.reviewer.id)
    except (StoreError, ConfigError) as error:
        return _people(request, session, doors, status=409, line=str(error))
    link = f"{request.app.state.url}/invite/{secret}"
    return _people(request, session, doors, link=link, pseudonym=made.pseudonym, invited=name.strip())


@router.post("/people/role", **way_of(409))
def change_role(
    request: Request,
    session: AdminOfForm,
    doors: DoorsOfApp,
    role: Annotated[Role, Form()],
    name: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Change what somebody may do; nobody changes their own role, so that an admin is left."""
    try:
        if any(person.name == name and person.reviewer.id == session.reviewer.id for person in doors.accounts.people()):
            return _people(request, session, doors, status=409, line="You cannot change your own role; another admin can.")
        doors.accounts.set_role(name, role, by=session.reviewer.id)
    except StoreError as error:
        return _people(request, session, doors, status=409, line=str(error))
    return RedirectResponse("/people", 303)


def _people(request: Request, session: Session, doors: DoorsOfApp, status: int = 200, **values: object) -> Response:
    return page(request, "people", session, status, people=doors.accounts.people(), roles=ROLES, **values)
