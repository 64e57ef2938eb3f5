"""Which pairs a reviewer can still be asked about, and how many there are.

Everybody is asked about most pairs. One that wants a certain number of labels is closed when it has them, and to everybody else while
others hold its last places. The table ``opening`` lists those that lack labels: it is kept with each answer, in the same transaction, so
that neither the next question nor how many are left takes longer the more pairs are done.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    union_all,
    update,
)

from feedback.tables import assignment, opening, pair, practice, reviewer, video

PRACTICE = "practice"
"""Reason of pairs that newcomers try themselves on; nobody's label is ever about one."""

reviewer_id: BindParameter[int] = bindparam("reviewer_id")
"""Who asks."""
count: BindParameter[int] = bindparam("count", type_=Integer, literal_execute=True)
"""Written into the statement: PostgreSQL plans one whose limit it does not know again each time, which takes longer than to answer it."""
now: BindParameter[float] = bindparam("now")

mine = assignment.alias("mine")
_taken, _held = assignment.alias("taken"), assignment.alias("held")


def is_mine() -> ColumnElement[bool]:
    """Of assignments: the reviewer's, of the pair at hand."""
    return and_(mine.c.pair_id == pair.c.id, mine.c.reviewer_id == reviewer_id)


TAKEN_BY_OTHERS = (
    select(func.count())
    .select_from(_taken)
    .where(
        _taken.c.pair_id == pair.c.id,
        _taken.c.reviewer_id != reviewer_id,
        or_(_taken.c.label_id.is_not(None), _taken.c.lease_until_unix_s > now),
    )
    .correlate(pair)
    .scalar_subquery()
)
"""Of a pair's places, those that other reviewers have answered or hold."""

QUESTION = tuple(pair.c[name] for name in ("clip_a", "clip_b", "reason", "answer", "lesson", "labels_wanted"))

_answered_pair = exists().where(is_mine(), mine.c.label_id.is_not(None)).correlate(pair)
_given_pair = exists().where(is_mine()).correlate(pair)
TRIED = exists().where(practice.c.pair_id == pair.c.id, practice.c.reviewer_id == reviewer_id).correlate(pair)
"""Of pairs: those that the reviewer has practised on."""


def _both_videos() -> ColumnElement[bool]:
    return and_(*(exists().where(video.c.clip_id == side).correlate(pair) for side in (pair.c.clip_a, pair.c.clip_b)))


def _for_labels(with_video: bool) -> list[ColumnElement[bool]]:
    """Of pairs: those that labels may be about."""
    return [pair.c.reason != PRACTICE, *([_both_videos()] if with_video else [])]


def open_pair(with_video: bool) -> ColumnElement[bool]:
    """Of pairs: those that the reviewer can still answer."""
    has_room = or_(pair.c.labels_wanted.is_(None), TAKEN_BY_OTHERS < pair.c.labels_wanted)
    return and_(*_for_labels(with_video), ~TRIED, ~_answered_pair, has_room)


def _lacking(with_video: bool) -> list[ColumnElement[bool]]:
    """Of openings: those whose pair can be shown."""
    return [opening.c.shown == 1] if with_video else []


_asked = select(reviewer.c.pseudonym, pair.c.id.label("pair_id"), *QUESTION, null().label("mirrored"))


def _fresh(with_video: bool) -> CompoundSelect[Any]:
    everybodys = (
        _asked.select_from(pair.join(reviewer, reviewer.c.id == reviewer_id))
        .where(pair.c.labels_wanted.is_(None), *_for_labels(with_video), ~_given_pair, ~TRIED)
        .order_by(pair.c.id)
    )
    limited = (
        _asked.select_from(opening.join(pair, pair.c.id == opening.c.pair_id).join(reviewer, reviewer.c.id == reviewer_id))
        .where(*_lacking(with_video), ~_given_pair, ~TRIED, TAKEN_BY_OTHERS < pair.c.labels_wanted)
        .order_by(opening.c.pair_id)
    )
    return union_all(*(query.limit(count).subquery().select() for query in (everybodys, limited)))


_SIDES = (False, True)
_FRESH = {with_video: _fresh(with_video) for with_video in _SIDES}


def fresh(connection: Connection, who: dict[str, Any], with_video: bool) -> list[Any]:
    """Up to so many pairs that a reviewer was never given and can answer, oldest first.

    Args:
        connection: To the database.
        who: ``reviewer_id``, ``count``, and the time ``now``.
        with_video: Only pairs whose clips both have a video.
    """
    return sorted(connection.execute(_FRESH[with_video], who), key=lambda row: int(row.pair_id))[: who["count"]]


