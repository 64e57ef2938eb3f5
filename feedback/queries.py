"""The store's questions to its tables, and how rows become dataclasses."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, Select, exists, func, insert, or_, select

from feedback.rows import Assignment, ClipRow, LabelRow, Reviewer, TakeoverRow
from feedback.tables import assignment, clip, label, pair, reviewer, takeover, video


def select_clips() -> Select[Any]:
    """Every clip with its latest video."""
    other = video.alias()
    latest = select(func.max(other.c.id)).where(other.c.clip_id == clip.c.id).correlate(clip).scalar_subquery()
    columns = (video.c.path.label("video_path"), video.c.sha256.label("video_sha256"), video.c.frames_per_s.label("video_frames_per_s"))
    return select(clip, *columns).select_from(clip.outerjoin(video, video.c.id == latest))


def clip_row(row: RowMapping) -> ClipRow:
    """Make a ClipRow of a row of ``select_clips``."""
    values = {name: row[name] for name in ClipRow.__dataclass_fields__}
    if values["video_frames_per_s"] is None:
        del values["video_frames_per_s"]
    return ClipRow(**values)


def add_video(connection: Connection, row: ClipRow) -> None:
    """Note a clip's video, unless the same is the latest noted."""
    latest = select(video.c.path, video.c.sha256).where(video.c.clip_id == row.id).order_by(video.c.id.desc()).limit(1)
    known = connection.execute(latest).one_or_none()
    if known is not None and (known.path, known.sha256) == (row.video_path, row.video_sha256):
        return
    values = {"clip_id": row.id, "path": row.video_path, "sha256": row.video_sha256, "frames_per_s": row.video_frames_per_s}
    connection.execute(insert(video).values(**values, created_unix_s=time.time()))


def reviewer_row(row: Row[Any]) -> Reviewer:
    """Make a Reviewer of a row of its table."""
    return Reviewer(id=row.id, pseudonym=row.pseudonym, role=row.role, scripted=bool(row.scripted))


def standing(*columns: ColumnElement[Any]) -> Select[Any]:
    """Labels that nobody has taken back; undos are none."""
    undo = label.alias()
    taken_back = exists().where(undo.c.undoes == label.c.id)
    return select(*(columns or label.c)).where(label.c.undoes.is_(None), ~taken_back)


def latest_standing(reviewer_id: int) -> Select[Any]:
    """A reviewer's latest label that was not taken back."""
    return standing().where(label.c.reviewer_id == reviewer_id).order_by(label.c.id.desc()).limit(1)


def select_open_pairs(reviewer_id: int, with_video: bool) -> Select[Any]:
    """Pairs (their ids) that a reviewer can still answer."""
    mine = standing(label.c.pair_id).where(label.c.reviewer_id == reviewer_id)
    answers = standing(func.count()).where(label.c.pair_id == pair.c.id).correlate(pair).scalar_subquery()
    query = select(pair.c.id).where(pair.c.id.not_in(mine), or_(pair.c.labels_wanted.is_(None), answers < pair.c.labels_wanted))
    if with_video:
        for side in (pair.c.clip_a, pair.c.clip_b):
            query = query.where(side.in_(select(video.c.clip_id)))
    return query


def select_assigned(reviewer_id: int) -> Select[Any]:
    """Pairs as they were given to a reviewer, oldest first."""
    columns = (assignment.c.pair_id, assignment.c.mirrored, pair.c.clip_a, pair.c.clip_b, pair.c.reason)
    query = select(*columns).select_from(assignment.join(pair, pair.c.id == assignment.c.pair_id))
    return query.where(assignment.c.reviewer_id == reviewer_id).order_by(assignment.c.id)


def open_assignments(connection: Connection, reviewer_id: int, count: int, with_video: bool) -> list[Assignment]:
    """Up to ``count`` pairs that were given to a reviewer and wait for an answer, oldest first."""
    waiting = select_assigned(reviewer_id).where(pair.c.id.in_(select_open_pairs(reviewer_id, with_video))).limit(count)
    return with_clips(connection, connection.execute(waiting).all())


def with_clips(connection: Connection, rows: Sequence[Row[Any]]) -> list[Assignment]:
    """Make assignments of rows of ``select_assigned``."""
    ids = {clip_id for row in rows for clip_id in (row.clip_a, row.clip_b)}
    clips = {row["id"]: clip_row(row) for row in connection.execute(select_clips().where(clip.c.id.in_(ids))).mappings()}
    return [Assignment(row.pair_id, clips[row.clip_a], clips[row.clip_b], row.reason, bool(row.mirrored)) for row in rows]


