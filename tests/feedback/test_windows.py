"""Feature windows: geometry against hand-computed cases, bounds, independence of batch and of what is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.gaps import FAR_M, FAR_S, box_time_to_collision, gaps, lane_poses
from feedback.windows import BOUND, WindowConfig, feature_names, lane_changed, progress_mps, windows
from sensors.errors import ConfigError
from sensors.scene import Scene

Build = Callable[..., Scene]
CONFIG = WindowConfig(num_neighbours=4, action_width=5)
NAMES = feature_names(CONFIG)


def feature(rows: torch.Tensor, name: str) -> torch.Tensor:
    return rows[:, NAMES.index(name)]


def window(scene: Scene, next_scene: Scene, action: int = 1, terminal: bool = False) -> torch.Tensor:
    count = scene.num_worlds
    return windows(scene, torch.full((count,), action), next_scene, torch.full((count,), terminal), CONFIG).features


def test_gap_is_bumper_to_bumper_on_the_own_lane(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0), (130.0, -4.0, 15.0), (125.0, 0.0, 10.0), (60.0, -4.0, 25.0)])
    measured = gaps(scene)
    assert measured.front_m.item() == pytest.approx(25.0)
    assert measured.front_closing_mps.item() == pytest.approx(5.0)
    assert measured.headway_s.item() == pytest.approx(1.25)
    assert measured.front_ttc_s.item() == pytest.approx(5.0)
    assert measured.rear_m.item() == pytest.approx(35.0)
    assert measured.rear_ttc_s.item() == pytest.approx(7.0)


def test_car_cutting_in_counts_before_its_centre_is_on_the_lane(highway_scene: Build) -> None:
    cutting_in = highway_scene([(100.0, -4.0, 20.0), (120.0, -2.01, 20.0)])
    beside = highway_scene([(100.0, -4.0, 20.0), (120.0, -1.9, 20.0)])
    assert gaps(cutting_in).front_m.item() == pytest.approx(15.0)
    assert gaps(beside).front_m.item() == FAR_M


def test_empty_road_is_far_and_never_collides(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0)])
    measured = gaps(scene)
    assert (measured.front_m.item(), measured.rear_m.item()) == (FAR_M, FAR_M)
    assert (measured.front_ttc_s.item(), box_time_to_collision(scene).item()) == (FAR_S, FAR_S)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_box_time_to_collision_equals_small_steps(highway_scene: Build, data: st.DataObject) -> None:
    x = data.draw(st.floats(-60, 60))
    y = data.draw(st.floats(-8, 8))
    vx, vy = data.draw(st.floats(-20, 20)), data.draw(st.floats(-4, 4))
    scene = highway_scene([(100.0, -4.0, 20.0), (100.0 + x, -4.0 + y, 20.0)])
    velocity = scene.velocity_mps.clone()
    velocity[0, 1] += torch.tensor([vx, vy])
    told = box_time_to_collision(replace(scene, velocity_mps=velocity)).item()
    times = torch.arange(0.0, FAR_S, 0.001, dtype=torch.float64)
    inside = ((x + vx * times).abs() < 4.98) & ((y + vy * times).abs() < 1.98)
    near = ((x + vx * times).abs() < 5.02) & ((y + vy * times).abs() < 2.02)
    assert not inside[times < told - 1e-3].any()  # nobody touches sooner
    assert told == FAR_S or near[(times - told).abs().argmin()]  # and then they do


def test_lane_poses_leave_absent_actors_alone(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0), (130.0, -8.5, 20.0)], [(50.0, 1.9, 20.0)])
    poses = lane_poses(scene)
    assert poses.lane[:, 0].tolist() == [1, 0]
    assert poses.lane[0, 1].item() == 2
    assert poses.lateral_m[0, 1].item() == pytest.approx(-0.5)
    assert poses.on_road.tolist() == [[True, True], [True, False]]


def test_off_the_road_is_told(highway_scene: Build) -> None:
    off = lane_poses(highway_scene([(100.0, 2.5, 20.0)]))
    assert not off.on_road.item()


def test_progress_and_lane_change(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0)])
    later = highway_scene([(123.0, -7.0, 25.0)], time_s=1.0)
    poses, next_poses = lane_poses(scene), lane_poses(later)
    assert progress_mps(scene, later, poses).item() == pytest.approx(23.0)
    assert lane_changed(scene, poses, next_poses).item()
    assert not lane_changed(scene, poses, poses).item()
    rows = window(scene, later)
    assert feature(rows, "lane_changed").item() == 1.0
    assert feature(rows, "progress").item() == pytest.approx(23.0 / 30.0)


def test_crash_is_one_window_and_then_dead(highway_scene: Build) -> None:
    alive = highway_scene([(100.0, -4.0, 20.0)])
    crashed = highway_scene([(118.0, -4.0, 10.0)], time_s=1.0, crashed=True)
    later = highway_scene([(120.0, -4.0, 0.0)], time_s=2.0, crashed=True)
    hit = windows(alive, torch.tensor([1]), crashed, torch.tensor([True]), CONFIG)
    after = windows(crashed, torch.tensor([1]), later, torch.tensor([True]), CONFIG)
    assert feature(hit.features, "crash").item() == 1.0
    assert hit.live.item()
    assert after.dead.item()
    assert not after.features.any()


def test_arrival_is_told_and_what_follows_is_constant(highway_scene: Build) -> None:
    scene, later = highway_scene([(100.0, -4.0, 20.0)]), highway_scene([(120.0, -4.0, 20.0)], time_s=1.0)
    yes = torch.tensor([True])
    arriving = windows(scene, torch.tensor([1]), later, yes, CONFIG)
    after = windows(scene, torch.tensor([1]), later, yes, CONFIG, ended=yes)
    assert feature(arriving.features, "arrival").item() == 1.0
    assert after.arrived.item() and not after.dead.item() and not after.features.any()


cars = st.tuples(st.floats(-1e4, 1e4), st.floats(-100, 100), st.floats(-40, 40))


@settings(max_examples=60, deadline=None)
@given(one=st.lists(cars, min_size=1, max_size=6), other=st.lists(cars, min_size=1, max_size=6))
def test_features_are_finite_and_bounded(highway_scene: Build, one: list[tuple[float, ...]], other: list[tuple[float, ...]]) -> None:
    rows = window(highway_scene(one), highway_scene(other, time_s=1.0))
    assert rows.shape == (1, len(NAMES))
    assert torch.isfinite(rows).all()
    assert rows.abs().max() <= BOUND


def test_absent_actors_may_hold_anything(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0), (130.0, -4.0, 20.0), (140.0, 0.0, 20.0)])
    valid = scene.valid.clone()
    valid[0, 2] = False
    position, velocity = scene.position_m.clone(), scene.velocity_mps.clone()
    position[0, 2], velocity[0, 2] = torch.nan, torch.nan
    garbage = replace(scene, position_m=position, velocity_mps=velocity, valid=valid)
    without = scene.map(lambda tensor: tensor[:, :2] if tensor.ndim > 1 and tensor.shape[1] == 3 else tensor)
    without = replace(without, size_m=scene.size_m[:, :2])
    later = highway_scene([(120.0, -4.0, 20.0)], time_s=1.0)
    assert torch.equal(window(garbage, later), window(without, later))
    assert torch.equal(window(scene, garbage), window(scene, without))


def test_one_world_alone_equals_one_among_many(highway_scene: Build) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([200, -8, 30])
    lists = [(torch.rand(7, 3, generator=generator) * spread).tolist() for _ in range(33)]
    scene, later = highway_scene(*lists), highway_scene(*reversed(lists), time_s=1.0)
    many = window(scene, later)
    for number in (0, 7, 32):
        alone = window(scene.select([number]), later.select([number]))
        assert torch.equal(alone[0], many[number])


def test_actions_of_an_autopilot_are_not_told(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0)])
    piloted = windows(scene, torch.tensor([3]), scene, torch.tensor([False]), CONFIG, autopilot=torch.tensor([True])).features
    driven = window(scene, scene, action=3)
    assert feature(driven, "action3").item() == 1.0
    assert feature(piloted, "action3").item() == 0.0


def test_action_that_the_model_does_not_know_is_refused(highway_scene: Build) -> None:
    scene = highway_scene([(100.0, -4.0, 20.0)])
    with pytest.raises(ConfigError, match="expected 0 to 4"):
        window(scene, scene, action=5)
    with pytest.raises(ConfigError, match=r"expected \(1, 5\)"):
        windows(scene, torch.zeros(1, 2), scene, torch.tensor([False]), CONFIG)
