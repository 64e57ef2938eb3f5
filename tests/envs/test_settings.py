"""Settings: each key of each id is checked by value, what passes can be built, and odd but allowed ones do what is written down."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs import ReferenceWorld, World
from envs.agents import of_one
from envs.class_constants import in_place, pristine
from envs.config import NATIVE_DEFAULTS, complete_config
from envs.ids import IDS
from envs.network.observations.features import FEATURES as KERNEL_FEATURES
from envs.network.observations.goal import OF_THINGS
from envs.part_settings import ACTION_CHECKS, FEATURES, GOAL_FEATURES, OBSERVATION_CHECKS
from envs.reference_config import OWN_DEFAULTS, checked_config, defaults_of
from envs.reference_episode import environment_class, made
from envs.settings import CHECKS
from sensors.errors import ConfigError

STEERED = {"type": "ContinuousAction"}
PLAIN = {"observation": {"type": "Kinematics"}}


@pytest.mark.parametrize("id", IDS)
def test_every_key_is_checked_and_every_default_passes(id: str) -> None:
    defaults = defaults_of(id)
    assert defaults.keys() <= CHECKS.keys()
    assert checked_config(id, defaults) == defaults
    for key in defaults:
        with pytest.raises(ConfigError, match=key):
            checked_config(id, {key: object()})


def test_every_key_of_the_parts_is_checked() -> None:
    """Apart from those whose check asks for the rest of the settings too."""
    for id in IDS:
        defaults = defaults_of(id)
        assert of_one(defaults["action"]).keys() - {"type"} <= ACTION_CHECKS.keys()
        assert of_one(defaults["observation"]).keys() - {"type", "attributes"} <= OBSERVATION_CHECKS.keys()


def test_no_lane_of_the_widest_exit_has_a_limit_below_zero() -> None:
    for lanes, lowest in ((7, 2.2), (8, -1.2)):
        with in_place(pristine()):
            network = made(environment_class("exit-v0")[0], {"lanes_count": lanes, "vehicles_count": 0}).road.network
        assert min(lane.speed_limit for lane in network.lanes_list()[:-1]) == pytest.approx(lowest)


@pytest.mark.parametrize("id", [*OWN_DEFAULTS, "parking-v0", "merge-v0"])
def test_defaults_are_those_of_a_built_environment(id: str) -> None:
    with in_place(pristine()):
        built = made(environment_class(id)[0], {}).config
    assert built == defaults_of(id) | {"offscreen_rendering": True}


def test_names_of_features_are_the_kernels() -> None:
    assert FEATURES == KERNEL_FEATURES
    assert GOAL_FEATURES == tuple(KERNEL_FEATURES[number] for number in OF_THINGS)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("merge-v0", {"lanes_count": 3}, "unknown configuration key of merge-v0 'lanes_count'"),
    ("merge-generic-v0", {"lane_count": 3}, "did you mean 'lanes_count'"),
    ("merge-generic-v0", {"lanes_count": 65}, "from 1 to 64"),
    ("merge-generic-v0", {"vehicles_count": -1}, "vehicles_count is -1"),
    ("merge-generic-v0", {"converge_merge_length": 0}, "above 0 [m]"),
    ("merge-generic-v0", {"after_merge_length": 89}, "at least 90 [m]"),
    ("merge-v0", {"merging_speed_reward": 1.3}, "divides by high_speed_reward + right_lane_reward - collision_reward"),
    ("roundabout-generic-v0", {"roundabout_lanes": 0}, "roundabout_lanes is 0"),
    ("roundabout-generic-v0", {"roundabout_radius": 0}, "roundabout_radius is 0"),
    ("roundabout-generic-v0", {"incoming_vehicle_destination": 4}, "one of 0, 1, 2, 3, None"),
    ("roundabout-v0", {"incoming_vehicle_destination": 3}, "one of 0, 1, 2, None"),
    ("roundabout-v0", {"incoming_vehicle_destination": True}, "is True"),
    ("roundabout-v0", {"incoming_vehicle_destination": -1}, "is -1"),
    ("intersection-v0", {"destination": "o4"}, "one of 'o0'"),
    ("intersection-v0", {"spawn_probability": 1.1}, "from 0 to 1"),
    ("intersection-v0", {"initial_vehicle_count": -1}, "initial_vehicle_count is -1"),
    ("intersection-v0", {"simulation_frequency": 15.5}, "a whole number from 2"),
    ("intersection-v0", {"simulation_frequency": 1}, "a whole number from 2"),
    ("intersection-v0", {"normalize_reward": True, "arrived_reward": -5}, "divides by arrived_reward - collision_reward"),
    ("racetrack-v0", {"other_vehicles": 1.0}, "other_vehicles is 1.0"),
    ("racetrack-v0", {"action": {"type": "DiscreteMetaAction"}}, "cannot drive a racetrack"),
    ("racetrack-v0", {"collision_reward": 1}, "divides by 1 - collision_reward"),
    ("racetrack-v0", {"speed_limit": 0}, "above 0 [m/s]"),
    ("racetrack-oval-v0", {"no_lanes": 1}, "from 2 to 64"),
    ("racetrack-oval-v0", {"no_lanes": 0}, "no seed reaches"),
    ("racetrack-oval-v0", {"length": -5}, "length is -5"),
    ("parking-v0", {"vehicles_count": 27}, "from 0 to 26"),
    ("parking-v0", {"reward_weights": [1, 0.3, 0, 0, 0.02]}, "six numbers"),
    ("parking-v0", {"reward_weights": [1, 0.3, 0, 0, 0.02, -0.02]}, "six numbers"),
    ("lane-keeping-v0", {"state_noise": -0.1}, "state_noise is -0.1"),
    ("lane-keeping-v0", {"action": STEERED}, "no car on tyres"),
    ("exit-v0", {"lanes_count": 8}, "from 1 to 7"),
    ("exit-v0", {"initial_lane_id": 6}, "initial_lane_id 6 does not exist"),
    ("exit-v0", {"goal_reward": 0}, "divides by goal_reward - collision_reward"),
    ("u-turn-v0", {"duration": float("inf")}, "duration is inf"),
    ("u-turn-v0", {"duration": 1e8}, "1e+08 decisions"),
    ("u-turn-v0", {"policy_frequency": 1e-5}, "substeps a decision"),
    ("u-turn-v0", {"policy_frequency": 20}, "nothing would move"),
    ("u-turn-v0", {"simulation_frequency": 0.5, "policy_frequency": 0.5}, "from 1 to 10000 [Hz]"),
    ("u-turn-v0", {"simulation_frequency": 1e6}, "from 1 to 10000 [Hz]"),
    ("u-turn-v0", {"action": STEERED}, "TimeToCollision asks for set speeds"),
    ("two-way-v0", {"policy_frequency": 0.1}, "make 0 moments"),
    ("two-way-v0", {"left_lane_reward": "0.2"}, "left_lane_reward is '0.2', expected a number"),
    ("highway-v0", {"vehicles_density": 1e-300}, "from 0.001"),
    ("highway-v0", {"other_vehicles_type": "highway_env.vehicle.behavior.Nobody"}, "cannot be imported"),
    ("highway-v0", {"other_vehicles_type": "highway_env.vehicle.kinematics.Vehicle"}, "no subclass"),
]
BAD_PARTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("highway-v0", "action", {"type": "DiscreteMetaActions"}, "did you mean 'DiscreteMetaAction'"),
    ("highway-v0", "action", {"type": "DiscreteMetaAction", "target_speed": [1, 2]}, "did you mean 'target_speeds'"),
    ("merge-v0", "action", {"type": "DiscreteMetaAction", "target_speeds": [20, 20]}, "two or more rising"),
    ("merge-v0", "action", {"type": "DiscreteMetaAction", "target_speeds": [20]}, "two or more rising"),
    ("merge-v0", "action", {"type": "DiscreteMetaAction", "lateral": 1}, "lateral is 1, expected True or False"),
    ("merge-v0", "action", STEERED | {"longitudinal": False, "lateral": False}, "one of them True"),
    ("merge-v0", "action", STEERED | {"acceleration_range": [5, -5]}, "two rising numbers"),
    ("merge-v0", "action", STEERED | {"steering_range": [-2, 2]}, "between -pi/2 and pi/2"),
    ("merge-v0", "action", {"type": "DiscreteAction", "actions_per_axis": 1}, "from 2 to 64"),
    ("merge-v0", "observation", {"type": "Kinematics", "features": ["presence", "xx"]}, "unknown feature"),
    ("merge-v0", "observation", {"type": "Kinematics", "features": ["x", "x"]}, "each once"),
    ("merge-v0", "observation", {"type": "Kinematics", "features": []}, "a list of names"),
    ("merge-v0", "observation", {"type": "Kinematics", "features_range": {"x": [1, 1]}}, "two rising numbers"),
    ("merge-v0", "observation", {"type": "Kinematics", "features_range": {"vz": [0, 1]}}, "unknown feature in features_range"),
    ("merge-v0", "observation", {"type": "Kinematics", "vehicles_count": 1}, "at least 2"),
    ("merge-v0", "observation", {"type": "Kinematics", "order": "random"}, "'sorted' or 'shuffled'"),
    ("merge-v0", "observation", {"type": "Kinematics", "absolute": "no"}, "absolute is 'no', expected True or False"),
    ("merge-v0", "observation", {"type": "OccupancyGrid", "grid_step": [0, 1]}, "two numbers above 0"),
    ("merge-v0", "observation", {"type": "OccupancyGrid", "grid_size": [[-1, 1]]}, "two pairs"),
    ("merge-v0", "observation", {"type": "OccupancyGrid", "grid_size": [[-1, 1], [-1, 1]], "grid_step": [3, 3]}, "make 0 x 0 cells"),
    ("merge-v0", "observation", {"type": "OccupancyGrid", "absolute": True}, "no absolute OccupancyGrid"),
    ("merge-v0", "observation", {"type": "LidarObservation", "cells": 0}, "cells is 0"),
    ("merge-v0", "observation", {"type": "LidarObservation", "maximum_range": 0}, "maximum_range is 0"),
    ("merge-v0", "observation", {"type": "ExitObservation"}, "only the exit ids"),
    ("merge-v0", "observation", {"type": "KinematicsGoal", "scales": [1], "features": ["x"]}, "only the parking ids"),
    ("merge-v0", "observation", {"type": "AttributesObservation", "attributes": ["state"]}, "only lane-keeping"),
    ("parking-v0", "observation", {"type": "KinematicsGoal", "scales": [1, 0], "features": ["x", "y"]}, "other than 0"),
    ("parking-v0", "observation", {"type": "KinematicsGoal", "scales": [1], "features": ["x", "y"]}, "one scale a feature"),
    ("parking-v0", "observation", {"type": "KinematicsGoal", "scales": [1], "features": ["heading"]}, "feature of a goal"),
    ("lane-keeping-v0", "observation", {"type": "AttributesObservation", "attributes": ["stat"]}, "did you mean 'state'"),
    ("lane-keeping-v0", "observation", {"type": "AttributesObservation", "attributes": []}, "each once"),
    ("u-turn-v0", "observation", {"type": "TimeToCollision", "horizon": 0}, "horizon is 0"),
    ("u-turn-v0", "observation", {"type": "TimeToCollision", "horizon": 1e7}, "moments"),
]


@pytest.mark.parametrize(("id", "config", "words"), BAD + [(id, {part: given}, words) for id, part, given, words in BAD_PARTS])
def test_what_cannot_be_is_refused_in_one_line(id: str, config: dict[str, Any], words: str) -> None:
    """By native worlds and by highway-env's alike, and before anything is built."""
    for build in (World, ReferenceWorld):
        with pytest.raises(ConfigError) as refusal:
            build(id, config=config)
        assert words in str(refusal.value) and "\n" not in str(refusal.value)


