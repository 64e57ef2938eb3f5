"""What happens to a study in PostgreSQL when its server, its neighbours or its rows fail: one clear line, and nothing lost."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from drive_fusion.cli import main
from feedback import openings
from feedback.accounts import Accounts
from feedback.audit import verify
from feedback.database import reading, writing
from feedback.exchange import export_labels, import_labels
from feedback.postgres import TURN
from feedback.store import ClipRow, Store, StoreError
from tests.feedback.postgres_cluster import Cluster
from tests.feedback.shared_commits import check_shared_commits


@pytest.fixture
def kind() -> str:
    return "postgres"


def driver(store: Store) -> psycopg.Connection[Any]:
    url = store.engine.url
    return psycopg.connect(f"host={url.query['host']} user={url.username} dbname={url.database}", autocommit=True)


def tamper(store: Store, *statements: str) -> None:
    """Change a database as its owner could: the triggers are no lock."""
    with driver(store) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE label SET choice = 'B' WHERE id = 1", "label 1 was changed"),
        ("UPDATE remark SET comment = 'further'", "label 1 was changed"),
        ("DELETE FROM label WHERE id = 2", "label 2 was removed"),
        ("UPDATE audit SET actor = 'somebody' WHERE id = 1", "entry 1 was changed"),
        ("DELETE FROM audit WHERE id = 2", "label 2 was added behind the log's back"),
    ],
)
def test_whatever_is_tampered_with_is_found(store: Store, reviewer_id: int, statement: str, problem: str) -> None:
    for number, (pair_id, *_) in enumerate(store.pairs()[:2]):
        store.add_label(reviewer_id, pair_id, "A", 1.25, reasons=["safety"] * (1 - number), comment="close" * (1 - number))
    assert verify(store.engine).problems == ()
    tamper(store, statement)
    assert any(line.startswith(problem) for line in verify(store.engine).problems)


def test_a_writer_who_does_not_finish_is_one_clear_line(store: Store, reviewer_id: int, database: str) -> None:
    pair_id = store.pairs()[0][0]
    with driver(store) as other, Store(database, busy_timeout_s=0.1) as impatient:
        other.execute("SELECT pg_advisory_lock(%s)", [TURN])
        with pytest.raises(StoreError, match="locked by another program.*try again"):
            impatient.add_label(reviewer_id, pair_id, "A", 1.0)
        assert impatient.labels() == []  # reading waits for nobody
        other.execute("SELECT pg_advisory_unlock(%s)", [TURN])
        impatient.add_label(reviewer_id, pair_id, "A", 1.0)
    assert len(store.labels()) == 1


def test_a_connection_that_is_cut_is_made_anew(store: Store, reviewer_id: int) -> None:
    store.add_label(reviewer_id, store.pairs()[0][0], "A", 1.0)
    with driver(store) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    store.add_label(reviewer_id, store.pairs()[1][0], "B", 1.0)
    assert [label.choice for label in store.labels()] == ["A", "B"]


def test_a_read_only_database_can_be_read_and_says_so_on_writing(store: Store, reviewer_id: int, database: str) -> None:
    with driver(store) as owner:
        owner.execute(f"ALTER DATABASE {store.engine.url.database} SET default_transaction_read_only = on".encode())
    with Store(database) as sealed:
        assert len(sealed.pairs()) == 4
        with pytest.raises(StoreError, match="read-only.*allow this user to write"):
            sealed.add_label(reviewer_id, sealed.pairs()[0][0], "A", 1.0)


def test_newer_and_foreign_databases_are_left_alone(store: Store, database: str, cluster: Cluster) -> None:
    with driver(store) as owner:
        owner.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="schema '9999' is newer than this program.*update drive-fusion"):
        Store(database)
    foreign = cluster.create("cats")
    with psycopg.connect(f"host={cluster.folder} user=tester dbname=cats", autocommit=True) as owner:
        owner.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(StoreError, match=r"another program \(tables: cats\)"):
        Store(foreign)
    with pytest.raises(StoreError, match='cannot be reached.*database "nowhere" does not exist'):
        Store(cluster.url("nowhere"))


def test_an_erased_name_is_gone_from_its_table(store: Store) -> None:
    accounts = Accounts(store)
    person, _ = accounts.add_person("Ada Lovelace")
    assert accounts.erase("Ada Lovelace") == person.pseudonym
    with driver(store) as owner:
        assert owner.execute("SELECT count(*), pg_relation_size('identity') FROM identity").fetchone() == (0, 0)


def test_a_study_names_its_database_and_commands_find_it(
    store: Store, study: Path, reviewer_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add_label(reviewer_id, store.pairs()[0][0], "A", 1.0)
    with Store.of_study(study) as again:
        assert again.folder == study and len(again.labels()) == 1
    assert main(["audit", "verify", str(study)]) == 0
    assert "1 entries, nothing is wrong" in capsys.readouterr().out
    assert main(["export", "--study", str(study), "--labels", str(tmp_path / "labels.jsonl")]) == 0
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 1


def test_labels_travel_from_postgres_to_a_file_and_back(store: Store, reviewer_id: int, study: Path) -> None:
    store.add_label(reviewer_id, store.pairs()[0][0], "A", 1.0)
    export_labels(store, study / "labels.jsonl")
    with Store(study / "other.db") as other:
        for row in store.clips():
            other.add_clip(ClipRow(**vars(row)))
        assert import_labels(other, study / "labels.jsonl") == 1
        assert other.labels_hash() == store.labels_hash()
        export_labels(other, study / "back.jsonl")
    assert import_labels(store, study / "back.jsonl") == 0


def test_without_psycopg_it_says_what_to_install(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from feedback import postgres

    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"install drive-fusion\[postgres\]"):
        Store(database)


def test_writers_who_stand_in_line_share_a_commit_and_a_failing_one_harms_no_other(store: Store) -> None:
    check_shared_commits(store)


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_a_connection_cut_while_writers_share_it_stores_nothing_that_was_not_acknowledged(store: Store, in_the_middle: bool) -> None:
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(StoreError, match="cannot be reached"), writing(store.engine) as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            waiting = [pool.submit(store.add_reviewer, f"r{number}") for number in range(3)]
            time.sleep(0.3)
            with driver(store) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            if in_the_middle:
                connection.exec_driver_sql("SELECT 1")
        errors = [future.exception() for future in waiting]
    assert all(error is None or isinstance(error, StoreError) for error in errors)
    assert {each.pseudonym for each in store.reviewers()} == {f"r{number}" for number, error in enumerate(errors) if error is None}
    assert sum(error is None for error in errors) >= 2  # whoever came after the cut


def test_progress_is_looked_up_pair_by_pair_even_where_nobody_has_counted_rows_yet(store: Store, reviewer_id: int) -> None:
    """A new study's tables have no statistics; a plan that goes through all pairs for every answer takes longer than the answer."""
    with driver(store) as owner:
        clips = [clip.id for clip in store.clips()]
        owner.execute(
            "INSERT INTO pair (clip_a, clip_b, reason, created_unix_s) SELECT %s, %s, 'r' || n, 0 FROM generate_series(1, 2400) n",
            clips[:2],
        )
        others = [store.add_reviewer(f"r{number}")[0] for number in range(8)]
        for number in (reviewer_id, *others):
            owner.execute("INSERT INTO assignment (reviewer_id, pair_id, mirrored, created_unix_s) SELECT %s, id, 0, 0 FROM pair", [number])
    for with_video in (False, True):
        plan = explained(store, openings.DONE_AND_SETTLED[with_video], reviewer_id)
        assert "Seq Scan on pair" not in plan and "pair_pkey" in plan, plan
        plan = explained(store, openings.LIMITED[with_video], reviewer_id)
        assert not any(word in plan for word in ("Seq Scan on pair", "Seq Scan on assignment", "Merge", "Hash", "JIT")), plan


