"""Writers of one program take turns, and those who stand in line together share one commit.

Waiting for the disk, and for the turn of another program, is most of what a small write takes. Threads of one program stand in line to
write; those who stand in line together write one after the other into one transaction, which the last of them commits, and none of them
goes on before it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

from sqlalchemy import Connection

MOST_IN_ONE_COMMIT = 16
"""Those who wait for the commit wait for all of them."""
LOOK_AGAIN_S = 0.1
"""Whoever waits for another's commit looks after it so often, in case that other came to harm [s]."""


class Turns:
    """The line of one database's writers.

    Args:
        connect: Gives a connection whose transactions hold the write lock from their start.
        is_open: Tells whether a connection's transaction, after an error, can still be rolled back to a savepoint.
        patience_s: How long to stand in line [s].
        too_long: What to raise then.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        is_open: Callable[[Connection], bool],
        patience_s: float,
        too_long: Callable[[], Exception],
    ) -> None:
        self._connect, self._is_open = connect, is_open
        self._patience_s, self._too_long = patience_s, too_long
        self._turn, self._counting = Lock(), Lock()
        self._waiting = 0
        self._group: _Group | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection that holds the write lock; what was written is on disk when the context ends."""
        with self._in_turn():
            group = self._group or _Group(self._connect(), self._is_open)
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
            raise self._too_long()
        try:
            yield
        finally:
            self._turn.release()


class _Group:
    """One transaction, and those who write into it, one at a time."""

    def __init__(self, connection: Connection, is_open: Callable[[Connection], bool]) -> None:
        self.members = 0
        self.ended = Event()
        self.broken = False
        self._connection, self._is_open = connection, is_open
        self._error: BaseException | None = None
        try:
            self._transaction = connection.begin()
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def member(self) -> Iterator[Connection]:
        """Write into the transaction; whoever fails leaves no trace in it."""
        savepoint = None
        try:
            if self.members:
                savepoint = self._connection.begin_nested()
            yield self._connection
            if savepoint is not None:
                savepoint.commit()
        except BaseException as error:
            if savepoint is None or not self._is_open(self._connection):
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
            if self._is_open(self._connection):
                driver: Any = self._connection.connection.driver_connection
                driver.rollback()
        finally:
            self.ended.set()
            self._connection.close()

    def check(self) -> None:
        """Raise what kept the transaction from being committed."""
        if self._error is not None:
            raise self._error
