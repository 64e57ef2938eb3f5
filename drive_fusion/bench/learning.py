"""What can be learned from sensors: drivers distilled from privileged ones, beside those and every baseline, on seeds never trained on.

Every training seed trains a privileged driver by PPO, a driver that sees the id's own observation by the same PPO, and a sensor driver that
the privileged one teaches. All drive the same test seeds. The figure that counts is the share of the gap from the best constant action to
the privileged drivers that the sensor drivers close. Stages that are done are not done again: the command goes on where it was stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive_fusion.distilling.config import DistillConfig
    from drive_fusion.evaluation import Evaluation
    from drive_fusion.intervals import Estimate
    from drive_fusion.training import TrainConfig

KINDS = ("privileged", "own", "sensors")
TITLES = {"privileged": "PPO, privileged state", "own": "PPO, own observation", "sensors": "distilled to sensors"}


@dataclass(frozen=True)
class Recipe:
    """How an id is learned, and how it is judged on the way."""

    train: dict[str, Any]
    """Changes to `TrainConfig`'s defaults, for the privileged driver and the one on the id's own observation."""
    distill: dict[str, Any]
    """Changes to `DistillConfig`'s defaults."""
    watched: dict[str, Any]
    """Changes to highway-env's configuration for the validation episodes of a learning curve: shorter ones where episodes are long."""
    episodes: int
    """How many validation episodes a point of a curve takes: returns that spread more need more."""
    rules: dict[str, Any] | None = None
    """Changes to `DistillConfig`'s defaults for a first lesson by the scripted driver, from which the privileged driver's PPO goes on."""


LONG = {
    "num_envs": 64,
    "n_steps": 64,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "batch": 512,
    "epochs": 6,
    "lr": 1e-3,
    "lr_annealed": True,
    "entropy": 0.0,
    "value_weight": 0.02,
    "target_kl": None,
    "duration_s": 20.0,
}
SHORT = {
    "num_envs": 256,
    "n_steps": 13,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "batch": 832,
    "epochs": 6,
    "lr": 2e-3,
    "lr_annealed": True,
    "entropy": 0.003,
    "value_weight": 0.05,
    "target_kl": None,
}
WARM_RATE = 0.3
"""Factor on PPO's learning rate where it goes on from a first lesson, which is not to be lost."""
RULES = {"num_envs": 128, "steps": 250_000, "passes": 8.0, "remember": 100_000, "lr": 3e-3}
CROSSING = {"steps": 420_000, "passes": 6.0, "remember": 100_000, "temporal": "gru", "practice": 0.57}
RECIPES = {
    "racetrack": Recipe(LONG | {"steps": 300_000}, {"steps": 50_000, "passes": 8.0}, {"duration": 120}, 40, RULES),
    "intersection": Recipe(SHORT | {"steps": 800_000}, CROSSING, {}, 500),
    "": Recipe(SHORT | {"steps": 600_000}, {"steps": 100_000}, {}, 200),
}
"""By what an id begins with; the last is for every other."""


