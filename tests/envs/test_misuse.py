"""Nonsense handed to every way in, on ids of every kind of action: a ConfigError each time, and nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import envs
from envs import World, WorldState
from envs.ids import MULTI_AGENT_IDS
from sensors.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # gymnasium's, at the oracle's older ids
KINDS = ("highway-fast-v0", "merge-v1", "parking-v0", "lane-keeping-v0", *MULTI_AGENT_IDS[:2])
QUICK = {"simulation_frequency": 10}
NONSENSE: dict[str, Any] = {
    "nothing": None,
    "text": "left",
    "a dict": {"a": 1},
    "empty": [],
    "an object": object(),
    "complex": 1j,
    "a huge number": 2**62,
    "below zero": -1,
    "NaN": float("nan"),
    "NaNs": [float("nan")] * 2,
    "infinities": [[float("inf")] * 2] * 2,
    "three floats": [0.1, 0.2, 0.3],
    "ragged": [1, [2, 3]],
    "seven": [9] * 7,
    "text in an array": np.array(["1", "2"]),
    "None in an array": np.array([None, None]),
    "half precision": np.zeros((2, 2), np.float16),
    "flags": np.array([True, False]),
    "a tuple of one": (1,),
    "four dimensions": np.zeros((2, 2, 2, 2)),
}


def refused(call: Callable[[Any], Any]) -> None:
    for name, given in NONSENSE.items():
        try:
            call(given)
        except ConfigError as error:
            assert "\n" not in str(error) and str(error), name
            continue
        raise AssertionError(f"{name} was taken")


@pytest.mark.parametrize("id", KINDS)
def test_a_world_refuses_nonsense(id: str) -> None:
    world: Any = World(id, 2, config=QUICK)
    refused(world.reset)
    world.reset([1, 2])
    before = world.state()
    for call in (
        world.step,
        world.step_autoreset,
        world.load,
        lambda given: world.reset([1, 2], where=1 if given is None else given) if NONSENSE["flags"] is not given else world.step(None),
        lambda given: world.reset_continue(given) if NONSENSE["flags"] is not given else world.step(None),
        lambda given: world.fork(given, 1),
        lambda given: world.fork(0, given),
    ):
        refused(call)
    after = world.state()
    assert all(np.array_equal(after.arrays()[name], values) for name, values in before.arrays().items())


@pytest.mark.parametrize("id", KINDS)
def test_the_gymnasium_environment_refuses_nonsense(id: str) -> None:
    env: Any = gymnasium.make(f"DriveFusion/{id}", config=QUICK, disable_env_checker=True).unwrapped
    env.reset(seed=1)
    several = np.array([1, 1])
    for name, given in NONSENSE.items():
        with pytest.raises(ConfigError):
            env.step(given)
            pytest.fail(f"{name} was taken")
    for wrong, words in (({"seed": 2**64}, "below 2"), ({"options": {"config": {}}}, "options hold 'config'")):
        with pytest.raises(ConfigError, match=words):
            env.reset(**wrong)
    if env.world.agents is not None:
        assert len(env.step(several)[0]) == 2  # one array for both is as good as a tuple


@pytest.mark.parametrize("id", ["highway-fast-v0", "parking-v0", MULTI_AGENT_IDS[0]])
def test_the_vector_environment_and_sb3s_refuse_nonsense(id: str) -> None:
    vec: Any = gymnasium.make_vec(f"DriveFusion/{id}", 2, vectorization_mode="vector_entry_point", config=QUICK)
    with pytest.raises(ConfigError, match="call reset"):
        vec.step(vec.action_space.sample())
    vec.reset(seed=1)
    refused(vec.step)
    for seed in (1.5, [1], [1, -1], [2**70, 1], "ab", [1, "2"]):
        with pytest.raises(ConfigError, match="reset: "):
            vec.reset(seed=seed)
    env: Any = envs.make_sb3_vec(id, 2, config=QUICK)
    env.reset()
    refused(env.step)
    with pytest.raises(ConfigError):
        env.reset(seeds=[1.5, 2.5])
    for seeds in ([1.5], [-1], [[1]], [], "a"):
        with pytest.raises(ConfigError, match="seed"):
            envs.make_sb3_vec(id, 1, config=QUICK, seeds=seeds)


def test_agents_actions_of_different_shapes_are_told() -> None:
    vec: Any = gymnasium.make_vec(f"DriveFusion/{MULTI_AGENT_IDS[1]}", 2, vectorization_mode="vector_entry_point", config=QUICK)
    vec.reset(seed=1)
    with pytest.raises(ConfigError, match=r"shapes \(2,\), \(3,\), expected one array of all worlds for each agent"):
        vec.step((np.ones(2, np.int64), np.ones(3, np.int64)))


CHANGES: list[tuple[str, str, str, Any, str]] = [
    ("merge-v0", "cars", "speed_index", 3, "speed_index of the state is outside 0 to 2"),
    ("merge-v0", "cars", "route_lane", 9, "route_lane of the state is outside"),
    ("merge-v0", "cars", "driver", 4, "obstacles where cars are"),
    ("merge-v0", "episodes", "clock_s", np.nan, "clock_s of the state holds NaN"),
    ("merge-v0", "episodes", "clock_s", -1.0, "clock_s of the state is -1"),
    ("merge-v0", "episodes", "substeps", -1, "substeps of the state is -1, expected at least 0"),
    ("merge-v0", "episodes", "seed", -5, "seed of the state is -5"),
    ("merge-v0", "episodes", "action", 5, "actions or generators"),
    ("parking-v0", "episodes", "throttle", np.inf, "throttle of the state holds NaN"),
    ("parking-v0", "episodes", "goal", -1, "goal of the state is no landmark"),
    ("parking-v0", "episodes", "goal", 0, "goal of the state is no landmark"),
    ("parking-v0", "episodes", "goal", 99, "goal of the state is no landmark"),
    ("lane-keeping-v0", "episodes", "kept_lane", 99, "kept_lane of the state is outside"),
    ("lane-keeping-v0", "episodes", "next_kept_lane", -1, "next_kept_lane of the state is outside"),
    ("highway-fast-v0", "cars", "impact_partner", 21, "impact_partner of the state is outside -1 to 20"),
    ("highway-fast-v0", "episodes", "action", 7, "actions or generators"),
]


@pytest.mark.parametrize(("id", "table", "field", "value", "words"), CHANGES)
def test_a_state_that_points_nowhere_is_refused(id: str, table: str, field: str, value: Any, words: str) -> None:
    world = World(id, 2, config=QUICK)
    world.reset([1, 2])
    state: WorldState = world.state()
    records = getattr(state, table).copy()
    records[field][1, ...] = value
    with pytest.raises(ConfigError, match=words):
        world.load(replace(state, **{table: records}))
    world.load(state)
    world.step(torch.ones(2, dtype=torch.int64) if world.num_actions is not None else torch.zeros(2, world.action_width))


@pytest.mark.parametrize("number", [0, -3, 2**62, 1.5, True, "two", None])
def test_numbers_of_worlds_are_checked(number: Any) -> None:
    with pytest.raises(ConfigError, match="num_worlds is"):
        World("merge-v0", number)
