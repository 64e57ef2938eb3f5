"""The highway's CUDA kernel without a GPU: numba's simulator against the CPU, and compiled to PTX for an H200 (sm_90).

Both switch numba to another state for good, so each runs in a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drive_fusion.bench.gpu import GpuBench, bench_gpu
from envs.native import Highways
from envs.traffic.layout import CAR, EPISODE
from sensors.errors import ConfigError

ROOT = Path(__file__).parents[2]
FEW = {"vehicles_count": 4, "vehicles_density": 4.0, "duration": 2}

SIMULATE = """
import sys
import numpy as np
from numba import cuda
from envs.config import complete_config
from envs.native import highway_of
from envs.traffic.gpu import DeviceHighways

data = np.load(sys.argv[1])
highway = highway_of(sys.argv[2], complete_config(sys.argv[2], eval(sys.argv[3])), sys.argv[4])
device = DeviceHighways(data["cars"], data["episodes"], highway.rules, highway.targets_mps, True)
for row in data["actions"]:
    device.step(cuda.to_device(row))
cars, episodes, outcomes = device.state()
np.savez(sys.argv[5], cars=cars, episodes=episodes, reward=outcomes["reward"])
"""

COMPILE = """
import sys
import numba.cuda.cuda_paths as paths
import numba.cuda.dispatcher as dispatcher
from numba import cuda
from numba.cuda import types
from numba.cuda.cudadrv import libs, nvrtc, nvvm
from numba.cuda.np.numpy_support import from_dtype

try:  # NVRTC only names the architecture here, and can be missing
    paths._get_nvrtc_path()
except Exception:
    paths._get_nvrtc_path = lambda: paths._env_path_tuple("none", None)
try:
    nvvm.NVVM()
    libs.open_libdevice()
except Exception as error:
    sys.exit(f"skip: no libNVVM or libdevice ({type(error).__name__})")
dispatcher.get_current_device = lambda: type("Device", (), {"compute_capability": (9, 0)})
nvrtc.get_arch_option = lambda major, minor, arch="": f"compute_{major}{minor}"

from envs.config import complete_config
from envs.native import highway_of
from envs.traffic.gpu import kernel_for
from envs.traffic.layout import CAR, EPISODE, GROUP, OUTCOME

rules = highway_of(sys.argv[1], complete_config(sys.argv[1], None), sys.argv[2]).rules
records = lambda dtype, dimensions: types.Array(from_dtype(dtype), dimensions, "C")
whole, real = types.int64, types.float64
signature = types.void(
    records(CAR, 2), records(EPISODE, 1), real[::1], whole[::1], types.boolean[::1], records(OUTCOME, 1), records(GROUP, 2),
    whole[:, ::1], whole[:, ::1], real[:, ::1], whole[:, ::1], real[:, :, ::1],
)
ptx, _ = cuda.compile(kernel_for(rules, True).py_func, signature, device=False, cc=(9, 0), output="ptx", abi="numba")
print(ptx)
"""


def python(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def require_numba_cuda() -> None:
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed (extra 'gpu' or 'test')")


@pytest.mark.parametrize("id", ["highway-fast-v0", "highway-v0"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_simulated_kernel_equals_the_cpu(id: str, mode: str, tmp_path: Path) -> None:
    """Some worlds, to a new episode and on: every number and the generators."""
    require_numba_cuda()
    highways = Highways(id, 2, FEW, mode)
    highways.reset(np.array([5, 6]))
    before = highways.cars.copy()
    actions = np.array([[0, 3], [2, 0], [4, 1]])
    np.savez(tmp_path / "before.npz", cars=highways.cars, episodes=highways.episodes, actions=actions)
    for row in actions:
        outcomes = highways.step_and_renew(row)[0]
    arguments = (str(tmp_path / "before.npz"), id, repr(FEW), mode, str(tmp_path / "after.npz"))
    done = python(SIMULATE, *arguments, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    after = np.load(tmp_path / "after.npz")
    for name in CAR.names or ():
        np.testing.assert_array_equal(after["cars"][name], highways.cars[name], err_msg=name)
    for name in set(EPISODE.names or ()) - {"action"}:  # noted by the host
        np.testing.assert_array_equal(after["episodes"][name], highways.episodes[name], err_msg=name)
    np.testing.assert_array_equal(after["reward"], outcomes["reward"])
    assert not np.array_equal(before["x_m"], highways.cars["x_m"]) and highways.episodes["clock_s"].max() <= 1.0


@pytest.mark.parametrize(
    ("id", "mode"), [("highway-fast-v0", "fast"), *(pytest.param("highway-v0", mode, marks=pytest.mark.slow) for mode in ("fast", "exact"))]
)
def test_kernel_compiles_to_ptx_for_sm_90(id: str, mode: str) -> None:
    require_numba_cuda()
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    done = python(COMPILE, id, mode, **({"CUDA_HOME": home} if Path(home).exists() else {}))
    if done.stderr.startswith("skip: "):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert ".target sm_90" in done.stdout and ".visible .entry" in done.stdout
    assert "fma.rn.f64" in done.stdout and "NRT_" not in done.stdout, "a kernel that allocates cannot run"


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
    with pytest.raises(ConfigError, match="did you mean 'highway-fast-v0'"):
        bench_gpu(GpuBench(id="highway-fst-v0"))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")  # so few worlds do not fill a GPU
def test_gpu_agrees_with_the_cpu_and_is_measured() -> None:
    figures = bench_gpu(GpuBench(worlds=(256,), decisions=4, rounds=1))
    assert figures["highway-fast-v0.worlds_256.steps_per_s"] > 0.0
