"""What the tests of CUDA kernels run in processes of their own: the simulator and the compiler switch numba to another state for good."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SIMULATE_HIGHWAY = """
import sys
import numpy as np
from envs.config import complete_config
from envs.native import highway_of
from envs.traffic.gpu import DeviceHighways

data = np.load(sys.argv[1])
highway = highway_of(sys.argv[2], complete_config(sys.argv[2], eval(sys.argv[3])), sys.argv[4])
device = DeviceHighways(data["cars"], data["episodes"], highway.rules, highway.targets_mps, True, int(sys.argv[6]), 2)
for row in data["actions"]:
    device.step(device.prepare(row))
cars, episodes, outcomes = device.state()
np.savez(sys.argv[5], cars=cars, episodes=episodes, outcomes=outcomes)
"""

SIMULATE_NETWORK = """
import sys
import numpy as np
from envs.network.engine import NetworkEngine
from envs.network.gpu import DeviceWorlds

data = np.load(sys.argv[1])
engine = NetworkEngine(sys.argv[2], len(data["cars"]), eval(sys.argv[3]))
engine.take(data["cars"], data["episodes"], {})
device = DeviceWorlds(engine, True)
for row in data["actions"]:
    device.step(device.prepare(row))
cars, episodes, outcomes = device.state()
np.savez(sys.argv[4], cars=cars, episodes=episodes, outcomes=outcomes)
"""

PREPARE_COMPILER = """
import sys
import numba.cuda.cuda_paths as paths
import numba.cuda.dispatcher as dispatcher
from numba import cuda
from numba.cuda import types
from numba.cuda.cudadrv import libs, nvrtc, nvvm
from numba.cuda.typing.typeof import typeof

try:  # NVRTC only names the architecture here, and can be missing
    paths._get_nvrtc_path()
except Exception:
    paths._get_nvrtc_path = lambda: paths._env_path_tuple("none", None)
try:
    nvvm.NVVM()
    libs.open_libdevice()
except Exception as error:
    sys.exit(f"skip: no libNVVM or libdevice ({type(error).__name__}: {str(error).splitlines()[0]})")
dispatcher.get_current_device = lambda: type("Device", (), {"compute_capability": (9, 0)})
nvrtc.get_arch_option = lambda major, minor, arch="": f"compute_{major}{minor}"
"""
"""Lets numba-cuda compile to PTX for sm_90 without a GPU; ``cuda`` and ``typeof`` are imported after it."""

COMPILE = (
    PREPARE_COMPILER
    + """
import numpy as np
from envs.traffic.rounding import rounded_as_on_cpus

id, mode, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
if mode == "network":
    from envs.network import gpu
    from envs.network.engine import NetworkEngine

    engine = NetworkEngine(id, 1, None)
    actions = np.zeros(1, np.int64) if engine.num_actions else np.zeros((1, engine.action_width), np.float32)
    arguments = (*gpu.arguments_of(engine), *gpu.actions_of(engine, actions))
    kernel = gpu.kernel_for(gpu.book_of(engine._rulebook), True)
else:
    from envs.native import Highways
    from envs.traffic import gpu
    from envs.traffic.layout import OUTCOME

    highways = Highways(id, 1, mode=mode)
    rules, count = highways.highway.rules, highways.cars.shape[1]
    arguments = (
        highways.cars, highways.episodes, highways.highway.targets_mps, np.zeros(1, np.int64), np.zeros(1, np.bool_), np.zeros(1, OUTCOME)
    )
    kernel = gpu.kernel_for(rules, True) if threads == 1 else gpu.shared_kernel_for(rules, True, count, threads, 2)
    arguments += gpu.rooms_for(1, count, rules.lanes) if threads == 1 else ()
signature = types.void(*map(typeof, arguments))
with rounded_as_on_cpus():
    ptx, _ = cuda.compile(kernel.py_func, signature, device=False, cc=(9, 0), output="ptx", abi="numba")
print(ptx)
"""
)


def python(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script on this source tree."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )


def simulate(script: str, *arguments: str) -> None:
    """Run a script in numba's CUDA simulator, which needs plain Python functions.

    Raises:
        AssertionError: It fails; its own message is in it.
    """
    done = python(script, *arguments, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
