"""Several agents in one world: parity with highway-env, and every way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

import envs
from envs import Override, ReferenceWorld, World
from envs.class_constants import in_place, pristine
from envs.ids import EACH_AGENT_JUDGED, MULTI_AGENT_IDS
from envs.oracle import CONTINUE, Course, drive
from envs.parity import Difference, difference, follow, random_drive
from envs.rollout import record
from envs.world_state import WorldState
from sensors.errors import ConfigError

V0, V1, V2 = MULTI_AGENT_IDS
pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # gymnasium's, at the oracle's older ids
QUICK: dict[str, Any] = {"initial_vehicle_count": 4, "simulation_frequency": 5}


def acting(**inner: Any) -> dict[str, Any]:
    return {"action": {"type": "MultiAgentAction", "action_config": {"type": "DiscreteMetaAction"} | inner}}


def seeing(**inner: Any) -> dict[str, Any]:
    return {"observation": {"type": "MultiAgentObservation", "observation_config": {"type": "Kinematics"} | inner}}


EVERYTHING_SEEN = seeing(
    features=["presence", "x", "y", "heading", "cos_d", "sin_d", "long_off", "lat_off", "ang_off", "vx"], observe_intentions=True
)
SHORT: dict[str, tuple[str, int, dict[str, Any]]] = {
    "v0": (V0, 14, {}),
    "v1, one agent": (V1, 6, {"controlled_vehicles": 1, "normalize_reward": True}),
    "v2, five agents, nowhere to go, others seen": (
        V2,
        16,
        {"controlled_vehicles": 5, "destination": None, "policy_frequency": 3, "spawn_probability": 0.9} | EVERYTHING_SEEN,
    ),
    "v1, three agents steered": (
        V1,
        8,
        {"controlled_vehicles": 3, "offroad_terminal": True, "duration": 6} | acting(type="ContinuousAction") | seeing(order="shuffled"),
    ),
    "intersection-v0, two agents, the first sees": (
        "intersection-v0",
        8,
        {"controlled_vehicles": 2} | acting(target_speeds=[0, 4.5, 9], lateral=False),
    ),
}
LONG: dict[str, tuple[str, int, dict[str, Any]]] = {
    "v1": (V1, 13, {}),
    "v2": (V2, 13, {}),
    "nine agents, dense": (V1, 40, {"controlled_vehicles": 9, "initial_vehicle_count": 15, "spawn_probability": 1.0, "destination": "o3"}),
    "five decisions a second, o2": (V0, 65, {"destination": "o2", "policy_frequency": 5, "duration": 8, "controlled_vehicles": 4}),
    "on tyres": (V2, 20, {"controlled_vehicles": 4} | acting(type="ContinuousAction", dynamical=True, steering_range=[-1.0, 1.0])),
    "a grid of controls, grids seen": (V1, 20, acting(type="DiscreteAction") | seeing(type="OccupancyGrid")),
    "lanes too, meetings seen": (V2, 20, {"controlled_vehicles": 3} | acting(target_speeds=[0, 5, 10]) | seeing(type="TimeToCollision")),
    "beams": (V2, 20, {"controlled_vehicles": 4} | seeing(type="LidarObservation")),
    "nobody else": (V0, 20, {"initial_vehicle_count": 0, "spawn_probability": 0.0, "controlled_vehicles": 8, "destination": None}),
}


def courses_of(drives: dict[str, tuple[str, int, dict[str, Any]]], seeds: Sequence[int]) -> dict[str, list[tuple[Course, Course]]]:
    made = [random_drive(id, seeds, decisions, config) for id, decisions, config in drives.values()]
    return {name: list(zip(follow(one), theirs, strict=True)) for name, one, theirs in zip(drives, made, drive(made), strict=True)}


def assert_same(pairs: Sequence[tuple[Course, Course]]) -> None:
    worst = Difference.worst([difference(*pair) for pair in pairs])
    assert worst.position_m <= 1e-9 and worst.heading_rad <= 1e-9 and worst.speed_mps <= 1e-9, worst
    assert worst.decisions == 0 and worst.ends == 0, worst
    assert worst.reward <= 1e-9 and worst.observation <= 1e-6, worst


@pytest.fixture(scope="module")
def short() -> dict[str, list[tuple[Course, Course]]]:
    """All of ``SHORT`` with a second episode that goes on with the first one's generator; one oracle process for all."""
    return courses_of(SHORT, [4711, CONTINUE])


