"""Lane paint in the lidar: how bright, where, and that camera and lidar mean the same paint."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.render import render_camera
from sensors.frames import Semantic
from sensors.lidar.config import Lidar
from sensors.lidar.materials import ASPHALT, LANE_PAINT, SNOW, WET_PAINT_SHARE, WET_SHARE
from sensors.lidar.points import points
from sensors.lidar.render import render_lidar
from sensors.mount import Mount
from sensors.road import RoadMap
from tests.sensors.test_paint import ROADS, look_up, road_of

DOWN = tuple(np.radians(np.linspace(-25.0, -2.0, 24)).tolist())
LIDAR = Lidar("exact", Mount(z_m=1.9), DOWN, 1024, 120.0, noise=False, lane_paint=True)
BARE = RoadMap.build([])


def on_road(make_scene, road, worlds=4, seed=0):
    """Egos on a road, a few metres beside its middle and turned a little, alone."""
    g = np.random.default_rng(seed)
    run = g.uniform(20.0, 90.0, worlds)
    grid = road.lanes
    piece = np.searchsorted(grid.offset_m[: len(grid.offset_m) // 2], run, side="right") - 1
    place = (
        grid.start_m[piece]
        + g.uniform(-3.0, 3.0, (worlds, 2))
        + (run - grid.offset_m[piece])[:, None] * np.stack((np.cos(grid.heading_rad[piece]), np.sin(grid.heading_rad[piece])), -1)
    )
    return replace(make_scene(place[:, None], heading=(grid.heading_rad[piece] + g.normal(0.0, 0.3, worlds))[:, None]), road=road)


def brightness(scene, lidar):
    """Intensity over that of the same rays where nothing is painted, (B, rays), and which of them tell: on the ground and not dazzled."""
    painted, bare = render_lidar(scene, [lidar]), render_lidar(replace(scene, road=BARE), [lidar])
    for name in ("range_m", "hit", "actor"):
        assert torch.equal(getattr(painted, name), getattr(bare, name))
    tells = painted.hit & (painted.actor == -1) & (bare.intensity < 0.25)
    return (painted.intensity / bare.intensity.clamp(min=1e-12)).flatten(1), tells.flatten(1)


def ratio_of(scene, lidar=LIDAR):
    """The one ratio other than 1."""
    ratio, tells = brightness(scene, lidar)
    ratio = ratio[tells]
    above = ratio[(ratio - 1.0).abs() > 1e-4]
    assert len(above) > 50 and (ratio - 1.0).abs().min() < 1e-6
    torch.testing.assert_close(above, above.median().expand_as(above), rtol=1e-4, atol=0.0)
    return above.median().item()


def test_paint_over_asphalt_is_the_ratio_of_their_reflectivities(make_scene):
    """Of the same ray, so that range and angle are equal; real markings have 2 to 5 times asphalt's."""
    assert ratio_of(on_road(make_scene, ROADS["straight"])) == pytest.approx(LANE_PAINT / ASPHALT, rel=1e-4)
    assert 2.0 <= LANE_PAINT / ASPHALT <= 5.0


def test_water_dims_paint_more_than_asphalt_and_snow_hides_it(make_scene):
    scene = on_road(make_scene, ROADS["straight"])
    wet = ratio_of(scene.with_weather(scene.weather.changed(wetness=1.0)))
    assert wet == pytest.approx(LANE_PAINT * WET_PAINT_SHARE / (ASPHALT * WET_SHARE), rel=1e-4)
    half = ratio_of(scene.with_weather(scene.weather.changed(snow_cover=0.5)))
    assert half == pytest.approx((LANE_PAINT + SNOW) / (ASPHALT + SNOW), rel=1e-4)
    ratio, tells = brightness(scene.with_weather(scene.weather.changed(snow_cover=1.0)), LIDAR)
    assert (ratio[tells] - 1.0).abs().max() < 1e-6


@pytest.mark.parametrize("terms", [{"materials": False}, {"fade_per_m": 0.004}, {"lane_paint": False}, {"lane_paint": None}])
def test_lidars_that_are_not_to_tell_paint_see_none(make_scene, terms):
    scene, lidar = on_road(make_scene, ROADS["straight"]), replace(LIDAR, **terms)
    assert torch.equal(render_lidar(scene, [lidar]).intensity, render_lidar(replace(scene, road=BARE), [lidar]).intensity)


