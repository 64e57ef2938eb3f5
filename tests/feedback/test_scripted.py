"""Scripted teachers: B-Pref's formulae, and answers that go through the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.recording import Recording
from feedback.clips import ClipShelf, cut_clips
from feedback.pairs import propose_pairs
from feedback.scripted import ReturnScale, Teacher, review_with, teacher_named, true_reward
from feedback.store import Store
from feedback.windows import Decisions
from sensors.errors import ConfigError
from sensors.scene import Scene

Build = Callable[..., Scene]
GOOD, BAD = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, -10.0, 0.0])


def decision(scene: Scene, next_scene: Scene, ended: bool = False) -> Decisions:
    flag = torch.tensor([False])
    return Decisions(scene, torch.tensor([1]), next_scene, flag, torch.tensor([ended]), flag, 1.0)


def test_reward_is_progress_less_crash_lane_change_and_short_headway(highway_scene: Build) -> None:
    start = highway_scene([(100.0, -4.0, 20.0)])
    plain = true_reward(decision(start, highway_scene([(125.0, -4.0, 25.0)], time_s=1.0)))
    changed = true_reward(decision(start, highway_scene([(125.0, 0.0, 25.0)], time_s=1.0)))
    close = true_reward(decision(start, highway_scene([(125.0, -4.0, 25.0), (150.0, -4.0, 25.0)], time_s=1.0)))
    crash = true_reward(decision(start, highway_scene([(125.0, -4.0, 25.0)], time_s=1.0, crashed=True)))
    assert plain.item() == pytest.approx(1.5)
    assert changed.item() == pytest.approx(1.4)
    assert close.item() == pytest.approx(1.0)
    assert crash.item() == pytest.approx(-8.5)


def test_reward_is_zero_once_the_ride_is_over(highway_scene: Build) -> None:
    moving, dead = highway_scene([(100.0, -4.0, 20.0)]), highway_scene([(100.0, -4.0, 20.0)], crashed=True)
    assert true_reward(decision(dead, dead)).item() == 0.0
    assert true_reward(decision(moving, highway_scene([(150.0, -4.0, 20.0)], time_s=1.0), ended=True)).item() == 0.0


def test_oracle_always_prefers_the_better_ride() -> None:
    oracle = teacher_named("oracle")
    assert {oracle.answer(GOOD, BAD, key) for key in range(50)} == {"A"}
    assert {oracle.answer(BAD, GOOD, key) for key in range(50)} == {"B"}
    assert oracle.answer(BAD, BAD, 0) == "tie"


def test_mistakes_have_their_share_and_are_the_same_each_time() -> None:
    teacher = teacher_named("mistake")
    answers = [teacher.answer(GOOD, BAD, key) for key in range(600)]
    assert answers.count("B") / 600 == pytest.approx(0.1, abs=0.04)
    assert answers == [teacher.answer(GOOD, BAD, key) for key in range(600)]
    assert answers != [replace(teacher, seed=1).answer(GOOD, BAD, key) for key in range(600)]


@given(difference=st.floats(-5, 5).filter(lambda value: abs(value) > 1e-3), beta=st.floats(0.1, 3))
def test_noisy_teacher_follows_bradley_terry(difference: float, beta: float) -> None:
    told = Teacher(rationality=beta).probabilities(torch.tensor([difference]), torch.tensor([0.0]))
    assert told.get("A") == pytest.approx(1 / (1 + math.exp(-beta * difference)), rel=1e-4)


def test_myopic_teacher_forgets_what_came_early() -> None:
    early, late = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.95])
    assert teacher_named("oracle").answer(early, late, 0) == "A"
    assert teacher_named("myopic").answer(early, late, 0) == "B"
    assert Teacher(discount=0.5).ride_return(torch.tensor([4.0, 2.0, 1.0])) == pytest.approx(3.0)


def test_plain_teachers_never_skip_bad_rides() -> None:
    assert teacher_named("oracle").answer(torch.tensor([-50.0]), torch.tensor([-40.0]), 0) == "B"


@given(offset=st.floats(-100, 100))
def test_thresholds_do_not_depend_on_where_zero_is(offset: float) -> None:
    returns = [offset + value for value in (-10.0, 0.0, 2.0, 8.0)]
    scale = ReturnScale.of(returns)
    assert scale.typical == pytest.approx(10.0, rel=1e-4)
    ride = [torch.tensor([value], dtype=torch.float64) for value in returns]
    near = torch.tensor([returns[3] - 0.9], dtype=torch.float64)
    assert Teacher(equal=0.1, scale=scale).answer(ride[3], near, 0) == "tie"
    assert Teacher(equal=0.05, scale=scale).answer(ride[3], near, 0) == "A"
    poor = torch.tensor([returns[0] + 0.9], dtype=torch.float64)
    assert Teacher(skip=0.1, scale=scale).answer(ride[0], poor, 0) == "skip"
    assert Teacher(skip=0.1, scale=scale).answer(ride[1], poor, 0) == "A"


def rewards_of(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_bpref_s_six_by_hand() -> None:
    """Clips of 3 decisions out of episodes of 30; the last ten episodes return 60 on average, so m = 60 * 3 / 30 = 6."""
    scale = ReturnScale.of_episodes([1000.0, *[50.0, 70.0] * 5], decisions=30, clip_decisions=3)
    assert (scale.worst, scale.typical) == (0.0, pytest.approx(6.0))
    one, other = rewards_of(1.0, 1.0, 1.0), rewards_of(2.0, 1.0, -0.5)  # returns 3 and 2.5
    assert teacher_named("oracle").probabilities(one, other) == {"A": 1.0, "B": 0.0}
    assert teacher_named("stochastic").probabilities(one, other).get("A") == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert teacher_named("mistake").probabilities(one, other).get("A") == pytest.approx(0.9)
    myopic = 0.81 + 0.9 + 1.0, 2 * 0.81 + 0.9 - 0.5  # 2.71 and 2.02
    told = replace(teacher_named("myopic"), rationality=1.0).probabilities(one, other)
    assert told.get("A") == pytest.approx(1 / (1 + math.exp(myopic[1] - myopic[0])))
    equal, skip = replace(teacher_named("equal"), scale=scale), replace(teacher_named("skip"), scale=scale)
    assert equal.probabilities(one, other) == {"tie": 1.0}  # 0.5 < 0.1 * 6
    assert equal.answer(one, rewards_of(2.0, 1.0, -0.7), 0) == "A"  # 0.7
    assert skip.answer(rewards_of(0.6), rewards_of(-4.0), 0) == "skip"  # 0.6 <= 0.1 * 6
    assert skip.answer(rewards_of(0.61), rewards_of(-4.0), 0) == "A"


def test_thresholds_are_the_same_in_every_session() -> None:
    """B-Pref's own program has 0.01 m instead of 0.1 m from the second session on."""
    skip = replace(teacher_named("skip"), scale=ReturnScale.of_episodes([60.0], 30, 3))
    assert [skip.answer(rewards_of(0.5), rewards_of(0.3), session) for session in range(5)] == ["skip"] * 5


