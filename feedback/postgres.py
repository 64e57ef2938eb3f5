"""Studies in PostgreSQL, for several servers that share one: each write is committed to disk, and writers take turns."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event

from feedback.database import KEPT, StoreError
from feedback.turns import Turns

TURN = 0x64726976
"""Number of the advisory lock that a writer holds: the audit log is one chain, so that there is one writer at a time."""

OUT_OF_REACH = ("connection failed", "connection refused", "closed the connection", "terminat", "shutting down", "starting up")


class Postgres:
    """A PostgreSQL database.

    Args:
        url: Which; as for libpq, what it leaves out comes from the environment (PGPASSWORD, .pgpass, ...).
        busy_timeout_s: How long to wait for another program's write [s].

    Raises:
        StoreError: If psycopg is not installed.
    """

    def __init__(self, url: URL, busy_timeout_s: float) -> None:
        if find_spec("psycopg") is None:
            raise StoreError("a study in PostgreSQL needs psycopg; install drive-fusion[postgres]")
        # What is asked is short, and takes less time than to compile it; without statistics PostgreSQL takes it for long.
        options = f"-c synchronous_commit=on -c lock_timeout={max(1, round(1000 * busy_timeout_s))} -c timezone=UTC -c jit=off"
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"options": options, "connect_timeout": max(2, round(busy_timeout_s))},
            isolation_level="REPEATABLE READ",
            pool_size=24,
            max_overflow=8,
            pool_pre_ping=True,
            pool_use_lifo=True,  # each connection plans its statements anew, ten times over: few are kept warm, the others for a crowd
        )
        # With the lock, every statement sees what is committed by then; a state as of before the lock would be an old one.
        self._writers = self.engine.execution_options(isolation_level="READ COMMITTED", writes=True)
        event.listen(self._writers, "begin", _take_turn)

        where = url.render_as_string(hide_password=True)
        self._turns = Turns(self._writers.connect, _is_open, busy_timeout_s, lambda: StoreError(self._locked(where)))

    def writing(self) -> AbstractContextManager[Connection]:
        """Give a connection whose turn it is; what was written is on disk when the context ends."""
        return self._turns.writing()

    def plain_words(self, where: str, cause: str) -> str | None:
        """Say in one line what an error of PostgreSQL means, if it is known."""
        said = cause.lower()
        if "lock timeout" in said or "deadlock" in said:
            return self._locked(where)
        if "read-only" in said or "permission denied" in said:
            return f"{where}: read-only; {KEPT}; allow this user to write"
        if "no space left" in said or "disk full" in said:
            return f"{where}: disk full or failing ({cause}); {KEPT}; free some space and try again"
        if any(words in said for words in OUT_OF_REACH):
            return f"{where}: cannot be reached ({cause}); {KEPT}; see that PostgreSQL runs there, and try again"
        return None

    def _locked(self, where: str) -> str:
        return f"{where}: locked by another program; {KEPT}; close that program or try again"

    def forget(self) -> None:
        """Write the table of names anew: a deleted row would otherwise stay in its file for a while."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM FULL identity")


def _is_open(connection: Connection) -> bool:
    if connection.invalidated:  # cut: the server has rolled back
        return False
    driver: Any = connection.connection.driver_connection
    return driver.info.transaction_status.name in ("INTRANS", "INERROR")


def _take_turn(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN})")
