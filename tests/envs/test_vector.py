"""The vectorised gymnasium environment: what gymnasium's own SyncVectorEnv of single environments gives, in every autoreset mode."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import envs
from envs.vector import DrivingVectorEnv
from envs.vector_parts import joined_states
from envs.world import FastStep, World
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.rig import Rig

SMALL = Rig("small", lidars=(Lidar("lidar_top", elevations_rad=(-0.1, 0.0), columns=16),))
FAST, WORLDS = "highway-fast-v0", 3
pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")
CASES = [
    (FAST, None, {"duration": 4}),
    (FAST, SMALL, {"duration": 4}),
    ("parking-v0", None, {"duration": 1}),  # continuous actions, Dict observation
]


def made(mode, id=FAST, **options):
    return gymnasium.make_vec(f"DriveFusion/{id}", num_envs=WORLDS, vectorization_mode="vector_entry_point", autoreset_mode=mode, **options)


def of_singles(mode, id=FAST, **options):
    modes = {"autoreset_mode": mode}
    return gymnasium.make_vec(f"DriveFusion/{id}", num_envs=WORLDS, vectorization_mode="sync", vector_kwargs=modes, **options)


def same(a, b):
    """Equal in every bit, types and keys included."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if a is None or b is None:
        return a is b
    if a.dtype == object:
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a.dtype == b.dtype and np.array_equal(a, b)


def actions_of(env, steps):
    env.action_space.seed(5)
    return [env.action_space.sample() for _ in range(steps)]


def compare(ours, theirs, steps, disabled=False):
    """Drive both; gives how many episodes ended."""
    first, again = ours.reset(seed=30), theirs.reset(seed=30)
    assert same(first[0], again[0]) and same(first[1], again[1])
    ended = 0
    for number, action in enumerate(actions_of(ours, steps)):
        found, expected = ours.step(action), theirs.step(action)
        for part, other in zip(found, expected, strict=True):
            assert same(part, other), number
        done = found[2] | found[3]
        ended += int(done.sum())
        if disabled and done.any():
            a = ours.reset(options={"reset_mask": done})
            b = theirs.reset(options={"reset_mask": done})
            assert same(a[0], b[0]) and same(a[1], b[1])
    return ended


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(("id", "rig", "config"), CASES, ids=["native", "rig", "parking"])
def test_it_is_as_many_single_environments(mode, id, rig, config):
    ours, theirs = (make(mode, id, rig=rig, config=config, **more) for make, more in ((made, {"details": True}), (of_singles, {})))
    assert ours.metadata["autoreset_mode"] is mode
    assert compare(ours, theirs, 11, disabled=mode is AutoresetMode.DISABLED) >= WORLDS


def test_a_world_that_waits_for_its_reset_uses_up_no_random_draws():
    """An intersection spawns traffic as it goes; its next episode is still the one that a single environment would drive."""
    ours, theirs = (make(AutoresetMode.NEXT_STEP, "intersection-v1", config={"duration": 1}) for make in (made, of_singles))
    assert compare(ours, theirs, 4) == 2 * WORLDS


def test_the_fast_path_gives_the_same_without_the_details(monkeypatch):
    mode, config = AutoresetMode.SAME_STEP, {"duration": 4}
    ours, theirs = made(mode, config=config), of_singles(mode, config=config)
    monkeypatch.setattr(ours.world, "step", lambda *_: pytest.fail("took the slow path"))
    assert same(ours.reset(seed=30)[0], theirs.reset(seed=30)[0])
    for action in actions_of(ours, 12):
        found, expected = ours.step(action), theirs.step(action)
        assert all(same(part, other) for part, other in zip(found[:4], expected[:4], strict=True))
        assert found[4].keys() == {name for name in expected[4] if "final" in name}
        assert same(found[4].get("final_obs"), expected[4].get("final_obs"))
        assert ours.scene.num_worlds == WORLDS


def test_the_entry_point_is_gymnasiums_default_and_the_spaces_are_batched():
    env = gymnasium.make_vec(f"DriveFusion/{FAST}", num_envs=3)
    assert isinstance(env, DrivingVectorEnv) and isinstance(env, VectorEnv) and env.spec.id == f"DriveFusion/{FAST}"
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    single = gymnasium.make(f"DriveFusion/{FAST}")
    assert env.single_observation_space == single.observation_space and env.single_action_space == single.action_space
    assert env.observation_space == batch_space(single.observation_space, 3) and env.action_space == batch_space(single.action_space, 3)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])
    again = gymnasium.make_vec(env.spec)
    assert isinstance(again, DrivingVectorEnv) and again.num_envs == 3


@pytest.mark.parametrize("seed", [7, [7, 8, 9], (9, None, 2), None])
def test_seeds_are_read_as_gymnasium_reads_them(seed):
    env = DrivingVectorEnv(FAST, 3)
    env.reset(seed=40)
    _, infos = env.reset(seed=seed)
    theirs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(f"DriveFusion/{FAST}")] * 3)
    theirs.reset(seed=40)
    _, expected = theirs.reset(seed=list(seed) if isinstance(seed, tuple) else seed)
    assert same(infos, expected)
    assert same(env.step([1, 1, 1])[0], theirs.step([1, 1, 1])[0])


def test_a_first_reset_without_seeds_draws_different_episodes():
    first, second = (DrivingVectorEnv(FAST, 3).reset()[1]["episode_seed"].tolist() for _ in range(2))
    assert len(set(first + second)) == 6


