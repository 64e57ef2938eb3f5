"""Rigs: the presets' sizes, CARLA's names, rigs of one's own, and rigs that cannot be."""

import math
import sys
import types
from dataclasses import replace

import pytest
import torch

from sensors.camera.config import Camera
from sensors.carla import carla_camera, carla_lidar, carla_mount, carla_radar
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.presets import RIGS, rig_named
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig

SIZES = {  # cameras: number, height, width; lidar points; radar detections
    "micro": (3, 24, 48, 512, 32),
    "nano": (4, 48, 96, 2_048, 64),
    "base": (6, 96, 192, 8_192, 128),
    "large": (6, 256, 704, 32_768, 300),
    "nuscenes": (6, 900, 1600, 34_752, 625),
    "carla": (1, 600, 800, 5_600, 75),
    "preview": (1, 360, 640, 16_384, 64),
}


def test_presets_have_their_sizes():
    assert set(SIZES) == set(RIGS)
    for name, rig in RIGS.items():
        points = sum(lidar.beams * lidar.columns for lidar in rig.lidars)
        camera = rig.cameras[0]
        got = (len(rig.cameras), camera.height_px, camera.width_px, points, sum(radar.detections for radar in rig.radars))
        assert rig.name == name and got == SIZES[name]


@pytest.mark.parametrize("name", ["nano", "base", "carla"])
def test_presets_render(random_scene, name):
    frames = render(random_scene(31, worlds=1, actors=10), name)
    cameras, height, width, _, detections = SIZES[name]
    assert frames.camera.rgb.shape == (1, cameras, 3, height, width) and frames.radar.mask.numel() == detections
    assert bool(frames.lidar.hit.any()) and (frames.camera.instance >= 0).any()
    assert bool(frames.camera.valid.all() & frames.lidar.valid.all() & frames.radar.valid.all())


def test_cameras_all_round_see_an_actor_wherever_it_is(make_scene):
    for name in ("nano", "base"):
        rig = Rig(name, cameras=RIGS[name].cameras)
        for degrees in range(0, 360, 15):
            angle = math.radians(degrees)
            scene = make_scene([[[0, 0], [15 * math.cos(angle), 15 * math.sin(angle)]]])
            assert (render(scene, rig).camera.instance == 1).any(), (name, degrees)


def test_nuscenes_has_its_rates_and_views():
    rig = RIGS["nuscenes"]
    assert {c.rate_hz for c in rig.cameras} == {12.0} and rig.lidars[0].rate_hz == 20.0 and {r.rate_hz for r in rig.radars} == {13.0}
    fov = {camera.name: round(math.degrees(camera.horizontal_fov_rad)) for camera in rig.cameras}
    assert fov.pop("CAM_BACK") == 110 and set(fov.values()) == {70} and len(fov) == 5
    beams = [math.degrees(angle) for angle in rig.lidars[0].elevations_rad]
    assert len(beams) == 32 and beams[0] == pytest.approx(-30.67) and beams[-1] == pytest.approx(10.67)
    assert all(abs(b - a - 4 / 3) < 1e-3 for a, b in zip(beams, beams[1:], strict=False))


