"""``drive-fusion audit``: check a study's audit log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sensors.errors import ConfigError


@dataclass(frozen=True)
class AuditConfig:
    """Options of ``drive-fusion audit``."""

    action: Annotated[Literal["verify"], tyro.conf.Positional]
    """verify: check the chain of the log, and every label, takeover, ride and rating against it."""
    study: Annotated[Path, tyro.conf.Positional]
    """Folder of the study."""
    head: str | None = None
    """A head that was printed before and noted elsewhere: it must still be in the log, so that cutting off its end is found too."""


def run_audit(config: AuditConfig) -> int:
    """Check the log, print what is wrong, one line each.

    Returns:
        0 if nothing is wrong, else 1.

    Raises:
        ConfigError: If the folder is no study.
        StoreError: If the database cannot be read.
    """
    from feedback.audit import verify
    from feedback.database import database_of
    from feedback.store import Store

    if database_of(config.study) is None:
        raise ConfigError(f"no study at {str(config.study)!r}: {config.study / 'feedback.db'} does not exist")
    with Store.of_study(config.study) as store:
        verdict = verify(store.engine, config.head)
    for problem in verdict.problems:
        print(f"audit: {problem}")
    state = "nothing is wrong" if not verdict.problems else f"{len(verdict.problems)} problems"
    print(f"audit: {verdict.entries} entries, {state}; head {verdict.head}")
    return 1 if verdict.problems else 0
