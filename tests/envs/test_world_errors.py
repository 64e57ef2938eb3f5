"""What cannot be used is refused in one clear line, before anything changes."""

from typing import Any

import numpy as np
import pytest
import torch

from envs import ReferenceWorld, World
from envs.config import NATIVE_DEFAULTS, complete_config
from envs.ids import IDS
from envs.world import WorldState
from sensors.errors import ConfigError

FAST = "highway-fast-v0"


@pytest.mark.parametrize("id", NATIVE_DEFAULTS)
def test_defaults_are_highway_envs(id: str) -> None:
    from envs.reference_episode import environment_class

    assert environment_class(id)[0]().config == complete_config(id, None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lane_count": 3}, "did you mean 'lanes_count'"),
        ({"lanes_count": 2.5}, "lanes_count is 2.5, expected a whole number"),
        ({"lanes_count": True}, "lanes_count is True"),
        ({"vehicles_count": -1}, "vehicles_count is -1"),
        ({"vehicles_density": 0}, "vehicles_density is 0"),
        ({"vehicles_density": float("nan")}, "vehicles_density is nan"),
        ({"duration": "40"}, "duration is '40', expected a number"),
        ({"policy_frequency": 20}, "nothing would move"),
        ({"initial_lane_id": 4}, "initial_lane_id 4 does not exist"),
        ({"controlled_vehicles": 2}, "controlled_vehicles is 2"),
        ({"reward_speed_range": [30, 30]}, "reward_speed_range is"),
        ({"collision_reward": 0.5}, "divides by"),
        ({"normalize_reward": 1}, "normalize_reward is 1, expected True or False"),
        ({"action": "DiscreteMetaAction"}, "a dict with a 'type'"),
        ({"action": {"type": "DiscreteMetaAction", "target_speeds": [20]}}, "two or more rising"),
        ({"action": {"type": "DiscreteMetaAction", "lateral": False, "longitudinal": False}}, "one of them True"),
        ({"observation": {"type": "Kinematics", "vehicles_count": 1}}, "at least 2"),
    ],
)
def test_settings_are_checked(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        World("highway-v0", config=config)


def test_config_that_is_no_dict_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a dict"):
        World("highway-v0", config=[("lanes_count", 3)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_worlds": 0}, "num_worlds is 0"),
        ({"num_worlds": 2.0}, "num_worlds is 2.0"),
        ({"dtype": torch.float16}, "dtype is torch.float16"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"device": "gpu"}, "unknown device 'gpu'; did you mean"),
        ({"device": "meta"}, "unknown device 'meta'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        World(FAST, **arguments)


def test_misspelt_id_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'highway-fast-v0'"):
        World("highway-fst-v0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_gpu_is_an_error_and_auto_says_what_it_chose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="0 CUDA devices"):
        World(FAST, device="cuda")
    assert World(FAST, device="auto").device == torch.device("cpu")
    assert capsys.readouterr().err == "highway-fast-v0: device auto is cpu\n"


IMAGES = {"type": "GrayscaleObservation", "observation_shape": (32, 16), "stack_size": 2, "weights": [0.3, 0.6, 0.1], "scaling": 1.75}


@pytest.mark.parametrize(
    "config",
    [
        {"other_vehicles_type": "highway_env.vehicle.behavior.AggressiveVehicle"},
        {"other_vehicles_type": "highway_env.vehicle.behavior.LinearVehicle"},
        {"observation": IMAGES},
    ],
)
@pytest.mark.parametrize("id", [FAST, "merge-v0"])
def test_what_is_not_native_is_served_by_the_reference_and_said(id: str, config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    world = World(id, config=({"vehicles_count": 2} if id == FAST else {}) | config)
    assert isinstance(world, ReferenceWorld)
    assert "Vehicle is not native" in caplog.text or "GrayscaleObservation" in caplog.text


@pytest.mark.parametrize("config", [{"action": {"type": "ContinuousAction"}}, {"observation": {"type": "OccupancyGrid"}}])
def test_other_actions_and_observations_of_a_highway_are_native(config: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert type(World(FAST, config={"vehicles_count": 2} | config)) is World
    assert caplog.text == ""


@pytest.mark.parametrize("id", IDS)
def test_every_id_is_native(id: str) -> None:
    assert type(World(id)) is World
    assert type(World(f"DriveFusion/{id}")) is World


@pytest.fixture
def steered() -> World:
    world = World("parking-v0", 2)
    world.reset([1, 2])
    return world


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([0.0, 0.0], r"float64 \(2,\), expected floating-point numbers of shape \(2, 2\)"),
        ([[0, 0], [0, 0]], "int64"),
        ([[0.0], [0.0]], r"\(2, 1\)"),
        ([[0.0, float("nan")], [0.0, 0.0]], "NaN or infinity"),
        (torch.full((2, 2), torch.inf), "NaN or infinity"),
        (torch.zeros(2, 2, dtype=torch.float16), "float16"),
    ],
)
def test_continuous_actions_are_checked(steered: World, actions: Any, words: str) -> None:
    before = steered.state()
    for step in (steered.step, steered.step_autoreset):
        with pytest.raises(ConfigError, match=words):
            step(actions)
    assert np.array_equal(steered.state().cars["x_m"], before.cars["x_m"])
    with pytest.raises(ConfigError, match="no autopilot"):
        steered.step(torch.zeros(2, 2), autopilot=torch.tensor([True, False]))


def test_foreign_and_broken_states_of_a_network_are_refused() -> None:
    world, other = World("intersection-v0", 2), World("merge-v0", 2)
    world.reset([1, 2])
    other.reset([1, 2])
    state = world.state()

    def changed(field: str, value: int, table: str = "cars") -> WorldState:
        cars, episodes = state.cars.copy(), state.episodes.copy()
        (cars if table == "cars" else episodes)[field][1] = value
        return WorldState(state.id, state.config, cars, episodes, state.kept)

    for bad, words in (
        (other.state(), "of merge-v0"),
        (changed("lane", 999), "lane of the state is outside"),
        (changed("target_lane", -1), "target_lane of the state is outside"),
        (changed("route", 10_000), "route of the state is outside"),
        (changed("route_place", 99), "drivers or routes"),
        (changed("driver", 17), "drivers or routes"),
        (changed("vehicles", 0, "episodes"), "numbers of vehicles"),
        (changed("vehicles", 999, "episodes"), "numbers of vehicles"),
        (changed("ego", 999, "episodes"), "numbers of vehicles"),
        (WorldState(state.id, state.config, state.cars, state.episodes), "observations"),
    ):
        with pytest.raises(ConfigError, match=words):
            world.load(bad)
    assert np.array_equal(world.state().cars["x_m"], state.cars["x_m"])


@pytest.fixture
def world() -> World:
    world = World(FAST, 2)
    world.reset([1, 2])
    return world


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([1], r"\(1,\), expected whole numbers of shape \(2,\)"),
        ([[1, 1]], r"\(1, 2\)"),
        ([1.0, 1.0], "float64"),
        (torch.tensor([1.0, float("nan")]), "float32"),
        ([True, False], "bool"),
        ([0, 5], "run from 0 to 5, expected 0 to 4"),
        ([-1, 0], "run from -1"),
        ([[1], [1, 2]], "actions"),
    ],
)
def test_actions_are_checked(world: World, actions: Any, words: str) -> None:
    before = world.state()
    for step in (world.step, world.step_autoreset):
        with pytest.raises(ConfigError, match=words):
            step(actions)
    assert np.array_equal(world.state().cars["x_m"], before.cars["x_m"])


def test_seeds_and_masks_are_checked(world: World) -> None:
    with pytest.raises(ConfigError, match="seeds hold -4"):
        world.reset([1, -4])
    with pytest.raises(ConfigError, match="seeds are float64"):
        world.reset([1.5, 2.0])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="where is int64"):
        world.reset([1, 2], where=torch.tensor([0, 1]))
    with pytest.raises(ConfigError, match=r"where is bool \(3,\)"):
        world.reset_continue(torch.ones(3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="autopilot is"):
        world.step([1, 1], autopilot=torch.ones(1, dtype=torch.bool))


def test_nothing_happens_before_the_first_reset() -> None:
    world = World(FAST, 2)
    for call in (lambda: world.scene, lambda: world.step([1, 1]), world.observation, world.state, lambda: world.fork(0, 1)):
        with pytest.raises(ConfigError, match="call reset"):
            call()
    with pytest.raises(ConfigError, match="leave where out"):
        world.reset([1, 2], where=torch.tensor([True, False]))


def test_foreign_and_broken_states_are_refused(world: World) -> None:
    state = world.state()
    other = World(FAST, 2, config={"lanes_count": 4})
    other.reset([1, 2])
    broken = state.cars.copy()
    broken["y_m"][0, 3] = np.nan
    astray = state.cars.copy()
    astray["lane"][1, 0] = 3
    for bad, words in (
        ({"cars": 1}, "got a dict"),
        (other.state(), "lanes_count"),
        (WorldState("highway-v0", state.config, state.cars, state.episodes), "of highway-v0"),
        (WorldState(state.id, state.config, state.cars[:, :5], state.episodes), "truncated or foreign"),
        (WorldState(state.id, state.config, state.cars, state.episodes[:1]), "truncated or foreign"),
        (WorldState(state.id, state.config, broken, state.episodes), "y_m of the state holds NaN"),
        (WorldState(state.id, state.config, astray, state.episodes), "lane of the state is outside"),
        (world.fork(0, 3), "holds 3 worlds, expected 2"),
    ):
        with pytest.raises(ConfigError, match=words):
            world.load(bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no world 2"):
        world.fork(2, 1)
    arrays = state.arrays()
    del arrays["episodes.state_low"]
    with pytest.raises(ConfigError, match="'episodes.state_low' is missing"):
        WorldState.of_arrays(state.id, state.config, arrays)
    with pytest.raises(ConfigError, match=r"cars.lane is float64"):
        WorldState.of_arrays(state.id, state.config, state.arrays() | {"cars.lane": state.cars["x_m"]})
