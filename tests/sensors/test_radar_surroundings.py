"""Radar: what stands along the road, mirror images, where a detection comes from, and batches."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.frames import RADAR_FEATURES, Origin
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.radar.render import render_radar
from sensors.radar.roadside import BEYOND_M, MIDDLE_X, build_roadside, roadside_of
from sensors.radar.settings import GROUND_RANGES, MEAN_GROUND, settings_of
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Kind

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
STEADY = Radar(
    "steady", Mount(2.4, 0.0, 0.5), detections=256, fluctuation=False, measurement_noise=False, false_alarms=False, ground_gamma_db=-200.0
)
RAIL_M = 4.0 + BEYOND_M


def straight(speed_limit_mps=30.0, length_m=400.0, curvature=0.0):
    """Two lanes of 4 m from x = -100 on, the left one's left edge at y = 4."""
    lanes = [
        Lane(chain((-100.0, y), 0.0, [(length_m, curvature)]), 4.0, Line.SOLID, Line.SOLID, speed_limit_mps, "road", n)
        for n, y in enumerate((2.0, -2.0))
    ]
    return RoadMap.build(lanes)


def flat_points(frames, mount, world=0):
    """Places (N, 2) of a world's detections in the ego's frame, under a level radar."""
    mask = frames.mask[world, 0]
    rows = frames.detections[world, 0][mask].double().numpy()
    flat = rows[:, RANGE] * np.cos(rows[:, ELEVATION])
    azimuth = rows[:, AZIMUTH] + mount.yaw_rad
    places = np.stack((flat * np.cos(azimuth), flat * np.sin(azimuth)), -1) + (mount.x_m, mount.y_m)
    return places, rows, frames.origin[world, 0][mask].numpy(), frames.actor[world, 0][mask].numpy()


def test_clutter_stands_at_the_roads_edge_and_at_rest(make_scene):
    scene = replace(make_scene([[[0, 0]]], velocity=[[[25.0, 0.0]]], yaw_rate=[[0.1]]), road=straight())
    far = replace(STEADY, rail_post_dbsm=0.0, road_object_dbsm=-100.0, roadside_dbsm=-100.0)
    places, rows, origin, actor = flat_points(render_radar(scene, [far]), far.mount)
    assert len(places) > 20 and (origin == Origin.CLUTTER).all() and (actor == -1).all()
    np.testing.assert_allclose(np.abs(places[:, 1]), RAIL_M, atol=0.7)  # posts of one cell answer from their middle
    alone = np.abs(places[:, 0]) < 40
    np.testing.assert_allclose(np.abs(places[alone, 1]), RAIL_M, atol=1e-3)
    np.testing.assert_allclose((places[alone, 0] + 2.0) % 4.0, 2.0, atol=1e-3)  # posts stand every four metres from x = -100 on
    sight = (places - (2.4, 0.0)) / rows[:, :1]
    velocity = np.array([25.0, 0.1 * 2.4])  # of the radar: the ego's own and its turning
    np.testing.assert_allclose(rows[:, DOPPLER], -sight @ velocity, atol=1e-3)


def test_clutter_is_there_again_in_the_next_scan_and_can_be_switched_off(make_scene):
    first = replace(make_scene([[[0, 0]]]), road=straight())
    a, b = (render_radar(s, [STEADY]) for s in (first, replace(first, step=first.step + 5)))
    assert a.mask.any() and torch.equal(a.detections, b.detections)
    assert not render_radar(first, [replace(STEADY, clutter=False)]).mask.any()
    assert not render_radar(first, [replace(STEADY, noise=False)]).mask.any()


def test_posts_keep_to_the_outer_edges_of_any_map():
    for road in (straight(), straight(curvature=0.02, length_m=100.0)):
        roadside = build_roadside(road)
        posts = roadside.objects[roadside.objects[:, 4] == 0]
        assert len(posts) == pytest.approx(2 * road.lane_length_m[0] / 4.0, abs=6)
        run, lateral, _ = road.project(posts[:, :2])
        assert np.abs(np.abs(lateral).min(axis=1) - 2.0 - BEYOND_M).max() < 1e-6
        assert abs(roadside.objects[:, 3].mean() - 1.0) < 4 / math.sqrt(len(roadside.objects))  # exponential about each kind's mean
        assert len(roadside.rails) > 0
        ends = roadside.rails[:, MIDDLE_X : MIDDLE_X + 2] + roadside.rails[:, 4:] * roadside.rails[:, 2:4]
        assert np.abs(np.abs(road.project(ends)[1]).min(axis=1) - 2.0 - BEYOND_M).max() < 0.06
    assert len(build_roadside(straight(speed_limit_mps=10.0)).rails) == 0  # kerbs
    assert len(build_roadside(RoadMap.build([])).objects) == 0


