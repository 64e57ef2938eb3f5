"""Radar: analytic Doppler, the radar equation, Swerling-1 detection, false alarms, occlusion."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.frames import RADAR_FEATURES
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.render import AZIMUTH_CELL_RAD, DOPPLER_CELL_MPS, FALSE_ALARM_RATE, RANGE_CELL_M, mean_false_alarms, render_radar
from sensors.radar.targets import BUMPER_M, CLASS_DB, PEAK_DBSM, SNR_AT_1M_DB
from sensors.scene import Kind

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
EXACT = Radar("exact", Mount(2.4, 0.0, 0.5), detections=128, noise=False)
BEHIND = 2.4 + 2.5  # from a radar in the ego's nose to the rear of a 5 m car ahead, per metre of gap


def test_a_car_ahead_shows_its_rear_bumper_and_corners(make_scene):
    frames = render_radar(make_scene([[[0, 0], [40, 0]]], velocity=[[[20, 0], [25, 0]]]), [EXACT])
    seen = frames.detections[0, 0][frames.mask[0, 0]]
    assert len(seen) == 3 and (frames.actor[0, 0][frames.mask[0, 0]] == 1).all()
    bumper = seen[0]  # the strongest
    assert bumper[RANGE].item() == pytest.approx(40 - BEHIND, abs=1e-4)
    assert bumper[AZIMUTH].item() == pytest.approx(0.0, abs=1e-6)
    assert bumper[DOPPLER].item() == pytest.approx(5.0, abs=1e-5)
    assert bumper[RCS].item() == pytest.approx(PEAK_DBSM[5], abs=1e-4)
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
    """Range of all eight scatterers of every actor in world 0 from the radar, (A, 8), float64."""
    ego, heading = scene.position_m[0, 0].numpy(), float(scene.heading_rad[0, 0])
    turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
    origin = np.append(ego + turn @ (radar.mount.x_m, radar.mount.y_m), radar.mount.z_m)
    places = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)], float)
    ranges = []
    for a in range(scene.num_actors):
        h, size = float(scene.heading_rad[0, a]), scene.size_m[0, a].numpy()
        turn = np.array([[math.cos(h), -math.sin(h)], [math.sin(h), math.cos(h)]])
        flat = scene.position_m[0, a].numpy() + (places * size[:2] / 2) @ turn.T
        point = np.concatenate([flat, np.full((8, 1), min(BUMPER_M, size[2] / 2))], 1)
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
    assert level == pytest.approx(SNR_AT_1M_DB + PEAK_DBSM[5], abs=1e-2)


def test_rcs_depends_on_class_and_aspect(make_scene):
    straight, truck, turned = (
        render_radar(make_scene([[[0, 0], [60, 0]]], kind=[[0, kind]], heading=[[0, heading]]), [EXACT]).detections[0, 0, 0, RCS].item()
        for kind, heading in ((Kind.CAR, 0.0), (Kind.TRUCK, 0.0), (Kind.CAR, 0.6))
    )
    assert truck - straight == pytest.approx(CLASS_DB[Kind.TRUCK] - CLASS_DB[Kind.CAR], abs=1e-4)
    assert turned < straight - 1.0


def test_a_car_behind_a_car_is_hidden_and_one_beside_it_is_not(make_scene):
    scene = make_scene([[[0, 0], [30, 0], [50, 0], [50, 8]]])
    frames = render_radar(scene, [EXACT])
    assert set(frames.actor[0, 0][frames.mask[0, 0]].tolist()) == {1, 3}
    without = replace(scene, valid=torch.tensor([[True, False, True, True]]))
    frames = render_radar(without, [EXACT])
    assert set(frames.actor[0, 0][frames.mask[0, 0]].tolist()) == {2, 3}


def test_a_high_radar_looks_over_a_car(make_scene):
    scene = make_scene([[[0, 0], [10, 0], [60, 0]]])
    assert 2 not in render_radar(scene, [EXACT]).actor
    assert 2 in render_radar(scene, [replace(EXACT, mount=Mount(2.4, 0.0, 4.0))]).actor


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
def test_detection_rate_is_swerling_1(make_scene, gap_m):
    worlds = 20_000
    scene = make_scene(np.tile([[[0, 0], [gap_m + BEHIND, 0]]], (worlds, 1, 1)), velocity=[[[20, 0], [23, 0]]], seed=int(gap_m))
    exact = render_radar(scene.select(slice(0, 1)), [replace(NOISY, noise=False)])
    one_cell = exact.detections[0, 0][exact.mask[0, 0]].double()
    assert (one_cell[:, RANGE] - gap_m).abs().max() < RANGE_CELL_M and one_cell[:, AZIMUTH].abs().max() < AZIMUTH_CELL_RAD
    snr = (10 ** (one_cell[:, SNR] / 10)).sum().item()  # powers in one cell add
    law = FALSE_ALARM_RATE ** (1 / (1 + snr))
    frames = render_radar(scene, [NOISY])
    found = (frames.actor[:, 0] == 1).sum(-1).double()
    assert found.max() == 1
    assert abs(found.mean().item() - law) < 4 * math.sqrt(law * (1 - law) / worlds)


def test_false_alarms_are_poisson_and_spread_evenly(make_scene):
    worlds = 20_000
    frames = render_radar(make_scene(np.zeros((worlds, 1, 2))), [NOISY])
    count, mean = frames.mask[:, 0].sum(-1).double(), mean_false_alarms(NOISY)
    assert (frames.actor == -1).all()
    assert abs(count.mean().item() - mean) < 4 * math.sqrt(mean / worlds)
    assert abs(count.var().item() - mean) < 4 * math.sqrt((mean + 2 * mean**2) / worlds)
    rows = frames.detections[:, 0][frames.mask[:, 0]].double()
    share = rows[:, RANGE] / NOISY.max_range_m
    assert abs(share.mean().item() - 0.5) < 4 / math.sqrt(12 * len(rows)) + 1e-3
    assert abs(rows[:, AZIMUTH].mean().item()) < 4 * NOISY.horizontal_fov_rad / math.sqrt(12 * len(rows))
    least = 10 * math.log10(-math.log(FALSE_ALARM_RATE) - 1)
    assert rows[:, SNR].min() >= least - 1e-4


def test_errors_shrink_with_snr_as_one_over_its_root(make_scene):
    worlds = 8_000
    for gap_m in (20.0, 60.0):
        velocity = [[[20, 0], [23, 0]]]
        scene = make_scene(np.tile([[[0, 0], [gap_m + BEHIND, 0]]], (worlds, 1, 1)), velocity=velocity, size=(5.0, 0.02, 1.5))
        exact = render_radar(scene.select(slice(0, 1)), [replace(NOISY, noise=False)]).detections[0, 0, 0].double()
        frames = render_radar(scene, [NOISY])
        real = frames.detections[:, 0][frames.actor[:, 0] == 1].double()
        blur = 1 / torch.sqrt(2 * 10 ** (real[:, SNR] / 10))
        for feature, cell in ((RANGE, RANGE_CELL_M), (AZIMUTH, AZIMUTH_CELL_RAD), (DOPPLER, DOPPLER_CELL_MPS)):
            z = (real[:, feature] - exact[feature]) / (blur * cell)
            assert abs(z.mean().item()) < 4 / math.sqrt(len(z)) + 0.02
            assert abs(z.var().item() - 1) < 4 * math.sqrt(2 / len(z)) + 0.02


def test_measured_rcs_and_snr_move_together(make_scene):
    scene = make_scene(np.tile([[[0, 0], [60, 0]]], (500, 1, 1)))
    frames = render_radar(scene, [NOISY])
    real = frames.detections[:, 0][frames.actor[:, 0] == 1].double()
    offset = real[:, SNR] - real[:, RCS]
    assert offset.std() < 0.02 and real[:, RCS].std() > 2.0
