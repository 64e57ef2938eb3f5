"""Radar: analytic Doppler, the radar equation, Swerling-1 detection, false alarms, occlusion."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.errors import ConfigError
from sensors.frames import RADAR_FEATURES, Origin
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.physics import RAIN_ALPHA, RAIN_K
from sensors.radar.render import render_radar
from sensors.radar.targets import CLASS_DB, HEIGHT, PEAK, SCATTERER, SCATTERERS
from sensors.scene import Kind

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
EXACT = Radar("exact", Mount(2.4, 0.0, 0.5), detections=128, noise=False)
REAR_DBSM = SCATTERER[5, PEAK]
BEHIND = 2.4 + 2.5  # from a radar in the ego's nose to the rear of a 5 m car ahead, per metre of gap


def test_a_car_ahead_shows_its_rear_bumper_and_corners(make_scene):
    frames = render_radar(make_scene([[[0, 0], [40, 0]]], velocity=[[[20, 0], [25, 0]]]), [EXACT])
    seen = frames.detections[0, 0][frames.mask[0, 0]]
    assert len(seen) == 3 and (frames.actor[0, 0][frames.mask[0, 0]] == 1).all()
    bumper = seen[0]  # the strongest
    assert bumper[RANGE].item() == pytest.approx(40 - BEHIND, abs=1e-4)
    assert bumper[AZIMUTH].item() == pytest.approx(0.0, abs=1e-6)
    assert bumper[DOPPLER].item() == pytest.approx(5.0, abs=1e-5)
    assert bumper[RCS].item() == pytest.approx(REAR_DBSM, abs=1e-4)
    corners = seen[1:]
    np.testing.assert_allclose(corners[:, RANGE], math.hypot(40 - BEHIND, 1.0), rtol=1e-6)
    np.testing.assert_allclose(sorted(corners[:, AZIMUTH].tolist()), [-math.atan2(1, 40 - BEHIND), math.atan2(1, 40 - BEHIND)], rtol=1e-5)


def moved(scene, dt):
    """The scene a moment later: every body drives and turns at constant rates."""
    return replace(scene, position_m=scene.position_m + dt * scene.velocity_mps, heading_rad=scene.heading_rad + dt * scene.yaw_rate_radps)


def by_place(frames):
    """Exact detections of world 0 in the order of actor and azimuth, so that two instants match up."""
    mask = frames.mask[0, 0]
    rows, actor = frames.detections[0, 0][mask].double().numpy(), frames.actor[0, 0][mask].numpy()
    order = np.lexsort((rows[:, RCS], actor))
    return rows[order], actor[order]


def scatterers_by_hand(scene, radar):
    """Range of all scatterers of every actor in world 0 from the radar, (A, 12), float64."""
    ego, heading = scene.position_m[0, 0].numpy(), float(scene.heading_rad[0, 0])
    turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
    origin = np.append(ego + turn @ (radar.mount.x_m, radar.mount.y_m), radar.mount.z_m)
    corners, plates = [(1, 1), (1, -1), (-1, 1), (-1, -1)], [(1, 0), (-1, 0), (0, 1), (0, -1)]
    places = np.array([*corners, *plates, (0.6, 1), (0.6, -1), (-0.6, 1), (-0.6, -1)], float)
    ranges = []
    for a in range(scene.num_actors):
        h, size = float(scene.heading_rad[0, a]), scene.size_m[0, a].numpy()
        turn = np.array([[math.cos(h), -math.sin(h)], [math.sin(h), math.cos(h)]])
        flat = scene.position_m[0, a].numpy() + (places * size[:2] / 2) @ turn.T
        point = np.concatenate([flat, np.minimum(SCATTERER[:, HEIGHT:], size[2] / 2)], 1)
        ranges.append(np.linalg.norm(point - origin, axis=1))
    return np.array(ranges)


def test_doppler_is_the_rate_of_change_of_the_range(random_scene):
    radar = replace(EXACT, mount=Mount(2.0, 0.6, 0.7, yaw_rad=0.4, pitch_rad=0.1, roll_rad=-0.05), horizontal_fov_rad=2 * math.pi)
    checked = 0
    for seed in range(10):
        scene = random_scene(seed)
        scene = replace(scene, heading_rad=scene.heading_rad.clone())
        dt = 1e-4
        now = scatterers_by_hand(scene, radar)
        rate = (scatterers_by_hand(moved(scene, dt), radar) - scatterers_by_hand(moved(scene, -dt), radar)) / (2 * dt)
        frames = render_radar(scene, [radar])
        for row, actor in zip(frames.detections[0, 0][frames.mask[0, 0]], frames.actor[0, 0][frames.mask[0, 0]].tolist(), strict=True):
            place = np.abs(now[actor] - row[RANGE].item()).argmin()
            assert now[actor, place] == pytest.approx(row[RANGE].item(), abs=1e-4)
            assert rate[actor, place] == pytest.approx(row[DOPPLER].item(), abs=1e-4)
            checked += 1
    assert checked > 100


def test_angles_are_those_of_a_turned_and_tilted_radar(make_scene):
    scene = make_scene([[[0, 0], [40, 10]]], heading=[[0.2, 1.0]])
    level = render_radar(scene, [replace(EXACT, horizontal_fov_rad=2 * math.pi)])
    mount = Mount(2.4, 0.0, 0.5, yaw_rad=0.3, pitch_rad=0.2, roll_rad=0.1)
    tilted = render_radar(scene, [replace(EXACT, mount=mount, horizontal_fov_rad=2 * math.pi)])
    turn = mount.ego_T_sensor()[:3, :3]
    for flat, row in zip(by_place(level)[0], by_place(tilted)[0], strict=True):
        ray = [
            np.array([math.cos(r[ELEVATION]) * math.cos(r[AZIMUTH]), math.cos(r[ELEVATION]) * math.sin(r[AZIMUTH]), math.sin(r[ELEVATION])])
            for r in (flat, row)
        ]
        np.testing.assert_allclose(turn @ ray[1], ray[0], atol=1e-6)


def test_snr_falls_by_40_db_a_decade(make_scene):
    gaps = np.geomspace(5.0, 140.0, 12)
    scene = make_scene([[[0, 0], [gap + BEHIND, 0]] for gap in gaps])
    snr = render_radar(scene, [EXACT]).detections[:, 0, 0, SNR].numpy()
    slope, level = np.polyfit(np.log10(gaps), snr, 1)
    assert slope == pytest.approx(-40.0, abs=1e-3)
    assert level == pytest.approx(EXACT.snr_at_1m_db + REAR_DBSM, abs=1e-2)


def test_rcs_depends_on_class_and_aspect(make_scene):
    straight, truck, turned = (
        render_radar(make_scene([[[0, 0], [60, 0]]], kind=[[0, kind]], heading=[[0, heading]]), [EXACT]).detections[0, 0, 0, RCS].item()
        for kind, heading in ((Kind.CAR, 0.0), (Kind.TRUCK, 0.0), (Kind.CAR, 0.6))
    )
    assert truck - straight == pytest.approx(CLASS_DB[Kind.TRUCK] - CLASS_DB[Kind.CAR], abs=1e-4)
    assert turned < straight - 1.0


def snr_of(frames, actor):
    """Highest SNR [dB] of an actor's detections in world 0, None where it has none."""
    found = frames.detections[0, 0][frames.actor[0, 0] == actor][:, SNR]
    return found.max().item() if len(found) else None


