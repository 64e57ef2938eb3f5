"""What is asked next: the mix, what information gain is, coverage, and what the queue of disputes holds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from envs.recording import Recording
from feedback.clips import Clip, cut_clips
from feedback.disputes import disagreement_queue, self_agreement
from feedback.panel import Answers
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.rows import LabelRow
from feedback.selection import Query, QueryMix, choose_queries, information_gain
from feedback.windows import WindowConfig, Windows, feature_names
from sensors.errors import ConfigError

NAMES = feature_names(WindowConfig())
SEEN: dict[str, Windows] = {}


def untrained(members: int = 5) -> RewardModel:
    generator = torch.Generator().manual_seed(0)
    net = RewardNet(len(NAMES), 4, members, generator)
    net.ensemble.line.data = torch.randn(net.ensemble.line.shape, generator=generator)
    return RewardModel(
        RewardConfig(), net.requires_grad_(False), torch.randn(64, len(NAMES), generator=generator), Answers(lapse=0.001, tie_weight=1e-6)
    )


@pytest.fixture(scope="module")
def clips(rides: dict[str, list[Recording]]) -> list[Clip]:
    return [clip for name, rows in rides.items() for ride in rows for clip in cut_clips(ride, count=2, driver=name)]


def hashes(query: Query) -> tuple[str, str]:
    return query.first.content_hash, query.second.content_hash


def test_a_batch_has_the_mix_and_no_question_twice(clips: list[Clip]) -> None:
    asked = [hashes(each) for each in choose_queries(clips, seen=SEEN, count=30, seed=9)]
    queries = choose_queries(clips, seen=SEEN, count=40, model=untrained(), asked=asked, seed=1)
    counts = Counter(query.reason for query in queries)
    assert counts == {"information": 20, "uniform": 8, "kcenter": 4, "gold": 4, "repeat": 2, "mirror": 2}
    new = [frozenset(hashes(query)) for query in queries if query.reason not in ("repeat", "mirror")]
    assert len(set(new)) == 36 and not set(new) & {frozenset(pair) for pair in asked}
    for query in queries:
        if query.reason == "repeat":
            assert hashes(query) in asked
        if query.reason == "mirror":
            assert hashes(query)[::-1] in asked
        assert query.first.num_decisions == query.second.num_decisions


def test_gold_is_a_crash_beside_a_ride_that_drives_on(clips: list[Clip]) -> None:
    gold = [query for query in choose_queries(clips, seen=SEEN, count=60, seed=2) if query.reason == "gold"]
    assert len(gold) == 6
    for query in gold:
        good, bad = (query.first, query.second) if query.answer == "A" else (query.second, query.first)
        assert good.outcome.startswith("still driving") and bad.outcome.startswith("crashed at")
    told = {hashes(gold[0]): "B"}
    again = [query for query in choose_queries(clips, seen=SEEN, count=60, gold=told) if query.reason == "gold"]
    assert [(hashes(query), query.answer) for query in again] == [(hashes(gold[0]), "B")]


def test_what_is_missing_is_made_up_by_uniform_pairs(clips: list[Clip]) -> None:
    counts = Counter(query.reason for query in choose_queries(clips, seen=SEEN, count=30, gold={}))
    assert counts == {"uniform": 27, "kcenter": 3}


def test_information_gain_is_asked_near_the_policy_and_never_of_one_clip_alone(clips: list[Clip]) -> None:
    near = {clip.content_hash for clip in clips[:12]}
    queries = [query for query in choose_queries(clips, seen=SEEN, count=30, model=untrained(), near=near) if query.reason == "information"]
    assert queries
    assert all(set(hashes(query)) & near for query in queries)
    assert max(Counter(name for query in queries for name in hashes(query)).values()) <= 2


def test_information_gain_by_hand() -> None:
    """Two members that are sure of opposite answers tell one bit; two that are equally unsure, or sure of the same, tell nothing."""
    model = untrained(members=2)
    progress = NAMES.index("progress")
    line = torch.zeros_like(model.net.ensemble.line)
    line[0, progress], line[5, progress] = 40.0, -40.0  # the progress parts of both members
    model.net.ensemble.line.data = line
    model.net.ensemble.last.data.zero_()
    model = replace(model)  # anchors anew
    fast, slow = torch.zeros(3, len(NAMES)), torch.zeros(3, len(NAMES))
    fast[:, progress] = 4.0
    no = torch.zeros(3, dtype=torch.bool)
    one, other = Windows(fast, no, no), Windows(slow, no, no)
    assert information_gain(model, [(one, other), (one, one)]).tolist() == pytest.approx([math.log(2), 0.0], abs=0.02)
    line[5, progress] = 40.0
    assert information_gain(replace(model), [(one, other)]).tolist() == pytest.approx([0.0], abs=1e-3)


def test_pairs_chosen_by_information_gain_have_more_of_it_than_others(clips: list[Clip]) -> None:
    model = untrained()
    queries = choose_queries(clips, seen=SEEN, count=24, model=model, seed=3)
    gain = {
        reason: information_gain(
            model,
            [
                (each.first.decisions().windows(WindowConfig()), each.second.decisions().windows(WindowConfig()))
                for each in queries
                if each.reason == reason
            ],
        ).mean()
        for reason in ("information", "uniform")
    }
    assert gain["information"] > 1.2 * gain["uniform"]


def test_same_seed_same_questions_and_wrong_shares_are_refused(clips: list[Clip]) -> None:
    one, other = (choose_queries(clips, seen=SEEN, count=20, seed=4) for _ in range(2))
    assert [hashes(each) for each in one] == [hashes(each) for each in other]
    with pytest.raises(ConfigError, match="sum to 1"):
        QueryMix(information=0.9)


def said(number: int, reviewer: str, first: str, second: str, choice: str, pair_id: int = 1) -> LabelRow:
    return LabelRow(number, pair_id, first, second, "uniform", 1, reviewer, True, choice, None, 1.0, 0, False, str(number), 0.0)


def test_queue_holds_disputed_pairs_most_urgent_first() -> None:
    labels = [
        said(1, "ann", "x", "y", "A"),
        said(2, "bob", "y", "x", "B"),  # agrees: x is better
        said(3, "ann", "p", "q", "A", 2),
        said(4, "bob", "p", "q", "B", 2),
        said(5, "ann", "q", "p", "A", 3),  # contradicts herself
        said(6, "bob", "s", "t", "B", 4),  # misses what is known
        said(7, "ann", "v", "w", "skip", 5),
        said(8, "bob", "v", "w", "A", 5),
    ]
    queue = disagreement_queue(labels, {4: "A"})
    assert [(each.first, each.second) for each in queue] == [("s", "t"), ("p", "q")]
    assert queue[0].missed == ("bob",)
    assert queue[1].contradicted == ("ann",)
    assert queue[1].said == (("ann", "p"), ("bob", "q"), ("ann", "q"))
    assert queue[1].entropy == pytest.approx(-(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3))
    assert self_agreement(labels) == {"ann": (0, 1), "bob": (0, 0)}
