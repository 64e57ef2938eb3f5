"""What every modality's launchers share: scenes as kernels take them, launches, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors import checks, gpu
from sensors.ego import ego_frames
from sensors.errors import ConfigError, SensorFault
from sensors.faults.kinds import Modality
from sensors.pose import scene_arrays
from sensors.presets import RIGS
from tests.envs.cuda_scripts import simulate
from tests.sensors.cuda_kernels import require_numba_cuda

SIMULATE = """
import numpy as np
import torch
from numba import cuda
from sensors.gpu import array_of, launch, on_device
from sensors.pose import SceneArrays

@cuda.jit
def add(pair, number, out):
    n = cuda.grid(1)
    if n < out.size:
        out[n] = pair[0][n] + pair[1][n] * number

out = torch.zeros(300)
pair = on_device((np.arange(300.0), np.ones(300)), torch.device("cpu"))
launch(add, 300, torch.device("cpu"), pair, 2.0, array_of(out))
launch(add, 0, torch.device("cpu"), pair, 2.0, array_of(out))
assert out.tolist() == [n + 2.0 for n in range(300)], out
"""


def test_a_launch_reaches_every_element_and_writes_into_the_tensor() -> None:
    require_numba_cuda()
    simulate(SIMULATE)


def test_a_kernel_is_not_launched_on_a_cpu() -> None:
    require_numba_cuda()
    with pytest.raises(ConfigError, match="cannot take arrays on cpu"):
        gpu.launch(None, 5, torch.device("cpu"))


def test_a_scene_has_the_numbers_that_the_cpus_kernels_take(random_scene) -> None:
    scene = random_scene(3, worlds=4)
    for here, there in zip(scene_arrays(scene)[0], gpu.scene_on(scene), strict=True):
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)


def test_the_egos_motion_is_the_cpus(random_scene) -> None:
    scene = random_scene(4, worlds=5)
    scene = replace(scene, acceleration_mps2=torch.randn(scene.acceleration_mps2.shape, dtype=torch.float64))
    torch.testing.assert_close(gpu.ego_on_gpu(scene).motion, ego_frames(scene).motion, rtol=1e-6, atol=1e-6)


def test_clocks_are_refused_on_a_gpu(random_scene) -> None:
    lidar = replace(RIGS["micro"].lidars[0], rate_hz=10.0)
    with pytest.raises(ConfigError, match="has a rate or a latency, which the CPU alone serves"):
        gpu.render_on_gpu(Modality.LIDAR, random_scene(1), [lidar])


def test_a_scene_that_cannot_be_is_told_by_torchs_check_as_by_the_cpus(random_scene) -> None:
    scene = random_scene(5, worlds=3)
    assert not checks._suspicious_on_gpu(scene)
    for name, value in (("position_m", float("nan")), ("size_m", 0.0)):
        bad = getattr(scene, name).clone()
        bad[2, 0] = value
        wrong = replace(scene, **{name: bad})
        assert checks._suspicious_on_gpu(wrong)
        with pytest.raises(SensorFault, match=f"{name} of actor 0"):
            checks.check_scene(wrong)
    assert checks._suspicious_on_gpu(scene.with_weather(scene.weather.changed(visibility_m=float("nan"))))


def test_a_scene_on_no_real_device_is_refused(random_scene) -> None:
    with pytest.raises(ConfigError, match="sensors render on the CPU or on CUDA"):
        checks.check_scene(random_scene(1).to("meta"))
