"""Observations of the native kernels against highway-env's own, on states copied from live environments."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from envs.class_constants import in_place, pristine
from envs.ids import SINGLE_AGENT_IDS
from envs.network.observations.choice import observer_for
from envs.network.observations.observer import Observer
from envs.network.tables import network_of
from envs.reference_episode import Episode
from sensors.errors import ConfigError
from tests.envs.network_records import Snapshot, episodes_of, generator_state, snapshot_of, stacked, with_routes

FEATURES = ["presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off"]
STEPS = 8
NEWEST = tuple(id for id in SINGLE_AGENT_IDS if f"{id[:-1]}{int(id[-1]) + 1}" not in SINGLE_AGENT_IDS)


def ids(quick: Sequence[str], slow: Sequence[str]) -> list[Any]:
    """Parameters, of which some are left to the long run."""
    return [*quick, *(pytest.param(id, marks=pytest.mark.slow) for id in slow)]


@pytest.fixture(autouse=True)
def own_constants() -> Iterator[None]:
    """Building an intersection changes highway-env's classes for the whole process."""
    with in_place(pristine()):
        yield


def environment(id: str, observation: dict[str, Any] | None = None, seed: int = 0, **config: Any) -> Any:
    """An environment of highway-env, reset."""
    env = Episode(id, config | ({"observation": observation} if observation else {})).env
    env.reset(seed=seed)
    return env


def drive(env: Any, steps: int, seed: int) -> Iterator[None]:
    """Random actions; a new episode where one ends."""
    env.action_space.seed(seed)
    yield
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        yield
        if terminated or truncated:
            env.reset()
            yield


def written(observer: Observer, snapshot: Snapshot) -> dict[str, Any]:
    """What the kernel gives for one world."""
    out = observer.new(1)
    for array in out.values():
        array[:] = 77
    observer.write(0, 1, None, snapshot.cars, snapshot.episodes, out)
    return {name: array[0] for name, array in out.items()}


def as_parts(observation: Any) -> dict[str, Any]:
    return dict(observation) if isinstance(observation, dict) else {"": observation}


def snapshots_of(env: Any, steps: int, seed: int) -> Iterator[Snapshot]:
    """Drive an environment, and give its state before, between and after."""
    roads, network = env.road.network, network_of(env.road.network)
    for _ in drive(env, steps, seed):
        if env.road.network is not roads:
            roads, network = env.road.network, network_of(env.road.network)
        yield snapshot_of(env, with_routes(network, env))


def observer_of(env: Any, snapshot: Snapshot) -> Observer:
    return observer_for(env, snapshot.network, snapshot.targets)


def check_same(env: Any, snapshot: Snapshot, tolerance: float) -> None:
    """Compare one look of both, and how their generators go on."""
    expected = as_parts(env.observation_type.observe())
    mine = written(observer_of(env, snapshot), snapshot)
    assert list(mine) == list(expected)
    for name, array in expected.items():
        assert mine[name].shape == array.shape and mine[name].dtype == array.dtype
        np.testing.assert_allclose(mine[name], array, rtol=0, atol=tolerance, equal_nan=True)
    assert generator_state(snapshot.episodes[0]) == generator_state(episodes_of(env, 0)[0])


def compare(id: str, observation: dict[str, Any] | None, steps: int = STEPS, seed: int = 0, **config: Any) -> None:
    """Drive an environment and compare every look; grids and tables of meetings must be equal."""
    env = environment(id, observation, seed, **config)
    exact = type(env.observation_type).__name__ in ("OccupancyGridObservation", "TimeToCollisionObservation")
    for snapshot in snapshots_of(env, steps, seed):
        check_same(env, snapshot, 0.0 if exact else 1e-6)


@pytest.mark.parametrize("id", ids(NEWEST, sorted(set(SINGLE_AGENT_IDS) - set(NEWEST))))
def test_default_observation_is_highway_envs(id: str) -> None:
    compare(id, None)


