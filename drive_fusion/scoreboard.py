"""``drive-fusion evaluate``: drivers side by side on held-out seeds, never without the baselines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sensors.errors import ConfigError


@dataclass(frozen=True)
class EvaluateConfig:
    """Options of ``drive-fusion evaluate``."""

    drivers: tuple[str, ...] = ()
    """Checkpoint folders or names (rule, idm, ...) to score; the baselines random, each constant action and idm are always there."""
    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    seeds: int = 100
    """How many episodes each driver drives."""
    seed_set: str = "test"
    """Which seeds: train, validation or test; the three never meet."""
    weather: str | None = None
    """What the sensors look through: noon, dusk, night, fog, rain or snow; noon unless given."""
    fault: tuple[str, ...] = ()
    """Faults of the drivers' sensors, each KIND[:MODALITY[:SEVERITY[:START[:END]]]]: docs/faults.md lists them."""
    conditions: str | None = None
    """Each episode's own weather and faults, drawn from a suite: mixed."""
    device: str = "cpu"
    """cpu, cuda or auto."""
    scores: bool = False
    """Tell EPDMS, nuPlan's, CARLA's and MetaDrive's figures too, and progress relative to IDM's, in a second table."""
    json: Path | None = None
    """Write every figure, with its interval and each seed's value, here."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"evaluate: seeds is {self.seeds}, expected 1 or more")


def run_evaluation(config: EvaluateConfig) -> int:
    """Drive, score, print the table, write the figures."""
    from drive_fusion.evaluation import baselines, evaluate, scores_table, table
    from drive_fusion.study import write_json
    from envs.seeds import seed_set

    seeds = seed_set(config.seed_set, config.seeds)
    conditions: dict[str, Any] = {"weather": config.weather, "faults": config.fault, "conditions": config.conditions}
    rows = [evaluate(driver, config.id, seeds, device=config.device, scores=config.scores, **conditions) for driver in config.drivers]
    rows = baselines(config.id, seeds, scores=config.scores) + rows
    print(table(rows))
    if config.scores:
        print(scores_table(rows))
    if config.json is not None:
        write_json(config.json, [json.loads(json.dumps(asdict(row))) | {"summary": row.summary()} for row in rows])
        print(f"wrote {config.json}")
    return 0