FAILURES: list[tuple[str, dict[str, Any], type[Exception]]] = [
    ("exit-v0", {"lanes_count": 1}, ValueError),
    ("intersection-v0", {"simulation_frequency": 15.5}, TypeError),
    ("intersection-v0", {"simulation_frequency": 1}, ZeroDivisionError),
    ("racetrack-v0", {"action": {"type": "DiscreteMetaAction"}}, AttributeError),
    ("lane-keeping-v0", {"action": STEERED}, AttributeError),
    ("merge-v0", {"action": STEERED}, ValueError),
    ("two-way-v0", PLAIN | {"action": STEERED}, AttributeError),
    ("u-turn-v0", {"action": STEERED}, AttributeError),
    ("roundabout-v0", {"incoming_vehicle_destination": 3}, IndexError),
    ("merge-generic-v0", {"after_merge_length": 89}, AssertionError),
]


@pytest.mark.parametrize(("id", "config", "error"), FAILURES)
def test_highway_env_itself_fails_where_the_module_says_so(id: str, config: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error), in_place(pristine()), np.errstate(invalid="ignore"):
        env = made(environment_class(id)[0], config)
        env.reset(seed=0)
        env.step(env.action_space.sample())


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 12), st.floats(-1, 120), st.just([0.0, 10.0]), st.sampled_from(["o1", "", math.nan, math.inf])
)
BUILT = ("merge-generic-v0", "roundabout-generic-v0", "intersection-v0", "racetrack-oval-v0", "parking-v0", "exit-v0", "u-turn-v0")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BUILT), st.data())
def test_what_passes_can_be_built_by_highway_env(id: str, data: st.DataObject) -> None:
    keys = sorted(defaults_of(id).keys() - {"offscreen_rendering", "other_vehicles_type"})
    config = data.draw(st.dictionaries(st.sampled_from(keys), JUNK, max_size=3), label="config")
    try:
        checked_config(id, config)
    except ConfigError:
        return
    if id == "exit-v0" and config.get("lanes_count") == 1:
        return  # highway-env divides 0 by 0
    with in_place(pristine()):
        made(environment_class(id)[0], {"simulation_frequency": 5} | config).reset(seed=1)


