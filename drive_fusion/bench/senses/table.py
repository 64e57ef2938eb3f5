"""The table of speeds: lidar beside Open3D, cameras, radar, and whole frames of a rig."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from drive_fusion.bench.senses.peer import open3d_sweep
from drive_fusion.bench.senses.scenes import highway_scene
from drive_fusion.bench.senses.timing import clocked, in_turns

if TYPE_CHECKING:
    from drive_fusion.bench.sensors import SensorBench
    from sensors.lidar.config import Lidar


def table_lidar(beams: int, columns: int, max_range_m: float) -> Lidar:
    """A lidar on the roof with every term of its model on, a rolling scan too, 25 degrees down to 10 up."""
    import numpy as np

    from sensors.lidar.config import Lidar
    from sensors.mount import Mount

    elevations = tuple(np.radians(np.linspace(-25.0, 10.0, beams)).tolist()) if beams > 1 else (0.0,)
    return Lidar("noisy", Mount(z_m=1.9), elevations, columns, max_range_m, sweep_s=0.1)


def lidar_figures(config: SensorBench) -> dict[str, float]:
    """One thread: rays with and without noise, and the peer on the same meshes and rays."""
    from sensors.lidar.render import render_lidar

    scene = highway_scene(config.lidar_worlds, config.actors)
    noisy = table_lidar(config.beams, config.columns, config.max_range_m)
    exact = replace(noisy, name="exact", noise=False, materials=False, sweep_s=0.0)
    rays = config.lidar_worlds * config.beams * config.columns
    jobs: list[Callable[[], object]] = [lambda: render_lidar(scene, [exact]), lambda: render_lidar(scene, [noisy])]
    if config.open3d:
        jobs.append(open3d_sweep(scene, exact))
    exact_time, noisy_time, *peer = in_turns(jobs, 3 * config.repeats)
    figures = {
        "lidar.rays_hitting_share": float(render_lidar(scene, [exact]).hit.float().mean()),
        **exact_time.rate("lidar.exact_mrays_per_s_thread", rays / 1e6),
        **noisy_time.rate("lidar.noisy_mrays_per_s_thread", rays / 1e6),
    }
    for cast in peer:
        figures |= cast.rate("lidar.open3d_rebuilt_mrays_per_s_thread", rays / config.lidar_worlds / 1e6)
        for name, own in (("exact", exact_time), ("noisy", noisy_time)):
            figures[f"lidar.{name}_times_open3d"] = cast.best_s / own.best_s * config.lidar_worlds
            figures[f"lidar.{name}_times_open3d_median"] = cast.median_s / own.median_s * config.lidar_worlds
    return figures


def sense_figures(config: SensorBench) -> dict[str, float]:
    """One thread: the camera of the preview rig with noise, and the chosen rig's senses one by one."""
    from sensors.camera.render import render_camera
    from sensors.lidar.render import render_lidar
    from sensors.presets import RIGS, rig_named
    from sensors.radar.render import render_radar

    large, cameras, rig = highway_scene(config.camera_worlds, config.actors), RIGS["preview"].cameras, rig_named(config.rig)
    pixels = config.camera_worlds * sum(camera.height_px * camera.width_px for camera in cameras)
    figures = clocked(lambda: render_camera(large, cameras), config.repeats).rate("camera.preview_mpixels_per_s_thread", pixels / 1e6)
    scene, worlds = highway_scene(config.rig_worlds, config.actors), config.rig_worlds
    if rig.cameras:
        taken = clocked(lambda: render_camera(scene, rig.cameras), config.repeats)
        pixels = worlds * sum(camera.height_px * camera.width_px for camera in rig.cameras)
        figures |= taken.rate(f"camera.{rig.name}_mpixels_per_s_thread", pixels / 1e6) | taken.micros(f"{rig.name}.camera_us", worlds)
    if rig.lidars:
        figures |= clocked(lambda: render_lidar(scene, rig.lidars), config.repeats).micros(f"{rig.name}.lidar_us", worlds)
    if rig.radars:
        figures |= clocked(lambda: render_radar(scene, rig.radars), config.repeats).micros(f"{rig.name}.radar_us", worlds)
    return figures


def rig_figures(config: SensorBench) -> dict[str, float]:
    """Whole frames by ``sensors.render``, batched on one and on more threads, and of a single world."""
    import numba

    from sensors.presets import rig_named
    from sensors.rendering import render

    scene = highway_scene(config.rig_worlds, config.actors)
    figures: dict[str, float] = {}
    name = rig_named(config.rig).name
    for threads in sorted({1, config.threads}):
        numba.set_num_threads(threads)
        taken = clocked(lambda: render(scene, config.rig), config.repeats, threads)
        figures |= taken.rate(f"{name}.frames_per_s_{threads}_threads", config.rig_worlds)
    numba.set_num_threads(1)
    alone = scene.select([0])
    return figures | clocked(lambda: render(alone, config.rig), 5 * config.repeats).micros(f"{name}.one_world_us", 1)