def test_two_environments_with_one_seed_are_equal_bit_for_bit():
    first, second = (DrivingVectorEnv(FAST, 3, rig="micro", config={"duration": 3}) for _ in range(2))
    assert same(first.reset(seed=2)[0], second.reset(seed=2)[0])
    for action in actions_of(first, 6):
        assert all(same(a, b) for a, b in zip(first.step(action), second.step(action), strict=True))


def test_gymnasiums_statistics_wrapper_counts_our_episodes():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        ours, theirs = (RecordEpisodeStatistics(make(mode, config={"duration": 3})) for make in (made, of_singles))
        for env in (ours, theirs):
            env.reset(seed=3)
        for action in actions_of(ours, 9):
            found, expected = ours.step(action)[4], theirs.step(action)[4]
            if "episode" in expected:
                assert same(found["episode"]["r"], expected["episode"]["r"]) and same(found["episode"]["l"], expected["episode"]["l"])
        assert list(ours.return_queue) == list(theirs.return_queue) and len(ours.return_queue) >= WORLDS


def test_pictures_come_one_a_world():
    env = DrivingVectorEnv(FAST, 2, render_mode="rgb_array")
    env.reset(seed=1)
    first, second = env.render()
    assert first.dtype == np.uint8 and first.shape == second.shape and first.shape[2] == 3 and not np.array_equal(first, second)
    single = gymnasium.make(f"DriveFusion/{FAST}", render_mode="rgb_array")
    single.reset(seed=2)
    assert np.array_equal(second, single.render())
    assert DrivingVectorEnv(FAST, 1).render() is None
    env.close()
    assert env.closed


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: DrivingVectorEnv(FAST, 2, autoreset_mode="SAME_STP"), "did you mean 'SAME_STEP'"),
        (lambda: DrivingVectorEnv(FAST, 0), "num_worlds is 0"),
        (lambda: DrivingVectorEnv(FAST, 2, render_mode="human"), "unknown render_mode"),
        (lambda: DrivingVectorEnv(FAST, 2).step([1, 1]), "call reset"),
        (lambda: DrivingVectorEnv(FAST, 2).reset(seed=[1]), "got 1 seeds for 2 worlds"),
        (lambda: DrivingVectorEnv(FAST, 2).reset(seed=-1), "seed -1"),
        (lambda: DrivingVectorEnv(FAST, 2).reset(options={"reset_msk": None}), "did you mean 'reset_mask'"),
        (lambda: started().reset(options={"reset_mask": np.ones(3, np.bool_)}), r"bool \(3,\), expected a NumPy array of bool \(2,\)"),
        (lambda: started().reset(options={"reset_mask": [True, False]}), "is list, expected"),
        (lambda: started().reset(options={"reset_mask": np.zeros(2, np.bool_)}), "chooses no world"),
        (lambda: started().step([1, 9]), "actions run from 1 to 9"),
        (lambda: started().step([1]), "expected whole numbers of shape"),
        (lambda: started().step([0.5, 1.0]), "expected whole numbers of shape"),
    ],
)
def test_wrong_arguments_are_named(use, message):
    with pytest.raises(ConfigError, match=message):
        use()


def started():
    env = DrivingVectorEnv(FAST, 2)
    env.reset(seed=0)
    return env


def test_without_autoreset_a_finished_world_must_be_reset_first():
    env = DrivingVectorEnv(FAST, 3, autoreset_mode="DISABLED", config={"duration": 1})
    env.reset(seed=0)
    assert env.step([1, 1, 1])[3].all()
    env.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ConfigError, match="worlds 1 are over"):
        env.step([1, 1, 1])
    env.reset(seed=9, options={"reset_mask": np.array([False, True, False])})
    assert env.scene.episode_seed[1] == 10 and env.step([1, 1, 1])[3].sum() == 3


def test_states_are_joined_world_by_world():
    world = World(FAST, 3)
    world.reset([1, 2, 3])
    before = world.state()
    world.step([3, 3, 3])
    after = world.state()
    world.load(joined_states(after, before, np.array([False, True, False])))
    assert world.scene.step.tolist() == [int(after.episodes["substeps"][0]), 0, int(after.episodes["substeps"][2])]


def test_whatever_holds_an_entry_a_world_is_joined():
    where, shared = np.array([True, False]), object()
    state = {"array": np.array([[1], [2]]), "tensor": torch.tensor([1, 2]), "tuple": ("a", "b"), "shared": shared}
    other = {"array": np.array([[3], [4]]), "tensor": torch.tensor([3, 4]), "tuple": ("c", "d"), "shared": shared}
    found = joined_states(state, other, where)
    assert found["array"].tolist() == [[3], [2]] and found["tensor"].tolist() == [3, 2] and found["tuple"] == ("c", "b")
    assert found["shared"] is shared and state["array"].tolist() == [[1], [2]]


def test_a_world_is_stepped_without_numpy_between(monkeypatch):
    """Policy, world and learner pass torch tensors: as one would on a GPU."""
    world = envs.World(FAST, 8)
    scene = world.reset(torch.arange(8))
    policy = torch.nn.Linear(scene.position_m.shape[1], world.num_actions)
    returns = torch.zeros(8)
    for _ in range(3):
        actions = policy(scene.heading_rad).argmax(-1)
        scene, outcome = world.step(actions)
        returns += outcome.reward
        step = world.step_autoreset(actions)
        assert isinstance(step, FastStep)
        tensors = [step.observation, step.reward, step.terminated, step.truncated, step.final_observation]
        tensors += [outcome.reward, outcome.terminated, outcome.truncated, *outcome.terms.values()]
        tensors += [value for value in vars(scene).values() if not hasattr(value, "__dataclass_fields__")]
        assert all(isinstance(value, torch.Tensor) and value.device == world.device for value in tensors)
    assert returns.abs().sum() > 0
