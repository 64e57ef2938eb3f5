"""The score and its intervals, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from drive_fusion.intervals import mean, paired_difference, wilson
from drive_fusion.score import Scorer, at_fault, boxes_overlap
from sensors.scene import Scene

RUNNING = torch.tensor([True])


def parts_of(*scenes: Scene, horizon_s: float = 10.0) -> dict[str, float]:
    scorer = Scorer(scenes[0], horizon_s)
    for scene in scenes[1:]:
        scorer.add(scene, RUNNING)
    return {name: float(values) for name, values in scorer.parts().items()}


def test_an_undisturbed_ride_scores_by_its_progress(scene_of):
    scenes = [scene_of((15.0 * number, 0.0, 15.0)) for number in range(11)]
    parts = parts_of(*scenes)  # 150 m of 30 m/s x 10 s
    assert parts["progress"] == pytest.approx(0.5)
    assert (parts["no_collision"], parts["on_road"], parts["time_to_collision"], parts["comfort"]) == (1.0, 1.0, 1.0, 1.0)
    assert parts["score"] == pytest.approx((5.0 + 2.5 + 2.0) / 12.0)


def test_time_to_collision_counts_the_instants_within_nine_tenths_of_a_second(scene_of):
    far, near = scene_of((0.0, 0.0, 30.0), (15.0, 0.0, 20.0)), scene_of((0.0, 0.0, 30.0), (13.9, 0.0, 20.0))
    assert parts_of(far, far, near)["time_to_collision"] == pytest.approx(0.5)  # 9 m closed at 0.9 s: 6 m apart, or 4.9 m


def test_who_is_beside_or_behind_is_no_danger_ahead(scene_of):
    beside, behind = scene_of((0.0, 0.0, 30.0), (5.0, -4.0, 0.0)), scene_of((0.0, 0.0, 20.0), (-6.0, 0.0, 40.0))
    assert parts_of(beside, beside, behind)["time_to_collision"] == 1.0


def test_hard_acceleration_is_uncomfortable(scene_of):
    calm, hard = scene_of((0.0, 0.0, 20.0), acceleration=2.3), scene_of((0.0, 0.0, 20.0), acceleration=2.5)
    braked = scene_of((0.0, 0.0, 20.0), acceleration=-4.1)
    assert parts_of(calm, calm, calm, hard, braked)["comfort"] == pytest.approx(0.5)


def test_a_collision_that_the_ego_caused_scores_nothing(scene_of):
    crash = scene_of((0.0, 0.0, 20.0), (4.5, 0.0, 10.0), crashed=(0, 1))
    assert parts_of(crash, crash)["no_collision"] == 0.0
    assert parts_of(crash, crash)["score"] == 0.0


def test_being_run_into_from_behind_is_not_the_egos_fault(scene_of):
    assert not bool(at_fault(scene_of((0.0, 0.0, 10.0), (-4.5, 0.0, 20.0), crashed=(0, 1))))
    assert bool(at_fault(scene_of((0.0, 0.0, 10.0), (-4.5, 0.0, 20.0), (4.0, 0.5, 5.0), crashed=(0, 2))))
    assert bool(at_fault(scene_of((0.0, 0.0, 0.0), (-4.5, 0.0, 20.0), crashed=(0, 1))))  # standing in the way


def test_leaving_the_road_scores_nothing_and_the_edge_has_a_tolerance(scene_of):
    edge = float(scene_of((0.0, 0.0, 0.0)).road.lanes.start_m[:, 1].max()) + 2.0
    on, off = scene_of((0.0, edge + 0.25, 20.0)), scene_of((0.0, edge + 0.35, 20.0))
    assert parts_of(on, on)["on_road"] == 1.0
    assert parts_of(on, off)["on_road"] == 0.0


def test_nothing_counts_once_an_episode_is_over(scene_of):
    start, later = scene_of((0.0, 0.0, 10.0)), scene_of((10.0, 0.0, 10.0))
    scorer = Scorer(start, 10.0)
    scorer.add(later, RUNNING)
    before = {name: values.clone() for name, values in scorer.parts().items()}
    scorer.add(scene_of((500.0, 99.0, 10.0), (503.0, 99.0, 0.0), crashed=(0, 1), acceleration=9.0), ~RUNNING)
    for name, values in scorer.parts().items():
        assert torch.equal(values, before[name]), name


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


def test_wilsons_interval_against_published_values():
    none = wilson(0, 600)
    assert (none.value, none.low) == (0.0, 0.0) and none.high == pytest.approx(0.00636, abs=1e-5)
    some = wilson(15, 600)
    assert (some.low, some.high) == (pytest.approx(0.01520, abs=1e-5), pytest.approx(0.04083, abs=1e-5))
    assert wilson(5, 5).high == 1.0


def test_means_and_paired_differences():
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    figure = mean(values)
    assert figure.value == pytest.approx(values.mean())
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 * values.std() / 20.0, rel=0.1)
    shifted = paired_difference(values + 0.5, values)
    assert (shifted.low, shifted.value, shifted.high) == pytest.approx((0.5, 0.5, 0.5))
    assert figure.text(1) == f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"
