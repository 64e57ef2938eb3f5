"""What the kernels lack comes from highway-env itself by the same calls: tuples and pictures as observations, and what is refused there."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

import envs
from envs import Override, ReferenceWorld, World
from envs.class_constants import in_place, pristine
from envs.reference_episode import environment_class, made
from sensors.errors import ConfigError

SMALL = {"vehicles_count": 4, "simulation_frequency": 5, "duration": 3}
KINEMATICS, BEAMS = {"type": "Kinematics", "vehicles_count": 3}, {"type": "LidarObservation", "cells": 8}
BOTH: dict[str, Any] = SMALL | {"observation": {"type": "TupleObservation", "observation_configs": [KINEMATICS, BEAMS]}}
PICTURE = {"type": "GrayscaleObservation", "observation_shape": [16, 8], "stack_size": 2, "weights": [0.3, 0.6, 0.1]}
DEFENSIVE: dict[str, Any] = SMALL | {"other_vehicles_type": "highway_env.vehicle.behavior.DefensiveVehicle"}


def test_a_tuple_of_observations_is_highway_envs(caplog: pytest.LogCaptureFixture) -> None:
    world = World("highway-v0", 2, config=BOTH)
    assert isinstance(world, ReferenceWorld) and "observation type TupleObservation (" in caplog.text
    world.reset([1, 2])
    with in_place(pristine()):
        env = made(environment_class("highway-v0")[0], BOTH)
        expected, _ = env.reset(seed=2)
        found = world.observation()
        assert [part.shape for part in found] == [(2, 3, 5), (2, 8, 2)] and len(expected) == 2
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine[1], theirs)
        expected = env.step(3)[0]
    world.step([3, 3])
    np.testing.assert_array_equal(world.observation()[1][1], expected[1])


def test_the_gymnasium_environment_gives_the_tuple() -> None:
    env: Any = gymnasium.make("DriveFusion/highway-fast-v0", config=BOTH)
    observation, _ = env.reset(seed=1)
    assert isinstance(observation, tuple) and env.observation_space.contains(observation)
    assert env.observation_space.contains(env.step(1)[0])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_environment_gives_tuples_as_gymnasium_batches_them(mode: AutoresetMode) -> None:
    ours: Any = gymnasium.make_vec(
        "DriveFusion/highway-fast-v0", 2, vectorization_mode="vector_entry_point", autoreset_mode=mode, config=BOTH
    )
    theirs: Any = gymnasium.make_vec(
        "DriveFusion/highway-fast-v0", 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, config=BOTH
    )
    assert ours.observation_space == theirs.observation_space
    seen = [env.reset(seed=3)[0] for env in (ours, theirs)]
    for _ in range(5):
        for mine, other in zip(*seen, strict=True):
            np.testing.assert_array_equal(mine, other)
        found = [env.step(np.array([1, 4])) for env in (ours, theirs)]
        seen = [step[0] for step in found]
        for mine, other in zip(found[0][1:4], found[1][1:4], strict=True):
            np.testing.assert_array_equal(mine, other)
        finals = [step[4].get("final_obs") for step in found]
        assert (finals[0] is None) == (finals[1] is None)
        for mine, other in zip(*(final if final is not None else () for final in finals), strict=True):
            assert (mine is None) == (other is None)
            assert mine is None or all(np.array_equal(a, b) for a, b in zip(mine, other, strict=True))


def test_stable_baselines3_says_that_it_has_no_tuples() -> None:
    with pytest.raises(ConfigError, match="has no observations that are tuples"):
        envs.make_sb3_vec("highway-fast-v0", 1, config=BOTH)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "observation_configs None"),
        ([], "expected a list of observations"),
        ([KINEMATICS, {"type": "Kinematic"}], "did you mean 'Kinematics'"),
        ([{"type": "TupleObservation", "observation_configs": [KINEMATICS]}], "type in the observation"),
        ([{"type": "MultiAgentObservation", "observation_config": KINEMATICS}], "expected observations of one ego"),
        ([KINEMATICS | {"vehicles_count": 0}], "vehicles_count is 0"),
        ([KINEMATICS | {"feature": ["x"]}], "did you mean 'features'"),
        ([{"type": "KinematicsGoal", "features": ["x"], "scales": [1]}], "only the parking ids have"),
    ],
)
def test_a_tuple_of_what_cannot_be_seen_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        World("highway-v0", config={"observation": {"type": "TupleObservation", "observation_configs": given}})


def test_a_picture_is_seen_with_its_shape_as_json_has_it() -> None:
    world = World("highway-fast-v0", 1, config=SMALL | {"observation": PICTURE})
    world.reset([1])
    assert isinstance(world, ReferenceWorld) and world.observation().shape == (1, 2, 16, 8)


def test_step_autoreset_is_step_and_reset_continue() -> None:
    fast, slow = (World("highway-fast-v0", 2, config=DEFENSIVE) for _ in range(2))
    assert isinstance(fast, ReferenceWorld)
    for world in (fast, slow):
        world.reset([7, 8])
    ended = 0
    for _ in range(5):
        step = fast.step_autoreset([3, 1])
        _, outcome = slow.step([3, 1])
        last, over = slow.observation(), outcome.terminated | outcome.truncated
        if over.any():
            slow.reset_continue(over)
        ended += int(over.sum())
        assert torch.equal(step.observation, slow.observation()) and torch.equal(step.reward, outcome.reward)
        assert torch.equal(step.final_observation[over], last[over]) and not step.final_observation[~over].any()
    assert ended >= 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda world: world.reset([1.5, 2.0]), "reset: seeds are float64"),
        (lambda world: world.reset([[1, 2]]), r"\(1, 2\), expected whole numbers of shape \(2,\)"),
        (lambda world: world.reset([1, [2]]), "reset: seeds"),
        (lambda world: world.reset([1, -2]), "seeds hold -2"),
        (lambda world: world.reset([1, 2], where=[1, 0]), "mask is int64"),
        (lambda world: world.reset_continue([True]), r"mask is bool \(1,\)"),
        (lambda world: world.step([0, [1]]), "step: actions"),
        (lambda world: world.step(["0", "1"]), "expected numbers"),
        (lambda world: world.step([True, False]), "torch.bool"),
        (lambda world: world.step([0, 5]), "expected 0 to 4"),
        (lambda world: world.step([0, 1], autopilot=[1, 0]), "mask is int64"),
        (lambda world: world.step([0, 1], override=_hands(world)), "override needs a native world"),
    ],
)
def test_wrong_arguments_say_why(call: Any, words: str) -> None:
    world = World("highway-fast-v0", 2, config=DEFENSIVE)
    world.reset([1, 2])
    with pytest.raises(ConfigError, match=words):
        call(world)


def _hands(world: Any) -> Override:
    zeros: Tensor = torch.zeros(world.num_worlds)
    return Override(torch.ones(world.num_worlds, dtype=torch.bool), zeros, zeros)


@pytest.mark.parametrize("id", ["highway-v0", "merge-v1", "intersection-v0"])
def test_slow_driving_can_be_rewarded(id: str) -> None:
    """A falling reward_speed_range maps its first speed to 0, as highway-env's lmap does."""
    config = {"reward_speed_range": [20, 5], "simulation_frequency": 5}
    mine, theirs = (kind(id, 1, dtype=torch.float64, config=config) for kind in (World, ReferenceWorld))
    assert isinstance(mine, World)
    for world in (mine, theirs):
        world.reset([4])
    for action in (2, 1, 2):
        assert float(mine.step([action])[1].reward) == pytest.approx(float(theirs.step([action])[1].reward), abs=1e-9)
