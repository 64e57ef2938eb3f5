"""Scenes for sensor tests, and the independent ray casters that they are checked against."""

import numpy as np
import pytest
import torch

from sensors.faults import Faults
from sensors.road import RoadMap
from sensors.scene import Kind, Scene
from sensors.weather import Weather


def _scene(
    position, heading=None, velocity=None, yaw_rate=None, size=None, kind=None, valid=None, dtype=torch.float64, seed=0, step=0, **more
):
    """A scene of given poses, (B, A, 2) and so on; everything else still, car-sized and there."""
    position = torch.as_tensor(np.asarray(position), dtype=dtype)
    worlds, actors = position.shape[:2]

    def filled(value, default, shape, kind=dtype):
        return torch.as_tensor(np.broadcast_to(np.asarray(default if value is None else value), shape).copy(), dtype=kind)

    return Scene(
        position_m=position,
        heading_rad=filled(heading, 0.0, (worlds, actors)),
        velocity_mps=filled(velocity, 0.0, (worlds, actors, 2)),
        acceleration_mps2=filled(more.pop("acceleration", None), 0.0, (worlds, actors, 2)),
        yaw_rate_radps=filled(yaw_rate, 0.0, (worlds, actors)),
        size_m=filled(size, (5.0, 2.0, 1.5), (worlds, actors, 3)),
        kind=filled(kind, int(Kind.CAR), (worlds, actors), torch.int64),
        lights=filled(None, 0, (worlds, actors), torch.int64),
        crashed=filled(None, False, (worlds, actors), torch.bool),
        valid=filled(valid, True, (worlds, actors), torch.bool),
        road=RoadMap.build([]),
        weather=Weather.clear(worlds),
        faults=Faults.none(worlds),
        time_s=filled(None, 0.0, (worlds,)),
        episode_seed=torch.arange(worlds) + seed * 100_000,
        step=torch.full((worlds,), step, dtype=torch.int64),
        action=torch.zeros((worlds, 5)),
        **more,
    )


def _random_scene(seed, worlds=1, actors=12, spread_m=40.0, x_m=0.0, dtype=torch.float64):
    """Cars, trucks and obstacles at any heading, none nearer to the ego than 6 m; one actor in ten is not there."""
    g = np.random.default_rng(seed)
    angle, distance = g.uniform(0, 2 * np.pi, (worlds, actors)), g.uniform(7.0, spread_m, (worlds, actors))
    kind = g.choice([0, 0, 0, 1, 2], (worlds, actors))
    size = np.stack(
        [g.uniform(3.5, 6.0, (worlds, actors)), g.uniform(1.6, 2.2, (worlds, actors)), g.uniform(1.2, 2.0, (worlds, actors))], -1
    )
    size = np.where((kind == Kind.TRUCK)[..., None], size * (1.6, 1.2, 1.7), size)
    distance = np.maximum(distance, 0.5 * np.hypot(size[..., 0], size[..., 1]) + 4.0)
    position = np.stack([distance * np.cos(angle), distance * np.sin(angle)], -1)
    position[:, 0] = 0.0
    return _scene(
        position + (x_m, 0.0),
        heading=g.uniform(-np.pi, np.pi, (worlds, actors)),
        velocity=g.normal(0, 12, (worlds, actors, 2)),
        yaw_rate=g.normal(0, 0.2, (worlds, actors)),
        size=size,
        kind=kind,
        valid=g.uniform(size=(worlds, actors)) > np.where(np.arange(actors) == 0, -1.0, 0.1),
        dtype=dtype,
        seed=seed,
        step=seed % 40,
    )


@pytest.fixture
def make_scene():
    return _scene


@pytest.fixture
def random_scene():
    return _random_scene


def _ground_hits(origin, directions):
    """Parameter at which each ray meets z = 0, infinite where it does not."""
    down = directions[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((down < 0) & (origin[2] > 0), -origin[2] / down, np.inf)


def _cast_by_hand(vertices, triangles, origin, directions):
    """Nearest hit of each ray by Moeller and Trumbore's test of every triangle, in float64.

    Returns:
        Parameter (R,), infinite for none, and the triangle's number (R,), -1 for ground or nothing.
    """
    best, number = _ground_hits(origin, directions), np.full(len(directions), -1)
    for n, (a, b, c) in enumerate(vertices[triangles]):
        edge1, edge2, away = b - a, c - a, origin - a
        p = np.cross(directions, edge2)
        scale = p @ edge1
        q = np.cross(away, edge1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u, v, t = p @ away / scale, directions @ q / scale, (q @ edge2) / scale
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < best)
        best[hit], number[hit] = t[hit], n
    return best, number


def _cast_by_open3d(open3d, vertices, triangles, origin, directions):
    """The same by open3d's RaycastingScene (Embree), with the ground in closed form; float32 inside, relative to the sensor."""
    best, number = _ground_hits(origin, directions), np.full(len(directions), -1)
    if len(triangles):
        scene = open3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(open3d.core.Tensor((vertices - origin).astype(np.float32)), open3d.core.Tensor(triangles.astype(np.uint32)))
        rays = np.concatenate([np.zeros_like(directions), directions], -1).astype(np.float32)
        answer = scene.cast_rays(open3d.core.Tensor(rays), nthreads=1)
        t = answer["t_hit"].numpy().astype(np.float64)
        nearer = t < best
        best[nearer], number[nearer] = t[nearer], answer["primitive_ids"].numpy()[nearer]
    return best, number


@pytest.fixture
def cast_by_hand():
    return _cast_by_hand


@pytest.fixture
def cast_by_open3d(open3d):
    return lambda *arguments: _cast_by_open3d(open3d, *arguments)
