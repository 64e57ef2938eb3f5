"""Lidar: exact ranges against independent ray casters, the range equation, and its noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.carla import carla_lidar
from sensors.errors import ConfigError
from sensors.lidar.air import FOG_RATIO_SR, KOSCHMIEDER, NEAREST_M, PULSE_M, reach_of
from sensors.lidar.config import Lidar
from sensors.lidar.detector import INTENSITY_RANGE_M
from sensors.lidar.materials import ASPHALT, GLASS, PLATE, REFLECTIVITY, SNOW, WET_SHARE
from sensors.lidar.points import points
from sensors.lidar.rays import AIR, GROUND
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.scene import Kind
from sensors.vehicle_shape import triangles

ELEVATIONS = tuple(np.radians(np.linspace(-25.0, 12.0, 24)))
EXACT = Lidar("exact", Mount(z_m=1.9), ELEVATIONS, columns=250, max_range_m=100.0, noise=False)


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
    law = ASPHALT * 1.9 * INTENSITY_RANGE_M**2 / distance[hit] ** 3 * np.exp(-2 * KOSCHMIEDER / 20_000 * distance[hit])
    np.testing.assert_allclose(got[hit], np.minimum(law, 1.0), rtol=1e-4)


# everything that says 'noise' is off, but for what a test sets
QUIET = {
    "noise": True,
    "range_noise_m": 0.0,
    "weak_noise_m": 0.0,
    "threshold_reflectivity": 0.0,
    "dropoff_rate": 0.0,
    "azimuth_noise_rad": 0.0,
    "elevation_noise_rad": 0.0,
    "air_returns": False,
}


def noisy_pair(random_scene, worlds=40, **terms):
    scene = random_scene(7, worlds=worlds)
    exact = replace(EXACT, mount=Mount(z_m=1.9, pitch_rad=0.05, roll_rad=0.03))
    return scene, render_lidar(scene, [replace(exact, **(QUIET | terms))]), render_lidar(scene, [exact])


def test_a_detector_with_every_term_at_zero_is_the_ideal_one(random_scene):
    _, quiet, exact = noisy_pair(random_scene, worlds=3)
    torch.testing.assert_close(quiet.range_m, exact.range_m, rtol=1e-6, atol=0.0)
    assert torch.equal(quiet.actor, exact.actor) and torch.equal(quiet.hit, exact.hit)


def test_range_noise_is_normal_with_the_given_deviation(random_scene):
    _, noisy, exact = noisy_pair(random_scene, range_noise_m=0.05)
    clear = noisy.hit & (exact.range_m < 90.0)
    z = ((noisy.range_m - exact.range_m)[clear].double() / 0.05).numpy()
    assert z.size > 50_000
    assert abs(z.mean()) * math.sqrt(z.size) < 4.0
    assert abs(z.var() - 1) * math.sqrt(z.size / 2) < 4.0
    assert abs((z**4).mean() - 3) * math.sqrt(z.size / 96) < 4.0
    beyond = 0.0026998 * z.size
    assert abs((np.abs(z) > 3.0).sum() - beyond) < 4 * math.sqrt(beyond)


def power_over_threshold(exact, reflectivity):
    return exact.intensity.double() / INTENSITY_RANGE_M**2 * EXACT.max_range_m**2 / reflectivity


def test_range_noise_grows_as_power_falls(random_scene):
    _, noisy, exact = noisy_pair(random_scene, range_noise_m=0.01, weak_noise_m=0.2, threshold_reflectivity=0.1, dropoff_at_threshold=False)
    power = power_over_threshold(exact, 0.1)
    for low, high in ((1.0, 2.0), (2.0, 5.0), (5.0, 20.0)):
        chosen = noisy.hit & (power > low) & (power < high) & (exact.range_m < 95.0) & (exact.intensity < 1.0)
        expected = torch.sqrt(0.01**2 + (0.2 / power[chosen]) ** 2)
        z = ((noisy.range_m - exact.range_m)[chosen].double() / expected).numpy()
        assert z.size > 500
        assert abs(z.var() - 1) * math.sqrt(z.size / 2) < 4.0, (low, z.var())


def test_strong_returns_are_lost_at_the_drop_rate_and_weak_ones_by_power(random_scene):
    rate = 0.02
    _, noisy, exact = noisy_pair(random_scene, dropoff_rate=rate, threshold_reflectivity=0.3)
    power = power_over_threshold(exact, 0.3)
    strong = exact.hit & (power > 1.51)
    lost = (~noisy.hit[strong]).double().mean().item()
    assert abs(lost - rate) < 4 * math.sqrt(rate / int(strong.sum())) + 2e-5
    assert not bool((noisy.hit & (power < 0.499)).any())
    middle = exact.hit & (power > 0.5) & (power < 1.5)
    expected = (power[middle] - 0.5) * (1 - rate)
    assert int(middle.sum()) > 1000
    assert abs((noisy.hit[middle].double() - expected).sum()) < 4 * math.sqrt((expected * (1 - expected)).sum()) + 0.02
    assert not bool((noisy.hit & ~exact.hit).any())


def test_noise_differs_between_steps_seeds_and_sensors_and_repeats(random_scene):
    scene = random_scene(3)
    noisy = replace(EXACT, noise=True)
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


def rolling_errors(scene, lidar, cast):
    """Range errors [m] of every ray of a rolling scan of world 0, against a ray caster that stops the world at each column's time."""
    frames, rays = render_lidar(scene, [lidar]), rays_of(lidar).reshape(lidar.beams, lidar.columns, 3)
    errors = []
    for column, time in enumerate(lidar.column_times_s()):
        then = replace(
            scene, position_m=scene.position_m + scene.velocity_mps * time, heading_rad=scene.heading_rad + scene.yaw_rate_radps * time
        )
        pose = world_pose(then, 0, lidar.mount)
        vertices, faces, _ = triangles(then, 0)
        t, _ = cast(vertices, faces, pose[:3, 3], rays[:, column] @ pose[:3, :3].T)
        errors.append(np.abs(frames.range_m[0, 0, :, column].numpy() - np.where(t < lidar.max_range_m, t, 0.0)))
    return np.concatenate(errors), frames