@pytest.mark.parametrize("name", SHORT)
def test_native_world_equals_highway_env(name: str, short: dict[str, list[tuple[Course, Course]]]) -> None:
    """Cars, observations of every agent, the world's reward and each agent's, its end and theirs."""
    assert_same(short[name])
    agents = SHORT[name][2].get("controlled_vehicles", 2)
    assert all(course.rewards.shape[1] == 1 + agents and course.ends.shape[1] == 2 + agents for pair in short[name] for course in pair)


def test_drives_hold_what_could_differ(short: dict[str, list[tuple[Course, Course]]]) -> None:
    oracle = [theirs for pairs in short.values() for _, theirs in pairs]
    assert any(course.ends[:, 0].any() for course in oracle) and any(course.ends[:, 1].any() for course in oracle)
    several = [course for course in oracle if course.rewards.shape[1] > 2]
    assert all((course.rewards[:, 1] != course.rewards[:, 2]).any() for course in several)
    assert any((course.ends[:, 2] != course.ends[:, 3]).any() for course in several)  # one agent is done and the other is not
    assert any((np.diff(course.counts) < 0).any() for course in oracle)  # somebody left, and the agents moved up the list


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT | LONG)
def test_longer_episodes(name: str) -> None:
    id, decisions, config = (SHORT | LONG)[name]
    assert_same(courses_of({name: (id, 2 * decisions, config)}, range(91_000, 91_004))[name])


def pair(id: str = V1, worlds: int = 2, **config: Any) -> tuple[Any, Any]:
    """A native world and highway-env's own, both reset."""
    made = tuple(kind(id, worlds, dtype=torch.float64, config=QUICK | config) for kind in (World, ReferenceWorld))
    for world in made:
        world.reset(list(range(50, 50 + worlds)))
    return made


def drawn(world: Any, number: int) -> Tensor:
    """Meta-actions of every agent."""
    return torch.from_numpy(np.random.default_rng(number).integers(world.num_actions, size=(world.num_worlds, world.agents)))


def assert_alike(mine: Any, theirs: Any) -> None:
    """Scenes equal, padding apart; the two need not be pinned alike, so the last digits may differ."""
    room = min(mine.num_actors, theirs.num_actors)
    assert not mine.valid[:, room:].any() and not theirs.valid[:, room:].any()
    for name in ("position_m", "heading_rad", "velocity_mps", "size_m", "lights", "crashed", "valid"):
        torch.testing.assert_close(getattr(mine, name)[:, :room], getattr(theirs, name)[:, :room], rtol=0, atol=1e-6)
    assert torch.equal(mine.action, theirs.action)


def test_scenes_terms_and_autopilot_are_those_of_the_reference_world() -> None:
    """Agents come first in scenes; one of them, then all and then none are driven by IDM."""
    mine, theirs = pair(controlled_vehicles=3)
    assert mine.agents == theirs.agents == 3 and mine.action_names == theirs.action_names == ("SLOWER", "IDLE", "FASTER")
    one = torch.tensor([[False, True, False], [True, False, False]])
    for number, pilots in enumerate([None, one, one, torch.tensor([True, False]), None, None]):
        (scene, found), (expected, wanted) = (world.step(drawn(world, number), autopilot=pilots) for world in (mine, theirs))
        assert_alike(scene, expected)
        torch.testing.assert_close(mine.observation(), theirs.observation(), rtol=0, atol=1e-6)
        assert found.terms.keys() == wanted.terms.keys() > {"agents_rewards", "agents_terminated"}
        for name, values in found.terms.items():
            torch.testing.assert_close(values, wanted.terms[name], rtol=0, atol=1e-9)
        assert found.terms["agents_terminated"].dtype == torch.bool and found.terms["agents_rewards"].shape == (2, 3)
        torch.testing.assert_close(found.reward, found.terms["agents_rewards"].mean(1))
        assert torch.equal(found.terminated, wanted.terminated)


