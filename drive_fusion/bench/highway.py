"""Can it be learned? Drivers of highway-fast-v0 who get further than IDM and rarely crash: privileged state first, then from sensors.

Both begin as clones of a rule driver who sees the whole scene and looks ``CLEAR_S`` ahead, and go on by PPO on the scripted reward
(``feedback.scripted.true_reward``: progress, headway, few lane changes) with -30 for a crash in all, near their clone at first. Every
training seed is a run of its own; teaching, training and test episodes never meet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from drive_fusion.evaluation import Evaluation

CLEAR_S = 7.0
"""How long what the rule driver does must stay clear of everybody: longer than by default, for a careful teacher."""
CRASH_PENALTY = 20.0
"""Beside the scripted reward's own 10."""
KINDS = ("privileged", "sensors")
PASSES = {"privileged": 16, "sensors": 4}
LR = 4e-3
METRICS = ("crashed", "progress_m", "score")


@dataclass(frozen=True)
class HighwayBench:
    """Options of ``drive-fusion bench highway``."""

    folder: Path = Path("studies/highway")
    """Where checkpoints and evaluations go; drivers that are there already are not trained again."""
    rig: str = "micro"
    """What the driver with sensors sees through."""
    kinds: tuple[str, ...] = KINDS
    """Which drivers: privileged, sensors."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds: each of its own weights, episodes and exploration."""
    episodes: int = 2048
    """Episodes that a clone is taught by."""
    privileged_steps: int = 200_000
    """Steps of PPO on privileged state; 0 leaves the clone as it is."""
    sensor_steps: int = 65_536
    """Steps of PPO from sensors; 0 leaves the clone as it is."""
    own_steps: int = 200_000
    """Steps of Stable-Baselines3's PPO on the id's own observation and reward, a baseline; 0 leaves it out."""
    evaluation_seeds: int = 2000
    """Episodes that every driver is scored on."""
    seed_set: str = "test"
    """Which ones: choose settings on validation, report on test."""

    id = "highway-fast-v0"

    def __post_init__(self) -> None:
        if (
            not self.seeds
            or min(self.episodes, self.evaluation_seeds) < 1
            or min(self.privileged_steps, self.sensor_steps, self.own_steps) < 0
        ):
            raise ConfigError("bench highway: seeds, episodes and evaluation_seeds must be 1 or more, steps 0 or more")
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise ConfigError(f"bench highway: unknown kind {unknown[0]!r}, expected some of {', '.join(KINDS)}")


def bench_highway(config: HighwayBench) -> dict[str, float]:
    """Train what is not there yet, and evaluate.

    Returns:
        Rates, metres and PDMS with 95 % intervals by driver; ``NAME-idm.METRIC`` is the paired difference to IDM on the same episodes.
    """
    from drive_fusion.evaluation import baselines, evaluate, table
    from drive_fusion.rule_driver import RuleDriver
    from envs.seeds import seed_set

    places = trained_drivers(config)
    seeds = seed_set(config.seed_set, config.evaluation_seeds)
    rows = [*baselines(config.id, seeds), evaluate(RuleDriver(clear_s=CLEAR_S), config.id, seeds, name="rule")]
    rows += [evaluate(place, config.id, seeds, name=name) for name, place in places.items()]
    print(table(rows))
    idm = next(row for row in rows if row.driver == "idm")
    figures: dict[str, float] = {}
    for row in rows:
        row.save(config.folder / "scores" / config.seed_set / f"{row.driver.replace(' ', '-')}.json")
        figures |= _figures(row, idm)
    return figures


def _figures(row: Evaluation, idm: Evaluation) -> dict[str, float]:
    found = {"crashed": row.crash_rate} | {metric: row.mean(metric) for metric in METRICS[1:]}
    estimates = {f"{row.driver}.{metric}": estimate for metric, estimate in found.items()}
    if row is not idm:
        estimates |= {f"{row.driver}-idm.{metric}": row.ahead_of(idm, metric) for metric in METRICS}
    figures: dict[str, float] = {}
    for name, estimate in estimates.items():
        name = name.replace(" ", "_")
        figures |= {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
    return figures


def trained_drivers(config: HighwayBench) -> dict[str, Path]:
    """Where each driver's checkpoint lies, by name; trained now where it is not there."""
    places: dict[str, Path] = {}
    for seed in config.seeds:
        if config.own_steps:
            places[f"SB3 own {seed}"] = _own(config, seed)
        for kind in config.kinds:
            clone = _cloned(config, kind, seed)
            places[f"{kind} clone {seed}"] = clone
            steps = config.privileged_steps if kind == "privileged" else config.sensor_steps
            if steps:
                places[f"{kind} PPO {seed}"] = _by_reward(config, kind, seed, steps, clone)
    return places


def _there(place: Path) -> bool:
    from drive_fusion.checkpoint import MANIFEST

    return (place / MANIFEST).is_file()


def _cloned(config: HighwayBench, kind: str, seed: int) -> Path:
    """A clone of the rule driver."""
    from drive_fusion.cloning import CloneConfig, clone, lessons
    from drive_fusion.rule_driver import RuleDriver
    from drive_fusion.training import TrainConfig, learner

    place = config.folder / "clones" / f"{kind}-{seed}"
    if not _there(place):
        rig = "privileged" if kind == "privileged" else config.rig
        model = learner(TrainConfig(id=config.id, rig=rig, num_envs=1, n_steps=64, batch=64, seed=seed, device="cpu"))
        taught = lessons(config.id, rig, RuleDriver(clear_s=CLEAR_S), config.episodes, seed)
        report = clone(model, taught, CloneConfig(epochs=PASSES[kind], lr=LR, seed=seed))
        print(f"{kind} clone {seed}: negative log-likelihood {report.nll:.3f} of {report.held_out} held-out decisions", flush=True)
        model.save(place)
    return place


def _by_reward(config: HighwayBench, kind: str, seed: int, steps: int, clone: Path) -> Path:
    """PPO from a clone, on the scripted reward."""
    from drive_fusion.training import TrainConfig

    told = kind == "privileged"
    plan = TrainConfig(
        study=config.folder,
        run=f"{kind}-{seed}",
        id=config.id,
        rig="privileged" if told else config.rig,
        scripted_reward=True,
        crash_penalty=CRASH_PENALTY,
        warm_start=clone,
        anchor=clone,
        anchor_weight=0.05,
        critic_warmup=steps // 8,
        num_envs=128 if told else 64,
        n_steps=32,
        batch=1024 if told else 512,
        epochs=4 if told else 3,
        value_weight=0.02,
        entropy=0.001,
        steps=steps,
        seed=seed,
        device="cpu",
        save_every=steps,
    )
    return _run(plan)


def _own(config: HighwayBench, seed: int) -> Path:
    """PPO on the id's own observation and reward, as Stable-Baselines3 has it."""
    from drive_fusion.training import TrainConfig

    return _run(
        TrainConfig(study=config.folder, run=f"own-{seed}", id=config.id, rig="none", steps=config.own_steps, seed=seed, device="cpu")
    )


def _run(plan: Any) -> Path:
    from drive_fusion.training import train

    if not _there(plan.last_checkpoint):
        train(plan)
    else:  # goes on where it was stopped; a finished one is left as it is
        train(replace(plan, resume=True))
    return Path(plan.last_checkpoint)
