"""What happens to a study in PostgreSQL when its server, its neighbours or its rows fail: one clear line, and nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from drive_fusion.cli import main
from feedback.accounts import Accounts
from feedback.audit import verify
from feedback.exchange import export_labels, import_labels
from feedback.postgres import TURN
from feedback.store import ClipRow, Store, StoreError
from tests.feedback.postgres_cluster import Cluster


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