def test_a_car_behind_a_car_is_seen_under_it_with_a_loss_and_one_beside_it_without(make_scene):
    scene = make_scene([[[0, 0], [30, 0], [50, 0], [50, 8]]])
    free = replace(scene, valid=torch.tensor([[True, False, True, True]]))
    for loss_db in (15.0, 9.0):
        radar = replace(EXACT, underbody_loss_db=loss_db)
        behind, alone = render_radar(scene, [radar]), render_radar(free, [radar])
        assert snr_of(alone, 2) - snr_of(behind, 2) == pytest.approx(loss_db, abs=1e-4)
        assert snr_of(alone, 3) == snr_of(behind, 3)
    solid = render_radar(scene, [replace(EXACT, underbody_loss_db=math.inf)])
    assert snr_of(solid, 2) is None or snr_of(solid, 2) < snr_of(alone, 2) - 20.0  # round its edges


def test_an_obstacle_lets_nothing_through_underneath(make_scene):
    scene = make_scene(
        [[[0, 0], [30, 0], [50, 0]]], kind=[[Kind.CAR, Kind.OBSTACLE, Kind.CAR]], size=[[[5, 2, 1.5], [1, 4, 3], [5, 2, 1.5]]]
    )
    assert snr_of(render_radar(scene, [EXACT]), 2) is None