def test_the_roadside_of_equal_maps_is_built_once():
    assert roadside_of(straight()) is roadside_of(straight())
    assert roadside_of(straight()) is not roadside_of(straight(length_m=404.0))


GHOSTS = replace(STEADY, clutter=False, mirror_loss_db=3.0, underbody_loss_db=0.0)
POINT = (0.05, 0.05, 1.2)


def ghosts_of(scene, radar=GHOSTS):
    places, rows, origin, actor = flat_points(render_radar(scene, [radar]), radar.mount)
    assert (actor[origin == Origin.GHOST] == -1).all()
    return places[origin == Origin.GHOST], rows[origin == Origin.GHOST]


def test_ghosts_are_mirror_images_behind_the_rail(make_scene):
    scene = replace(make_scene([[[0, 0], [40.0, 1.0]]], size=POINT), road=straight())
    places, _ = ghosts_of(scene)
    assert len(places) == 2
    np.testing.assert_allclose(places[np.argsort(places[:, 1])], [(40.0, -2 * RAIL_M - 1.0), (40.0, 2 * RAIL_M - 1.0)], atol=0.05)
    assert len(ghosts_of(scene, replace(GHOSTS, ghosts=False))[0]) == 0
    town = replace(scene, road=straight(speed_limit_mps=10.0))
    assert len(ghosts_of(town)[0]) == 0


def test_a_ghost_is_weaker_by_the_mirrors_loss_and_its_longer_way(make_scene):
    scene = replace(make_scene([[[0, 0], [40.0, 0.0]]], size=POINT), road=straight())
    weak, strong = (ghosts_of(scene, replace(GHOSTS, mirror_loss_db=loss))[1] for loss in (9.0, 3.0))
    np.testing.assert_allclose(strong[:, SNR] - weak[:, SNR], 6.0, atol=1e-3)


def test_a_ghost_moves_as_its_range_changes(make_scene):
    """Doppler of images in a rail and in the side of a turning lorry, against the numeric derivative of their range."""

    def at(time_s, lorry):
        position = [[0.0, 0.0], [40.0 + 6.0 * time_s, 1.0 - 3.0 * time_s]]
        heading, velocity, size, kind = [0.0, 0.0], [[20.0, 0.0], [6.0, -3.0]], [POINT, POINT], [0, 0]
        position[0] = [20.0 * time_s, 0.0]
        yaw_rate = [0.0, 0.0]
        if lorry:
            position.append([18.0 + 9.0 * time_s, 7.0 - 2.0 * time_s])
            heading, velocity = [*heading, 0.1 + 0.2 * time_s], [*velocity, [9.0, -2.0]]
            size, kind, yaw_rate = [*size, (16.0, 2.5, 3.5)], [0, 0, int(Kind.TRUCK)], [0.0, 0.0, 0.2]
        return make_scene([position], heading=[heading], velocity=[velocity], size=[size], kind=[kind], yaw_rate=[yaw_rate])

    dt = 1e-3
    for lorry, road in ((False, straight()), (True, RoadMap.build([]))):
        before, now, after = (ghosts_of(replace(at(t, lorry), road=road))[1] for t in (-dt, 0.0, dt))
        assert len(before) == len(now) == len(after) >= 1
        order = [np.argsort(rows[:, AZIMUTH]) for rows in (before, now, after)]
        rate = (after[order[2], RANGE] - before[order[0], RANGE]) / (2 * dt)
        np.testing.assert_allclose(now[order[1], DOPPLER], rate, atol=0.05)


