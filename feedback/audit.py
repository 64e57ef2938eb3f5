"""The audit log: every opinion and every change of who may come in, each entry chained to the one before by SHA-256.

An entry of an opinion carries the digest of its row, so that the log finds changes of the rows too, made behind the triggers' back. What
a chain cannot show by itself is that its newest entries were cut off together with their rows: note the head that ``verify`` prints, and
ask for it later.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, literal_column, select

from feedback.database import reading
from feedback.tables import audit, label, pair, rating, remark, reviewer, ride, takeover

START = "0" * 64
"""What the first entry names as the one before it."""

_LABELS = (
    select(
        *(label.c[name] for name in label.c.keys()),
        pair.c.clip_a,
        pair.c.clip_b,
        pair.c.reason.label("pair_reason"),
        remark.c.reasons,
        remark.c.comment,
    )
    .select_from(label.join(pair, pair.c.id == label.c.pair_id).outerjoin(remark, remark.c.label_id == label.c.id))
    .order_by(label.c.id)
)
OPINIONS: dict[str, tuple[Select[Any], Any]] = {
    "label": (_LABELS, label.c.id),
    "takeover": (select(takeover).order_by(takeover.c.id), takeover.c.id),
    "ride": (select(ride).order_by(ride.c.id), ride.c.id),
    "rating": (select(rating).order_by(rating.c.id), rating.c.id),
}
"""The rows that are opinions, with what gives them their meaning (a label's clips and remark), and their numbers."""

_ROW_OF = {table: query.where(number == bindparam("row_id")) for table, (query, number) in OPINIONS.items()}
_last = select(audit.c.id, audit.c.sha256).order_by(audit.c.id.desc()).limit(literal_column("1"))  # PostgreSQL plans it once only
_new = insert(audit)
_pseudonym = select(reviewer.c.pseudonym).where(reviewer.c.id == bindparam("reviewer_id"))


def note(
    connection: Connection,
    event: str,
    subject: str,
    subject_id: int,
    reviewer_id: int | None = None,
    *,
    actor: str | None = None,
    **detail: Any,
) -> None:
    """Write an entry, in the transaction of what it is about.

    Args:
        connection: One that holds the write lock.
        event: What happened, in a word or two.
        subject: Table of what it happened to; of an opinion the row's digest is noted too.
        subject_id: Number there.
        reviewer_id: Who did it; None: whoever runs the study, at the console.
        actor: Their pseudonym, where it is known already.
        detail: More; never a person's name, which could not be erased from here.
    """
    if actor is None:
        actor = "console" if reviewer_id is None else connection.execute(_pseudonym, {"reviewer_id": reviewer_id}).scalar_one()
    if subject in OPINIONS:
        detail["row_sha256"] = digest(dict(connection.execute(_ROW_OF[subject], {"row_id": subject_id}).mappings().one()))
    last = connection.execute(_last).one_or_none()
    entry = {
        "id": 1 if last is None else last.id + 1,
        "event": event,
        "subject": subject,
        "subject_id": subject_id,
        "actor": str(actor),
        "detail": json.dumps(detail, sort_keys=True),
        "created_unix_s": time.time(),
        "previous_sha256": START if last is None else last.sha256,
    }
    connection.execute(_new, {**entry, "sha256": _chained(entry)})


def adopt(connection: Connection) -> None:
    """Note every opinion of a study that is older than the log."""
    for table, (_, number) in OPINIONS.items():
        owners = {"label": label, "takeover": takeover, "ride": ride, "rating": rating}[table]
        for row_id, owner in connection.execute(select(number, owners.c.reviewer_id).order_by(number)).all():
            note(connection, "adopted", table, row_id, owner)


def digest(row: dict[str, Any]) -> str:
    """SHA-256 of a row, hexadecimal; the same in any database."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _chained(entry: Mapping[str, Any]) -> str:
    return digest({name: entry[name] for name in audit.c.keys() if name != "sha256"})


@dataclass(frozen=True)
class Entry:
    """One entry, as people read it."""

    id: int
    event: str
    subject: str
    subject_id: int
    actor: str
    created_unix_s: float
    sha256: str


@dataclass(frozen=True)
class Verdict:
    """What a check of the log found."""

    entries: int
    """How many there are."""
    head: str
    """SHA-256 of the newest: who keeps it can later prove that nothing before it was cut off."""
    problems: tuple[str, ...]
    """One line for each thing that is wrong."""


def entries(engine: Any, count: int, before: int | None = None) -> list[Entry]:
    """List entries, newest first.

    Args:
        engine: The study's database.
        count: At most so many.
        before: Only those with smaller numbers.
    """
    names = tuple(Entry.__dataclass_fields__)
    query = select(*(audit.c[name] for name in names)).order_by(audit.c.id.desc()).limit(count)
    if before is not None:
        query = query.where(audit.c.id < before)
    with reading(engine) as connection:
        return [Entry(**row) for row in connection.execute(query).mappings()]


def verify(engine: Any, head: str | None = None) -> Verdict:
    """Check the whole chain, and every opinion against it.

    Args:
        engine: The study's database.
        head: A head that was noted before; it must still be in the chain.

    Returns:
        What is wrong: changed, removed or reordered entries; opinions that were changed, removed or never noted.
    """
    with reading(engine) as connection:
        log = [dict(row) for row in connection.execute(select(audit).order_by(audit.c.id)).mappings()]
        rows = {
            table: {row["id"]: digest(dict(row)) for row in connection.execute(query).mappings()} for table, (query, _) in OPINIONS.items()
        }
    problems = [*_broken_links(log), *_strayed_rows(log, rows)]
    if head is not None and head not in {START, *(entry["sha256"] for entry in log)}:
        problems.append(f"head {head[:12]}… is not in the log: its newest entries were cut off, or it is another study's")
    return Verdict(len(log), log[-1]["sha256"] if log else START, tuple(problems))


def _broken_links(log: list[dict[str, Any]]) -> Iterator[str]:
    before = START
    for number, entry in enumerate(log, start=1):
        if entry["id"] != number:
            yield f"entry {number} is missing: {entry['id']} stands in its place"
            return
        if entry["sha256"] != _chained(entry):
            yield f"entry {number} was changed: its content does not give its hash"
        elif entry["previous_sha256"] != before:
            yield f"entry {number} does not follow entry {number - 1}: entries were changed, removed or reordered"
        before = entry["sha256"]


def _strayed_rows(log: list[dict[str, Any]], rows: dict[str, dict[int, str]]) -> Iterator[str]:
    noted: dict[str, dict[int, str]] = {table: {} for table in rows}
    for entry in log:
        table, number = entry["subject"], entry["subject_id"]
        if table not in rows:
            continue
        if number in noted[table]:
            yield f"{table} {number} is in the log twice"
        if noted[table] and number < max(noted[table]):
            yield f"{table} {number} was noted after a later one"
        try:
            noted[table][number] = json.loads(entry["detail"])["row_sha256"]
        except (ValueError, KeyError, TypeError):
            noted[table][number] = ""
    for table, found in rows.items():
        for number in sorted(found.keys() | noted[table].keys()):
            if number not in found:
                yield f"{table} {number} was removed"
            elif number not in noted[table]:
                yield f"{table} {number} was added behind the log's back"
            elif found[number] != noted[table][number]:
                yield f"{table} {number} was changed"
