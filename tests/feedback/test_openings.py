"""Pairs that want a certain number of labels: listed while they lack some, whatever a study went through, and quickly asked for."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import create_engine, text

from feedback import queries
from feedback.database import MIGRATIONS, reading, writing
from feedback.rows import ClipRow
from feedback.store import Store

FILM = "INSERT INTO video (clip_id, path, sha256, frames_per_s, created_unix_s) SELECT id, 'x', 'x', 15, 0 FROM clip"


def listed(store: Store) -> dict[int, int]:
    with reading(store.engine) as connection:
        return {row.pair_id: row.shown for row in connection.execute(text("SELECT pair_id, shown FROM opening"))}


def test_a_pair_is_listed_until_it_has_its_labels_and_again_when_one_is_taken_back(store: Store, reviewer_id: int) -> None:
    first, second, third = (row.id for row in store.clips()[:3])
    wants = store.add_pair(first, third, "few", labels_wanted=2)
    store.add_pair(third, first, "all")
    store.add_pair(third, second, "practice", labels_wanted=1, answer="A")
    other, _ = store.add_reviewer("other")
    assert listed(store) == {wants: 0}
    store.add_label(reviewer_id, wants, "A", 1.0)
    assert listed(store) == {wants: 0}
    label = store.add_label(other, wants, "B", 1.0)
    assert listed(store) == {}
    store.revise(other, label, "tie", 1.0)
    assert listed(store) == {}
    store.undo(other)
    assert listed(store) == {wants: 0}
    for filmed in (first, second, third):
        assert listed(store) == {wants: 0}
        row = store.clip(filmed)
        assert row is not None
        store.add_clip(ClipRow(**vars(row) | {"video_path": "clips/x.mp4", "video_sha256": "ab", "video_frames_per_s": 15.0}))
    assert listed(store) == {wants: 1}


def test_a_study_from_before_the_list_gets_it(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = create_engine(f"sqlite:///{tmp_path / 'feedback.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for number in range(3):
            connection.execute(text("INSERT INTO clip VALUES (:n, 'highway-v0', 1, 'x', 'x', 0, 8, '', '', '', 0)"), {"n": f"c{number}"})
        connection.execute(text(FILM))
        connection.execute(text("INSERT INTO reviewer (pseudonym, role, scripted, created_unix_s) VALUES ('r', 'reviewer', 0, 0)"))
        pairs = [("c0", "c1", "uniform", 1), ("c1", "c0", "uniform", 2), ("c0", "c2", "uniform", None), ("c2", "c0", "practice", 1)]
        for a, b, reason, wanted in pairs:
            connection.execute(
                text("INSERT INTO pair (clip_a, clip_b, reason, labels_wanted, created_unix_s) VALUES (:a, :b, :reason, :wanted, 0)"),
                {"a": a, "b": b, "reason": reason, "wanted": wanted},
            )
        for pair_id in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO label (reviewer_id, pair_id, attempt, choice, latency_s, replays, mirrored, client_key, created_unix_s) "
                    "VALUES (1, :pair, 0, 'A', 1, 0, 0, :pair, 0)"
                ),
                {"pair": pair_id},
            )
            connection.execute(
                text("INSERT INTO assignment (reviewer_id, pair_id, mirrored, created_unix_s, label_id) VALUES (1, :pair, 0, 0, :pair)"),
                {"pair": pair_id},
            )
    engine.dispose()
    with Store(tmp_path / "feedback.db") as store:
        assert listed(store) == {2: 1}
        other, _ = store.add_reviewer("other")
        assert store.progress(other, True) == (0, 2) and store.progress(1, True) == (2, 1)
        assert [given.pair_id for given in store.next_pairs(other, 5, True)] == [2, 3]


def test_a_question_is_found_as_fast_when_thousands_of_pairs_have_their_labels(tmp_path: Path) -> None:
    """Twelve thousand pairs, all but twenty of them full: a look at them takes no longer than at the twenty alone, but for a constant."""

    def seconds(full: int) -> float:
        with Store(tmp_path / f"{full}.db") as store:
            with writing(store.engine) as connection:
                for number in range(160):
                    connection.exec_driver_sql(
                        "INSERT INTO clip VALUES (?, 'highway-v0', 1, 'x', 'x', 0, 8, '', '', '', 0)", (f"c{number:03d}",)
                    )
                connection.exec_driver_sql(FILM)
            first, _ = store.add_reviewer("first")
            other, _ = store.add_reviewer("other")
            ids = [f"c{number:03d}" for number in range(160)]
            sides = [(a, b) for a in ids for b in ids if a < b][: full + 20]
            with writing(store.engine) as connection:
                for a, b in sides:
                    queries.pair_of(connection, a, b, "uniform", 1)
                connection.exec_driver_sql(
                    "INSERT INTO label (reviewer_id, pair_id, attempt, choice, latency_s, replays, mirrored, client_key, created_unix_s) "
                    "SELECT ?, id, 0, 'A', 1, 0, 0, 'k' || id, 0 FROM pair WHERE id <= ?",
                    (first, full),
                )
                connection.exec_driver_sql(
                    "INSERT INTO assignment (reviewer_id, pair_id, mirrored, created_unix_s, label_id) "
                    "SELECT reviewer_id, pair_id, 0, 0, id FROM label"
                )
                connection.exec_driver_sql("DELETE FROM opening WHERE pair_id <= ?", (full,))
            best = 1.0
            for _ in range(8):
                begun = time.perf_counter()
                ahead = store.ahead(other, 2, True)
                best = min(best, time.perf_counter() - begun)
            assert [given.pair_id for given in ahead.pairs] == [full + 1, full + 2]
            assert ahead.progress == (0, 20)
            return best

    assert seconds(12_000) < 2.0 * seconds(0) + 0.002
