"""The audit log: whatever is changed, removed or reordered behind the program's back is found, in the log and in the opinions."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from drive_fusion.cli import main
from feedback.accounts import Accounts
from feedback.audit import START, entries, verify
from feedback.rows import RideRow
from feedback.store import Store

RIDE = RideRow(0, 1, "", "highway-v0", 3, "idm", "rides/a.parquet", "ab", 12.0, 2.0, 250.0, "crashed at 12.0 s", None, 0.0)


@pytest.fixture
def lived_in(store: Store, reviewer_id: int) -> Store:
    """A study in which a bit of everything has happened."""
    pairs = store.pairs()
    label_id = store.add_label(reviewer_id, pairs[0][0], "A", 1.0, reasons=["safety"], comment="closer")
    store.add_label(reviewer_id, pairs[1][0], "tie", 2.5)
    store.undo(reviewer_id)
    store.revise(reviewer_id, label_id, "B", 3.0)
    store.add_takeover(reviewer_id, pairs[0][1], 1.0, 2.0, "too close")
    ride_id = store.add_ride(RIDE, "ride-0001")
    store.rate_ride(reviewer_id, ride_id, 4)
    Accounts(store).invite("Ada")
    return store


def tamper(path: Path, *statements: str) -> None:
    """Change a database as somebody could who may write the file: the triggers are no lock."""
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_honest_study_has_nothing_wrong(lived_in: Store) -> None:
    verdict = verify(lived_in.engine)
    assert verdict.problems == ()
    assert verdict.entries == 9  # 2 answers, an undo, a revision's two rows, a takeover, a ride, a rating, an invitation
    events = [entry.event for entry in reversed(entries(lived_in.engine, 100))]
    assert events == ["answered", "answered", "undid", "undid", "answered", "took over", "rode", "rated", "invited"]
    assert [entry.id for entry in entries(lived_in.engine, 2, before=5)] == [4, 3]


def test_an_empty_study_has_nothing_wrong(store: Store) -> None:
    assert verify(store.engine) == verify(store.engine, head=START)
    assert (verify(store.engine).entries, verify(store.engine).problems) == (0, ())


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit SET actor = 'somebody' WHERE id = 3"], "entry 3 was changed"),
        (["UPDATE audit SET created_unix_s = created_unix_s + 1 WHERE id = 1"], "entry 1 was changed"),
        (["UPDATE audit SET detail = '{}' WHERE id = 2"], "entry 2 was changed"),
        (["DELETE FROM audit WHERE id = 4"], "entry 4 is missing"),
        (["DELETE FROM audit WHERE id = 1"], "entry 1 is missing"),
        (["DELETE FROM audit WHERE id = 2", "UPDATE audit SET id = id - 1 WHERE id > 2"], "entry 2 was changed"),
        (
            ["UPDATE audit SET id = 99 WHERE id = 2", "UPDATE audit SET id = 2 WHERE id = 3", "UPDATE audit SET id = 3 WHERE id = 99"],
            "entry 2 was changed",
        ),
        (["DELETE FROM audit WHERE id = 9", "DELETE FROM audit WHERE id = 8"], "rating 1 was added behind the log's back"),
        (["UPDATE label SET choice = 'B' WHERE id = 1"], "label 1 was changed"),
        (["UPDATE label SET latency_s = 9 WHERE id = 2"], "label 2 was changed"),
        (["UPDATE remark SET comment = 'further'"], "label 1 was changed"),
        (["DELETE FROM remark"], "label 1 was changed"),
        (["DELETE FROM label WHERE id = 5"], "label 5 was removed"),
        (["UPDATE pair SET clip_a = (SELECT clip_b FROM pair WHERE id = 3) WHERE id = 1"], "label 1 was changed"),
        (["UPDATE takeover SET onset_s = NULL"], "takeover 1 was changed"),
        (["UPDATE ride SET outcome = 'arrived'"], "ride 1 was changed"),
        (["UPDATE rating SET stars = 5"], "rating 1 was changed"),
        (["DELETE FROM audit"], "label 1 was added behind the log's back"),
    ],
)
def test_whatever_is_tampered_with_is_found(lived_in: Store, study: Path, statements: list[str], problem: str) -> None:
    lived_in.close()
    tamper(study / "feedback.db", *statements)
    with Store(study / "feedback.db") as store:
        assert any(line.startswith(problem) for line in verify(store.engine).problems)


def test_a_log_written_anew_over_changed_opinions_has_another_head(lived_in: Store, study: Path) -> None:
    """The one thing a chain cannot show by itself: who rewrites everything leaves a log that fits; a head noted elsewhere tells."""
    from feedback import audit
    from feedback.database import writing

    head = verify(lived_in.engine).head
    lived_in.close()
    tamper(study / "feedback.db", "UPDATE label SET choice = 'B' WHERE id = 1", "DELETE FROM audit")
    with Store(study / "feedback.db") as store:
        with writing(store.engine) as connection:
            audit.adopt(connection)
        assert verify(store.engine).problems == ()
        assert any("is not in the log" in line for line in verify(store.engine, head).problems)


def test_a_head_stays_in_the_log_as_it_grows(lived_in: Store, reviewer_id: int) -> None:
    head = verify(lived_in.engine).head
    lived_in.add_label(reviewer_id, lived_in.pairs()[2][0], "A", 1.0)
    assert verify(lived_in.engine, head).problems == ()
    assert verify(lived_in.engine).head != head


def test_names_are_nowhere_in_the_log(lived_in: Store) -> None:
    accounts = Accounts(lived_in)
    accounts.add_person("Grace Hopper", "lead")
    accounts.renew_token("Grace Hopper")
    accounts.set_role("Grace Hopper", "auditor")
    accounts.erase("Grace Hopper")
    with lived_in.engine.connect() as connection:
        log = str(connection.exec_driver_sql("SELECT * FROM audit").all())
    assert "token renewed" in log and "erased" in log and "auditor" in log
    assert "Grace" not in log and "Ada" not in log


def test_a_study_older_than_the_log_is_adopted_with_all_its_opinions(study: Path, reviewer_id: int, store: Store) -> None:
    """A database of schema 0001, as it was before there was a log."""
    from alembic import command
    from alembic.config import Config

    from feedback.database import MIGRATIONS

    store.close()
    (study / "feedback.db").unlink()
    old = study / "feedback.db"

    def upgrade(connection: object) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{old}")
    with engine.begin() as connection:
        upgrade(connection)
        values = "'env', 1, 'p', 's', 0, 8, '', '', '', 0"
        connection.exec_driver_sql(f"INSERT INTO clip VALUES ('a', {values}), ('b', {values})")
        connection.exec_driver_sql("INSERT INTO pair VALUES (1, 'a', 'b', 'uniform', NULL, 0)")
        connection.exec_driver_sql("INSERT INTO reviewer VALUES (1, 'otter', 'reviewer', 0, NULL, 0)")
        connection.exec_driver_sql("INSERT INTO label VALUES (1, 1, 1, 0, 'A', NULL, 1.5, 0, 1, 'k', 12.25)")
        connection.exec_driver_sql("INSERT INTO takeover VALUES (1, 1, 'a', '', 1.0, 2.0, '', '[]', '[]', 'k', 0)")
    engine.dispose()
    with Store(old) as opened:
        assert [entry.event for entry in entries(opened.engine, 9)] == ["adopted", "adopted"]
        assert verify(opened.engine).problems == ()
        assert opened.labels()[0].choice == "A" and opened.takeovers()[0].ride_id is None
        assert opened.progress(1) == (1, 0) and opened.next_pair(1) is None
    tamper(old, "UPDATE label SET choice = 'B'")
    with Store(old) as opened:
        assert verify(opened.engine).problems == ("label 1 was changed",)


def test_the_command_says_what_is_wrong(lived_in: Store, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lived_in.close()
    assert main(["audit", "verify", str(study)]) == 0
    said = capsys.readouterr().out
    assert "9 entries, nothing is wrong; head " in said
    head = said.split()[-1]
    shutil.copytree(study, tmp_path / "copy")
    tamper(tmp_path / "copy" / "feedback.db", "DELETE FROM audit WHERE id = 9")
    assert main(["audit", "verify", str(tmp_path / "copy")]) == 0  # an invitation is no opinion: only the head tells
    assert main(["audit", "verify", str(tmp_path / "copy"), "--head", head]) == 1
    tamper(study / "feedback.db", "UPDATE label SET choice = 'B' WHERE id = 1")
    assert main(["audit", "verify", str(study)]) == 1
    assert "audit: label 1 was changed\n" in capsys.readouterr().out
    assert main(["audit", "verify", str(tmp_path)]) == 2


@pytest.mark.parametrize("table", ["remark", "ride", "rating", "practice"])
def test_newer_opinions_too_can_be_neither_changed_nor_deleted(lived_in: Store, reviewer_id: int, table: str) -> None:
    clip_a, clip_b = (clip.id for clip in lived_in.clips()[:2])
    pair_id = lived_in.add_pair(clip_a, clip_b, "practice", answer="A", lesson="it crashed")
    assert [shown.pair_id for shown in lived_in.practice(reviewer_id, 3)[0]] == [pair_id]
    lived_in.add_practice(reviewer_id, pair_id, "B")
    column = "label_id" if table == "remark" else "id"

    def attempt(statement: str) -> None:
        with pytest.raises(Exception, match="append-only"), lived_in.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"REPLACE INTO {table} SELECT * FROM {table}"):
        attempt(statement)
