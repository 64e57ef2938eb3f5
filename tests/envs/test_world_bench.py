"""The world's benchmarks run at tiny size and name their figures."""

import time
import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drive_fusion.bench.parity import ParityBench, bench_parity
from drive_fusion.bench.world import WorldBench, bench_world, mismatches, run
from envs.native import Highways
from envs.world import World
from sensors.errors import ConfigError


def test_bench_world_measures_every_path(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(WorldBench(ids=("highway-fast-v0",), worlds=4, rounds=1, seconds=0.02, peer=False, episodes=10))
    speeds = {f"highway-fast-v0.{name}_steps_per_s" for name in ("exact", "fast", "scenes")}
    assert set(result.figures) == speeds | {"highway-fast-v0.mismatching_episodes_per_1000"}
    assert all(result.figures[name] > 100.0 for name in speeds)
    assert "world.highway-fast-v0.fast_steps_per_s: " in capsys.readouterr().out


def test_bench_world_compares_with_envpool_where_it_is_installed() -> None:
    pytest.importorskip("envpool")
    figures = bench_world(WorldBench(ids=("highway-fast-v0",), worlds=4, rounds=2, seconds=0.02, episodes=0))
    for system in ("exact", "fast", "scenes"):
        least, middle, most = (figures[f"highway-fast-v0.{system}_{name}"] for name in ("ratio_least", "ratio_to_envpool", "ratio_most"))
        assert 0.0 < least <= middle <= most


def test_mismatches_are_found_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count must be able to rise: here the second mode's cars brake differently."""
    assert mismatches("highway-fast-v0", 20, 77, worlds=8) == 0
    genuine = Highways.reset

    def reset(self: Highways, seeds: NDArray[np.int64]) -> None:
        genuine(self, seeds)
        if self.highway.rules.fast:
            self.cars["exponent"] *= 0.7

    monkeypatch.setattr(Highways, "reset", reset)
    assert mismatches("highway-fast-v0", 20, 77, worlds=8) > 0


def test_curve_names_cars_and_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drive_fusion.bench.world.CURVE_VEHICLES", (3,))
    monkeypatch.setattr("drive_fusion.bench.world.CURVE_WORLDS", (2,))
    figures = bench_world(WorldBench(ids=("highway-fast-v0",), seconds=0.01, curve=True))
    for name in ("vehicles_3.exact", "vehicles_3.fast", "worlds_2.exact", "worlds_2.fast"):
        assert figures[f"highway-fast-v0.{name}_steps_per_s"] > 10.0
    assert figures["highway-fast-v0.worlds_2.fast_ns_per_car_substep"] > 1.0


def test_a_world_of_1000_vehicles_makes_ten_decisions_a_second() -> None:
    world = World("highway-v0", config={"vehicles_count": 1000}, num_threads=1)
    world.reset([3])
    world.step_autoreset([1])
    start = time.process_time()
    for _ in range(5):
        world.step_autoreset([1])
    assert 5 / (time.process_time() - start) >= 10.0


def test_4096_highway_worlds_take_less_than_1_gib() -> None:
    """All that is allocated to make, reset and step them, with a scene of each; torch's own memory is that of the tensors."""
    tracemalloc.start()
    try:
        world = World("highway-v0", 4096)
        scenes = [world.reset(torch.arange(4096))]
        scenes.append(world.step(torch.ones(4096, dtype=torch.int64))[0])
        step = world.step_autoreset(torch.ones(4096, dtype=torch.int64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    tensors = sum(value.nbytes for scene in scenes for value in vars(scene).values() if isinstance(value, torch.Tensor))
    assert world.state().cars.nbytes > 4096 * 51 * 100, "the cars are not what was measured"
    assert step.observation.shape[0] == 4096
    assert peak + tensors < 2**30


def test_16384_worlds_equal_one_among_them() -> None:
    many, alone = World("highway-fast-v0", 16384), World("highway-fast-v0", 1)
    many.reset(torch.arange(16384))
    alone.reset([16383])
    for _ in range(2):
        crowd = many.step_autoreset(torch.full((16384,), 3))
        single = alone.step_autoreset([3])
    assert torch.equal(crowd.observation[-1], single.observation[0])


def test_settings_of_benchmarks_are_checked() -> None:
    with pytest.raises(ConfigError, match="rounds is 0"):
        WorldBench(rounds=0)
    with pytest.raises(ConfigError, match="did you mean 'highway-fast-v0'"):
        bench_world(WorldBench(ids=("highway-fat-v0",)))
    with pytest.raises(ConfigError, match="episodes is 0"):
        ParityBench(episodes=0)


@pytest.mark.slow
def test_bench_parity_finds_no_difference() -> None:
    figures = bench_parity(ParityBench(ids=("highway-fast-v0",), episodes=2))
    assert figures["highway-fast-v0.episodes_beyond_1e-9_m"] == 0.0
    assert figures["highway-fast-v0.position_m"] <= 1e-9
