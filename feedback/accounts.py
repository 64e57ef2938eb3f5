"""Who may come in: people's names apart from their pseudonyms, their invitations, tokens and sessions.

A name is stored in ``identity`` alone. Erasing it leaves the labels, which know only the pseudonym.
"""

from __future__ import annotations

import hmac
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from feedback import audit, checks, queries
from feedback.database import StoreError, forget_deleted, reading, writing
from feedback.roles import checked_role
from feedback.rows import Reviewer
from feedback.store import Store
from feedback.tables import identity, invitation, label, reviewer, session
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
    begun_unix_s: float = 0.0
    """When they logged in [s since 1970]."""

    def csrf_matches(self, given: str | None) -> bool:
        """Tell whether a request carries this session's token."""
        return given is not None and hmac.compare_digest(given.encode(), self.csrf_token.encode())


@dataclass(frozen=True)
class Person:
    """Somebody with an account, as only those who let people in may see them."""

    name: str
    """Their name."""
    reviewer: Reviewer
    """Who they are in labels."""
    state: str
    """'invited', 'expired' (an invitation that nobody used), or 'here'."""
    labels: int
    """How many answers they have given, those taken back included."""


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

    def add_person(self, name: str, role: str = "reviewer", by: int | None = None) -> tuple[Reviewer, str]:
        """Make an account under a pseudonym that says nothing of the name.

        Args:
            name: The person's.
            role: What they may do: one of ``roles.ROLES``.
            by: The reviewer who lets them in; None: whoever runs the study.

        Returns:
            The reviewer, and the token to log in with, which cannot be shown again.

        Raises:
            StoreError: If the name is taken or cannot be one.
            ConfigError: If there is no such role.
        """
        token = new_token()
        with writing(self.store.engine) as connection:
            if _account_of(connection, name) is not None:
                raise StoreError(f"reviewer {name!r} has an account already; give them a new token with --renew-token")
            made = _new_account(connection, name, role, token_hash(token))
            audit.note(connection, "added", "reviewer", made.id, by, pseudonym=made.pseudonym, role=role)
        return made, token

    def invite(self, name: str, role: str = "reviewer", valid_s: float = 72 * 3600.0, by: int | None = None) -> tuple[Reviewer, str]:
        """Make an account, and an invitation that opens it once; inviting again somebody who has not come yet replaces theirs.

        Args:
            name: The person's.
            role: What they may do: one of ``roles.ROLES``.
            valid_s: How long the invitation can be used [s].
            by: The reviewer who invites; None: whoever runs the study.

        Returns:
            The reviewer, and the invitation's secret, which cannot be shown again.

        Raises:
            StoreError: If the name is taken or cannot be one.
            ConfigError: If there is no such role.
        """
        secret = new_token()
        with writing(self.store.engine) as connection:
            known = _account_of(connection, name)
            if known is not None and known.token_sha256 is not None:
                raise StoreError(f"reviewer {name!r} has an account already; give them a new token with --renew-token")
            if known is None:
                made = _new_account(connection, name, role, None)
            else:
                connection.execute(delete(invitation).where(invitation.c.reviewer_id == known.id))
                connection.execute(update(reviewer).where(reviewer.c.id == known.id).values(role=checked_role(role)))
                made = queries.reviewer_row(connection.execute(select(reviewer).where(reviewer.c.id == known.id)).one())
            values = {"token_sha256": token_hash(secret), "reviewer_id": made.id, "expires_unix_s": time.time() + valid_s}
            connection.execute(insert(invitation).values(values))
            audit.note(connection, "invited", "reviewer", made.id, by, pseudonym=made.pseudonym, role=role)
        return made, secret

    def invited(self, secret: str) -> bool:
        """Tell whether an invitation can be used; looking uses nothing up."""
        with reading(self.store.engine) as connection:
            return _invitation(connection, secret) is not None

    def accept(self, secret: str, old_session: str | None = None) -> tuple[str, str] | None:
        """Use an invitation up: of two who try, one comes in.

        Returns:
            The session's secret, for a cookie, and the token to log in with from now on; None if the invitation cannot be used.
        """
        token = new_token()
        with writing(self.store.engine) as connection:
            number = _invitation(connection, secret)
            if number is None:
                return None
            connection.execute(delete(invitation).where(invitation.c.reviewer_id == number))
            connection.execute(update(reviewer).where(reviewer.c.id == number).values(token_sha256=token_hash(token)))
            audit.note(connection, "came in", "reviewer", number, number)
            return self._begin(connection, number, old_session), token

    def set_role(self, name: str, role: str, by: int | None = None) -> Reviewer:
        """Change what a person may do, from their next request on.

        Raises:
            StoreError: If nobody has that name.
            ConfigError: If there is no such role.
        """
        with writing(self.store.engine) as connection:
            number = _number_of(connection, name)
            connection.execute(update(reviewer).where(reviewer.c.id == number).values(role=checked_role(role)))
            audit.note(connection, "role", "reviewer", number, by, role=role)
            return queries.reviewer_row(connection.execute(select(reviewer).where(reviewer.c.id == number)).one())

    def people(self) -> list[Person]:
        """List everybody with an account, oldest first."""
        answers = select(func.count()).select_from(label).where(label.c.reviewer_id == reviewer.c.id, label.c.choice != "undo")
        pending = exists().where(invitation.c.reviewer_id == reviewer.c.id, invitation.c.expires_unix_s > time.time())
        query = select(reviewer, identity.c.name, answers.scalar_subquery().label("labels"), pending.label("pending")).order_by(
            reviewer.c.id
        )
        with reading(self.store.engine) as connection:
            rows = connection.execute(query.join(identity, identity.c.reviewer_id == reviewer.c.id)).all()
        states = ["here" if row.token_sha256 is not None else "invited" if row.pending else "expired" for row in rows]
        return [Person(row.name, queries.reviewer_row(row), state, row.labels) for row, state in zip(rows, states, strict=True)]

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
            connection.execute(delete(invitation).where(invitation.c.reviewer_id == number))
            audit.note(connection, "token renewed", "reviewer", number)
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
            connection.execute(delete(invitation).where(invitation.c.reviewer_id == number))
            connection.execute(delete(identity).where(identity.c.reviewer_id == number))
            connection.execute(update(reviewer).where(reviewer.c.id == number).values(token_sha256=None))
            audit.note(connection, "erased", "reviewer", number)
        forget_deleted(self.store.engine)
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
        with writing(self.store.engine) as connection:
            number = connection.execute(select(reviewer.c.id).where(reviewer.c.token_sha256 == token_hash(token))).scalar()
            return None if number is None else self._begin(connection, number, old_session)

    def _begin(self, connection: Connection, number: int, old_session: str | None) -> str:
        now = time.time()
        connection.execute(delete(session).where(session.c.created_unix_s < now - self.absolute_s))
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
            with suppress(StoreError), writing(self.store.engine) as connection:  # a study that cannot be written can still be read
                connection.execute(update(session).where(mine).values(seen_unix_s=now))
        return Session(queries.reviewer_row(row), row.csrf_token, row.begun)

    def log_out(self, secret: str) -> None:
        """End a session."""
        with writing(self.store.engine) as connection:
            connection.execute(delete(session).where(session.c.token_sha256 == token_hash(secret)))


