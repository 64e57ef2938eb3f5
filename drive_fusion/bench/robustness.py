"""Does fusion help? One driver with every sense beside drivers with a single one, in a suite of mixed weather and faults.

All are taught alike: the same episodes of a disturbed rule driver in the suite's conditions, the same labels, as many passes over them.
What they met is `envs.conditions.mixed`: each episode draws its weather and up to two faults from its seed, for all drivers alike. Then
one checkpoint with all subsets of the senses, the others dead from start to end, taught with and without modality dropout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from drive_fusion.cloning import Demonstrations
    from drive_fusion.evaluation import Evaluation
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
    modality_dropout: float = 0.25
    """Of the fused driver, and of the one that the subsets are tried with."""
    evaluation_seeds: int = 1000
    """Test episodes in the suite."""
    subset_seeds: int = 500
    """Test episodes with each subset of the senses, in clear weather; 0 leaves the subsets out."""
    seed: int = 0
    """Of weights, order and teaching episodes."""

    def __post_init__(self) -> None:
        for name in ("episodes", "epochs", "evaluation_seeds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"bench robustness: {name} is {getattr(self, name)}, expected 1 or more")
        if not 0.0 < self.modality_dropout <= 1.0:
            raise ConfigError(f"bench robustness: modality_dropout is {self.modality_dropout}, expected above 0 and at most 1")


def bench_robustness(config: RobustnessBench) -> dict[str, float]:
    """Teach what is not taught yet, and evaluate.

    Returns:
        Rates, metres and PDMS with their 95 % intervals by driver; ``FUSED-X.METRIC`` is the paired difference of the fused driver to the
        one with sense X; ``subset.CL…`` are one checkpoint's figures with these senses alive.
    """
    from drive_fusion.evaluation import evaluate, table
    from envs.seeds import seed_set

    places = taught_drivers(config)
    seeds = seed_set("test", config.evaluation_seeds)
    rows = {name: evaluate(place, config.id, seeds, conditions=SUITE, name=name) for name, place in places.items()}
    print(table(list(rows.values())))
    figures = {key: value for name, row in rows.items() for key, value in _figures(name, row).items()}
    for name in (*SENSES, UNDROPPED):
        for metric in METRICS:
            figures |= _estimate(f"{FUSED}-{name}.{metric}", rows[FUSED].ahead_of(rows[name], metric))
    for name, row in rows.items():
        row.save(config.folder / "scores" / f"{SUITE}-{name.replace(' ', '-')}.json")
    return figures | (_subsets(config, places) if config.subset_seeds else {})


def _subsets(config: RobustnessBench, places: dict[str, Path]) -> dict[str, float]:
    """One checkpoint, seven subsets."""
    from drive_fusion.evaluation import evaluate, table
    from envs.seeds import seed_set

    figures: dict[str, float] = {}
    seeds = seed_set("test", config.subset_seeds)
    for taught in (FUSED, UNDROPPED):
        rows = []
        for subset in SUBSETS:
            faults = [f"dead:{name}" for letter, name in SENSES.items() if letter not in subset]
            name = f"{subset} of {taught}"
            rows.append(evaluate(places[taught], config.id, seeds, faults=faults, name=name))
            rows[-1].save(config.folder / "scores" / f"subset-{name.replace(' ', '-')}.json")
            figures |= _figures(f"subset.{subset}.{'with' if taught == FUSED else 'without'}_dropout", rows[-1])
        print(table(rows))
    return figures


def _figures(name: str, row: Evaluation) -> dict[str, float]:
    figures = _estimate(f"{name}.crashed", row.crash_rate)
    for metric in METRICS[1:]:
        figures |= _estimate(f"{name}.{metric}", row.mean(metric))
    return {key.replace(" ", "_"): value for key, value in figures.items()}


def _estimate(name: str, estimate: Any) -> dict[str, float]:
    name = name.replace(" ", "_")
    return {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}


def taught_drivers(config: RobustnessBench) -> dict[str, Path]:
    """Where each driver's checkpoint lies, by name; taught now where it is not there."""
    from drive_fusion.checkpoint import MANIFEST
    from drive_fusion.cloning import lessons
    from drive_fusion.rule_driver import RuleDriver

    plans = {name: (name, 0.0) for name in SENSES} | {FUSED: (FUSED, config.modality_dropout), UNDROPPED: (FUSED, 0.0)}
    places = {name: config.folder / "drivers" / name.replace(" ", "-") for name in plans}
    missing = [name for name, place in places.items() if not (place / MANIFEST).is_file()]
    taught = lessons(config.id, config.rig, RuleDriver(), config.episodes, config.seed, SUITE) if missing else None
    for name in missing:
        assert taught is not None
        _teach(config, taught, *plans[name]).save(places[name])
    return places


def _teach(config: RobustnessBench, taught: Demonstrations, senses: str, dropout: float) -> Any:
    """A driver with some senses."""
    from drive_fusion.cloning import CloneConfig, clone
    from drive_fusion.ppo import FusedPPO
    from envs.sb3 import make_sb3_vec
    from sensors.presets import rig_named

    rig = with_senses(rig_named(config.rig), senses)
    venv = make_sb3_vec(config.id, 1, rig=rig)
    model = FusedPPO(
        env=venv, rig=rig, spatial=config.spatial, modality_dropout=dropout, device="cpu", seed=config.seed, n_steps=64, batch_size=64
    )  # type: ignore[arg-type]
    seen = replace(taught, observations=observed_by(taught.observations, rig_named(config.rig), senses))
    report = clone(model, seen, CloneConfig(epochs=config.epochs, seed=config.seed))
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
