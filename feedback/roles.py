"""Who may do what in the review room."""

from __future__ import annotations

from typing import Literal

from sensors.errors import unknown_name

Role = Literal["reviewer", "lead", "auditor", "admin"]
Right = Literal["label", "ride", "progress", "audit", "people"]

ROLES: tuple[Role, ...] = ("reviewer", "lead", "auditor", "admin")

RIGHTS: dict[str, frozenset[Right]] = {
    "reviewer": frozenset({"label", "ride"}),
    "lead": frozenset({"label", "ride", "progress"}),
    "auditor": frozenset({"progress", "audit"}),
    "admin": frozenset({"label", "ride", "progress", "audit", "people"}),
}
"""Reviewers give opinions and see their own; leads also see counts by pseudonym; auditors read those and the log, and change nothing;
admins also let people in."""


def may(role: str, right: Right) -> bool:
    """Tell whether a role has a right; a role that this program does not know has none."""
    return right in RIGHTS.get(role, frozenset())


def checked_role(role: str) -> str:
    """Give a role; refuse one that there is not.

    Raises:
        ConfigError: If there is no such role; it names the nearest.
    """
    if role not in ROLES:
        raise unknown_name("role", role, ROLES)
    return role