def test_what_is_not_marked_stands_at_an_actor(random_scene):
    radar = Radar("all", Mount(2.4, 0.0, 0.5), detections=400, rcs_spread_db=2.0, false_alarm_rate=1e-5)
    scene = replace(random_scene(5, worlds=40, actors=20), road=straight())
    frames = render_radar(scene, [radar])
    for name in Origin:
        assert (frames.origin == name).any(), name
    assert torch.equal(frames.origin == Origin.TARGET, frames.actor >= 0)
    assert torch.equal(frames.origin != Origin.NONE, frames.mask)
    checked = 0
    for world in range(40):
        ego = render_world_points(frames, scene, radar, world)
        for place, row, origin, actor in zip(*ego, strict=True):
            if origin != Origin.TARGET:
                continue
            size = scene.size_m[world, actor].numpy()
            away = np.hypot(*(place - scene.position_m[world, actor].numpy())) - np.hypot(size[0], size[1]) / 2
            sigma = math.hypot(0.39, row[RANGE] * radar.azimuth_cell_rad / math.cos(row[AZIMUTH])) / math.sqrt(2 * 10 ** (row[SNR] / 10))
            assert away < 5.0 * sigma + 1.0 + row[RANGE] * radar.azimuth_cell_rad
            checked += 1
    assert checked > 300


def render_world_points(frames, scene, radar, world):
    """As ``flat_points``, but places in the world."""
    places, rows, origin, actor = flat_points(frames, radar.mount, world)
    heading = float(scene.heading_rad[world, 0])
    turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
    return places @ turn.T + scene.position_m[world, 0].numpy(), rows, origin, actor


def test_ground_returns_are_as_many_as_their_law_says_and_near(make_scene):
    worlds, radar = 10_000, replace(STEADY, rail_post_dbsm=-100.0, roadside_dbsm=-100.0, road_object_dbsm=-100.0, ground_gamma_db=-46.0)
    row = settings_of(radar)
    scene = replace(make_scene(np.zeros((worlds, 1, 2)), velocity=[[[20.0, 0.0]]]), road=straight())
    frames = render_radar(scene, [radar])
    count, mean = frames.mask.sum((1, 2)).double(), row[MEAN_GROUND]
    assert 0.3 < mean < 10.0 and abs(count.mean().item() - mean) < 4 * math.sqrt(mean / worlds)
    assert abs(count.var().item() - mean) < 4 * math.sqrt((mean + 2 * mean**2) / worlds)
    rows = frames.detections[frames.mask].double().numpy()
    middle = row[GROUND_RANGES + 16]
    assert abs((rows[:, RANGE] < middle).mean() - 0.5) < 2 / math.sqrt(len(rows)) + 1e-3
    np.testing.assert_allclose(np.sin(rows[:, ELEVATION]), -0.5 / rows[:, RANGE], atol=1e-5)
    np.testing.assert_allclose(rows[:, DOPPLER], -20.0 * np.cos(rows[:, AZIMUTH]) * np.cos(rows[:, ELEVATION]), atol=1e-3)
    assert not render_radar(replace(scene, road=RoadMap.build([])), [radar]).mask.any()


FULL = Radar("full", Mount(2.4, 0.0, 0.5), detections=64, rcs_spread_db=1.0, ground_reflection=0.2)


def test_a_world_alone_gives_the_same_bits_as_among_many(random_scene):
    scene = replace(random_scene(3, worlds=64, actors=24), road=straight())
    radars = [FULL, replace(FULL, name="rear", mount=Mount(-2.4, 0.0, 0.5, yaw_rad=math.pi))]
    many = render_radar(scene, radars)
    for world in (0, 17, 63):
        alone = render_radar(scene.select([world]), radars)
        for name, value in vars(many).items():
            assert torch.equal(value[world : world + 1], getattr(alone, name)), name
    again = render_radar(scene, radars)
    assert torch.equal(many.detections, again.detections)
    assert not torch.equal(many.detections, render_radar(replace(scene, step=scene.step + 1), radars).detections)


@pytest.mark.parametrize("actors", [1, 2, 1_001])
def test_no_actor_one_and_a_thousand(random_scene, actors):
    scene = replace(random_scene(1, worlds=2, actors=actors, spread_m=140.0), road=straight())
    frames = render_radar(scene, [FULL])
    assert torch.isfinite(frames.detections).all() and (frames.origin == Origin.CLUTTER).any()
    assert (frames.actor.max() >= 0) == (actors > 1)


def test_no_world_and_no_radar(random_scene):
    scene = random_scene(1, worlds=2)
    assert render_radar(scene, []).detections.shape == (2, 0, 0, 6)
    assert render_radar(scene.select(slice(0, 0)), [FULL]).origin.shape == (0, 1, 64)
