"""CUDA kernels without a GPU: in numba's simulator against the CPU, and compiled to PTX for an H200 (sm_90)."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive_fusion.bench import gpu as bench
from drive_fusion.bench.gpu import GpuBench, attempt, bench_gpu
from envs.engine import Decision
from envs.native import Highways
from envs.network.engine import NetworkEngine
from sensors.errors import ConfigError
from sensors.jit import cache_parent, source_hash
from tests.envs.cuda_scripts import COMPILE, ROOT, SIMULATE_HIGHWAY, SIMULATE_NETWORK, python, simulate

FEW = {"vehicles_count": 4, "vehicles_density": 4.0, "duration": 2}
NETWORKS = {
    "merge-v0": {},
    "roundabout-v0": {"duration": 2},
    "intersection-v0": {"duration": 2, "initial_vehicle_count": 4},
    "racetrack-v0": {"duration": 1, "other_vehicles": 2},
}


def require_numba_cuda() -> None:
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed (extra 'gpu' or 'test')")


def equal_fields(here: Any, there: Any, but: set[str]) -> None:
    for name in set(here.dtype.names or ()) - but:
        np.testing.assert_array_equal(there[name], here[name], err_msg=name)


@pytest.mark.parametrize(
    ("id", "mode", "threads"),
    [
        ("highway-fast-v0", "fast", 3),
        pytest.param("highway-v0", "fast", 8, marks=pytest.mark.slow),
        pytest.param("highway-v0", "exact", 1, marks=pytest.mark.slow),
        pytest.param("highway-fast-v0", "fast", 1, marks=pytest.mark.slow),
    ],
)
def test_simulated_kernel_equals_the_cpu(id: str, mode: str, threads: int, tmp_path: Path) -> None:
    """Some worlds, more than a block has, to a new episode and on: every number and the generators."""
    require_numba_cuda()
    highways = Highways(id, 3, FEW, mode)
    highways.reset(np.array([5, 6, 7]))
    before = highways.cars.copy()
    actions = np.array([[0, 3, 1], [2, 0, 1], [4, 1, 1]])
    np.savez(tmp_path / "before.npz", cars=highways.cars, episodes=highways.episodes, actions=actions)
    for row in actions:
        outcomes = highways.step_and_renew(row)[0]
    simulate(SIMULATE_HIGHWAY, str(tmp_path / "before.npz"), id, repr(FEW), mode, str(tmp_path / "after.npz"), str(threads))
    after = np.load(tmp_path / "after.npz")
    equal_fields(highways.cars, after["cars"], set())
    equal_fields(highways.episodes, after["episodes"], {"action"})  # noted by the host
    np.testing.assert_array_equal(after["outcomes"]["reward"], outcomes["reward"])
    assert not np.array_equal(before["x_m"], highways.cars["x_m"]) and highways.episodes["clock_s"].max() <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("id", NETWORKS)
def test_simulated_network_kernel_equals_the_cpu(id: str, tmp_path: Path) -> None:
    """Two decisions of two worlds; where episodes end after them, also the draws of the next ones."""
    require_numba_cuda()
    engine = NetworkEngine(id, 2, NETWORKS[id])
    engine.renew(np.array([5, 6]), np.ones(2, np.bool_))
    draws = np.random.default_rng(3)
    actions = draws.integers(0, engine.num_actions, (2, 2)) if engine.num_actions else draws.uniform(-1.0, 1.0, (2, 2, engine.action_width))
    np.savez(tmp_path / "before.npz", cars=engine.cars, episodes=engine.episodes, actions=actions)
    for row in actions:
        stepped = engine.step(Decision(row, np.zeros(2, np.bool_), autoreset=True))
    simulate(SIMULATE_NETWORK, str(tmp_path / "before.npz"), id, repr(NETWORKS[id]), str(tmp_path / "after.npz"))
    after = np.load(tmp_path / "after.npz")
    equal_fields(engine.cars, after["cars"], set())
    equal_fields(engine.episodes, after["episodes"], {"action", "throttle", "wheel"})  # noted by the host
    np.testing.assert_array_equal(after["outcomes"]["reward"], stepped.reward)
    assert engine.cars["driver"].shape == after["cars"]["driver"].shape and (engine.episodes["vehicles"] > 1).any()


def ptx_of(id: str, mode: str, threads: int) -> str:
    """A kernel's PTX, compiled once for the present sources, as CPU kernels are."""
    require_numba_cuda()
    sources = "envs.network.gpu" if mode == "network" else "envs.traffic.gpu"
    scenario = source_hash("envs.network.choice") if mode == "network" else ""
    kept = cache_parent() / source_hash(sources) / f"{id}-{mode}-{threads}-{scenario}.ptx"
    if kept.exists():
        return kept.read_text()
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    done = python(COMPILE, id, mode, str(threads), **({"CUDA_HOME": home} if Path(home).exists() else {}))
    if done.stderr.startswith("skip: "):
        if os.environ.get("DRIVE_FUSION_REQUIRE_ALL") == "1":
            pytest.fail(f"{done.stderr.strip()}; the wheel nvidia-nvvm of extra 'test' brings both")
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(done.stdout)
    return done.stdout