KINEMATICS: dict[str, dict[str, Any]] = {
    "every-feature": {"features": FEATURES, "vehicles_count": 9, "observe_intentions": True, "see_behind": True},
    "plain": {"features": FEATURES, "normalize": False, "absolute": True, "include_obstacles": False},
    "own-ranges": {
        "features": ["x", "heading", "sin_d", "vy", "long_off", "presence"],
        "features_range": {"x": [-30, 60], "heading": [-1, 1], "long_off": [0, 50], "presence": [-2, 2], "unknown": [0, 1]},
        "vehicles_count": 4,
    },
    "unclipped": {"features": ["y", "x", "vx"], "clip": False, "vehicles_count": 2},
    "shuffled": {"order": "shuffled", "vehicles_count": 6},
    "shuffled-crowd": {"order": "shuffled", "vehicles_count": 12, "see_behind": True, "observe_intentions": True, "features": FEATURES},
}


@pytest.mark.parametrize("id", ids(["merge-v1", "parking-parked-v0"], ["roundabout-v1", "intersection-v0", "highway-fast-v0"]))
@pytest.mark.parametrize("name", KINEMATICS)
def test_kinematics_options(id: str, name: str) -> None:
    compare(id, {"type": "Kinematics"} | KINEMATICS[name])


@pytest.mark.parametrize("id", ids(["u-turn-v0", "exit-v1"], ["racetrack-oval-v0", "two-way-v0", "lane-keeping-v0"]))
def test_every_feature_on_other_roads(id: str) -> None:
    compare(id, {"type": "Kinematics"} | KINEMATICS["every-feature"])


@pytest.mark.parametrize(
    "options",
    [
        {"features": FEATURES, "vehicles_count": 20, "observe_intentions": True},
        {"vehicles_count": 3, "see_behind": True, "absolute": True, "normalize": False},
        {"features": ["sin_d", "x"], "order": "shuffled", "clip": True, "vehicles_count": 7},
        {"features": ["x", "vx"], "features_range": {"x": [0, 10]}, "vehicles_count": 2},
    ],
)
def test_exit_options(options: dict[str, Any]) -> None:
    compare("exit-v0", {"type": "ExitObservation"} | options)


GRIDS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "every-feature": {"features": [*FEATURES, "on_road"], "clip": False},
    "turned": {"features": ["on_road", "presence", "vx"], "align_to_vehicle_axes": True, "grid_size": [[-10, 50], [-7.5, 7.5]]},
    "image": {"features": ["presence", "on_road", "vx", "cos_h"], "as_image": True},
    "unclipped-image": {"features": ["x", "on_road", "heading"], "as_image": True, "clip": False, "align_to_vehicle_axes": True},
    "own-ranges": {
        "features": ["presence", "on_road", "x"],
        "features_range": {"x": [-40, 40], "y": [-31, 17], "presence": [0, 3]},
        "grid_step": [2.3, 1.7],
    },
    "wide": {"features": ["on_road"], "grid_size": [[-150, 150], [-150, 150]], "grid_step": [7, 4]},
    "small": {"features": ["on_road", "on_road"], "grid_size": [[-6, 6], [-6, 6]], "grid_step": [1, 1], "align_to_vehicle_axes": True},
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # of highway-env's images
@pytest.mark.parametrize("id", ids(["racetrack-v0"], ["roundabout-v0", "intersection-v1", "merge-v0", "exit-v0"]))
@pytest.mark.parametrize("name", GRIDS)
def test_grid_options(id: str, name: str) -> None:
    compare(id, {"type": "OccupancyGrid"} | GRIDS[name], 4)


@pytest.mark.parametrize("id", ids(["lane-keeping-v0"], ["racetrack-large-v0", "parking-parked-v0", "u-turn-v1"]))
def test_grids_on_other_roads(id: str) -> None:
    compare(id, {"type": "OccupancyGrid"} | GRIDS["turned"], 30)


