"""Radar frames under nuScenes' names."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import sensors
from sensors.errors import ConfigError
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.nuscenes import FIELDS, RMS_STEPS
from sensors.rig import Rig

NAMES = "x y z dyn_prop id rcs vx vy vx_comp vy_comp is_quality_valid ambig_state x_rms y_rms invalid_state pdh0 vx_rms vy_rms"
TYPES = "fffbhfffffbbbbbbbb"
QUIET = Radar("quiet", Mount(2.4, 0.0, 0.5), fluctuation=False, measurement_noise=False, false_alarms=False)


def fields_of(scene, *radars):
    rig = Rig("own", radars=radars)
    frames = sensors.render(scene, rig)
    return sensors.nuscenes_fields(frames, scene, rig), frames


def test_fields_are_nuscenes_in_order_and_type(random_scene):
    found, frames = fields_of(random_scene(2, worlds=3), QUIET)
    assert " ".join(found.dtype.names) == NAMES and "".join(FIELDS[name].char for name in FIELDS.names) == TYPES
    mask = frames.radar.mask.numpy()
    assert found.shape == mask.shape and mask.any()
    assert (found["is_quality_valid"] == mask).all() and not found[~mask].tobytes().strip(b"\0")
    assert (found["invalid_state"] == 0).all() and (found["ambig_state"][mask] == 3).all()


def test_places_and_speeds_are_the_detections(random_scene):
    scene = random_scene(4, worlds=5)
    found, frames = fields_of(scene, replace(QUIET, mount=Mount(1.0, 0.5, 0.5, yaw_rad=0.5)))
    mask = frames.radar.mask.numpy()
    rows, found = frames.radar.detections.double().numpy()[mask], found[mask]
    np.testing.assert_allclose(np.hypot(found["x"], found["y"]), rows[:, 0], rtol=1e-5)
    np.testing.assert_allclose(np.arctan2(found["y"], found["x"]), rows[:, 1], atol=1e-5)
    np.testing.assert_allclose(found["vx"] * np.cos(rows[:, 1]) + found["vy"] * np.sin(rows[:, 1]), rows[:, 3], atol=1e-4)
    np.testing.assert_allclose(found["rcs"], rows[:, 4], rtol=1e-6)


@pytest.mark.parametrize(("velocity", "state"), [((0.0, 0.0), 1), ((12.0, 0.0), 0), ((-12.0, 0.0), 2)])
def test_ego_motion_is_taken_out(make_scene, velocity, state):
    scene = make_scene([[[0, 0], [30, 6]]], velocity=[[[20, 3], velocity]], yaw_rate=[[0.2, 0.0]], size=(0.1, 0.1, 1.0))
    found, _ = fields_of(scene, replace(QUIET, mount=Mount(2.4, 0.8, 0.5, yaw_rad=0.3)))
    point = found[0, 0, 0]
    sight = np.array([30 - 2.4, 6 - 0.8]) / math.hypot(30 - 2.4, 6 - 0.8)
    radial = float(np.dot(velocity, sight))
    comp = np.hypot(point["vx_comp"], point["vy_comp"])
    assert comp == pytest.approx(abs(radial), abs=0.05)
    assert point["dyn_prop"] == state


def test_a_single_ramp_is_ambiguous_but_for_what_may_stand(make_scene):
    single = replace(QUIET, staggered=False)
    for speed, state in ((0.0, 4), (50.0, 4), (12.0, 1)):  # 50 m/s folds onto 0
        scene = make_scene([[[0, 0], [30, 0]]], velocity=[[[7, 0], [speed, 0]]])
        found, frames = fields_of(scene, single)
        assert found[frames.radar.mask.numpy()]["ambig_state"].tolist() == [state]


def test_deviations_are_classes_of_the_true_spread(make_scene):
    radar = replace(QUIET, measurement_noise=True)
    scene = make_scene(np.tile([[[0, 0], [60, 25]]], (4_000, 1, 1)), velocity=[[[0, 0], [10, 5]]], size=(0.1, 0.1, 1.0))
    found, _ = fields_of(scene, radar)
    found = found[:, 0, 0]
    for name, rms in (("x", "x_rms"), ("y", "y_rms"), ("vx", "vx_rms"), ("vy", "vy_rms")):
        spread, level = found[name].astype(float).std(), int(np.median(found[rms]))
        assert RMS_STEPS[level - 1] * 0.9 < spread < RMS_STEPS[level] * 1.1, name


def test_strong_detections_are_surely_no_false_alarms(random_scene):
    loud = replace(QUIET, fluctuation=True, false_alarms=True, false_alarm_rate=1e-5, detections=200)
    found, frames = fields_of(random_scene(6, worlds=20), loud)
    mask, snr = frames.radar.mask.numpy(), frames.radar.detections[..., 5].numpy()
    assert (found["pdh0"][mask & (snr > 14.0)] == 1).all() and found["pdh0"][mask].max() > 3
    false = frames.radar.origin.numpy() == sensors.Origin.FALSE_ALARM
    assert false[mask & (found["pdh0"] == 1)].mean() < 0.1 < 0.5 < false[mask & (found["pdh0"] >= 4)].mean()


def test_frames_of_another_batch_are_refused(random_scene):
    scene = random_scene(1, worlds=2)
    _, frames = fields_of(scene, QUIET)
    with pytest.raises(ConfigError, match="2 worlds of 1 radars, but the scene has 1 worlds"):
        sensors.nuscenes_fields(frames, scene.select([0]), Rig("own", radars=(QUIET,)))
    assert torch.equal(frames.radar.valid, torch.ones((2, 1), dtype=torch.bool))
