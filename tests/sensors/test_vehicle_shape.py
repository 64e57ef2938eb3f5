"""The vehicle shape: parts inside the box, rays against the mesh, outward winding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.faults import Faults
from sensors.road import RoadMap
from sensors.scene import Kind, Scene
from sensors.vehicle_shape import FACE_FRONT, FACE_LEFT, FACE_REAR, FACE_RIGHT, TOP, corners_of, parts_of, ray_part, triangles
from sensors.weather import Weather

SIZES = st.tuples(st.floats(1, 20), st.floats(0.5, 4), st.floats(0.5, 5))


def scene_of(kinds: list[int]) -> Scene:
    actors = len(kinds)
    generator = torch.Generator().manual_seed(3)
    position = torch.rand((1, actors, 2), generator=generator, dtype=torch.float64) * 40
    zeros = torch.zeros((1, actors), dtype=torch.float64)
    return Scene(
        position_m=position,
        heading_rad=torch.rand((1, actors), generator=generator, dtype=torch.float64) * 6,
        velocity_mps=torch.zeros_like(position),
        acceleration_mps2=torch.zeros_like(position),
        yaw_rate_radps=zeros,
        size_m=torch.tensor([5.0, 2.0, 1.5], dtype=torch.float64).expand(1, actors, 3),
        kind=torch.tensor([kinds]),
        lights=torch.zeros((1, actors), dtype=torch.int64),
        crashed=torch.zeros((1, actors), dtype=torch.bool),
        valid=torch.ones((1, actors), dtype=torch.bool),
        road=RoadMap.build([]),
        weather=Weather.clear(1),
        faults=Faults.none(1),
        time_s=torch.zeros(1),
        episode_seed=torch.zeros(1, dtype=torch.int64),
        step=torch.zeros(1, dtype=torch.int64),
        action=torch.zeros((1, 5)),
    )


@pytest.mark.parametrize("kind", list(Kind))
@given(size=SIZES)
@settings(max_examples=25, deadline=None)
def test_parts_stay_inside_the_box_and_touch_it(kind: Kind, size: tuple[float, float, float]) -> None:
    corners = np.concatenate([corners_of(part) for part in parts_of(kind, size)])
    half = np.asarray([size[0] / 2, size[1] / 2])
    assert np.all(np.abs(corners[:, :2]) <= half + 1e-9)
    assert np.allclose(np.abs(corners[:, :2]).max(0), half)
    assert corners[:, 2].min() == pytest.approx(0.0)
    assert corners[:, 2].max() == pytest.approx(size[2])


def test_mesh_winds_outwards_and_leaves_the_ego_out() -> None:
    vertices, faces, actor = triangles(scene_of([Kind.CAR, Kind.CAR, Kind.TRUCK, Kind.OBSTACLE]), 0)
    assert sorted(set(actor)) == [1, 2, 3]
    for part in range(len(faces) // 12):
        corners = vertices[faces[12 * part : 12 * part + 12]]
        centre = corners.reshape(-1, 3).mean(0)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert np.all(((corners.mean(1) - centre) * normal).sum(1) > 0)


def nearest_triangle(vertices: np.ndarray, faces: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> float:
    """Moller and Trumbore's test, one ray against all triangles; inf for none."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    p = np.cross(direction, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / ((b - a) * p).sum(1)
        u = ((origin - a) * p).sum(1) * inverse
        q = np.cross(origin - a, b - a)
        v, t = (q @ direction) * inverse, ((c - a) * q).sum(1) * inverse
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return float(t[hit].min()) if hit.any() else np.inf


@pytest.mark.parametrize("kind", list(Kind))
def test_rays_meet_the_parts_where_they_meet_the_mesh(kind: Kind) -> None:
    generator = np.random.default_rng(5)
    scene = scene_of([Kind.CAR, kind])
    scene.position_m[:] = 0
    scene.heading_rad[:] = 0
    vertices, faces, _ = triangles(scene, 0)
    parts = parts_of(kind, (5.0, 2.0, 1.5))
    hits = 0
    for _ in range(400):
        origin = generator.normal(size=3)
        origin *= 12 / np.linalg.norm(origin)
        direction = generator.uniform((-2, -1, 0), (2, 1, 1.5)) - origin
        found = np.inf
        for part in parts:
            near, far, _ = ray_part(part, *origin, *direction)
            if near <= far and near > 0:
                found = min(found, near)
        assert found == pytest.approx(nearest_triangle(vertices, faces, origin, direction), abs=1e-9)
        hits += np.isfinite(found)
    assert hits > 300


def test_rays_along_the_axes_name_the_face_and_miss_beside_it() -> None:
    body = parts_of(Kind.OBSTACLE, (4.0, 2.0, 1.0))[0]
    for origin, direction, face in (
        ((9, 0, 0.5), (-1, 0, 0), FACE_FRONT),
        ((-9, 0, 0.5), (1, 0, 0), FACE_REAR),
        ((0, 9, 0.5), (0, -1, 0), FACE_LEFT),
        ((0, -9, 0.5), (0, 1, 0), FACE_RIGHT),
        ((0, 0, 9), (0, 0, -1), TOP),
    ):
        near, far, entered = ray_part(body, *map(float, origin), *map(float, direction))
        assert near <= far and entered == face
    near, far, _ = ray_part(body, 9.0, 1.5, 0.5, -1.0, 0.0, 0.0)
    assert near > far