@pytest.mark.parametrize(
    "id", ids(["exit-v0", "two-way-v0", "u-turn-v0"], ["merge-v0", "roundabout-v1", "intersection-v0", "highway-fast-v0"])
)
@pytest.mark.parametrize(
    "config",
    [
        {"observation": {"type": "TimeToCollision"}},
        {"observation": {"type": "TimeToCollision", "horizon": 3.7}, "policy_frequency": 5},
        {
            "observation": {"type": "TimeToCollision", "horizon": 30},
            "policy_frequency": 2,
            "action": {"type": "DiscreteMetaAction", "target_speeds": [0, 6, 12, 18, 24]},
        },
    ],
)
def test_collision_time_options(id: str, config: dict[str, Any]) -> None:
    settings = copy.deepcopy(config)
    compare(id, settings.pop("observation"), seed=3, **settings)


@pytest.mark.parametrize(
    "id", ids(["merge-v0", "parking-parked-v0"], ["roundabout-v0", "intersection-v0", "parking-v0", "highway-fast-v0"])
)
@pytest.mark.parametrize(
    "options",
    [{}, {"cells": 64, "maximum_range": 40.0}, {"cells": 7, "normalize": False}, {"cells": 128, "maximum_range": 150, "normalize": False}],
)
def test_lidar_options(id: str, options: dict[str, Any]) -> None:
    compare(id, {"type": "LidarObservation"} | options)


@pytest.mark.parametrize(
    ("features", "scales"),
    [
        (["x", "y", "vx", "vy", "cos_h", "sin_h"], [50, 20, 3, 3, 2, 1]),
        (["presence", "sin_d", "y"], [1.5, 1, 100]),
        (["cos_h"], [0.3]),
    ],
)
def test_goal_options(features: list[str], scales: list[float]) -> None:
    compare("parking-parked-v0", {"type": "KinematicsGoal", "features": features, "scales": scales})


@pytest.mark.parametrize(
    ("attributes", "noise"),
    [(["state"], 0.05), (["reference_state", "derivative", "state"], 0.3), (["derivative", "reference_state"], 0.0)],
)
def test_attribute_options(attributes: list[str], noise: float) -> None:
    compare(
        "lane-keeping-v0",
        {"type": "AttributesObservation", "attributes": attributes},
        60,
        state_noise=noise,
        derivative_noise=2 * noise,
    )