@pytest.mark.parametrize(
    ("id", "mode", "threads"),
    [
        ("highway-fast-v0", "fast", 16),
        *(
            pytest.param(id, mode, threads, marks=pytest.mark.slow)
            for id, mode, threads in (
                ("highway-fast-v0", "fast", 1),
                ("highway-v0", "fast", 32),
                ("highway-v0", "exact", 1),
                *((id, "network", 1) for id in NETWORKS),
            )
        ),
    ],
)
def test_kernel_compiles_to_ptx_for_sm_90(id: str, mode: str, threads: int) -> None:
    ptx = ptx_of(id, mode, threads)
    assert ".target sm_90" in ptx and ".visible .entry" in ptx
    assert "NRT_" not in ptx, "a kernel that allocates cannot run"
    assert ("bar.sync" in ptx) == (threads > 1)
    assert "mul.rn.f64" in ptx and "mul.f64" not in ptx, "products and sums may be fused, unlike on the CPU"


def test_bench_gpu_says_in_one_line_that_there_is_no_gpu() -> None:
    done = python("import numba.cuda as c, sys; sys.exit(0 if c.is_available() else 3)")
    if done.returncode == 0:
        pytest.skip("there is a GPU here")
    done = subprocess.run([sys.executable, "-m", "drive_fusion.bench.gpu"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert "needs an NVIDIA GPU" in done.stderr or "needs numba-cuda" in done.stderr


def test_settings_of_bench_gpu_are_checked() -> None:
    with pytest.raises(ConfigError, match="worlds is"):
        GpuBench(worlds=())
    with pytest.raises(ConfigError, match="threads is"):
        GpuBench(threads=(0,))
    with pytest.raises(ConfigError, match="did you mean 'highway-fast-v0'"):
        bench_gpu(GpuBench(ids=("highway-fst-v0",)))


def test_a_measurement_that_fails_is_told_and_the_next_one_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bench_kernel(config: GpuBench, id: str, threads: int, failures: list[str]) -> dict[str, float]:
        return attempt(id, lambda: {"steps_per_s": 1.0 / (id != "merge-v0")}, failures)

    monkeypatch.setattr(bench, "require_gpu", lambda: None)
    monkeypatch.setattr(bench, "bench_kernel", bench_kernel)
    assert bench_gpu(GpuBench(ids=("merge-v0", "exit-v0"), rigs=(), ppo_sizes=())) == {"exit-v0.steps_per_s": 1.0}
    assert "FAILED merge-v0: ZeroDivisionError" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="all 1 measurements failed"):
        bench_gpu(GpuBench(ids=("merge-v0",), rigs=(), ppo_sizes=()))


def test_bench_gpu_imports_without_gymnasium_and_highway_env() -> None:
    blocked = "import sys\nfor name in ('gymnasium', 'highway_env', 'stable_baselines3'):\n    sys.modules[name] = None\n"
    done = python(
        blocked + "from envs.native import Highways\nimport drive_fusion.bench.gpu, envs.traffic.gpu\nHighways('highway-fast-v0', 1)"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")  # so few worlds do not fill a GPU
def test_gpu_agrees_with_the_cpu_and_is_measured() -> None:
    figures = bench_gpu(GpuBench(ids=("highway-fast-v0", "merge-v0"), threads=(1, 16), worlds=(256,), decisions=4, rounds=1))
    for name in ("highway-fast-v0.threads_1", "highway-fast-v0.threads_16", "merge-v0.threads_1"):
        assert figures[f"{name}.worlds_256.steps_per_s"] > 0.0
