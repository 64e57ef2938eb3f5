"""A study's database: opened durable, brought to the current schema, its failures in one clear line each.

Studies are SQLite files (see ``feedback.sqlite``) or, where several servers share one, PostgreSQL databases (``feedback.postgres``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from feedback.tables import SCHEMA_REVISIONS
from sensors.errors import DriveFusionError

MIGRATIONS = Path(__file__).parent / "migrations"
KEPT = "what was stored before is safe, this was not written"


class StoreError(DriveFusionError):
    """A study's database that cannot be opened, read or written."""


class Kind(Protocol):
    """What differs between kinds of databases."""

    engine: Engine

    def writing(self) -> AbstractContextManager[Connection]:
        """Give a connection that holds the write lock from its start; what was written is on disk when the context ends."""

    def plain_words(self, where: str, cause: str) -> str | None:
        """Say in one line what an error of the database means, if it is known."""

    def forget(self) -> None:
        """Overwrite what deleted rows have left behind."""


_KINDS: WeakKeyDictionary[Engine, Kind] = WeakKeyDictionary()


def open_database(url: str | Path, busy_timeout_s: float) -> Engine:
    """Open a study's database, making or upgrading it as needed.

    Args:
        url: A file, ``sqlite:///FILE``, or ``postgresql://USER@HOST/DATABASE``.
        busy_timeout_s: How long to wait for another program's write [s].

    Raises:
        StoreError: If it is no such database, newer than this program, locked, read-only or damaged, or cannot be reached.
    """
    kind = _open(_parsed(url), busy_timeout_s)
    engine = kind.engine
    _KINDS[engine] = kind
    try:
        with plain_errors(engine):
            _bring_to_current_schema(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def database_of(study: Path) -> str | Path | None:
    """Where a study's database is: what the one line of its ``database.url`` names, or its ``feedback.db``; None if it has neither.

    Raises:
        StoreError: If ``database.url`` cannot be read.
    """
    try:
        if (study / "database.url").is_file():
            return (study / "database.url").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {study / 'database.url'}: {error}; expected one line, e.g. postgresql://USER@HOST/NAME") from error
    return study / "feedback.db" if (study / "feedback.db").is_file() else None


def _parsed(url: str | Path) -> URL:
    text = str(url) if "://" in str(url) else f"sqlite:///{url}"
    try:
        return make_url(text)
    except ArgumentError as error:
        raise StoreError(f"cannot open store {str(url)!r}: no database URL; give a file, or sqlite:///FILE") from error


def _open(url: URL, busy_timeout_s: float) -> Kind:
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "postgresql":
        from feedback.postgres import Postgres

        return Postgres(url, busy_timeout_s)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise StoreError(
            f"cannot open store {where!r}: studies are kept in SQLite files or in PostgreSQL; give a file, sqlite:///FILE, "
            "or postgresql://USER@HOST/DATABASE"
        )
    from feedback.sqlite import Sqlite

    folder = Path(url.database.removeprefix("file:")).parent
    if not folder.is_dir():
        raise StoreError(f"cannot open store {url.database!r}: folder {str(folder)!r} does not exist; make it or check the path")
    return Sqlite(url, busy_timeout_s)


def where_of(engine: Engine) -> str:
    """What to call a database in messages: a file, or a URL without its password."""
    return str(engine.url.database) if engine.dialect.name == "sqlite" else engine.url.render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one consistent state."""
    with plain_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection that holds the write lock from its start, so that what it reads is still true when it writes."""
    with plain_errors(engine), _KINDS[engine].writing() as connection:
        yield connection


def forget_deleted(engine: Engine) -> None:
    """Overwrite what deleted rows have left behind in the database's files, where it can be done."""
    with plain_errors(engine):
        _KINDS[engine].forget()


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """Turn a database's own errors into a ``StoreError`` that says what to do."""
    where = where_of(engine)
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreError(f"{where}: too many requests at once; nothing was written, try again") from error
    except DBAPIError as error:
        cause = " ".join(str(error.orig).split())
        words = _KINDS[engine].plain_words(where, cause) if engine in _KINDS else None
        raise StoreError(words or f"{where}: {cause}; {KEPT}") from error


def _bring_to_current_schema(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        if _revision(connection) == SCHEMA_REVISIONS[-1]:
            return
    with _KINDS[engine].writing() as connection:
        if _revision(connection) != SCHEMA_REVISIONS[-1]:  # another program may have been first
            _migrate(connection)


def _revision(connection: Connection) -> str | None:
    names = set(inspect(connection).get_table_names())
    if not names:
        return None
    where = where_of(connection.engine)
    if "alembic_version" not in names:
        raise StoreError(f"{where}: a database of another program (tables: {', '.join(sorted(names))}); give another")
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if revision not in SCHEMA_REVISIONS:
        raise StoreError(
            f"{where}: schema {revision!r} is newer than this program, which knows up to {SCHEMA_REVISIONS[-1]!r}; "
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