@pytest.mark.parametrize("columns", [300, 1024])
@pytest.mark.parametrize("mount", [Mount(z_m=1.9), Mount(1.0, 0.3, 2.5, 0.7, 0.05, -0.08), Mount(z_m=1.2, pitch_rad=-0.3)])
@pytest.mark.parametrize("name", ROADS)
def test_paint_is_where_the_cameras_lookup_has_it(make_scene, name, mount, columns):
    """Of all rays whose surroundings of 4 cm are of one class; far fewer than one in a hundred may differ, and none does here."""
    scene, lidar = on_road(make_scene, ROADS[name]), replace(LIDAR, mount=mount, columns=columns, max_range_m=60.0)
    ratio, tells = brightness(scene, lidar)
    cloud = points(render_lidar(scene, [lidar]), lidar)
    checked = found = 0
    for world in range(2):
        mask = tells[world]
        heading = float(scene.heading_rad[world, 0])
        turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
        xy = cloud.xyz_m[world][mask].double().numpy()[:, :2] @ turn.T + scene.position_m[world, 0].numpy()
        bright = (ratio[world][mask] > 1.5).numpy()
        chosen = np.union1d(np.random.default_rng(0).permutation(len(xy))[:300], np.flatnonzero(bright)[:100])
        around = [labels(ROADS[name], xy[chosen] + step) for step in ((0, 0), (0.04, 0), (-0.04, 0), (0, 0.04), (0, -0.04))]
        clear = np.all([(one == Semantic.PAINT) == (around[0] == Semantic.PAINT) for one in around], axis=0)
        painted = bright[chosen]
        assert np.array_equal(painted[clear], around[0][clear] == Semantic.PAINT)
        checked, found = checked + int(clear.sum()), found + int(painted[clear].sum())
    assert checked > 400 and found > 10


def labels(road, xy):
    return look_up(road, xy)[3]


def test_camera_and_lidar_see_the_same_paint_along_the_same_ray(make_scene):
    """A camera's middle pixel and the one ray of a lidar, which looks to azimuth pi, where the pixels around it are of one class."""
    g = np.random.default_rng(7)
    cameras, lidars = [], []
    for k in range(60):
        place, yaw, pitch = (g.uniform(-2, 2), g.uniform(-2, 2), g.uniform(2.0, 5.0)), g.uniform(-3.1, 3.1), g.uniform(0.15, 0.6)
        roll = g.uniform(-0.4, 0.4)
        cameras.append(Camera(f"c{k}", Mount(*place, yaw, pitch, roll), 3, 3, math.radians(0.15), noise=False))
        lidars.append(
            Lidar(f"l{k}", Mount(*place, yaw + math.pi, -pitch, roll), (0.0,), columns=1, max_range_m=150.0, noise=False, lane_paint=True)
        )
    road = road_of((0, 0), 0.2, [(60, 0), (90, 1 / 40), (40, 0)], lanes=30, width=0.4)
    scene = on_road(make_scene, road, worlds=40)
    paint = render_camera(scene, cameras).semantic == Semantic.PAINT
    seen, bare = render_lidar(scene, lidars), render_lidar(replace(scene, road=BARE), lidars)
    middle = paint[:, :, 1, 1]
    clear = (paint == middle[..., None, None]).all(-1).all(-1) & (bare.intensity < 0.25)[:, :, 0, 0] & seen.hit[:, :, 0, 0]
    found = (seen.intensity > 1.5 * bare.intensity)[:, :, 0, 0]
    assert int(clear.sum()) > 1000 and int(middle[clear].sum()) > 50
    assert (found == middle)[clear].double().mean() >= 0.99


def test_a_rolling_scan_sees_paint_where_each_column_was_measured(make_scene):
    """A level lidar of an ego that drives straight: the points by hand, at each column's own time."""
    speed, road = 25.0, road_of((0, 0), 0.0, [(300, 0)])
    scene = replace(make_scene([[[100.0, -1.0]]], velocity=[[[speed, 0.0]]]), road=road)
    lidar = replace(LIDAR, sweep_s=0.1)
    ratio, tells = brightness(scene, lidar)
    ranges, times = render_lidar(scene, [lidar]).range_m[0, 0].double().numpy(), lidar.column_times_s()
    azimuth = 2.0 * math.pi * (np.arange(1024) + 0.5) / 1024
    flat = ranges * np.cos(np.array(DOWN))[:, None]
    xy = np.stack((100.0 + speed * times + flat * np.cos(azimuth), -1.0 + flat * np.sin(azimuth)), -1).reshape(-1, 2)
    chosen = np.flatnonzero(tells[0].numpy())[::7]
    around = [labels(road, xy[chosen] + (step, 0)) == Semantic.PAINT for step in (0.0, 0.03, -0.03)] + [
        labels(road, xy[chosen] + (0, step)) == Semantic.PAINT for step in (0.03, -0.03)
    ]
    clear = np.all([one == around[0] for one in around], axis=0)
    assert np.array_equal((ratio[0].numpy() > 1.5)[chosen][clear], around[0][clear])
    assert int(around[0][clear].sum()) > 20


@pytest.mark.parametrize("terms", [{"noise": False}, {"noise": True, "sweep_s": 0.1}])
def test_a_world_on_a_road_alone_equals_itself_among_many(make_scene, terms):
    scene = on_road(make_scene, ROADS["left bend"], worlds=5)
    lidars = [replace(LIDAR, **terms), replace(LIDAR, mount=Mount(z_m=1.4, roll_rad=0.1), **terms)]
    together = render_lidar(scene, lidars)
    for world in range(5):
        alone = render_lidar(scene.select([world]), lidars)
        for name in ("range_m", "intensity", "hit", "actor"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[world])