def _account_of(connection: Connection, name: str) -> Any:
    query = select(reviewer).join(identity, identity.c.reviewer_id == reviewer.c.id).where(identity.c.name == name)
    return connection.execute(query).one_or_none()


def _new_account(connection: Connection, name: str, role: str, token_sha256: bytes | None) -> Reviewer:
    checks.check_name(name)
    pseudonym = f"reviewer-{secrets.token_hex(4)}"
    values = {"pseudonym": pseudonym, "role": checked_role(role), "scripted": 0, "token_sha256": token_sha256}
    number = queries.new_id(connection.execute(insert(reviewer).values(**values, created_unix_s=time.time())))
    connection.execute(insert(identity).values(reviewer_id=number, name=name))
    return queries.reviewer_row(connection.execute(select(reviewer).where(reviewer.c.id == number)).one())


def _invitation(connection: Connection, secret: str) -> int | None:
    """Whose an invitation is that can be used now."""
    usable = select(invitation.c.reviewer_id).where(
        invitation.c.token_sha256 == token_hash(secret), invitation.c.expires_unix_s > time.time()
    )
    return connection.execute(usable).scalar()


def _number_of(connection: Connection, name: str) -> int:
    number = connection.execute(select(identity.c.reviewer_id).where(identity.c.name == name)).scalar()
    if number is None:
        names = connection.execute(select(identity.c.name)).scalars().all()
        raise StoreError(f"no reviewer {name!r} in this study; {did_you_mean(name, names) if names else 'there is none yet'}")
    return int(number)
