"""What the store promises: nothing rewritten, nothing doubled, nothing half-written, and one clear line when it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

import feedback
from feedback.database import MIGRATIONS, reading, writing
from feedback.rows import Assignment, ClipRow, RideRow
from feedback.store import LabelRejected, Store, StoreError
from feedback.tables import APPEND_ONLY, SCHEMA_REVISIONS, metadata


def clip_row(number: int, **changes: object) -> ClipRow:
    row = {
        "id": f"{number:064x}",
        "env_id": "highway-v0",
        "seed": 3,
        "scenes_path": "clips/x.parquet",
        "scenes_sha256": "ab",
        "duration_s": 8.0,
    }
    return ClipRow(**(row | changes))  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_public_names_are_the_stores() -> None:
    assert feedback.Store is Store
    assert feedback.LabelRejected is LabelRejected


def test_database_is_durable_and_checks_references(store: Store, kind: str) -> None:
    with writing(store.engine) as connection:
        if kind == "sqlite":
            names = ("journal_mode", "synchronous", "foreign_keys")
            assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names] == ["wal", 2, 1]
        else:
            names = ("fsync", "full_page_writes", "synchronous_commit")
            assert [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names] == ["on", "on", "on"]
    with pytest.raises(StoreError, match="(?i)foreign key"), writing(store.engine) as connection:
        connection.exec_driver_sql(
            "INSERT INTO rating (reviewer_id, ride_id, stars, comment, client_key, created_unix_s) VALUES (9, 9, 1, '', '', 0)"
        )


def test_migrations_make_exactly_the_tables_of_the_program(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with reading(store.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    revisions = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert tuple(reversed(revisions)) == SCHEMA_REVISIONS


def test_opinions_can_be_neither_changed_nor_deleted(store: Store, reviewer_id: int, kind: str) -> None:
    first = store.pairs()[0]
    store.add_label(reviewer_id, first[0], "A", 1.0, comment="closer")
    store.add_takeover(reviewer_id, first[1], 1.0, 2.0)
    store.add_clip(clip_row(9, video_path="clips/9.mp4", video_sha256="cd"))
    store.add_pair(first[1], first[2], "practice", answer="A")
    lessons, _ = store.practice(reviewer_id, 1)
    store.add_practice(reviewer_id, lessons[0].pair_id, "A")
    ride_id = store.add_ride(
        RideRow(0, reviewer_id, "", "highway-v0", 3, "idm", "rides/a.parquet", "ab", 12.0, 2.0, 250.0, "", None, 0.0), "ride"
    )
    store.rate_ride(reviewer_id, ride_id, 4)
    for table in APPEND_ONLY:
        column = {"video": "clip_id", "takeover": "clip_id", "remark": "label_id"}.get(table, "id")
        other = f"REPLACE INTO {table} SELECT * FROM {table}" if kind == "sqlite" else f"TRUNCATE {table} CASCADE"
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", other):
            with pytest.raises(IntegrityError, match="append-only"), store.engine.begin() as connection:
                connection.execute(text(statement))


def test_the_same_clip_again_changes_nothing(store: Store) -> None:
    before = store.clips()
    assert store.add_clip(before[0]) == before[0].id
    assert store.clips() == before


def test_a_clip_gets_its_video_later(store: Store) -> None:
    row = store.clips()[0]
    assert row.video_path is None
    store.add_clip(clip_row(1, scenes_sha256=row.scenes_sha256, video_path="clips/1.mp4", video_sha256="cd", video_frames_per_s=20.0))
    found = store.clip(row.id)
    assert found is not None
    assert (found.video_path, found.video_sha256, found.video_frames_per_s) == ("clips/1.mp4", "cd", 20.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "../x"}, "clip id '../x'"),
        ({"duration_s": math.nan}, "duration_s is nan"),
        ({"duration_s": 0.0}, "duration_s is 0.0"),
        ({"scenes_path": "/etc/passwd"}, "not inside the study"),
        ({"scenes_path": "clips/../../x"}, "not inside the study"),
        ({"scenes_path": "C:\\x"}, "not inside the study"),
        ({"video_path": "../x.mp4", "video_sha256": "ab"}, "not inside the study"),
        ({"video_path": "x.mp4"}, "give both or neither"),
    ],
)
def test_a_clip_with_impossible_values_is_refused(store: Store, changes: dict[str, object], message: str) -> None:
    before = store.clips()
    with pytest.raises(StoreError, match=message.replace("\\", "\\\\")):
        store.add_clip(clip_row(9, **changes))
    assert store.clips() == before


def test_one_id_cannot_name_two_clips(store: Store) -> None:
    with pytest.raises(StoreError, match="hash of the clip's content"):
        store.add_clip(clip_row(1, scenes_sha256="other"))


def test_a_pair_needs_two_known_clips(store: Store) -> None:
    known = store.clips()[0].id
    with pytest.raises(StoreError, match="no clip 'nowhere'"):
        store.add_pair(known, "nowhere")
    with pytest.raises(StoreError, match="with itself"):
        store.add_pair(known, known)
    assert len(store.pairs()) == 4


def test_the_same_question_is_the_same_pair(store: Store) -> None:
    number, first, second, reason = store.pairs()[0]
    assert store.add_pair(first, second, reason) == number
    assert store.add_pair(first, second, "repeat") != number
    assert store.add_pair(second, first, reason) != number


def test_a_token_finds_its_reviewer_and_is_stored_only_as_a_hash(store: Store, study: Path) -> None:
    number, token = store.add_reviewer("heron", scripted=True)
    found = store.reviewer_by_token(token)
    assert found is not None and (found.id, found.pseudonym, found.scripted) == (number, "heron", True)
    assert store.reviewer_by_token(token[:-1]) is None
    assert len(token) >= 22  # 128 bits in base 64
    assert not any(token.encode() in path.read_bytes() for path in study.iterdir())
    with reading(store.engine) as connection:
        assert not any(token in str(connection.execute(table.select()).all()) for table in metadata.tables.values())


def test_a_taken_pseudonym_is_refused(store: Store, reviewer_id: int) -> None:
    with pytest.raises(StoreError, match="'otter' exists already"):
        store.add_reviewer("otter")


def test_the_open_pair_stays_until_it_is_answered(store: Store, reviewer_id: int, database: str) -> None:
    first = store.next_pair(reviewer_id)
    assert first is not None
    with Store(database) as reopened:
        assert reopened.next_pair(reviewer_id) == first
    store.add_label(reviewer_id, first.pair_id, "tie", 2.0)
    second = store.next_pair(reviewer_id)
    assert second is not None and second.pair_id != first.pair_id


def test_pairs_fetched_ahead_come_in_the_order_of_next_pair(store: Store, reviewer_id: int) -> None:
    ahead = store.next_pairs(reviewer_id, 2)
    for expected in ahead:
        assert store.next_pair(reviewer_id) == expected
        store.add_label(reviewer_id, expected.pair_id, "skip", 0.1)


def test_every_pair_is_asked_once_and_progress_counts(store: Store, reviewer_id: int) -> None:
    asked = []
    while (question := store.next_pair(reviewer_id)) is not None:
        assert store.progress(reviewer_id) == (len(asked), 4 - len(asked))
        asked.append(question.pair_id)
        store.add_label(reviewer_id, question.pair_id, "A", 1.0)
    assert sorted(asked) == [pair[0] for pair in store.pairs()]
    assert store.progress(reviewer_id) == (4, 0)


def test_only_pairs_with_two_videos_are_shown_to_people(store: Store, reviewer_id: int) -> None:
    assert store.next_pair(reviewer_id, with_video=True) is None
    for clip in store.clips()[1:3]:
        store.add_clip(ClipRow(**(vars(clip) | {"video_path": f"clips/{clip.seed}.mp4", "video_sha256": "ab"})))
    question = store.next_pair(reviewer_id, with_video=True)
    assert question is not None and {question.clip_a.seed, question.clip_b.seed} == {2, 3}
    assert store.progress(reviewer_id, with_video=True) == (0, 1)


def test_sides_are_mixed_over_reviewers_and_kept(store: Store) -> None:
    sides = []
    for number in range(40):
        reviewer_id, _ = store.add_reviewer(f"r{number}")
        question = store.next_pair(reviewer_id)
        assert question is not None
        assert (question.left, question.right) == (
            (question.clip_b, question.clip_a) if question.mirrored else (question.clip_a, question.clip_b)
        )
        assert store.assignment(reviewer_id, question.pair_id) == question
        sides.append(question.mirrored)
    assert 8 <= sum(sides) <= 32  # a fair coin leaves these bounds once in 5,000 runs, and this one is keyed: it is always the same run


def test_a_side_becomes_a_choice_in_the_pairs_own_order() -> None:
    plain = Assignment(1, clip_row(1), clip_row(2), "uniform", mirrored=False)
    mirrored = Assignment(1, clip_row(1), clip_row(2), "uniform", mirrored=True)
    assert [plain.choice("left"), plain.choice("right")] == ["A", "B"]
    assert [mirrored.choice("left"), mirrored.choice("right")] == ["B", "A"]


def test_a_label_sent_twice_is_one_label(store: Store, reviewer_id: int) -> None:
    pair_id = store.pairs()[0][0]
    first = store.add_label(reviewer_id, pair_id, "B", 3.0, client_key="key-1")
    assert store.add_label(reviewer_id, pair_id, "B", 3.5, client_key="key-1") == first
    assert len(store.labels()) == 1


def test_a_client_key_cannot_name_two_answers(store: Store, reviewer_id: int) -> None:
    one, two = (pair[0] for pair in store.pairs()[:2])
    store.add_label(reviewer_id, one, "B", 3.0, client_key="key-1")
    for pair_id, choice in ((two, "B"), (one, "A")):
        with pytest.raises(LabelRejected, match="already names another answer"):
            store.add_label(reviewer_id, pair_id, choice, 3.0, client_key="key-1")  # type: ignore[arg-type]
    with pytest.raises(LabelRejected, match="already names an answer"):
        store.undo(reviewer_id, client_key="key-1")
    assert len(store.labels(active=False)) == 1


def test_undo_is_a_new_row_and_opens_the_pair_again(store: Store, reviewer_id: int) -> None:
    question = store.next_pair(reviewer_id)
    assert question is not None
    label_id = store.add_label(reviewer_id, question.pair_id, "A", 1.0)
    assert store.undo(reviewer_id) == question.pair_id
    assert store.labels() == []
    history = store.labels(active=False)
    assert [(row.id, row.choice, row.undoes) for row in history] == [(label_id, "A", None), (label_id + 1, "undo", label_id)]
    assert store.next_pair(reviewer_id) == question
    store.add_label(reviewer_id, question.pair_id, "B", 1.0)
    assert [row.choice for row in store.labels()] == ["B"]


def test_undo_goes_back_answer_by_answer_and_then_says_nothing_is_left(store: Store, reviewer_id: int) -> None:
    pairs = [pair[0] for pair in store.pairs()[:3]]
    for pair_id in pairs:
        store.add_label(reviewer_id, pair_id, "A", 1.0)
    assert [store.undo(reviewer_id) for _ in range(4)] == [*reversed(pairs), None]


def test_an_undo_sent_twice_takes_back_one_answer(store: Store, reviewer_id: int) -> None:
    for pair in store.pairs()[:2]:
        store.add_label(reviewer_id, pair[0], "A", 1.0)
    assert store.undo(reviewer_id, client_key="undo-1") == store.undo(reviewer_id, client_key="undo-1")
    assert len(store.labels()) == 1


def test_undo_takes_back_no_one_elses_answer(store: Store, reviewer_id: int) -> None:
    other, _ = store.add_reviewer("heron")
    store.add_label(other, store.pairs()[0][0], "A", 1.0)
    assert store.undo(reviewer_id) is None
    assert len(store.labels()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_id": 99}, "no pair 99 in this study"),
        ({"reviewer_id": 99}, "unknown reviewer 99"),
        ({"latency_s": math.nan}, "latency_s is nan"),
        ({"latency_s": -0.5}, "latency_s is -0.5"),
        ({"latency_s": math.inf}, "latency_s is inf"),
        ({"choice": "a"}, "unknown choice 'a'"),
        ({"choice": "undo"}, "unknown choice 'undo'"),
        ({"replays": -1}, "replays is -1"),
        ({"replays": 1.5}, "replays is 1.5"),
        ({"client_key": ""}, "client key ''"),
        ({"client_key": "x" * 65}, "client key"),
    ],
)
def test_an_impossible_label_is_rejected_in_one_line(store: Store, reviewer_id: int, changes: dict[str, object], message: str) -> None:
    answer = {"reviewer_id": reviewer_id, "pair_id": store.pairs()[0][0], "choice": "A", "latency_s": 1.0} | changes
    with pytest.raises(LabelRejected, match=message) as rejection:
        store.add_label(**answer)  # type: ignore[arg-type]
    assert "\n" not in str(rejection.value)
    assert store.labels(active=False) == []


def test_an_answered_pair_is_closed_to_its_reviewer_only(store: Store, reviewer_id: int) -> None:
    pair_id = store.pairs()[0][0]
    store.add_label(reviewer_id, pair_id, "A", 1.0)
    with pytest.raises(LabelRejected, match=f"pair {pair_id} is closed: reviewer {reviewer_id} has answered it"):
        store.add_label(reviewer_id, pair_id, "B", 1.0)
    store.add_label(store.add_reviewer("heron")[0], pair_id, "B", 1.0)
    assert [row.choice for row in store.labels()] == ["A", "B"]


def test_a_pair_closes_when_it_has_the_labels_it_wants(store: Store, reviewer_id: int) -> None:
    first, second = (clip.id for clip in store.clips()[:2])
    pair_id = store.add_pair(first, second, "gold", labels_wanted=1)
    other, _ = store.add_reviewer("heron")
    store.add_label(other, pair_id, "A", 1.0)
    assert store.progress(reviewer_id).remaining == 4
    with pytest.raises(LabelRejected, match="has the 1 labels it wants"):
        store.add_label(reviewer_id, pair_id, "A", 1.0)
    store.undo(other)
    store.add_label(reviewer_id, pair_id, "A", 1.0)


def test_a_rejected_label_leaves_no_assignment(store: Store, reviewer_id: int) -> None:
    with pytest.raises(LabelRejected):
        store.add_label(reviewer_id, 99, "A", 1.0)
    with reading(store.engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM assignment").scalar() == 0


def test_labels_hash_depends_on_what_labels_say_and_not_on_their_numbers(study: Path) -> None:
    hashes = []
    for name, order in (("one", [0, 1]), ("two", [1, 0])):
        with Store(study / f"{name}.db") as store:
            ids = [store.add_clip(clip_row(number)) for number in (1, 2, 3)]
            pairs = [store.add_pair(ids[place], ids[place + 1]) for place in order]
            reviewer_id, _ = store.add_reviewer("otter")
            hashes.append([store.labels_hash()])
            for place in order:
                store.add_label(reviewer_id, pairs[order.index(place)], "AB"[place], 1.0)  # type: ignore[arg-type]
            hashes[-1].append(store.labels_hash())
            store.undo(reviewer_id)
            hashes[-1].append(store.labels_hash())
    assert hashes[0][:2] == hashes[1][:2]
    assert len(set(hashes[0])) == 3


def test_takeovers_are_stored_once_with_both_actions(store: Store, reviewer_id: int) -> None:
    clip_id = store.clips()[0].id
    number = store.add_takeover(
        reviewer_id, clip_id, 2.5, 4.0, "too close", driver_actions=[1, 3], person_actions=[(0.0, -4.0), (0.1, -2.0)], client_key="t"
    )
    again = store.add_takeover(
        reviewer_id, clip_id, 2.5, 4.0, "too close", driver_actions=[1, 3], person_actions=[(0.0, -4.0), (0.1, -2.0)], client_key="t"
    )
    watched = store.add_takeover(reviewer_id, None, None, 8.0, recording="runs/demo/1.parquet")
    assert again == number != watched
    first, second = store.takeovers()
    assert (first.clip_id, first.onset_s, first.release_s, first.cause) == (clip_id, 2.5, 4.0, "too close")
    assert (first.driver_actions, first.person_actions) == ((1, 3), ((0.0, -4.0), (0.1, -2.0)))
    assert (second.onset_s, second.release_s, second.recording) == (None, 8.0, "runs/demo/1.parquet")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reviewer_id": 99}, "unknown reviewer 99"),
        ({"clip_id": "nowhere"}, "no clip 'nowhere'"),
        ({"clip_id": None}, "without a ride"),
        ({"onset_s": 5.0}, "onset_s is 5.0"),
        ({"onset_s": math.nan}, "onset_s is nan"),
        ({"release_s": -1.0, "onset_s": None}, "release_s is -1.0"),
        ({"recording": "../x"}, "not inside the study"),
        ({"person_actions": [math.nan]}, "person_actions: expected finite numbers"),
        ({"cause": "x" * 1001}, "cause has 1001 characters"),
    ],
)
def test_an_impossible_takeover_is_rejected(store: Store, reviewer_id: int, changes: dict[str, object], message: str) -> None:
    ride = {"reviewer_id": reviewer_id, "clip_id": store.clips()[0].id, "onset_s": 1.0, "release_s": 4.0} | changes
    with pytest.raises(StoreError, match=message):
        store.add_takeover(**ride)  # type: ignore[arg-type]
    assert store.takeovers() == []


def test_a_transaction_that_fails_half_way_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), writing(store.engine) as connection:
        connection.exec_driver_sql("INSERT INTO reviewer (pseudonym, role, scripted, created_unix_s) VALUES ('x', 'reviewer', 0, 0)")
        raise RuntimeError
    assert store.reviewers() == []


def test_an_answer_holds_the_turn_for_few_questions_only(store: Store, reviewer_id: int) -> None:
    """Everybody waits for whoever writes: what can be asked without the write lock is asked after it."""
    for row in store.clips():
        store.add_clip(ClipRow(**{**vars(row), "video_path": "clips/x.mp4", "video_sha256": row.id}))
    shown = store.ahead(reviewer_id, 2, with_video=True).pairs[0]
    asked: list[str] = []
    event.listen(store.engine, "begin", lambda connection: asked.append("BEGIN"))
    event.listen(store.engine, "commit", lambda connection: asked.append("COMMIT"))
    event.listen(store.engine, "before_cursor_execute", lambda *about: asked.append(about[2]))
    _, ahead = store.answer_shown(reviewer_id, shown.pair_id, "left", 1.0, 0, "one")
    written, read = asked[: asked.index("COMMIT")], asked[asked.index("COMMIT") :]
    assert sum("INSERT INTO label" in line for line in written) == 1
    assert len([line for line in written if line != "BEGIN" and "advisory" not in line]) <= 11
    for later in ("FROM clip", "AS settled", "SELECT label.latency_s"):
        assert not any(later in line for line in written) and any(later in line for line in read), later
    assert len(ahead.pairs) == 2
