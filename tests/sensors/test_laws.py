"""The laws of the three senses on cases drawn at random: slopes and rates against their formulae, moments and tails of every noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.finish import READ_NOISE, SHOT_NOISE
from sensors.camera.light import CEILING, GAIN, KNEE, KOSCHMIEDER, light_table, radiance_of
from sensors.camera.render import render_camera
from sensors.frames import RADAR_FEATURES, Origin
from sensors.lidar.air import KOSCHMIEDER as LIDAR_KOSCHMIEDER
from sensors.lidar.air import rain_extinction, snow_extinction
from sensors.lidar.config import Lidar
from sensors.lidar.detector import INTENSITY_RANGE_M
from sensors.lidar.materials import ASPHALT, REFLECTIVITY
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.render import render_radar
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Kind
from sensors.weather import Weather

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
POINT = (0.02, 0.02, 1.0)
Z = 4.5
"""Deviations of an interval: a right law falls out of one in 150,000."""


def power_db(frames):
    """Total SNR of what is seen in each world, (B,), in decibels."""
    return 10 * torch.log10((10 ** (frames.detections[:, 0, :, SNR].double() / 10) * frames.mask[:, 0]).sum(-1)).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_radar_snr_falls_by_40_db_a_decade_at_any_bearing(make_scene, seed):
    g = np.random.default_rng(seed)
    bearing, kind = g.uniform(-0.9, 0.9), int(g.integers(0, 3))
    radar = Radar("r", Mount(0.0, 0.0, 0.5), noise=False, max_range_m=250.0, snr_at_1m_db=g.uniform(85.0, 110.0), elevation_beam_rad=6.0)
    away = np.geomspace(4.0, 240.0, 20)
    place = np.stack([np.zeros((20, 2)), away[:, None] * (math.cos(bearing), math.sin(bearing))], 1)
    scene = make_scene(place, heading=[[0.0, g.uniform(-3.0, 3.0)]] * 20, size=POINT, kind=kind)
    frames = render_radar(scene, [radar])
    slope = np.polyfit(np.log10(frames.detections[:, 0, 0, RANGE].numpy()), power_db(frames), 1)[0]
    assert slope == pytest.approx(-40.0, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_radar_detects_by_swerling_1_and_false_alarms_are_poisson(make_scene, seed):
    """Binomial and Poisson intervals at random threshold, range and bearing."""
    g, worlds = np.random.default_rng(10 + seed), 6_000
    bearing, away = g.uniform(-0.7, 0.7), g.uniform(60.0, 150.0)
    radar = Radar("r", Mount(0.0, 0.0, 0.5), 64, max_range_m=180.0, false_alarm_rate=10 ** g.uniform(-7.5, -6.3), ghosts=False)
    place = [[[0.0, 0.0], [away * math.cos(bearing), away * math.sin(bearing)]]]
    scene = make_scene(np.tile(place, (worlds, 1, 1)), size=POINT, velocity=[[[20, 0], [23, 0]]], seed=seed + 3)
    radar = replace(
        radar,
        snr_at_1m_db=radar.snr_at_1m_db
        + g.uniform(8.0, 15.0)
        - power_db(render_radar(scene.select([0]), [replace(radar, noise=False)]))[0],
    )
    snr = 10 ** (power_db(render_radar(scene.select([0]), [replace(radar, noise=False)]))[0] / 10)
    law = radar.false_alarm_rate ** (1 / (1 + snr))
    frames = render_radar(scene, [radar])
    found = (frames.origin == Origin.TARGET).any((1, 2)).double().mean().item()
    assert 0.1 < law < 0.9 and abs(found - law) < Z * math.sqrt(law * (1 - law) / worlds), (found, law)
    alarms, mean = int((frames.origin == Origin.FALSE_ALARM).sum()), worlds * radar.mean_false_alarms
    assert mean > 100 and abs(alarms - mean) < Z * math.sqrt(mean), (alarms, mean)


@pytest.mark.parametrize("seed", range(3))
def test_doppler_is_the_numeric_rate_of_change_of_the_range(make_scene, seed):
    """From three renders, a moment apart, of cars so small that each is one point; both cars turn and the radar sits off the middle."""
    g, worlds, dt = np.random.default_rng(20 + seed), 60, 2e-3
    radar = Radar("r", Mount(2.0, 0.7, 0.6, 0.5, 0.05, -0.04), noise=False, horizontal_fov_rad=2 * math.pi, max_range_m=400.0)
    place, speed = g.uniform(-40, 40, (worlds, 2, 2)) + [[[0, 0], [60, 20]]], g.normal(0, 12, (worlds, 2, 2))
    heading, turning = g.uniform(-3, 3, (worlds, 2)), g.normal(0, 0.4, (worlds, 2))

    def at(t):
        scene = make_scene(place + t * speed, heading=heading + t * turning, velocity=speed, yaw_rate=turning, size=(1e-3, 1e-3, 1.0))
        frames = render_radar(scene, [radar])
        assert frames.mask[:, 0, 0].all()
        return frames.detections[:, 0, 0].double().numpy()

    before, now, after = at(-dt), at(0.0), at(dt)
    np.testing.assert_allclose(now[:, DOPPLER], (after[:, RANGE] - before[:, RANGE]) / (2 * dt), atol=0.02)


ONE_BEAM = Lidar("l", Mount(0.0, 0.0, 0.8, yaw_rad=-math.pi / 4), (0.0,), 4, 300.0, noise=False)  # its first column looks ahead


def head_on(make_scene, away, kind=Kind.OBSTACLE, **weather):
    """Boxes whose rear faces stand at ranges (B,) straight ahead, in weather of one value or one a world."""
    place = np.stack([np.zeros((len(away), 2)), np.stack((away + 2.5, 0 * away), -1)], 1)
    clear = Weather.clear(len(away))
    values = {name: torch.as_tensor(np.broadcast_to(value, len(away)).copy(), dtype=torch.float32) for name, value in weather.items()}
    return replace(make_scene(place, kind=int(kind)), weather=replace(clear, **values))


def test_lidar_power_falls_with_squared_range_and_the_airs_loss(make_scene):
    g = np.random.default_rng(30)
    away, visibility = g.uniform(12.0, 250.0, 400), g.uniform(60.0, 20_000.0, 400)
    frames = render_lidar(head_on(make_scene, away, visibility_m=visibility), [ONE_BEAM])
    law = REFLECTIVITY[Kind.OBSTACLE, 0] * (INTENSITY_RANGE_M / away) ** 2 * np.exp(-2 * LIDAR_KOSCHMIEDER / visibility * away)
    np.testing.assert_allclose(frames.range_m[:, 0, 0, 0], away, rtol=1e-5)
    np.testing.assert_allclose(frames.intensity[:, 0, 0, 0], law, rtol=2e-4)


def test_lidar_power_falls_with_the_cosine_of_incidence(make_scene):
    heading = np.linspace(-0.9, 0.9, 37)
    place = np.tile([[[0.0, 0.0], [60.0, 0.0]]], (37, 1, 1))
    scene = make_scene(place, heading=np.stack((0 * heading, heading), -1), kind=int(Kind.OBSTACLE), size=(4.0, 40.0, 2.0))
    frames = render_lidar(scene, [ONE_BEAM])
    away = 60.0 - 2.0 / np.cos(heading)
    clear = np.exp(-2 * LIDAR_KOSCHMIEDER / 20_000.0 * away)
    np.testing.assert_allclose(frames.range_m[:, 0, 0, 0], away, rtol=1e-5)
    law = REFLECTIVITY[Kind.OBSTACLE, 0] * np.cos(heading) * (INTENSITY_RANGE_M / away) ** 2 * clear
    np.testing.assert_allclose(frames.intensity[:, 0, 0, 0], law, rtol=2e-4)


@pytest.mark.parametrize(
    ("name", "rates", "law"), [("rain_mm_per_h", (1, 5, 20, 80), rain_extinction), ("snow_mm_per_h", (0.5, 2, 6), snow_extinction)]
)
def test_rain_and_snow_take_light_by_their_extinction(make_scene, name, rates, law):
    away = np.array([20.0, 40.0, 80.0, 160.0])
    clear = render_lidar(head_on(make_scene, away, visibility_m=1e6), [ONE_BEAM]).intensity[:, 0, 0, 0].double().numpy()
    for rate in rates:
        wet = render_lidar(head_on(make_scene, away, visibility_m=1e6, **{name: rate}), [ONE_BEAM]).intensity[:, 0, 0, 0].double().numpy()
        lost = -np.log(wet / clear) / (2 * away) + LIDAR_KOSCHMIEDER / 1e6
        np.testing.assert_allclose(lost, law(float(rate)), rtol=1e-3)


def test_range_noise_has_its_moments_and_tails_at_every_range(make_scene):
    """Mean, variance, kurtosis and the shares beyond 3 and 4 deviations, per range; the deviation grows as power falls."""
    lidar = Lidar(
        "l",
        Mount(z_m=1.9),
        tuple(-np.arcsin(1.9 / np.array([10.0, 20.0, 35.0, 60.0]))),
        2000,
        100.0,
        range_noise_m=0.03,
        weak_noise_m=0.05,
        threshold_reflectivity=0.004,
        dropoff_rate=0.0,
        dropoff_at_threshold=False,
        azimuth_noise_rad=0.0,
        elevation_noise_rad=0.0,
        air_returns=False,
    )
    scene = make_scene(np.zeros((60, 1, 2)), seed=5)
    noisy, exact = render_lidar(scene, [lidar]), render_lidar(scene.select([0]), [replace(lidar, noise=False)])
    for beam in range(4):
        away = exact.range_m[0, 0, beam, 0].double().item()
        power = ASPHALT * 1.9 / away**3 * math.exp(-2 * LIDAR_KOSCHMIEDER / 20_000.0 * away)
        sigma = math.hypot(0.03, 0.05 / (power * 100.0**2 / 0.004))
        chosen = noisy.hit[:, 0, beam]
        z = ((noisy.range_m[:, 0, beam][chosen].double() - away) / sigma).numpy()
        n = z.size
        assert n > 100_000 and abs(z.mean()) < Z / math.sqrt(n), (away, z.mean())
        assert abs(z.var() - 1) < Z * math.sqrt(2 / n) and abs((z**4).mean() - 3) < Z * math.sqrt(96 / n), (away, z.var())
        for beyond, share in ((3.0, 2.6998e-3), (4.0, 6.3342e-5)):
            count = int((np.abs(z) > beyond).sum())
            assert abs(count - share * n) < Z * math.sqrt(share * n), (away, beyond, count, share * n)


def lane_map():
    return RoadMap.build([Lane(chain((-100.0, 0.0), 0.0, [(900.0, 0.0)]), 60.0, Line.NONE, Line.NONE, 30.0, "road", 0)])


@pytest.mark.parametrize("visibility_m", [35.0, 60.0, 110.0])
def test_contrast_of_the_road_falls_by_koschmieders_law(make_scene, visibility_m):
    """Slope of the logarithm of the contrast with the airlight over the path, from 12 m to where it is a tenth."""
    scene = replace(make_scene(np.zeros((1, 1, 2))), road=lane_map()).with_weather(Weather.clear(1).changed(visibility_m=visibility_m))
    camera = Camera("c", Mount(z_m=2.0), 480, 320, math.radians(50.0), noise=False)
    frames = render_camera(scene, [camera])
    bright, depth = radiance_of(frames.rgb[0, 0].numpy()).mean(0)[:, 130:190].mean(1), frames.depth_m[0, 0, :, 160].numpy()
    air = bright[242]  # just below the horizon: airlight alone
    path = np.hypot(depth, 2.0)
    rows = (depth > 12.0) & (path < visibility_m * math.log(10.0) / KOSCHMIEDER)
    slope = np.polyfit(path[rows], np.log(np.abs(1.0 - bright[rows] / air)), 1)[0]
    assert rows.sum() > 5 and slope == pytest.approx(-KOSCHMIEDER / visibility_m, rel=0.1)


@pytest.mark.parametrize("weather", ["noon", "dusk"])
def test_camera_noise_has_the_mean_and_variance_of_shot_and_read_noise(make_scene, weather):
    """Over 1,500 draws of each pixel, in radiance times exposure, with a byte's rounding taken into account."""
    worlds = 1_500
    scene = replace(make_scene(np.tile([[[0.0, 0.0], [9.0, 1.0]]], (worlds, 1, 1))), road=lane_map())
    scene = replace(scene, episode_seed=torch.zeros_like(scene.episode_seed), step=torch.arange(worlds))  # the seed says cars' colours
    scene = scene.with_weather(Weather.named(weather, worlds))
    camera = Camera("c", Mount(z_m=1.4, pitch_rad=0.05), 16, 24, math.radians(60.0))
    noisy = render_camera(scene, [camera]).rgb[:, 0].numpy()
    quiet = render_camera(scene.select([0]), [replace(camera, noise=False)]).rgb[0, 0].numpy()
    gain = float(light_table(scene.weather)[0, GAIN])
    light = radiance_of(quiet)
    byte = 255.0 * np.sqrt(CEILING * light / (light + KNEE))
    slope = 0.5 * byte * KNEE / (light * (light + KNEE))  # change of the byte with radiance
    noise = float(SHOT_NOISE) * gain * light + float(READ_NOISE) * gain**2
    variance, bend = noise * slope**2 + 1 / 12, -slope * (2 * light + 0.5 * KNEE) / (light * (light + KNEE))
    usable = (quiet > 40) & (quiet < 235) & (slope > 0)
    exposed = noisy.astype(np.float64)
    ratio = (exposed.var(0) / variance)[usable]
    assert usable.sum() > 500
    assert abs(np.median(ratio) - 1) < 0.05 and abs(ratio.mean() - 1) < 0.05, (np.median(ratio), ratio.mean())
    shift = (exposed.mean(0) - quiet - 0.5 * bend * noise)[usable]  # the display curve's bend takes a little
    assert abs(shift.mean()) < 0.1, (shift.mean(), (0.5 * bend * noise)[usable].mean())
