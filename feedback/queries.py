"""The store's questions to its tables, and how rows become dataclasses.

Statements are built once, with named parameters: building one takes SQLAlchemy longer than SQLite needs to answer it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    RowMapping,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from feedback import audit, openings
from feedback.openings import PRACTICE, QUESTION, TAKEN_BY_OTHERS, is_mine, mine
from feedback.rows import Assignment, ClipRow, LabelRow, Reviewer, RideRow, Said, TakeoverRow
from feedback.tables import assignment, clip, label, pair, practice, rating, remark, reviewer, ride, takeover, video

LEASE_S = 1800.0
"""For how long a reviewer who was given a pair that wants so many labels has a place in it; asking for the open pairs renews it [s]."""

_undo = label.alias("undo")
_newer = video.alias("newer")
_reviewer_id = openings.reviewer_id
_pair_id: BindParameter[int] = bindparam("pair_id")

_STANDING = and_(label.c.choice != "undo", ~exists().where(_undo.c.undoes == label.c.id))
"""Of labels: those that nobody has taken back; undos are none."""

_LATEST_VIDEO = ~exists().where(_newer.c.clip_id == video.c.clip_id, _newer.c.id > video.c.id)

CLIPS = select(
    clip,
    video.c.path.label("video_path"),
    video.c.sha256.label("video_sha256"),
    video.c.frames_per_s.label("video_frames_per_s"),
).select_from(clip.outerjoin(video, and_(video.c.clip_id == clip.c.id, _LATEST_VIDEO)))
"""Every clip with its latest video."""

CLIP_OF_ID = CLIPS.where(clip.c.id == bindparam("clip_id"))
_CLIPS_OF_IDS = CLIPS.where(clip.c.id.in_(bindparam("clip_ids", expanding=True)))

STANDING_OF_REVIEWER = select(label).where(label.c.reviewer_id == _reviewer_id, _STANDING).order_by(label.c.id.desc()).limit(1)
"""A reviewer's latest label that was not taken back."""

LABEL_OF_KEY = select(label).where(label.c.reviewer_id == _reviewer_id, label.c.client_key == bindparam("client_key"))
TAKEOVER_OF_KEY = select(takeover).where(takeover.c.reviewer_id == _reviewer_id, takeover.c.client_key == bindparam("client_key"))


_attempts = (
    select(func.count()).select_from(label).where(label.c.reviewer_id == _reviewer_id, label.c.pair_id == _pair_id).scalar_subquery()
)

ASKED = (
    select(
        reviewer.c.pseudonym,
        pair.c.id.label("pair_id"),
        *QUESTION,
        mine.c.mirrored,
        mine.c.label_id,
        _attempts.label("attempts"),
        TAKEN_BY_OTHERS.label("taken_by_others"),
        openings.TRIED.label("tried"),
    )
    .select_from(reviewer.join(pair, pair.c.id == _pair_id).outerjoin(mine, is_mine()))
    .where(reviewer.c.id == _reviewer_id)
)
"""All that an answer depends on, of one reviewer and one pair; no row: one of the two is not there."""

ASSIGNED = (
    select(
        assignment.c.id,
        assignment.c.pair_id,
        assignment.c.mirrored,
        assignment.c.lease_until_unix_s,
        *QUESTION,
    )
    .select_from(assignment.join(pair, pair.c.id == assignment.c.pair_id))
    .where(assignment.c.reviewer_id == _reviewer_id)
    .order_by(assignment.c.id)
)
"""Pairs as they were given to a reviewer, oldest first."""

ASSIGNED_PAIR = ASSIGNED.where(assignment.c.pair_id == _pair_id)
ASSIGNED_CLIP = ASSIGNED.where(or_(pair.c.clip_a == bindparam("clip_id"), pair.c.clip_b == bindparam("clip_id"))).limit(1)

RIDDEN_CLIP = select(takeover.c.id).where(
    takeover.c.reviewer_id == _reviewer_id,
    takeover.c.ride_id.is_not(None),
    or_(takeover.c.clip_id == bindparam("clip_id"), takeover.c.after_clip_id == bindparam("clip_id")),
)

_WAITING = {
    with_video: ASSIGNED.where(assignment.c.label_id.is_(None), openings.open_pair(with_video)).limit(openings.count)
    for with_video in (False, True)
}
_RENEW = update(assignment).where(assignment.c.id == bindparam("number")).values(lease_until_unix_s=bindparam("until"))
_SETTLE = (
    update(assignment)
    .where(assignment.c.reviewer_id == bindparam("who"), assignment.c.pair_id == bindparam("what"))
    .values(label_id=bindparam("standing"), lease_until_unix_s=None)
)