def test_a_rolling_scan_equals_brute_force_at_each_columns_time(random_scene, cast_by_hand):
    scene = random_scene(31, actors=12, spread_m=20.0)
    lidar = replace(EXACT, columns=48, sweep_s=0.1, materials=False, mount=Mount(0.8, 0.2, 1.9, 0.4, 0.06, -0.04))
    errors, frames = rolling_errors(scene, lidar, cast_by_hand)
    assert (frames.actor >= 0).float().mean() > 0.02
    assert (errors > 1e-3).mean() < 1e-3, f"{(errors > 1e-3).sum()} of {errors.size}, worst {errors.max()}"
    still = render_lidar(scene, [replace(lidar, sweep_s=0.0)])
    assert ((still.range_m - frames.range_m).abs() > 0.05).float().mean() > 0.02  # motion matters here


@pytest.mark.parametrize(("z_m", "pitch_rad"), [(1.0, 0.06), (2.2, 0.06), (5.0, 0.9)])
def test_a_rolling_scan_that_passes_the_planes_of_near_cars_equals_brute_force(make_scene, cast_by_hand, z_m, pitch_rad):
    """The sensor goes from one side of a face to the other within the sweep, and from above sees four sides at once."""
    near = [[[0, 0], [2.5, 3.0], [-2.6, -3.1], [6.0, 0.1], [-0.5, 4.5]]]
    velocity, kind = [[[20, 1], [-5, 0], [30, -1], [0, 0], [45, 2]]], [[0, 0, 0, 1, 2]]
    scene = make_scene(near, heading=[[0.2, 0.0, 0.1, 0.2, -0.1]], velocity=velocity, yaw_rate=[[0.8, -0.5, 0.3, 0.0, 1.0]], kind=kind)
    lidar = replace(EXACT, columns=64, sweep_s=0.1, materials=False, mount=Mount(0.3, 0.1, z_m, 0.4, pitch_rad, -0.04))
    errors, frames = rolling_errors(scene, lidar, cast_by_hand)
    assert (frames.actor >= 0).float().mean() > 0.05
    assert (errors > 1e-3).mean() < 1e-3, f"{(errors > 1e-3).sum()} of {errors.size}, worst {errors.max()}"