@pytest.mark.parametrize("id", NATIVE_DEFAULTS)
def test_both_ways_of_checking_a_highway_agree(id: str) -> None:
    for config in ({"lanes_count": 0}, {"collision_reward": 0.5}, {"duration": 0}, {"policy_frequency": 20}, {"initial_lane_id": 9}):
        with pytest.raises(ConfigError) as quick:
            complete_config(id, config)
        with pytest.raises(ConfigError) as full:
            checked_config(id, config)
        assert str(quick.value) == str(full.value)


def counted(id: str, seeds: int = 3, **config: Any) -> list[int]:
    """Vehicles in freshly started worlds, the ego's included; obstacles apart."""
    world = World(id, seeds, config=config)
    scene = world.reset(list(range(seeds)))
    return [int(count) for count in (scene.valid & (scene.kind == 0)).sum(1)]


def driven(world: Any, decisions: int) -> Any:
    """Any world after some decisions, which have to leave everything finite."""
    draws = np.random.default_rng(0)
    for _ in range(decisions):
        if world.num_actions is None:
            actions = torch.tensor(draws.uniform(-1, 1, (world.num_worlds, world.action_width)), dtype=torch.float32)
        else:
            actions = torch.tensor(draws.integers(world.num_actions, size=world.num_worlds))
        _, outcome = world.step(actions)
        assert torch.isfinite(outcome.reward).all() and torch.isfinite(world.scene.position_m).all()
    return outcome


