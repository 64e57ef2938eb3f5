"""Studies in SQLite files: a write-ahead log that is on disk before a write returns."""

from __future__ import annotations

import sqlite3
import time
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event

from feedback.database import KEPT, StoreError
from feedback.turns import Turns


class Sqlite:
    """An SQLite file.

    Args:
        url: Which.
        busy_timeout_s: How long to wait for another program's write [s].
    """

    def __init__(self, url: URL, busy_timeout_s: float) -> None:
        # A connection for every thread of the review room: one too many would be made anew for each request.
        options = {"timeout": busy_timeout_s, "check_same_thread": False}
        self.engine = create_engine(url, connect_args=options, pool_size=48, max_overflow=16)
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        where = str(url.database)
        self._turns = Turns(self._connect_to_write, _is_open, busy_timeout_s, lambda: StoreError(self._locked(where)))

    def _connect_to_write(self) -> Connection:
        return self.engine.connect().execution_options(writes=True)

    def writing(self) -> AbstractContextManager[Connection]:
        """Give a connection that holds the write lock; what was written is on disk when the context ends."""
        return self._turns.writing()

    def plain_words(self, where: str, cause: str) -> str | None:
        """Say in one line what an error of SQLite means, if it is known."""
        said = cause.lower()
        if "locked" in said or "busy" in said:
            return self._locked(where)
        if "readonly" in said:
            return f"{where}: read-only; {KEPT}; allow writing to the file and its folder"
        if "full" in said or "disk i/o error" in said or "too big" in said:
            return f"{where}: disk full or failing ({cause}); {KEPT}; free some space and try again"
        if "unable to open" in said:
            return f"{where}: cannot be opened; check that the folder exists and may be written to"
        if "not a database" in said or "malformed" in said:
            return f"{where}: no readable SQLite database ({cause}); restore it from a copy, or give another file"
        return None

    def _locked(self, where: str) -> str:
        return f"{where}: locked by another program; {KEPT}; close that program or try again"

    def forget(self) -> None:
        """Empty the write-ahead log, where a deleted row would otherwise stay readable for a while."""
        connection = self.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _is_open(connection: Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)  # SQLite itself ends a transaction when its disk fails


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
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
