"""The camera's CUDA launcher without a GPU: in numba's simulator against the CPU, and compiled to PTX for an H200 (sm_90)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.render import render_camera
from sensors.mount import Mount
from sensors.road import Lane, Line, RoadMap, chain
from sensors.weather import Weather
from tests.envs.cuda_scripts import simulate
from tests.sensors.cuda_kernels import ptx_of, require_numba_cuda

NAMES = ("rgb", "depth_m", "semantic", "instance")
CAMERAS = [
    Camera("front", Mount(1.0, 0.0, 1.4, pitch_rad=0.1), 10, 16),
    Camera("side", Mount(0.0, 0.0, 1.6, yaw_rad=1.2, roll_rad=0.2), 10, 16, shutter_s=0.05, looks=3),
]
ROAD = RoadMap.build([Lane(chain((-50.0, 0.0), 0.0, [(40.0, 0.0), (60.0, 0.01)]), 6.0, Line.SOLID, Line.DASHED, 30.0, "road", 0)])

SIMULATE = """
import sys
import numpy as np
import torch
from sensors.camera import gpu
from sensors.camera.render import render_camera
from tests.sensors.conftest import _random_scene
from tests.sensors.test_camera_gpu import CAMERAS, NAMES, mixed

gpu.MOST_THREADS = 8  # so that two worlds take two launches
scene = mixed(_random_scene)
there, here = gpu.render(scene, CAMERAS), render_camera(scene, CAMERAS)
for name in NAMES:
    assert torch.equal(getattr(there, name), getattr(here, name)), name
assert there.valid.all() and not there.age_s.any()
np.savez(sys.argv[1], **{name: getattr(there, name).numpy() for name in NAMES})
"""


def mixed(random_scene):
    """Three worlds of a few actors each: at noon, in rain at night, in snow; one crashed, some lamps on."""
    scene = random_scene(61, worlds=3, actors=4, spread_m=14.0)
    places = torch.tensor([(0.0, 0.0), (9.0, 0.5), (3.0, 8.0), (16.0, -3.0)], dtype=torch.float64)
    scene = replace(scene, position_m=places.expand(3, 4, 2).clone(), heading_rad=0.3 * scene.heading_rad, valid=scene.valid | True)
    several = [Weather.named("noon", 1), Weather.named("rain", 1).changed(sun_elevation_rad=-0.3), Weather.named("snow", 1)]
    weather = Weather(**{name: torch.cat([getattr(one, name) for one in several]) for name in vars(several[0])})
    lights, crashed = torch.arange(12).reshape(3, 4) % 8, torch.arange(12).reshape(3, 4) == 6
    return replace(scene.with_weather(weather), lights=lights, crashed=crashed, road=ROAD)


def test_the_simulated_launcher_equals_the_cpu(random_scene, tmp_path):
    """Bit by bit where both run as plain Python; beside compiled code, whose fused products round otherwise, in all but a few pixels."""
    require_numba_cuda()
    simulate(SIMULATE, str(tmp_path / "frames.npz"))
    there, here = np.load(tmp_path / "frames.npz"), render_camera(mixed(random_scene), CAMERAS)
    assert (there["instance"] == here.instance.numpy()).mean() > 0.995 and (here.instance >= 0).float().mean() > 0.05
    assert (there["semantic"] == here.semantic.numpy()).mean() > 0.99
    assert (np.abs(there["rgb"].astype(int) - here.rgb.numpy().astype(int)) > 2).mean() < 0.01
    np.testing.assert_allclose(there["depth_m"], here.depth_m.numpy(), rtol=2e-3, atol=2e-3)


def test_the_launcher_compiles_to_ptx_for_sm_90():
    ptx = ptx_of("sensors.camera.gpu", "camera")
    assert ".target sm_90" in ptx and ".visible .entry" in ptx
    assert "NRT_" not in ptx, "a kernel that allocates cannot run"


@pytest.mark.gpu
def test_a_gpu_sees_what_the_cpu_sees(random_scene):
    """Labels but for outlines, depth to a millimetre, colours to two steps of 255 in nearly all pixels."""
    from sensors.camera.gpu import render

    cameras = [replace(camera, height_px=24, width_px=48) for camera in CAMERAS]
    for scene in (mixed(random_scene), random_scene(62, worlds=300, actors=12)):
        here, there = render_camera(scene, cameras), render(scene.to("cuda"), cameras).to("cpu")
        same = here.instance == there.instance
        assert same.float().mean() > 0.999 and (here.semantic == there.semantic).float().mean() > 0.998
        assert ((here.depth_m - there.depth_m).abs()[same] > 1e-3 * (1 + here.depth_m[same])).float().mean() < 1e-4
        assert ((here.rgb.int() - there.rgb.int()).abs() > 2).float().mean() < 0.005
