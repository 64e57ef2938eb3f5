"""Odd scenes that sensors must stand, and sensors that cannot be."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from sensors import checks
from sensors.camera.config import Camera
from sensors.errors import ConfigError, SensorFault
from sensors.faults import Faults
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Kind
from sensors.weather import LIMITS, Weather


def assert_sound(frames):
    """Everything finite; what is masked out is blank."""
    for sense in ("camera", "lidar", "radar", "ego"):
        for field in fields(getattr(frames, sense)):
            assert torch.isfinite(getattr(getattr(frames, sense), field.name).double()).all(), (sense, field.name)
    assert (frames.lidar.range_m[~frames.lidar.hit] == 0).all() and (frames.radar.detections[~frames.radar.mask] == 0).all()


def road():
    return RoadMap.build([Lane(chain((0.0, 0.0), 0.0, [(400.0, 0.0)]), 4.0, Line.SOLID, Line.SOLID, 30.0, "road", 0)])


@pytest.mark.parametrize("name", ["micro", "nano", "base", "carla"])
def test_an_ego_far_off_the_map_and_an_empty_map_are_rendered(make_scene, name):
    for scene in (
        replace(make_scene([[[5_000.0, -9_000.0], [5_015.0, -9_000.0]]]), road=road()),
        make_scene([[[0.0, 0.0], [15.0, 0.0]]]),
        replace(make_scene([[[0.0, 0.0]]]), road=road()),
    ):
        assert_sound(render(scene, name))


def test_a_thousand_actors_with_every_sense(random_scene):
    frames = render(replace(random_scene(40, worlds=1, actors=1001, spread_m=140.0), road=road()), "nano")
    assert_sound(frames)
    assert min(frames.camera.instance.max(), frames.lidar.actor.max(), frames.radar.actor.max()) > 100


@pytest.mark.parametrize("kind", list(Kind))
def test_sensors_inside_another_car_do_not_see_it_and_stay_sound(make_scene, kind):
    """But for the cab of a lorry whose load the sensor is in: a part is not seen from within, its neighbour is."""
    scene = make_scene([[[0.0, 0.0], [0.6, 0.1], [20.0, 0.5]]], size=(8.0, 3.0, 3.5), kind=int(kind))
    frames = render(scene, "micro")
    assert_sound(frames)
    for label in (frames.lidar.actor, frames.camera.instance):
        assert bool((label == 1).any()) == (kind is Kind.TRUCK)
        assert bool((label == 2).any()) == (kind is not Kind.TRUCK)  # behind the cab


def test_actors_that_touch_the_sensor_or_each_other_stay_sound(make_scene):
    place = [[[0.0, 0.0], [1.0 + 2.5, 0.0], [0.0, 0.0], [30.0, 0.0], [30.0, 0.0], [30.0, 1e-9]]]
    assert_sound(render(make_scene(place), "nano"))


def test_tiny_and_huge_actors_stay_sound(make_scene):
    size = [[(5.0, 2.0, 1.5), (1e-6, 1e-6, 1e-6), (500.0, 60.0, 90.0), (0.3, 0.3, 40.0)]]
    assert_sound(render(make_scene([[[0, 0], [10, 0], [400, 0], [15, 6]]], size=size), "nano"))


@pytest.mark.parametrize("axis", range(3))
def test_an_actor_without_size_is_refused_by_name(make_scene, axis):
    scene = make_scene([[[0.0, 0.0], [10.0, 0.0]]])
    scene.size_m[0, 1, axis] = 0.0
    with pytest.raises(SensorFault, match=r"world 0 .*size_m of actor 1 .*above 0"):
        render(scene, "micro")


@pytest.mark.parametrize("field", sorted(LIMITS))
def test_weather_beyond_its_limits_is_refused_by_name_and_its_limits_are_not(make_scene, field):
    low, high = LIMITS[field]
    base = make_scene([[[0.0, 0.0], [15.0, 0.0]]] * 2)
    for value in (low, high):
        assert_sound(render(base.with_weather(base.weather.changed(**{field: value})), "micro"))
    for value in (low - 1.0, high + max(1.0, 1e-3 * high), math.nan, math.inf):
        with pytest.raises(ConfigError, match=rf"{field} of world 0 is .*expected"):
            render(base.with_weather(base.weather.changed(**{field: value})), "micro")


@pytest.mark.parametrize("degrees", [0.01, 1.0, 170.0, 179.9])
def test_fields_of_view_near_their_limits_are_rendered(make_scene, degrees):
    rig = Rig("r", cameras=(Camera("c", Mount(z_m=1.4), 40, 60, math.radians(degrees)),))
    assert_sound(render(replace(make_scene([[[0.0, 0.0], [15.0, 0.0]]]), road=road()), rig))


@pytest.mark.parametrize("degrees", [0.0, -10.0, 180.0, 400.0, math.nan])
def test_impossible_fields_of_view_are_refused(degrees):
    with pytest.raises(ConfigError, match="field of view"):
        Camera("c", horizontal_fov_rad=math.radians(degrees))
    with (
        pytest.raises(ConfigError, match="horizontal_fov_rad")
        if not 0.0 < degrees <= 360.0
        else pytest.raises(ConfigError, match="detections")
    ):
        Radar("r", horizontal_fov_rad=math.radians(degrees), detections=0 if 0.0 < degrees <= 360.0 else 1)


@pytest.mark.parametrize("degrees", [0.0, -10.0, 360.1, math.nan])
def test_impossible_radar_views_are_refused(degrees):
    with pytest.raises(ConfigError, match="horizontal_fov_rad is"):
        Radar("r", horizontal_fov_rad=math.radians(degrees))


@pytest.mark.parametrize("z_m", [0.0, -0.5, -100.0])
def test_sensors_below_the_ground_are_refused(z_m):
    for kind, sensor in (("cameras", Camera), ("radars", Radar)):
        with pytest.raises(ConfigError, match="above the ground"):
            Rig("r", **{kind: (sensor("s", Mount(z_m=z_m)),)})
    with pytest.raises(ConfigError, match="above the ground"):
        Rig("r", lidars=(Lidar("s", Mount(z_m=z_m), (0.0,)),))


def test_an_extrinsic_error_of_a_low_sensor_stays_sound(make_scene):
    low = Rig("r", (Camera("c", Mount(z_m=0.01)),), (Lidar("l", Mount(z_m=0.01), (-0.2, 0.0)),), (Radar("r", Mount(z_m=0.01)),))
    scene = replace(make_scene([[[0.0, 0.0], [15.0, 0.0]]] * 40), road=road())
    assert_sound(render(scene, low))
    for modality in ("camera", "lidar", "radar"):
        assert_sound(render(scene.with_faults(Faults.of(40, "extrinsic_error", modality, severity=3)), low))


def test_unknown_faults_zero_rays_and_equal_names_are_refused_by_name():
    with pytest.raises(ConfigError, match="did you mean 'frozen'"):
        Faults.of(2, "frozn", "camera")
    with pytest.raises(ConfigError, match="no rays"):
        Lidar("l", columns=0, elevations_rad=(0.0,))
    with pytest.raises(ConfigError, match="two sensors named 'a'"):
        Rig("r", (Camera("a"),), (Lidar("a", elevations_rad=(0.0,)),))


def test_no_world_no_actor_and_an_ego_that_is_not_there(make_scene):
    scene = make_scene(np.zeros((3, 1, 2)), valid=False)
    assert_sound(render(scene, "nano"))
    assert render(scene.select(slice(0, 0)), "nano").camera.rgb.shape[0] == 0


def test_a_scene_without_room_for_the_ego_is_refused(make_scene):
    with pytest.raises(ConfigError, match="room for no actor"):
        render(make_scene(np.zeros((2, 0, 2))), "micro")


@pytest.mark.parametrize("kind", [-1, len(Kind), 10**6])
def test_an_actor_of_no_known_kind_is_refused_by_name(make_scene, kind):
    scene = make_scene([[[0.0, 0.0], [10.0, 0.0]]])
    scene.kind[0, 1] = kind
    with pytest.raises(SensorFault, match=rf"kind of actor 1 is {kind}, expected a sensors.Kind"):
        render(scene, "micro")
    scene.valid[0, 1] = False
    scene.kind[0, 1] = 0
    assert_sound(render(scene, "micro"))


@pytest.mark.parametrize("worlds", [1, 3])
def test_weather_and_faults_of_other_worlds_are_refused(make_scene, worlds):
    """Kernels would read beyond the end of too few."""
    scene = make_scene(np.zeros((2, 2, 2)))
    with pytest.raises(ConfigError, match=rf"weather: sun_elevation_rad has shape \({worlds},\), expected \(2,\)"):
        render(scene.with_weather(Weather.clear(worlds)), "micro")
    with pytest.raises(ConfigError, match=rf"faults: kind has shape \({worlds}, 1\), expected \(2, any\)"):
        render(scene.with_faults(Faults.of(worlds, "dead", "radar", severity=1)), "micro")


@pytest.mark.parametrize("name", ["position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m"])
@pytest.mark.parametrize("value", [1e200, -1e30, math.nan, math.inf])
def test_poses_beyond_all_measure_are_refused_by_name_but_not_of_who_is_not_there(make_scene, name, value):
    scene = make_scene([[[0.0, 0.0], [10.0, 0.0]], [[0.0, 0.0], [15.0, 1.0]]])
    bad = getattr(scene, name).clone()
    bad[1, 1] = value
    scene = replace(scene, **{name: bad})
    with pytest.raises(SensorFault, match=rf"world 1 .*{name} of actor 1"):
        render(scene, "micro")
    valid = torch.tensor([[True, True], [True, False]])
    assert_sound(render(replace(scene, valid=valid), "micro"))


def test_motion_at_the_limit_stays_sound(make_scene):
    place = [[[0.0, 0.0], [20.0, 1.0], [1e9, -1e9]]]
    assert_sound(render(replace(make_scene(place, velocity=1e9, yaw_rate=1e9, heading=1e9), road=road()), "micro"))


@pytest.mark.parametrize(("sensor", "name"), [(Camera, "height_px"), (Camera, "width_px"), (Lidar, "columns"), (Radar, "detections")])
@pytest.mark.parametrize("count", [2.5, 8.0, "8", None])
def test_counts_that_are_not_whole_are_refused(sensor, name, count):
    more = {"elevations_rad": (0.0,)} if sensor is Lidar else {}
    with pytest.raises(ConfigError, match=f"{name} is {count!r}, expected a whole number"):
        sensor("s", **more, **{name: count})


def test_elevations_may_be_a_list(make_scene):
    lidar = Lidar("l", elevations_rad=[-0.1, 0.0], columns=8)
    assert lidar == Lidar("l", elevations_rad=(-0.1, 0.0), columns=8)
    assert_sound(render(make_scene([[[0.0, 0.0]]]), Rig("r", lidars=(lidar,))))


@pytest.mark.parametrize("name", ["", "left/right"])
def test_names_that_cannot_name_a_folder_are_refused(name):
    with pytest.raises(ConfigError, match="expected a name without"):
        Rig("r", (Camera(name),))


@pytest.mark.parametrize("rig", [None, 3, Camera("c")])
def test_what_is_no_rig_is_refused(make_scene, rig):
    with pytest.raises(ConfigError, match="expected a sensors.Rig"):
        render(make_scene([[[0.0, 0.0]]]), rig)


ODD_RADARS = {
    "a needle's view": {"horizontal_fov_rad": 1e-9},
    "all round": {"horizontal_fov_rad": 2 * math.pi},
    "a beam like a sheet": {"elevation_beam_rad": 1e-9},
    "hardly any Doppler": {"nyquist_mps": 1e-6, "staggered": False},
    "one cell of Doppler": {"doppler_cell_mps": 1e3},
    "one cell of range": {"range_cell_m": 1e6},
    "countless cells": {"range_cell_m": 1e-6, "azimuth_cell_rad": 1e-9},
    "just beyond the nearest": {"max_range_m": 0.21},
    "far": {"max_range_m": 1e5},
    "deaf": {"snr_at_1m_db": -300.0},
    "all ears": {"snr_at_1m_db": 300.0, "detections": 2_000},
    "alarms everywhere": {"false_alarm_rate": 0.1},
    "never an alarm": {"false_alarm_rate": 1e-300},
    "mirrors and rails of any strength": {"mirror_loss_db": 1e4, "rail_post_dbsm": 300.0, "rcs_spread_db": 100.0},
    "no way through": {"underbody_loss_db": math.inf, "edge_db": -1e5},
}


@pytest.mark.parametrize("name", ODD_RADARS)
@pytest.mark.parametrize("noise", [False, True])
def test_odd_radars_stay_sound(random_scene, name, noise):
    scene = replace(random_scene(3, worlds=3, actors=8), road=road())
    radar = replace(Radar("r", Mount(2.4, 0.0, 0.5), noise=noise), **ODD_RADARS[name])
    assert_sound(render(scene, Rig("r", radars=(radar,))))


def test_what_an_actor_that_is_not_there_holds_costs_no_explanation(make_scene, monkeypatch):
    """Worlds leave room for actors that come later."""
    scene = make_scene(np.zeros((2, 3, 2)), valid=[[True, True, False], [True, False, False]])
    scene.size_m[~scene.valid], scene.kind[~scene.valid], scene.position_m[~scene.valid] = 0.0, -1, math.nan
    monkeypatch.setattr(checks, "_explain", lambda scene: pytest.fail("explained"))
    checks.check_scene(scene)
