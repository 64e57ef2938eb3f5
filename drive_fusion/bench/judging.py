"""How well a reward learned from answers foretells those that nobody learned from, beside what nobody can beat.

Clips of scripted drivers on training seeds are compared by a teacher, or by a planted panel of reviewers; a reward is learned; and answers
about pairs of clips of test seeds are foretold. The panel's test answers are given by reviewers whom nobody learned from.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drive_fusion.intervals import over_runs
from sensors.errors import ConfigError

Floats = NDArray[np.float64]
DRIVERS = ("random", "idle", "slower", "faster", "idm")
CLIPS_OF_RIDE = 2
TEST_FROM = 5000
"""Test rides start from this seed on."""
PANEL = "panel"


@dataclass(frozen=True)
class JudgingBench:
    """Options of ``drive-fusion bench judging``."""

    ids: tuple[str, ...] = ("highway-fast-v0", "intersection-v0")
    """highway-env's names of the worlds."""
    teachers: tuple[str, ...] = ("oracle", "stochastic", "mistake", PANEL)
    """Scripted teachers, of ``feedback.scripted.TEACHERS``, and 'panel' for planted reviewers."""
    answers: tuple[int, ...] = (500,)
    """Numbers of answers to learn from."""
    seeds: int = 3
    """Fits of each kind, each of other answers."""
    reviewers: int = 6
    """Reviewers of a planted panel; as many others give its test answers."""
    questions: int = 2000
    """Pairs of test clips, at most."""
    twin: Path | None = None
    """Checkpoint of a fused driver without memory: a twin learns the same answers from what it sees, and its gap is told."""
    train_seeds: int = 120
    """Start states of rides to learn from."""
    test_seeds: int = 60
    """Start states of rides to foretell."""

    def __post_init__(self) -> None:
        if min(self.seeds, self.reviewers, self.questions, self.train_seeds, self.test_seeds, *self.answers) < 1:
            raise ConfigError("bench judging: every count must be 1 or more")


class Asked(NamedTuple):
    """Rides as the model sees them, what is truly thought of them, and pairs of them."""

    rides: dict[str, Any]
    returns: dict[str, float]
    rewards: dict[str, Any]
    pairs: list[tuple[str, str]]
    seen: dict[str, Any] = {}  # the rides as a fused driver sees them
    eyes: Any = None  # whose

    @property
    def advantage(self) -> Floats:
        """True return of the first ride of each pair less that of the second, (P,)."""
        return np.asarray([self.returns[first] - self.returns[second] for first, second in self.pairs])


class Row(NamedTuple):
    """What one fit foretold: figures, and for each question how likely what it picked is, and what nobody can beat."""

    scenes: Any
    right: Floats  # (P,)
    best: Floats  # (P,)
    twin: Any = None
    twin_right: Any = None


def bench_judging(config: JudgingBench) -> dict[str, float]:
    """Learn, foretell, and give the figures."""
    import torch

    from feedback.scripted import teacher_named

    for name in set(config.teachers) - {PANEL}:
        teacher_named(name)
    torch.set_num_threads(1)
    eyes = _eyes(config)
    figures: dict[str, float] = {}
    for id in config.ids:
        train = asked_about(id, range(config.train_seeds), config.seeds * max(config.answers), eyes)
        test = asked_about(id, range(TEST_FROM, TEST_FROM + config.test_seeds), config.questions, eyes)
        for teacher, count in itertools.product(config.teachers, config.answers):
            rows = [_one(config, teacher, count, seed, train, test) for seed in range(config.seeds)]
            figures |= _told(f"{id}.{teacher}.{count}", rows)
    return figures


def _eyes(config: JudgingBench) -> Any:
    from drive_fusion.twin import FusedEyes

    return None if config.twin is None else FusedEyes.load(config.twin)


def _told(name: str, rows: list[Row]) -> dict[str, float]:
    """Figures of several fits: means, and intervals over fits and questions."""
    figures = {f"{name}.{figure}": float(np.mean([getattr(row.scenes, figure) for row in rows])) for figure in asdict(rows[0].scenes)}
    gaps = {"gap_points": [row.best - row.right for row in rows]}
    if rows[0].twin is not None:
        kept = ("accuracy", "nll", "calibration_error")
        figures |= {f"{name}.twin_{figure}": float(np.mean([getattr(row.twin, figure) for row in rows])) for figure in kept}
        gaps["twin_gap_points"] = [row.right - row.twin_right for row in rows]
    for figure, differences in gaps.items():
        gap = over_runs(100 * np.stack(differences))
        figures |= {f"{name}.{figure}": gap.value, f"{name}.{figure}_low": gap.low, f"{name}.{figure}_high": gap.high}
        print(f"{name}: {gap.text()} points {'under the ceiling' if figure == 'gap_points' else 'of the twin under the model of scenes'}")
    return figures


