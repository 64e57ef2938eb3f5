"""A PostgreSQL cluster of a test run's own: made in a temporary folder, reached by a socket there, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

NEWEST_FIRST = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass
class Cluster:
    """A running one."""

    folder: Path
    """Where its socket is."""

    def url(self, name: str) -> str:
        """How to open one of its databases."""
        return f"postgresql://tester@/{name}?host={self.folder}"

    def create(self, name: str, template: str = "template1") -> str:
        """Make a database, empty or like another; gives how to open it."""
        import psycopg

        with psycopg.connect(f"host={self.folder} user=tester dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[arg-type]
        return self.url(name)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Make and start a cluster; skips the test if this machine has no PostgreSQL, or no psycopg."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install drive-fusion[postgres]")
    initdb, pg_ctl = (_program(name) for name in ("initdb", "pg_ctl"))
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: that of a socket has at most 107 characters
    user = _somebody()
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    try:
        _run(user, folder, initdb, "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=100"
        _run(user, folder, pg_ctl, "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield Cluster(folder)
        finally:
            _run(user, folder, pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name) or next((str(folder / name) for folder in NEWEST_FIRST if (folder / name).exists()), None)
    if found is None:
        pytest.skip(f"no PostgreSQL on this machine: {name} is neither on PATH nor in /usr/lib/postgresql")
    return found


def _somebody() -> str | None:
    """Whom to run it as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _run(user: str | None, folder: Path, *command: object) -> None:
    with (folder / "output").open("ab") as output:  # a file, not a pipe: the server inherits it and would keep a pipe open
        done = subprocess.run(
            [str(each) for each in command], user=user, cwd=folder, stdout=output, stderr=output, timeout=120, check=False
        )
    assert done.returncode == 0, (folder / "output").read_text()