def test_carla_sensors_by_carlas_names():
    lidar = carla_lidar(channels=64, range=50.0, points_per_second=640_000, rotation_frequency=20.0, upper_fov=5.0, lower_fov=-25.0)
    assert (lidar.beams, lidar.columns, lidar.max_range_m, lidar.rate_hz) == (64, 500, 50.0, 20.0)
    assert math.degrees(lidar.elevations_rad[0]) == pytest.approx(-25.0) and math.degrees(lidar.elevations_rad[-1]) == pytest.approx(5.0)
    assert (carla_lidar().beams, carla_lidar().columns, carla_lidar().max_range_m) == (32, 175, 10.0)
    camera = carla_camera(image_size_x=640, image_size_y=480, fov=60.0, sensor_tick=0.1)
    assert (camera.width_px, camera.height_px, camera.rate_hz) == (640, 480, 10.0) and camera.focal_px == pytest.approx(554.256, abs=1e-3)
    radar = carla_radar(horizontal_fov=40.0, points_per_second=2_000, range=80.0, sensor_tick=0.1)
    assert (radar.detections, radar.max_range_m, radar.rate_hz) == (200, 80.0, 10.0)
    mount = carla_mount(x=1.0, y=2.0, z=3.0, pitch=10.0, yaw=90.0)
    ahead = mount.ego_T_sensor()[:3, 0]
    assert (mount.x_m, mount.y_m, mount.z_m) == (1.0, -2.0, 3.0)
    assert ahead == pytest.approx([0.0, -math.cos(math.radians(10)), math.sin(math.radians(10))], abs=1e-12), "to the right and up"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: carla_lidar(horizontal_fov=180.0), "horizontal_fov is 180.0"),
        (lambda: carla_lidar(dropoff_general_rate=1.5), "dropoff_rate is 1.5"),
        (lambda: carla_lidar(points_per_second=10), "no rays"),
        (lambda: carla_lidar(channels=0), "0 channels"),
        (lambda: carla_radar(vertical_fov=10.0), "vertical_fov is 10.0"),
        (lambda: carla_camera(fov=180.0), "field of view"),
        (lambda: carla_camera(sensor_tick=-1.0), "sensor_tick is -1.0"),
        (lambda: Camera("c", horizontal_fov_rad=math.pi), "field of view of 3.14"),
        (lambda: Camera("c", horizontal_fov_rad=0.0), "field of view"),
        (lambda: Camera("c", horizontal_fov_rad=math.nan), "field of view of nan"),
        (lambda: Radar("r", horizontal_fov_rad=7.0), "horizontal_fov_rad is 7"),
        (lambda: Camera("c", height_px=0), "0 x 48 pixels"),
        (lambda: Lidar("l"), "no rays"),
        (lambda: Lidar("l", elevations_rad=(0.0,), columns=0), "no rays"),
        (lambda: Radar("r", detections=0), "detections is 0"),
        (lambda: Mount(x_m=math.nan), "Mount.x_m is nan"),
        (lambda: Mount(yaw_rad=math.inf), "Mount.yaw_rad is inf"),
        (lambda: Rig("r", cameras=(Camera("a"), Camera("a"))), "two sensors named 'a'"),
        (lambda: Rig("r", cameras=(Camera("a"),), radars=(Radar("a"),)), "two sensors named 'a'"),
        (lambda: Rig("r", cameras=(Camera("a"), Camera("b", width_px=50))), "cameras differ in size"),
        (lambda: Rig("r", radars=(Radar("a", Mount(z_m=0.0)),)), "'a' is mounted at z = 0.0 m, expected above the ground"),
        (lambda: Rig("r", lidars=(Lidar("a", Mount(z_m=-1.0), (0.0,)),)), "above the ground"),
        (lambda: Camera("c", rate_hz=-1.0), "rate_hz is -1.0"),
        (lambda: Lidar("l", elevations_rad=(0.0,), latency_s=math.nan), "latency_s is nan"),
    ],
)
def test_sensors_and_rigs_that_cannot_be_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_rig_of_ones_own_by_module_and_name(monkeypatch):
    module = types.ModuleType("my_rigs")
    module.small = replace(RIGS["micro"], name="small")
    module.number = 3
    monkeypatch.setitem(sys.modules, "my_rigs", module)
    assert rig_named("my_rigs:small") is module.small and rig_named(module.small) is module.small
    for path, words in (
        ("my_rigs:smal", "did you mean 'small'"),
        ("my_rigs:number", "is a int, expected a sensors.Rig"),
        ("no_such_module:rig", "module 'no_such_module' does not import"),
        (":rig", "does not import"),
        ("mikro", "did you mean 'micro'"),
    ):
        with pytest.raises(ConfigError, match=words):
            rig_named(path)


def test_what_a_rig_needs_of_the_past():
    from sensors.faults import Faults

    none = Faults.none(2)
    assert not RIGS["micro"].history_needed(none) and RIGS["nuscenes"].history_needed(none).seconds == pytest.approx(1 / 12)
    late = replace(RIGS["micro"], radars=(Radar("radar_front", Mount(2.4, 0.0, 0.5), rate_hz=10.0, latency_s=0.05),))
    assert late.history_needed(none).seconds == pytest.approx(0.15)
    for kind, seconds in (("latency", 0.6), ("desynchronised", 0.3), ("blur", 0.0), ("dead", 0.0)):
        severity = 1 if kind == "dead" else 3
        assert RIGS["micro"].history_needed(Faults.of(2, kind, "camera", severity=severity)).seconds == pytest.approx(seconds), kind
    frozen = RIGS["micro"].history_needed(Faults.of(2, "frozen", "camera", severity=3, start_step=torch.tensor([5, 9])))
    assert frozen and frozen.begin_step.tolist() == [[5], [9]]
    assert RIGS["micro"].history_needed(Faults.of(2, "frozen", "camera", severity=1)).seconds == pytest.approx(2.0)
