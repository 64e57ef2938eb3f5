"""The scores, term by term, with the numbers worked out by hand.

The road is a straight highway of four lanes of 4 m: middles at y = 0, -4, -8, -12, edges at 2 and -14, speed limit 30 m/s. Cars are
5 m x 2 m. Unless it says otherwise instants are 0.2 s apart.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from envs.outcome import Outcome
from envs.road_maps import straight_highway
from envs.scores import EpisodeScores
from envs.scores.boxes import boxes_overlap
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Kind, Scene
from sensors.weather import Weather

ROAD = straight_highway(4)
DT_S = 0.2


def scene_at(time_s, *cars, crashed=(), acceleration=(0.0, 0.0), yaw_rate=0.0, obstacles=()):
    """One world of cars at (x, y, speed) or (x, y, speed, heading)."""
    table = torch.tensor([[*car, 0.0][:4] for car in cars], dtype=torch.float64)[None]
    count, heading = len(cars), table[..., 3]
    flat, flags = torch.zeros(1, count, dtype=torch.float64), torch.zeros(1, count, dtype=torch.bool)
    hit, kind, pushed, turn = flags.clone(), flat.long(), torch.zeros(1, count, 2, dtype=torch.float64), flat.clone()
    hit[0, list(crashed)] = True
    kind[0, list(obstacles)] = int(Kind.OBSTACLE)
    pushed[0, 0], turn[0, 0] = torch.tensor(acceleration, dtype=torch.float64), yaw_rate
    return Scene(
        position_m=table[..., :2],
        heading_rad=heading,
        velocity_mps=torch.stack((table[..., 2] * heading.cos(), table[..., 2] * heading.sin()), -1),
        acceleration_mps2=pushed,
        yaw_rate_radps=turn,
        size_m=torch.tensor([5.0, 2.0, 1.5], dtype=torch.float64).expand(1, count, 3),
        kind=kind,
        lights=flat.long(),
        crashed=hit,
        valid=~flags,
        road=ROAD,
        weather=Weather.clear(1),
        faults=Faults.none(1),
        time_s=torch.tensor([time_s], dtype=torch.float64),
        episode_seed=torch.zeros(1, dtype=torch.int64),
        step=torch.zeros(1, dtype=torch.int64),
        action=torch.zeros(1, 5),
    )


def outcome(terminated=False, truncated=False, **terms):
    """Of one world."""
    return Outcome(torch.zeros(1), torch.tensor([terminated]), torch.tensor([truncated]), {k: torch.tensor([v]) for k, v in terms.items()})


def scored(*scenes, horizon_s=10.0, **options):
    scores = EpisodeScores(scenes[0], horizon_s, **options)
    for scene in scenes[1:]:
        scores.add(scene)
    return {name: float(value) for name, value in scores.result().items()}


def ride(speed, instants, y=0.0, dt=DT_S, **more):
    """An ego alone, at constant speed."""
    return [scene_at(number * dt, (100.0 + speed * dt * number, y, speed), **more) for number in range(instants + 1)]


def test_an_undisturbed_ride_by_every_score():
    found = scored(*ride(20.0, 50))  # 200 m in 10 s, of 300 m at the speed limit
    assert found["progress_m"] == pytest.approx(200.0) and found["progress_share"] == pytest.approx(2 / 3)
    terms = ("no_collision", "on_road", "direction", "time_to_collision", "comfort", "lane_keeping", "extended_comfort", "speed")
    assert all(found[name] == 1.0 for name in (*terms, "never_close", "always_comfortable"))
    assert found["pdms"] == pytest.approx((5 + 5 * 2 / 3 + 2) / 12)
    assert found["epdms"] == pytest.approx((5 * 2 / 3 + 5 + 2 + 2 + 2) / 16)
    assert found["nuplan"] == pytest.approx((5 * 2 / 3 + 5 + 4 + 2) / 16)
    assert found["carla"] == pytest.approx(200 / 3) and found["route_completion"] == pytest.approx(2 / 3)
    assert (found["success"], found["cost"]) == (0.0, 0.0) and "progress_vs_idm" not in found


def test_a_route_as_long_as_idms_progress():
    found = scored(*ride(20.0, 50), idm_progress_m=torch.tensor([160.0]))
    assert found["progress_vs_idm"] == pytest.approx(1.25)
    assert found["nuplan"] == 1.0 and found["carla"] == 100.0 and found["route_completion"] == 1.0
    assert found["pdms"] == pytest.approx((5 + 5 * 2 / 3 + 2) / 12)  # PDMS stays with the speed limit
    near, short = (scored(*ride(20.0, 50), idm_progress_m=torch.tensor([metres]))["success"] for metres in (204.9, 205.1))
    assert (near, short) == (1.0, 0.0)  # within 5 m of the end, and not


def test_the_step_that_arrives_is_told_once():
    scenes = ride(20.0, 5)  # 4 m a step
    scores = EpisodeScores(scenes[0], 10.0, torch.tensor([15.0]))
    assert [float(scores.add(scene)["success"]) for scene in scenes[1:]] == [0.0, 0.0, 1.0, 0.0, 0.0]  # within 5 m after 10 m
    scores.add(scene_at(1.2, (124.0, 0.0, 20.0), crashed=(0,)))
    assert float(scores.result()["success"]) == 1.0  # it had arrived before


def test_nuplan_counts_no_progress_below_a_fifth():
    ratio = {metres: scored(*ride(2.0, 50), idm_progress_m=torch.tensor([metres]))["nuplan"] for metres in (99.0, 101.0)}  # 20 m driven
    assert ratio[99.0] == pytest.approx((5 * 20 / 99 + 5 + 4 + 2) / 16) and ratio[101.0] == 0.0


AHEAD, SIDE = (4.8, 0.5), (-0.5, -1.9)  # overlapping the bumper at x = 2.5, or only the flank


@pytest.mark.parametrize(
    ("ego", "other", "left"),
    [
        ((0.0, 0.0, 20.0), (*AHEAD, 10.0), 0.0),  # ran into who drives ahead
        ((0.0, 0.0, 20.0), (6.0, 0.5, 10.0), 0.0),  # the same, pushed 1 m apart
        ((0.0, 0.0, 20.0), (3.0, -1.9, 10.0), 0.0),  # its box, x 0.5 to 5.5 and y -2.9 to -0.9, is on the bumper's right end
        ((0.0, 0.0, 20.0), (-5.2, 0.0, 30.0), 1.0),  # was run into: 180 degrees from the rear axle
        ((0.0, 0.0, 20.0), (*SIDE, 20.0), 1.0),  # side by side, the ego within its lane (y -1 to 1)
        ((0.0, 0.0, 20.0), (-0.5, -3.2, 20.0), 1.0),  # the same, pushed 1.2 m apart
        ((0.0, -1.5, 20.0), (-0.5, -3.4, 20.0), 0.0),  # the same on the line: y -2.5 to -0.5, the lane ends at -2
        ((0.0, 1.5, 20.0), (-0.5, -0.4, 20.0), 0.0),  # the same, half off the road
        ((0.0, -1.5, 20.0), (-5.2, -1.5, 30.0), 1.0),  # between lanes, but from behind
        ((0.0, 0.0, 20.0), (*SIDE, 0.04), 0.0),  # who stands is always run into
        ((0.0, 0.0, 0.04), (*AHEAD, 10.0), 1.0),  # an ego that stands runs into nobody
    ],
)
def test_fault(ego, other, left):
    crash = scene_at(0.2, ego, other, (300.0, 0.0, 20.0), crashed=(0, 1, 2))  # another crash far away is none of the ego's
    found = scored(scene_at(0.0, ego, other, (300.0, 0.0, 20.0)), crash)
    assert found["no_collision"] == left and found["crashed"] == 1.0
    if left == 0.0:
        assert found["pdms"] == found["epdms"] == found["nuplan"] == 0.0


def test_the_one_who_crashed_is_judged_and_not_a_nearer_bystander():
    crash = scene_at(0.2, (0.0, 0.0, 20.0), (6.0, 0.5, 10.0), (-5.2, 0.0, 20.0), crashed=(0, 1))
    assert scored(scene_at(0.0, (-4.0, 0.0, 20.0)), crash)["no_collision"] == 0.0


def test_only_progress_counts_after_the_crash():
    start, crash = scene_at(0.0, (96.0, 0.0, 20.0)), scene_at(0.2, (100.0, 0.0, 20.0), (94.8, 0.0, 30.0), crashed=(0, 1))
    spun = scene_at(0.4, (104.0, 1.9, 20.0), (108.5, 1.9, 10.0), crashed=(0, 1), acceleration=(-20.0, 0.0))
    found = scored(start, crash, spun)
    assert found["no_collision"] == found["on_road"] == found["comfort"] == found["cost"] == 1.0  # as the crash from behind left them
    assert found["progress_m"] == pytest.approx(8.0) and found["time_s"] == pytest.approx(0.4)


def test_an_obstacle_leaves_half_and_carla_has_factors_of_its_own():
    start = scene_at(0.0, (0.0, 0.0, 20.0), (100.0, 0.0, 0.0), obstacles=(1,))
    crash = scene_at(3.0, (60.0, 0.0, 20.0), (64.5, 0.0, 0.0), crashed=(0, 1), obstacles=(1,))
    found = scored(start, crash)
    assert found["no_collision"] == 0.5
    assert found["carla"] == pytest.approx(100 * 60 / 300 * 0.65)
    car = scene_at(3.0, (60.0, 0.0, 20.0), (64.5, 0.0, 0.0), crashed=(0, 1))
    assert scored(scene_at(0.0, (0.0, 0.0, 20.0)), car)["carla"] == pytest.approx(100 * 60 / 300 * 0.60)
    assert found["cost"] == 1.0


def test_a_crash_without_anybody_is_the_egos_fault():
    assert scored(scene_at(0.0, (0.0, 0.0, 9.0)), scene_at(0.2, (1.8, 0.0, 9.0), crashed=(0,)))["no_collision"] == 0.0


def test_every_corner_must_stay_on_the_road_but_for_a_tolerance():
    assert scored(*ride(20.0, 5, y=1.25))["on_road"] == 1.0  # corners at 2.25, the edge at 2
    off = scored(*ride(20.0, 5, y=1.35))  # 2.35
    assert off["on_road"] == off["pdms"] == off["epdms"] == off["nuplan"] == 0.0
    slanted = math.atan2(1.0, 2.5)  # half diagonal sqrt(2.5^2 + 1^2) = 2.693: corners at 2.5 sin + cos = 1.857 above the middle
    inside, outside = ([scene_at(0.2 * n, (n, y, 1.0, slanted)) for n in range(2)] for y in (0.40, 0.50))
    assert scored(*inside)["on_road"] == 1.0 and scored(*outside)["on_road"] == 0.0


def test_driving_beside_the_lanes_costs():
    ys = (0.0, 0.0, 2.1, 2.1, 0.0, 2.1)  # three of five steps end beside the lanes, in two excursions
    scenes = [scene_at(0.2 * n, (100.0 + 10.0 * n, y, 50.0)) for n, y in enumerate(ys)]
    found = scored(*scenes)
    slanted = math.hypot(10.0, 2.1)
    beside = slanted + 10.0 + slanted  # into, along, (back: counts as within), into
    distance = 10.0 + slanted + 10.0 + slanted + slanted
    assert found["cost"] == 2.0
    scores = EpisodeScores(scenes[0], 10.0)
    assert [float(scores.add(scene)["cost"]) for scene in scenes[1:]] == [0.0, 1.0, 0.0, 0.0, 1.0]  # the third step stays beside
    assert found["progress_m"] == pytest.approx(20.0)  # of the steps that end within a lane
    assert found["carla"] == pytest.approx(100 * 20 / 300 * (1 - beside / distance))


@pytest.mark.parametrize(("speed", "left"), [(1.9, 1.0), (2.1, 0.5), (5.9, 0.5), (6.1, 0.0)])
def test_driving_against_the_traffic(speed, left):
    scenes = [scene_at(DT_S * n, (500.0 - speed * DT_S * n, 0.0, speed, math.pi)) for n in range(11)]
    found = scored(*scenes)  # metres within one second are the speed
    assert found["direction"] == left
    assert found["progress_m"] == pytest.approx(-2 * speed) and found["route_completion"] == 0.0 and found["nuplan"] == 0.0


def test_each_world_counts_its_own_second():
    def against(speed, dt):
        return [scene_at(dt * n, (500.0 - speed * dt * n, 0.0, speed, math.pi)) for n in range(9)]

    worlds = [Scene.cat(pair) for pair in zip(against(1.9, 0.2), against(3.0, 0.5), strict=True)]
    scores = EpisodeScores(worlds[0], 10.0)
    for scene in worlds[1:]:
        scores.add(scene)
    assert scores.result()["direction"].tolist() == [1.0, 0.5]  # 1.9 m, and 3 m in two steps


def test_of_two_lanes_in_one_place_the_aligned_one_counts():
    ways = (chain((0.0, 0.0), 0.0, [(1000.0, 0.0)]), chain((1000.0, 0.0), math.pi, [(1000.0, 0.0)]))
    road = RoadMap.build([Lane(pieces, 4.0, Line.SOLID, Line.SOLID, 30.0, str(n), 0) for n, pieces in enumerate(ways)])
    there = [replace(scene, road=road) for scene in ride(20.0, 5)]
    back = [replace(scene_at(DT_S * n, (500.0 - 4.0 * n, 0.0, 20.0, math.pi)), road=road) for n in range(6)]
    assert scored(*there)["progress_m"] == pytest.approx(20.0) == scored(*back)["progress_m"]


def test_time_to_collision_looks_nine_tenths_of_a_second_ahead():
    far, near = (scene_at(DT_S, (0.0, 0.0, 30.0), (gap, 0.0, 20.0)) for gap in (15.0, 13.9))
    start = scene_at(0.0, (-6.0, 0.0, 30.0), (9.0, 0.0, 20.0))
    assert scored(start, far)["time_to_collision"] == 1.0  # 9 m closed: 6 m between middles, 5 m touch
    found = scored(start, near)
    assert found["time_to_collision"] == 0.0 and found["never_close"] == 0.0  # 4.9 m
    later = scene_at(2 * DT_S, (6.0, 0.0, 30.0), (40.0, 0.0, 20.0))
    assert scored(start, near, later)["time_to_collision"] == 0.5


@pytest.mark.parametrize(("y", "share"), [(0.0, 1.0), (-1.6, 0.0)])
def test_who_comes_from_the_side_counts_between_lanes_only(y, share):
    """From the rear axle the other is at (2.5, -6), 67 degrees to the right; it crosses at 5 m/s and overlaps after 0.6 s."""
    scenes = [scene_at(DT_S * n, (100.0, y, 1.0), (100.0, y - 6.0, 5.0, math.pi / 2)) for n in range(2)]
    assert scored(*scenes)["time_to_collision"] == share


def test_who_is_behind_is_no_danger_and_who_stands_is_not_asked():
    behind = [scene_at(DT_S * n, (100.0, -1.6, 20.0), (94.0, -1.6, 40.0)) for n in range(2)]
    standing = [scene_at(DT_S * n, (100.0, 0.0, 0.004), (106.0, 0.0, -20.0)) for n in range(2)]
    assert scored(*behind)["time_to_collision"] == scored(*standing)["time_to_collision"] == 1.0


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ({"acceleration": (2.39, 0.0)}, {"acceleration": (2.41, 0.0)}),
        ({"acceleration": (-4.04, 0.0)}, {"acceleration": (-4.06, 0.0)}),
        ({"acceleration": (0.0, 4.88)}, {"acceleration": (0.0, -4.90)}),
        ({"yaw_rate": 0.94}, {"yaw_rate": -0.96}),
    ],
)
def test_bounds_of_comfort(within, beyond):
    assert scored(*ride(20.0, 4, **within))["comfort"] == 1.0
    found = scored(*ride(20.0, 4, **beyond))
    assert found["comfort"] == found["always_comfortable"] == 0.0


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        ({"acceleration": (0.82, 0.0)}, {"acceleration": (0.84, 0.0)}),  # 4.1 and 4.2 m/s3, of 4.13 along the heading
        ({"acceleration": (0.0, 1.66)}, {"acceleration": (0.0, 1.68)}),  # 8.3 and 8.4, of 8.37
        ({"yaw_rate": 0.38}, {"yaw_rate": 0.39}),  # 1.9 and 1.95 rad/s2, of 1.93
    ],
)
def test_bounds_of_changes(within, beyond):
    for change, share in ((within, 1.0), (beyond, 0.75)):  # of four instants, one differs from the one before
        calm, moved = ride(20.0, 4), ride(20.0, 4, **change)
        assert scored(*calm[:3], *moved[3:])["comfort"] == share


def test_the_first_instant_has_no_jerk():
    """Nobody had driven at the reset."""
    assert scored(ride(20.0, 1)[0], *ride(20.0, 2, acceleration=(2.0, 0.0))[1:])["comfort"] == 1.0


def test_astray_for_two_seconds():
    def drift(instants, y=0.6):
        middle, aside = ride(20.0, 20), ride(20.0, 20, y=y)
        return scored(*middle[:5], *aside[5 : 5 + instants], *middle[5 + instants :])["lane_keeping"]

    assert drift(9) == 1.0  # 1.8 s
    assert drift(10) == 0.5  # 2.0 s: ten of twenty instants
    assert drift(12) == pytest.approx(0.4)
    assert drift(12, y=0.5) == 1.0  # not further than 0.5 m


def test_decisions_are_compared_with_the_ones_before():
    def driven(*accelerations):
        return [scene_at(1.0 * n, (100.0 + 20 * n, 0.0, 20.0), acceleration=(a, 0.0)) for n, a in enumerate((0.0, *accelerations))]

    assert scored(*driven(0.0, 0.0, 0.4, 0.8, 0.8))["extended_comfort"] == 1.0  # steps of 0.4 m/s2 (0.7), jerk changes by 0.4 (0.5)
    assert scored(*driven(0.0, 0.0, 0.6, 0.6, 0.6))["extended_comfort"] == pytest.approx(1 / 3)  # jerk 0, 0.6, 0, 0: two of three differ
    short = scored(*driven(0.0, 0.0))
    assert short["epdms"] == pytest.approx((5 * 40 / 300 + 5 + 2 + 2) / 14)  # nothing to compare: the weight goes to the others


def test_root_mean_squares_are_over_a_decisions_substeps():
    def decision(number, accelerations):
        instants = [
            scene_at(number + (n + 1) / 2, (100.0 + 20 * number + 10 * n, 0.0, 20.0), acceleration=(0.0, a))
            for n, a in enumerate(accelerations)
        ]
        return instants[-1], Outcome(torch.zeros(1), torch.tensor([False]), torch.tensor([False]), substeps=tuple(instants))

    scores = EpisodeScores(scene_at(0.0, (90.0, 0.0, 20.0)), 10.0)
    for number, accelerations in enumerate(((1.0, 1.0), (1.0, 1.0), (1.0, 1.3))):
        step = scores.add(*decision(number, accelerations))
    # second instants differ by 0.3 m/s2 and 0.3 / 0.5 s = 0.6 m/s3: root mean squares 0.21 and 0.42, within 0.7 and 0.5
    assert float(step["extended_comfort"]) == 1.0
    step = scores.add(*decision(3, (1.3, 2.1)))  # jerk (0, 1.6) after (0, 0.6): 0.71
    assert float(step["extended_comfort"]) == 0.0 and float(scores.result()["extended_comfort"]) == 0.5


@pytest.mark.parametrize(("speed", "share"), [(30.0, 1.0), (31.115, 0.5), (33.0, 0.0)])
def test_speed_limit(speed, share):
    assert scored(*ride(speed, 10))["speed"] == pytest.approx(share)  # mean overspeed 0, 1.115, 3.0 of 2.23


def test_nothing_counts_once_an_episode_is_over():
    scores = EpisodeScores(ride(20.0, 0)[0], 10.0)
    scores.add(ride(20.0, 1)[1], outcome(truncated=True))
    before = scores.result()
    step = scores.add(scene_at(0.4, (900.0, 50.0, 10.0), (903.0, 50.0, 0.0), crashed=(0, 1), acceleration=(9.0, 0.0)), outcome(True))
    after = scores.result()
    assert not bool(scores.running.any()) and float(step["cost"]) == 0.0
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_worlds_can_be_left_out_by_a_mask():
    scores = EpisodeScores(ride(20.0, 0)[0], 10.0)
    scores.add(ride(20.0, 1)[1], active=torch.tensor([False]))
    assert float(scores.result()["progress_m"]) == 0.0 and bool(scores.running.all())


def test_what_was_left_out_is_not_compared_with():
    scores = EpisodeScores(ride(20.0, 0)[0], 10.0)
    for scene, counted in zip(ride(20.0, 4)[1:], (True, True, False, True), strict=True):
        scores.add(scene, active=torch.tensor([counted]))
    assert float(scores.tally.compared) == 0.0


def test_a_world_that_was_reset_is_noticed():
    scores = EpisodeScores(ride(20.0, 0)[0], 10.0)
    scores.add(ride(20.0, 2)[2])
    with pytest.raises(ConfigError, match=r"time of world 0 goes from 0\.4 to 0 s"):
        scores.add(ride(20.0, 0)[0])


def test_who_arrives():
    def ended(**how):
        scores = EpisodeScores(ride(20.0, 0)[0], 10.0)
        step = scores.add(how.pop("scene", ride(20.0, 1)[1]), outcome(**how))
        assert torch.equal(step["success"], scores.result()["success"])
        return float(step["success"])

    assert ended(terminated=True) == 1.0 and ended(truncated=True) == 0.0
    assert ended(terminated=True, scene=scene_at(0.2, (104.0, 2.1, 20.0))) == 0.0  # left the lanes
    assert ended(terminated=True, scene=scene_at(0.2, (104.0, 0.0, 20.0), crashed=(0,))) == 0.0
    assert ended(terminated=True, arrived_reward=0.0) == 0.0  # an intersection that ended elsewhere
    scores = EpisodeScores(ride(20.0, 0)[0], 10.0, torch.tensor([3.0]))  # 4 m driven: at the end of IDM's route, but not at the goal
    assert float(scores.add(ride(20.0, 1)[1], outcome(truncated=True, goal_reward=0.0))["success"]) == 0.0
    assert ended(truncated=True, goal_reward=1.0) == 1.0 and ended(goal_reward=1.0) == 0.0  # on the exit at the end, or on the way


def test_without_lanes_what_needs_them_is_absent_and_not_one():
    found, usual = scored(*ride(0.0, 5), lanes=False), scored(*ride(0.0, 5))
    gone = {"on_road", "direction", "lane_keeping", "speed", "carla", "route_completion", "progress_share", "progress_m"}
    gone |= {"pdms", "epdms", "nuplan"}  # without progress, an ego that stands would be perfect
    assert found.keys() == usual.keys() - gone and "time_to_collision" in found and "success" in found
    assert set(EpisodeScores(ride(20.0, 0)[0], 10.0, lanes=False).versions) == {"success", "cost"}


def test_every_score_has_a_version_that_says_whose_route():
    start = ride(20.0, 0)[0]
    plain, idm = EpisodeScores(start, 10.0).versions, EpisodeScores(start, 10.0, torch.tensor([100.0])).versions
    assert set(plain) == {"pdms", "epdms", "nuplan", "carla", "route_completion", "success", "cost"}
    assert "speed limit" in plain["nuplan"] and "IDM" in idm["nuplan"] and plain["pdms"] == idm["pdms"]


@pytest.mark.parametrize(("horizon", "progress", "message"), [(0.0, None, "horizon_s is 0.0"), (5.0, torch.zeros(2), r"shape \(2,\)")])
def test_wrong_arguments(horizon, progress, message):
    with pytest.raises(ConfigError, match=message):
        EpisodeScores(ride(20.0, 0)[0], horizon, progress)


@pytest.mark.parametrize(
    ("y", "turn", "expected"), [(1.9, 0.0, True), (2.1, 0.0, False), (3.4, math.pi / 2, True), (3.6, math.pi / 2, False)]
)
def test_boxes_overlap_by_their_sides(y, turn, expected):
    size = torch.tensor([[5.0, 2.0, 1.5]])
    found = boxes_overlap(torch.tensor([[[0.0, y]]]), (torch.tensor([[0.0]]), torch.tensor([[turn]])), (size, size))
    assert found.tolist() == [[expected]]


def test_boxes_at_an_angle_are_separated_by_either_ones_axes():
    size = torch.tensor([[5.0, 2.0, 1.5]])
    turn = torch.tensor([[math.pi / 4]])
    corner = (5.0 + 2.0) / 2 / math.sqrt(2.0)  # half extent of the turned box along x and y
    for gap, expected in ((-0.05, True), (0.05, False)):
        found = boxes_overlap(torch.tensor([[[0.0, 1.0 + corner + gap]]]), (torch.tensor([[0.0]]), turn), (size, size))
        assert found.tolist() == [[expected]]