@pytest.mark.parametrize("attributes", [["state", "derivative", "reference_state"], ["reference_state", "state"]])
def test_reset_draws_of_lane_keeping(attributes: list[str]) -> None:
    env = environment("lane-keeping-v0", {"type": "AttributesObservation", "attributes": attributes})
    observation, _ = env.reset(seed=5)
    snapshot = snapshot_of(env)
    observer = observer_of(env, snapshot)
    generator = np.random.Generator(np.random.PCG64(5))
    generator.random(2 * 4 * sum(name != "reference_state" for name in attributes))  # two looks before; spawning draws nothing
    env.np_random.bit_generator.state = generator.bit_generator.state
    mine = written(observer, snapshot_of(env))
    for name in attributes:
        np.testing.assert_allclose(mine[name], observation[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("id", ids(NEWEST, sorted(set(SINGLE_AGENT_IDS) - set(NEWEST))))
def test_egos_start_on_roads_of_one_width(id: str) -> None:
    """The default ranges count the lanes there once and for all."""
    env = environment(id)
    lanes = set()
    for seed in range(2 if id.startswith("intersection") else 6):
        env.reset(seed=seed)
        lanes.add(len(env.road.network.all_side_lanes(env.vehicle.lane_index)))
    assert len(lanes) == 1


BATCHES = {
    "merge-v0": {"type": "Kinematics", "order": "shuffled"},
    "racetrack-v0": None,
    "two-way-v0": None,
    "parking-v0": None,
    "lane-keeping-v0": None,
    "highway-fast-v0": {"type": "LidarObservation"},
}


@pytest.mark.parametrize("id", BATCHES)
def test_worlds_are_observed_alone(id: str) -> None:
    """A batch in shares, or masked, gives what each world alone gives, and leaves the others as they were."""
    env = environment(id, BATCHES[id])
    snapshots = list(snapshots_of(env, 5, 1))
    observer = observer_of(env, snapshots[0])
    cars, episodes = stacked(snapshots)
    worlds = len(snapshots)
    alone = [written(observer, one) for one in snapshots]

    shared, shared_episodes = observer.new(worlds), episodes.copy()
    for start, end in ((2, worlds), (0, 2)):
        observer.write(start, end, None, cars, shared_episodes, shared)
    where = np.arange(worlds) % 2 == 0
    masked, masked_episodes = observer.new(worlds), episodes.copy()
    for array in masked.values():
        array[:] = 9
    observer.write(0, worlds, where, cars, masked_episodes, masked)
    for name in observer.parts:
        for world in range(worlds):
            assert np.array_equal(shared[name][world], alone[world][name])
            assert np.array_equal(masked[name][world], alone[world][name] if where[world] else np.full_like(masked[name][world], 9))
    for kept, before in zip(masked_episodes[~where], episodes[~where], strict=True):
        assert generator_state(kept) == generator_state(before)
    if observer.draws:
        assert generator_state(masked_episodes[0]) != generator_state(episodes[0])


@pytest.mark.parametrize("id", ["u-turn-v0", "two-way-v0", "exit-v0"])
def test_collision_times_under_an_autopilot(id: str) -> None:
    """Its speed index is that of the set speed nearest to its own speed."""
    episode = Episode(id, {"observation": {"type": "TimeToCollision"}})
    episode.reset(2)
    episode.hand_over(True)
    network, indices = network_of(episode.env.road.network), set()
    for _ in range(6):
        episode.step(None)
        check_same(episode.env, snapshot_of(episode.env, with_routes(network, episode.env)), 0.0)
        indices.add(episode.env.vehicle.speed_index)
    assert len(indices) > 1 or id != "u-turn-v0"


@pytest.mark.parametrize("observation", [{"type": "LidarObservation"}, {"type": "Kinematics", "vehicles_count": 8}])
def test_unused_records_change_nothing(observation: dict[str, Any]) -> None:
    """Obstacles are found behind room for more vehicles, whatever stands in it."""
    env = environment("merge-v0", observation)
    tight, loose = snapshot_of(env), snapshot_of(env, room=len(env.road.vehicles) + 3)
    unused = loose.cars[0, len(env.road.vehicles) : -1]
    unused["x_m"], unused["y_m"] = env.vehicle.position + (3.0, 0.5)
    mine = written(observer_of(env, tight), loose)[""]
    assert np.array_equal(mine, written(observer_of(env, tight), tight)[""])
    np.testing.assert_allclose(mine, env.observation_type.observe(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("id", "observation", "said"),
    [
        ("merge-v0", {"type": "Kinematics", "vehicles_count": 1}, "vehicles_count 1"),
        ("merge-v0", {"type": "Kinematics", "features": ["x", "vxx"]}, "did you mean 'vx'"),
        ("merge-v0", {"type": "OccupancyGrid", "absolute": True}, "absolute"),
        ("merge-v0", {"type": "OccupancyGrid", "features": ["on_raod"]}, "did you mean 'on_road'"),
        ("merge-v0", {"type": "TupleObservation", "observation_configs": [{"type": "Kinematics"}]}, "TupleObservation"),
        ("parking-v0", {"type": "KinematicsGoal", "features": ["x", "heading"], "scales": [1, 1]}, "goal lacks"),
        ("lane-keeping-v0", {"type": "AttributesObservation", "attributes": ["state", "time"]}, "time"),
    ],
)
def test_what_is_not_native_is_named(id: str, observation: dict[str, Any], said: str) -> None:
    env = environment(id)
    snapshot = snapshot_of(env)
    from highway_env.envs.common.observation import observation_factory

    env.observation_type = observation_factory(env, observation)
    with pytest.raises(ConfigError, match=said):
        observer_of(env, snapshot)


def test_collision_times_need_set_speeds() -> None:
    env = environment("racetrack-v0")
    snapshot = snapshot_of(env)
    from highway_env.envs.common.observation import TimeToCollisionObservation

    env.observation_type = TimeToCollisionObservation(env)
    with pytest.raises(ConfigError, match="set speeds"):
        observer_of(env, snapshot)
