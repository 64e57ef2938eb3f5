"""Pairs that want so many labels: a reviewer who is given one has a place in it for a while, and nobody is given a place that is taken."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from feedback import queries
from feedback.rows import Assignment
from feedback.store import LabelRejected, Store


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock for leases that a test sets."""
    clock = SimpleNamespace(s=time.time())
    monkeypatch.setattr(queries, "time", SimpleNamespace(time=lambda: clock.s))
    return clock


@pytest.fixture
def scarce(store: Store) -> Store:
    """A study in which two pairs want one label, two want two, and everybody is asked about four others."""
    clips = [clip.id for clip in store.clips()]
    for number, _ in enumerate(store.pairs()):
        store.add_pair(clips[number + 1], clips[number], "gold", labels_wanted=1 + number // 2)
    return store


def limited(store: Store, reviewer_id: int, count: int = 20) -> list[int]:
    """Which of the pairs that want so many labels a reviewer is given."""
    wanting = {number for number, *_, reason in store.pairs() if reason == "gold"}
    return [shown.pair_id for shown in store.next_pairs(reviewer_id, count) if shown.pair_id in wanting]


def people(store: Store, count: int) -> list[int]:
    return [store.add_reviewer(f"reviewer {number}")[0] for number in range(count)]


def test_two_reviewers_never_hold_the_same_place(scarce: Store) -> None:
    first, second, third = people(scarce, 3)
    *ones, three, four = [number for number, *_, reason in scarce.pairs() if reason == "gold"]
    assert limited(scarce, first) == [*ones, three, four]
    assert limited(scarce, second) == [three, four]
    assert limited(scarce, third) == []
    assert scarce.progress(third).remaining == 4
    with pytest.raises(LabelRejected, match="or others are at it"):
        scarce.add_label(third, ones[0], "A", 1.0)
    scarce.add_label(first, ones[0], "A", 1.0)


def test_a_lease_that_ends_goes_back(scarce: Store, now: SimpleNamespace) -> None:
    first, second = people(scarce, 2)
    held = limited(scarce, first)
    assert len(limited(scarce, second)) == 2
    now.s += queries.LEASE_S + 1
    assert limited(scarce, second) == sorted(held, key=lambda number: number in held[:2])  # those given before come first
    assert limited(scarce, first) == held[2:]
    with pytest.raises(LabelRejected, match="or others are at it"):
        scarce.add_label(first, held[0], "A", 1.0)
    scarce.add_label(second, held[0], "A", 1.0)


def test_asking_again_renews_a_lease(scarce: Store, now: SimpleNamespace) -> None:
    first, second = people(scarce, 2)
    held = limited(scarce, first)
    for _ in range(4):
        now.s += 0.6 * queries.LEASE_S
        assert limited(scarce, first) == held
        assert not set(limited(scarce, second)) & set(held[:2])


def test_whoever_comes_back_late_can_still_answer_if_nobody_else_was_given_the_pair(scarce: Store, now: SimpleNamespace) -> None:
    (first,) = people(scarce, 1)
    held = limited(scarce, first)
    now.s += 10 * queries.LEASE_S
    scarce.add_label(first, held[0], "B", 1.0)


def test_an_answer_sent_again_after_the_lease_is_the_same_answer(scarce: Store, now: SimpleNamespace) -> None:
    first, second = people(scarce, 2)
    held = limited(scarce, first)
    label_id = scarce.add_label(first, held[0], "B", 1.0, client_key="the-answer")
    now.s += 2 * queries.LEASE_S
    assert held[0] not in limited(scarce, second)
    assert scarce.add_label(first, held[0], "B", 1.0, client_key="the-answer") == label_id


def test_taking_an_answer_back_frees_the_place(scarce: Store) -> None:
    first, second = people(scarce, 2)
    held = limited(scarce, first)
    scarce.add_label(first, held[0], "A", 1.0)
    assert held[0] not in limited(scarce, second)
    assert scarce.undo(first) == held[0]
    assert held[0] in limited(scarce, second)
    assert held[0] not in limited(scarce, first)
    assert scarce.progress(first).remaining == 4 + 3


def test_reviewers_who_ask_at_the_same_moment_get_different_pairs(scarce: Store) -> None:
    everybody = people(scarce, 8)
    with ThreadPoolExecutor(len(everybody)) as pool:
        given = list(pool.map(lambda number: limited(scarce, number), everybody))
    counts = {pair_id: sum(pair_id in each for each in given) for each in given for pair_id in each}
    assert sorted(counts.values()) == [1, 1, 2, 2]


def test_reviewers_who_answer_one_pair_at_the_same_moment_are_one_label(scarce: Store) -> None:
    everybody, wanted = people(scarce, 6), next(number for number, *_, reason in scarce.pairs() if reason == "gold")

    def answer(reviewer_id: int) -> bool:
        try:
            return scarce.add_label(reviewer_id, wanted, "A", 1.0) > 0
        except LabelRejected:
            return False

    with ThreadPoolExecutor(len(everybody)) as pool:
        assert sum(pool.map(answer, everybody)) == 1
    assert [label.pair_id for label in scarce.labels()] == [wanted]


def test_pairs_that_everybody_is_asked_about_are_held_by_nobody(store: Store) -> None:
    first, second = people(store, 2)
    asked: list[list[Assignment]] = [store.next_pairs(number, 20) for number in (first, second)]
    assert [[shown.pair_id for shown in each] for each in asked] == [[number for number, *_ in store.pairs()]] * 2