def test_the_loss_grows_without_a_step_as_a_car_moves_into_the_way(make_scene):
    aside = np.arange(0.0, 1.8, 0.002)
    scene = make_scene([[[0, 0], [60, 0], [30, 1.6 - y]] for y in aside], size=[[[5, 2, 1.5], [5, 0.01, 1.5], [5, 2, 1.5]]])
    snr = np.array([snr_of(render_radar(scene.select([n]), [EXACT]), 1) for n in range(0, len(aside), 10)])
    assert snr[0] - snr[-1] == pytest.approx(EXACT.underbody_loss_db, abs=0.1)
    blocked = np.nonzero(np.abs(np.diff(snr)) > 1e-6)[0]
    assert len(blocked) >= 5 and np.abs(np.diff(snr)).max() < 3.0


def test_a_high_radar_looks_over_a_car(make_scene):
    scene = make_scene([[[0, 0], [10, 0], [60, 0]]])
    low, high = (render_radar(scene, [replace(EXACT, mount=Mount(2.4, 0.0, z), elevation_beam_rad=3.0)]) for z in (0.5, 4.0))
    assert snr_of(high, 2) - snr_of(low, 2) == pytest.approx(EXACT.underbody_loss_db, abs=0.5)


def test_nothing_is_seen_outside_the_field_of_view_or_beyond_the_range(make_scene):
    scene = make_scene([[[0, 0], [-30, 0], [0, 30], [30, 1], [170, -20]]])
    frames = render_radar(scene, [EXACT])
    assert set(frames.actor[0, 0][frames.mask[0, 0]].tolist()) == {3}
    everywhere = render_radar(scene, [replace(EXACT, horizontal_fov_rad=2 * math.pi, max_range_m=300.0)])
    assert set(everywhere.actor[0, 0][everywhere.mask[0, 0]].tolist()) == {1, 2, 3, 4}


def test_the_strongest_detections_are_kept_in_order(random_scene):
    scene = random_scene(11, worlds=6, actors=40)
    wide = replace(EXACT, horizontal_fov_rad=2 * math.pi)
    many, few = render_radar(scene, [wide]), render_radar(scene, [replace(wide, detections=9)])
    assert torch.equal(many.detections[:, :, :9], few.detections)
    snr = torch.where(many.mask, many.detections[..., SNR], -torch.inf)
    assert (snr[..., 1:] <= snr[..., :-1]).all()
    assert (many.detections[~many.mask] == 0).all() and (many.actor[~many.mask] == -1).all()


NOISY = Radar("noisy", Mount(2.4, 0.0, 0.5), detections=64, max_range_m=200.0)


@pytest.mark.parametrize("gap_m", [100.0, 140.0, 190.0])
@pytest.mark.parametrize("off", [0.0, 0.5])
def test_detection_rate_is_swerling_1(make_scene, gap_m, off):
    """A target of one and of several scatterers; also where scatterers would lie on both sides of a fixed cell's edge."""
    worlds = 20_000
    gap_m = (math.floor(gap_m / NOISY.range_cell_m) + off) * NOISY.range_cell_m
    scene = make_scene(np.tile([[[0, 0], [gap_m + BEHIND, 0]]], (worlds, 1, 1)), velocity=[[[20, 0], [23, 0]]], seed=int(gap_m))
    exact = render_radar(scene.select(slice(0, 1)), [replace(NOISY, noise=False)])
    one_cell = exact.detections[0, 0][exact.mask[0, 0]].double()
    assert len(one_cell) == 3
    assert (one_cell[:, RANGE] - gap_m).abs().max() < NOISY.range_cell_m and one_cell[:, AZIMUTH].abs().max() < NOISY.azimuth_cell_rad
    snr = (10 ** (one_cell[:, SNR] / 10)).sum().item()  # powers in one cell add
    law = NOISY.false_alarm_rate ** (1 / (1 + snr))
    frames = render_radar(scene, [NOISY])
    found = (frames.actor[:, 0] == 1).sum(-1).double()
    assert found.max() == 1
    assert abs(found.mean().item() - law) < 4 * math.sqrt(law * (1 - law) / worlds)


