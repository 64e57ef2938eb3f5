"""Speed of the native highway beside EnvPool's, in turns in one process, so that both meet the same machine.

A policy step is one decision of one world: random actions, the Kinematics observation, and a new episode with its random draws where
one ended. EnvPool is told the same cars, lanes, substeps and horizon. Run alone: ``python -m drive_fusion.bench.world``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError

PEERS = {"highway-v0": "Highway-v0", "highway-fast-v0": "HighwayFast-v0"}


@dataclass(frozen=True)
class WorldBench:
    """What to measure."""

    ids: tuple[str, ...] = ("highway-v0", "highway-fast-v0")
    """Native ids."""
    worlds: int = 64
    """Worlds in a batch."""
    threads: int = 1
    """Threads of each system."""
    rounds: int = 9
    """Paired rounds; ratios are medians over them."""
    seconds: float = 0.5
    """Least time of one round of one system."""
    seed: int = 0
    """Of the actions and the first episodes."""
    peer: bool = True
    """Measure EnvPool too (extra 'bench'); without it there are no ratios."""

    def __post_init__(self) -> None:
        for name in ("worlds", "threads", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not self.seconds > 0.0:
            raise ConfigError(f"seconds is {self.seconds}, expected more than 0")


Step = Callable[[Any], Any]


def native(id: str, config: WorldBench) -> Step:
    """A native world's step with observation and auto-reset."""
    import torch

    from envs.world import World

    world = World(id, config.worlds, num_threads=config.threads)
    world.reset(torch.arange(config.worlds) + config.seed)
    return world.step_autoreset


def native_scenes(id: str, config: WorldBench) -> Step:
    """A native world's step with scenes, reward terms and auto-reset: what rendering needs."""
    import torch

    from envs.world import World

    world = World(id, config.worlds, num_threads=config.threads)
    world.reset(torch.arange(config.worlds) + config.seed)

    def step(actions: Any) -> None:
        _, outcome = world.step(actions)
        ended = outcome.terminated | outcome.truncated
        if bool(ended.any()):
            world.reset_continue(ended)

    return step


def peer(id: str, config: WorldBench) -> Step:
    """EnvPool's step; it resets finished episodes in the step after.

    Raises:
        ConfigError: EnvPool is not installed.
    """
    from envs.config import complete_config

    try:
        import envpool
    except ImportError:
        raise ConfigError("EnvPool is not installed: pip install 'drive-fusion[bench]', or measure with peer=False") from None
    ours = complete_config(id, None)
    same = {key: ours[key] for key in ("lanes_count", "vehicles_count", "simulation_frequency", "policy_frequency", "duration")}
    pool = envpool.make_gymnasium(PEERS[id], num_envs=config.worlds, num_threads=config.threads, seed=config.seed, **same)
    pool.reset()
    step: Step = pool.step
    return step


def steps_per_second(step: Step, actions: Any, seconds: float) -> float:
    """Run a system for at least some time; policy steps of all worlds a second.

    Args:
        step: Advances all worlds by one decision.
        actions: (T, B) actions to go through again and again.
        seconds: Least time.
    """
    start, count = time.perf_counter(), 0
    while True:
        step(actions[count % len(actions)])
        count += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return float(count * actions.shape[1] / spent)


def bench_id(id: str, config: WorldBench) -> dict[str, float]:
    """Measure one id: all systems once a round, ratios within rounds."""
    import numpy as np

    systems = {"native": native(id, config), "native_scenes": native_scenes(id, config)}
    if config.peer:
        systems["envpool"] = peer(id, config)
    actions = np.random.default_rng(config.seed).integers(0, 5, (512, config.worlds))
    for step in systems.values():  # compile, and leave the first episodes' start
        for row in actions[:20]:
            step(row)
    rounds = [{name: steps_per_second(step, actions, config.seconds) for name, step in systems.items()} for _ in range(config.rounds)]
    figures = {f"{id}.{name}_steps_per_s": statistics.median(row[name] for row in rounds) for name in systems}
    if config.peer:
        ratios = sorted(row["native"] / row["envpool"] for row in rounds)
        figures |= {f"{id}.ratio_to_envpool": statistics.median(ratios), f"{id}.ratio_least": ratios[0], f"{id}.ratio_most": ratios[-1]}
        figures[f"{id}.scenes_ratio_to_envpool"] = statistics.median(row["native_scenes"] / row["envpool"] for row in rounds)
    return figures


def bench_world(config: WorldBench) -> dict[str, float]:
    """Measure every id.

    Returns:
        ``{id}.{system}_steps_per_s`` (median) and ``{id}.ratio_to_envpool`` (median of the rounds' ratios) with its least and most.

    Raises:
        ConfigError: An id that is not native.
    """
    from sensors.errors import unknown_name

    for id in config.ids:
        if id not in PEERS:
            raise unknown_name("native id", id, PEERS)
    return {name: value for id in config.ids for name, value in bench_id(id, config).items()}


def run(config: WorldBench | None = None) -> Result:
    """Measure and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or WorldBench()
    result = Result.of("world", config, bench_world(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    run()
