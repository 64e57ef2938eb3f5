"""A study's SQLite database: opened durable, brought to the current schema, its failures in one clear line each."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from feedback.tables import SCHEMA_REVISIONS
from sensors.errors import DriveFusionError

MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(DriveFusionError):
    """A study's database that cannot be opened, read or written."""


def open_database(url: str | Path, busy_timeout_s: float) -> Engine:
    """Open a study's database, making or upgrading it as needed.

    Args:
        url: A file, or ``sqlite:///FILE``.
        busy_timeout_s: How long to wait for another program's write [s].

    Raises:
        StoreError: If it is no such database, newer than this program, locked, read-only or damaged.
    """
    url_text = str(url) if "://" in str(url) else f"sqlite:///{url}"
    try:
        parsed = make_url(url_text)
    except ArgumentError as error:
        raise StoreError(f"cannot open store {str(url)!r}: no database URL; give a file, or sqlite:///FILE") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        where = parsed.render_as_string(hide_password=True)
        raise StoreError(f"cannot open store {where!r}: studies are kept in SQLite files; give a file, or sqlite:///FILE")
    folder = Path(parsed.database.removeprefix("file:")).parent
    if not folder.is_dir():
        raise StoreError(f"cannot open store {parsed.database!r}: folder {str(folder)!r} does not exist; make it or check the path")
    engine = create_engine(parsed, connect_args={"timeout": busy_timeout_s, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    try:
        with plain_errors(engine):
            _bring_to_current_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one consistent state."""
    with plain_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


_LINES: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()
_LINES_LOCK = Lock()


def _line_of(engine: Engine) -> Lock:
    """Threads of one program stand in line to write: SQLite's own waiting is by sleeping and trying again, up to 0.1 s at a time."""
    with _LINES_LOCK:
        return _LINES.setdefault(engine, Lock())


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection that holds the write lock from its start, so that what it reads is still true when it writes."""
    with _line_of(engine), plain_errors(engine), engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """Turn a database's own errors into a ``StoreError`` that says what to do."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreError(f"{engine.url.database}: too many requests at once; nothing was written, try again") from error
    except DBAPIError as error:
        raise StoreError(_plain_words(str(engine.url.database), error)) from error


def _plain_words(where: str, error: DBAPIError) -> str:
    cause = str(error.orig).lower()
    kept = "what was stored before is safe, this was not written"
    if "locked" in cause or "busy" in cause:
        return f"{where}: locked by another program; {kept}; close that program or try again"
    if "readonly" in cause:
        return f"{where}: read-only; {kept}; allow writing to the file and its folder"
    if "full" in cause or "disk i/o error" in cause or "too big" in cause:
        return f"{where}: disk full or failing ({error.orig}); {kept}; free some space and try again"
    if "unable to open" in cause:
        return f"{where}: cannot be opened; check that the folder exists and may be written to"
    if "not a database" in cause or "malformed" in cause:
        return f"{where}: no readable SQLite database ({error.orig}); restore it from a copy, or give another file"
    return f"{where}: {error.orig}; {kept}"


def _prepare_connection(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions start where we say (see _begin), not where the sqlite3 module guesses
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA recursive_triggers=ON")  # or INSERT OR REPLACE would delete rows behind the append-only triggers' back
    cursor.execute("PRAGMA secure_delete=ON")  # an erased identity is overwritten, not merely unlinked
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # SQLite does not wait for the lock here, whatever the timeout: two programs may be opening a new study together.
    for _ in range(50):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA journal_mode=WAL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _bring_to_current_schema(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        if _revision(connection, engine) == SCHEMA_REVISIONS[-1]:
            return
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if _revision(connection, engine) != SCHEMA_REVISIONS[-1]:  # another program may have been first
            _migrate(connection)


def _revision(connection: Connection, engine: Engine) -> str | None:
    names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
    if not names:
        return None
    if "alembic_version" not in names:
        raise StoreError(
            f"{engine.url.database}: a SQLite database of another program (tables: {', '.join(sorted(names))}); give another file"
        )
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if revision not in SCHEMA_REVISIONS:
        raise StoreError(
            f"{engine.url.database}: schema {revision!r} is newer than this program, which knows up to {SCHEMA_REVISIONS[-1]!r}; "
            "nothing was changed; update drive-fusion"
        )
    return str(revision)


def _migrate(connection: Connection) -> None:
    from alembic import command  # slow to import, and needed once in a study's life
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