def explained(store: Store, query: Any, reviewer_id: int) -> str:
    with reading(store.engine) as connection:

        def explain(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> tuple[str, Any]:
            return f"EXPLAIN {statement}", parameters

        event.listen(connection, "before_cursor_execute", explain, retval=True)
        plans = [line[0] for line in connection.execute(query, {"reviewer_id": reviewer_id, "now": 0.0}).cursor.fetchall()]
    return "\n".join(plans)


def test_what_an_answer_asks_is_planned_once(store: Store, reviewer_id: int) -> None:
    """Planning takes longer than answering; PostgreSQL gives it up for a statement that it has planned five times without gain."""
    with driver(store) as owner:
        owner.execute(
            "INSERT INTO pair (clip_a, clip_b, reason, created_unix_s) SELECT %s, %s, 'r' || n, 0 FROM generate_series(1, 60) n",
            [clip.id for clip in store.clips()[:2]],
        )
        owner.execute("INSERT INTO video (clip_id, path, sha256, frames_per_s, created_unix_s) SELECT id, 'x', 'x', 15, 0 FROM clip")
    ahead = store.ahead(reviewer_id, 2, with_video=True)
    for _ in range(40):
        _, ahead = store.answer_shown(reviewer_id, ahead.pairs[0].pair_id, "left", 1.0, 0, uuid.uuid4().hex)
    with store.engine.connect() as connection:  # the one that all this went through
        planned = connection.exec_driver_sql("SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements").all()
    often = [(row.statement, row.custom_plans) for row in planned if row.custom_plans + row.generic_plans > 25]
    assert len(often) >= 10
    assert [statement for statement, times in often if times > 5] == []


def test_a_connection_that_has_its_plans_is_taken_before_others(store: Store, reviewer_id: int) -> None:
    with ExitStack() as crowd:
        for _ in range(5):
            crowd.enter_context(reading(store.engine))
    served = set()
    for _ in range(6):
        with reading(store.engine) as connection:
            served.add(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    assert len(served) == 1
