"""The world's benchmarks run at tiny size and name their figures."""

import pytest

from drive_fusion.bench.parity import ParityBench, bench_parity
from drive_fusion.bench.world import WorldBench, bench_world, run
from sensors.errors import ConfigError


def test_bench_world_measures_both_paths(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(WorldBench(ids=("highway-fast-v0",), worlds=4, rounds=1, seconds=0.02, peer=False))
    assert set(result.figures) == {"highway-fast-v0.native_steps_per_s", "highway-fast-v0.native_scenes_steps_per_s"}
    assert all(value > 100.0 for value in result.figures.values())
    assert "world.highway-fast-v0.native_steps_per_s: " in capsys.readouterr().out


def test_bench_world_compares_with_envpool_where_it_is_installed() -> None:
    pytest.importorskip("envpool")
    figures = bench_world(WorldBench(ids=("highway-fast-v0",), worlds=4, rounds=2, seconds=0.02))
    least, middle, most = (figures[f"highway-fast-v0.{name}"] for name in ("ratio_least", "ratio_to_envpool", "ratio_most"))
    assert 0.0 < least <= middle <= most


def test_settings_of_benchmarks_are_checked() -> None:
    with pytest.raises(ConfigError, match="rounds is 0"):
        WorldBench(rounds=0)
    with pytest.raises(ConfigError, match="did you mean 'highway-fast-v0'"):
        bench_world(WorldBench(ids=("highway-fat-v0",)))
    with pytest.raises(ConfigError, match="as many numbers"):
        ParityBench(ids=("highway-v0",), episodes=(1, 2))


@pytest.mark.slow
def test_bench_parity_finds_no_difference() -> None:
    figures = bench_parity(ParityBench(ids=("highway-fast-v0",), episodes=(2,)))
    assert figures["highway-fast-v0.episodes_beyond_1e-9_m"] == 0.0
    assert figures["highway-fast-v0.position_m"] <= 1e-9
