"""Scripted drivers do what they are named after, wherever a world sits in a batch."""

import pytest
import torch

from envs.drivers import DRIVERS, META_ACTIONS, driver_named
from envs.reference import ReferenceWorld
from envs.seeds import COUNTED_SEEDS, following_seed, hashed, seed_set, train_seeds, uniform
from sensors.errors import ConfigError


@pytest.fixture(scope="module")
def scene():
    world = ReferenceWorld("u-turn-v0", 4)
    return world.reset([5, 6, 7, 5])


@pytest.fixture(scope="module")
def continuous_scene():
    world = ReferenceWorld("parking-v0", 2)
    return world.reset([5, 6])


@pytest.mark.parametrize("name", ["idle", "slower", "faster", "lane_left", "lane_right"])
def test_a_constant_driver_gives_the_action_it_is_named_after(name, scene):
    driver = driver_named(name, 5)
    actions, state = driver.act(scene, None, None)
    assert actions.tolist() == [META_ACTIONS.index(name.upper())] * 4 and actions.dtype == torch.int64
    assert not driver.autopilot and driver.needs_frames is None and driver.reset(state, torch.tensor([True] * 4)) is None


def test_three_actions_are_those_of_the_intersection(scene):
    assert driver_named("faster", 3).act(scene, None, None)[0].tolist() == [2] * 4
    assert driver_named("lane_left", 3, action_names=("LANE_LEFT", "IDLE", "LANE_RIGHT")).act(scene, None, None)[0].tolist() == [0] * 4


def test_the_idm_driver_leaves_it_to_the_world(scene, continuous_scene):
    assert driver_named("idm", 5).autopilot and driver_named("idm", None).autopilot
    assert driver_named("idm", 5).act(scene, None, None)[0].tolist() == [1] * 4


def test_random_actions_depend_on_seed_and_step_alone(scene):
    driver = driver_named("random", 5)
    actions, _ = driver.act(scene, None, None)
    assert actions[0] == actions[3]  # the same episode in two places
    alone, _ = driver.act(scene.select([2]), None, None)
    assert alone[0] == actions[2]
    again, _ = driver_named("random", 5).act(scene, None, None)
    assert torch.equal(actions, again)


def test_random_actions_are_uniform():
    counts = torch.bincount((uniform(3, torch.arange(50_000), 7) * 5).long(), minlength=5)
    assert (counts - 10_000).abs().max() < 400  # 4.5 standard deviations


def test_another_seed_gives_another_random_driver(scene):
    many = [driver_named("random", 5, seed=seed).act(scene, None, None)[0] for seed in range(8)]
    assert len({tuple(actions.tolist()) for actions in many}) > 4


def test_continuous_actions(continuous_scene):
    assert driver_named("faster", None).act(continuous_scene, None, None)[0].tolist() == [[1.0, 0.0]] * 2
    assert driver_named("idle", None).act(continuous_scene, None, None)[0].tolist() == [[0.0, 0.0]] * 2
    drawn, _ = driver_named("random", None).act(continuous_scene, None, None)
    assert drawn.shape == (2, 2) and drawn.abs().max() <= 1 and drawn.unique().numel() == 4


def test_steering_alone_is_left_straight():
    scene = ReferenceWorld("racetrack-v0", 1).reset([0])
    assert driver_named("slower", None).act(scene, None, None)[0].tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("name", "actions", "message"),
    [("rondom", 5, "did you mean 'random'"), ("lane_left", 3, "needs the action LANE_LEFT"), ("lane_left", None, "continuous")],
)
def test_what_no_driver_can_do_is_refused(name, actions, message):
    with pytest.raises(ConfigError, match=message):
        driver_named(name, actions)


def test_every_name_makes_a_driver():
    assert all(driver_named(name, 5) for name in DRIVERS)


def test_seed_sets_do_not_meet():
    ranges = {"train": (0, 2**31), "validation": (2**31, 3 * 2**30), "test": (3 * 2**30, 2**32)}
    for name, (low, high) in ranges.items():
        seeds = seed_set(name, 5000)
        assert low <= int(seeds.min()) and int(seeds.max()) < high
    assert 2**31 + COUNTED_SEEDS == 3 * 2**30 and 3 * 2**30 + COUNTED_SEEDS == 2**32


def test_training_seeds_depend_on_world_and_episode():
    worlds, episodes = torch.arange(40)[:, None], torch.arange(40)[None]
    assert train_seeds(1, worlds, episodes).unique().numel() == 1600
    assert not torch.equal(seed_set("train", 10, seed=1), seed_set("train", 10, seed=2))
    assert torch.equal(seed_set("test", 10, seed=1), seed_set("test", 10, seed=2))


def test_following_seeds_are_new_and_repeatable():
    seeds = torch.arange(1000)
    assert torch.equal(following_seed(seeds), following_seed(seeds))
    assert not (following_seed(seeds) == seeds).any() and int(following_seed(seeds).min()) >= 0


def test_the_hash_is_splitmix64():
    # SplitMix64 started at 0 gives this first (the published reference implementation).
    assert int(hashed(0)) % 2**64 == 0xE220A8397B1DCDAF


def test_an_unknown_seed_set_is_named():
    with pytest.raises(ConfigError, match="did you mean 'validation'"):
        seed_set("validate", 3)
    with pytest.raises(ConfigError, match="expected 0 to"):
        seed_set("test", -1)
