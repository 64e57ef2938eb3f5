"""Lidar ranges and camera depths of whole scenes against Open3D's RaycastingScene: tilted sensors, and every preset's own mounts.

Ten scenes by default, 200 under ``slow``; ``-s`` prints the shares. A ray is wrong where it differs by more than a millimetre, or names
another actor. That happens to rays that graze an outline, where single and double precision part.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from sensors.camera.config import Camera
from sensors.camera.render import ego_T_camera, render_camera
from sensors.lidar.config import Lidar
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.vehicle_shape import triangles

TOLERANCE_M, SILHOUETTES, FARTHEST_M = 1e-3, 2e-4, 150.0


class Tally:
    """How many rays were compared, how many were wrong, how many met an actor, and the worst of those that agree on whom."""

    def __init__(self):
        self.rays = self.wrong = self.actors = 0
        self.worst_m = 0.0

    def add(self, got_m, got_actor, expected_m, expected_actor, counted):
        error = np.abs(got_m - expected_m)
        wrong = (error > TOLERANCE_M) | (got_actor != expected_actor)
        self.rays += int(counted.sum())
        self.wrong += int((wrong & counted).sum())
        self.actors += int(((expected_actor >= 0) & counted).sum())
        self.worst_m = max(self.worst_m, float(error[counted & ~wrong].max(initial=0.0)))

    def check(self, what):
        share = self.wrong / max(self.rays, 1)
        print(
            f"{what}: {self.wrong} of {self.rays} rays are silhouettes ({100 * share:.5f} %), {self.actors} on actors, "
            f"largest error of the others {1e3 * self.worst_m:.3f} mm"
        )
        assert self.actors > 0.02 * self.rays  # actors are really looked at
        assert share < SILHOUETTES


def turned(scene, world, position, axes):
    """A place (3,) and axes (3, 3) of the ego frame in the world's."""
    heading = float(scene.heading_rad[world, 0])
    turn = np.asarray([[math.cos(heading), -math.sin(heading), 0], [math.sin(heading), math.cos(heading), 0], [0, 0, 1]])
    return np.append(scene.position_m[world, 0].double().numpy(), 0.0) + turn @ position, turn @ axes


def answer(scene, world, cast, origin, directions):
    """Parameter of the hit and actor (-1 for ground or nothing) by the peer."""
    vertices, faces, owner = triangles(scene, world)
    away, number = cast(vertices, faces, origin, directions)
    return away, np.where(number >= 0, np.append(owner, -1)[number], -1)


def compare_lidars(tally, scene, lidars, cast):
    frames = render_lidar(scene, lidars)
    for world in range(scene.num_worlds):
        for k, lidar in enumerate(lidars):
            azimuth = 2 * np.pi * (np.arange(lidar.columns) + 0.5) / lidar.columns
            elevation = np.array(lidar.elevations_rad)[:, None]
            parts = np.broadcast_arrays(np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
            mount = lidar.mount.ego_T_sensor()
            origin, axes = turned(scene, world, mount[:3, 3], mount[:3, :3])
            away, actor = answer(scene, world, cast, origin, np.stack(parts, -1).reshape(-1, 3) @ axes.T)
            seen = away < lidar.max_range_m
            got, name = frames.range_m[world, k].numpy().ravel(), frames.actor[world, k].numpy().ravel()
            tally.add(got, name, np.where(seen, away, 0.0), np.where(seen, actor, -1), np.ones_like(seen))


def compare_cameras(tally, scene, cameras, cast):
    frames = render_camera(scene, cameras)
    for world in range(scene.num_worlds):
        for k, camera in enumerate(cameras):
            v, u = np.mgrid[: camera.height_px, : camera.width_px]
            right, down = (u + 0.5 - camera.width_px / 2) / camera.focal_px, (v + 0.5 - camera.height_px / 2) / camera.focal_px
            pose = ego_T_camera(camera)
            origin, axes = turned(scene, world, pose[:, 3], pose[:, :3])
            depth, actor = answer(scene, world, cast, origin, np.stack((right, down, np.ones_like(right)), -1).reshape(-1, 3) @ axes.T)
            got, name = frames.depth_m[world, k].numpy().ravel(), frames.instance[world, k].numpy().ravel()
            tally.add(got, name, depth, actor, np.isfinite(depth) & (depth < FARTHEST_M))


def tilted_sensors(seed):
    """A lidar and a camera anywhere on the roof, turned at will, pitched and rolled by up to 17 degrees."""
    g = np.random.default_rng(seed + 50_000)

    def mount():
        return Mount(
            g.uniform(-2, 2), g.uniform(-0.9, 0.9), g.uniform(0.8, 2.8), g.uniform(-3.1, 3.1), g.uniform(-0.3, 0.3), g.uniform(-0.3, 0.3)
        )

    elevations = tuple(np.sort(g.uniform(-0.5, 0.25, 16)).tolist())
    lidar = Lidar("lidar", mount(), elevations, int(g.integers(60, 400)), float(g.uniform(40.0, 130.0)), noise=False)
    height, width = int(g.integers(40, 120)), int(g.integers(60, 200))
    return lidar, Camera("camera", mount(), height, width, math.radians(g.uniform(35.0, 120.0)), noise=False)


def compare_tilted(seeds, random_scene, cast):
    lidars, cameras = Tally(), Tally()
    for seed in seeds:
        scene = random_scene(seed, actors=int(5 + seed % 30), spread_m=30.0 + seed % 60, x_m=float(100 * (seed % 50)))
        lidar, camera = tilted_sensors(seed)
        compare_lidars(lidars, scene, [lidar], cast)
        compare_cameras(cameras, scene, [camera], cast)
    lidars.check("lidar")
    cameras.check("camera")


def test_tilted_sensors_equal_open3d(random_scene, cast_by_open3d):
    compare_tilted(range(7_000, 7_010), random_scene, cast_by_open3d)


@pytest.mark.slow
def test_tilted_sensors_equal_open3d_on_200_scenes(random_scene, cast_by_open3d):
    compare_tilted(range(8_000, 8_200), random_scene, cast_by_open3d)


def small(camera):
    """The same view with at most some 200 columns."""
    ratio = max(camera.width_px // 200, 1)
    return replace(camera, height_px=camera.height_px // ratio, width_px=camera.width_px // ratio, noise=False)


@pytest.mark.parametrize("name", sorted(RIGS))
def test_presets_equal_open3d(random_scene, cast_by_open3d, name):
    rig, lidars, cameras = RIGS[name], Tally(), Tally()
    scene = random_scene(9_000 + sorted(RIGS).index(name), worlds=2, actors=25, spread_m=45.0)
    compare_cameras(cameras, scene, [small(camera) for camera in rig.cameras], cast_by_open3d)
    cameras.check(f"{name} cameras")
    still = [replace(lidar, noise=False, sweep_s=0.0) for lidar in rig.lidars]
    if still[0].max_range_m > 20.0:  # CARLA's default of 10 m reaches hardly a car
        compare_lidars(lidars, scene, still, cast_by_open3d)
        lidars.check(f"{name} lidars")


def test_level_cameras_equal_open3d_near_the_horizon(random_scene, cast_by_open3d):
    """Roofs and bonnets at about the camera's height are seen as slivers, thinner than a row of a coarse picture."""
    tally = Tally()
    for seed in range(9_100, 9_130):
        compare_cameras(tally, random_scene(seed, worlds=2, actors=25, spread_m=45.0), RIGS["micro"].cameras, cast_by_open3d)
    tally.check("level cameras")