def _is_askable(of: Table, with_video: bool) -> ColumnElement[bool]:
    """Whether the pair that a row is about is one that everybody is asked about, looked up row by row.

    A join would leave it to the database where to begin, and one that has not counted a study's rows yet begins with all pairs.
    """
    askable = and_(pair.c.labels_wanted.is_(None), *_for_labels(with_video))
    return select(pair.c.id).where(pair.c.id == of.c.pair_id, askable).correlate(of).scalar_subquery().is_not(None)


def _is_lacking(of: FromClause, with_video: bool) -> ColumnElement[bool]:
    """Whether the pair that a row is about lacks labels, looked up row by row."""
    rows = select(opening.c.pair_id).where(opening.c.pair_id == of.c.pair_id, *_lacking(with_video))
    return rows.correlate(of).scalar_subquery().is_not(None)


def _number(of: Table, *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(of).where(*where).scalar_subquery()


ASKABLE = {
    with_video: select(
        _number(pair, pair.c.labels_wanted.is_(None), *_for_labels(with_video)),
        exists().where(pair.c.labels_wanted.is_not(None)),
    )
    for with_video in _SIDES
}
"""How many pairs every reviewer is asked about, and whether there are pairs that want a certain number of labels."""

_answered = and_(assignment.c.reviewer_id == reviewer_id, assignment.c.label_id.is_not(None))
_practised = practice.c.reviewer_id == reviewer_id
DONE_AND_SETTLED = {
    with_video: select(
        _number(assignment, _answered).label("done"),
        (
            _number(assignment, _answered, _is_askable(assignment, with_video))
            + _number(practice, _practised, _is_askable(practice, with_video))
        ).label("settled"),
        select(func.max(pair.c.id)).scalar_subquery().label("newest_pair"),
        select(func.max(video.c.id)).scalar_subquery().label("newest_video"),
    )
    for with_video in _SIDES
}
"""How many pairs a reviewer has answered; how many of those that everybody is asked about they have answered or practised on; and numbers
that change when there is more to ask about."""


def _limited(with_video: bool) -> Select[Any]:
    also_answered = exists().where(mine.c.pair_id == practice.c.pair_id, mine.c.reviewer_id == reviewer_id, mine.c.label_id.is_not(None))
    full = select(pair.c.id).where(pair.c.id == _held.c.pair_id, ~_answered_pair, ~TRIED, TAKEN_BY_OTHERS >= pair.c.labels_wanted)
    held = select(func.count(_held.c.pair_id.distinct())).where(
        _held.c.lease_until_unix_s > now,
        _held.c.reviewer_id != reviewer_id,
        _is_lacking(_held, with_video),
        full.correlate(_held).scalar_subquery().is_not(None),
    )
    return select(
        _number(opening, *_lacking(with_video))
        - _number(assignment, _answered, _is_lacking(assignment, with_video))
        - _number(practice, _practised, _is_lacking(practice, with_video), ~also_answered.correlate(practice))
        - held.scalar_subquery()
    )


LIMITED = {with_video: _limited(with_video) for with_video in _SIDES}
"""How many pairs that want a certain number of labels a reviewer can still answer: those that lack some, less those that they have answered
or practised on, less those whose last places others hold."""

_pair_id: BindParameter[int] = bindparam("pair_id")
_clip_id: BindParameter[str] = bindparam("clip_id")

_OPEN = insert(opening).from_select(
    ["pair_id", "shown"],
    select(pair.c.id, case((_both_videos(), 1), else_=0)).where(
        pair.c.id == _pair_id, pair.c.reason != PRACTICE, ~exists().where(opening.c.pair_id == pair.c.id).correlate(pair)
    ),
)
_LABELS = select(func.count()).select_from(assignment).where(assignment.c.pair_id == _pair_id, assignment.c.label_id.is_not(None))
_CLOSE = delete(opening).where(opening.c.pair_id == bindparam("closed"))
_SHOW = (
    update(opening)
    .where(
        opening.c.shown == 0,
        opening.c.pair_id.in_(select(pair.c.id).where(or_(pair.c.clip_a == _clip_id, pair.c.clip_b == _clip_id), _both_videos())),
    )
    .values(shown=1)
)


def keep(connection: Connection, pair_id: int, labels_wanted: int | None) -> None:
    """Note whether a pair lacks labels, after one was added or taken back, or when the pair is new."""
    if labels_wanted is None:
        return
    if connection.execute(_LABELS, {"pair_id": pair_id}).scalar_one() < labels_wanted:
        connection.execute(_OPEN, {"pair_id": pair_id})
    else:
        connection.execute(_CLOSE, {"closed": pair_id})


def show(connection: Connection, clip_id: str) -> None:
    """Note that a clip has a video now."""
    connection.execute(_SHOW, {"clip_id": clip_id})