def kolmogorov(share):
    """Kolmogorov's statistic of numbers that should be uniform on 0 to 1: beyond 2.2 with odds of 1e-4."""
    share, n = np.sort(share), len(share)
    return math.sqrt(n) * max(np.max(np.arange(1, n + 1) / n - share), np.max(share - np.arange(n) / n))


def test_false_alarms_are_poisson_and_even_over_the_cells(make_scene):
    worlds = 20_000
    frames = render_radar(make_scene(np.zeros((worlds, 1, 2))), [NOISY])
    assert NOISY.cells == pytest.approx(199.8 / 0.39 * 2 * math.sin(math.radians(60)) / math.radians(3.2) * 50 / 0.12)
    count, mean = frames.mask[:, 0].sum(-1).double(), NOISY.mean_false_alarms
    assert (frames.actor == -1).all() and set(frames.origin.unique().tolist()) == {Origin.NONE, Origin.FALSE_ALARM}
    assert abs(count.mean().item() - mean) < 4 * math.sqrt(mean / worlds)
    assert abs(count.var().item() - mean) < 4 * math.sqrt((mean + 2 * mean**2) / worlds)
    rows = frames.detections[:, 0][frames.mask[:, 0]].double().numpy()
    low, high = NOISY.doppler_span_mps
    even = {
        "range": (rows[:, RANGE] - 0.2) / (NOISY.max_range_m - 0.2),
        "sine of azimuth": 0.5 + 0.5 * np.sin(rows[:, AZIMUTH]) / math.sin(NOISY.horizontal_fov_rad / 2),
        "Doppler": (rows[:, DOPPLER] - low) / (high - low),
        "power": np.exp(-(1 + 10 ** (rows[:, SNR] / 10) - math.log(1e7))),  # an exponential beyond the threshold
    }
    for what, share in even.items():
        assert kolmogorov(share) < 2.2, what


def test_a_lower_false_alarm_rate_gives_fewer_and_none_can_be_asked_for(make_scene):
    scene = make_scene(np.zeros((2_000, 1, 2)))
    strict = render_radar(scene, [replace(NOISY, false_alarm_rate=1e-9)]).mask.sum().item()
    assert strict < 0.1 * render_radar(scene, [NOISY]).mask.sum().item()
    assert not render_radar(scene, [replace(NOISY, false_alarms=False)]).mask.any()


ONE_POINT = {"size": (5.0, 0.02, 1.5)}


def test_errors_have_the_moments_and_tails_of_a_gaussian_that_shrinks_with_snr(make_scene):
    worlds = 12_000
    for gap_m, side_m in ((20.0, 0.0), (60.0, 40.0)):
        place = [[[0, 0], [gap_m + BEHIND, side_m]]]
        scene = make_scene(np.tile(place, (worlds, 1, 1)), velocity=[[[20, 0], [23, 0]]], size=(0.02, 0.02, 1.5))
        radar = replace(NOISY, false_alarms=False, ghosts=False)
        exact = render_radar(scene.select(slice(0, 1)), [replace(radar, noise=False)])
        power = 10 ** (exact.detections[0, 0, :, RCS].double() / 10) * exact.mask[0, 0]
        truth = (exact.detections[0, 0].double() * power[:, None]).sum(0) / power.sum()
        real = render_radar(scene, [radar])
        real = real.detections[:, 0][real.actor[:, 0] == 1].double()
        blur = 1 / torch.sqrt(2 * 10 ** (real[:, SNR] / 10))
        cells = (radar.range_cell_m, radar.azimuth_cell_rad / math.cos(truth[AZIMUTH]), radar.elevation_cell_rad, radar.doppler_cell_mps)
        z = (real[:, : len(cells)] - truth[: len(cells)]) / (blur[:, None] * torch.tensor(cells))
        for n in range(len(cells)):
            assert abs(z[:, n].mean().item()) < 4 / math.sqrt(len(z)) + 0.02
            assert abs(z[:, n].var().item() - 1) < 4 * math.sqrt(2 / len(z)) + 0.02
            assert kolmogorov(torch.special.ndtr(z[:, n] - z[:, n].mean()).numpy()) < 2.2
            assert 0.5 < (z[:, n].abs() > 2.5758).double().mean().item() / 0.01 < 1.6
        assert abs(np.corrcoef(z.numpy().T) - np.eye(len(cells))).max() < 4 / math.sqrt(len(z))


