"""Questions of a turn and their answers: clips of the present drivers on the study's shelf, pairs in its store, scripts, and people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from drive_fusion.loop.taste import TASTES
from envs.recording import Recording
from envs.seeds import uniform
from feedback.clips import Clip, ClipShelf, clip_at, cut_clips, usual_decisions
from feedback.pairs import PairProposal
from feedback.reward_model import RewardModel
from feedback.rows import LabelRow
from feedback.scripted import Teacher, teacher_named, true_reward
from feedback.selection import Query, choose_queries
from feedback.store import LabelRejected, Store
from feedback.windows import Decisions

PANEL = "panel"
"""Reason of pairs whose answers are never learned from: they judge policies."""
CLIP_WIDTH_PX = 426


def clips_of(recordings: dict[str, list[Recording]], run: str, seed: int) -> list[Clip]:
    """Cut clips of drivers' rides: from their starts, so that drivers can be compared in the same situation, and around their ends."""
    clips = []
    for driver, rides in recordings.items():
        for ride in rides:
            clips.append(clip_at(ride, 0, usual_decisions(ride), driver, run))
            clips += cut_clips(ride, count=2, seed=seed, driver=driver, run=run)
    return clips


def choose_questions(
    clips: Sequence[Clip], driver: str, count: int, seed: int, model: RewardModel | None, shelf: ClipShelf, before: Sequence[int]
) -> list[Query]:
    """Choose what to ask by feedback's usual mix.

    Args:
        clips: Of this turn's rides.
        driver: Of whose rides one is in each pair that is chosen by information gain, as it stands in its clips.
        count: How many questions.
        seed: Chooses among equals.
        model: The reward of the turn before.
        shelf: The study's clips.
        before: Numbers of the pairs that were asked a turn ago; some are asked again.
    """
    known = {number: (first, second) for number, first, second, _ in shelf.store.pairs()}
    asked = [known[number] for number in before]
    older = [shelf[name] for name in dict.fromkeys(name for pair in asked for name in pair)]
    near = {clip.content_hash for clip in clips if clip.driver == driver}
    return choose_queries([*clips, *older], count, model=model, near=near, asked=asked, seed=seed)


def shelve(store: Store, shelf: ClipShelf, pairs: Sequence[Query | PairProposal], people: float, seed: int) -> dict[str, list[int]]:
    """Put pairs into the study; those for people get videos. Doing it again changes nothing.

    Returns:
        Numbers of the pairs for ``scripts`` and for ``people``.
    """
    numbers: dict[str, list[int]] = {"scripts": [], "people": []}
    for place, pair in enumerate(pairs):
        first, second = shelf.add(pair.first), shelf.add(pair.second)
        who = "people" if float(uniform(seed, place)) < people else "scripts"
        answer = pair.answer if isinstance(pair, Query) else None
        numbers[who].append(store.add_pair(first, second, pair.reason, labels_wanted=1, answer=answer))  # type: ignore[arg-type]
        if who == "people":
            shelf.add_video(first, CLIP_WIDTH_PX)
            shelf.add_video(second, CLIP_WIDTH_PX)
    return numbers


def let_scripts_answer(store: Store, shelf: ClipShelf, pairs: Sequence[int], teachers: Sequence[str], id: str) -> list[int]:
    """Let scripted reviewers answer pairs in turn; what was answered before stays, so a stopped round goes on.

    Returns:
        Pairs that somebody else is at: people in the review room are shown every open pair whose clips have videos.
    """
    known = {reviewer.pseudonym: reviewer.id for reviewer in store.reviewers()}
    asked = {number: (first, second) for number, first, second, _ in store.pairs()}
    answered = {label.pair_id for label in store.labels()}
    taken = []
    for place, pair in enumerate(pairs):
        name = teachers[place % len(teachers)]
        pseudonym = f"script-{name}"
        if pseudonym not in known:
            known[pseudonym] = store.add_reviewer(pseudonym, scripted=True)[0]
        if pair in answered:
            continue
        began_s = time.monotonic()
        choice = scripted_answer(teacher_named(name), shelf, asked[pair], pair, id)
        try:
            store.add_label(known[pseudonym], pair, choice, time.monotonic() - began_s, client_key=f"{pseudonym}-pair-{pair}")
        except LabelRejected:
            taken.append(pair)
    return taken


def scripted_answer(teacher: Teacher, shelf: ClipShelf, clips: tuple[str, str], key: int, id: str) -> Any:
    """What a scripted reviewer says about two clips."""
    one, other = (rewards_of(shelf.decisions(name), id) for name in clips)
    return teacher.answer(one, other, key)


def rewards_of(decisions: Decisions, id: str) -> Tensor:
    """What scripts like about a ride, (D,): the id's own taste, where it has one."""
    if id not in TASTES:
        return true_reward(decisions)
    taste = TASTES[id]
    paid = taste.reward(decisions.scene, decisions.actions, decisions.next_scene, decisions.terminal)
    return torch.where(decisions.over, taste.after_the_end(decisions.next_scene), paid)


def answers_to(store: Store, pairs: Sequence[int]) -> list[LabelRow]:
    """What stands about some pairs."""
    wanted = set(pairs)
    return [label for label in store.labels() if label.pair_id in wanted]


def wait_for_people(store: Store, pairs: Sequence[int], poll_s: float, study: Any, taken: Callable[[], Sequence[int]] = tuple) -> None:
    """Wait until every pair has an answer. Only the database is looked at meanwhile: no network, no world, no device is held.

    Args:
        store: The study's store.
        pairs: Those that people are to answer.
        poll_s: Time between looks [s].
        study: What to call the study.
        taken: Called at each look; tells pairs of others that people are at.
    """
    told = -1
    while True:
        others = taken()
        missing = len({*pairs, *others} - {label.pair_id for label in answers_to(store, [*pairs, *others])})
        if not missing:
            return
        if missing != told:
            print(
                f"waiting for people: {missing} of {len(pairs) + len(others)} pairs have no answer; drive-fusion review {study}",
                file=sys.stderr,
                flush=True,
            )
            told = missing
        time.sleep(poll_s)


def counted(labels: Sequence[LabelRow]) -> dict[str, dict[str, Any]]:
    """Who gave how many answers."""
    counts: dict[str, dict[str, Any]] = {}
    for label in labels:
        own = counts.setdefault(label.reviewer, {"scripted": label.scripted, "answers": 0})
        own["answers"] += 1
    return counts
