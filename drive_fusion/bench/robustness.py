"""Does fusion help? One driver with every sense beside drivers with a single one, in a suite of mixed weather and faults.

All are taught alike, from several training seeds: the same episodes of a disturbed rule driver in the suite's conditions, the same labels,
as many passes over them. What they met is `envs.conditions.mixed`: each episode draws its weather and up to two faults from its seed, for
all drivers alike. Then one checkpoint with all subsets of the senses, the others dead from start to end, taught with and without modality
dropout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from drive_fusion.cloning import Demonstrations
    from drive_fusion.evaluation import Evaluation
    from drive_fusion.intervals import Estimate
    from sensors.rig import Rig

SENSES = {"C": "camera", "L": "lidar", "R": "radar"}
SUBSETS = tuple("".join(chosen) for count in (1, 2, 3) for chosen in combinations(SENSES, count))
"""C, L, R, CL, CR, LR, CLR."""
FUSED, UNDROPPED = "CLR", "CLR without dropout"
SUITE = "mixed"
METRICS = ("crashed", "progress_m", "score")


@dataclass(frozen=True)
class RobustnessBench:
    """Options of ``drive-fusion bench robustness``."""

    folder: Path = Path("studies/robustness")
    """Where the taught drivers and every evaluation go; drivers that are there already are not taught again."""
    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    rig: str = "micro"
    """All sensors; the single-sense drivers have its cameras, lidars or radars alone."""
    spatial: str = "concat"
    """How the fused drivers fuse."""
    episodes: int = 1024
    """Episodes that teach every driver."""
    epochs: int = 4
    """Passes over them."""
    lr: float = 4e-3
    """Learning rate of teaching: with half of it a fused driver learns from radar and lidar alone, for a camera is slower to learn from."""
    modality_dropout: float = 0.25
    """Of the fused driver, and of the one that the subsets are tried with."""
    evaluation_seeds: int = 1000
    """Test episodes in the suite."""
    subset_seeds: int = 500
    """Test episodes with each subset of the senses, in clear weather; 0 leaves the subsets out."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds: each of its own weights, order and teaching episodes."""

    def __post_init__(self) -> None:
        for name in ("episodes", "epochs", "evaluation_seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"bench robustness: {name} is {getattr(self, name)}, expected 1 or more")
        if not self.lr > 0.0:
            raise ConfigError(f"bench robustness: lr is {self.lr}, expected above 0")
        if not self.seeds:
            raise ConfigError("bench robustness: seeds is empty, expected one training seed or more")
        if not 0.0 < self.modality_dropout <= 1.0:
            raise ConfigError(f"bench robustness: modality_dropout is {self.modality_dropout}, expected above 0 and at most 1")


def bench_robustness(config: RobustnessBench) -> dict[str, float]:
    """Teach what is not taught yet, and evaluate.

    Returns:
        Rates, metres and PDMS with their 95 % intervals by driver; ``CLR-X.METRIC`` is the paired difference of the fused drivers to those
        with sense X; ``subset.CL…`` are the fused drivers' figures with these senses alive. Intervals are over training seeds and episodes.
    """
    from drive_fusion.evaluation import table
    from envs.seeds import seed_set

    places = {(name, seed): place for seed in config.seeds for name, place in taught_drivers(config, seed).items()}
    test = seed_set("test", config.evaluation_seeds)
    rows: dict[str, list[Evaluation]] = {}
    for (name, seed), place in places.items():
        path = config.folder / "scores" / f"{SUITE}-{_plain(name)}-{seed}.json"
        rows.setdefault(name, []).append(scored(path, place, config.id, test, f"{name}, seed {seed}", conditions=SUITE))
    print(table([row for runs in rows.values() for row in runs]))
    figures = {key: value for name, runs in rows.items() for key, value in _figures(name, runs).items()}
    for name in (*SENSES, UNDROPPED):
        figures |= _differences(f"{FUSED}-{name}", rows[FUSED], rows[name])
    return figures | (_subsets(config, places) if config.subset_seeds else {})


def _subsets(config: RobustnessBench, places: dict[tuple[str, int], Path]) -> dict[str, float]:
    """Every fused checkpoint, seven subsets; how each subset differs from all senses, and teaching with dropout from teaching without."""
    from drive_fusion.evaluation import table
    from envs.seeds import seed_set

    figures: dict[str, float] = {}
    test = seed_set("test", config.subset_seeds)
    rows: dict[tuple[str, str], list[Evaluation]] = {}
    for taught in (FUSED, UNDROPPED):
        for subset in SUBSETS:
            faults = [f"dead:{name}" for letter, name in SENSES.items() if letter not in subset]
            for seed in config.seeds:
                path = config.folder / "scores" / f"subset-{subset}-of-{_plain(taught)}-{seed}.json"
                name = f"{subset} of {taught}, seed {seed}"
                rows.setdefault((taught, subset), []).append(scored(path, places[taught, seed], config.id, test, name, faults=faults))
        print(table([row for subset in SUBSETS for row in rows[taught, subset]]))
    for (taught, subset), runs in rows.items():
        figures |= _figures(f"subset.{subset}.{'with' if taught == FUSED else 'without'}_dropout", runs)
        if taught == FUSED:
            figures |= _differences(f"subset.{subset}.with-without", runs, rows[UNDROPPED, subset])
        if taught == FUSED and subset != FUSED:
            figures |= _differences(f"subset.{FUSED}-{subset}", rows[FUSED, FUSED], runs)
    return figures


def _plain(name: str) -> str:
    return name.replace(" ", "-")


def scored(path: Path, driver: Any, id: str, seeds: Tensor, name: str, **conditions: Any) -> Evaluation:
    """What a driver does on seeds; saved as soon as it is known, and read from there if it was known already."""
    from drive_fusion.evaluation import Evaluation, evaluate

    if path.is_file():
        row = Evaluation.load(path)
        if row.seeds == tuple(seeds.tolist()):
            return row
    row = evaluate(driver, id, seeds, name=name, **conditions)
    row.save(path)
    return row


def _figures(name: str, runs: Sequence[Evaluation]) -> dict[str, float]:
    """Of a kind of driver, taught from several seeds."""
    from drive_fusion.intervals import over_runs

    return _told(name, {metric: over_runs([run[metric] for run in runs]) for metric in METRICS})


def _differences(name: str, ours: Sequence[Evaluation], theirs: Sequence[Evaluation]) -> dict[str, float]:
    """Ours less theirs, paired by training seed and by episode."""
    from drive_fusion.intervals import over_runs

    pairs = list(zip(ours, theirs, strict=True))
    return _told(name, {metric: over_runs([mine[metric] - other[metric] for mine, other in pairs]) for metric in METRICS})


def _told(name: str, estimates: dict[str, Estimate]) -> dict[str, float]:
    name = name.replace(" ", "_")
    figures: dict[str, float] = {}
    for metric, estimate in estimates.items():
        figures |= {f"{name}.{metric}": estimate.value, f"{name}.{metric}.low": estimate.low, f"{name}.{metric}.high": estimate.high}
    return figures


def taught_drivers(config: RobustnessBench, seed: int) -> dict[str, Path]:
    """Where each driver's checkpoint of a training seed lies, by name; taught now where it is not there."""
    from drive_fusion.checkpoint import MANIFEST
    from drive_fusion.cloning import lessons
    from drive_fusion.rule_driver import RuleDriver

    plans = {name: (name, 0.0) for name in SENSES} | {FUSED: (FUSED, config.modality_dropout), UNDROPPED: (FUSED, 0.0)}
    places = {name: config.folder / "drivers" / f"{_plain(name)}-{seed}" for name in plans}
    missing = [name for name, place in places.items() if not (place / MANIFEST).is_file()]
    taught = lessons(config.id, config.rig, RuleDriver(), config.episodes, seed, SUITE) if missing else None
    for name in missing:
        assert taught is not None
        _teach(config, taught, *plans[name], seed).save(places[name])
    return places


def _teach(config: RobustnessBench, taught: Demonstrations, senses: str, dropout: float, seed: int) -> Any:
    """A driver with some senses."""
    from drive_fusion.cloning import CloneConfig, clone
    from drive_fusion.ppo import FusedPPO
    from envs.sb3 import make_sb3_vec
    from sensors.presets import rig_named

    rig = with_senses(rig_named(config.rig), senses)
    venv = make_sb3_vec(config.id, 1, rig=rig)
    built: dict[str, Any] = {"spatial": config.spatial, "modality_dropout": dropout, "seed": seed}
    model = FusedPPO(env=venv, rig=rig, device="cpu", n_steps=64, batch_size=64, **built)
    seen = replace(taught, observations=observed_by(taught.observations, rig_named(config.rig), senses))
    report = clone(model, seen, CloneConfig(epochs=config.epochs, lr=config.lr, seed=seed))
    print(f"{senses}, modality dropout {dropout}: {100 * report.accuracy:.1f} % of {report.held_out} held-out decisions are as the rule's")
    return model


def with_senses(rig: Rig, senses: str) -> Rig:
    """A rig with its cameras, lidars or radars alone, or several of them.

    Args:
        rig: All sensors.
        senses: Letters of ``SENSES``.
    """
    kept = {"C": "cameras", "L": "lidars", "R": "radars"}
    without = {field: () for letter, field in kept.items() if letter not in senses}
    return replace(rig, name=rig.name if not without else f"{rig.name}-{senses}", **without)  # type: ignore[arg-type]


def observed_by(observations: dict[str, Any], rig: Rig, senses: str) -> dict[str, Any]:
    """What of a full rig's observation its part ``with_senses`` gives."""
    import torch

    counts = dict(zip(SENSES, (len(rig.cameras), len(rig.lidars), len(rig.radars)), strict=True))
    rows = [letter in senses for letter, count in counts.items() for _ in range(count)]
    gone = [SENSES[letter] for letter in SENSES if letter not in senses]
    kept = torch.tensor(rows)
    return {name: value[:, kept] if name in ("alive", "age") else value for name, value in observations.items() if name not in gone}