def test_negative_mean_returns_do_not_switch_thresholds_off() -> None:
    scale = ReturnScale.of_episodes([-10.0, -30.0], decisions=10, clip_decisions=5)  # clips return -5 and -15
    assert (scale.worst, scale.typical) == (-15.0, pytest.approx(5.0))
    skip, equal = replace(teacher_named("skip"), scale=scale), replace(teacher_named("equal"), scale=scale)
    assert skip.answer(rewards_of(-14.6), rewards_of(-15.0), 0) == "skip"
    assert skip.answer(rewards_of(-14.4), rewards_of(-15.0), 0) == "A"
    assert equal.answer(rewards_of(-7.0), rewards_of(-7.4), 0) == "tie"
    assert equal.answer(rewards_of(-7.0), rewards_of(-7.6), 0) == "A"


def test_threshold_without_a_scale_and_unknown_teacher_are_refused() -> None:
    with pytest.raises(ConfigError, match="give scale=ReturnScale.of"):
        teacher_named("equal").answer(GOOD, BAD, 0)
    with pytest.raises(ConfigError, match="did you mean 'mistake'"):
        teacher_named("mistakes")
    with pytest.raises(ConfigError, match="mistake in"):
        Teacher(mistake=0.6)


def test_ceiling_is_what_the_teacher_itself_allows() -> None:
    accuracy, nll = teacher_named("mistake").ceiling([(GOOD, BAD), (BAD, GOOD), (GOOD, GOOD)])
    assert accuracy == pytest.approx(0.9)
    assert nll == pytest.approx(2 / 3 * -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
    assert teacher_named("oracle").ceiling([(GOOD, BAD)]) == (1.0, 0.0)


def test_scripted_reviewer_answers_all_open_pairs_through_the_store(rides: dict[str, list[Recording]], study: object) -> None:
    with Store(f"{study}/scripted.db") as store:
        shelf = ClipShelf(store)
        clips = [clip for name, rows in rides.items() for ride in rows[:3] for clip in cut_clips(ride, driver=name)]
        for pair in propose_pairs(clips, 12):
            store.add_pair(shelf.add(pair.first), shelf.add(pair.second), pair.reason)
        reviewer = store.add_reviewer("script", scripted=True)[0]
        assert review_with(store, reviewer, teacher_named("oracle"), shelf.decisions, limit=5) == 5
        assert review_with(store, reviewer, teacher_named("oracle"), shelf.decisions) == 7
        labels = store.labels()
        assert len(labels) == 12
        for label in labels:
            first, second = (float(true_reward(shelf.decisions(name)).sum()) for name in (label.clip_a, label.clip_b))
            assert label.choice == ("tie" if abs(first - second) <= 1e-6 else "A" if first > second else "B")
            assert label.scripted
        assert store.undo(reviewer) is not None
        assert review_with(store, reviewer, teacher_named("oracle"), shelf.decisions) == 1
