"""Bugs of highway-env that worlds here must not have: each is shown there, so that nobody guards against what was mended upstream."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from highway_env.vehicle.behavior import IDMVehicle
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import DrivingEnv, ReferenceWorld, World
from envs.class_constants import in_place, pristine
from envs.ids import SINGLE_AGENT_IDS
from sensors.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # gymnasium's, at the oracle's older ids
QUICK: dict[str, Any] = {"vehicles_count": 10, "simulation_frequency": 5}
WITHOUT_RENDER_MODE = ("lane-keeping-v0", "parking-ActionRepeat-v0", "parking-parked-v0")
LEAKED = ("DISTANCE_WANTED", "COMFORT_ACC_MAX", "COMFORT_ACC_MIN")


def highway_after(before: Any, kind: type) -> torch.Tensor:
    """Where all cars are after some seconds, if something else happens in the process first and meanwhile."""
    with in_place(pristine()):
        before()
        world = kind("highway-v0", 1, dtype=torch.float64, config=QUICK)
        world.reset([21])
        for _ in range(4):
            before()
            world.step([1])
        place: torch.Tensor = world.scene.position_m
    return place


def intersection(kind: Any) -> Any:
    """Something that builds, resets and steps an intersection."""

    def happen() -> None:
        world = kind("intersection-v0", 1, config={"initial_vehicle_count": 2, "simulation_frequency": 5})
        world.reset([0])
        world.step([1])

    return happen


def upstream_intersection() -> None:
    gymnasium.make("intersection-v0", disable_env_checker=True, config={"initial_vehicle_count": 2})


def test_upstream_an_intersection_changes_every_driver_of_the_process() -> None:
    with in_place(pristine()):
        before = {name: getattr(IDMVehicle, name) for name in LEAKED}
        upstream_intersection()
        after = {name: getattr(IDMVehicle, name) for name in LEAKED}
    assert (before["DISTANCE_WANTED"], after["DISTANCE_WANTED"]) == (10.0, 7)
    assert all(before[name] != after[name] for name in LEAKED)


@pytest.mark.parametrize("kind", [World, ReferenceWorld])
@pytest.mark.parametrize("spoiler", [intersection(World), intersection(ReferenceWorld), upstream_intersection])
def test_an_intersection_leaves_a_highway_as_it_is(spoiler: Any, kind: type) -> None:
    assert torch.equal(highway_after(lambda: None, kind), highway_after(spoiler, kind))


def test_general_kernels_take_drivers_from_the_source_even_in_a_spoiled_process() -> None:
    def scene() -> torch.Tensor:
        world = World("merge-v0", 1, dtype=torch.float64)
        world.reset([5])
        for _ in range(3):
            world.step([1])
        place: torch.Tensor = world.scene.position_m
        return place

    clean = scene()
    with in_place(pristine()):
        IDMVehicle.DISTANCE_WANTED = 99.0
        spoiled = scene()
        assert IDMVehicle.DISTANCE_WANTED == 99.0  # what others did stays theirs
    assert torch.equal(clean, spoiled)


@pytest.mark.parametrize("kind", [World, ReferenceWorld])
def test_worlds_leave_highway_envs_classes_as_they_are(kind: type) -> None:
    before = {name: getattr(IDMVehicle, name) for name in LEAKED}
    intersection(kind)()
    assert {name: getattr(IDMVehicle, name) for name in LEAKED} == before


def test_an_intersection_has_its_own_drivers_whatever_was_built_before() -> None:
    world = World("intersection-v0", 1)
    world.reset([3])
    cars = world.state().cars[0, :2]
    assert cars["jam_distance_m"].tolist() == [7.0, 7.0] and cars["comfort_mps2"].tolist() == [6.0, 6.0]
    other = World("u-turn-v0", 1)
    other.reset([3])
    assert other.state().cars[0]["jam_distance_m"].tolist() == [10.0] * 7


def test_reset_is_seeded_in_all_that_it_gives() -> None:
    upstream = gymnasium.make("merge-v0", disable_env_checker=True)
    drawn = {int(upstream.reset(seed=1)[1]["action"]) for _ in range(20)}
    assert len(drawn) > 1  # an action of nobody, drawn without the seed
    env = DrivingEnv("merge-v0")
    first, again = env.reset(seed=1), env.reset(seed=1)
    assert first[1] == again[1] and "action" not in first[1] and np.array_equal(first[0], again[0])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(("merge-v0", "highway-fast-v0", "parking-v0")), st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12))
def test_a_key_that_nobody_reads_is_an_error(id: str, key: str) -> None:
    with in_place(pristine()):
        env: Any = gymnasium.make(id, disable_env_checker=True, config={key: 1})  # taken without a word
    known = env.unwrapped.config
    assert known[key] == 1
    if key not in known.keys() - {key}:
        with pytest.raises(ConfigError, match="unknown (configuration key|setting)"):
            World(id, config={key: 1})


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'policy_frequency'"):
        World("roundabout-v0", config={"policy_freqency": 2})


@pytest.mark.parametrize("id", WITHOUT_RENDER_MODE)
def test_ids_that_refuse_render_mode_upstream_are_drawn(id: str) -> None:
    with pytest.raises(TypeError, match="render_mode"):
        gymnasium.make(id, disable_env_checker=True, render_mode="rgb_array")
    env = DrivingEnv(id, render_mode="rgb_array")
    env.reset(seed=1)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and len(np.unique(picture)) > 3


def test_those_are_all_the_ids_that_refuse_it() -> None:
    refusing = []
    for id in SINGLE_AGENT_IDS:
        try:
            with in_place(pristine()):
                gymnasium.make(id, disable_env_checker=True, render_mode="rgb_array")
        except TypeError:
            refusing.append(id)
    assert tuple(refusing) == WITHOUT_RENDER_MODE


def test_a_seed_is_an_episode_whatever_ran_before() -> None:
    """Issues 329 and 454 upstream ask for seeds that repeat."""
    for id in ("roundabout-v0", "racetrack-v0", "parking-v0"):
        first, second = World(id, 1, dtype=torch.float64), World(id, 1, dtype=torch.float64)
        second.reset([99])
        scenes = first.reset([7]), second.reset([7]), second.reset([8])
        one, same, other = (torch.cat((scene.position_m.flatten(), scene.heading_rad.flatten())) for scene in scenes)
        assert torch.equal(one, same) and not torch.equal(one, other)


def test_cars_beyond_the_end_of_a_road_are_seen_by_default_in_the_newest_versions() -> None:
    """Issue 626 upstream: the first versions search the present road alone, and the newest ones are the mended ones."""
    for name in ("exit", "merge", "racetrack", "roundabout", "u-turn"):
        for version, connected in ((0, False), (1, True)):
            world = World(f"{name}-v{version}", 1)
            assert world.config["neighbour_vehicles_connected_lanes"] is connected
            links = world._engine._network.lanes["links"]
            assert (links > 1).any() == connected and (links >= 1).all()


def test_a_road_that_no_seed_reaches_is_refused() -> None:
    """racetrack-oval draws its road from an unseeded generator where length or lanes are 0."""
    with in_place(pristine()):
        drawn: list[Any] = [gymnasium.make("racetrack-oval-v0", disable_env_checker=True, config={"length": 0}) for _ in range(8)]
    lengths = {each.unwrapped.road.network.lanes_list()[0].length for each in drawn}
    assert len(lengths) > 1
    with pytest.raises(ConfigError, match="no seed reaches"):
        World("racetrack-oval-v0", config={"length": 0})
