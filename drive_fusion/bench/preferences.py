"""Learning on learned reward only: what share of the gap from the best constant action to PPO on the teacher's true reward is reached.

Every trial is saved as it ends; the same command goes on with those that are missing. The rows it is told by: the share of the gap, with
95 % intervals over seeds and test episodes, and crashes beside those of the policy that was paid the true reward.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drive_fusion.study import read_json, write_json
from sensors.errors import ConfigError

Floats = NDArray[np.float64]
RESAMPLES = 2000
CONSTANTS = ("slower", "idle", "faster")


@dataclass(frozen=True)
class PreferencesBench:
    """Options of ``drive-fusion bench preferences``."""

    id: str = "intersection-v0"
    """highway-env's name of the world; its ego must choose its speed alone."""
    labels: tuple[int, ...] = (100, 500, 1500)
    """Numbers of answers to learn from."""
    teacher: tuple[str, ...] = ("oracle", "mistake", "stochastic")
    """Scripted teachers, of ``feedback.scripted.TEACHERS``."""
    seeds: int = 5
    """Trials of each kind, each with a seed of its own."""
    offsets: tuple[float, ...] = (-2.0, 2.0)
    """Constants that are added to the learned reward in trials of their own, of the first teacher; none leaves them out."""
    offset_labels: int = 500
    """Answers in those trials."""
    steps: int = 130_000
    """Environment steps of PPO in each trial."""
    test_seeds: int = 1000
    """Test episodes that each policy is scored on."""
    folder: Path = Path("results/preferences")
    """Where trials, curves.png and summary.json go."""
    threads: int = 1
    """Threads of torch."""

    def __post_init__(self) -> None:
        if min(self.seeds, self.steps, self.test_seeds, self.threads, *self.labels) < 1:
            raise ConfigError("bench preferences: every count must be 1 or more")
        if self.offsets and self.offset_labels not in self.labels:
            raise ConfigError(f"bench preferences: offset_labels is {self.offset_labels}, expected one of labels {self.labels}")


class Trial(NamedTuple):
    """One row of the plan."""

    kind: str
    """A teacher's name; 'true', paid the teacher's own reward; or 'constant', always one action."""
    labels: int = 0
    offset: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """As in file names."""
        return f"{self.kind}-{self.labels}-{self.offset:+g}-seed{self.seed}"


def trials(config: PreferencesBench) -> Iterator[Trial]:
    """All trials; seed by seed, so that a stopped run has some of everything."""
    yield from (Trial("constant", seed=action) for action in range(len(CONSTANTS)))
    for seed in range(config.seeds):
        yield Trial("true", seed=seed)
        for labels, teacher in itertools.product(sorted(config.labels), config.teacher):
            yield Trial(teacher, labels, 0.0, seed)
        for offset in config.offsets:
            yield Trial(config.teacher[0], config.offset_labels, offset, seed)


def bench_preferences(config: PreferencesBench) -> dict[str, float]:
    """Run what is missing, draw the curves, and give the figures."""
    import torch

    from feedback.scripted import teacher_named

    for teacher in config.teacher:
        teacher_named(teacher)
    torch.set_num_threads(config.threads)
    planned = list(trials(config))
    missing = [trial for trial in planned if not _is_done(config, trial)]
    _run(config, missing, len(planned))
    results = Results({trial: _load(config, trial) for trial in planned}, config.seeds)
    figures = results.figures()
    write_json(config.folder / "summary.json", {"config": json.loads(json.dumps(asdict(config), default=str)), "figures": figures})
    from drive_fusion.bench.preferences_plot import draw_curves

    print(draw_curves(results, config.folder / "curves.png"))
    return figures


def _run(config: PreferencesBench, missing: list[Trial], planned: int) -> None:
    if not missing:
        return
    from drive_fusion.loop.ahead import Track
    from drive_fusion.loop.trial import TrialConfig, constant_outcome, learned_outcome, true_outcome

    settings = TrialConfig(id=config.id, steps=config.steps, test_seeds=config.test_seeds)
    track = Track.surveyed(config.id)
    for number, trial in enumerate(missing):
        if trial.kind == "constant":
            outcome = constant_outcome(settings, trial.seed)
        elif trial.kind == "true":
            outcome = true_outcome(settings, trial.seed, track)
        else:
            outcome = learned_outcome(settings, trial.seed, track, trial.kind, trial.labels, trial.offset)
        write_json(_path(config, trial), {"trial": trial._asdict(), "settings": _fingerprint(config), **asdict(outcome)})
        reached, crashed = np.mean(outcome.returns), 100 * np.mean(outcome.crashed)
        place = f"{planned - len(missing) + number + 1} of {planned}"
        print(f"{place}: {trial.name}: true return {reached:.2f}, crashed {crashed:.1f} %, {outcome.seconds:.0f} s", flush=True)


def _fingerprint(config: PreferencesBench) -> str:
    """Names what a trial depends on besides its row in the plan: settings, not code."""
    from drive_fusion.loop.taste import taste_of
    from drive_fusion.loop.trial import TrialConfig
    from feedback.reward_model import RewardConfig

    settings = TrialConfig(id=config.id, steps=config.steps, test_seeds=config.test_seeds)
    parts = [asdict(settings), asdict(taste_of(config.id)), asdict(RewardConfig())]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _path(config: PreferencesBench, trial: Trial) -> Path:
    return config.folder / "trials" / f"{trial.name}.json"


