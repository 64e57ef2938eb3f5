"""The camera: depth against independent ray casters, paint and labels where they belong, haze by its law, the same in any batch."""

import math
from dataclasses import replace

import numba
import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.light import KOSCHMIEDER, radiance_of
from sensors.camera.render import ego_T_camera, render_camera
from sensors.errors import ConfigError
from sensors.frames import Semantic
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.road import DASH_M, DASH_PERIOD_M, PAINT_WIDTH_M, Lane, Line, RoadMap, chain
from sensors.scene import Kind
from sensors.vehicle_shape import triangles
from sensors.weather import Weather

TOLERANCE_M, FARTHEST_M, SILHOUETTES = 1e-3, 150.0, 2e-4
MOUNTS = (
    Mount(1.0, 0.2, 1.4, yaw_rad=0.0, pitch_rad=0.05),
    Mount(0.5, -0.5, 1.7, yaw_rad=1.9, pitch_rad=0.2, roll_rad=0.25),
    Mount(-1.5, 0.0, 2.2, yaw_rad=-2.6, pitch_rad=-0.15, roll_rad=-0.3),
)


def camera(mount=None, height=120, width=200, fov_deg=75.0, noise=False):
    return Camera("camera", mount or Mount(1.0, 0.0, 1.4, pitch_rad=0.05), height, width, math.radians(fov_deg), noise)


def road(lanes=3):
    return RoadMap.build(
        [
            Lane(
                chain((-100.0, 4.0 - 4.0 * n), 0.0, [(900.0, 0.0)]),
                4.0,
                Line.SOLID if n == 0 else Line.DASHED,
                Line.SOLID if n == lanes - 1 else Line.NONE,
                30.0,
                "road",
                n,
            )
            for n in range(lanes)
        ]
    )


def pose(scene, world, looker):
    """Position (3,) and axes right, down, forward (3, 3) of a camera in the world."""
    heading = float(scene.heading_rad[world, 0])
    turn = np.asarray([[math.cos(heading), -math.sin(heading), 0], [math.sin(heading), math.cos(heading), 0], [0, 0, 1]])
    mount = ego_T_camera(looker)
    return np.append(scene.position_m[world, 0].double().numpy(), 0.0) + turn @ mount[:, 3], turn @ mount[:, :3]


def rays(axes, looker):
    """A ray of unit depth through the middle of every pixel, (H * W, 3)."""
    v, u = np.mgrid[: looker.height_px, : looker.width_px]
    right, down = (u + 0.5 - looker.width_px / 2) / looker.focal_px, (v + 0.5 - looker.height_px / 2) / looker.focal_px
    return np.stack((right, down, np.ones_like(right)), -1).reshape(-1, 3) @ axes.T


def project(scene, looker, points):
    """Columns, rows and depths of points of the world, (N, 3)."""
    origin, axes = pose(scene, 0, looker)
    seen = (points - origin) @ axes
    pixels = seen[:, :2] / seen[:, 2:] * looker.focal_px + (looker.width_px / 2, looker.height_px / 2)
    return pixels[:, 0], pixels[:, 1], seen[:, 2]


def check_depth(scene, looker, cast):
    frames = render_camera(scene, [looker])
    wrong = looked_at = 0
    for world in range(scene.num_worlds):
        vertices, faces, actor = triangles(scene, world)
        origin, axes = pose(scene, world, looker)
        depth, number = cast(vertices, faces, origin, rays(axes, looker))
        near = np.isfinite(depth) & (depth < FARTHEST_M)
        expected = np.where(number >= 0, np.append(actor, -1)[number], -1)
        got, seen = frames.depth_m[world, 0].numpy().reshape(-1), frames.instance[world, 0].numpy().reshape(-1)
        wrong += int((near & ((np.abs(got - depth) > TOLERANCE_M) | (seen != expected))).sum())
        looked_at += int(near.sum())
    assert looked_at > 10_000
    assert wrong / looked_at < SILHOUETTES


@pytest.mark.parametrize("mount", MOUNTS)
def test_depth_and_instance_equal_open3d(random_scene, cast_by_open3d, mount):
    check_depth(random_scene(11, worlds=12), camera(mount), cast_by_open3d)


def test_depth_and_instance_equal_a_float64_ray_caster_ten_kilometres_out(random_scene, cast_by_hand):
    check_depth(random_scene(5, worlds=2, x_m=9_800.0), camera(MOUNTS[1], 90, 150), cast_by_hand)


def test_the_oracle_can_fail(random_scene, cast_by_hand):
    scene = random_scene(11, worlds=2)
    moved = replace(scene, position_m=scene.position_m + torch.where(torch.arange(scene.num_actors)[:, None] > 0, 0.02, 0.0))
    with pytest.raises(AssertionError):
        check_depth(scene, camera(), lambda *arguments: cast_by_hand(*triangles(moved, 0)[:2], *arguments[2:]))


def test_sky_has_no_depth(make_scene):
    frames = render_camera(make_scene(np.zeros((1, 1, 2))), [camera(Mount(z_m=1.4, pitch_rad=-1.2))])
    assert (frames.semantic == Semantic.SKY).all() and (frames.depth_m == 0).all() and (frames.instance == -1).all()


