"""The study's store: clips, pairs, reviewers, labels and takeovers, written durably and never rewritten.

People through the web server and scripted reviewers use the same methods. Every write is one transaction that is on disk when the
method returns; a repeated write with the same client key writes nothing. The store may be shared by threads and by processes.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import insert, select

from feedback import checks, queries
from feedback.answer_store import AnswerStore
from feedback.checks import LabelRejected
from feedback.clip_store import ClipStore
from feedback.database import StoreError, database_of, open_database, reading, where_of, writing
from feedback.ride_store import RideStore
from feedback.rows import CHOICES, Assignment, ClipRow, LabelRow, Progress, Reviewer, TakeoverRow
from feedback.tables import reviewer
from feedback.tokens import new_token, token_hash

__all__ = ["CHOICES", "Assignment", "ClipRow", "LabelRejected", "LabelRow", "Progress", "Reviewer", "Store", "StoreError", "TakeoverRow"]


class Store(ClipStore, AnswerStore, RideStore):
    """A study's store.

    Args:
        url: The database: a file, ``sqlite:///FILE``, or ``postgresql://USER@HOST/DATABASE``. Made if absent (a file) or empty
            (PostgreSQL); upgraded if older than this program.
        busy_timeout_s: How long a write waits for another program's [s].
        folder: The study's folder, which clips' paths are relative to; by default where the file is.

    Raises:
        StoreError: If it cannot be opened, is another program's, or newer than this program.
    """

    def __init__(self, url: str | Path, busy_timeout_s: float = 10.0, folder: Path | None = None) -> None:
        self.engine = open_database(url, busy_timeout_s)
        self._folder = folder
        self._counted = {}

    @classmethod
    def of_study(cls, folder: Path, busy_timeout_s: float = 10.0) -> Store:
        """Open a study's store: its ``feedback.db``, made if absent, or the database that the one line of its ``database.url`` names.

        Raises:
            StoreError: As from ``Store``.
        """
        return cls(database_of(folder) or folder / "feedback.db", busy_timeout_s, folder)

    @property
    def folder(self) -> Path:
        """The study's folder, which clips' paths are relative to.

        Raises:
            StoreError: If the database is no file, and nobody has said which it is.
        """
        if self._folder is not None:
            return self._folder
        if self.engine.dialect.name != "sqlite":
            raise StoreError(f"{self.where}: the study's folder is not known; open it with Store.of_study(FOLDER)")
        return Path(str(self.engine.url.database).removeprefix("file:")).parent

    @property
    def where(self) -> str:
        """What to call the database in messages."""
        return where_of(self.engine)

    def close(self) -> None:
        """Close the database; the store cannot be used after."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def add_reviewer(self, pseudonym: str, role: str = "reviewer", scripted: bool = False) -> tuple[int, str]:
        """Add a reviewer.

        Returns:
            The reviewer's id, and the token that lets them in: it is shown this once, the store keeps only its hash.

        Raises:
            StoreError: If the pseudonym is taken, empty or too long.
        """
        checks.check_name(pseudonym)
        token = new_token()
        with writing(self.engine) as connection:
            if connection.execute(select(reviewer.c.id).where(reviewer.c.pseudonym == pseudonym)).first() is not None:
                raise StoreError(f"reviewer {pseudonym!r} exists already in this study; choose another name")
            values = {"pseudonym": pseudonym, "role": role, "scripted": int(scripted), "token_sha256": token_hash(token)}
            return queries.new_id(connection.execute(insert(reviewer).values(**values, created_unix_s=time.time()))), token

    def reviewer_by_token(self, token: str) -> Reviewer | None:
        """Find who a token belongs to; None if nobody."""
        with reading(self.engine) as connection:
            row = connection.execute(select(reviewer).where(reviewer.c.token_sha256 == token_hash(token))).one_or_none()
        return None if row is None else queries.reviewer_row(row)

    def reviewers(self) -> list[Reviewer]:
        """List all reviewers, oldest first."""
        with reading(self.engine) as connection:
            return [queries.reviewer_row(row) for row in connection.execute(select(reviewer).order_by(reviewer.c.id))]