SAID = (
    select(
        label.c.id.label("label_id"),
        label.c.choice,
        label.c.created_unix_s,
        label.c.pair_id,
        label.c.mirrored,
        pair.c.clip_a,
        pair.c.clip_b,
        pair.c.reason,
        pair.c.answer,
        pair.c.lesson,
    )
    .select_from(label.join(pair, pair.c.id == label.c.pair_id))
    .where(label.c.reviewer_id == _reviewer_id, _STANDING)
    .order_by(label.c.id.desc())
)
"""A reviewer's standing answers, newest first."""

SAID_LABEL = select(label.c.pair_id, label.c.mirrored).where(
    label.c.id == bindparam("label_id"), label.c.reviewer_id == _reviewer_id, _STANDING
)

TRIED = select(practice.c.pair_id, practice.c.choice).where(practice.c.reviewer_id == _reviewer_id)
_labelled = exists().where(label.c.pair_id == pair.c.id, label.c.reviewer_id == _reviewer_id).correlate(pair)
LESSONS = (
    select(pair.c.id)
    .where(pair.c.reason.in_((PRACTICE, "gold")), pair.c.answer.is_not(None), ~_labelled)
    .order_by(pair.c.reason == "gold", pair.c.id)
)
"""Pairs that a reviewer can practise on: those made for it, then gold ones, which they are then never asked about."""

MEDIAN_LATENCIES = (
    select(label.c.latency_s).where(label.c.reviewer_id == _reviewer_id, label.c.choice != "undo").order_by(label.c.id.desc()).limit(25)
)

_new_assignment, _new_label, _new_pair, _new_video = insert(assignment), insert(label), insert(pair), insert(video)
_new_remark = insert(remark)

_same_pair = select(pair.c.id).where(
    pair.c.clip_a == bindparam("clip_a"), pair.c.clip_b == bindparam("clip_b"), pair.c.reason == bindparam("reason")
)
_video_of_clip = select(video.c.path, video.c.sha256).where(video.c.clip_id == bindparam("clip_id"), _LATEST_VIDEO)

LABELS = (
    select(
        *label.c,
        *(pair.c[name] for name in ("clip_a", "clip_b", "reason")),
        *(reviewer.c[name] for name in ("pseudonym", "scripted")),
        *(remark.c[name] for name in ("reasons", "comment")),
    )
    .select_from(
        label.join(pair, pair.c.id == label.c.pair_id)
        .join(reviewer, reviewer.c.id == label.c.reviewer_id)
        .outerjoin(remark, remark.c.label_id == label.c.id)
    )
    .order_by(label.c.id)
)
"""Every label and undo with its pair, reviewer and remark, oldest first."""

STANDING_LABELS = LABELS.where(_STANDING)

TAKEOVERS: Select[Any] = (
    select(takeover, reviewer.c.pseudonym, reviewer.c.scripted)
    .select_from(takeover.join(reviewer, reviewer.c.id == takeover.c.reviewer_id))
    .order_by(takeover.c.id)
)
"""Every takeover with its reviewer, oldest first."""


_later = rating.alias("later")
RIDES = (
    select(ride, reviewer.c.pseudonym, rating.c.stars)
    .select_from(
        ride.join(reviewer, reviewer.c.id == ride.c.reviewer_id).outerjoin(
            rating, and_(rating.c.ride_id == ride.c.id, ~exists().where(_later.c.ride_id == rating.c.ride_id, _later.c.id > rating.c.id))
        )
    )
    .order_by(ride.c.id)
)
"""Every live ride with its reviewer and its latest rating, oldest first."""


def clip_row(row: RowMapping) -> ClipRow:
    """Make a ClipRow of a row of ``CLIPS``."""
    values = {name: row[name] for name in ClipRow.__dataclass_fields__}
    if values["video_frames_per_s"] is None:
        del values["video_frames_per_s"]
    return ClipRow(**values)


def add_video(connection: Connection, row: ClipRow) -> None:
    """Note a clip's video, unless the same is the latest noted."""
    known = connection.execute(_video_of_clip, {"clip_id": row.id}).one_or_none()
    if known is not None and (known.path, known.sha256) == (row.video_path, row.video_sha256):
        return
    values = {"clip_id": row.id, "path": row.video_path, "sha256": row.video_sha256, "frames_per_s": row.video_frames_per_s}
    connection.execute(_new_video, {**values, "created_unix_s": time.time()})
    if known is None:
        openings.show(connection, row.id)


