"""A recorded drive exported as frames: what is in the files is what was seen, and damaged frames are told and left out."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from drive_fusion.cli import main
from envs.drivers import driver_named
from envs.recording import Recording
from envs.rollout import record
from envs.world import World
from sensors.clouds import load_cloud
from sensors.faults import Faults, Modality
from sensors.presets import RIGS
from sensors.rendering import render

LAST = 2**31


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """Three decisions behind the wheel of IDM; the left camera dies after six of its sixteen instants."""
    world = World("highway-fast-v0", config={"duration": 3})
    world.faults = Faults(*(torch.tensor([[value]]) for value in (1, Modality.CAMERA, 1, 1, 6, LAST)))
    path = tmp_path_factory.mktemp("drive") / "seed-5.parquet"
    record(world, driver_named("idm", world.num_actions), torch.tensor([5]))[0].save(path)
    return path


def export(drive, folder, *options):
    return main(["export", "--recording", str(drive), "--frames", str(folder), "--rig", "micro", *options])


def test_frames_hold_what_the_rig_saw(drive, tmp_path, open3d):
    folder = tmp_path / "frames"
    assert export(drive, folder) == 0
    scenes = Recording.load(drive).scenes
    number = 4
    frames, rig = render(scenes.select([number]), "micro"), RIGS["micro"]
    name = f"{number:06d}"
    for k, camera in enumerate(rig.cameras):
        rgb = np.asarray(Image.open(folder / camera.name / f"{name}.png"))
        assert np.array_equal(rgb, frames.camera.rgb[0, k].permute(1, 2, 0).numpy())
        depth = np.asarray(Image.open(folder / f"{camera.name}_depth" / f"{name}.png")) / 256.0
        seen = frames.camera.depth_m[0, k].numpy()
        assert np.abs(depth - seen)[seen < 255.0].max() <= 1 / 512
        instance = np.asarray(Image.open(folder / f"{camera.name}_instance" / f"{name}.png")).astype(int) - 1
        assert np.array_equal(instance, frames.camera.instance[0, k].numpy())
    cloud = load_cloud(folder / "lidar_top" / f"{name}.pcd")
    assert len(cloud) == int(frames.lidar.hit.sum()) and (cloud.ring < 8).all()
    radar = open3d.t.io.read_point_cloud(str(folder / "radar_front" / f"{name}.pcd")).point
    found = frames.radar.detections[0, 0][frames.radar.mask[0, 0]].double()
    assert len(found) > 1 and np.allclose(radar["rcs"].numpy()[:, 0], found[:, 4])
    assert np.allclose(np.hypot(*radar["positions"].numpy()[:, :2].T), found[:, 0], rtol=1e-5)
    assert set(radar["is_quality_valid"].numpy().ravel()) == {1}
    calibration = json.loads((folder / "calibration.json").read_text())
    assert set(calibration) == {sensor.name for sensor in rig.sensors}
    assert calibration["camera_left"]["ego_T_sensor"] == rig.cameras[1].mount.ego_T_sensor().tolist()


def test_poses_and_boxes_are_the_recorded_ones(drive, tmp_path, open3d):
    folder = tmp_path / "frames"
    assert export(drive, folder, "--every", "3") == 0
    scenes = Recording.load(drive).scenes
    scenes = scenes.select(list(range(0, scenes.num_worlds, 3)))
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    moved = (scenes.position_m[:, 0] - scenes.position_m[0, 0]).double().numpy()
    assert np.allclose(poses[:, :2, 3], moved, atol=1e-6) and np.allclose(np.loadtxt(folder / "times.txt"), scenes.time_s, atol=1e-5)
    lines = [json.loads(line) for line in (folder / "boxes.jsonl").read_text().splitlines()]
    assert len(lines) == scenes.num_worlds == len(poses)
    box = lines[2]["boxes"][0]
    assert np.allclose(box["centre_m"][:2], (scenes.position_m[2, box["actor"]] - scenes.position_m[0, 0]).numpy(), atol=1e-4)
    assert [box["actor"] for box in lines[2]["boxes"]] == scenes.valid[2].nonzero().flatten().tolist()[1:]


def test_a_dead_camera_is_told_and_has_no_files(drive, tmp_path, open3d, capsys):
    folder = tmp_path / "frames"
    assert export(drive, folder, "--clean", "--format", "ply") == 0
    told = json.loads((folder / "quality.json").read_text())
    assert told["sensors"]["camera_left"]["dropped"] == 10 and told["sensors"]["camera_front"]["dropped"] == 0
    assert len(list((folder / "camera_left").iterdir())) == 6 and len(list((folder / "camera_front").iterdir())) == 16
    assert "camera_left: 16 frames, 10 dropped" in capsys.readouterr().out
    assert told["written"]["left_out"] == {"camera_left: dropped": 10}
    segments = np.load(folder / "lidar_top_segments" / "000003.npz")
    cloud = load_cloud(folder / "lidar_top" / "000003.ply")
    assert len(cloud) == len(segments["ground"]) == len(segments["cluster"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recording", "x.parquet"], "belong together"),
        (["--recording", "no-such.parquet", "--frames", "{new}"], "no recording at no-such.parquet"),
        (["--recording", "{drive}", "--frames", "{new}", "--rig", "mikro"], "did you mean 'micro'"),
        (["--recording", "{drive}", "--frames", "{new}", "--format", "pdc"], "did you mean 'pcd'"),
        (["--recording", "{drive}", "--frames", "{old}"], "not an empty folder"),
        (["--recording", "{drive}", "--frames", "{new}", "--every", "0"], "every is 0"),
        (["--recording", "{text}", "--frames", "{new}"], "text.parquet"),
        ([], "nothing to do"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(drive, tmp_path, capsys, options, told):
    (tmp_path / "text.parquet").write_text("not a table")
    places = {"new": tmp_path / "new", "old": drive.parent, "drive": drive, "text": tmp_path / "text.parquet"}
    assert main(["export", *(option.format(**places) for option in options)]) == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()