def test_points_lie_on_their_actors_or_on_the_ground(random_scene):
    scene = random_scene(33, worlds=3)
    lidar = replace(EXACT, mount=Mount(0.5, 0.1, 1.9, 0.3, 0.05, 0.02), sweep_s=0.0)
    cloud = points(render_lidar(scene, [lidar]), lidar)
    for world in range(3):
        heading, ego = scene.heading_rad[world, 0], scene.position_m[world, 0]
        turn = torch.tensor([[heading.cos(), -heading.sin()], [heading.sin(), heading.cos()]])
        there = cloud.xyz_m[world].double()
        xy, actor = there[:, :2] @ turn.mT + ego, cloud.actor[world].long()
        ground = cloud.mask[world] & (actor == GROUND)
        assert there[ground, 2].abs().max() < 1e-3
        hit = actor >= 0
        away, angle = xy[hit] - scene.position_m[world, actor[hit]], scene.heading_rad[world, actor[hit]]
        along = away[:, 0] * angle.cos() + away[:, 1] * angle.sin()
        across = away[:, 1] * angle.cos() - away[:, 0] * angle.sin()
        size = scene.size_m[world, actor[hit]]
        assert ((along.abs() < size[:, 0] / 2 + 1e-3) & (across.abs() < size[:, 1] / 2 + 1e-3)).all()
        assert ((there[hit, 2] > -1e-3) & (there[hit, 2] < size[:, 2] + 1e-3)).all()
    assert cloud.ring.max() == lidar.beams - 1 and not bool(cloud.time_s.any())
    with pytest.raises(ConfigError, match="expected number 1"):
        points(render_lidar(scene, [lidar]), lidar, number=1)


def test_fog_returns_follow_an_exponential_path_and_are_labelled(make_scene):
    scene = make_scene(np.zeros((400, 1, 2)))
    scene.weather.visibility_m.fill_(60.0)
    sky = replace(
        EXACT, elevations_rad=(0.1, 0.2), **(QUIET | {"air_returns": True, "threshold_reflectivity": 0.1, "dropoff_at_threshold": False})
    )
    frames = render_lidar(scene, [sky])
    assert (frames.actor[frames.hit] == AIR).all() and (frames.actor[~frames.hit] == GROUND).all()
    alpha = KOSCHMIEDER / 60.0
    reflectivity, threshold = math.pi * PULSE_M / FOG_RATIO_SR * alpha, 0.1 / sky.max_range_m**2
    reach = reach_of(reflectivity, alpha, threshold, sky.max_range_m)
    assert reflectivity * math.exp(-2 * alpha * reach) / reach**2 == pytest.approx(threshold, rel=1e-6)
    share, rays = 1.0 - math.exp(-alpha * (reach - NEAREST_M)), frames.hit.numel()
    assert abs(frames.hit.double().mean().item() - share) < 4 * math.sqrt(share * (1 - share) / rays)
    z = np.sort((1.0 - np.exp(-alpha * (frames.range_m[frames.hit].double().numpy() - NEAREST_M))) / share)  # uniform if the path is right
    assert np.abs(z - (np.arange(z.size) + 0.5) / z.size).max() < 1.95 / math.sqrt(z.size)  # Kolmogorov and Smirnov, 0.1 %


def test_rain_and_snow_return_more_the_more_falls_and_clear_air_nothing(make_scene):
    lidar = replace(EXACT, elevations_rad=(0.1, 0.2), noise=True)
    shares = {}
    for name, weather in {
        "clear": {},
        "rain 5": {"rain_mm_per_h": 5.0},
        "rain 40": {"rain_mm_per_h": 40.0},
        "snow 1": {"snow_mm_per_h": 1.0},
        "snow 4": {"snow_mm_per_h": 4.0},
    }.items():
        scene = make_scene(np.zeros((60, 1, 2)))
        shares[name] = render_lidar(scene.with_weather(scene.weather.changed(**weather)), [lidar]).hit.double().mean().item()
    assert shares["clear"] < 1e-3 < shares["rain 5"] < shares["rain 40"] < 0.2
    assert shares["rain 5"] < shares["snow 1"] < shares["snow 4"] < 0.5


