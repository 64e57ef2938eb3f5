"""DARD: nothing where rewards order policies alike, everything where they are opposite, and ranks by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from envs.world import World
from feedback.gaps import lane_poses
from feedback.reward_distance import _ranks, reward_distance, true_reward_of
from feedback.windows import progress_mps
from sensors.errors import ConfigError
from sensors.scene import Scene

GAMMA = 0.9
SEEDS = list(range(8))
truth = true_reward_of(1.0)


@pytest.fixture(scope="module")
def world() -> World:
    return World("highway-fast-v0", num_worlds=8, num_threads=1, config={"vehicles_count": 10})


def shaped(scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
    """Twice the truth, moved, and with a potential that depends on the speed and the lane."""

    def potential(at: Scene) -> Tensor:
        return 0.3 * at.speed_mps[:, 0] + at.position_m[:, 0, 1]

    return 2.0 * truth(scene, actions, next_scene, terminal) + 5.0 + GAMMA * potential(next_scene) - potential(scene)


def test_scale_offset_and_shaping_are_no_distance(world: World) -> None:
    told = reward_distance(world, truth, shaped, SEEDS, decisions=2, gamma=GAMMA)
    assert told.dard == pytest.approx(0.0, abs=2e-3)
    assert told.spearman > 0.999
    assert told.transitions >= 10


def test_opposite_rewards_are_as_far_as_can_be_and_others_in_between(world: World) -> None:
    def opposite(*transition: Tensor) -> Tensor:
        return -truth(*transition)  # type: ignore[arg-type]

    def speed_alone(scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
        return progress_mps(scene, next_scene, lane_poses(scene))

    against = reward_distance(world, truth, opposite, SEEDS, decisions=2, gamma=GAMMA)
    assert (against.dard, against.spearman, against.spearman_returns) == tuple(pytest.approx(each, abs=1e-6) for each in (1.0, -1.0, -1.0))
    partly = reward_distance(world, truth, speed_alone, SEEDS, decisions=2, gamma=GAMMA)
    assert 0.1 < partly.dard < 0.9


def test_ranks_share_ties() -> None:
    assert _ranks(torch.tensor([[3.0, 1.0, 3.0, 2.0]])).tolist() == [[2.5, 0.0, 2.5, 1.0]]


def test_too_few_transitions_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="expected at least 3"):
        reward_distance(World("highway-fast-v0", num_worlds=2, num_threads=1), truth, truth, [0, 1], decisions=1)
