"""Speed of native worlds beside EnvPool's, in turns in one process, so that both meet the same machine.

A policy step is one decision of one world: random actions, the id's own observation, and a new episode with its random draws where one
ended. EnvPool has the same cars, lanes, substeps and horizon: it is told those of the highway ids, and has highway-env's for the others.
``exact`` and ``fast`` are ``World.step_autoreset`` in the two modes (only the highway has a fast one); ``scenes`` makes the scene of every
step too. Fast mode's mismatching episodes are counted. Run alone: ``python -m drive_fusion.bench.world``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError

CURVE_VEHICLES = (10, 20, 50, 100, 200, 500, 1000)
CURVE_WORLDS = (1, 16, 64, 256, 1024, 4096, 16384)
WITH_MODES = ("highway-v0", "highway-fast-v0")
PEERS = {
    "highway-v0": "Highway-v0",
    "highway-fast-v0": "HighwayFast-v0",
    "merge-v0": "Merge-v0",
    "roundabout-v0": "Roundabout-v0",
    "intersection-v0": "Intersection-v0",
    "intersection-v1": "Intersection-v1",
    "racetrack-v0": "Racetrack-v0",
    "racetrack-large-v0": "RacetrackLarge-v0",
    "racetrack-oval-v0": "RacetrackOval-v0",
    "exit-v0": "Exit-v0",
    "two-way-v0": "TwoWay-v0",
    "u-turn-v0": "UTurn-v0",
    "lane-keeping-v0": "LaneKeeping-v0",
    "parking-v0": "Parking-v0",
    "parking-parked-v0": "ParkingParked-v0",
    "parking-ActionRepeat-v0": "ParkingActionRepeat-v0",
}


@dataclass(frozen=True)
class WorldBench:
    """What to measure."""

    ids: tuple[str, ...] = tuple(PEERS)
    """Ids that EnvPool has too."""
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
    episodes: int = 1000
    """Episodes of each id in which fast mode's decisions are compared with exact mode's; 0 compares none."""
    first_seed: int = 3_300_000_000
    """Those episodes count up from this seed."""
    curve: bool = False
    """Measure the cost over cars and worlds instead, of the first id."""

    def __post_init__(self) -> None:
        for name in ("worlds", "threads", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not self.seconds > 0.0:
            raise ConfigError(f"seconds is {self.seconds}, expected more than 0")


Step = Callable[[Any], Any]


def native(id: str, config: WorldBench, mode: str) -> Step:
    """A native world's step in one mode, with observation and auto-reset."""
    import torch

    from envs.world import World

    world = World(id, config.worlds, num_threads=config.threads, mode=mode)
    world.reset(torch.arange(config.worlds) + config.seed)
    return world.step_autoreset


def native_scenes(id: str, config: WorldBench) -> Step:
    """A native world's step with scenes, reward terms and auto-reset: what rendering needs."""
    import torch

    from envs.world import World

    world = World(id, config.worlds, num_threads=config.threads)
    world.reset(torch.arange(config.worlds) + config.seed)

    def step(actions: Any) -> None:
        scene, outcome = world.step(actions)
        _ = scene.position_m  # a scene is made when it is looked at
        ended = outcome.terminated | outcome.truncated
        if bool(ended.any()):
            _ = world.reset_continue(ended).position_m

    return step


def peer(id: str, config: WorldBench) -> Step:
    """EnvPool's step; it resets finished episodes in the step after.

    Raises:
        ConfigError: EnvPool is not installed.
    """
    from envs.config import NATIVE_DEFAULTS, complete_config

    try:
        import envpool
    except ImportError:
        raise ConfigError("EnvPool is not installed: pip install 'drive-fusion[bench]', or measure with peer=False") from None
    ours = complete_config(id, None) if id in NATIVE_DEFAULTS else {}
    keys = ("lanes_count", "vehicles_count", "simulation_frequency", "policy_frequency", "duration")
    same = {key: ours[key] for key in keys if key in ours}
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


def actions_for(id: str, config: WorldBench) -> Any:
    """Random actions, (T, B) whole numbers or (T, B, C) float32."""
    import numpy as np

    from envs.world import World

    world, draws = World(id), np.random.default_rng(config.seed)
    if world.num_actions is not None:
        return draws.integers(0, world.num_actions, (512, config.worlds))
    return draws.uniform(-1.0, 1.0, (512, config.worlds, world.action_width)).astype(np.float32)