def test_an_empty_road_holds_the_ego_and_what_belongs_to_the_place() -> None:
    assert counted("exit-v0", vehicles_count=0) == [1, 1, 1]
    assert counted("merge-generic-v0", vehicles_count=0) == [2, 2, 2]  # and the car on the ramp
    assert counted("roundabout-generic-v0", vehicles_count=0) == [1, 1, 1]
    assert counted("racetrack-v0", other_vehicles=0) == [1, 1, 1]
    assert counted("intersection-v0", initial_vehicle_count=0) == counted("intersection-v0", initial_vehicle_count=1) == [2, 2, 2]


def test_cars_that_find_no_room_are_left_out_as_highway_env_leaves_them() -> None:
    for id in ("merge-generic-v0", "roundabout-generic-v0"):
        crowded = counted(id, vehicles_count=150)
        assert max(crowded) < 100
        reference = ReferenceWorld(id, 3, config={"vehicles_count": 150})
        scene = reference.reset([0, 1, 2])
        assert crowded == (scene.valid & (scene.kind == 0)).sum(1).tolist()


@pytest.mark.parametrize(
    ("id", "config"),
    [
        ("merge-generic-v0", {"lanes_count": 1}),
        ("merge-generic-v0", {"lanes_count": 64, "vehicles_count": 5}),
        ("merge-v0", {"action": STEERED}),
        ("merge-v0", {"simulation_frequency": 1, "policy_frequency": 1}),
        ("roundabout-generic-v0", {"roundabout_lanes": 1, "roundabout_radius": 1}),
        ("exit-v0", {"lanes_count": 1, "vehicles_count": 4}),
        ("exit-v0", {"lanes_count": 7, "vehicles_count": 4}),
        ("intersection-v0", {"initial_vehicle_count": 0, "spawn_probability": 1, "simulation_frequency": 2}),
        ("two-way-v0", PLAIN | {"action": STEERED}),
        ("u-turn-v0", {"simulation_frequency": 2.5}),
    ],
)
def test_odd_settings_that_are_allowed_can_be_driven(id: str, config: dict[str, Any]) -> None:
    world = World(id, 2, config=config)
    assert type(world) is World
    world.reset([1, 2])
    driven(world, 6)


def test_a_crowd_is_not_built_twice() -> None:
    """highway-env takes minutes to place so many; only the kernels do it."""
    assert counted("exit-v0", 1, vehicles_count=1000) == [1001]


def test_settings_that_a_class_takes_late_change_its_road_too() -> None:
    world = World("parking-parked-v0", 1, config={"add_walls": False, "vehicles_count": 3})
    scene = world.reset([1])
    assert int(scene.valid.sum()) == 4 and not (scene.kind[scene.valid] != 0).any()


def test_a_duration_shorter_than_a_decision_ends_with_the_first() -> None:
    world = World("u-turn-v0", 2, config={"duration": 0.1})
    assert world.horizon_steps == 1
    world.reset([1, 2])
    assert driven(world, 1).truncated.tolist() == [True, True]


def test_an_intersection_that_keeps_filling_makes_room() -> None:
    """More cars come than there were records for; nobody is lost."""
    world = World(
        "intersection-v0", 2, config={"initial_vehicle_count": 0, "duration": 1, "spawn_probability": 1, "simulation_frequency": 5}
    )
    scene = world.reset([1, 2])
    room = scene.num_actors
    driven(world, 40)
    assert world.scene.num_actors > room
    assert int(world.scene.valid.sum(1).max()) > room