def assign(connection: Connection, reviewer_id: int, pair_id: int, mirrored: bool | None = None) -> bool:
    """Give a pair to a reviewer, unless they have it; tells whether its first clip is on the right.

    Unless told, the sides look random, but depend only on who and what, so that a study repeats.
    """
    known = select(assignment.c.mirrored).where(assignment.c.reviewer_id == reviewer_id, assignment.c.pair_id == pair_id)
    shown = connection.execute(known).scalar()
    if shown is not None:
        return bool(shown)
    if mirrored is None:
        pseudonym = connection.execute(select(reviewer.c.pseudonym).where(reviewer.c.id == reviewer_id)).scalar_one()
        question = connection.execute(select(pair.c.clip_a, pair.c.clip_b, pair.c.reason).where(pair.c.id == pair_id)).one()
        mirrored = bool(hashlib.sha256(json.dumps([pseudonym, *question]).encode()).digest()[0] & 1)
    values = {"reviewer_id": reviewer_id, "pair_id": pair_id, "mirrored": int(mirrored), "created_unix_s": time.time()}
    connection.execute(insert(assignment).values(values))
    return mirrored


def pair_of(connection: Connection, clip_a: str, clip_b: str, reason: str, labels_wanted: int | None = None) -> int:
    """Find or make the pair of two clips, in this order and for this reason; gives its id."""
    same = (pair.c.clip_a == clip_a, pair.c.clip_b == clip_b, pair.c.reason == reason)
    known = connection.execute(select(pair.c.id).where(*same)).scalar()
    if known is not None:
        return int(known)
    values = {"clip_a": clip_a, "clip_b": clip_b, "reason": reason, "labels_wanted": labels_wanted, "created_unix_s": time.time()}
    return new_id(connection.execute(insert(pair).values(values)))


def sent_before(connection: Connection, reviewer_id: int, client_key: str) -> Row[Any] | None:
    """Find a reviewer's label row by its client key."""
    return connection.execute(select(label).where(label.c.reviewer_id == reviewer_id, label.c.client_key == client_key)).one_or_none()


def add_label_row(connection: Connection, values: Mapping[str, Any]) -> int:
    """Write a label or an undo, now unless it says when; gives its id."""
    same = (label.c.reviewer_id == values["reviewer_id"], label.c.pair_id == values["pair_id"])
    attempt = connection.execute(select(func.count()).select_from(label).where(*same)).scalar_one()
    row = {"created_unix_s": time.time(), "latency_s": 0.0, "replays": 0, **values, "attempt": attempt}
    return new_id(connection.execute(insert(label).values(row)))


def select_labels(active: bool) -> Select[Any]:
    """Labels with their pairs and reviewers, oldest first."""
    columns = [*label.c, pair.c.clip_a, pair.c.clip_b, pair.c.reason, reviewer.c.pseudonym, reviewer.c.scripted]
    joined = label.join(pair, pair.c.id == label.c.pair_id).join(reviewer, reviewer.c.id == label.c.reviewer_id)
    query = select(*columns).select_from(joined)
    if active:
        query = query.where(label.c.id.in_(standing(label.c.id)))
    return query.order_by(label.c.id)


def label_row(row: RowMapping) -> LabelRow:
    """Make a LabelRow of a row of ``select_labels``."""
    values = {name: row[name] for name in LabelRow.__dataclass_fields__ if name != "reviewer"}
    values |= {"reviewer": row["pseudonym"], "scripted": bool(row["scripted"]), "mirrored": bool(row["mirrored"])}
    return LabelRow(**values)


def select_takeovers() -> Select[Any]:
    """Takeovers with their reviewers, oldest first."""
    joined = takeover.join(reviewer, reviewer.c.id == takeover.c.reviewer_id)
    query = select(takeover, reviewer.c.pseudonym, reviewer.c.scripted).select_from(joined)
    return query.order_by(takeover.c.id)


def takeover_row(row: RowMapping) -> TakeoverRow:
    """Make a TakeoverRow of a row of ``select_takeovers``."""
    values = {name: row[name] for name in TakeoverRow.__dataclass_fields__ if name != "reviewer"}
    values |= {"reviewer": row["pseudonym"], "scripted": bool(row["scripted"])}
    for name in ("driver_actions", "person_actions"):
        values[name] = tuple(tuple(step) if isinstance(step, list) else step for step in json.loads(row[name]))
    return TakeoverRow(**values)


def new_id(result: Any) -> int:
    """Number of the row just inserted."""
    return int(result.inserted_primary_key[0])
