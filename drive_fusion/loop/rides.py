"""Rides in memory, many at a time: what the reward model sees of each, what its teacher thinks of it, and clips and answers of both.

The studies that people label keep clips as files; an experiment of thousands of rides only needs these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from envs.seeds import uniform
from feedback.clips import window_starts
from feedback.reward_fit import Comparison, RideWindows
from feedback.reward_vec import Reward
from feedback.scripted import Teacher
from feedback.windows import WindowConfig, Windows, windows
from sensors.errors import ConfigError
from sensors.scene import Scene

Chooser = Callable[[Scene, int], Tensor]
"""From the scene and the number of decisions gone to actions, (B,)."""
BLOCKS = 12
"""Start states fall into so many blocks and pairs are drawn within one, so that parts of the answers can be held out whole."""


@dataclass(frozen=True)
class Rides:
    """N episodes of D decisions, driven to the horizon: after an end everything stands still."""

    seeds: Tensor  # (N,) int64
    features: Tensor  # (N, D, F) what the reward model sees
    dead: Tensor  # (N, D) bool: the ego had crashed before the decision
    arrived: Tensor  # (N, D) bool: the episode had ended otherwise before it
    ended: Tensor  # (N, D) bool: it had ended after it
    reward: Tensor  # (N, D) the teacher's
    crashed: Tensor  # (N,) bool: somewhere

    @property
    def returns(self) -> Tensor:
        """The teacher's reward summed, (N,)."""
        return self.reward.sum(1)

    @staticmethod
    def joined(parts: Sequence[Rides]) -> Rides:
        """All rides of several."""
        names = Rides.__dataclass_fields__
        return Rides(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def drive(world: Any, choose: Chooser, seeds: Tensor, teacher: Reward, config: WindowConfig | None) -> Rides:
    """Drive one episode a seed to the horizon.

    Args:
        world: Any number of worlds; seeds are driven in turns of as many.
        choose: Who drives.
        seeds: int64 (N,).
        teacher: Whose reward is noted.
        config: What the reward model sees; None leaves it out, for evaluation.

    Returns:
        The rides, in the order of the seeds.
    """
    parts = []
    for first in range(0, len(seeds), world.num_worlds):
        some = seeds[first : first + world.num_worlds]
        filled = torch.cat((some, some[-1:].expand(world.num_worlds - len(some))))  # the last world repeats; its copies are dropped
        parts.append(_turn(world, choose, filled, len(some), teacher, config))
    return Rides.joined(parts)


def _turn(world: Any, choose: Chooser, seeds: Tensor, count: int, teacher: Reward, config: WindowConfig | None) -> Rides:
    scene = world.reset(seeds)
    over = torch.zeros(len(seeds), dtype=torch.bool)
    seen: list[Windows] = []
    paid, ended = [], []
    for decision in range(world.horizon_steps):
        before, actions = scene, choose(scene, decision)
        scene, outcome = world.step(actions)
        terminal = outcome.terminated & ~over
        reward = teacher.reward(before, actions, scene, terminal)
        paid.append(torch.where(over, teacher.after_the_end(before), reward))
        seen.append(_seen(before, actions, scene, terminal, config, over))
        over = over | outcome.terminated
        ended.append(over)
    features, dead, arrived = (torch.stack([getattr(one, name) for one in seen], 1)[:count] for name in ("features", "dead", "arrived"))
    paid_then, ended_then = (torch.stack(each, 1)[:count] for each in (paid, ended))
    return Rides(seeds[:count], features, dead, arrived, ended_then, paid_then.float(), scene.crashed[:count, 0].clone())


def _seen(before: Scene, actions: Tensor, after: Scene, terminal: Tensor, config: WindowConfig | None, over: Tensor) -> Windows:
    if config is not None:
        return windows(before, actions, after, terminal, config, ended=over)
    crashed = before.crashed[:, 0]
    return Windows(torch.zeros(len(over), 0), crashed, over & ~crashed)


def tempers(seeds: Tensor, actions: int, seed: int) -> Chooser:
    """Drivers that are as different as can be: each has its own odds of every action, most of them lopsided.

    Args:
        seeds: Of the episodes they will drive, (N,).
        actions: How many actions there are.
        seed: Chooses the odds.
    """
    generator = torch.Generator().manual_seed(seed)
    odds = torch.rand(len(seeds), actions, generator=generator).log().neg().pow(3.0)  # lopsided
    odds = odds / odds.sum(1, keepdim=True)
    place = {int(number): row for row, number in enumerate(seeds.tolist())}

    def choose(scene: Scene, decision: int) -> Tensor:
        rows = odds[[place[int(number)] for number in scene.episode_seed.tolist()]]
        drawn = uniform(seed, scene.episode_seed, decision)[:, None]
        return (drawn > rows.cumsum(1)[:, :-1]).sum(1)

    return choose


@dataclass(frozen=True)
class Question:
    """Two clips: numbers of rides, and where each clip starts."""

    rides: tuple[int, int]
    starts: tuple[int, int]


def ask(rides: Rides, count: int, decisions: int, seed: int, newest: int = 0) -> list[Question]:
    """Draw pairs of clips, each pair within a block of start states.

    Args:
        rides: To choose among.
        count: How many pairs.
        decisions: Length of a clip, at least 6: shorter ones teach a reward that crashes.
        seed: Chooses.
        newest: At least one ride of each pair is among the last so many; 0 is any.

    Raises:
        ConfigError: Clips are longer than rides, or there are too few rides.
    """
    total, horizon = rides.reward.shape
    if not 6 <= decisions <= horizon or total < 2 * BLOCKS:
        raise ConfigError(f"ask got {total} rides of {horizon} decisions and clips of {decisions}, expected 24 rides or more and 6 or more")
    generator = torch.Generator().manual_seed(seed)
    block = rides.seeds % BLOCKS
    asked: set[tuple[int, int]] = set()
    questions: list[Question] = []
    while len(questions) < count:
        one = total - 1 - int(torch.randint(newest or total, (), generator=generator))
        mates = (block == block[one]).nonzero().flatten()
        other = int(mates[torch.randint(len(mates), (), generator=generator)])
        pair = (one, other) if bool(torch.rand((), generator=generator) < 0.5) else (other, one)
        if one == other or (min(pair), max(pair)) in asked:
            continue
        asked.add((min(pair), max(pair)))
        starts = [_start(rides.ended[number], decisions, generator) for number in pair]
        questions.append(Question(pair, (starts[0], starts[1])))
    return questions


def _start(ended: Tensor, decisions: int, generator: torch.Generator) -> int:
    """Where a clip starts: one of two places, the first of which holds the ride's end if it has one."""
    starts = window_starts(ended, decisions, torch.rand(2, generator=generator))
    return starts[int(torch.randint(len(starts), (), generator=generator))]


def answered(
    rides: Rides, questions: Sequence[Question], decisions: int, teacher: Teacher, seed: int
) -> tuple[dict[str, RideWindows], list[Comparison]]:
    """Let a scripted teacher compare clips, as ``feedback.reward_fit.fit_reward`` learns from it."""
    shown: dict[str, RideWindows] = {}
    comparisons = []
    for number, question in enumerate(questions):
        names = [f"{ride}@{start}" for ride, start in zip(question.rides, question.starts, strict=True)]
        spans = [(ride, slice(start, start + decisions)) for ride, start in zip(question.rides, question.starts, strict=True)]
        for name, (ride, span) in zip(names, spans, strict=True):
            seen = Windows(rides.features[ride, span], rides.dead[ride, span], rides.arrived[ride, span])
            shown[name] = RideWindows(seen, str(int(rides.seeds[ride])))
        one, other = (rides.reward[ride, span] for ride, span in spans)
        choice = teacher.answer(one, other, key=seed * 1_000_003 + number)
        comparisons.append(Comparison(names[0], names[1], choice))
    return shown, comparisons
