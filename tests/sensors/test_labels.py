"""Free labels agree with what was measured, and the senses with each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.render import ego_T_camera, render_camera
from sensors.frames import RADAR_FEATURES, Origin
from sensors.lidar.config import Lidar
from sensors.lidar.points import points
from sensors.lidar.rays import AIR, GROUND
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.radar.render import render_radar
from sensors.weather import Weather

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
NAMES = sorted(RIGS)


def to_world(scene, world, xyz_ego):
    """Points (N, 3) of the ego frame in the world's."""
    heading = float(scene.heading_rad[world, 0])
    turn = np.asarray([[math.cos(heading), -math.sin(heading), 0], [math.sin(heading), math.cos(heading), 0], [0, 0, 1]])
    return xyz_ego @ turn.T + np.append(scene.position_m[world, 0].double().numpy(), 0.0)


def on_actor(scene, world, actor, xyz):
    """Points (N, 3) of the world in an actor's frame, and its half sizes; ``actor`` (N,)."""
    actor = torch.as_tensor(actor, dtype=torch.long)
    away = xyz[:, :2] - scene.position_m[world, actor].double().numpy()
    heading = scene.heading_rad[world, actor].double().numpy()
    along = away[:, 0] * np.cos(heading) + away[:, 1] * np.sin(heading)
    across = away[:, 1] * np.cos(heading) - away[:, 0] * np.sin(heading)
    return np.stack((along, across, xyz[:, 2]), -1), scene.size_m[world, actor].double().numpy()


def outside_m(place, size):
    """Distance of places (N, 3) on actors from their boxes, 0 within."""
    low, high = np.stack((-size[:, 0] / 2, -size[:, 1] / 2, 0 * size[:, 2]), -1), np.stack((size[:, 0] / 2, size[:, 1] / 2, size[:, 2]), -1)
    return np.linalg.norm(place - np.clip(place, low, high), axis=-1)


