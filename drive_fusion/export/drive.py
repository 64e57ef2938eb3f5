"""A recorded drive as files that other tools read: what every sensor saw at every instant, where the ego was, and what was there.

In the folder: ``CAMERA/NUMBER.png`` with ``CAMERA_depth`` (16 bit, 1/256 m, 0 none, as KITTI), ``CAMERA_semantic`` and
``CAMERA_instance`` (16 bit, actor number + 1) beside it; ``LIDAR/NUMBER.pcd``, ``.ply`` or ``.bin``; ``RADAR/NUMBER.pcd`` with nuScenes'
fields; ``times.txt`` [s] and ``poses.txt`` (world_T_ego, 12 numbers a line, as KITTI's odometry); ``boxes.jsonl``; ``calibration.json``;
``quality.json``. NUMBER counts instants; a frame that was not delivered, or that cleaning took out, has no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from drive_fusion.export.config import ExportConfig
from envs.history import history_of
from envs.recording import Recording
from sensors.camera.config import Camera
from sensors.clouds.cleaning import Cleaned, Cleaning, clean
from sensors.clouds.cloud import PointCloud, clouds_of
from sensors.clouds.files import FORMATS, save_cloud
from sensors.errors import ConfigError, unknown_name
from sensors.frames import Frames
from sensors.presets import rig_named
from sensors.quality import HARMLESS, QualityWatch
from sensors.radar.nuscenes import nuscenes_fields
from sensors.radar.pcd import save_radar
from sensors.rendering import render
from sensors.rig import Rig
from sensors.scene import Kind, Scene

DEPTH_PER_M = 256.0
MOST_16_BIT = 65_535


@dataclass
class Written:
    """What went out."""

    files: dict[str, int] = field(default_factory=dict)
    points: int = 0
    outliers: int = 0
    thinned: int = 0
    ground: int = 0
    clusters: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def export_drive(config: ExportConfig) -> None:
    """Render a recorded drive through a rig, check it, and write its frames.

    Raises:
        ConfigError: An unknown rig or format, a folder that is not empty, or open3d is needed and does not load.
        RecordingError: The recording cannot be read.
        FileNotFoundError: There is none.
    """
    if config.recording is None or config.frames is None:
        raise ConfigError("export: --recording and --frames belong together")
    if config.format not in FORMATS:
        raise unknown_name("point-cloud format", config.format, FORMATS)
    rig, folder = rig_named(config.rig), config.frames
    if not config.recording.is_file():
        raise ConfigError(f"no recording at {config.recording}; make one with drive-fusion run --record FOLDER")
    recording = Recording.load(config.recording)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder; choose another for the frames")
    folder.mkdir(parents=True, exist_ok=True)
    instants = range(0, recording.scenes.num_worlds, config.every)
    watch, written = QualityWatch(rig), Written()
    for number, (scene, frames) in enumerate(_seen(recording.scenes, rig, instants)):
        faults = watch.look(frames)[0]
        _write_instant(folder, number, frames, rig, config, faults if config.clean else {}, written, scene)
    _write_poses(folder, recording.scenes.select(list(instants)))
    (folder / "calibration.json").write_text(json.dumps(calibration(rig), indent=1) + "\n")
    about = {"recording": config.recording.name, "rig": rig.name, "sensors": watch.quality.as_dict(), "written": asdict(written)}
    (folder / "quality.json").write_text(json.dumps(about, indent=1) + "\n")
    for line in [*watch.quality.lines(), *_summary(written, config.clean)]:
        print(line)
    print(f"wrote {sum(written.files.values())} frames of {len(instants)} instants to {folder}")


def _seen(scenes: Scene, rig: Rig, instants: range) -> Iterator[tuple[Scene, Frames]]:
    """The chosen instants and what the rig sees at each."""
    for number in instants:
        scene = scenes.select([number])
        yield scene, render(scene, rig, history_of(scenes, torch.tensor([number]), rig))


def _write_instant(
    folder: Path, number: int, frames: Frames, rig: Rig, config: ExportConfig, faults: dict[str, list[str]], written: Written, scene: Scene
) -> None:
    """Write every sensor's frame of one instant, but for those that have faults and those that were not delivered."""
    clouds = clouds_of(frames.lidar, rig.lidars)
    for k, camera in enumerate(rig.cameras):
        if _wanted(camera.name, bool(frames.camera.valid[0, k]), faults, written):
            _write_camera(folder, camera.name, number, frames, k)
    for k, lidar in enumerate(rig.lidars):
        if _wanted(lidar.name, bool(frames.lidar.valid[0, k]) and len(clouds[k]) > 0, faults, written):
            _write_lidar(folder, lidar.name, number, clouds[k], config, written)
    if rig.radars:
        lists, mask = nuscenes_fields(frames, scene, rig), frames.radar.mask.numpy()
    for k, radar in enumerate(rig.radars):
        if _wanted(radar.name, bool(frames.radar.valid[0, k]), faults, written):
            save_radar(_place(folder, radar.name, number, "pcd"), lists[0, k][mask[0, k]])


