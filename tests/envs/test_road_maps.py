"""Road maps of highway-env's roads: the same lanes, flipped to y left."""

import gymnasium
import highway_env  # noqa: F401
import numpy as np
import pytest
from highway_env.road.lane import CircularLane, LineType, PolyLane, PolyLaneFixedWidth, SineLane, StraightLane
from highway_env.road.road import RoadNetwork

from envs.class_constants import in_place, pristine
from envs.ids import SINGLE_AGENT_IDS
from envs.road_maps import LONGEST_TURN_RAD, road_map_of, straight_highway
from sensors.errors import ConfigError
from sensors.road import Line

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # gymnasium's, at older ids
ROADS = tuple(id for id in SINGLE_AGENT_IDS if id.endswith("v0") and id not in ("parking-ActionRepeat-v0", "parking-parked-v0"))
LANES = {
    "sine": SineLane([5, 3], [205, 43], amplitude=4.0, pulsation=2 * np.pi / 60, phase=0.7, width=5.0),
    "sharp sine": SineLane([0, 0], [40, 0], amplitude=2.0, pulsation=2 * np.pi / 12, phase=0.0),
    "right turn": CircularLane([10, -5], 30.0, np.deg2rad(20), np.deg2rad(290), clockwise=True),
    "left turn": CircularLane([10, -5], 12.0, np.deg2rad(20), np.deg2rad(-100), clockwise=False),
    "polyline": PolyLaneFixedWidth([(0, 0), (10.5, 1), (20, 5), (23, 15), (22.3, 40)], width=3.5),
    "boundaries": PolyLane(
        [(0, 0), (20, 1), (40, 6)], [(0, -3), (20, -2), (40, 3)], [(0, 3), (20, 4), (40, 9)], line_types=(LineType.NONE, LineType.STRIPED)
    ),
    "straight": StraightLane([3, 4], [-20, 30]),
}


def map_of(lane):
    network = RoadNetwork()
    network.add_lane("a", "b", lane)
    return road_map_of(network)


def distance_to_map(road, lane_number, points_m):
    """Distance of points from a lane's centre, inside the span of each piece only."""
    run, lateral, _ = road.project(points_m)
    pieces = road.lanes
    overshoot = np.maximum(run - pieces.offset_m - pieces.length_m, 0) + np.maximum(pieces.offset_m - run, 0)
    distance = np.hypot(lateral, overshoot)
    distance[:, road.lane_of_piece != lane_number] = np.inf
    return distance.min(1)


def centre_of(lane, count=400):
    """Points along highway-env's own lane, y left."""
    points = np.array([lane.position(run, 0.0) for run in np.linspace(0.0, lane.length, count)])
    return points * (1.0, -1.0)


@pytest.mark.parametrize("name", LANES)
def test_a_lane_lies_within_a_centimetre_of_highway_envs(name):
    lane = LANES[name]
    assert distance_to_map(map_of(lane), 0, centre_of(lane)).max() < 0.01


@pytest.mark.parametrize("name", LANES)
def test_offset_to_the_right_of_highway_env_is_negative_lateral(name):
    lane = LANES[name]
    run = lane.length * 0.43
    point = np.array([lane.position(run, 1.0)]) * (1.0, -1.0)
    road = map_of(lane)
    _, _, lateral, error = road.locate(point, np.array([-lane.heading_at(run)]))
    slope = abs(lane.heading_at(run) - lane.heading) if isinstance(lane, SineLane) else 0.0  # its offset is along the axis' normal
    assert lateral[0] == pytest.approx(-np.cos(slope), abs=0.03)
    assert abs(error[0]) < (0.1 if name == "sharp sine" else 0.03)


def test_headings_of_arcs_are_those_of_the_lane():
    for name in ("sine", "right turn", "left turn"):
        lane = LANES[name]
        runs = np.linspace(0.0, lane.length, 50)[1:-1]
        headings = -np.array([lane.heading_at(run) for run in runs])
        points = np.array([lane.position(run, 0.0) for run in runs]) * (1.0, -1.0)
        _, _, _, error = map_of(lane).locate(points, headings)
        assert np.abs(error).max() < 0.03, name


def test_no_piece_turns_more_than_a_quarter():
    for lane in LANES.values():
        pieces = map_of(lane).lanes
        assert np.abs(pieces.curvature_per_m * pieces.length_m).max() < LONGEST_TURN_RAD + 1e-9


def test_a_sine_needs_few_arcs():
    assert len(map_of(LANES["sine"]).lanes.length_m) <= 60  # 200 m


@pytest.mark.parametrize("id", ROADS)
def test_every_road_of_highway_env_is_mapped(id):
    with in_place(pristine()):
        network = gymnasium.make(id, disable_env_checker=True).unwrapped.road.network
    road = road_map_of(network, id)
    lanes = network.lanes_dict()
    assert road.num_lanes == len(lanes)
    for number, ((start, end, index), lane) in enumerate(lanes.items()):
        assert distance_to_map(road, number, centre_of(lane, 60)).max() < 0.01
        assert road.lane_index[number] == index
        assert road.lane_width_m[number] == lane.width
        assert road.lane_speed_limit_mps[number] == lane.speed_limit
        neighbours = {n for n, (a, b, _) in enumerate(lanes) if (a, b) == (start, end)}
        assert set(np.flatnonzero(road.lane_road == road.lane_road[number])) == neighbours


def test_paint_is_on_the_side_where_highway_env_has_it():
    lane = StraightLane([0, 0], [100, 0], line_types=[LineType.CONTINUOUS_LINE, LineType.NONE])
    road = map_of(lane)
    assert road.paint_line.tolist() == [Line.SOLID]
    assert road.paint.start_m.tolist() == [[0.0, 2.0]]  # side 0 is highway-env's left: y up
    striped = map_of(StraightLane([0, 0], [100, 0], line_types=[LineType.NONE, LineType.STRIPED]))
    assert striped.paint_line.tolist() == [Line.DASHED] and striped.paint.start_m[0, 1] == -2.0


def test_the_straight_highway_is_highway_envs():
    with in_place(pristine()):
        network = RoadNetwork.straight_road_network(3, speed_limit=30)
    ours, theirs = straight_highway(3), road_map_of(network)
    for name in ("lane_of_piece", "lane_width_m", "lane_length_m", "lane_speed_limit_mps", "lane_road", "lane_index", "paint_line"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    for table in ("lanes", "paint"):
        for name, values in vars(getattr(ours, table)).items():
            assert np.array_equal(values, getattr(getattr(theirs, table), name)), name


def test_a_highway_without_lanes_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        straight_highway(0)


def test_an_unknown_lane_class_is_named():
    class SpiralLane:
        line_types = None

    network = RoadNetwork()
    network.add_lane("a", "b", SpiralLane())
    with pytest.raises(ConfigError, match="SpiralLane"):
        road_map_of(network)
