"""Speed of the highway on a GPU, state only: one thread a world, random actions, auto-reset, nothing brought back while it runs.

First some worlds are driven on the GPU and on the CPU alike: decisions must agree; positions may differ in their last digits, since
GPUs fuse multiplications and additions that CPUs round twice. Run alone: ``python -m drive_fusion.bench.gpu``.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from drive_fusion.bench.results import Result
from sensors.errors import ConfigError

AGREEMENT_M = 1e-6


@dataclass(frozen=True)
class GpuBench:
    """What to measure."""

    id: str = "highway-fast-v0"
    """A native highway id."""
    mode: str = "fast"
    """Elementary functions: fast, or exact (CUDA's own, which round otherwise than the C library's)."""
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

    def __post_init__(self) -> None:
        for name in ("decisions", "rounds", "checked_worlds", "checked_decisions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not self.worlds or min(self.worlds) < 1:
            raise ConfigError(f"worlds is {self.worlds}, expected numbers of at least 1")


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


def on_device(highways: Any, renews: bool) -> Any:
    """Copy some ``Highways`` to the GPU."""
    from envs.traffic.gpu import DeviceHighways

    return DeviceHighways(highways.cars, highways.episodes, highways.highway.rules, highways.highway.targets_mps, renews)


def check(config: GpuBench) -> dict[str, float]:
    """Drive some worlds on the GPU and on the CPU, from the same seeds with the same actions.

    Returns:
        The largest difference of position among cars of worlds without a crash [m], and how many worlds decided otherwise.

    Raises:
        ConfigError: They do not agree.
    """
    import numpy as np
    from numba import cuda

    from envs.native import Highways

    highways = Highways(config.id, config.checked_worlds, mode=config.mode)
    highways.reset(np.arange(config.checked_worlds) + config.seed)
    device = on_device(highways, renews=False)
    agree, calm, difference = np.ones(config.checked_worlds, np.bool_), np.ones(config.checked_worlds, np.bool_), 0.0
    for actions in np.random.default_rng(config.seed).integers(0, 5, (config.checked_decisions, config.checked_worlds)):
        highways.step(actions)
        device.step(cuda.to_device(highways.highway.meta_actions[actions]))
        cars = device.state()[0]
        calm &= ~highways.cars["crashed"].any(1)  # the side of a push may hang on rounding
        for name in ("lane", "target_lane", "crashed"):
            agree &= ~calm | (cars[name] == highways.cars[name]).all(1)
        for name in ("x_m", "y_m"):
            difference = max(difference, float(np.abs(cars[name] - highways.cars[name])[calm & agree].max(initial=0.0)))
    if not agree.all() or difference > AGREEMENT_M:
        raise ConfigError(
            f"{int((~agree).sum())} of {config.checked_worlds} worlds decide otherwise on the GPU than on the CPU, and positions "
            f"differ by {difference:.3g} m, expected at most {AGREEMENT_M} m; its speed would mean nothing"
        )
    return {"largest_difference_m": difference, "checked_worlds": float(config.checked_worlds)}


def bench_batch(config: GpuBench, worlds: int) -> dict[str, float]:
    """Measure one batch: policy steps of all worlds a second, median, least and most of the rounds."""
    import numpy as np
    from numba import cuda

    from envs.native import Highways

    highways = Highways(config.id, worlds, mode=config.mode)
    highways.reset(np.arange(worlds) + config.seed)
    device = on_device(highways, renews=True)
    draws = np.random.default_rng(config.seed).integers(0, 5, (config.decisions, worlds))
    actions = [cuda.to_device(highways.highway.meta_actions[row]) for row in draws]
    device.step(actions[0])
    cuda.synchronize()
    speeds = []
    for _ in range(config.rounds):
        start = time.perf_counter()
        for row in actions:
            device.step(row)
        cuda.synchronize()
        speeds.append(config.decisions * worlds / (time.perf_counter() - start))
    name = f"{config.id}.worlds_{worlds}.steps_per_s"
    return {name: statistics.median(speeds), f"{name}_least": min(speeds), f"{name}_most": max(speeds)}


def bench_gpu(config: GpuBench) -> dict[str, float]:
    """Check the GPU against the CPU, then measure every batch.

    Raises:
        ConfigError: There is no GPU, or it does not agree with the CPU, or the id is not native.
    """
    from envs.config import NATIVE_DEFAULTS
    from sensors.errors import unknown_name

    if config.id not in NATIVE_DEFAULTS:
        raise unknown_name("native id", config.id, NATIVE_DEFAULTS)
    require_gpu()
    start = time.perf_counter()
    figures = {f"{config.id}.{name}": value for name, value in check(config).items()}
    figures[f"{config.id}.check_with_compilation_s"] = time.perf_counter() - start
    for worlds in config.worlds:
        figures |= bench_batch(config, worlds)
    return figures


def run(config: GpuBench | None = None) -> Result:
    """Measure and print flat ``name.metric: value`` lines under the hardware and versions."""
    config = config or GpuBench()
    result = Result.of("gpu", config, bench_gpu(config))
    print("\n".join(result.lines()))
    return result


if __name__ == "__main__":
    try:
        run()
    except ConfigError as error:
        sys.exit(f"bench gpu: {error}")
