"""Lidar: exact ranges against independent ray casters, the range equation, and its noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.lidar.config import Lidar
from sensors.lidar.rays import DROP_SHARE, INTENSITY_RANGE_M
from sensors.lidar.render import GROUND_REFLECTIVITY, KOSCHMIEDER, REFLECTIVITY, THRESHOLD_REFLECTIVITY, render_lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.scene import Kind
from sensors.vehicle_shape import triangles

ELEVATIONS = tuple(np.radians(np.linspace(-25.0, 12.0, 24)))
EXACT = Lidar("exact", Mount(z_m=1.9), ELEVATIONS, columns=250, max_range_m=100.0, range_noise_m=0.0)


def rays_of(lidar):
    """Unit directions in the lidar's frame, (beams * columns, 3), from the words of its documentation."""
    azimuth = 2 * np.pi * (np.arange(lidar.columns) + 0.5) / lidar.columns
    elevation = np.array(lidar.elevations_rad)[:, None]
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation) + 0 * azimuth], -1)
    return rays.reshape(-1, 3)


def world_pose(scene, world, mount):
    heading, ego = float(scene.heading_rad[world, 0]), scene.position_m[world, 0].double().numpy()
    c, s = math.cos(heading), math.sin(heading)
    world_T_ego = np.array([[c, -s, 0, ego[0]], [s, c, 0, ego[1]], [0, 0, 1, 0], [0, 0, 0, 1]])
    return world_T_ego @ mount.ego_T_sensor()


def compare(scene, lidar, cast, shift_m=0.0):
    """Range errors [m] of every ray of world 0 against a ray caster, the share that hits a vehicle, and label agreement."""
    frames = render_lidar(scene, [lidar])
    pose = world_pose(scene, 0, lidar.mount)
    vertices, faces, actors = triangles(scene, 0)
    t, number = cast(vertices + (shift_m, 0.0, 0.0), faces, pose[:3, 3], rays_of(lidar) @ pose[:3, :3].T)
    label = np.where(number >= 0, np.append(actors, -1)[number], -1)
    seen = t < lidar.max_range_m
    t, label = np.where(seen, t, 0.0), np.where(seen, label, -1)
    got, got_label = frames.range_m[0, 0].numpy().ravel().astype(np.float64), frames.actor[0, 0].numpy().ravel()
    assert (frames.hit[0, 0].numpy().ravel() == (got > 0)).all()
    return np.abs(got - t), (label >= 0).mean(), (label == got_label).mean()


def tilted(seed):
    """A lidar somewhere on the roof, pitched and rolled by up to 15 degrees."""
    g = np.random.default_rng(seed + 1000)
    mount = Mount(
        g.uniform(-1, 1), g.uniform(-0.5, 0.5), g.uniform(1.2, 2.5), g.uniform(-3, 3), g.uniform(-0.26, 0.26), g.uniform(-0.26, 0.26)
    )
    return replace(EXACT, mount=mount, columns=int(g.choice([128, 250, 77])))


def check_scenes(seeds, random_scene, cast, x_m=0.0):
    errors, hits, labels = [], [], []
    for seed in seeds:
        error, hit, label = compare(random_scene(seed, x_m=x_m), tilted(seed), cast)
        errors.append(error)
        hits.append(hit)
        labels.append(label)
    errors = np.concatenate(errors)
    assert np.mean(hits) > 0.03  # vehicles are really looked at
    assert (errors > 1e-3).mean() < 2e-4, f"{(errors > 1e-3).sum()} of {errors.size} rays are off, worst {errors.max():.4f} m"
    assert np.mean(labels) > 1 - 2e-4


def test_ranges_equal_a_brute_force_ray_caster(random_scene, cast_by_hand):
    check_scenes(range(20), random_scene, cast_by_hand)


def test_ranges_equal_a_brute_force_ray_caster_10_km_from_the_origin(random_scene, cast_by_hand):
    check_scenes(range(20, 26), random_scene, cast_by_hand, x_m=10_000.0)


