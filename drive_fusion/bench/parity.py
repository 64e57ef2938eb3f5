"""How far the native highway is from highway-env over whole episodes, and how far highway-env is from itself.

The oracle runs pinned (``envs.oracle.PINNED``). With ``unpinned`` it also runs as it is started on this processor: that difference is
highway-env's own, from NumPy's AVX-512 functions. Run alone: ``python -m drive_fusion.bench.parity``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError


@dataclass(frozen=True)
class ParityBench:
    """What to compare."""

    ids: tuple[str, ...] = ("highway-fast-v0", "highway-v0")
    """Native ids."""
    episodes: tuple[int, ...] = (20, 4)
    """Episodes of each id, with full traffic, continued past crashes to the horizon."""
    first_seed: int = 3_221_225_472
    """Episodes count up from this seed (the first test seed)."""
    slower: float = 0.0
    """Share of decisions that are SLOWER beside the uniform ones."""
    unpinned: bool = False
    """Compare highway-env as it runs here with itself pinned, too."""

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.episodes) or min(self.episodes, default=1) < 1:
            raise ConfigError(f"parity: {len(self.ids)} ids with episodes {self.episodes}, expected as many numbers from 1")


def bench_parity(config: ParityBench) -> dict[str, float]:
    """Drive highway-env and native worlds alike, and compare every number.

    Returns:
        The largest difference of each kind over all episodes of an id, how many episodes are beyond 1e-9 m, and how many equal in
        every bit.

    Raises:
        ConfigError: An id that is not native.
        DriveFusionError: highway-env's process failed.
    """
    from envs.config import NATIVE_DEFAULTS
    from envs.oracle import Drive, drive
    from envs.parity import Difference, difference, follow, random_drive
    from sensors.errors import unknown_name

    figures: dict[str, float] = {}
    for id, episodes in zip(config.ids, config.episodes, strict=True):
        if id not in NATIVE_DEFAULTS:
            raise unknown_name("native id", id, NATIVE_DEFAULTS)
        seeds = range(config.first_seed, config.first_seed + episodes)
        one: Drive = random_drive(id, seeds, int(NATIVE_DEFAULTS[id]["duration"]), slower=config.slower)
        pinned = drive([one])[0]
        differences = [difference(*pair) for pair in zip(follow(one), pinned, strict=True)]
        figures |= {f"{id}.{name}": float(value) for name, value in asdict(Difference.worst(differences)).items()}
        figures[f"{id}.episodes"] = float(episodes)
        figures[f"{id}.episodes_beyond_1e-9_m"] = float(sum(each.position_m > 1e-9 for each in differences))
        figures[f"{id}.episodes_bit_equal"] = float(sum(not any(asdict(each).values()) for each in differences))
        figures[f"{id}.cars_crashed"] = float(sum(course.decisions[-1, :, 2].sum() for course in pinned))
        if config.unpinned:
            loose = [difference(*pair) for pair in zip(drive([one], pinned=False)[0], pinned, strict=True)]
            figures[f"{id}.highway_env_to_itself_m"] = Difference.worst(loose).position_m
    return figures


def run(config: ParityBench | None = None) -> Result:
    """Compare and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or ParityBench()
    result = Result.of("parity", config, bench_parity(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    run()
