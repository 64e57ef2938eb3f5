"""Radars on a GPU: in numba's simulator against the CPU's functions run as Python, compiled to PTX, and for real where there is a GPU."""

import math
from dataclasses import replace

import pytest
import torch

from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.render import render_radar
from sensors.road import Lane, Line, RoadMap, chain
from tests.envs.cuda_scripts import simulate
from tests.sensors.cuda_kernels import ptx_of, require_numba_cuda

FULL = Radar("full", Mount(2.4, 0.0, 0.5), detections=48, rcs_spread_db=1.0, ground_reflection=0.2, max_range_m=60.0)
RADARS = (FULL, replace(FULL, mount=Mount(-2.0, 0.4, 0.7, math.pi, 0.03, -0.02), noise=False, horizontal_fov_rad=5.0))
PLACES = [[[0, 0], [18, 1], [31, 0], [12, -3]], [[0, 0], [-14, 2], [25, -2], [9, 4]]]


def tiny_scene(make_scene):
    """Two worlds of three cars, a lorry and an obstacle among them, between guard rails, in rain."""
    kind = [[0, 0, 1, 2], [0, 0, 0, 1]]
    size = [[(5, 2, 1.5), (5, 2, 1.5), (9, 2.5, 3.5), (1, 1, 1)], [(5, 2, 1.5), (5, 2, 1.5), (5, 2, 1.5), (9, 2.5, 3.5)]]
    scene = make_scene(
        PLACES, heading=[[0.02, 0.1, 0.0, 0.3]] * 2, velocity=[[[20, 0], [25, 1], [18, 0], [0, 0]]] * 2, size=size, kind=kind, seed=3
    )
    lane = Lane(chain((-40.0, 0.0), 0.0, [(100.0, 0.0)]), 8.0, Line.SOLID, Line.SOLID, 30.0, "road", 0)
    return replace(scene, road=RoadMap.build([lane])).with_weather(scene.weather.changed(rain_mm_per_h=5.0))


SIMULATE = """
import sys, warnings
import numpy as np
import torch
from sensors.radar import gpu
from sensors.radar.render import render_radar
from tests.sensors.conftest import _scene
from tests.sensors.test_radar_gpu import RADARS, tiny_scene

warnings.simplefilter("ignore")
scene = tiny_scene(_scene)
gpu.MOST_THREADS = 3  # of four items, so that a second launch follows
here, there = render_radar(scene, RADARS), gpu.render(scene, RADARS)
for name in ("detections", "mask", "actor", "origin", "valid", "age_s"):
    np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
assert {1, 2, 3} <= set(here.origin.flatten().tolist()), here.origin
torch.save([getattr(there, name) for name in ("detections", "mask", "actor", "origin")], sys.argv[1])
assert gpu.render(scene, ()).detections.shape == (2, 0, 0, 6) and gpu.render(scene.select([]), RADARS).mask.shape == (0, 2, 48)
"""


def test_the_simulated_kernel_equals_the_cpu_bit_for_bit(tmp_path, make_scene) -> None:
    """Noisy and exact radars, tilted, with ghosts, clutter and ground; the same functions compiled differ in last digits."""
    require_numba_cuda()
    simulate(SIMULATE, str(tmp_path / "there.pt"))
    detections, mask, actor, origin = torch.load(tmp_path / "there.pt")
    compiled = render_radar(tiny_scene(make_scene), RADARS)
    assert torch.equal(compiled.mask, mask) and torch.equal(compiled.actor, actor) and torch.equal(compiled.origin, origin)
    torch.testing.assert_close(compiled.detections, detections, rtol=1e-4, atol=1e-4)


def test_the_kernel_compiles_to_ptx_for_sm_90() -> None:
    ptx = ptx_of("sensors.radar.gpu", "scan")
    assert ".target sm_90" in ptx and ".visible .entry" in ptx
    assert "NRT_" not in ptx, "a kernel that allocates cannot run"


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")
@pytest.mark.parametrize("noise", [False, True])
def test_gpu_agrees_with_the_cpu(random_scene, noise) -> None:
    lane = Lane(chain((-200.0, 0.0), 0.0, [(400.0, 0.0)]), 8.0, Line.SOLID, Line.SOLID, 30.0, "road", 0)
    scene = replace(random_scene(5, worlds=64, actors=20), road=RoadMap.build([lane]))
    radars = [replace(FULL, noise=noise), replace(RADARS[1], noise=noise)]
    here = render_radar(scene, radars)
    from sensors.radar.gpu import render

    there = render(scene.to("cuda"), radars).to("cpu")
    same = (here.actor == there.actor).all(-1) & (here.origin == there.origin).all(-1)
    assert same.float().mean() > 0.98  # thresholds and the order of equals hang on the last digit
    assert ((here.detections - there.detections).abs()[same] < 1e-3).float().mean() > 0.9999