def box_corners(scene, world, actor):
    length, width, height = scene.size_m[world, actor].double().tolist()
    heading, centre = float(scene.heading_rad[world, actor]), scene.position_m[world, actor].double().numpy()
    corners = np.asarray([(x * length / 2, y * width / 2, z * height) for x in (-1, 1) for y in (-1, 1) for z in (0, 1)])
    turn = np.asarray([[math.cos(heading), -math.sin(heading), 0], [math.sin(heading), math.cos(heading), 0], [0, 0, 1]])
    return corners @ turn.T + np.append(centre, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_projected_boxes_cover_their_instance_pixels(random_scene, name):
    scene, checked = random_scene(400 + NAMES.index(name), worlds=3, actors=18, spread_m=35.0), 0
    cameras = [replace(c, height_px=c.height_px // max(c.width_px // 200, 1), width_px=min(c.width_px, 200)) for c in RIGS[name].cameras]
    frames = render_camera(scene, cameras)
    for world, k in np.ndindex(scene.num_worlds, len(cameras)):
        camera, image = cameras[k], frames.instance[world, k].numpy()
        pose = ego_T_camera(camera)
        place, ego = to_world(scene, world, pose[None, :, 3])[0], to_world(scene, world, np.zeros((1, 3)))
        axes = to_world(scene, world, pose[:, :3].T) - ego
        for actor in np.unique(image[image >= 0]):
            assert bool(scene.valid[world, actor]) and actor > 0
            seen = (box_corners(scene, world, actor) - place) @ axes.T
            if seen[:, 2].min() < 0.1:
                continue
            u = seen[:, 0] / seen[:, 2] * camera.focal_px + camera.width_px / 2
            v = seen[:, 1] / seen[:, 2] * camera.focal_px + camera.height_px / 2
            rows, columns = np.nonzero(image == actor)
            assert u.min() - 1e-3 <= columns.min() + 0.5 and columns.max() + 0.5 <= u.max() + 1e-3
            assert v.min() - 1e-3 <= rows.min() + 0.5 and rows.max() + 0.5 <= v.max() + 1e-3
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize("weather", ["noon", "fog", "rain", "snow"])
@pytest.mark.parametrize("name", ["nano", "nuscenes", "carla"])
def test_lidar_points_lie_on_what_their_labels_name(random_scene, name, weather):
    """With all noise on, within six deviations of range, azimuth and elevation, and at most one point in ten thousand beyond five."""
    scene = random_scene(500 + NAMES.index(name), worlds=4, actors=16, spread_m=12.0 if name == "carla" else 40.0)
    scene = scene.with_weather(Weather.named(weather, 4))
    lidar = replace(RIGS[name].lidars[0], sweep_s=0.0, max_range_m=max(RIGS[name].lidars[0].max_range_m, 30.0))
    cloud, on_cars, on_ground, beyond = points(render_lidar(scene, [lidar]), lidar), 0, 0, 0
    for world in range(4):
        mask = cloud.mask[world]
        xyz_ego, actor = cloud.xyz_m[world][mask].double().numpy(), cloud.actor[world][mask].numpy()
        assert ((actor >= AIR) & (actor < scene.num_actors) & (actor != 0)).all()
        away = np.linalg.norm(xyz_ego - lidar.mount.ego_T_sensor()[:3, 3], axis=-1)
        xyz = to_world(scene, world, xyz_ego)
        sigma = np.hypot(
            math.hypot(lidar.range_noise_m, lidar.weak_noise_m), away * math.hypot(lidar.azimuth_noise_rad, lidar.elevation_noise_rad)
        )
        off = np.where(actor == GROUND, np.abs(xyz[:, 2]), 0.0)
        hit = actor >= 0
        assert bool(scene.valid[world, torch.as_tensor(actor[hit], dtype=torch.long)].all())
        off[hit] = outside_m(*on_actor(scene, world, actor[hit], xyz[hit]))
        assert (off <= 6.0 * sigma + 1e-3).all()
        beyond += int((off > 5.0 * sigma + 1e-3).sum())
        on_cars, on_ground = on_cars + int(hit.sum()), on_ground + int((actor == GROUND).sum())
    assert on_cars > 20 and on_ground > 50 and beyond <= 1 + 1e-4 * (on_cars + on_ground)
    assert bool((cloud.actor == AIR).any()) == (weather != "noon" and lidar.air_returns)


@pytest.mark.parametrize("name", NAMES)
def test_radar_targets_stand_at_their_actor_within_their_errors(random_scene, name):
    """A detection may be anywhere in its cell about the actor's scatterers, and five deviations off that."""
    radars, checked = RIGS[name].radars, 0
    scene = random_scene(600 + NAMES.index(name), worlds=30, actors=14, spread_m=60.0)
    frames = render_radar(scene, radars)
    assert torch.equal(frames.origin == Origin.TARGET, frames.actor >= 0)
    for world, k in np.ndindex(30, len(radars)):
        radar, chosen = radars[k], (frames.origin[world, k] == Origin.TARGET).numpy()
        rows, actor = frames.detections[world, k].double().numpy()[chosen], frames.actor[world, k].numpy()[chosen]
        assert (actor > 0).all() and bool(scene.valid[world, torch.as_tensor(actor, dtype=torch.long)].all())
        level = np.cos(rows[:, ELEVATION])
        ray = np.stack((level * np.cos(rows[:, AZIMUTH]), level * np.sin(rows[:, AZIMUTH]), np.sin(rows[:, ELEVATION])), -1)
        mount = radar.mount.ego_T_sensor()
        place, size = on_actor(scene, world, actor, to_world(scene, world, (rows[:, RANGE, None] * ray) @ mount[:3, :3].T + mount[:3, 3]))
        blur = 1.0 / np.sqrt(2.0 * 10.0 ** (rows[:, SNR] / 10.0))
        wide = radar.azimuth_cell_rad / np.maximum(np.cos(rows[:, AZIMUTH]), 0.25)
        across, tall = rows[:, RANGE] * wide, rows[:, RANGE] * radar.elevation_cell_rad
        allowed = (5.0 * blur + 1.0) * np.hypot(radar.range_cell_m, across)
        place[:, 2] = np.clip(place[:, 2], -5.0 * blur * tall - 0.5, None)
        off = outside_m(place * (1, 1, 0), size)
        assert (off <= allowed).all(), (off - allowed).max()
        assert (place[:, 2] <= size[:, 2] + 5.0 * blur * tall + 0.5).all()
        checked += len(rows)
    assert checked > 100


def test_camera_depth_equals_lidar_range_along_the_same_ray(random_scene):
    """A camera's middle pixel and the one ray of a lidar, which looks to azimuth pi, from 40 mounts in 12 scenes."""
    g = np.random.default_rng(7)
    cameras, lidars = [], []
    for k in range(40):
        place, yaw, pitch = (g.uniform(-2, 2), g.uniform(-0.9, 0.9), g.uniform(0.5, 2.5)), g.uniform(-3.1, 3.1), g.uniform(-0.05, 0.3)
        roll = g.uniform(-0.4, 0.4)
        cameras.append(Camera(f"c{k}", Mount(*place, yaw, pitch, roll), 3, 3, math.radians(g.uniform(5.0, 60.0)), noise=False))
        lidars.append(Lidar(f"l{k}", Mount(*place, yaw + math.pi, -pitch, roll), (0.0,), columns=1, max_range_m=150.0, noise=False))
    scene = random_scene(77, worlds=12, actors=30, spread_m=25.0)
    images, ranges = render_camera(scene, cameras), render_lidar(scene, lidars)
    depth, away = images.depth_m[:, :, 1, 1], ranges.range_m[:, :, 0, 0]
    near = (depth > 0) & (depth < 150.0)
    assert torch.equal(near, ranges.hit[:, :, 0, 0]) and bool(near.float().mean() > 0.5)
    assert (depth - away)[near].abs().max() < 1e-3
    assert torch.equal(images.instance[:, :, 1, 1], ranges.actor[:, :, 0, 0])
    assert int((ranges.actor >= 0).sum()) > 60
