"""Pairs: uniform and forked, never the same ride twice, parted by start state."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from envs.drivers import driver_named
from envs.recording import Recording
from envs.world import World
from feedback.clips import Clip, clip_at, cut_clips
from feedback.folds import folds_of
from feedback.pairs import fork_recordings, propose_pairs
from sensors.errors import ConfigError

Rides = dict[str, list[Recording]]


@pytest.fixture(scope="module")
def clips(rides: Rides) -> list[Clip]:
    cut = [clip for name, rows in rides.items() for ride in rows for clip in cut_clips(ride, count=3, driver=name)]
    return cut + [clip_at(ride, 0, 8, driver=name) for name, rows in rides.items() for ride in rows]


def names(pairs: list[tuple[Clip, Clip]]) -> list[frozenset[str]]:
    return [frozenset((first.content_hash, second.content_hash)) for first, second in pairs]


def test_pairs_are_different_and_equally_long(clips: list[Clip]) -> None:
    proposals = propose_pairs([*clips, *clips], 60)
    assert len(proposals) == 60
    assert len(set(names([(each.first, each.second) for each in proposals]))) == 60
    for each in proposals:
        assert each.first.num_decisions == each.second.num_decisions
        assert each.first.ride_hash != each.second.ride_hash


def test_forks_start_in_the_same_scene_and_have_their_share(clips: list[Clip]) -> None:
    proposals = propose_pairs(clips, 40, fork_share=0.25)
    forks = [each for each in proposals if each.reason == "fork"]
    assert len(forks) == 10
    for each in forks:
        first, second = each.first.recording.scenes, each.second.recording.scenes
        assert torch.equal(first.position_m[0], second.position_m[0])
        assert not torch.equal(first.position_m[-1], second.position_m[-1])
    assert {each.reason for each in proposals} == {"fork", "uniform"}


def test_same_seed_same_pairs_and_another_seed_others(clips: list[Clip]) -> None:
    def told(seed: int) -> list[tuple[str, str]]:
        return [(each.first.content_hash, each.second.content_hash) for each in propose_pairs(clips, 30, seed)]

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_either_clip_may_come_first(clips: list[Clip]) -> None:
    order = [each.first.content_hash < each.second.content_hash for each in propose_pairs(clips, 80)]
    assert 20 < sum(order) < 60


def test_pairs_join_few_enough_start_states_to_hold_some_out(rides: Rides) -> None:
    template = clip_at(rides["idm"][0], 0, 8)
    many = []
    for seed in range(60):
        scenes = template.recording.scenes
        for shift in (0.0, 1.0):
            moved = replace(scenes, position_m=scenes.position_m + seed + shift, episode_seed=scenes.episode_seed + seed)
            many.append(replace(template, recording=replace(template.recording, scenes=moved, seed=seed)))
    proposals = propose_pairs(many, 120)
    number = {clip.content_hash: place for place, clip in enumerate(many)}
    pairs = [(number[each.first.content_hash], number[each.second.content_hash]) for each in proposals]
    fold = folds_of([clip.group for clip in many], pairs, 6)
    assert all(fold[first] == fold[second] for first, second in pairs)
    counts = [sum(fold[first] == each for first, _ in pairs) for each in range(6)]
    assert min(counts) > 0.5 * 120 / 6


def test_folds_keep_a_start_state_together_even_where_all_pairs_are_linked() -> None:
    groups = [f"group {number // 3}" for number in range(90)]
    pairs = [(number, (number * 7 + 1) % 90) for number in range(90)]
    fold = folds_of(groups, pairs, 5)
    assert len({(group, each) for group, each in zip(groups, fold, strict=True)}) == 30
    assert set(fold) == set(range(5))


def test_forked_ride_equals_the_original_up_to_the_fork(rides: Rides) -> None:
    world = World("highway-fast-v0", num_worlds=8, num_threads=1)
    forked = fork_recordings(world, rides["random"], 3, driver_named("slower", 5))
    for fork, original in zip(forked, rides["random"], strict=True):
        assert torch.equal(fork.scenes.position_m[:16], original.scenes.position_m[:16])
        assert fork.actions[3:].eq(4).all()
    assert clip_at(forked[0], 3, 8).start_hash == clip_at(rides["random"][0], 3, 8).start_hash
    same = [torch.equal(fork.scenes.position_m, ride.scenes.position_m) for fork, ride in zip(forked, rides["random"], strict=True)]
    assert not all(same)  # those that had crashed before the fork stay the same


def test_fork_of_an_autopilots_ride_or_in_another_world_is_refused(rides: Rides) -> None:
    world = World("highway-fast-v0", num_worlds=8, num_threads=1)
    with pytest.raises(ConfigError, match="autopilot"):
        fork_recordings(world, rides["idm"], 3, driver_named("slower", 5))
    other = World("highway-fast-v0", num_worlds=8, num_threads=1, config={"vehicles_count": 5})
    with pytest.raises(ConfigError, match="same id and configuration"):
        fork_recordings(other, rides["random"], 3, driver_named("slower", 5))


def test_share_of_forks_must_be_a_share(clips: list[Clip]) -> None:
    with pytest.raises(ConfigError, match="fork_share is 1.5"):
        propose_pairs(clips, 10, fork_share=1.5)