def test_measured_rcs_follows_from_snr_and_range_and_fluctuates_about_the_mean(make_scene):
    scene = make_scene(np.tile([[[0, 0], [60, 0]]], (4_000, 1, 1)), **ONE_POINT)
    frames = render_radar(scene, [replace(NOISY, false_alarms=False)])
    real = frames.detections[:, 0][frames.actor[:, 0] == 1].double()
    offset = real[:, SNR] - real[:, RCS] + 40 * torch.log10(real[:, RANGE])
    assert (offset - NOISY.snr_at_1m_db).abs().max() < 0.01
    exact = render_radar(scene.select([0]), [replace(NOISY, noise=False)])
    mean = (10 ** (exact.detections[0, 0, :, RCS].double() / 10))[exact.mask[0, 0]].sum().item()
    share = 10 ** (real[:, RCS] / 10) / mean
    assert abs(share.mean().item() - 1.0) < 4 / math.sqrt(len(share)) + 0.01 and abs(share.std().item() - 1.0) < 0.1
    steady = render_radar(scene, [replace(NOISY, false_alarms=False, fluctuation=False, measurement_noise=False)])
    assert steady.mask.sum() == scene.num_worlds and steady.detections[:, 0, 0, RCS].std() < 1e-5


def test_rcs_spread_is_an_actors_own_and_stays_through_an_episode(make_scene):
    worlds, radar = 3_000, replace(NOISY, rcs_spread_db=3.0, fluctuation=False, measurement_noise=False, false_alarms=False)
    scene = make_scene(np.tile([[[0, 0], [40, 0]]], (worlds, 1, 1)))
    now, later = (render_radar(replace(scene, step=scene.step + n), [radar]).detections[:, 0, 0, RCS] for n in (0, 7))
    assert torch.equal(now, later)
    assert now.std().item() == pytest.approx(3.0, rel=0.06)


def test_two_targets_within_a_cell_merge_and_farther_ones_do_not(make_scene):
    radar = replace(NOISY, fluctuation=False, measurement_noise=False, false_alarms=False)
    point = (0.02, 0.02, 1.5)

    def count(a, b, speeds=(0.0, 0.0)):
        scene = make_scene([[[0, 0], a, b]], velocity=[[[0, 0], [speeds[0], 0], [speeds[1], 0]]], size=point)
        frames = render_radar(scene, [radar])
        return int(frames.mask.sum()), 10 ** (frames.detections[0, 0, 0, SNR].item() / 10)

    alone = 10 ** (render_radar(make_scene([[[0, 0], [50, 0]]], size=point), [radar]).detections[0, 0, 0, SNR].item() / 10)
    merged, power = count((50, 0), (50, 0.3))
    assert merged == 1 and power == pytest.approx(2 * alone, rel=0.05)
    assert count((50, 0), (50.3, 0.2))[0] == 1 and count((50, 0), (50.5, 0.2))[0] == 2  # range
    across = 47.6 * math.tan(radar.azimuth_cell_rad)
    assert count((50, 0), (50, 0.9 * across))[0] == 1 and count((50, 0), (50, 1.1 * across))[0] == 2  # azimuth
    assert count((50, 0), (50, 0.3), (5.0, 5.1))[0] == 1 and count((50, 0), (50, 0.3), (5.0, 5.2))[0] == 2  # Doppler
    assert count((50, 0), (50, 0.3), (5.0, 5.0 - 2 * radar.nyquist_mps))[0] == 1  # one ramp cannot tell these apart