def test_the_first_actors_are_the_agents() -> None:
    world = World(V2, 1, dtype=torch.float64, config=QUICK | {"controlled_vehicles": 4})
    scene = world.reset([8])
    with in_place(pristine()):
        env: Any = gymnasium.make(V2, disable_env_checker=True, config=QUICK | {"controlled_vehicles": 4}).unwrapped
        env.reset(seed=8)
    places = np.array([car.position for car in env.controlled_vehicles])
    assert np.allclose(scene.position_m[0, :4].numpy() * (1, -1), places, atol=1e-6)


def test_a_world_alone_is_that_world_among_many() -> None:
    config = QUICK | {"controlled_vehicles": 3}
    many = World(V1, 40, dtype=torch.float64, config=config, num_threads=2)
    many.reset(list(range(40)))
    alone = World(V1, 1, dtype=torch.float64, config=config, num_threads=1)
    alone.reset([17])
    for number in range(4):
        actions = drawn(many, number)
        scene, outcome = many.step(actions)
        own_scene, own = alone.step(actions[17:18])
        assert torch.equal(scene.position_m[17], own_scene.position_m[0]) and torch.equal(outcome.reward[17:18], own.reward)
        assert all(torch.equal(outcome.terms[name][17:18], own.terms[name]) for name in own.terms)
        assert torch.equal(many.observation()[17:18], alone.observation())


def test_state_load_and_fork_go_on_identically() -> None:
    world, _ = pair()
    world.step(drawn(world, 0))
    state = WorldState.of_arrays(world.id, world.config, world.state().arrays())
    branches = World(V1, 3, dtype=torch.float64, config=world.config)
    branches.load(world.fork(1, 3))
    actions = drawn(world, 1)
    scene, outcome = world.step(actions)
    branch, theirs = branches.step(actions[1:2].expand(3, 2))
    world.load(state)
    again, same = world.step(actions)
    assert torch.equal(again.position_m, scene.position_m) and torch.equal(same.terms["agents_rewards"], outcome.terms["agents_rewards"])
    assert torch.equal(branch.position_m, scene.position_m[1:2].expand_as(branch.position_m))
    assert torch.equal(theirs.terms["agents_rewards"], outcome.terms["agents_rewards"][1:2].expand(3, 2))


def test_a_state_without_room_for_the_agents_is_refused() -> None:
    world, _ = pair()
    state = world.state()
    state.episodes["ego"] = state.episodes["vehicles"] - 1
    with pytest.raises(ConfigError, match="numbers of vehicles"):
        world.load(state)


def test_override_drives_any_agent() -> None:
    world, _ = pair()
    where = torch.zeros(world.scene.valid.shape, dtype=torch.bool)
    where[0, 1] = True
    hands = Override(where, torch.where(where, -3.0, 0.0), torch.zeros(where.shape))
    scene, _ = world.step(drawn(world, 0), override=hands)
    along = (scene.acceleration_mps2 * torch.stack((scene.heading_rad.cos(), scene.heading_rad.sin()), -1)).sum(-1)
    assert along[0, 1].item() == pytest.approx(-3.0) and along[0, 0].item() != pytest.approx(-3.0)


def test_step_autoreset_is_step_and_reset_continue() -> None:
    fast, slow = (pair(duration=2)[0] for _ in range(2))
    for number in range(5):
        actions = drawn(fast, number)
        step, (_, outcome) = fast.step_autoreset(actions), slow.step(actions)
        ended = outcome.terminated | outcome.truncated
        last = slow.observation()
        if ended.any():
            slow.reset_continue(ended)
        assert torch.equal(step.observation, slow.observation()) and torch.equal(step.final_observation[ended], last[ended])
        assert torch.equal(step.reward, outcome.reward) and torch.equal(step.terminated | step.truncated, ended)
        assert step.terms.keys() == {"agents_rewards", "agents_terminated"}
        assert all(torch.equal(values, outcome.terms[name]) for name, values in step.terms.items())