def reviewer_row(row: Row[Any]) -> Reviewer:
    """Make a Reviewer of a row of its table."""
    return Reviewer(id=row.id, pseudonym=row.pseudonym, role=row.role, scripted=bool(row.scripted))


def open_assignments(connection: Connection, reviewer_id: int, count: int, with_video: bool) -> tuple[list[Assignment], bool]:
    """Up to ``count`` pairs that were given to a reviewer and wait for an answer, oldest first; and whether their leases last a while."""
    now = time.time()
    rows = connection.execute(_WAITING[with_video], {"reviewer_id": reviewer_id, "count": count, "now": now}).all()
    return with_clips(connection, rows), not any(_ends_soon(row, now) for row in rows)


def give(connection: Connection, reviewer_id: int, count: int, with_video: bool) -> tuple[list[Any], list[bool]]:
    """The same rows, after renewing their leases, and after giving as many others as are missing; and which are mirrored.

    The clips can be looked up (``with_clips``) when the write lock is no longer held.
    """
    now = time.time()
    who = {"reviewer_id": reviewer_id, "count": count, "now": now}
    rows = connection.execute(_WAITING[with_video], who).all()
    for row in rows:
        if _ends_soon(row, now):
            connection.execute(_RENEW, {"number": row.id, "until": now + LEASE_S})
    fresh: Sequence[Any] = []
    if len(rows) < count:
        fresh = openings.fresh(connection, {**who, "count": count - len(rows)}, with_video)
    sides = [assign(connection, row, reviewer_id) for row in fresh]
    return [*rows, *fresh], [*(bool(row.mirrored) for row in rows), *sides]


def _ends_soon(row: Any, now: float) -> bool:
    return row.labels_wanted is not None and (row.lease_until_unix_s or 0.0) < now + LEASE_S / 2


def with_clips(connection: Connection, rows: Sequence[Any], mirrored: Sequence[bool] | None = None) -> list[Assignment]:
    """Make assignments of rows of ``ASSIGNED``, or of others that are told apart whether they are mirrored."""
    ids = sorted({clip_id for row in rows for clip_id in (row.clip_a, row.clip_b)})
    clips = {row["id"]: clip_row(row) for row in connection.execute(_CLIPS_OF_IDS, {"clip_ids": ids}).mappings()} if ids else {}
    sides = [bool(row.mirrored) for row in rows] if mirrored is None else mirrored
    return [
        Assignment(row.pair_id, clips[row.clip_a], clips[row.clip_b], row.reason, side, row.answer, row.lesson)
        for row, side in zip(rows, sides, strict=True)
    ]


def said(connection: Connection, reviewer_id: int, count: int, before: int | None = None) -> list[Said]:
    """A reviewer's standing answers, newest first; those before a label's number, if one is given."""
    query = SAID.limit(count) if before is None else SAID.where(label.c.id < before).limit(count)
    return _as_said(connection, connection.execute(query, {"reviewer_id": reviewer_id}).all())


def said_of(connection: Connection, reviewer_id: int, label_id: int) -> Said | None:
    """One of a reviewer's standing answers, by its number."""
    rows = connection.execute(SAID.where(label.c.id == label_id), {"reviewer_id": reviewer_id}).all()
    return next(iter(_as_said(connection, rows)), None)


def _as_said(connection: Connection, rows: Sequence[Any]) -> list[Said]:
    shown = with_clips(connection, rows)
    return [Said(row.label_id, pair_shown, row.choice, row.created_unix_s) for row, pair_shown in zip(rows, shown, strict=True)]


def now_s() -> float:
    """What leases go by [s since 1970]."""
    return time.time()


