"""Secrets that let people in: made here, shown once, stored only as a hash."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 24
"""192 bits: too many to guess, which is why a fast hash without salt is enough to store them."""


def new_token() -> str:
    """Make a secret of 192 bits, as 32 characters that need no escaping in a form or a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """Hash a secret, as it is stored and looked up."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