def test_paint_is_white_and_half_a_metre_beside_it_is_not(make_scene):
    scene = replace(make_scene(np.zeros((1, 1, 2))), road=road())
    looker = camera(Mount(1.0, 0.0, 1.4, pitch_rad=0.1), 360, 640)
    frames = render_camera(scene, [looker])
    for y in (6.0, -6.0):
        for x in (12.0, 16.0, 22.0):
            u, v, _ = project(scene, looker, np.asarray([(x, y, 0.0), (x, y - 0.5, 0.0), (x, y + 0.5, 0.0)]))
            shown = frames.rgb[0, 0, :, v.astype(int), u.astype(int)].min(0).values
            assert shown[0] > 180 and shown[1:].max() < 165  # the shoulder is paler than asphalt


@pytest.mark.parametrize("mount", MOUNTS)
def test_paint_labels_are_where_the_middle_of_a_pixel_lies_on_a_line(make_scene, mount):
    scene, looker = replace(make_scene([[(40.0, 0.5)]], heading=0.05), road=road()), camera(mount, 180, 320)
    frames = render_camera(scene, [looker])
    origin, axes = pose(scene, 0, looker)
    depth, label = (getattr(frames, name)[0, 0].numpy().reshape(-1) for name in ("depth_m", "semantic"))
    x, y, _ = (origin + rays(axes, looker) * depth[:, None]).T
    beside = np.abs(y[:, None] - (6.0, 2.0, -2.0, -6.0))
    place = (x + 100.0) % DASH_PERIOD_M
    dash = place < DASH_M
    painted = (beside[:, [0, 3]].min(1) <= PAINT_WIDTH_M / 2) | ((beside[:, 1:3].min(1) <= PAINT_WIDTH_M / 2) & dash)
    edge = (np.abs(beside - PAINT_WIDTH_M / 2).min(1) < 2e-3) | (np.minimum(np.abs(place - DASH_M), np.minimum(place, 9.0 - place)) < 2e-3)
    near = (depth > 0) & (depth < 60.0) & ~edge
    assert (painted & near).sum() > 50
    assert np.array_equal((label == Semantic.PAINT)[near], painted[near])


@pytest.mark.parametrize("visibility_m", [40.0, 80.0])
def test_contrast_falls_by_koschmieders_law(make_scene, visibility_m):
    """What asphalt has less than the airlight shrinks by exp(-3.912 d / V) from a near row to a far one."""
    weather = replace(Weather.clear(1), visibility_m=torch.tensor([visibility_m]))
    scene, looker = replace(make_scene(np.zeros((1, 1, 2))), road=road(1), weather=weather), camera(Mount(z_m=1.4), 240, 320)
    frames = render_camera(scene, [looker])
    near, far, columns = 215, 150, slice(140, 180)
    bright = radiance_of(frames.rgb[0, 0, 2].numpy())
    air = bright[121, columns].mean()  # almost at the horizon: airlight alone
    lengths = np.linalg.norm(rays(pose(scene, 0, looker)[1], looker).reshape(240, 320, 3), axis=-1)
    away = frames.depth_m[0, 0].numpy() * lengths
    contrast = [1.0 - bright[row, columns].mean() / air for row in (near, far)]
    law = math.exp(-KOSCHMIEDER * float(away[far, 160] - away[near, 160]) / visibility_m)
    assert contrast[1] / contrast[0] == pytest.approx(law, rel=0.08)


def test_instance_pixels_lie_in_the_actors_projected_box(random_scene):
    scene, looker = random_scene(23), camera(Mount(z_m=1.6, pitch_rad=0.1), 160, 240)
    frames = render_camera(scene, [looker])
    seen = [actor for actor in frames.instance[0, 0].unique().tolist() if actor >= 0]
    assert len(seen) >= 2
    for actor in seen:
        vertices, faces, owner = triangles(scene, 0)
        u, v, depth = project(scene, looker, vertices[np.unique(faces[owner == actor])])
        if depth.min() < 0.1:
            continue
        rows, columns = np.nonzero(frames.instance[0, 0].numpy() == actor)
        assert columns.min() + 0.5 >= u.min() - 1e-3 and columns.max() + 0.5 <= u.max() + 1e-3
        assert rows.min() + 0.5 >= v.min() - 1e-3 and rows.max() + 0.5 <= v.max() + 1e-3


def test_labels_name_the_kind_of_actor(make_scene):
    scene = make_scene([[(0, 0), (12, 2), (12, -2)]], kind=[[0, int(Kind.CAR), int(Kind.OBSTACLE)]])
    frames = render_camera(scene, [camera()])
    assert (frames.semantic[frames.instance == 1] == Semantic.VEHICLE).all()
    assert (frames.semantic[frames.instance == 2] == Semantic.OBSTACLE).all()
    assert set(frames.instance.unique().tolist()) == {-1, 1, 2}


