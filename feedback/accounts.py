"""Who may come in: people's names apart from their pseudonyms, their tokens, and their sessions.

A name is stored in ``identity`` alone. Erasing it leaves the labels, which know only the pseudonym.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from feedback import checks, queries
from feedback.database import StoreError, plain_errors, reading, writing
from feedback.rows import Reviewer
from feedback.store import Store
from feedback.tables import identity, reviewer, session
from feedback.tokens import new_token, token_hash
from sensors.errors import did_you_mean

SEEN_EVERY_S = 60.0
"""How exactly a session's last use is noted [s]; noting each request would write to disk on each request."""


@dataclass(frozen=True)
class Session:
    """Someone who is logged in."""

    reviewer: Reviewer
    """Who."""
    csrf_token: str
    """What a request of theirs must carry to change anything."""

    def csrf_matches(self, given: str | None) -> bool:
        """Tell whether a request carries this session's token."""
        return given is not None and hmac.compare_digest(given.encode(), self.csrf_token.encode())


class Accounts:
    """The people of a store.

    Args:
        store: Where they are kept.
        idle_s: A session unused for so long ends [s].
        absolute_s: A session ends so long after its log in [s].
    """

    def __init__(self, store: Store, idle_s: float = 3600.0, absolute_s: float = 12 * 3600.0) -> None:
        self.store = store
        self.idle_s = idle_s
        self.absolute_s = absolute_s

    def add_person(self, name: str) -> tuple[Reviewer, str]:
        """Make an account under a pseudonym that says nothing of the name.

        Returns:
            The reviewer, and the token to log in with, which cannot be shown again.

        Raises:
            StoreError: If the name is taken or cannot be one.
        """
        checks.check_name(name)
        token = new_token()
        with writing(self.store.engine) as connection:
            if connection.execute(select(identity).where(identity.c.name == name)).first() is not None:
                raise StoreError(f"reviewer {name!r} has an account already; give them a new token with --renew-token")
            values = {"pseudonym": f"reviewer-{secrets.token_hex(4)}", "role": "reviewer", "scripted": 0, "token_sha256": token_hash(token)}
            number = queries.new_id(connection.execute(insert(reviewer).values(**values, created_unix_s=time.time())))
            connection.execute(insert(identity).values(reviewer_id=number, name=name))
            row = connection.execute(select(reviewer).where(reviewer.c.id == number)).one()
        return queries.reviewer_row(row), token

    def renew_token(self, name: str) -> str:
        """Make a person a new token; the old one and their sessions end.

        Raises:
            StoreError: If nobody has that name.
        """
        token = new_token()
        with writing(self.store.engine) as connection:
            number = _number_of(connection, name)
            connection.execute(update(reviewer).where(reviewer.c.id == number).values(token_sha256=token_hash(token)))
            connection.execute(delete(session).where(session.c.reviewer_id == number))
        return token

    def erase(self, name: str) -> str:
        """Forget a person: name, token and sessions; their labels stay under the pseudonym.

        Returns:
            The pseudonym.

        Raises:
            StoreError: If nobody has that name.
        """
        with writing(self.store.engine) as connection:
            number = _number_of(connection, name)
            pseudonym = connection.execute(select(reviewer.c.pseudonym).where(reviewer.c.id == number)).scalar_one()
            connection.execute(delete(session).where(session.c.reviewer_id == number))
            connection.execute(delete(identity).where(identity.c.reviewer_id == number))
            connection.execute(update(reviewer).where(reviewer.c.id == number).values(token_sha256=None))
        self._forget_log()
        return str(pseudonym)

    def any_person(self) -> bool:
        """Tell whether anybody can log in."""
        with reading(self.store.engine) as connection:
            return connection.execute(select(identity).limit(1)).first() is not None

    def log_in(self, token: str, old_session: str | None = None) -> str | None:
        """Start a session, always a new one; the one that the browser had before ends.

        Returns:
            The session's secret, for a cookie; None if the token is nobody's.
        """
        now = time.time()
        with writing(self.store.engine) as connection:
            connection.execute(delete(session).where(session.c.created_unix_s < now - self.absolute_s))
            number = connection.execute(select(reviewer.c.id).where(reviewer.c.token_sha256 == token_hash(token))).scalar()
            if number is None:
                return None
            if old_session is not None:
                connection.execute(delete(session).where(session.c.token_sha256 == token_hash(old_session)))
            secret = new_token()
            values = {"token_sha256": token_hash(secret), "reviewer_id": number, "csrf_token": new_token()}
            connection.execute(insert(session).values(**values, created_unix_s=now, seen_unix_s=now))
        return secret

    def session(self, secret: str | None) -> Session | None:
        """Find who a session's secret belongs to, unless it has ended."""
        if not secret:
            return None
        now = time.time()
        mine = session.c.token_sha256 == token_hash(secret)
        query = select(reviewer, session.c.csrf_token, session.c.created_unix_s.label("begun"), session.c.seen_unix_s)
        with reading(self.store.engine) as connection:
            row = connection.execute(query.join(session, session.c.reviewer_id == reviewer.c.id).where(mine)).one_or_none()
        if row is None:
            return None
        if now - row.seen_unix_s > self.idle_s or now - row.begun > self.absolute_s:
            self.log_out(secret)
            return None
        if now - row.seen_unix_s > min(SEEN_EVERY_S, self.idle_s / 2):
            with writing(self.store.engine) as connection:
                connection.execute(update(session).where(mine).values(seen_unix_s=now))
        return Session(queries.reviewer_row(row), row.csrf_token)

    def log_out(self, secret: str) -> None:
        """End a session."""
        with writing(self.store.engine) as connection:
            connection.execute(delete(session).where(session.c.token_sha256 == token_hash(secret)))

    def _forget_log(self) -> None:
        """Empty SQLite's write-ahead log, where an erased name would otherwise stay readable for a while."""
        with plain_errors(self.store.engine):
            connection = self.store.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()


def _number_of(connection: Connection, name: str) -> int:
    number = connection.execute(select(identity.c.reviewer_id).where(identity.c.name == name)).scalar()
    if number is None:
        names = connection.execute(select(identity.c.name)).scalars().all()
        raise StoreError(f"no reviewer {name!r} in this study; {did_you_mean(name, names) if names else 'there is none yet'}")
    return int(number)
