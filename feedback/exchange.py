"""Labels in files, JSON Lines and Parquet, both ways. Rows name clips by hash and reviewers by pseudonym, so they travel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from feedback import checks, queries
from feedback.database import StoreError, writing
from feedback.store import Store
from feedback.tables import reviewer
from sensors.errors import unknown_name

COLUMNS: dict[str, tuple[type, ...]] = {
    "clip_a": (str,),
    "clip_b": (str,),
    "reason": (str,),
    "reviewer": (str,),
    "scripted": (bool,),
    "choice": (str,),
    "latency_s": (float, int),
    "replays": (int,),
    "mirrored": (bool,),
    "client_key": (str,),
    "created_unix_s": (float, int),
    "reasons": (list,),
    "comment": (str,),
}
"""What a row holds, and the types that JSON may give it."""

LATER_COLUMNS: dict[str, Any] = {"reasons": [], "comment": ""}
"""What files of earlier versions lack, and what that means."""

SUFFIXES = (".jsonl", ".parquet")


def export_labels(store: Store, path: Path) -> int:
    """Write a study's active labels, oldest first.

    Args:
        store: The study's store.
        path: File to write; its suffix chooses the format: .jsonl or .parquet.

    Returns:
        How many labels were written.

    Raises:
        StoreError: If the suffix is another, or the file cannot be written.
    """
    rows = [{name: getattr(label, name) for name in COLUMNS} | {"reasons": list(label.reasons)} for label in store.labels()]
    unfinished = path.with_name(path.name + ".tmp")
    try:
        if path.suffix == ".jsonl":
            unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        elif path.suffix == ".parquet":
            _write_parquet(rows, unfinished)
        else:
            raise StoreError(f"cannot write labels to {path}: suffix {path.suffix!r}, expected .jsonl or .parquet")
        unfinished.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write labels to {path}: {error.strerror}; check the folder and the space left") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return len(rows)


def import_labels(store: Store, path: Path) -> int:
    """Read labels that ``export_labels`` wrote: all of them, or on any error none.

    Pairs and reviewers that the study lacks are added (the reviewers without a token); clips must be there. Labels that the study has
    already are left alone.

    Args:
        store: The study's store.
        path: The file; its suffix tells the format: .jsonl or .parquet.

    Returns:
        How many labels were new.

    Raises:
        StoreError: If the file cannot be read.
        LabelRejected: If a line is not a label, names a missing clip, or contradicts the study; it says which.
    """
    added = 0
    with writing(store.engine) as connection:
        for number, row in enumerate(_rows(path), start=1):
            try:
                added += _import_row(connection, row)
            except StoreError as error:
                raise checks.LabelRejected(f"{path} line {number}: {error}; no line was imported") from error
    return added


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix not in SUFFIXES:
        raise StoreError(f"cannot read labels from {path}: suffix {path.suffix!r}, expected .jsonl or .parquet")
    try:
        if path.suffix == ".parquet":
            for number, row in enumerate(_read_parquet(path), start=1):
                yield _checked(f"{path} line {number}", row)
            return
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _row(f"{path} line {number}", line)
    except OSError as error:
        raise StoreError(f"cannot read labels from {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"cannot read labels from {path}: not UTF-8 text; give a .jsonl file") from error


def _row(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise checks.LabelRejected(f"{where}: not JSON ({error.msg}); no line was imported") from error
    if not isinstance(row, dict):
        raise checks.LabelRejected(f"{where}: expected an object, got {type(row).__name__}; no line was imported")
    return _checked(where, row)


def _checked(where: str, row: dict[str, Any]) -> dict[str, Any]:
    row = LATER_COLUMNS | row
    for name in row:
        if name not in COLUMNS:
            raise checks.LabelRejected(f"{where}: {unknown_name('key', name, COLUMNS)}; no line was imported")
    for name, types in COLUMNS.items():
        if type(row.get(name)) not in types:
            wanted = " or ".join(kind.__name__ for kind in types)
            raise checks.LabelRejected(f"{where}: {name} is {row.get(name)!r}, expected {wanted}; no line was imported")
    for reason in row["reasons"]:
        if type(reason) is not str:
            raise checks.LabelRejected(f"{where}: reasons has {reason!r}, expected words; no line was imported")
    return row


def _import_row(connection: Connection, row: dict[str, Any]) -> int:
    checks.check_answer(row["choice"], row["latency_s"], row["replays"])
    checks.check_remark(row["reasons"], row["comment"])
    checks.checked_key(row["client_key"])
    checks.check_pair(connection, row["clip_a"], row["clip_b"])
    pair_id = queries.pair_of(connection, row["clip_a"], row["clip_b"], row["reason"])
    reviewer_id = _reviewer_of(connection, row["reviewer"], row["scripted"])
    if checks.sent_label(connection, reviewer_id, row["client_key"], pair_id, row["choice"]) is not None:
        return 0
    asked = checks.require_open_pair(connection, reviewer_id, pair_id)
    kept = {name: row[name] for name in ("choice", "latency_s", "replays", "mirrored", "client_key", "created_unix_s")}
    queries.assign(connection, asked, reviewer_id, row["mirrored"])
    queries.add_label_row(connection, {"reviewer_id": reviewer_id, "pair_id": pair_id, **kept}, asked, row["reasons"], row["comment"])
    return 1


def _reviewer_of(connection: Connection, pseudonym: str, scripted: bool) -> int:
    known = connection.execute(select(reviewer.c.id, reviewer.c.scripted).where(reviewer.c.pseudonym == pseudonym)).one_or_none()
    if known is None:
        checks.check_name(pseudonym)
        values = {"pseudonym": pseudonym, "role": "reviewer", "scripted": int(scripted), "created_unix_s": time.time()}
        return queries.new_id(connection.execute(insert(reviewer).values(values)))
    if bool(known.scripted) != scripted:
        raise StoreError(f"reviewer {pseudonym!r} is {'a script' if known.scripted else 'a person'} in this study, and not in the file")
    return int(known.id)


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow  # 0.2 s that the server's start need not wait for
    import pyarrow.parquet

    kinds = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        list: pyarrow.list_(pyarrow.string()),
    }
    schema = pyarrow.schema([(name, kinds[types[0]]) for name, types in COLUMNS.items()])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise StoreError(f"cannot read labels from {path}: no readable Parquet file ({' '.join(str(error).split())[:200]})") from error
    return rows