def pace_s(connection: Connection, reviewer_id: int) -> float | None:
    """How long a reviewer usually takes for an answer [s]; None before the fifth."""
    times = sorted(connection.execute(MEDIAN_LATENCIES, {"reviewer_id": reviewer_id}).scalars())
    return float(times[len(times) // 2]) if len(times) >= 5 else None


def asked(connection: Connection, reviewer_id: int, pair_id: int) -> Any:
    """Find the row of ``ASKED``; None if there is no such reviewer or pair."""
    who_and_what = {"reviewer_id": reviewer_id, "pair_id": pair_id, "now": time.time()}
    return connection.execute(ASKED, who_and_what).one_or_none()


def assign(connection: Connection, asked: Any, reviewer_id: int, mirrored: bool | None = None, hold: bool = True) -> bool:
    """Give a pair to a reviewer, unless they have it; tells whether its first clip is on the right.

    Unless told, the sides look random, but depend only on who and what, so that a study repeats. With ``hold`` they have a place for a
    while in a pair that wants so many labels. ``asked`` is the row of ``ASKED``.
    """
    if asked.mirrored is not None:
        return bool(asked.mirrored)
    if mirrored is None:
        who_and_what = [asked.pseudonym, asked.clip_a, asked.clip_b, asked.reason]
        mirrored = bool(hashlib.sha256(json.dumps(who_and_what).encode()).digest()[0] & 1)
    now = time.time()
    until = now + LEASE_S if hold and asked.labels_wanted is not None else None
    values = {"reviewer_id": reviewer_id, "pair_id": asked.pair_id, "mirrored": int(mirrored), "created_unix_s": now}
    connection.execute(_new_assignment, {**values, "lease_until_unix_s": until, "label_id": None})
    return mirrored


def pair_of(connection: Connection, clip_a: str, clip_b: str, reason: str, labels_wanted: int | None = None, **known: Any) -> int:
    """Find or make the pair of two clips, in this order and for this reason; gives its id.

    What is known of a new one may be told: ``answer`` and ``lesson``.
    """
    question = {"clip_a": clip_a, "clip_b": clip_b, "reason": reason}
    same = connection.execute(_same_pair, question).scalar()
    if same is not None:
        return int(same)
    values = {"answer": None, "lesson": "", **known, **question, "labels_wanted": labels_wanted, "created_unix_s": time.time()}
    pair_id = new_id(connection.execute(_new_pair, values))
    openings.keep(connection, pair_id, labels_wanted)
    return pair_id


def sent_before(connection: Connection, reviewer_id: int, client_key: str) -> Row[Any] | None:
    """Find a reviewer's label row by its client key."""
    return connection.execute(LABEL_OF_KEY, {"reviewer_id": reviewer_id, "client_key": client_key}).one_or_none()


def add_label_row(connection: Connection, values: Mapping[str, Any], asked: Any, reasons: Sequence[str] = (), comment: str = "") -> int:
    """Write a label or an undo, now unless it says when, with its remark and its entry in the audit log; gives its id.

    ``asked`` is the row of ``ASKED`` from before.
    """
    row = {"created_unix_s": time.time(), "latency_s": 0.0, "replays": 0, "undoes": None, **values}
    row |= {"attempt": asked.attempts, "mirrored": int(values["mirrored"])}
    label_id = new_id(connection.execute(_new_label, row))
    undone = row["choice"] == "undo"
    who_and_what = {"who": row["reviewer_id"], "what": row["pair_id"]}
    connection.execute(_SETTLE, {**who_and_what, "standing": None if undone else label_id})
    openings.keep(connection, row["pair_id"], asked.labels_wanted)
    if reasons or comment:
        connection.execute(_new_remark, {"label_id": label_id, "reasons": ",".join(reasons), "comment": comment})
    audit.note(connection, "undid" if undone else "answered", "label", label_id, row["reviewer_id"], actor=asked.pseudonym)
    return label_id


def label_row(row: RowMapping) -> LabelRow:
    """Make a LabelRow of a row of ``LABELS``."""
    values = {name: row[name] for name in LabelRow.__dataclass_fields__ if name != "reviewer"}
    values |= {"reviewer": row["pseudonym"], "scripted": bool(row["scripted"]), "mirrored": bool(row["mirrored"])}
    values |= {"reasons": tuple(row["reasons"].split(",")) if row["reasons"] else (), "comment": row["comment"] or ""}
    return LabelRow(**values)


def takeover_row(row: RowMapping) -> TakeoverRow:
    """Make a TakeoverRow of a row of ``TAKEOVERS``."""
    values = {name: row[name] for name in TakeoverRow.__dataclass_fields__ if name != "reviewer"}
    values |= {"reviewer": row["pseudonym"], "scripted": bool(row["scripted"])}
    for name in ("driver_actions", "person_actions"):
        values[name] = tuple(tuple(step) if isinstance(step, list) else step for step in json.loads(row[name]))
    return TakeoverRow(**values)


def ride_row(row: RowMapping) -> RideRow:
    """Make a RideRow of a row of ``RIDES``."""
    values = {name: row[name] for name in RideRow.__dataclass_fields__ if name != "reviewer"}
    return RideRow(**values, reviewer=row["pseudonym"])


def new_id(result: Any) -> int:
    """Number of the row just inserted."""
    return int(result.inserted_primary_key[0])