def test_plates_are_brighter_and_glass_darker_than_paint(make_scene):
    elevations = tuple(np.radians(np.linspace(-10.0, 2.0, 120)).tolist())
    lidar = replace(EXACT, elevations_rad=elevations, columns=3600, mount=Mount(z_m=1.4))
    scene = make_scene([[[0, 0], [25, 0]]])
    rich, plain = (render_lidar(scene, [replace(lidar, materials=m)]) for m in (True, False))
    assert torch.equal(rich.range_m, plain.range_m) and torch.equal(rich.actor, plain.actor)
    cloud = points(rich, lidar)
    ratio = (rich.intensity / plain.intensity.clamp(min=1e-9)).reshape(1, -1)
    y, z = cloud.xyz_m[..., 1], cloud.xyz_m[..., 2]
    car = cloud.actor == 1
    plate = car & (y.abs() < 0.2) & (z > 0.48) & (z < 0.53)
    glass = car & (y.abs() < 0.4) & (z > 1.0) & (z < 1.25)
    assert int(plate.sum()) > 5 and int(glass.sum()) > 20
    torch.testing.assert_close(ratio[plate], torch.full_like(ratio[plate], PLATE / 0.5), rtol=1e-3, atol=0.0)
    torch.testing.assert_close(ratio[glass], torch.full_like(ratio[glass], GLASS / 0.25), rtol=1e-3, atol=0.0)


def test_wet_road_is_darker_and_snow_on_it_brighter(make_scene):
    def ground(**weather):
        scene = make_scene([[[0, 0]]])
        return render_lidar(scene.with_weather(scene.weather.changed(**weather)), [EXACT]).intensity[0, 0, 12].mean().item()

    assert ground(wetness=1.0) == pytest.approx(WET_SHARE * ground(), rel=1e-4)
    assert ground(snow_cover=1.0) == pytest.approx(SNOW / ASPHALT * ground(), rel=1e-4)


def test_carlas_lidar_fades_and_drops_by_carlas_rules(random_scene):
    scene = random_scene(35, worlds=60)
    lidar = carla_lidar("carla", range=60.0, points_per_second=112_000, dropoff_general_rate=0.2, atmosphere_attenuation_rate=0.02)
    assert (lidar.beams, lidar.columns) == (32, 350)
    frames, exact = render_lidar(scene, [lidar]), render_lidar(scene, [replace(lidar, noise=False)])
    law = torch.exp(-0.02 * exact.range_m.double())
    torch.testing.assert_close(exact.intensity[exact.hit].double(), law[exact.hit], rtol=1e-5, atol=0.0)
    kept = 0.8 * torch.where(law > 0.8, 1.0, 0.6 + 0.5 * law)[exact.hit]
    assert abs((frames.hit[exact.hit].double() - kept).sum()) < 4 * math.sqrt((kept * (1 - kept)).sum())
    torch.testing.assert_close(frames.range_m[frames.hit], exact.range_m[frames.hit])
    with pytest.raises(ConfigError, match="horizontal_fov is 90"):
        carla_lidar("narrow", horizontal_fov=90.0)


@pytest.mark.parametrize("name", ["range_noise_m", "dropoff_rate", "sweep_s", "azimuth_noise_rad", "max_range_m"])
def test_settings_that_cannot_be_are_refused_by_name(name):
    with pytest.raises(ConfigError, match=name):
        replace(EXACT, **{name: float("nan")})


def test_a_lidar_far_above_sees_all_sides(random_scene, cast_by_hand):
    error, hit, _ = compare(random_scene(3), replace(EXACT, mount=Mount(z_m=12.0, pitch_rad=0.3), max_range_m=80.0), cast_by_hand)
    assert hit > 0.01 and (error > 1e-3).mean() < 2e-4


@pytest.mark.parametrize("terms", [{}, {"sweep_s": 0.1}, {"columns": 77}])
def test_a_world_alone_equals_itself_among_many_in_rain(random_scene, terms):
    scene = random_scene(41, worlds=32)
    scene = scene.with_weather(scene.weather.changed(rain_mm_per_h=20.0, visibility_m=300.0))
    lidar = replace(EXACT, noise=True, **terms)
    many = render_lidar(scene, [lidar])
    for world in (0, 13, 31):
        alone = render_lidar(scene.select([world]), [lidar])
        assert all(torch.equal(getattr(alone, n)[0], getattr(many, n)[world]) for n in ("range_m", "intensity", "hit", "actor"))
