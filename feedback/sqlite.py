"""Studies in SQLite files: a write-ahead log that is on disk before a write returns, and threads that share one commit.

Waiting for the disk is most of what a small write takes. Threads of one program stand in line to write; those who stand in line together
write one after the other into one transaction, which the last of them commits, and none of them goes on before it is on disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event

from feedback.database import KEPT, StoreError

MOST_IN_ONE_COMMIT = 16
"""Those who wait for the commit wait for all of them."""
LOOK_AGAIN_S = 0.1
"""Whoever waits for another's commit looks after it so often, in case that other came to harm [s]."""


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
        self._patience_s = busy_timeout_s
        self._turn, self._counting = Lock(), Lock()
        self._waiting = 0
        self._group: _Group | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection that holds the write lock; what was written is on disk when the context ends."""
        with self._in_turn():
            group = self._group or _Group(self.engine.connect().execution_options(writes=True))
            self._group = group
            try:
                with group.member() as connection:
                    yield connection
            finally:
                if self._waiting == 0 or group.members >= MOST_IN_ONE_COMMIT or group.broken:
                    self._group = None
                    group.end()
        while not group.ended.wait(LOOK_AGAIN_S):
            with self._turn:
                if self._group is group:
                    self._group = None
                    group.end()
        group.check()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        with self._counting:
            self._waiting += 1
        try:
            got_it = self._turn.acquire(timeout=self._patience_s)
        finally:
            with self._counting:
                self._waiting -= 1
        if not got_it:  # who is at it waits for another program, and so would all who stand in line, one after the other
            raise StoreError(self._locked(str(self.engine.url.database)))
        try:
            yield
        finally:
            self._turn.release()

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


class _Group:
    """One transaction, and those who write into it, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self.members = 0
        self.ended = Event()
        self.broken = False
        self._connection = connection
        self._error: BaseException | None = None
        try:
            self._transaction = connection.begin()
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def member(self) -> Iterator[Connection]:
        """Write into the transaction; whoever fails leaves no trace in it."""
        savepoint = self._connection.begin_nested() if self.members else None
        try:
            yield self._connection
            if savepoint is not None:
                savepoint.commit()
        except BaseException as error:
            if savepoint is None or not self._driver().in_transaction:  # SQLite itself ends a transaction when its disk fails
                self.broken, self._error = True, error
            else:
                savepoint.rollback()
            raise
        self.members += 1

    def end(self) -> None:
        """Commit, or roll back if it is broken; tells those who wait. Errors are for ``check``."""
        try:
            if self.broken:
                self._transaction.rollback()
            else:
                self._transaction.commit()
        except BaseException as error:
            self.broken, self._error = True, self._error or error
            if self._driver().in_transaction:
                self._driver().rollback()
        finally:
            self.ended.set()
            self._connection.close()

    def check(self) -> None:
        """Raise what kept the transaction from being committed."""
        if self._error is not None:
            raise self._error

    def _driver(self) -> Any:
        return self._connection.connection.driver_connection


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
