"""Painted lines and surfaces: the lookup against the road map's own projection, and far from the origin."""

import numpy as np
import pytest

from sensors.frames import Semantic
from sensors.ground import GROUND_ROWS, HARD_SHARE, LABEL, PAINT_SHARE, ROAD_SHARE, STRIDE, UX, VY, X, Y, ground_row, place_in_grid
from sensors.paint import SHOULDER_M, build_grid, grid_of
from sensors.road import DASH_M, DASH_PERIOD_M, Lane, Line, RoadMap, chain


def road_of(start, heading, arcs, lanes=2, width=4.0):
    first = chain(start, heading, arcs)
    return RoadMap.build(
        [
            Lane(
                first.shifted(-width * n),
                width,
                Line.SOLID if n == 0 else Line.DASHED,
                Line.SOLID if n == lanes - 1 else Line.NONE,
                30,
                "r",
                n,
            )
            for n in range(lanes)
        ]
    )


def look_up(road, points, size_m=0.01):
    """Paint, road and hard shares and labels of points (N, 2), by pixels of ``size_m``."""
    scratch = np.zeros(GROUND_ROWS * STRIDE, np.float32)
    at, count = points[0], len(points)
    for row, values in ((X, points[:, 0] - at[0]), (Y, points[:, 1] - at[1]), (UX, size_m), (VY, size_m)):
        scratch[int(row) : int(row) + count] = values
    grid = build_grid(road).arrays()
    place = place_in_grid(grid, *at)
    for n in range(count):  # one by one, in order: points of a row lie on a line, these do not, and a call may write beyond its last
        ground_row(grid, place, scratch, n, 1)
    return tuple(scratch[int(row) : int(row) + count] for row in (PAINT_SHARE, ROAD_SHARE, HARD_SHARE, LABEL))


ROADS = {
    "straight": road_of((0, 0), 0.0, [(300, 0)]),
    "slanting": road_of((-40, 30), 0.7, [(300, 0)]),
    "left bend": road_of((5, 5), 0.3, [(60, 0), (90, 1 / 30), (40, 0)]),
    "right bend": road_of((5, 5), 2.0, [(30, 0), (60, -1 / 25), (50, 1 / 60)]),
    "far away": road_of((9_700, -300), 0.1, [(200, 0)]),
}


@pytest.mark.parametrize("name", ROADS)
def test_surface_agrees_with_the_maps_own_projection(name):
    road = ROADS[name]
    generator = np.random.default_rng(1)
    points = road.lanes.start_m[0] + generator.uniform(-60, 160, (3000, 2))
    run, lateral, _ = road.project(points)
    start = road.lanes.offset_m
    over = np.maximum(np.maximum(start - run, run - start - road.lanes.length_m), 0.0)
    beside = 2.0 - np.abs(lateral)
    inside = np.where(over > 0, np.minimum(-over, beside), beside).max(1)
    clear = np.minimum(np.abs(inside), np.abs(inside + SHOULDER_M)) > 0.03
    _, _, _, label = look_up(road, points)
    expected = np.where(inside >= 0, Semantic.ROAD, np.where(inside >= -SHOULDER_M, Semantic.SHOULDER, Semantic.GRASS))
    paved = label != Semantic.PAINT
    assert clear.sum() > 2000
    assert np.array_equal(label[clear & paved], expected[clear & paved])


@pytest.mark.parametrize("name", ROADS)
def test_solid_paint_lies_on_its_line_and_not_half_a_metre_beside(name):
    road = ROADS[name]
    piece = int(np.flatnonzero(road.paint_line == Line.SOLID)[0])
    start, heading = road.paint.start_m[piece], road.paint.heading_rad[piece]
    along = np.linspace(2, road.paint.length_m[piece] - 2, 200)[:, None]
    line = start + along * (np.cos(heading), np.sin(heading))
    left = np.asarray((-np.sin(heading), np.cos(heading)))
    assert road.paint.curvature_per_m[piece] == 0.0
    assert np.allclose(look_up(road, line)[0], 1.0)
    for side in (0.5, -0.5):
        assert np.allclose(look_up(road, line + side * left)[0], 0.0)


def test_dashes_have_their_length_and_period():
    road = ROADS["straight"]
    piece = int(np.flatnonzero(road.paint_line == Line.DASHED)[0])
    x = np.arange(9.0, 90.0, 0.05)
    paint = look_up(road, np.stack((x, np.full_like(x, road.paint.start_m[piece, 1])), -1))[0]
    expected = (x % DASH_PERIOD_M) < DASH_M
    edge = np.minimum(np.abs(x % DASH_PERIOD_M - DASH_M), np.minimum(x % DASH_PERIOD_M, DASH_PERIOD_M - x % DASH_PERIOD_M)) < 0.02
    assert np.array_equal(paint[~edge] > 0.5, expected[~edge])


def test_equal_maps_share_a_grid():
    assert grid_of(road_of((0, 0), 0.0, [(50, 0)])) is grid_of(road_of((0, 0), 0.0, [(50, 0)]))
