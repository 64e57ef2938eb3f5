"""Anything that people, scripts, files and kills do to a store, in any order: what must hold holds after each step.

A plain model of the study, in dictionaries, is kept beside the store and compared with it.
"""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from feedback import audit, queries
from feedback.database import reading
from feedback.exchange import export_labels, import_labels
from feedback.rows import CHOICES, REASONS, ClipRow
from feedback.store import LabelRejected, Store

PEOPLE, CLIPS = 3, 4
people = some.integers(0, PEOPLE - 1)
choices = some.sampled_from(CHOICES)
suffixes = some.sampled_from([".jsonl", ".parquet"])


def new_folder() -> Path:
    """In memory, where the machine has such a place: nothing here cuts the power, and the disk is slow."""
    return Path(tempfile.mkdtemp(prefix="machine", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


@functools.cache
def template() -> bytes:
    """A study of four clips and nothing else: migrating takes longer than all the rest."""
    folder = new_folder()
    with Store(folder / "feedback.db") as store:
        for number in range(CLIPS):
            name = f"{number:064x}"
            store.add_clip(ClipRow(name, "highway-v0", number, f"clips/{number}.parquet", name, 8.0))
    content = (folder / "feedback.db").read_bytes()
    shutil.rmtree(folder)
    return content


def new_store(path: Path) -> Store:
    path.write_bytes(template())
    return Store(path)


class StoreMachine(RuleBasedStateMachine):
    """A study of six pairs, three of which want one or two labels, and three reviewers."""

    @initialize(wanted=some.lists(some.sampled_from([None, None, 1, 2]), min_size=6, max_size=6))
    def begin(self, wanted: list[int | None]) -> None:
        self.folder = new_folder()
        self.store = new_store(self.folder / "feedback.db")
        names = [row.id for row in self.store.clips()]
        sides = [(a, b) for a in names for b in names if a < b]
        self.wanted: dict[int, int | None] = {}
        self.sides: dict[int, tuple[str, str]] = {}
        self.filmed: set[str] = set()
        for (a, b), many in zip(sides, wanted, strict=True):
            pair_id = self.store.add_pair(a, b, labels_wanted=many)
            self.wanted[pair_id], self.sides[pair_id] = many, (a, b)
        self.people = [self.store.add_reviewer(f"person {number}")[0] for number in range(PEOPLE)]
        self.now_s = 1e9
        self.real_time, queries.time = queries.time, SimpleNamespace(time=lambda: self.now_s)  # type: ignore[assignment]
        self.said: dict[tuple[int, int], str] = {}
        """Standing answers by reviewer and pair, oldest first."""
        self.leases: dict[tuple[int, int], float] = {}
        self.keys = 0
        self.history = 0
        self.exported: tuple[Path, dict[tuple[int, int], str]] | None = None

    def teardown(self) -> None:
        if hasattr(self, "store"):
            queries.time = self.real_time  # type: ignore[assignment]
            self.store.close()
            shutil.rmtree(self.folder)

    def taken(self, pair_id: int, but: int) -> int:
        """How many places of a pair others than one have."""
        holders = {who for (who, pair), until in self.leases.items() if pair == pair_id and until > self.now_s}
        return len(({who for who, pair in self.said if pair == pair_id} | holders) - {but})

    def is_open(self, who: int, pair_id: int) -> bool:
        wanted = self.wanted[pair_id]
        return (who, pair_id) not in self.said and (wanted is None or self.taken(pair_id, who) < wanted)

    def key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    @rule(person=people, count=some.integers(1, 3))
    def ask(self, person: int, count: int) -> None:
        who = self.people[person]
        given = [shown.pair_id for shown in self.store.next_pairs(who, count)]
        can = [pair_id for pair_id in self.wanted if self.is_open(who, pair_id)]
        assert len(given) == min(count, len(can)) and set(given) <= set(can)
        for pair_id in given:
            if self.wanted[pair_id] is not None:
                until = self.leases.get((who, pair_id), 0.0)
                if until < self.now_s + queries.LEASE_S / 2:
                    self.leases[who, pair_id] = self.now_s + queries.LEASE_S

    @rule(number=some.integers(0, CLIPS - 1), again=some.booleans())
    def film(self, number: int, again: bool) -> None:
        name = f"{number:064x}"
        for version in range(1 + again):
            sha = f"{number}{version}"
            self.store.add_clip(
                ClipRow(name, "highway-v0", number, f"clips/{number}.parquet", name, 8.0, video_path="clips/x.mp4", video_sha256=sha)
            )
        self.filmed.add(name)

    @rule(person=people, place=some.integers(0, 5), choice=choices, remark=some.booleans(), again=some.booleans())
    def answer(self, person: int, place: int, choice: Any, remark: bool, again: bool) -> None:
        who, pair_id = self.people[person], sorted(self.wanted)[place]
        why: dict[str, Any] = {"reasons": REASONS[:2], "comment": "so \u00e4h"} if remark else {}
        sent: dict[str, Any] = {"reviewer_id": who, "pair_id": pair_id, "choice": choice, "latency_s": 1.5, "client_key": self.key(), **why}
        if not self.is_open(who, pair_id):
            with pytest.raises(LabelRejected, match="is closed"):
                self.store.add_label(**sent)
            return
        label_id = self.store.add_label(**sent)
        self.said[who, pair_id] = choice
        self.leases.pop((who, pair_id), None)
        self.history += 1
        if again:  # the reply was lost, and the page sends it once more
            assert self.store.add_label(**sent) == label_id

    @rule(person=people, again=some.booleans())
    def undo(self, person: int, again: bool) -> None:
        who, key = self.people[person], self.key()
        mine = [place for place in self.said if place[0] == who]
        taken_back = self.store.undo(who, key)
        assert taken_back == (mine[-1][1] if mine else None)
        if mine:
            del self.said[mine[-1]]
            self.history += 1
            if again:
                assert self.store.undo(who, key) == taken_back

    @precondition(lambda self: bool(self.said))
    @rule(data=some.data(), choice=choices)
    def change_mind(self, data: some.DataObject, choice: Any) -> None:
        who, pair_id = data.draw(some.sampled_from(sorted(self.said)))
        (old,) = [label for label in self.store.labels() if (label.reviewer_id, label.pair_id) == (who, pair_id)]
        self.store.revise(who, old.id, choice, 2.0, client_key=self.key())
        del self.said[who, pair_id]
        self.said[who, pair_id] = choice
        self.history += 2

    @rule(seconds=some.sampled_from([60.0, 0.4 * queries.LEASE_S, 0.7 * queries.LEASE_S, 2 * queries.LEASE_S]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(suffix=suffixes)
    def write_file(self, suffix: str) -> None:
        path = self.folder / f"labels{suffix}"
        assert export_labels(self.store, path) == len(self.said)
        self.exported = path, dict(self.said)

    @precondition(lambda self: self.exported is not None)
    @rule()
    def read_file(self) -> None:
        """Answers of the file that were taken back since are in the history: their keys are known, and nothing is written."""
        path, then = self.exported  # type: ignore[misc]
        before = len(self.store.labels(active=False))
        try:
            added = import_labels(self.store, path)
        except LabelRejected:
            added = 0
        assert added == 0 and len(self.store.labels(active=False)) == before
        with new_store(self.folder / f"copy-{self.key()}.db") as copy:
            assert import_labels(copy, path) == len(then)
            assert Counter(label.choice for label in copy.labels()) == Counter(then.values())
            assert {label.comment for label in copy.labels()} <= {"", "so \u00e4h"}
            assert audit.verify(copy.engine).problems == ()

    @rule()
    def kill_and_open_again(self) -> None:
        """The files as they are now, without the goodbyes that a program says when it ends."""
        folder = new_folder()
        for path in self.folder.iterdir():
            shutil.copy(path, folder)
        self.store.close()
        shutil.rmtree(self.folder)
        if self.exported is not None:
            self.exported = folder / self.exported[0].name, self.exported[1]
        self.folder, self.store = folder, Store(folder / "feedback.db")

    @invariant()
    def labels_are_what_was_said(self) -> None:
        if not hasattr(self, "store"):
            return
        standing = self.store.labels()
        assert {(label.reviewer_id, label.pair_id): label.choice for label in standing} == self.said
        assert len(standing) == len(self.said)
        assert len(self.store.labels(active=False)) == self.history

    @invariant()
    def no_place_is_taken_twice(self) -> None:
        if not hasattr(self, "store"):
            return
        with reading(self.store.engine) as connection:
            rows = connection.exec_driver_sql("SELECT reviewer_id, pair_id, label_id, lease_until_unix_s FROM assignment").all()
        standing = {label.id: (label.reviewer_id, label.pair_id) for label in self.store.labels()}
        assert {row.label_id: (row.reviewer_id, row.pair_id) for row in rows if row.label_id is not None} == standing
        for pair_id, wanted in self.wanted.items():
            places = [row for row in rows if row.pair_id == pair_id]
            if wanted is not None:
                assert sum(row.label_id is not None or (row.lease_until_unix_s or 0) > self.now_s for row in places) <= wanted

    @invariant()
    def counts_and_log_fit(self) -> None:
        if not hasattr(self, "store"):
            return
        for who in self.people:
            done = sum(place[0] == who for place in self.said)
            still = {pair_id for pair_id in self.wanted if self.is_open(who, pair_id)}
            assert self.store.progress(who) == (done, len(still))
            assert self.store.progress(who, True) == (done, sum(self.filmed.issuperset(self.sides[pair_id]) for pair_id in still))
        verdict = audit.verify(self.store.engine)
        assert (verdict.entries, verdict.problems) == (self.history, ())
        connection = sqlite3.connect(self.folder / "feedback.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


FEW = settings(max_examples=10, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=150, stateful_step_count=40)


class TestStore(StoreMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = FEW


@pytest.mark.slow
class TestStoreAtLength(StoreMachine.TestCase):  # type: ignore[misc, name-defined]
    settings = MANY
