"""Labels in files, and people's accounts."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from feedback import accounts as accounts_module
from feedback.accounts import Accounts
from feedback.audit import verify
from feedback.exchange import COLUMNS, export_labels, import_labels
from feedback.store import ClipRow, LabelRejected, Store, StoreError


@pytest.fixture
def labelled(store: Store) -> Store:
    people, _ = store.add_reviewer("otter")
    script, _ = store.add_reviewer("oracle", scripted=True)
    for number, (pair_id, *_rest) in enumerate(store.pairs()):
        why = {"reasons": ["safety", "rules"], "comment": "it cut in, \u00e4h"} if number == 1 else {}
        store.add_label(people, pair_id, ("A", "B", "tie", "cannot")[number], 1.5 + number, replays=number, **why)
        store.add_label(script, pair_id, "A", 0.0)
    store.undo(script)
    return store


@pytest.fixture
def empty(study: Path, store: Store) -> Store:
    """A second study with the same clips, and nothing else."""
    other = Store(study / "other.db")
    for row in store.clips():
        other.add_clip(ClipRow(**vars(row)))
    return other


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_brings_every_active_label_into_another_study(labelled: Store, empty: Store, study: Path, suffix: str) -> None:
    path = study / f"labels.{suffix}"
    assert export_labels(labelled, path) == 7
    assert import_labels(empty, path) == 7
    assert empty.labels_hash() == labelled.labels_hash()
    for name in COLUMNS:
        assert [getattr(row, name) for row in empty.labels()] == [getattr(row, name) for row in labelled.labels()], name
    assert {row.comment: row.reasons for row in empty.labels()} == {"": (), "it cut in, \u00e4h": ("safety", "rules")}
    assert verify(empty.engine).problems == ()
    assert import_labels(empty, path) == 0
    assert len(empty.labels(active=False)) == 7
    assert empty.reviewer_by_token("") is None
    empty.close()


def test_parquet_holds_the_same_rows_as_jsonl(labelled: Store, study: Path) -> None:
    export_labels(labelled, study / "labels.jsonl")
    export_labels(labelled, study / "labels.parquet")
    lines = (study / "labels.jsonl").read_text().splitlines()
    assert pyarrow.parquet.read_table(study / "labels.parquet").to_pylist() == [json.loads(line) for line in lines]


def test_a_file_of_an_earlier_version_has_no_reasons(labelled: Store, empty: Store, study: Path) -> None:
    path = study / "labels.jsonl"
    export_labels(labelled, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({name: line[name] for name in line if name not in ("reasons", "comment")}) + "\n" for line in lines))
    assert import_labels(empty, path) == 7
    assert {(row.reasons, row.comment) for row in empty.labels()} == {((), "")}
    empty.close()


def test_no_labels_are_a_file_with_no_rows(store: Store, study: Path) -> None:
    assert export_labels(store, study / "labels.parquet") == 0
    assert pyarrow.parquet.read_table(study / "labels.parquet").column_names == list(COLUMNS)


def test_another_suffix_or_folder_is_refused_and_leaves_no_file(labelled: Store, study: Path) -> None:
    with pytest.raises(StoreError, match="suffix '.csv', expected .jsonl or .parquet"):
        export_labels(labelled, study / "labels.csv")
    with pytest.raises(StoreError, match="No such file"):
        export_labels(labelled, study / "nowhere" / "labels.jsonl")
    assert not list(study.glob("labels*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choice": "C"}, "unknown choice 'C'"),
        ({"latency_s": float("nan")}, "latency_s is nan"),
        ({"replays": True}, "replays is True, expected int"),
        ({"clip_a": "nowhere"}, "no clip 'nowhere'"),
        ({"coice": "A"}, "unknown key 'coice'; did you mean 'choice'"),
        ({"client_key": ""}, "client key"),
        ({"client_key": "another"}, "is closed"),
        ({"reviewer": "oracle"}, "'oracle' is a script in this study"),
        ({"reasons": ["safty"]}, "unknown reason 'safty'; did you mean 'safety'"),
        ({"reasons": [3]}, "reasons has 3, expected words"),
        ({"comment": None}, "comment is None, expected str"),
    ],
)
def test_one_bad_line_is_named_and_no_line_is_imported(
    labelled: Store, empty: Store, study: Path, changes: dict[str, object], message: str
) -> None:
    path = study / "labels.jsonl"
    export_labels(labelled, path)
    lines = path.read_text().splitlines()
    people = [line for line in lines if json.loads(line)["reviewer"] == "otter"]
    bad = json.dumps(json.loads(people[0]) | changes)
    path.write_text("\n".join([lines[1], *people, bad]) + "\n")
    with pytest.raises(LabelRejected, match=f"line 6: .*{message}.*no line was imported"):
        import_labels(empty, path)
    assert empty.labels(active=False) == empty.reviewers() == empty.pairs() == []
    empty.close()


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "expected an object, got list"), ("{}", "clip_a is None, expected str")]
)
def test_a_line_that_is_no_label_is_refused(store: Store, study: Path, text: str, message: str) -> None:
    (study / "labels.jsonl").write_text(text)
    with pytest.raises(LabelRejected, match=f"line 1: {message}"):
        import_labels(store, study / "labels.jsonl")


def test_a_file_that_cannot_be_read_is_one_clear_line(store: Store, study: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        import_labels(store, study / "nowhere.jsonl")
    with pytest.raises(StoreError, match="suffix '.csv', expected .jsonl or .parquet"):
        import_labels(store, study / "labels.csv")
    (study / "labels.parquet").write_bytes(b"no table")
    with pytest.raises(StoreError, match="no readable Parquet file"):
        import_labels(store, study / "labels.parquet")
    (study / "labels.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="not UTF-8"):
        import_labels(store, study / "labels.jsonl")


def test_a_name_is_kept_apart_from_the_pseudonym(store: Store) -> None:
    person, token = Accounts(store).add_person("Ada Lovelace")
    assert "ada" not in person.pseudonym.lower()
    assert store.reviewer_by_token(token) == person
    with pytest.raises(StoreError, match="has an account already"):
        Accounts(store).add_person("Ada Lovelace")


def test_erasing_a_person_leaves_labels_and_no_trace_of_the_name(store: Store, study: Path, kind: str) -> None:
    accounts = Accounts(store)
    person, token = accounts.add_person("Ada Lovelace")
    secret = accounts.log_in(token)
    store.add_label(person.id, store.pairs()[0][0], "A", 1.0)
    assert kind == "postgres" or any(b"Ada Lovelace" in path.read_bytes() for path in study.iterdir())
    assert accounts.erase("Ada Lovelace") == person.pseudonym
    assert not any(b"Ada Lovelace" in path.read_bytes() for path in study.iterdir())
    assert [row.reviewer for row in store.labels()] == [person.pseudonym]
    assert accounts.session(secret) is None
    assert accounts.log_in(token) is None
    with pytest.raises(StoreError, match="no reviewer 'Ada Lovelace'"):
        accounts.erase("Ada Lovelace")


def test_a_new_token_ends_the_old_one_and_its_sessions(store: Store) -> None:
    accounts = Accounts(store)
    _, old = accounts.add_person("Ada")
    secret = accounts.log_in(old)
    new = accounts.renew_token("Ada")
    assert accounts.session(secret) is None
    assert accounts.log_in(old) is None
    assert accounts.log_in(new) is not None
    with pytest.raises(StoreError, match="did you mean 'Ada'"):
        accounts.renew_token("Adam")


def test_each_log_in_is_a_new_session_and_ends_the_browsers_old_one(store: Store) -> None:
    accounts = Accounts(store)
    _, token = accounts.add_person("Ada")
    first = accounts.log_in(token)
    second = accounts.log_in(token, old_session=first)
    assert first != second
    assert accounts.session(first) is None
    session = accounts.session(second)
    assert session is not None and session.csrf_matches(session.csrf_token)
    assert not session.csrf_matches(session.csrf_token[:-1]) and not session.csrf_matches(None)


def test_sessions_end_when_idle_and_when_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(accounts_module.time, "time", lambda: now[0])
    accounts = Accounts(store, idle_s=600.0, absolute_s=1500.0)
    _, token = accounts.add_person("Ada")
    idle = accounts.log_in(token)
    now[0] += 599
    assert accounts.session(idle) is not None
    now[0] += 599  # used in between, so not idle
    assert accounts.session(idle) is not None
    now[0] += 303  # used, yet 1501 s old
    assert accounts.session(idle) is None
    fresh = accounts.log_in(token)
    now[0] += 601
    assert accounts.session(fresh) is None
    now[0] -= 601  # ended for good
    assert accounts.session(fresh) is None