def asked_about(id: str, seeds: Sequence[int], pairs: int, eyes: Any = None) -> Asked:
    """Record scripted drivers on seeds, cut clips, and pair them; ``eyes``, if any, see them too."""
    from feedback.pairs import propose_pairs
    from feedback.reward_fit import RideWindows
    from feedback.scripted import true_reward
    from feedback.windows import WindowConfig

    rides, rewards = {}, {}
    clips = clips_of(id, seeds)
    told = [(pair.first.content_hash, pair.second.content_hash) for pair in propose_pairs(clips, pairs)]
    used = {name for pair in told for name in pair}
    clips = [clip for clip in clips if clip.content_hash in used]
    for clip in clips:
        decisions = clip.decisions()
        rides[clip.content_hash] = RideWindows(decisions.windows(WindowConfig()), clip.group)
        rewards[clip.content_hash] = true_reward(decisions)
    seen = {} if eyes is None else eyes.rides(clips)
    return Asked(rides, {name: float(each.sum()) for name, each in rewards.items()}, rewards, told, seen, eyes)


def clips_of(id: str, seeds: Sequence[int]) -> list[Any]:
    """Clips of all scripted drivers on seeds of a world."""
    from envs.drivers import driver_named
    from envs.rollout import record
    from envs.world import World
    from feedback.clips import cut_clips

    world = World(id, num_worlds=len(seeds), num_threads=1)
    driven = [
        ride
        for name in DRIVERS
        for ride in record(world, driver_named(name, world.num_actions, action_names=world.action_names), list(seeds))
    ]
    return [clip for ride in driven for clip in cut_clips(ride, count=CLIPS_OF_RIDE)]


def answered(asked: Asked, who: str, count: int, seed: int, reviewers: int) -> list[Any]:
    """Comparisons of ``count`` pairs by a teacher or a planted panel; another seed has other pairs and other mistakes."""
    from feedback.planted import planted_panel
    from feedback.reward_fit import Comparison
    from feedback.scripted import teacher_named

    start = (seed * count) % max(len(asked.pairs) - count + 1, 1)
    part = asked._replace(pairs=asked.pairs[start : start + count])
    if who != PANEL:
        teacher = replace(teacher_named(who), seed=seed)
        told = [teacher.answer(asked.rewards[one], asked.rewards[other], key) for key, (one, other) in enumerate(part.pairs)]
        return [Comparison(*pair, answer) for pair, answer in zip(part.pairs, told, strict=True)]
    panel, random = planted_panel(reviewers, seed), np.random.default_rng(seed)
    by, left = random.integers(0, reviewers, count), random.choice((-1.0, 1.0), count)
    chances = np.stack([each.chances(part.advantage, left) for each in panel])[by, np.arange(len(part.pairs))]
    said = (random.random((len(chances), 1)) > chances.cumsum(1)[:, :2]).sum(1)
    return [
        Comparison(*pair, ("A", "tie", "B")[answer], f"reviewer {who}", side < 0)
        for pair, answer, who, side in zip(part.pairs, said, by, left, strict=True)
    ]


def truth(asked: Asked, who: str, seed: int, reviewers: int) -> Floats:
    """How likely A, tie and B truly are for every pair, (P, 3); a panel's answers are those of reviewers whom no fit has met."""
    from feedback.planted import planted_panel
    from feedback.scripted import teacher_named

    if who != PANEL:
        told = [teacher_named(who).probabilities(asked.rewards[one], asked.rewards[other]) for one, other in asked.pairs]
        return np.asarray([[each.get(answer, 0.0) for answer in ("A", "tie", "B")] for each in told])
    panel, random = planted_panel(reviewers, 10_000 + seed), np.random.default_rng(10_000 + seed)
    count = len(asked.pairs)
    by, left = random.integers(0, reviewers, count), random.choice((-1.0, 1.0), count)
    chances: Floats = np.stack([each.chances(asked.advantage, left) for each in panel])[by, np.arange(count)]
    return chances


def _one(config: JudgingBench, teacher: str, count: int, seed: int, train: Asked, test: Asked) -> Row:
    """One fit, and its twin's."""
    from drive_fusion.twin import fit_twin
    from feedback.foretelling import foretold, told_answers
    from feedback.reward_fit import fit_reward
    from feedback.reward_model import RewardConfig

    answers = answered(train, teacher, count, seed, config.reviewers)
    used = {name for each in answers for name in (each.first, each.second)}
    true, settings = truth(test, teacher, seed, config.reviewers), RewardConfig(seed=seed, reviewer_draws=0)

    def judged(model: Any, rides: dict[str, Any]) -> tuple[Any, Floats]:
        told = told_answers(model, [(rides[one].seen, rides[other].seen) for one, other in test.pairs]).mean(0).double().numpy()
        return foretold(told, true, seed), np.where(told[:, 0] >= told[:, 2], true[:, 0], true[:, 2])

    model, _ = fit_reward({name: train.rides[name] for name in used}, answers, config=settings)
    scenes, right = judged(model, test.rides)
    best = np.maximum(true[:, 0], true[:, 2])
    if test.eyes is None:
        return Row(scenes, right, best)
    twin, _ = fit_twin({name: train.seen[name] for name in used}, answers, train.eyes, settings)
    return Row(scenes, right, best, *judged(twin.model, test.seen))