def _is_done(config: PreferencesBench, trial: Trial) -> bool:
    path = _path(config, trial)
    if not path.exists():
        return False
    settings = _read(path).get("settings")
    if settings != _fingerprint(config):
        raise ConfigError(f"{path} is of other settings ({settings}, now {_fingerprint(config)}); choose another --folder or delete it")
    return True


def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = read_json(path, "a trial", "delete it, and the trial is run again")
    return data


def _load(config: PreferencesBench, trial: Trial) -> dict[str, Any]:
    return _read(_path(config, trial))


@dataclass(frozen=True)
class Results:
    """Every trial's test episodes, and what they come to."""

    trials: dict[Trial, dict[str, Any]]
    seeds: int
    resamples: int = RESAMPLES
    _drawn: dict[tuple[str, int, float], Floats] = field(default_factory=dict)

    def returns(self, kind: str, labels: int = 0, offset: float = 0.0, what: str = "returns") -> Floats:
        """The teacher's reward (or ``crashed``) of every test episode, (seeds, episodes)."""
        return np.asarray([self.trials[Trial(kind, labels, offset, seed)][what] for seed in range(self.seeds)], np.float64)

    @property
    def best_constant(self) -> int:
        """The constant action with the highest mean."""
        return int(np.argmax([np.mean(self.trials[Trial("constant", seed=action)]["returns"]) for action in range(len(CONSTANTS))]))

    @property
    def floor(self) -> Floats:
        """The best constant action's test episodes, (episodes,)."""
        return np.asarray(self.trials[Trial("constant", seed=self.best_constant)]["returns"], np.float64)

    def share(self, kind: str, labels: int, offset: float = 0.0) -> tuple[float, float, float]:
        """Share of the gap with its 95 % interval: seeds and test episodes are drawn anew, the same episodes for all drivers."""
        value, drawn = self._shares(kind, labels, offset)
        return (value, *_interval(drawn))

    def each_share(self, kind: str, labels: int, offset: float = 0.0) -> list[float]:
        """Share of the gap of each seed alone, against the mean of the true ones."""
        floor, top = self.floor.mean(), self.returns("true").mean()
        return [float((own - floor) / (top - floor)) for own in self.returns(kind, labels, offset).mean(1)]

    def moved(self, kind: str, labels: int, offset: float) -> tuple[float, float, float]:
        """By how much of the gap an offset changes the result, with its interval."""
        (plain, plainly), (shifted, shiftedly) = self._shares(kind, labels, 0.0), self._shares(kind, labels, offset)
        return (shifted - plain, *_interval(shiftedly - plainly))

    def more_crashes(self, kind: str, labels: int, offset: float = 0.0) -> tuple[float, float, float]:
        """Crashes beyond those of the policy paid the true reward, as a share of episodes, with its interval."""
        own, true = self.returns(kind, labels, offset, "crashed"), self.returns("true", what="crashed")
        seeds, others, episodes = self._draws(own.shape[1])
        drawn = own[seeds[:, :, None], episodes[:, None]].mean((1, 2)) - true[others[:, :, None], episodes[:, None]].mean((1, 2))
        return (float(own.mean() - true.mean()), *_interval(drawn))

    def _draws(self, episodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        generator = np.random.default_rng(0)
        seeds = generator.integers(self.seeds, size=(2, self.resamples, self.seeds))
        return seeds[0], seeds[1], generator.integers(episodes, size=(self.resamples, episodes))

    def _shares(self, kind: str, labels: int, offset: float) -> tuple[float, Floats]:
        own, true, floor = self.returns(kind, labels, offset), self.returns("true"), self.floor
        value = (own.mean() - floor.mean()) / (true.mean() - floor.mean())
        key = (kind, labels, offset)
        if key not in self._drawn:
            seeds, others, episodes = self._draws(own.shape[1])
            drawn = []
            for some, other, row in zip(seeds, others, episodes, strict=True):
                bottom = floor[row].mean()
                drawn.append((own[some][:, row].mean() - bottom) / (true[other][:, row].mean() - bottom))
            self._drawn[key] = np.asarray(drawn)
        return float(value), self._drawn[key]

    @property
    def rows(self) -> list[tuple[str, int, float]]:
        """Teacher, labels and offset of every kind of trial that learned."""
        return sorted({(trial.kind, trial.labels, trial.offset) for trial in self.trials if trial.labels})

    def figures(self) -> dict[str, float]:
        """All of it, flat; shares and crashes in per cent."""
        figures = {
            f"constant.{name}.return": float(np.mean(self.trials[Trial("constant", seed=k)]["returns"])) for k, name in enumerate(CONSTANTS)
        }
        figures |= {
            "true.return": float(self.returns("true").mean()),
            "true.crashed_percent": 100 * float(self.returns("true", what="crashed").mean()),
        }
        figures["gap"] = figures["true.return"] - float(self.floor.mean())
        for kind, labels, offset in self.rows:
            name = f"{kind}.{labels}" + (f".offset{offset:+g}" if offset else "")
            for figure, found in (
                ("gap_percent", self.share(kind, labels, offset)),
                ("more_crashes_points", self.more_crashes(kind, labels, offset)),
            ):
                figures |= {f"{name}.{figure}{end}": 100 * value for end, value in zip(("", ".low", ".high"), found, strict=True)}
            figures[f"{name}.worst_seed_gap_percent"] = 100 * min(self.each_share(kind, labels, offset))
            if offset:
                moved = self.moved(kind, labels, offset)
                figures |= {f"{name}.moved_percent{end}": 100 * value for end, value in zip(("", ".low", ".high"), moved, strict=True)}
        return figures


def _interval(drawn: Floats) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