def test_variation_leaves_every_agent_alone() -> None:
    """With nobody else on the road the agents remain, also while an autopilot drives them."""
    world = World(V1, 3, config=QUICK | {"controlled_vehicles": 4, "variation": {"density": [0.0, 0.0]}})
    world.reset([1, 2, 3])
    for number in range(3):
        scene, _ = world.step(drawn(world, number), autopilot=torch.ones(3, dtype=torch.bool))
        assert scene.valid.sum(1).tolist() == [4, 4, 4]


class Everyone:
    """A driver of two agents."""

    autopilot, needs_frames = False, None

    def act(self, scene: Any, frames: Any, state: Any) -> tuple[Tensor, Any]:
        return torch.stack((scene.step % 3, (scene.step + scene.episode_seed) % 3), 1), None

    def reset(self, state: Any, where: Tensor) -> Any:
        return state


@pytest.mark.parametrize("kind", [World, ReferenceWorld])
def test_recordings_replay(kind: Any, tmp_path: Any) -> None:
    made = record(kind(V1, 2, config=QUICK | {"duration": 3}), Everyone(), [5, 6])[1]
    made.save(tmp_path / "episode.parquet")
    loaded = envs.Recording.load(tmp_path / "episode.parquet")
    assert loaded.actions.shape == (3, 2) and loaded.differences(made) == [] and loaded.replay().differences(made) == []


@pytest.mark.parametrize("id", MULTI_AGENT_IDS)
def test_the_gymnasium_environment_is_highway_envs(id: str) -> None:
    """Tuples of actions, observations, and in v1 and v2 of rewards and ends."""
    constants = pristine()  # which its reset changes
    with in_place(constants):
        theirs: Any = gymnasium.make(id, disable_env_checker=True, config=QUICK)
        expected, _ = theirs.reset(seed=3)
    ours: Any = gymnasium.make(f"DriveFusion/{id}", config=QUICK, render_mode="rgb_array")
    assert ours.action_space == theirs.action_space
    observation, _ = ours.reset(seed=3)
    assert ours.observation_space.contains(observation) and isinstance(ours.observation_space, spaces.Tuple)
    for number in range(4):
        np.testing.assert_allclose(np.stack(observation), np.stack(expected), atol=1e-6)
        ours.action_space.seed(number)
        action = ours.action_space.sample()
        observation, reward, terminated, truncated, info = ours.step(action)
        with in_place(constants):
            expected, their_reward, their_end, their_cut, their_info = theirs.step(action)
        np.testing.assert_allclose(reward, their_reward, atol=1e-6)
        assert isinstance(reward, tuple) == isinstance(their_reward, tuple) == (id in EACH_AGENT_JUDGED)
        assert (terminated, truncated) == (their_end, their_cut)
        np.testing.assert_allclose(info["agents_rewards"], their_info["agents_rewards"], atol=1e-6)
        assert tuple(info["agents_terminated"]) == their_info["agents_terminated"]
        assert info["rewards"].keys() == their_info["rewards"].keys()
    assert ours.render().ndim == 3


def same(a: Any, b: Any) -> bool:
    """Equal in every bit, types and keys included."""
    if isinstance(a, dict):
        return bool(a.keys() == b.keys()) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a is b if a is None or b is None else bool(a.dtype == b.dtype and np.array_equal(a, b))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("details", [True, None])
def test_the_vector_environment_is_as_many_single_ones(mode: AutoresetMode, details: bool | None) -> None:
    config = QUICK | {"duration": 2}
    ours: Any = gymnasium.make_vec(
        f"DriveFusion/{V0}", 3, vectorization_mode="vector_entry_point", autoreset_mode=mode, config=config, details=details
    )
    theirs: Any = gymnasium.make_vec(
        f"DriveFusion/{V0}", 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, config=config
    )
    assert ours.action_space == theirs.action_space and ours.observation_space == theirs.observation_space
    assert all(same(a, b) for a, b in zip(ours.reset(seed=1), theirs.reset(seed=1), strict=True))
    ours.action_space.seed(2)
    for _ in range(6):
        actions = ours.action_space.sample()
        found, expected = ours.step(actions), theirs.step(actions)
        assert all(same(a, b) for a, b in zip(found[:4], expected[:4], strict=True))
        agents = ("agents_rewards", "agents_terminated")
        assert all(same(found[4].get(name), expected[4].get(name)) for name in agents)
        assert same(found[4].get("final_obs"), expected[4].get("final_obs"))
        assert details is None or same(found[4], expected[4])
        done = found[2] | found[3]
        if mode is AutoresetMode.DISABLED and done.any():
            assert all(same(a, b) for a, b in zip(*(env.reset(options={"reset_mask": done}) for env in (ours, theirs)), strict=True))


