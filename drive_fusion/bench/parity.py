"""How far native worlds are from highway-env over whole episodes of random actions, and how far highway-env is from itself.

The oracle runs pinned (``envs.oracle.PINNED``). With ``unpinned`` it also runs as it is started on this processor: that difference is
highway-env's own, from NumPy's AVX-512 functions. With ``random_settings`` every id is driven with settings, seeds and actions drawn anew
for each number (``envs.random_settings`` says of what). Run alone: ``python -m drive_fusion.bench.parity``.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError

TOLERANCE = 1e-9
EVERY_FAMILY = (
    "highway-fast-v0",
    "highway-v0",
    "merge-v0",
    "merge-generic-v1",
    "roundabout-v0",
    "roundabout-generic-v0",
    "intersection-v0",
    "intersection-v1",
    "intersection-multi-agent-v0",
    "intersection-multi-agent-v1",
    "intersection-multi-agent-v2",
    "racetrack-v0",
    "racetrack-large-v0",
    "racetrack-oval-v1",
    "exit-v0",
    "two-way-v0",
    "u-turn-v0",
    "lane-keeping-v0",
    "parking-v0",
    "parking-parked-v0",
)


@dataclass(frozen=True)
class ParityBench:
    """What to compare."""

    ids: tuple[str, ...] = EVERY_FAMILY
    """Native ids."""
    episodes: int = 2
    """Episodes of each id, continued past crashes to the horizon."""
    decisions: int = 100
    """Decisions of an episode at most."""
    first_seed: int = 3_221_225_472
    """Episodes count up from this seed (the first test seed)."""
    slower: float = 0.0
    """Share of decisions that are the last action (SLOWER among meta-actions) beside the uniform ones."""
    unpinned: bool = False
    """Compare highway-env as it runs here with itself pinned, too."""
    random_settings: int = 0
    """Instead: how many random settings of every id to try, two episodes each; of all ids, or of those in ``ids`` if it is given."""
    seed: int = 0
    """Chooses among sets of random settings; the first number is tried on every id before the second."""
    seconds: float = math.inf
    """Begin no further number once so much time is over."""

    def __post_init__(self) -> None:
        for name in ("episodes", "decisions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"parity: {name} is {getattr(self, name)}, expected at least 1")
        for name in ("random_settings", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"parity: {name} is {getattr(self, name)}, expected 0 or more")
        if not self.seconds > 0:
            raise ConfigError(f"parity: seconds is {self.seconds}, expected more than 0")


def bench_parity(config: ParityBench) -> dict[str, float]:
    """Drive highway-env and native worlds alike, and compare every number.

    Returns:
        The largest difference of each kind over all episodes of an id, how many episodes are beyond 1e-9 m, and how many equal in
        every bit. An episode that leaves the tolerance is told in a line of its own, with the instant and the actor. Of random settings
        how many of an id were tried, how many gave the same, and at how many highway-env raises an exception.

    Raises:
        ConfigError: An id that there is not.
        DriveFusionError: highway-env's process failed.
    """
    if config.random_settings:
        return try_random_settings(config)
    from envs.oracle import drive
    from envs.parity import Difference, departure, difference, follow, random_drive
    from envs.world import World

    seeds = range(config.first_seed, config.first_seed + config.episodes)
    figures: dict[str, float] = {}
    for id in config.ids:
        decisions = min(World(id).horizon_steps, config.decisions)
        one = random_drive(id, seeds, decisions, slower=config.slower)
        native, pinned = follow(one), drive([one])[0]
        differences = [difference(*pair) for pair in zip(native, pinned, strict=True)]
        figures |= {f"{id}.{name}": float(value) for name, value in asdict(Difference.worst(differences)).items()}
        figures[f"{id}.episodes"] = float(config.episodes)
        figures[f"{id}.decisions"] = float(decisions)
        figures[f"{id}.episodes_beyond_1e-9_m"] = float(sum(each.position_m > TOLERANCE for each in differences))
        figures[f"{id}.episodes_bit_equal"] = float(sum(not any(asdict(each).values()) for each in differences))
        figures[f"{id}.cars_crashed"] = float(sum(course.decisions[-1, :, 2].sum() for course in pinned))
        for seed, mine, theirs in zip(seeds, native, pinned, strict=True):
            told = departure(mine, theirs, TOLERANCE)
            if told is not None:
                print(f"{id} seed {seed}: {told}")
        if config.unpinned:
            loose = [difference(*pair) for pair in zip(drive([one], pinned=False)[0], pinned, strict=True)]
            figures[f"{id}.highway_env_to_itself_m"] = Difference.worst(loose).position_m
    return figures


def try_random_settings(config: ParityBench) -> dict[str, float]:
    """Try drawn settings on every id; whatever differs is told in a line of its own."""
    from envs.ids import IDS, checked_id
    from envs.parity_hunt import trials

    ids = IDS if config.ids == EVERY_FAMILY else tuple(map(checked_id, config.ids))
    figures = {f"{id}.random_settings.{name}": 0.0 for id in ids for name in ("tried", "same", "highway_env_fails")}
    started = time.monotonic()
    for batch in trials(ids, range(config.random_settings), config.seed):
        for trial in batch:
            figures[f"{trial.drive.id}.random_settings.tried"] += 1.0
            figures[f"{trial.drive.id}.random_settings.same"] += float(trial.same and not trial.failed)
            figures[f"{trial.drive.id}.random_settings.highway_env_fails"] += float(trial.failed)
            if not trial.same:
                print(trial.line, flush=True)
        if time.monotonic() - started > config.seconds:
            break
    return figures


def run(config: ParityBench | None = None) -> Result:
    """Compare and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or ParityBench()
    result = Result.of("parity", config, bench_parity(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    run()
