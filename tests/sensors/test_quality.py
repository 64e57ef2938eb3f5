"""The quality report: each count rises for its fault and for nothing else."""

from dataclasses import replace

import pytest
import torch

from sensors.presets import RIGS
from sensors.quality import COUNTS, QualityWatch, check_frames
from sensors.rendering import render

RIG = RIGS["micro"]
CAMERA, LIDAR, RADAR = "camera_front", "lidar_top", "radar_front"


@pytest.fixture
def drive(make_scene):
    """Frames of ten instants at 20 m/s behind another car."""
    position = [[[2.0 * t, 0.0], [2.0 * t + 15.0, 1.0]] for t in range(10)]
    return render(replace(make_scene(position, velocity=[20.0, 0.0]), step=torch.arange(10)), RIG)


def counts_of(frames):
    quality = check_frames([frames], RIG)
    return {(name, what): getattr(counts, what) for name, counts in quality.sensors.items() for what in COUNTS if getattr(counts, what)}


def changed(frames, modality, **fields):
    return replace(frames, **{modality: replace(getattr(frames, modality), **fields)})


def test_a_sound_drive_has_nothing_to_tell(drive):
    quality = check_frames([drive], RIG)
    assert counts_of(drive) == {}
    assert [(counts.frames, counts.sound) for counts in quality.sensors.values()] == 5 * [(10, 10)]
    assert quality.lines()[0] == f"{CAMERA}: 10 frames, all sound" and quality.as_dict()[LIDAR]["sound"] == 10


def test_dropped_frames_are_counted(drive):
    valid = drive.lidar.valid.clone()
    valid[3:5] = False
    assert counts_of(changed(drive, "lidar", valid=valid)) == {(LIDAR, "dropped"): 2}


@pytest.mark.parametrize(
    ("modality", "name", "field"), [("camera", CAMERA, "rgb"), ("lidar", LIDAR, "range_m"), ("radar", RADAR, "detections")]
)
def test_frozen_frames_are_counted_when_they_claim_to_be_new(drive, modality, name, field):
    data = getattr(getattr(drive, modality), field).clone()
    data[4:7, 0] = data[3, 0]
    frozen = changed(drive, modality, **{field: data})
    assert counts_of(frozen) == {(name, "frozen"): 3}
    age = getattr(drive, modality).age_s.clone()
    age[4:7, 0] = torch.tensor([0.05, 0.1, 0.15])
    assert counts_of(changed(frozen, modality, age_s=age)) == {}


def test_standing_still_freezes_nothing(drive):
    rgb = drive.camera.rgb[:1].expand_as(drive.camera.rgb)
    still = replace(changed(drive, "camera", rgb=rgb), ego=replace(drive.ego, motion=torch.zeros_like(drive.ego.motion)))
    assert counts_of(still) == {}


def test_old_data_is_late(drive):
    age = drive.radar.age_s.clone()
    age[6, 0] = 0.4
    assert counts_of(changed(drive, "radar", age_s=age)) == {(RADAR, "late"): 1}


def test_black_blinded_and_empty_frames_are_counted(drive):
    rgb, hit = drive.camera.rgb.clone(), drive.lidar.hit.clone()
    rgb[2, 0], rgb[5, 0], hit[7] = 0, 255, False
    dark = changed(changed(drive, "camera", rgb=rgb), "lidar", hit=hit)
    assert counts_of(dark) == {(CAMERA, "empty"): 1, (CAMERA, "saturated"): 1, (LIDAR, "empty"): 1}


def test_a_full_radar_list_is_told_and_harmless(drive):
    mask = drive.radar.mask.clone()
    mask[1] = True
    quality = check_frames([changed(drive, "radar", mask=mask)], RIG).sensors[RADAR]
    assert quality.full == 1 and quality.sound == 10


def test_instants_one_by_one_and_together_are_the_same(drive):
    rgb = drive.camera.rgb.clone()
    rgb[4:7] = rgb[3]
    frozen = changed(drive, "camera", rgb=rgb)
    together, watch = check_frames([frozen], RIG), QualityWatch(RIG)
    told = [watch.look(frozen.select([t]))[0] for t in range(10)]
    assert watch.quality.as_dict() == together.as_dict()
    assert [t for t, faults in enumerate(told) if faults.get(CAMERA) == ["frozen"]] == [4, 5, 6]
