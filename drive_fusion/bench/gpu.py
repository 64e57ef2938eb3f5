"""Speed on a GPU: of worlds, state only (random actions, auto-reset, nothing brought back meanwhile), of rigs' senses, and of PPO.

First some worlds are driven on the GPU and on the CPU alike. In fast mode the highway rounds alike on both, so that all positions must be
equal; elsewhere GPUs take sines and powers of their own, so that decisions must agree, and positions but for their last digits. Whatever
fails is told and left out, and the next measurement follows. Run alone: ``python -m drive_fusion.bench.gpu``.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError

AGREEMENT_M = 1e-6
HIGHWAYS = ("highway-fast-v0", "highway-v0")


@dataclass(frozen=True)
class GpuBench:
    """What to measure."""

    ids: tuple[str, ...] = ("highway-fast-v0", "highway-v0", "merge-v0", "roundabout-v0", "intersection-v0")
    """Native ids."""
    mode: str = "fast"
    """Elementary functions of the highway: fast, or exact (CUDA's own, which round otherwise than the C library's)."""
    threads: tuple[int, ...] = (1, 8, 16, 32)
    """Threads that share a world of the highway, one kernel after the other; other ids have one thread a world."""
    worlds_per_block: int = 2
    """Worlds of a block, where several threads share a world."""
    registers: int | None = None
    """The most registers that a thread of the highway may use; None leaves it to the compiler."""
    worlds: tuple[int, ...] = (1024, 4096, 16384, 65536, 262144)
    """Worlds in a batch, one batch after the other."""
    decisions: int = 32
    """Decisions in a round."""
    rounds: int = 5
    """Rounds of each batch; figures are medians over them."""
    checked_worlds: int = 64
    """Worlds that are compared with the CPU."""
    checked_decisions: int = 12
    """Decisions for which they are."""
    seed: int = 0
    """Of the actions and the first episodes."""
    rigs: tuple[str, ...] = ("micro", "base")
    """Rigs whose senses are rendered on the GPU, too."""
    rig_worlds: tuple[int, ...] = (64, 1024)
    """Worlds in a batch for those."""
    ppo_sizes: tuple[str, ...] = ("micro", "nano", "base")
    """Rigs, with networks of the same names, with which PPO is timed on the GPU; none leaves it out."""
    ppo_worlds: int = 512
    """Worlds that PPO learns in; a gradient step takes a fourth of a rollout of 16 decisions of each."""

    def __post_init__(self) -> None:
        for name in ("decisions", "rounds", "checked_worlds", "checked_decisions", "worlds_per_block"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("worlds", "threads", "rig_worlds"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected numbers of at least 1")
        if self.ppo_worlds < 1:
            raise ConfigError(f"ppo_worlds is {self.ppo_worlds}, expected at least 1")
        if not self.ids:
            raise ConfigError("ids is empty, expected native ids")


@dataclass
class Fleet:
    """Worlds on both sides."""

    device: Any
    """``DeviceHighways`` or ``DeviceWorlds``."""
    step: Callable[[Any], Any]
    """Steps them on the CPU."""
    cars: Callable[[], Any]
    """Their CAR records there."""
    draw: Callable[[int], Any]
    """So many rows of actions."""
    prepare: Callable[[Any], tuple[Any, ...]]
    """A row of actions for the device."""


def require_gpu() -> None:
    """Make sure that there is a GPU which numba can use.

    Raises:
        ConfigError: numba-cuda is not installed, or there is no GPU.
    """
    try:
        from numba import cuda
    except ImportError:
        raise ConfigError("it needs numba-cuda: pip install 'drive-fusion[gpu]'") from None
    if not cuda.is_available():
        raise ConfigError("it needs an NVIDIA GPU with its driver, and numba finds none here; bench world measures the CPU")


def highways(config: GpuBench, id: str, worlds: int, threads: int, renews: bool) -> Fleet:
    """Highways, reset from seeds."""
    import numpy as np

    from envs.native import Highways
    from envs.traffic.gpu import DeviceHighways

    own = Highways(id, worlds, mode=config.mode)
    own.reset(np.arange(worlds) + config.seed)
    settings = own.highway
    device = DeviceHighways(
        own.cars, own.episodes, settings.rules, settings.targets_mps, renews, threads, config.worlds_per_block, config.registers
    )
    generator = np.random.default_rng(config.seed)
    return Fleet(
        device,
        own.step,
        lambda: own.cars,
        lambda rows: generator.integers(0, len(settings.meta_actions), (rows, worlds)),
        lambda row: device.prepare(settings.meta_actions[row]),
    )


def networks(config: GpuBench, id: str, worlds: int, renews: bool) -> Fleet:
    """Worlds on a road network, reset from seeds; these need gymnasium and highway-env."""
    import numpy as np

    from envs.engine import Decision
    from envs.network.engine import NetworkEngine
    from envs.network.gpu import DeviceWorlds

    engine, generator = NetworkEngine(id, worlds, None), np.random.default_rng(config.seed)
    engine.renew(np.arange(worlds) + config.seed, np.ones(worlds, np.bool_))
    device = DeviceWorlds(engine, renews)

    def draw(rows: int) -> Any:
        if engine.num_actions is not None:
            return generator.integers(0, engine.num_actions, (rows, worlds))
        return generator.uniform(-1.0, 1.0, (rows, worlds, engine.action_width)).astype(np.float32)

    nobody = np.zeros(worlds, np.bool_)
    return Fleet(device, lambda row: engine.step(Decision(row, nobody)), lambda: engine.cars, draw, device.prepare)


def fleet(config: GpuBench, id: str, worlds: int, threads: int, renews: bool) -> Fleet:
    """Worlds of an id."""
    return highways(config, id, worlds, threads, renews) if id in HIGHWAYS else networks(config, id, worlds, renews)


def check(config: GpuBench, id: str, threads: int) -> dict[str, float]:
    """Drive some worlds on the GPU and on the CPU, from the same seeds with the same actions.

    Returns:
        The largest difference of position [m], of worlds before a crash where rounding differs; and how many worlds were compared.

    Raises:
        ConfigError: They do not agree.
    """
    import numpy as np

    both = fleet(config, id, config.checked_worlds, threads, False)
    rounds_alike = id in HIGHWAYS and config.mode == "fast"
    agree, calm = np.ones(config.checked_worlds, np.bool_), np.ones(config.checked_worlds, np.bool_)
    difference = 0.0
    for actions in both.draw(config.checked_decisions):
        both.step(actions)
        both.device.step(both.prepare(actions))
        cars, there = both.cars(), both.device.state()[0]
        if not rounds_alike:
            calm &= ~cars["crashed"].any(1)  # the side of a push may hang on rounding
        for name in ("lane", "target_lane", "crashed"):
            agree &= ~calm | (cars[name] == there[name]).all(1)
        for name in ("x_m", "y_m"):
            difference = max(difference, float(np.abs(there[name] - cars[name])[calm & agree].max(initial=0.0)))
    allowed = 0.0 if rounds_alike else AGREEMENT_M
    if not agree.all() or difference > allowed:
        raise ConfigError(
            f"{int((~agree).sum())} of {config.checked_worlds} worlds decide otherwise on the GPU than on the CPU, and positions "
            f"differ by {difference:.3g} m, expected at most {allowed} m; its speed would mean nothing"
        )
    return {"largest_difference_m": difference, "checked_worlds": float(config.checked_worlds)}


def resources(kernel: Any) -> dict[str, float]:
    """What a compiled kernel takes of a GPU, as its driver says."""
    from numba import cuda

    compiled = next(iter(kernel.overloads.values()))
    return {
        "registers_per_thread": float(compiled.regs_per_thread),
        "local_bytes_per_thread": float(compiled.local_mem_per_thread),
        "shared_bytes_per_block": float(compiled.shared_mem_per_block),
        "most_threads_per_block": float(compiled.max_threads_per_block),
        "multiprocessors": float(cuda.get_current_device().MULTIPROCESSOR_COUNT),
    }


def bench_batch(config: GpuBench, id: str, worlds: int, threads: int) -> dict[str, float]:
    """Measure one batch: policy steps of all worlds a second, median, least and most of the rounds, and the time of one launch."""
    from numba import cuda

    both = fleet(config, id, worlds, threads, True)
    actions = [both.prepare(row) for row in both.draw(config.decisions)]
    for row in actions:
        both.device.step(row)
    cuda.synchronize()
    times_s = []
    for _ in range(config.rounds):
        start, end = cuda.event(), cuda.event()
        start.record()
        for row in actions:
            both.device.step(row)
        end.record()
        end.synchronize()
        times_s.append(cuda.event_elapsed_time(start, end) / 1e3)
    speeds = [config.decisions * worlds / seconds for seconds in times_s]
    return {
        "steps_per_s": statistics.median(speeds),
        "steps_per_s_least": min(speeds),
        "steps_per_s_most": max(speeds),
        "ms_per_launch": 1e3 * statistics.median(times_s) / config.decisions,
    }


def attempt(name: str, measure: Callable[[], dict[str, float]], failures: list[str]) -> dict[str, float]:
    """Take a measurement, print it under a name at once, or note in one line why there is none."""
    try:
        figures = {f"{name}.{key}": value for key, value in measure().items()}
    except Exception as error:  # whatever the driver or the compiler raises: the next measurement may still succeed
        line = (str(error).splitlines() or [""])[0][:300]
        failures.append(f"{name}: {type(error).__name__}: {line}")
        print(f"FAILED {failures[-1]}", flush=True)
        return {}
    print("\n".join(f"gpu.{key}: {value:.6g}" for key, value in figures.items()), flush=True)
    return figures


def bench_kernel(config: GpuBench, id: str, threads: int, failures: list[str]) -> dict[str, float]:
    """Check one kernel against the CPU, then measure every batch; one that does not agree is not measured."""
    name = f"{id}.threads_{threads}"
    start = time.perf_counter()
    figures = attempt(name, lambda: check(config, id, threads), failures)
    if not figures:
        return {}
    figures[f"{name}.check_with_compilation_s"] = time.perf_counter() - start
    for worlds in config.worlds:
        batch = functools.partial(bench_batch, config, id, worlds, threads)
        figures |= attempt(f"{name}.worlds_{worlds}", batch, failures)
    return figures | attempt(name, lambda: resources(fleet(config, id, 1, threads, True).device.kernel), failures)


def bench_ppo(config: GpuBench, size: str) -> dict[str, float]:
    """PPO end to end with the network on the GPU: in float32, in bfloat16, and compiled."""
    from drive_fusion.bench.driver import DriverBench, Run

    steps = 16
    plan = DriverBench(rig=size, size=size, num_envs=config.ppo_worlds, n_steps=steps, batch=steps * config.ppo_worlds // 4, device="cuda")
    found: dict[str, float] = {}
    for learner in ("ppo", "bf16", "compiled"):
        run = Run(plan, learner)
        for number in range(config.rounds + 1):
            run.go_on(timed=number > 0)
        found |= {f"{learner}.{name}": value for name, value in run.figures().items()}
    return found


def bench_gpu(config: GpuBench) -> dict[str, float]:
    """Check and measure every kernel of every id; print what failed, each when it fails and all of them last.

    Raises:
        ConfigError: There is no GPU, an id is none that highway-env has, or nothing could be measured.
    """
    from envs.ids import checked_id

    ids = [checked_id(id) for id in config.ids]
    require_gpu()
    figures: dict[str, float] = {}
    failures: list[str] = []
    for id in ids:
        for threads in config.threads if id in HIGHWAYS else (1,):
            figures |= bench_kernel(config, id, threads, failures)
    for size in config.ppo_sizes:
        figures |= attempt(f"ppo.{size}", functools.partial(bench_ppo, config, size), failures)
    print("".join(f"FAILED {line}\n" for line in failures), end="", flush=True)
    if not figures:
        raise ConfigError(f"all {len(failures)} measurements failed; the first: {failures[0]}")
    return figures


def bench_senses(config: GpuBench) -> dict[str, float]:
    """Check and measure every modality of every rig; what fails is printed and left out."""
    from drive_fusion.bench.senses.device import bench_sense, check_sense, sensors_of
    from sensors.faults.kinds import Modality

    figures: dict[str, float] = {}
    failures: list[str] = []
    for rig in config.rigs:
        for modality in Modality:
            name = f"{rig}.{modality.name.lower()}"
            if not sensors_of(rig, modality):
                continue
            checked = attempt(name, functools.partial(check_sense, rig, modality), failures)
            for worlds in config.rig_worlds if checked else ():
                batch = functools.partial(bench_sense, rig, modality, worlds, config.rounds)
                figures |= attempt(f"{name}.worlds_{worlds}", batch, failures)
            figures |= checked
    print("".join(f"FAILED {line}\n" for line in failures), end="", flush=True)
    return figures


def run(config: GpuBench | None = None) -> Result:
    """Measure and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or GpuBench()
    result = Result.of("gpu", config, bench_gpu(config) | bench_senses(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    try:
        run()
    except ConfigError as error:
        sys.exit(f"bench gpu: {error}")