@pytest.mark.parametrize("speed", [-130.0, -60.0, -26.0, -25.0, 0.0, 24.9, 26.0, 54.0, 57.0])
def test_doppler_folds_at_the_ambiguity(make_scene, speed):
    scene = make_scene([[[0, 0], [40, 0]]], velocity=[[[0, 0], [speed, 0]]], **ONE_POINT)
    quiet = replace(NOISY, fluctuation=False, measurement_noise=False, false_alarms=False)
    for radar in (quiet, replace(quiet, staggered=False)):
        low, high = radar.doppler_span_mps
        doppler = render_radar(scene, [radar]).detections[0, 0, 0, DOPPLER].item()
        assert low <= doppler < high
        turns = (doppler - speed) / (high - low)
        assert turns == pytest.approx(round(turns), abs=1e-4) and (round(turns) == 0) == (low <= speed < high)


def test_rain_weakens_as_itu_p838_says(make_scene):
    scene = make_scene([[[0, 0], [100, 0]]])
    clear = render_radar(scene, [EXACT]).detections[0, 0, 0]
    wet = render_radar(scene.with_weather(scene.weather.changed(rain_mm_per_h=20.0)), [EXACT]).detections[0, 0, 0]
    gamma_db_per_km = 9.55  # P.838-3 at 77 GHz, 20 mm/h: between 9.37 and 9.73 by polarisation
    assert (clear - wet)[SNR].item() == pytest.approx(2e-3 * gamma_db_per_km * clear[RANGE].item(), rel=0.02)
    dry = render_radar(scene.with_weather(scene.weather.changed(rain_mm_per_h=20.0)), [replace(EXACT, rain_attenuation=False)])
    assert torch.equal(dry.detections[0, 0, 0], clear)


def test_rain_constants_are_those_of_itu_p838():
    """The recommendation's sums of Gaussians, evaluated at 77 GHz for 45 degree polarisation."""
    f = math.log10(77.0)

    def total(a, b, c, m, last):
        return sum(x * math.exp(-(((f - y) / z) ** 2)) for x, y, z in zip(a, b, c, strict=True)) + m * f + last

    k_h = total(
        (-5.33980, -0.35351, -0.23789, -0.94158),
        (-0.10008, 1.26970, 0.86036, 0.64552),
        (1.13098, 0.45400, 0.15354, 0.16817),
        -0.18961,
        0.71147,
    )
    k_v = total(
        (-3.80595, -3.44965, -0.39902, 0.50167),
        (0.56934, -0.22911, 0.73042, 1.07319),
        (0.81061, 0.51059, 0.11899, 0.27195),
        -0.16398,
        0.63297,
    )
    a_h = total(
        (-0.14318, 0.29591, 0.32177, -5.37610, 16.1721),
        (1.82442, 0.77564, 0.63773, -0.96230, -3.29980),
        (-0.55187, 0.19822, 0.13164, 1.47828, 3.43990),
        0.67849,
        -1.95537,
    )
    a_v = total(
        (-0.07771, 0.56727, -0.20238, -48.2991, 48.5833),
        (2.33840, 0.95545, 1.14520, 0.791669, 0.791459),
        (-0.76284, 0.54039, 0.26809, 0.116226, 0.116479),
        -0.053739,
        0.83433,
    )
    k = 0.5 * (10**k_h + 10**k_v)
    assert pytest.approx(k, rel=1e-4) == RAIN_K
    assert pytest.approx(0.5 * (10**k_h * a_h + 10**k_v * a_v) / k, rel=1e-4) == RAIN_ALPHA