def test_ranges_equal_open3d(random_scene, cast_by_open3d):
    check_scenes(range(100, 130), random_scene, cast_by_open3d)


@pytest.mark.slow
def test_ranges_equal_open3d_on_200_scenes(random_scene, cast_by_open3d):
    check_scenes(range(200, 400), random_scene, cast_by_open3d)


def test_the_oracle_sees_vehicles_that_moved_by_2_cm(random_scene, cast_by_hand):
    errors = np.concatenate([compare(random_scene(seed), tilted(seed), cast_by_hand, shift_m=0.02)[0] for seed in range(5)])
    assert (errors > 1e-3).mean() > 0.02


def test_a_ray_straight_ahead_measures_the_gap_to_the_car_ahead(make_scene):
    lidar = replace(EXACT, elevations_rad=(math.radians(-1.0), 0.0), columns=4, mount=Mount(z_m=0.4, yaw_rad=-math.pi / 4))
    frames = render_lidar(make_scene([[[0, 0], [30, 0]]]), [lidar])
    rear = 30 - 2.5 * (1 - (1 - 0.97) * 0.4 / (0.56 * 1.5))  # the body's rear leans in by 3 % of half its length up to the waist
    assert frames.actor[0, 0, 1].tolist() == [1, -1, -1, -1]
    assert frames.range_m[0, 0, 1, 0].item() == pytest.approx(rear, abs=1e-4)


def test_the_ground_is_met_at_height_over_sine(make_scene):
    frames = render_lidar(make_scene([[[0, 0]]]), [EXACT])
    expected = np.where(np.array(ELEVATIONS) < 0, -1.9 / np.sin(ELEVATIONS), np.inf)
    expected = np.where(expected < EXACT.max_range_m, expected, 0.0)
    np.testing.assert_allclose(frames.range_m[0, 0].numpy(), np.broadcast_to(expected[:, None], (24, 250)), rtol=1e-5)
    assert (frames.actor == -1).all()


def test_the_ego_is_not_seen_by_its_own_lidar(make_scene):
    low = replace(EXACT, mount=Mount(x_m=-4.0, z_m=1.0))  # behind the ego's car, which would fill the view ahead
    assert (render_lidar(make_scene([[[0, 0]]]), [low]).actor == -1).all()


def test_a_lidar_inside_a_vehicle_does_not_see_it(make_scene):
    inside = render_lidar(make_scene([[[0, 0], [0.5, 0]]], kind=int(Kind.OBSTACLE)), [replace(EXACT, mount=Mount(z_m=0.5))])
    assert (inside.actor == -1).all() and bool(inside.hit.any())


def test_intensity_follows_the_range_equation(make_scene):
    lidar = replace(EXACT, elevations_rad=(-0.002, 0.0), columns=720, mount=Mount(z_m=0.8), max_range_m=200.0)
    for visibility in (20_000.0, 300.0):
        for x in (20.0, 60.0, 120.0):
            scene = make_scene([[[0, 0], [x, 0]]], kind=int(Kind.OBSTACLE), heading=[[0.0, 0.3]])
            scene.weather.visibility_m.fill_(visibility)
            frames = render_lidar(scene, [lidar])
            column = int((frames.actor[0, 0, 1] == 1).nonzero()[0, 0])
            distance = frames.range_m[0, 0, 1, column].double().item()
            azimuth = 2 * math.pi * (column + 0.5) / 720
            facing = max(abs(math.cos(azimuth - 0.3)), 0)  # the rear face; its normal is turned by the heading
            side = abs(math.sin(azimuth - 0.3))
            law = REFLECTIVITY[Kind.OBSTACLE, 0] * (INTENSITY_RANGE_M / distance) ** 2 * math.exp(-2 * KOSCHMIEDER / visibility * distance)
            got = frames.intensity[0, 0, 1, column].item()
            assert min(abs(got / (law * cosine) - 1) for cosine in (facing, side)) < 1e-4


