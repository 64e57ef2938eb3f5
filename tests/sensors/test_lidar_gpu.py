"""Lidars on a GPU: in numba's simulator against the CPU's own kernels run as Python, compiled to PTX, and for real where there is a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.lidar.config import Lidar
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.road import Lane, Line, RoadMap, chain
from tests.envs.cuda_scripts import simulate
from tests.sensors.cuda_kernels import ptx_of, require_numba_cuda

TINY = Lidar("tiny", Mount(0.5, 0.2, 1.9, 0.4, 0.06, -0.04), (-0.2, -0.05, 0.02), columns=21, max_range_m=60.0)
LIDARS = (
    replace(TINY, noise=False, lane_paint=True),
    replace(TINY, sweep_s=0.1, threshold_reflectivity=0.02, mount=Mount(z_m=1.5, yaw_rad=1.0)),
    replace(TINY, air_returns=False, materials=False, mount=Mount(z_m=3.5, pitch_rad=0.5, roll_rad=0.1)),
)


def painted(scene):
    """The same scene on a bend with a line every 0.4 m, solid and dashed in turn."""
    chains = [chain((-15.0, 0.8 * n - 12.0), 0.05, [(15.0, 0.0), (15.0, 0.02)]) for n in range(30)]
    lanes = [Lane(pieces, 0.4, Line.SOLID, Line.DASHED, 30.0, "road", n) for n, pieces in enumerate(chains)]
    return replace(scene, road=RoadMap.build(lanes))


SIMULATE = """
import sys, warnings
from dataclasses import replace
import numpy as np
import torch
from sensors.lidar.gpu import render
from sensors.lidar.render import render_lidar
from tests.sensors.conftest import _scene
from tests.sensors.test_lidar_gpu import LIDARS, painted

warnings.simplefilter("ignore")
scene_of = lambda *a, **k: painted(_scene(*a, **k))
near = [[[0, 0], [6, 2], [-5, -3], [3, 6]], [[0, 0], [9, -1], [4, -4], [-12, 5]]]
heading = [[0.1, 0.4, 3.0, -0.5], [1.0, 0.9, 2.0, 0.1]]
scene = scene_of(near, heading=heading, velocity=np.full((2, 4, 2), 8.0), yaw_rate=0.3, kind=[[0, 0, 1, 2]] * 2, seed=4)
scene = scene.with_weather(scene.weather.changed(visibility_m=80.0, rain_mm_per_h=10.0))
here, there = render_lidar(scene, LIDARS), render(scene, LIDARS)
for name in ("range_m", "intensity", "hit", "actor", "valid", "age_s"):
    np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
seen = (here.actor >= 0).float().mean((0, 2, 3))
assert seen.min() > 0.05 and (here.actor == -2).any() and here.hit.float().mean() > 0.3, (seen, here.hit.float().mean())
torch.save([getattr(there, name) for name in ("range_m", "intensity", "hit", "actor")], sys.argv[1])
plain = render_lidar(scene.with_faults(scene.faults), [replace(lidar, materials=False) for lidar in LIDARS])
brighter = (there.intensity > 1.5 * plain.intensity) & (there.actor == -1) & (plain.actor == -1)
assert brighter.sum() >= 10, brighter.sum((0, 2, 3))
assert render(scene, ()).range_m.shape == (2, 0, 0, 0) and render(scene.select([]), LIDARS).range_m.shape == (0, 3, 3, 21)
"""


def test_simulated_kernels_equal_the_cpu_bit_for_bit(tmp_path, make_scene) -> None:
    """Tilted, rolling, noisy, rainy lidars, a high one that sees all sides of a car; the same kernels compiled differ in last digits."""
    require_numba_cuda()
    simulate(SIMULATE, str(tmp_path / "there.pt"))
    ranges, _, hit, actor = torch.load(tmp_path / "there.pt")
    near = [[[0, 0], [6, 2], [-5, -3], [3, 6]], [[0, 0], [9, -1], [4, -4], [-12, 5]]]
    heading, kind = [[0.1, 0.4, 3.0, -0.5], [1.0, 0.9, 2.0, 0.1]], [[0, 0, 1, 2]] * 2
    scene = painted(make_scene(near, heading=heading, velocity=np.full((2, 4, 2), 8.0), yaw_rate=0.3, kind=kind, seed=4))
    scene = scene.with_weather(scene.weather.changed(visibility_m=80.0, rain_mm_per_h=10.0))
    compiled = render_lidar(scene, LIDARS)
    same = (compiled.actor == actor) & (compiled.hit == hit)
    assert same.float().mean() > 0.99
    torch.testing.assert_close(compiled.range_m[same], ranges[same], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["place_sensors", "aim_columns", "list_pieces", "cast_columns", "detect_rays"])
def test_kernels_compile_to_ptx_for_sm_90(name: str) -> None:
    ptx = ptx_of("sensors.lidar.gpu", name)
    assert ".target sm_90" in ptx and ".visible .entry" in ptx
    assert "NRT_" not in ptx, "a kernel that allocates cannot run"


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Grid size")
@pytest.mark.parametrize("terms", [{"noise": False}, {}, {"sweep_s": 0.1}])
def test_gpu_agrees_with_the_cpu(random_scene, terms) -> None:
    scene = painted(random_scene(5, worlds=16))
    scene = scene.with_weather(scene.weather.changed(rain_mm_per_h=10.0))
    lidars = [replace(TINY, columns=500, **terms), replace(TINY, columns=500, mount=Mount(z_m=3.0), **terms)]
    here = render_lidar(scene, lidars)
    from sensors.lidar.gpu import render

    there = render(scene.to("cuda"), lidars).to("cpu")
    same = (here.hit == there.hit) & (here.actor == there.actor)
    assert same.float().mean() > 0.999  # chances and outlines hang on the last digit
    assert ((here.range_m - there.range_m).abs()[same] < 2e-3).float().mean() > 0.9999
    assert ((here.intensity - there.intensity).abs()[same] < 1e-3).float().mean() > 0.9999