def test_each_agent_is_an_environment_for_stable_baselines3() -> None:
    from stable_baselines3 import PPO

    env: Any = envs.make_sb3_vec(V1, 2, config=QUICK | {"duration": 2, "controlled_vehicles": 3}, seeds=[4, 5])
    world = World(V1, 2, config=env.world.config)
    assert env.num_envs == 6 and env.action_space == spaces.Discrete(3) and env.observation_space.shape == (15, 7)
    world.reset([4, 5])
    assert np.array_equal(env.reset(), world.observation().flatten(0, 1).numpy())
    for number in range(2):
        actions = drawn(world, number)
        _, outcome = world.step(actions)
        observation, rewards, dones, infos = env.step(actions.flatten().numpy())
        assert np.array_equal(rewards, outcome.terms["agents_rewards"].flatten().numpy())
        assert dones.tolist() == (outcome.terminated | outcome.truncated).repeat_interleave(3).tolist()
        assert [info["agent_terminated"] for info in infos] == outcome.terms["agents_terminated"].flatten().tolist()
        for place in np.flatnonzero(dones):
            assert np.array_equal(infos[place]["terminal_observation"], world.observation()[place // 3, place % 3].numpy())
    assert dones.any() and observation.shape == (6, 15, 7)
    kept = env.state()
    went_on = env.step(np.ones(6, np.int64))
    env.load_state(kept)
    assert np.array_equal(env.step(np.ones(6, np.int64))[0], went_on[0])
    PPO("MlpPolicy", env, n_steps=4, batch_size=12, n_epochs=1, device="cpu").learn(24)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("merge-v0", acting(), "which only intersection, highway, exit, racetrack ids have"),
    ("parking-v0", {"observation": seeing()["observation"]}, "which only intersection, highway, exit, racetrack ids have"),
    ("highway-v0", {"controlled_vehicles": 2}, "expected 1 with action DiscreteMetaAction"),
    ("merge-generic-v0", {"controlled_vehicles": 2}, "unknown"),
    ("intersection-v0", {"controlled_vehicles": 2}, "expected 1 with action DiscreteMetaAction"),
    (V0, {"action": {"type": "DiscreteMetaAction"}}, "controlled_vehicles is 2, expected 1"),
    (V0, {"controlled_vehicles": 0}, "controlled_vehicles is 0"),
    (V0, {"controlled_vehicles": 1.5}, "controlled_vehicles is 1.5"),
    (V0, {"action": {"type": "MultiAgentAction"}}, "action_config None"),
    (V0, acting(type="MultiAgentAction"), "type in the action"),
    (V0, acting(target_speed=3), "did you mean 'target_speeds'"),
    (V0, acting(target_speeds=[3]), "two or more rising numbers"),
    (V0, {"action": acting()["action"] | {"lateral": False}}, "has no key 'lateral'"),
    (V0, seeing(features=["speed"]), "feature of the"),
    (V0, {"observation": {"type": "MultiAgentObservations"}}, "did you mean"),
    (V0, seeing(type="TimeToCollision") | acting(type="ContinuousAction"), "asks for set speeds"),
]


@pytest.mark.parametrize("kind", [World, ReferenceWorld])
@pytest.mark.parametrize(("id", "config", "words"), WRONG)
def test_settings_that_cannot_be_say_why(kind: Any, id: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(id, config=config)


@pytest.mark.parametrize("kind", [World, ReferenceWorld])
def test_actions_of_another_shape_or_range_are_refused(kind: Any) -> None:
    world = kind(V1, 2, config=QUICK)
    world.reset([1, 2])
    for actions, words in (
        (torch.tensor([1, 1]), r"shape \(2, 2\)"),
        (torch.tensor([[1, 1, 1], [1, 1, 1]]), r"shape \(2, 2\)"),
        (torch.ones(2, 2), "expected whole numbers"),
        (torch.tensor([[0, 3], [0, 0]]), "expected 0 to 2"),
    ):
        with pytest.raises(ConfigError, match=words):
            world.step(actions)
    with pytest.raises(ConfigError, match="bool"):
        world.step(torch.ones(2, 2, dtype=torch.int64), autopilot=torch.ones(2, 3, dtype=torch.bool))


def test_a_rig_says_that_it_sees_from_one_actor() -> None:
    for make in (gymnasium.make, lambda id, **given: envs.make_sb3_vec(id.removeprefix("DriveFusion/"), 1, **given)):
        with pytest.raises(ConfigError, match="sees from actor 0 alone"):
            make(f"DriveFusion/{V1}", rig="micro")


def test_sb3_says_that_every_agent_needs_an_observation() -> None:
    config = {"controlled_vehicles": 2} | acting(lateral=False)
    with pytest.raises(ConfigError, match="the first agent's alone"):
        envs.make_sb3_vec("intersection-v0", 1, config=config)


def test_an_observation_that_kernels_lack_runs_through_highway_env(caplog: pytest.LogCaptureFixture) -> None:
    seen = seeing(type="GrayscaleObservation", observation_shape=(16, 8), stack_size=2, weights=[0.3, 0.6, 0.1], scaling=1.75)
    world = World(V1, 1, config=QUICK | seen)
    assert isinstance(world, ReferenceWorld) and "GrayscaleObservation" in caplog.text
    world.reset([1])
    world.step(torch.ones(1, 2, dtype=torch.int64))
    assert world.observation().shape == (1, 2, 2, 16, 8)


@pytest.mark.parametrize("id", ["highway-fast-v0", "exit-v1", "racetrack-v0"])
def test_several_agents_of_other_ids_run_through_highway_env(id: str, caplog: pytest.LogCaptureFixture) -> None:
    """As highway-env's own documentation has them: observations of each, and the reward and the end of the first one for all."""
    kind = "ContinuousAction" if id.startswith("racetrack") else "DiscreteMetaAction"
    config = {"controlled_vehicles": 2, "simulation_frequency": 5} | acting(type=kind) | seeing(vehicles_count=4)
    world = World(id, 2, config=config)
    assert isinstance(world, ReferenceWorld) and world.agents == 2 and "MultiAgentAction is not native" in caplog.text
    world.reset([5, 6])
    env = in_place_env(id, config)
    expected, _ = env.reset(seed=5)
    space = spaces.Tuple(tuple(env.action_space)).spaces
    for number in range(3):
        np.testing.assert_allclose(world.observation()[0], np.stack(expected), atol=1e-6)
        for own in space:
            own.seed(number)
        action = tuple(own.sample() for own in space)
        actions = torch.from_numpy(np.stack([np.stack(action)] * 2))
        with in_place(pristine()):
            expected, reward, terminated, truncated, _ = env.step(action)
        _, outcome = world.step(actions)
        assert float(outcome.reward[0]) == pytest.approx(float(reward), abs=1e-6)
        assert (bool(outcome.terminated[0]), bool(outcome.truncated[0])) == (terminated, truncated)
        assert torch.equal(outcome.terms["agents_rewards"], outcome.reward[:, None].expand(2, 2))
        assert outcome.terms["agents_terminated"].dtype == torch.bool
    single: Any = gymnasium.make(f"DriveFusion/{id}", config=config)
    assert single.observation_space.contains(single.reset(seed=5)[0]) and len(single.step(single.action_space.sample())[0]) == 2
    assert envs.make_sb3_vec(id, 2, config=config).reset().shape == (4, 4, 5)


def in_place_env(id: str, config: dict[str, Any]) -> Any:
    from envs.reference_episode import environment_class, made

    with in_place(pristine()):
        return made(environment_class(id)[0], config)