def test_ground_intensity_falls_with_range_cubed(make_scene):
    frames = render_lidar(make_scene([[[0, 0]]]), [EXACT])
    distance, got = frames.range_m[0, 0, :, 0].double().numpy(), frames.intensity[0, 0, :, 0].numpy()
    hit = distance > 0
    law = GROUND_REFLECTIVITY * 1.9 * INTENSITY_RANGE_M**2 / distance[hit] ** 3 * np.exp(-2 * KOSCHMIEDER / 20_000 * distance[hit])
    np.testing.assert_allclose(got[hit], np.minimum(law, 1.0), rtol=1e-4)


def noisy_pair(random_scene, sigma=0.05, worlds=40):
    scene = random_scene(7, worlds=worlds)
    exact = replace(EXACT, mount=Mount(z_m=1.9, pitch_rad=0.05, roll_rad=0.03))
    return scene, render_lidar(scene, [replace(exact, range_noise_m=sigma)]), render_lidar(scene, [exact])


def test_range_noise_is_normal_with_the_given_deviation(random_scene):
    _, noisy, exact = noisy_pair(random_scene)
    clear = noisy.hit & (exact.range_m < 90.0)
    z = ((noisy.range_m - exact.range_m)[clear].double() / 0.05).numpy()
    assert z.size > 50_000
    assert abs(z.mean()) * math.sqrt(z.size) < 4.0
    assert abs(z.var() - 1) * math.sqrt(z.size / 2) < 4.0
    assert abs((z**4).mean() - 3) * math.sqrt(z.size / 96) < 4.0


def test_strong_returns_are_lost_at_the_drop_rate_and_weak_ones_by_power(random_scene):
    _, noisy, exact = noisy_pair(random_scene)
    power = exact.intensity.double() / INTENSITY_RANGE_M**2 * EXACT.max_range_m**2 / THRESHOLD_REFLECTIVITY
    strong = exact.hit & (power > 1.51)
    lost = (~noisy.hit[strong]).double().mean().item()
    assert abs(lost - DROP_SHARE) < 4 * math.sqrt(DROP_SHARE / int(strong.sum())) + 1e-5
    assert not bool((noisy.hit & (power < 0.499)).any())
    middle = exact.hit & (power > 0.5) & (power < 1.5)
    expected = (power[middle] - 0.5) * (1 - DROP_SHARE)
    assert int(middle.sum()) > 1000
    assert abs((noisy.hit[middle].double() - expected).sum()) < 4 * math.sqrt((expected * (1 - expected)).sum())
    assert not bool((noisy.hit & ~exact.hit).any())


def test_noise_differs_between_steps_seeds_and_sensors_and_repeats(random_scene):
    scene = random_scene(3)
    noisy = replace(EXACT, range_noise_m=0.05)
    first = render_lidar(scene, [noisy, replace(noisy, name="second")])
    assert torch.equal(first.range_m, render_lidar(scene, [noisy, replace(noisy, name="second")]).range_m)
    assert not torch.equal(first.range_m[:, 0], first.range_m[:, 1])
    for changed in (replace(scene, step=scene.step + 1), replace(scene, episode_seed=scene.episode_seed + 1)):
        assert not torch.equal(first.range_m[:, 0], render_lidar(changed, [noisy]).range_m[:, 0])


def test_misses_are_zero_everywhere(random_scene):
    frames = render_lidar(random_scene(5, worlds=4), RIGS["micro"].lidars)
    missed = ~frames.hit
    assert bool(missed.any()) and bool(frames.hit.any())
    assert (frames.range_m[missed] == 0).all() and (frames.intensity[missed] == 0).all() and (frames.actor[missed] == -1).all()
    assert (frames.range_m[frames.hit] > 0).all() and (frames.range_m <= RIGS["micro"].lidars[0].max_range_m).all()
    assert ((frames.intensity >= 0) & (frames.intensity <= 1)).all()