def test_a_small_picture_is_the_mean_of_a_large_one(random_scene):
    """Outlines and paint are filtered: no pixel of a coarse picture is far from the mean radiance of the fine ones within it."""
    scene = replace(random_scene(31, worlds=6, actors=16), road=road())
    small, large = (camera(Mount(1.0, 0.2, 1.5, pitch_rad=0.08, roll_rad=0.1), height, 2 * height) for height in (40, 320))
    coarse = radiance_of(render_camera(scene, [small]).rgb[:, 0].numpy())
    fine = radiance_of(render_camera(scene, [large]).rgb[:, 0].numpy()).reshape(6, 3, 40, 8, 80, 8).mean((3, 5))
    vehicles = (render_camera(scene, [small]).instance[:, 0] >= 0).numpy()
    error = np.abs(coarse - fine).max(1)
    assert vehicles.sum() > 300
    assert error[vehicles].mean() < 0.06 and error.mean() < 0.02


def test_a_long_wall_does_not_cover_what_stands_before_its_far_end(make_scene):
    """Sorting by distance alone draws the lorry, which begins nearer, over the car between it and the camera."""
    kind = [[int(Kind.CAR), int(Kind.TRUCK), int(Kind.CAR)]]
    size = [[(5.0, 2.0, 1.5), (40.0, 2.5, 3.0), (4.0, 1.8, 1.4)]]
    scene = make_scene([[(0, 0), (26, 6), (22, 2.5)]], kind=kind, size=size)
    looker = camera(Mount(z_m=1.4), 180, 320)
    both, alone = (
        render_camera(scene, [looker]),
        render_camera(make_scene([[(0, 0), (22, 2.5)]], size=[[size[0][0], size[0][2]]]), [looker]),
    )
    inside = (alone.instance[0, 0] == 1).numpy()
    inside[:-1] &= inside[1:]
    inside[1:] &= inside[:-1]
    assert inside.sum() > 50 and (both.instance[0, 0].numpy()[inside] == 2).all()
    kept = render_camera(replace(scene, valid=torch.tensor([[True, False, True]])), [looker])
    difference = (both.rgb[0, 0].int() - kept.rgb[0, 0].int()).abs().amax(0).numpy()
    assert (difference[inside] <= 1).mean() > 0.9


def test_actors_that_are_not_there_and_the_ego_are_not_drawn(make_scene):
    scene = make_scene([[(0, 0), (12, 0)]], valid=[[True, False]])
    frames = render_camera(scene, [camera()])
    alone = render_camera(make_scene([[(0, 0)]]), [camera()])
    assert torch.equal(frames.rgb, alone.rgb) and torch.equal(frames.depth_m, alone.depth_m)
    assert (frames.instance == -1).all()


def test_brake_lights_are_red_and_indicators_amber_on_their_side(make_scene):
    looker = camera(height=180, width=320)
    dark = make_scene([[(0, 0), (9, 0)]])
    images = [render_camera(replace(dark, lights=torch.tensor([[0, on]])), [looker]).rgb[0, 0].int() for on in (0, 1, 2, 4)]
    redder = ((images[1] - images[0])[0] > 60).nonzero()
    assert len(redder) > 20
    for image, left in ((images[2], True), (images[3], False)):
        changed = ((image - images[0])[1] > 40).nonzero()[:, 1].double()
        assert len(changed) > 5
        assert (changed.mean() < 160) == left


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def test_a_world_is_the_same_alone_and_among_1024_on_one_and_two_threads(random_scene, threads):
    scene = replace(random_scene(3, worlds=1024, actors=6), road=road())
    cameras = RIGS["micro"].cameras
    alone = render_camera(scene.select([777]), cameras)
    for count in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        threads(count)
        among = render_camera(scene, cameras).select([777])
        for name in ("rgb", "depth_m", "semantic", "instance"):
            assert torch.equal(getattr(among, name), getattr(alone, name)), name


def test_noise_is_keyed_by_seed_and_step_and_can_be_off(make_scene):
    scene = make_scene([[(0, 0), (15, 1)]])
    noisy, quiet = [camera(noise=True)], [camera()]
    later = replace(scene, step=scene.step + 1)
    assert torch.equal(render_camera(scene, noisy).rgb, render_camera(scene, noisy).rgb)
    assert not torch.equal(render_camera(scene, noisy).rgb, render_camera(later, noisy).rgb)
    assert torch.equal(render_camera(scene, quiet).rgb, render_camera(later, quiet).rgb)
    assert torch.equal(render_camera(scene, noisy).depth_m, render_camera(scene, quiet).depth_m)
    difference = (render_camera(scene, noisy).rgb.double() - render_camera(scene, quiet).rgb.double())[0, 0]
    assert abs(float(difference.mean())) < 0.3 and 0.5 < float(difference.std()) < 8.0


def test_cameras_that_cannot_be_are_refused(make_scene):
    scene = make_scene(np.zeros((1, 1, 2)))
    for cameras, words in (
        ([camera(), camera(height=60)], "sizes"),
        ([camera(Mount(z_m=0.0))], "above the ground"),
        ([camera(height=2, width=5000)], "wide"),
    ):
        with pytest.raises(ConfigError, match=words):
            render_camera(scene, cameras)