@dataclass(frozen=True)
class LearningBench:
    """Options of ``drive-fusion bench learning``."""

    id: str = "racetrack-v0"
    """highway-env's name of the world."""
    seeds: int = 3
    """Training seeds, each with drivers of its own."""
    rig: str = "micro"
    """The sensors that the distilled driver sees with."""
    spatial: str = "concat"
    """How its modalities' maps are fused."""
    temporal: str | None = None
    """What it remembers; unless given, as the id's recipe says."""
    episodes: int = 500
    """Test episodes of every driver."""
    minutes: float = 30.0
    """The most that a training seed's sensor driver may take, its teacher included, by the clock; the teacher gets half of it."""
    scale: float = 1.0
    """Factor on the recipe's steps: below 1 for a quick look."""
    own: bool = True
    """Train on the id's own observation too."""
    watched: int | None = None
    """Validation episodes of a point of a learning curve; unless given, as many as the id's recipe says."""
    points: int = 8
    """Points of a learning curve. A privileged driver's best one is kept."""
    folder: Path = Path("studies/learning")
    """Where runs, evaluations, the table and the curves are written, in a folder named after the id."""
    threads: int = 0
    """Threads of torch; 0 is one a core."""

    def __post_init__(self) -> None:
        if min(self.seeds, self.episodes, self.judged_on, self.points) < 1:
            raise ConfigError("bench learning: every count must be 1 or more")
        if not self.minutes > 0.0 or not self.scale > 0.0:
            raise ConfigError(f"bench learning: minutes {self.minutes} and scale {self.scale} must be above 0")

    @property
    def recipe(self) -> Recipe:
        """How the id is learned."""
        return next(recipe for start, recipe in RECIPES.items() if self.id.startswith(start))

    @property
    def judged_on(self) -> int:
        """Validation episodes of a point of a learning curve."""
        return self.recipe.episodes if self.watched is None else self.watched

    @property
    def place(self) -> Path:
        """The id's folder."""
        return self.folder / self.id

    def training(self, kind: str, seed: int) -> TrainConfig:
        """The run of a driver that PPO trains."""
        from drive_fusion.training import TrainConfig

        rig = "privileged" if kind == "privileged" else "none"
        shared: dict[str, Any] = {
            "study": self.place,
            "run": f"{kind}-{seed}",
            "id": self.id,
            "rig": rig,
            "seed": seed,
            "threads": self.threads,
        }
        settings = {**self.recipe.train, **shared, "device": "cpu", "save_every": 10**9}
        return TrainConfig(**{**settings, "steps": round(self.scale * settings["steps"])})

    def ruled(self, seed: int) -> DistillConfig | None:
        """The run of a first lesson by rules, of privileged state; None where the recipe has none."""
        from drive_fusion.distilling.config import DistillConfig
        from drive_fusion.distilling.teacher import RULE

        if self.recipe.rules is None:
            return None
        run = DistillConfig(
            Path(RULE),
            study=self.place,
            run=f"ruled-{seed}",
            id=self.id,
            rig="privileged",
            seed=seed,
            threads=self.threads,
            device="cpu",
            **self.recipe.rules,
        )
        return replace(run, steps=round(self.scale * run.steps))

    def distilling(self, seed: int, minutes: float) -> DistillConfig:
        """The run of a sensor driver."""
        from drive_fusion.distilling.config import DistillConfig

        shared: dict[str, Any] = {
            "study": self.place,
            "run": f"sensors-{seed}",
            "id": self.id,
            "rig": self.rig,
            "seed": seed,
            "threads": self.threads,
        }
        settings = {
            **self.recipe.distill,
            **shared,
            "spatial": self.spatial,
            "minutes": minutes,
            "device": "cpu",
        }
        settings["steps"] = round(self.scale * settings["steps"])
        if self.temporal is not None:
            settings["temporal"] = self.temporal
        return DistillConfig(self.place / "runs" / f"privileged-{seed}" / "checkpoints" / "best", **settings)


def bench_learning(config: LearningBench) -> dict[str, float]:
    """Train, distil, evaluate; print the table, and write it with the curves beside the runs."""
    from drive_fusion.evaluation import baselines, evaluate, table
    from drive_fusion.study import Study
    from envs.seeds import seed_set

    study = Study(config.place)
    kinds = [kind for kind in KINDS if config.own or kind != "own"]
    for seed in range(config.seeds):
        for kind in kinds:
            if study.outcome(f"{kind}-{seed}") is None:
                run = distilled if kind == "sensors" else trained
                study.finish(f"{kind}-{seed}", run(config, kind, seed, study))
    test = seed_set("test", config.episodes)
    fixed = _once(config.place / "evaluations" / "baselines", config, partial(baselines, config.id, test))
    rows: dict[str, list[Evaluation]] = {}
    for kind in kinds:
        rows[kind] = []
        for seed in range(config.seeds):
            path = str(config.place / "runs" / f"{kind}-{seed}" / "checkpoints" / "best")
            drive = partial(evaluate, path, config.id, test, name=f"{TITLES[kind]}, seed {seed}")
            rows[kind] += _once(config.place / "evaluations" / f"{kind}-{seed}", config, drive)
    text = table([*fixed, *(row for kind in kinds for row in rows[kind])])
    print(text)
    (config.place / "table.txt").write_text(text)
    draw_curves(config, study, fixed, config.place / "curves.png")
    return figures_of(fixed, rows) | spent_of(study, kinds, config.seeds)


