"""What happens to the store when its disk, its file, its neighbours or its process fail: one clear line, and nothing lost."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from feedback.database import MIGRATIONS, reading
from feedback.store import LabelRejected, Store, StoreError
from tests.feedback.shared_commits import check_shared_commits

ROOT = Path(__file__).parents[2]


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def integrity(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def test_a_locked_database_is_one_clear_line(store: Store, study: Path, reviewer_id: int) -> None:
    pair_id = store.pairs()[0][0]
    other = sqlite3.connect(study / "feedback.db", isolation_level=None)
    with Store(study / "feedback.db", busy_timeout_s=0.05) as impatient:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program.*try again"):
            impatient.add_label(reviewer_id, pair_id, "A", 1.0)
        other.execute("ROLLBACK")
        other.close()
        impatient.add_label(reviewer_id, pair_id, "A", 1.0)
    assert len(store.labels(active=False)) == 1


def test_a_read_only_database_can_be_read_and_says_so_on_writing(store: Store, study: Path, reviewer_id: int) -> None:
    pair_id = store.pairs()[0][0]
    store.add_label(reviewer_id, pair_id, "A", 1.0)
    with Store(f"sqlite:///file:{study / 'feedback.db'}?mode=ro&uri=true") as sealed:
        assert sealed.folder == study
        assert len(sealed.labels()) == 1
        with pytest.raises(StoreError, match="read-only.*allow writing"):
            sealed.undo(reviewer_id)
    assert len(store.labels()) == 1


def fill(store: Store, reviewer_id: int) -> list[str]:
    """Write until it fails; gives the keys of what was acknowledged."""
    clip_id = store.clips()[0].id
    kept: list[str] = []
    with pytest.raises(StoreError, match="disk full or failing.*free some space"):
        for number in range(10_000):
            store.add_takeover(reviewer_id, clip_id, 1.0, 2.0, "x" * 900, client_key=f"key-{number}")
            kept.append(f"key-{number}")
    return kept


def test_a_full_database_keeps_all_that_was_acknowledged(store: Store, study: Path, reviewer_id: int) -> None:
    def limit(connection: sqlite3.Connection, _record: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 12}")

    with Store(study / "feedback.db") as cramped:
        event.listen(cramped.engine, "connect", limit)
        cramped.engine.dispose()
        kept = fill(cramped, reviewer_id)
    assert len(kept) > 3
    assert [row.client_key for row in store.takeovers()] == kept
    store.add_takeover(reviewer_id, store.clips()[0].id, 1.0, 2.0)
    assert integrity(study / "feedback.db") == "ok"


def test_a_disk_that_takes_no_more_keeps_all_that_was_acknowledged(store: Store, study: Path, reviewer_id: int) -> None:
    store.close()
    program = """
        import resource, sys
        from feedback.store import Store, StoreError
        store = Store(sys.argv[1])
        store.progress(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            for number in range(10_000):
                store.add_takeover(1, store.clips()[0].id, 1.0, 2.0, "x" * 900, client_key=f"key-{number}")
                print(f"key-{number}", flush=True)
        except StoreError as error:
            print(error, flush=True)
    """
    child = start(program, str(study / "feedback.db"))
    *kept, last_words = child.communicate(timeout=60)[0].splitlines()
    assert "disk full or failing" in last_words
    assert len(kept) > 3
    with Store(study / "feedback.db") as again:
        assert [row.client_key for row in again.takeovers()] == kept
        again.add_takeover(reviewer_id, again.clips()[0].id, 1.0, 2.0)
    assert integrity(study / "feedback.db") == "ok"


@pytest.mark.parametrize("attempt", range(2))
def test_killed_under_load_every_acknowledged_label_is_there_once(study: Path, small_database: Path, attempt: int) -> None:
    path = study / "feedback.db"
    path.write_bytes(small_database.read_bytes())
    program = """
        import sys
        from feedback.store import Store
        store = Store(sys.argv[1])
        reviewer_id, _ = store.add_reviewer("otter")
        pair_id = store.pairs()[0][0]
        for number in range(100_000):
            store.add_label(reviewer_id, pair_id, "A", 1.0, client_key=f"label-{number}")
            print(f"label-{number}", flush=True)
            store.undo(reviewer_id, client_key=f"undo-{number}")
            print(f"undo-{number}", flush=True)
    """
    child = start(program, str(path))
    assert child.stdout is not None
    acknowledged = [child.stdout.readline().strip() for _ in range(20 + 7 * attempt)]
    child.send_signal(signal.SIGKILL)
    acknowledged += child.communicate()[0].splitlines()
    with Store(path) as store:
        stored = [row.client_key for row in store.labels(active=False)]
    assert stored[: len(acknowledged)] == acknowledged
    assert len(stored) - len(acknowledged) in (0, 1)  # one may have been stored, and the process killed before it could say so
    assert integrity(path) == "ok"


def test_a_newer_database_is_left_alone(store: Store, study: Path) -> None:
    store.close()
    path = study / "feedback.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema '9999' is newer than this program.*update drive-fusion"):
        Store(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(study: Path) -> None:
    path = study / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"another program \(tables: cats\)"):
        Store(path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{study}/nowhere/feedback.db", "folder .* does not exist"),
        ("{study}/text.db", "no readable SQLite database"),
        ("postgresql://ada:secret@127.0.0.1:1/labels", "cannot be reached.*see that PostgreSQL runs there"),
        ("mysql://ada:secret@db/labels", "studies are kept in SQLite files or in PostgreSQL"),
        ("sqlite://", "studies are kept in SQLite files"),
        ("://", "no database URL"),
    ],
)
def test_what_is_no_database_is_one_clear_line(study: Path, url: str, message: str) -> None:
    (study / "text.db").write_text("no database, but long enough to look like one\n" * 100)
    with pytest.raises(StoreError, match=message) as error:
        Store(url.format(study=study))
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_migration_that_fails_leaves_no_half_made_database(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    upgrade: Callable[..., None] = command.upgrade

    def fail_at_the_end(*arguments: Any) -> None:
        upgrade(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", fail_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            Store(study / "feedback.db")
    connection = sqlite3.connect(study / "feedback.db")
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    Store(study / "feedback.db").close()


def test_programs_that_open_a_new_study_together_both_can(study: Path) -> None:
    program = "import sys; from feedback.store import Store; print(len(Store(sys.argv[1]).pairs()))"
    children = [start(program, str(study / "feedback.db")) for _ in range(2)]
    assert [child.communicate(timeout=60)[0].strip() for child in children] == ["0", "0"]


def test_threads_that_write_together_lose_nothing(store: Store) -> None:
    reviewers = [store.add_reviewer(f"r{number}")[0] for number in range(6)]

    def answer_all(reviewer_id: int) -> int:
        count = 0
        while (question := store.next_pair(reviewer_id)) is not None:
            store.add_label(reviewer_id, question.pair_id, "A", 1.0)
            count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        counts = list(pool.map(answer_all, reviewers))
    assert counts == [4] * 6
    assert {(row.reviewer_id, row.pair_id) for row in store.labels()} == {(who, pair[0]) for who in reviewers for pair in store.pairs()}


def test_processes_that_write_together_lose_nothing(store: Store, study: Path) -> None:
    program = """
        import sys
        from feedback.store import Store
        store = Store(sys.argv[1])
        reviewer_id, _ = store.add_reviewer(sys.argv[2])
        for number in range(5):
            for pair in store.pairs():
                store.add_label(reviewer_id, pair[0], "B", 1.0)
            for _ in range(4):
                assert store.undo(reviewer_id) is not None
    """
    children = [start(program, str(study / "feedback.db"), f"r{number}") for number in range(3)]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    for child in children:
        child.communicate()
    assert len(store.labels(active=False)) == 3 * 5 * 8
    assert store.labels() == []


def test_two_answers_racing_for_one_pair_are_one_label(store: Store, reviewer_id: int) -> None:
    pair_id = store.pairs()[0][0]

    def answer(choice: Any) -> str:
        try:
            store.add_label(reviewer_id, pair_id, choice, 1.0)
        except LabelRejected:
            return "rejected"
        return "stored"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(answer, ["A", "B", "tie", "skip"]))
    assert sorted(results) == ["rejected", "rejected", "rejected", "stored"]
    assert len(store.labels()) == 1


def test_the_database_itself_refuses_a_second_answer(store: Store, reviewer_id: int) -> None:
    store.add_label(reviewer_id, store.pairs()[0][0], "A", 1.0)
    copy = "INSERT INTO label SELECT NULL, reviewer_id, pair_id, attempt, choice, undoes, latency_s, replays, mirrored, 'k', 0 FROM label"
    with reading(store.engine) as connection:
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(label)")]
    assert columns[1:] == "reviewer_id pair_id attempt choice undoes latency_s replays mirrored client_key created_unix_s".split()
    with (
        pytest.raises(Exception, match="UNIQUE constraint failed: label.reviewer_id, label.pair_id, label.attempt"),
        store.engine.begin() as connection,
    ):
        connection.exec_driver_sql(copy)


def test_migrations_are_packages_so_that_an_installed_wheel_has_them() -> None:
    folders = {path.parent for path in MIGRATIONS.rglob("*.py")}
    assert len(folders) == 2
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_store_does_not_wait_for_torch() -> None:
    program = """
        import sys, feedback.store, feedback.accounts, feedback.exchange
        print([name for name in ("torch", "alembic", "pyarrow") if name in sys.modules])
    """
    assert start(program).communicate(timeout=60)[0].strip() == "[]"


def test_writers_who_stand_in_line_share_a_commit_and_a_failing_one_harms_no_other(store: Store) -> None:
    check_shared_commits(store)


def test_the_listening_socket_says_that_it_is_tcp_so_that_no_answer_waits_for_an_acknowledgement() -> None:
    from feedback.server.command import _listen

    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # or asyncio would leave Nagle's algorithm on