def test_the_beam_falls_off_in_azimuth_and_elevation(make_scene):
    radar = replace(EXACT, mount=Mount(0.0, 0.0, 0.5))

    def loss(**mount):
        tilted = render_radar(make_scene([[[0, 0], [60, 0]]], **ONE_POINT), [replace(radar, mount=Mount(0.0, 0.0, 0.5, **mount))])
        flat = render_radar(make_scene([[[0, 0], [60, 0]]], **ONE_POINT), [radar])
        return (flat.detections[0, 0, 0, SNR] - tilted.detections[0, 0, 0, SNR]).item()

    assert loss(yaw_rad=radar.horizontal_fov_rad / 2 - 1e-6) == pytest.approx(-radar.edge_db, abs=1e-3)
    assert loss(yaw_rad=0.4) == pytest.approx(loss(yaw_rad=-0.4), abs=1e-5) and 0.0 < loss(yaw_rad=0.4) < 3.0
    assert loss(pitch_rad=radar.elevation_beam_rad / 2) == pytest.approx(6.0, abs=0.1)  # half power each way
    assert loss(pitch_rad=1.0) == pytest.approx(40.0, abs=2.5)  # side lobes, and the raised cosine of the tilted azimuth


def test_rcs_by_aspect_is_symmetric_about_the_cars_axis_and_strongest_at_the_sides(make_scene):
    aspects = np.linspace(0.0, math.pi, 13)
    scene = make_scene([[[0, 0], [50, 0]]] * 26, heading=[[0.0, h] for h in (*aspects, *-aspects)])
    frames = render_radar(scene, [replace(EXACT, mount=Mount(0.0, 0.0, 0.5))])
    rcs = 10 * torch.log10((10 ** (frames.detections[:, 0, :, RCS].double() / 10) * frames.mask[:, 0]).sum(-1))
    np.testing.assert_allclose(rcs[:13], rcs[13:], atol=1e-4)
    assert rcs[0].item() == pytest.approx(8.74, abs=0.05)  # 8 dBsm of the plate and two corners
    assert rcs.argmax().item() in (6, 19)


def test_lobing_over_the_road_repeats_and_averages_to_its_theory(make_scene):
    gaps = np.linspace(30.0, 60.0, 600)
    scene = make_scene([[[0, 0], [gap + 2.4, 0]] for gap in gaps], size=(0.02, 0.02, 1.0))
    quiet = replace(NOISY, fluctuation=False, measurement_noise=False, false_alarms=False, false_alarm_rate=0.05, snr_at_1m_db=130.0)
    plain, lobed = (render_radar(scene, [replace(quiet, ground_reflection=rho)]).detections[:, 0, 0].double() for rho in (0.0, 0.7))
    gain = 10 ** ((lobed - plain)[:, SNR].numpy() / 10)
    phase = 4 * math.pi * 0.5 * 0.5 / (299_792_458 / 77e9 * plain[:, RANGE].numpy())
    np.testing.assert_allclose(gain, np.abs(1 - 0.7 * np.exp(1j * phase)) ** 4, rtol=0.05, atol=0.05)
    assert gain.max() > 6.0 and gain.min() < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"detections": 0}, "detections is 0"),
        ({"horizontal_fov_rad": 7.0}, "horizontal_fov_rad is 7.0"),
        ({"max_range_m": math.nan}, "max_range_m is nan"),
        ({"false_alarm_rate": 0.0}, "false_alarm_rate is 0.0"),
        ({"range_cell_m": -1.0}, "range_cell_m is -1.0"),
        ({"nyquist_mps": 0.0}, "nyquist_mps is 0.0"),
        ({"ground_reflection": 1.5}, "ground_reflection is 1.5"),
        ({"edge_db": 3.0}, "edge_db is 3.0"),
        ({"underbody_loss_db": -1.0}, "underbody_loss_db is -1.0"),
        ({"rail_post_dbsm": math.inf}, "rail_post_dbsm is inf"),
    ],
)
def test_impossible_radars_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(NOISY, **change)


def test_each_kind_of_actor_has_a_class():
    assert len(CLASS_DB) == len(Kind) and SCATTERER.shape[0] == SCATTERERS


def test_near_and_far_scan_are_the_data_sheets():
    near, far = Radar.near_scan("near", NOISY.mount), Radar.far_scan("far", NOISY.mount)
    assert (near.max_range_m, near.range_cell_m, far.max_range_m, far.range_cell_m) == (70.0, 0.39, 250.0, 1.79)
    assert math.degrees(near.azimuth_cell_rad) == pytest.approx(3.2) and math.degrees(far.azimuth_cell_rad) == pytest.approx(1.6)
    assert 1 / near.rate_hz == pytest.approx(0.072) and far.name == "far"