def _once(folder: Path, config: LearningBench, drive: Callable[[], Evaluation | list[Evaluation]]) -> list[Evaluation]:
    """Evaluations that were saved for as many episodes, or new ones."""
    from drive_fusion.evaluation import Evaluation

    found = [Evaluation.load(path) for path in sorted(folder.glob("*.json"))]
    if found and all(len(one.seeds) == config.episodes for one in found):
        return found
    shutil.rmtree(folder, ignore_errors=True)
    driven = drive()
    found = driven if isinstance(driven, list) else [driven]
    for number, one in enumerate(found):
        one.save(folder / f"{number:02d}.json")
    return found


def trained(config: LearningBench, kind: str, seed: int, study: Any) -> dict[str, Any]:
    """A driver by PPO, validated now and then; the best checkpoint is kept.

    Returns:
        Its curve as [steps, return] pairs, and the time that training took.
    """
    from drive_fusion.training import train

    run = config.training(kind, seed)
    shutil.rmtree(run.folder, ignore_errors=True)  # one that was stopped half way
    curve: list[list[float]] = []
    clock = Clock()
    ruled = config.ruled(seed) if kind == "privileged" else None
    if ruled is not None:
        from drive_fusion.distilling.dagger import distill

        shutil.rmtree(ruled.pupil.folder, ignore_errors=True)
        distill(ruled)
        begun = ruled.pupil.last_checkpoint
        run = replace(run, warm_start=begun, lr=WARM_RATE * run.lr, critic_warmup=run.steps // 8)

    def judge(model: Any) -> bool:
        with clock.stopped():
            worth = validated(config, model)
            if all(worth > value for _, value in curve):
                model.save(run.last_checkpoint.with_name("best"))
            curve.append([model.num_timesteps, worth])
        return clock.seconds < 30.0 * config.minutes

    train(run, judge, config.points)
    return {"curve": curve, **clock.spent}


class Clock:
    """Time that goes by from its making, by the clock and the processor's, without what is spent while it is stopped."""

    def __init__(self) -> None:
        self._left_out = np.zeros(2)
        self._began = self._now()

    @staticmethod
    def _now() -> NDArray[np.float64]:
        return np.array([time.monotonic(), time.process_time()])

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out what happens inside."""
        before = self._now()
        yield
        self._left_out += self._now() - before

    @property
    def seconds(self) -> float:
        """By the clock."""
        return float((self._now() - self._began - self._left_out)[0])

    @property
    def spent(self) -> dict[str, float]:
        """Both [s]."""
        seconds, cpu_seconds = (self._now() - self._began - self._left_out).tolist()
        return {"seconds": seconds, "cpu_seconds": cpu_seconds}


def distilled(config: LearningBench, kind: str, seed: int, study: Any) -> dict[str, Any]:
    """A sensor driver by its privileged teacher, within what the teacher left of the minutes; returns as `trained`."""
    from drive_fusion.distilling.dagger import distill

    teacher_s = study.outcome(f"privileged-{seed}")["seconds"]
    run = config.distilling(seed, max(1.0, config.minutes - teacher_s / 60.0))
    shutil.rmtree(run.pupil.folder, ignore_errors=True)
    curve: list[list[float]] = []
    clock = Clock()

    def judge(model: Any) -> None:
        with clock.stopped():
            curve.append([model.num_timesteps, validated(config, model)])

    distill(run, judge, config.points)
    _copy(run.pupil.last_checkpoint, run.pupil.last_checkpoint.with_name("best"))
    return {"curve": curve, **clock.spent}


def validated(config: LearningBench, who: Any) -> float:
    """Mean return of a driver on validation seeds."""
    from drive_fusion.evaluation import evaluate
    from envs.seeds import seed_set

    driver = str(who) if isinstance(who, Path) else who
    found = evaluate(driver, config.id, seed_set("validation", config.judged_on), config=config.recipe.watched or None)
    return float(found["return"].mean())


def _copy(checkpoint: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(checkpoint, target)


def figures_of(fixed: Sequence[Evaluation], rows: dict[str, list[Evaluation]]) -> dict[str, float]:
    """Returns, crash rates and progress of every driver, and the share of the gap that the sensor drivers close."""
    from drive_fusion.intervals import over_runs, wilson

    figures: dict[str, float] = {}
    for row in fixed:
        figures |= _flat(f"{row.driver}.return", row.mean("return")) | _flat(f"{row.driver}.crash_rate", row.crash_rate)
        figures |= _flat(f"{row.driver}.progress_m", row.mean("progress_m"))
    for kind, runs in rows.items():
        crashed = np.concatenate([run["crashed"] for run in runs])
        for metric in ("return", "progress_m"):
            figures |= _flat(f"{kind}.{metric}", over_runs(np.stack([run[metric] for run in runs])))
        figures |= _flat(f"{kind}.crash_rate", wilson(int(crashed.sum()), len(crashed)))
    constants = [row for row in fixed if row.driver not in ("random", "idm")]
    best = max(constants, key=lambda row: float(row["return"].mean()))
    table = {kind: np.stack([run["return"] for run in runs]) for kind, runs in rows.items()}
    for kind in (kind for kind in rows if kind != "privileged"):
        share = share_of_gap(table[kind], table["privileged"], best["return"])
        if share is None:
            print(f"{kind}: privileged drivers are not clearly ahead of {best.driver}, so there is no gap to have a share of")
            continue
        figures |= _flat(f"{kind}.share_of_gap", share)
        for seed, (mine, theirs) in enumerate(zip(table[kind], table["privileged"], strict=True)):
            gap = theirs.mean() - best["return"].mean()
            figures[f"{kind}.share_of_gap.seed_{seed}"] = float((mine.mean() - best["return"].mean()) / gap)
    return figures


def spent_of(study: Any, kinds: Sequence[str], seeds: int) -> dict[str, float]:
    """The longest that a run of each kind took, by the clock and in processor time [s]."""
    outcomes = {kind: [study.outcome(f"{kind}-{seed}") for seed in range(seeds)] for kind in kinds}
    return {f"{kind}.{name}": max(one[name] for one in outcomes[kind]) for kind in kinds for name in ("seconds", "cpu_seconds")}


def _flat(name: str, figure: Estimate) -> dict[str, float]:
    return {name: figure.value, f"{name}.low": figure.low, f"{name}.high": figure.high}


def share_of_gap(ours: Any, privileged: Any, constant: Any) -> Estimate | None:
    """How much of the way from a constant action to privileged drivers is gone, paired by training run and by episode.

    Args:
        ours: Returns of R runs on E episodes, (R, E).
        privileged: Likewise, run r trained by the same seed.
        constant: The constant action's returns, (E,).

    Returns:
        (ours - constant) / (privileged - constant) of the means, with a bootstrap interval over runs and episodes; None where the interval
        of the gap itself does not exclude zero.
    """
    from drive_fusion.intervals import Estimate, runs_and_episodes

    runs, episodes = runs_and_episodes(*ours.shape)
    floors = np.array([constant[episode].mean() for episode in episodes])
    ours_ahead, gaps = (
        np.array([table[np.ix_(run, episode)].mean() for run, episode in zip(runs, episodes, strict=True)]) - floors
        for table in (ours, privileged)
    )
    if np.percentile(gaps, 2.5) <= 0.0:
        return None
    low, high = np.percentile(ours_ahead[gaps > 0.0] / gaps[gaps > 0.0], (2.5, 97.5))
    return Estimate(float((ours.mean() - constant.mean()) / (privileged.mean() - constant.mean())), float(low), float(high))


def draw_curves(config: LearningBench, study: Any, fixed: Sequence[Evaluation], path: Path) -> None:
    """Validation returns while learning, a line a run; dashed, what the baselines return in the test's episodes where those are as long."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(8.0, 4.5))
    axes = figure.subplots()
    for number, kind in enumerate(kind for kind in KINDS if config.own or kind != "own"):
        for seed in range(config.seeds):
            curve = np.asarray(study.outcome(f"{kind}-{seed}")["curve"])
            axes.plot(curve[:, 0], curve[:, 1], color=f"C{number}", label=TITLES[kind] if seed == 0 else None, marker=".")
    if not config.recipe.watched:
        named: dict[float, list[str]] = {}
        for row in fixed:
            named.setdefault(round(float(row["return"].mean()), 1), []).append(row.driver)
        for worth, names in named.items():
            axes.axhline(worth, color="0.5", linestyle="--", linewidth=0.8)
            axes.annotate(" " + ", ".join(names), (1.0, worth), xycoords=("axes fraction", "data"), fontsize=8, color="0.3", va="center")
    watched = ", ".join(f"{name} {value}" for name, value in config.recipe.watched.items())
    axes.set_xlabel("decisions learned from")
    axes.set_ylabel(f"return, {config.judged_on} validation episodes" + (f" ({watched})" if watched else ""))
    axes.set_title(config.id)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
