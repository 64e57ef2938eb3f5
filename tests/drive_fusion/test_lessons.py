"""Eyes taught on free labels: labels and frames tell of one world, and what is learned holds on episodes not taught."""

from __future__ import annotations

import pytest
import torch

from drive_fusion.extractor import FusedExtractor
from drive_fusion.heads import Cell, TeachConfig, labels_of, lessons_of, skill, teach
from drive_fusion.policy_driver import driver_of
from drive_fusion.sizes import SIZES
from envs.observation import observation_space
from envs.rollout import record
from envs.world import World
from sensors.errors import ConfigError


@pytest.fixture(scope="module")
def recordings():
    world = World("highway-fast-v0", 10, config={"duration": 25})
    return record(world, driver_of("idm", world), torch.arange(10), until_horizon=True)


def test_taught_eyes_see_cars_on_episodes_that_they_were_not_taught(recordings, micro):
    lessons = lessons_of(recordings, micro)
    taught, judged = (lessons.select(rows.nonzero().flatten()) for rows in (lessons.episode < 8, lessons.episode >= 8))
    torch.manual_seed(0)
    extractor = FusedExtractor(observation_space(micro, 5), micro)
    shares: list[float] = []
    heads = teach(extractor, taught, micro, TeachConfig(epochs=10, batch=32), shares.append)
    found = skill(extractor, heads, judged)
    assert found["occupancy_iou"] > 0.3  # cells of 6.4 x 1.6 m of which 3 in 100 hold a car; all of them would be 0.03
    assert found["velocity_mps"] < 5.0  # cars go at some 20 m/s
    assert found["depth_bins"] < 0.8  # of eight bins
    assert shares[-1] == 1.0 and shares == sorted(shares)
    assert not extractor.training


def test_a_lesson_is_what_the_recorded_scene_was(recordings, micro):
    lessons = lessons_of(recordings[:2], micro)
    instants = recordings[1].decision_instants()
    assert len(lessons) == sum(recording.num_decisions for recording in recordings[:2])
    row = int((lessons.episode == 0).sum()) + 3
    now, later = (recordings[1].scenes.select([int(instants[number])]) for number in (3, 4))
    assert float(later.time_s - now.time_s) == pytest.approx(1.0, abs=1e-6)
    expected = labels_of(now, micro, SIZES["micro"], later=later)
    assert torch.equal(lessons.labels.occupied[row], expected.occupied[0])
    assert torch.equal(lessons.labels.occupied_later[row], expected.occupied_later[0])
    assert torch.equal(lessons.labels.cell[row], expected.cell[0]) and (expected.cell == Cell.LINE).any()
    last = lessons.episode.bincount().cumsum(0) - 1
    assert bool(lessons.labels.later_known[row]) and lessons.labels.later_known[last].all()  # the last decision's outcome is recorded


def test_nothing_teaches_nothing(micro):
    with pytest.raises(ConfigError, match="no recorded instants"):
        lessons_of([], micro)
    with pytest.raises(ConfigError, match="epochs 0"):
        TeachConfig(epochs=0)
