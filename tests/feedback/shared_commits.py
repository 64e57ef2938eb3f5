"""What holds of writers who share a commit, in whatever database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import event

from feedback.database import writing
from feedback.store import Store


def check_shared_commits(store: Store) -> None:
    """Six writers stand in line behind one: all share few commits, and one of them fails without harm to the others."""
    commits: list[None] = []
    event.listen(store.engine, "commit", lambda connection: commits.append(None))

    def add(number: int) -> int:
        return store.add_reviewer("taken" if number == 3 else f"r{number}")[0]

    with ThreadPoolExecutor(6) as pool:
        with writing(store.engine) as connection:
            connection.exec_driver_sql(
                "INSERT INTO reviewer (pseudonym, role, scripted, created_unix_s) VALUES ('taken', 'reviewer', 0, 0)"
            )
            waiting = [pool.submit(add, number) for number in range(6)]
            time.sleep(0.5)
        failed = [future.exception() is not None for future in waiting]
    assert failed == [False, False, False, True, False, False]
    assert len(commits) <= 2  # one, unless a thread was late
    assert sorted(each.pseudonym for each in store.reviewers()) == ["r0", "r1", "r2", "r4", "r5", "taken"]