def bench_id(id: str, config: WorldBench) -> dict[str, float]:
    """Measure one id: all systems once a round, ratios within rounds."""
    systems = {mode: native(id, config, mode) for mode in (("exact", "fast") if id in WITH_MODES else ("exact",))}
    systems["scenes"] = native_scenes(id, config)
    if config.peer:
        systems["envpool"] = peer(id, config)
    actions = actions_for(id, config)
    for step in systems.values():  # compile, and leave the first episodes' start
        for row in actions[:20]:
            step(row)
    rounds = [{name: steps_per_second(step, actions, config.seconds) for name, step in systems.items()} for _ in range(config.rounds)]
    figures = {f"{id}.{name}_steps_per_s": statistics.median(row[name] for row in rounds) for name in systems}
    for name in systems if config.peer else ():
        if name != "envpool":
            ratios = sorted(row[name] / row["envpool"] for row in rounds)
            figures[f"{id}.{name}_ratio_to_envpool"] = statistics.median(ratios)
            figures |= {f"{id}.{name}_ratio_least": ratios[0], f"{id}.{name}_ratio_most": ratios[-1]}
    return figures


def mismatches(id: str, episodes: int, first_seed: int, worlds: int = 250) -> int:
    """Count episodes of random actions whose decisions differ between the modes before exact mode's episode is over.

    Decisions are every car's lane, target lane and crash, and whether the episode ended or was cut.

    Args:
        id: A native id.
        episodes: How many.
        first_seed: Seeds count up from here.
        worlds: How many at once, at most.
    """
    import numpy as np

    from envs.native import Highways

    count = 0
    for start in range(0, episodes, worlds):
        seeds = first_seed + np.arange(start, min(start + worlds, episodes))
        exact, fast = (Highways(id, len(seeds), mode=mode) for mode in ("exact", "fast"))
        exact.reset(seeds)
        fast.reset(seeds)
        draws = np.random.default_rng(seeds[0])
        runs, differs = np.ones(len(seeds), np.bool_), np.zeros(len(seeds), np.bool_)
        while runs.any():
            actions = draws.integers(0, 5, len(seeds))
            one, other = exact.step(actions), fast.step(actions)
            for name in ("lane", "target_lane", "crashed"):
                differs |= runs & (exact.cars[name] != fast.cars[name]).any(1)
            for name in ("terminated", "truncated"):
                differs |= runs & (one[name] != other[name])
            runs &= ~(one["terminated"] | one["truncated"])
        count += int(differs.sum())
    return count


def bench_curve(id: str, config: WorldBench) -> dict[str, float]:
    """Measure decisions of all worlds a second in both modes, over cars in a world and over worlds."""
    import numpy as np

    from envs.native import Highways

    figures = {}
    for vehicles, worlds in [*((count, 1) for count in CURVE_VEHICLES), *((None, count) for count in CURVE_WORLDS)]:
        for mode in ("exact", "fast"):
            settings = {} if vehicles is None else {"vehicles_count": vehicles}
            highways = Highways(id, worlds, settings, mode, config.threads)
            highways.reset(np.arange(worlds) + config.seed)
            actions = np.random.default_rng(config.seed).integers(0, 5, (64, worlds))
            highways.step_and_renew(actions[0])
            speed = steps_per_second(highways.step_and_renew, actions, config.seconds)
            what = f"worlds_{worlds}" if vehicles is None else f"vehicles_{vehicles}"
            figures[f"{id}.{what}.{mode}_steps_per_s"] = speed
            figures[f"{id}.{what}.{mode}_ns_per_car_substep"] = 1e9 / speed / highways.cars.shape[1] / highways.highway.rules.substeps
    return figures


def bench_world(config: WorldBench) -> dict[str, float]:
    """Measure every id.

    Returns:
        ``{id}.{system}_steps_per_s`` (median) and ``{id}.{system}_ratio_to_envpool`` (median of the rounds' ratios) with its least and
        most, and ``{id}.mismatching_episodes_per_1000``; with ``curve`` the cost over cars and worlds.

    Raises:
        ConfigError: An id that is not native.
    """
    from sensors.errors import unknown_name

    for id in config.ids:
        if id not in PEERS:
            raise unknown_name("id that EnvPool has", id, PEERS)
    if config.curve:
        if config.ids[0] not in WITH_MODES:
            raise unknown_name("id with a curve", config.ids[0], WITH_MODES)
        return bench_curve(config.ids[0], config)
    figures: dict[str, float] = {}
    for id in config.ids:
        figures |= bench_id(id, config)
        if config.episodes > 0 and id in WITH_MODES:
            found = mismatches(id, config.episodes, config.first_seed)
            figures[f"{id}.mismatching_episodes_per_1000"] = 1000.0 * found / config.episodes
    return figures


def run(config: WorldBench | None = None) -> Result:
    """Measure and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or WorldBench()
    result = Result.of("world", config, bench_world(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    run()