def _wanted(name: str, delivered: bool, faults: dict[str, list[str]], written: Written) -> bool:
    bad = [fault for fault in faults.get(name, []) if fault not in HARMLESS]
    for fault in bad:
        _count(written.left_out, f"{name}: {fault}")
    if delivered and not bad:
        _count(written.files, name)
    return delivered and not bad


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


def _place(folder: Path, name: str, number: int, end: str) -> Path:
    (folder / name).mkdir(exist_ok=True)
    return folder / name / f"{number:06d}.{end}"


def _write_camera(folder: Path, name: str, number: int, frames: Frames, k: int) -> None:
    camera = frames.camera
    depth = np.minimum(np.round(camera.depth_m[0, k].numpy() * DEPTH_PER_M), MOST_16_BIT).astype(np.uint16)
    pictures: dict[str, NDArray[Any]] = {
        name: camera.rgb[0, k].permute(1, 2, 0).contiguous().numpy(),
        f"{name}_depth": depth,
        f"{name}_semantic": camera.semantic[0, k].numpy(),
        f"{name}_instance": (camera.instance[0, k].numpy() + 1).astype(np.uint16),
    }
    for kind, pixels in pictures.items():
        Image.fromarray(pixels).save(_place(folder, kind, number, "png"))


def _write_lidar(folder: Path, name: str, number: int, cloud: PointCloud, config: ExportConfig, written: Written) -> None:
    if config.clean:
        cleaned = clean(cloud, Cleaning(seed=number))
        cloud = cleaned.cloud
        written.outliers += cleaned.outliers
        written.thinned += cleaned.thinned
        written.ground += int(cleaned.ground.sum())
        written.clusters += cleaned.num_clusters
        _write_segments(_place(folder, f"{name}_segments", number, "npz"), cleaned)
    written.points += len(cloud)
    save_cloud(_place(folder, name, number, config.format), cloud)


def _write_segments(path: Path, cleaned: Cleaned) -> None:
    """Ground and clusters of the points of the file of the same number, row by row."""
    plane = np.asarray(cleaned.plane if cleaned.plane is not None else (0.0, 0.0, 0.0, 0.0))
    np.savez_compressed(path, ground=cleaned.ground, cluster=cleaned.cluster, plane=plane)


def _write_poses(folder: Path, scenes: Scene) -> None:
    """Times, poses and boxes of all instants; positions are relative to the first, so that six digits are enough."""
    start = scenes.position_m[:1, 0].double()
    moved, heading = (scenes.position_m.double() - start[:, None]).numpy(), scenes.heading_rad.double().numpy()
    np.savetxt(folder / "times.txt", scenes.time_s.double().numpy(), "%.6f")
    cos, sin = np.cos(heading[:, 0]), np.sin(heading[:, 0])
    nought, one = np.zeros_like(cos), np.ones_like(cos)
    rows = np.stack((cos, -sin, nought, moved[:, 0, 0], sin, cos, nought, moved[:, 0, 1], nought, nought, one, nought), -1)
    np.savetxt(folder / "poses.txt", rows, "%.9g")
    with (folder / "boxes.jsonl").open("w") as file:
        for number in range(scenes.num_worlds):
            file.write(json.dumps({"frame": number, "boxes": _boxes(scenes, number, moved, heading)}) + "\n")


def _boxes(scenes: Scene, number: int, moved: NDArray[np.float64], heading: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Every actor but the ego, in the frame of ``poses.txt``."""
    velocity, size = scenes.velocity_mps[number].tolist(), scenes.size_m[number].tolist()
    return [
        {
            "actor": actor,
            "kind": Kind(int(scenes.kind[number, actor])).name.lower(),
            "centre_m": [*map(float, moved[number, actor]), 0.5 * size[actor][2]],
            "heading_rad": float(heading[number, actor]),
            "size_m": size[actor],
            "velocity_mps": velocity[actor],
        }
        for actor in scenes.valid[number].nonzero().flatten().tolist()
        if actor
    ]


def calibration(rig: Rig) -> dict[str, Any]:
    """Every sensor's pose ``ego_T_sensor`` (4 x 4, x forward), and a camera's matrix K (x right, y down)."""
    poses: dict[str, dict[str, Any]] = {sensor.name: {"ego_T_sensor": sensor.mount.ego_T_sensor().tolist()} for sensor in rig.sensors}
    for sensor in rig.sensors:
        if isinstance(sensor, Camera):
            focal, cu, cv = sensor.focal_px, 0.5 * sensor.width_px - 0.5, 0.5 * sensor.height_px - 0.5
            poses[sensor.name]["camera_matrix"] = [[focal, 0.0, cu], [0.0, focal, cv], [0.0, 0.0, 1.0]]
    return poses


def _summary(written: Written, cleaned: bool) -> list[str]:
    lines = [f"left out, {what} in {count} frames" for what, count in sorted(written.left_out.items())]
    if cleaned and written.points:
        lines.append(
            f"clouds: {written.points} points kept, {written.outliers} outliers and {written.thinned} of shared voxels taken away, "
            f"{100.0 * written.ground / written.points:.0f} % ground, {written.clusters} clusters"
        )
    return lines
