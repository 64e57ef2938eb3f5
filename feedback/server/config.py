"""Settings of the review room, and what they allow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import tyro

from feedback.roles import Role
from sensors.errors import ConfigError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ReviewConfig:
    """Settings of the review room."""

    study: Annotated[Path, tyro.conf.Positional]
    """Folder of the study whose clips are compared."""
    host: str = "127.0.0.1"
    """Address to listen on; wider than this machine only together with --public-url."""
    port: int = 8000
    """Port to listen on; 0 takes any free one."""
    public_url: str | None = None
    """What people type to get here from other machines, e.g. https://review.example.org; its host is the only other one answered."""
    tls_certificate: Path | None = None
    """PEM file with the certificate, to serve https without a proxy."""
    tls_key: Path | None = None
    """PEM file with the certificate's key."""
    idle_timeout_min: float = 60.0
    """Log a reviewer out after so long without a request [min]."""
    absolute_timeout_h: float = 12.0
    """Log a reviewer out so long after their log in [h]."""
    invite: str | None = None
    """Instead of serving: make an account for this name and print a link that lets them in once, without a token."""
    invitation_h: float = 72.0
    """How long an invitation can be used [h]."""
    role: Role = "reviewer"
    """What whom --invite, --add-reviewer or --set-role names may do: reviewers label and ride along; leads also see everybody's progress by
    pseudonym; auditors see that and the audit log, and change nothing; admins may all of it, and invite."""
    set_role: str | None = None
    """Instead of serving: give this name the role of --role."""
    ride: str | None = None
    """Offer ride-alongs with this driver: random, idle, slower, faster, lane_left, lane_right, idm, rule, or a checkpoint's folder."""
    id: str = "highway-v0"
    """World of the ride-alongs, by highway-env's name."""
    max_rides: int = 4
    """How many people may ride at the same time; each ride takes about a third of a core."""
    add_reviewer: str | None = None
    """Instead of serving: make an account for this name and print its token, once."""
    renew_token: str | None = None
    """Instead of serving: give this name a new token; the old one and its sessions end."""
    erase_reviewer: str | None = None
    """Instead of serving: forget this name; the labels stay, under a pseudonym."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port is {self.port}, expected 0 to 65535")
        for name in ("idle_timeout_min", "absolute_timeout_h", "invitation_h"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"--{name.replace('_', '-')} is {value}, expected a positive number")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("https needs both --tls-certificate and --tls-key")
        if self.public_url is not None:
            check_url(self.public_url)
        if self.host not in LOOPBACK and self.public_url is None:
            raise ConfigError(
                f"--host {self.host} would let other machines in; if that is meant, say what people will type there: "
                "--public-url https://NAME (through a proxy, or with --tls-certificate and --tls-key)"
            )
        if not 1 <= self.max_rides <= 64:
            raise ConfigError(f"--max-rides is {self.max_rides}, expected 1 to 64")
        if sum(name is not None for name in (self.invite, self.set_role, self.add_reviewer, self.renew_token, self.erase_reviewer)) > 1:
            raise ConfigError("give one of --invite, --set-role, --add-reviewer, --renew-token and --erase-reviewer at a time")

    @property
    def scheme(self) -> str:
        """'https' if this program itself encrypts, else 'http'."""
        return "http" if self.tls_certificate is None else "https"


def check_url(url: str) -> None:
    """Refuse what is not the root of a web site.

    Raises:
        ConfigError: If it has no http or https scheme, no host, or more than that.
    """
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or 0 < parts.port
    except ValueError:
        port_is_fine = False
    if not port_is_fine or parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(f"--public-url is {url!r}, expected http://NAME[:PORT] or https://NAME[:PORT]")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigError(f"--public-url is {url!r}, expected no more than scheme, name and port")
