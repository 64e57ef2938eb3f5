"""Motion blur: the mean light of the instants within the exposure, whatever moves; labels stay the middle instant's."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.light import CEILING, KNEE, radiance_of
from sensors.camera.render import render_camera
from sensors.errors import ConfigError
from sensors.mount import Mount
from sensors.weather import Weather

CAMERA = Camera("camera", Mount(1.0, 0.0, 1.4, pitch_rad=0.08), 90, 160, math.radians(75.0), noise=False, shutter_s=0.08, looks=5)


def later(scene, dt_s):
    """The scene after everyone has gone on at their present rates."""
    return replace(
        scene, position_m=scene.position_m + dt_s * scene.velocity_mps, heading_rad=scene.heading_rad + dt_s * scene.yaw_rate_radps
    )


def as_bytes(radiance):
    return np.minimum(np.sqrt(CEILING * radiance / (radiance + KNEE)), 1.0) * 255.0


@pytest.mark.parametrize("weather", ["noon", "night"])
@pytest.mark.parametrize("mover", ["ego", "others", "all"])
def test_a_blurred_picture_is_the_mean_light_of_its_instants(random_scene, mover, weather):
    scene = random_scene(31, actors=14, spread_m=25.0).with_weather(Weather.named(weather, 1))
    moves = torch.arange(14) == 0 if mover == "ego" else torch.arange(14) > 0 if mover == "others" else torch.ones(14, dtype=torch.bool)
    scene = replace(scene, velocity_mps=scene.velocity_mps * moves[:, None], yaw_rate_radps=scene.yaw_rate_radps * moves)
    blurred, sharp = (render_camera(scene, [camera]) for camera in (CAMERA, replace(CAMERA, looks=1)))
    instants = [((look + 0.5) / 5 - 0.5) * CAMERA.shutter_s for look in range(5)]
    pictures = [render_camera(later(scene, dt), [replace(CAMERA, looks=1)]).rgb.numpy() for dt in instants]
    mean = as_bytes(np.mean([radiance_of(picture) for picture in pictures], axis=0))
    unsaturated = np.max(pictures, axis=0) < 250
    off = np.abs(blurred.rgb.numpy() - mean)[unsaturated]
    assert off.max() < 6.0 and off.mean() < 0.6, (off.max(), off.mean())
    assert (np.abs(blurred.rgb.numpy().astype(int) - sharp.rgb.numpy()) > 12).mean() > 0.005


def test_labels_and_depth_of_a_blurred_picture_are_the_scenes_own(random_scene):
    scene = random_scene(32, worlds=3, actors=14, spread_m=25.0)
    blurred, sharp = (render_camera(scene, [camera]) for camera in (CAMERA, replace(CAMERA, looks=1)))
    for name in ("depth_m", "semantic", "instance"):
        assert torch.equal(getattr(blurred, name), getattr(sharp, name)), name


def test_what_stands_still_is_sharp(random_scene):
    scene = random_scene(33, actors=14, spread_m=25.0)
    still = replace(scene, velocity_mps=0 * scene.velocity_mps, yaw_rate_radps=0 * scene.yaw_rate_radps)
    blurred, sharp = (render_camera(still, [camera]).rgb.int() for camera in (CAMERA, replace(CAMERA, looks=1)))
    assert (blurred - sharp).abs().max() <= 1


@pytest.mark.parametrize("speed_mps", [10.0, 20.0, 40.0])
def test_a_smear_is_as_long_as_the_way_that_its_thing_goes_in_the_image(make_scene, speed_mps):
    """A barrier of 2 m that crosses 14 m ahead of the camera: its top edge covers f (2 + v t (1 - 1 / looks)) / d pixels at all."""
    at = {"kind": [[0, 2]], "size": [[(5.0, 2.0, 1.5), (0.5, 2.0, 1.2)]], "velocity": [[(0, 0), (0, speed_mps)]]}
    camera = replace(CAMERA, mount=Mount(0.0, 0.0, 1.2), width_px=400, looks=49, shutter_s=0.05)
    passing, gone = make_scene([[(0, 0), (14.25, 0)]], **at), make_scene([[(0, 0), (14.25, 0)]], valid=[[True, False]], **at)
    with_it, without = (render_camera(scene, [camera]).rgb[0, 0].int() for scene in (passing, gone))
    row = 45 + round(0.5 * camera.focal_px / 14.0)  # half a metre below the camera's axis
    columns = ((with_it - without)[:, row].abs().amax(0) > 1).nonzero()
    seen = float(columns.max() - columns.min() + 1)
    expected = camera.focal_px / 14.0 * (2.0 + speed_mps * camera.shutter_s * (1 - 1 / 49))
    assert abs(seen - expected) < 2.5, (seen, expected)


def test_a_blurred_world_is_the_same_alone_and_among_others(random_scene):
    scene = random_scene(34, worlds=24, actors=10)
    rain = [Weather.named(name, 1) for name in ("noon", "rain", "snow")]
    scene = scene.with_weather(Weather(**{key: torch.cat([getattr(rain[b % 3], key) for b in range(24)]) for key in vars(rain[0])}))
    cameras = [replace(CAMERA, height_px=24, width_px=48, noise=True, looks=looks) for looks in (3, 1, 5)]
    many = render_camera(scene, cameras)
    for world in (0, 7, 23):
        alone = render_camera(scene.select([world]), cameras)
        for name in ("rgb", "depth_m", "semantic", "instance"):
            assert torch.equal(getattr(many, name)[world], getattr(alone, name)[0]), name


@pytest.mark.parametrize("looks", [0, 2, 100, -3])
def test_a_number_of_looks_that_has_no_middle_is_refused(looks):
    with pytest.raises(ConfigError, match="odd number"):
        replace(CAMERA, looks=looks)
