"""The demo's people: clips of many drivers, scripted reviewers who compare them, a scripted rider who takes the wheel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive_fusion.demo.config import CLIP_WIDTH_PX, DemoConfig
from drive_fusion.study import Study

if TYPE_CHECKING:
    from envs.recording import Recording
    from feedback.clips import Clip, ClipShelf
    from feedback.store import Store

SCRIPTED_DRIVERS = ("random", "idle", "slower", "faster", "idm")
FORK_DECISION = 4
REVIEWERS = {"script-mistake": ("mistake", 0.6), "script-oracle": ("oracle", 0.4)}
"""Pseudonym of each scripted reviewer: its teacher, and its share of the pairs."""
RIDER = "script-rider"


def record_drivers(config: DemoConfig, warm: Path) -> dict[str, list[Recording]]:
    """Record episodes of every kind of driver on training seeds, and forks that leave one ride for another in mid-episode."""
    from drive_fusion.policy_driver import driver_of
    from envs.rollout import record
    from envs.seeds import seed_set
    from envs.world import World
    from feedback.pairs import fork_recordings

    world = World(config.id, num_worlds=config.clip_episodes)
    seeds = seed_set("train", config.clip_episodes, seed=config.seed + 1)
    drivers = {name: driver_of(name, world) for name in SCRIPTED_DRIVERS}
    recordings = {name: record(world, driver, seeds) for name, driver in drivers.items()}
    recordings["warm"] = record(world, driver_of(warm, world, config.rig), seeds)
    recordings["warm, then faster"] = fork_recordings(world, recordings["warm"], FORK_DECISION, drivers["faster"])
    recordings["warm, then slower"] = fork_recordings(world, recordings["warm"], FORK_DECISION, drivers["slower"])
    return recordings


def shelve_pairs(config: DemoConfig, study: Study, recordings: dict[str, list[Recording]]) -> dict[str, Any]:
    """Cut clips, propose pairs, and put both into the study; the first pairs get videos."""
    from feedback.clips import ClipShelf, clip_at, cut_clips, usual_decisions
    from feedback.pairs import propose_pairs
    from feedback.store import Store

    clips: list[Clip] = []
    for name, rides in recordings.items():
        for ride in rides:
            clips += cut_clips(ride, count=2, seed=config.seed, driver=name, run="demonstrations")
            if name.startswith("warm"):  # from the very start: rides that share it can be compared as forks
                clips.append(clip_at(ride, 0, usual_decisions(ride), driver=name, run="demonstrations"))
    pairs = propose_pairs(clips, config.labels, seed=config.seed)
    with Store.of_study(study.folder) as store:
        shelf = ClipShelf(store)
        for place, pair in enumerate(pairs):
            first, second = shelf.add(pair.first), shelf.add(pair.second)
            watched = place < config.videos
            store.add_pair(first, second, pair.reason, labels_wanted=None if watched else 1)
            if watched:
                shelf.add_video(first, CLIP_WIDTH_PX)
                shelf.add_video(second, CLIP_WIDTH_PX)
        shelved = store.clips()
    return {
        "clips": len(shelved),
        **{f"{reason} pairs": count for reason, count in Counter(pair.reason for pair in pairs).items()},
        "clips with a crash": sum("crashed" in row.outcome for row in shelved),
        "pairs with videos": min(config.videos, len(pairs)),
    }


def let_scripts_label(config: DemoConfig, study: Study) -> dict[str, Any]:
    """Scripted reviewers answer through the store that people answer through; a scripted rider takes the wheel in clips."""
    from feedback.clips import ClipShelf
    from feedback.scripted import review_with, teacher_named
    from feedback.store import Store
    from feedback.takeover import Rider, watch_with

    with Store.of_study(study.folder) as store:
        shelf = ClipShelf(store)
        known = {reviewer.pseudonym: reviewer.id for reviewer in store.reviewers()}
        for pseudonym, (teacher, share) in REVIEWERS.items():
            number = known.get(pseudonym) or store.add_reviewer(pseudonym, scripted=True)[0]
            wanted = round(share * config.labels) - store.progress(number).done
            review_with(store, number, teacher_named(teacher), shelf.decisions, limit=max(wanted, 0))
        rider = known.get(RIDER) or store.add_reviewer(RIDER, scripted=True)[0]
        watched = [row.id for row in store.clips()][: config.ride_alongs]
        watch_with(store, rider, Rider(), watched, lambda name: (shelf[name].recording.scenes, shelf[name].recording.dt_s))
        return {**labels_so_far(store), "ceiling_accuracy": ceiling_accuracy(store, shelf)}


def ceiling_accuracy(store: Store, shelf: ClipShelf) -> float:
    """Share of the scripts' answers that somebody who knew their true reward would foretell: their mistakes cannot be foretold."""
    from feedback.scripted import teacher_named, true_reward

    shares, weights = [], []
    for pseudonym, (teacher, _) in REVIEWERS.items():
        answers = [label for label in store.labels() if label.reviewer == pseudonym and label.choice in ("A", "B")]
        rewards = [(true_reward(shelf.decisions(each.clip_a)), true_reward(shelf.decisions(each.clip_b))) for each in answers]
        shares.append(teacher_named(teacher).ceiling(rewards)[0])
        weights.append(len(answers))
    return sum(share * weight for share, weight in zip(shares, weights, strict=True)) / max(sum(weights), 1)


def labels_so_far(store: Store) -> dict[str, Any]:
    """Who said how much, for the report."""
    by_reviewer: dict[str, Counter[str]] = {}
    scripted = {}
    for label in store.labels():
        by_reviewer.setdefault(label.reviewer, Counter())[label.choice] += 1
        scripted[label.reviewer] = label.scripted
    rides = store.takeovers()
    return {
        "labels_sha256": store.labels_hash(),
        "reviewers": [{"name": name, "scripted": scripted[name], "answers": dict(counts)} for name, counts in by_reviewer.items()],
        "rides watched": len(rides),
        "takeovers": sum(ride.onset_s is not None for ride in rides),
    }


def learn_reward(config: DemoConfig, study: Study) -> dict[str, Any]:
    """Learn the reward from all that was said; it lies in the study as reward/."""
    from feedback.learning import learn_from_store
    from feedback.reward_model import RewardConfig
    from feedback.store import Store

    with Store.of_study(study.folder) as store:
        model, report = learn_from_store(store, RewardConfig(seed=config.seed))
    model.save(study.folder / "reward")
    return report.as_dict()
