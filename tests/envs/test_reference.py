"""The reference world is highway-env: the same numbers, bit for bit, and none of its leaks."""

import copy

import gymnasium
import highway_env  # noqa: F401
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import registry
from highway_env.vehicle.behavior import IDMVehicle

from envs.class_constants import in_place, pristine
from envs.drivers import driver_named
from envs.ids import IDS, SINGLE_AGENT_IDS
from envs.reference import ReferenceWorld
from sensors.errors import ConfigError
from sensors.scene import Kind, Light, Scene

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # gymnasium's, at the oracle's older ids
PER_ACTOR = (
    "position_m",
    "heading_rad",
    "velocity_mps",
    "acceleration_mps2",
    "yaw_rate_radps",
    "size_m",
    "kind",
    "lights",
    "crashed",
    "valid",
)
QUICK = (
    "exit-v1",
    "highway-fast-v0",
    "intersection-v1",
    "lane-keeping-v0",
    "merge-v1",
    "parking-v0",
    "racetrack-v1",
    "roundabout-v1",
    "two-way-v0",
    "u-turn-v1",
)
COPIED = ("intersection-v0", "u-turn-v0", "racetrack-v0")
PILOTED = ("highway-fast-v0", "merge-v0", "roundabout-v0", "two-way-v0", "u-turn-v0", "exit-v0", "racetrack-v0", "intersection-v1")


def world_of(id, num_worlds=1, config=None, **options):
    """Few substeps a decision, because highway-env takes its time; ``config={}`` leaves its own settings."""
    config = {"simulation_frequency": 10 if id == "lane-keeping-v0" else 5} if config is None else config
    return ReferenceWorld(id, num_worlds, dtype=torch.float64, config=config, **options)


def random_actions(world):
    return driver_named("random", world.num_actions).act(world.scene, None, None)[0]


def rollout(world, steps, actions=random_actions):
    outcomes = []
    for _ in range(steps):
        outcomes.append(world.step(actions(world))[1])
    return outcomes


def same(a: Scene, b: Scene) -> bool:
    """Equal bit for bit, padding apart."""
    room = min(a.num_actors, b.num_actors)
    if bool(a.valid[:, room:].any()) or bool(b.valid[:, room:].any()):
        return False
    whole = ("time_s", "episode_seed", "step", "action")
    return all(torch.equal(getattr(a, n)[:, :room], getattr(b, n)[:, :room]) for n in PER_ACTOR) and all(
        torch.equal(getattr(a, n), getattr(b, n)) for n in whole
    )


def test_the_ids_are_all_of_highway_env():
    theirs = {id for id, spec in registry.items() if str(spec.entry_point).startswith("highway_env")}
    assert set(IDS) == theirs
    assert set(SINGLE_AGENT_IDS) == {id for id in theirs if "multi-agent" not in id}


@pytest.mark.parametrize("id", [pytest.param(id, marks=() if id in QUICK else pytest.mark.slow) for id in SINGLE_AGENT_IDS])
def test_a_world_steps_as_highway_env_does(id):
    steps = 2 if id in QUICK else 6
    world = world_of(id, config={})
    with in_place(pristine()):
        env = gymnasium.make(id, disable_env_checker=True)
    world.reset([11])
    with in_place(pristine()):
        expected, _ = env.reset(seed=11)
        for _ in range(steps):
            compare_observations(world.observation(), expected)
            action = random_actions(world)
            scene, outcome = world.step(action)
            plain = int(action) if world.num_actions else action[0].numpy()
            expected, reward, terminated, truncated, info = env.step(plain)
            assert outcome.reward.item() == reward
            assert (outcome.terminated.item(), outcome.truncated.item()) == (terminated, truncated)
            assert {name: value.item() for name, value in outcome.terms.items()} == {
                name: float(value) for name, value in info.get("rewards", {}).items()
            }
            ego = env.unwrapped.vehicle
            assert scene.position_m[0, 0].tolist() == [ego.position[0], -ego.position[1]]
            assert scene.heading_rad[0, 0].item() == -ego.heading
            assert scene.crashed[0, 0].item() == ego.crashed
            if terminated or truncated:
                break
        compare_observations(world.observation(), expected)


def compare_observations(ours, theirs):
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            compare_observations(ours[key], theirs[key])
    else:
        assert np.array_equal(ours[0].numpy(), theirs)
        assert ours.numpy().dtype == theirs.dtype


def test_every_vehicle_of_the_list_is_in_the_scene_ego_first():
    world = world_of("intersection-v0")
    scene = world.reset([5])
    rollout(world, 3)
    scene = world.scene
    env = world._episodes[0].env
    others = [v for v in env.road.vehicles if v is not env.vehicle]
    assert int(scene.valid.sum()) == 1 + len(others)
    for place, vehicle in enumerate([env.vehicle, *others]):
        assert scene.position_m[0, place].tolist() == [vehicle.position[0], -vehicle.position[1]]
        assert scene.speed_mps[0, place].item() == pytest.approx(vehicle.speed, abs=1e-12)


def test_walls_are_obstacles_and_the_goal_is_not_there():
    world = world_of("parking-v0")
    scene = world.reset([1])
    obstacles = scene.kind[0] == Kind.OBSTACLE
    assert int(obstacles.sum()) == 4
    assert sorted(scene.size_m[0, obstacles, 0].tolist()) == [42.0, 42.0, 70.0, 70.0]
    assert sum(not thing.solid for thing in world._episodes[0].env.road.objects) == 1


def test_the_scene_is_turned_over_so_that_left_is_positive():
    world = world_of("highway-fast-v0")
    scene = world.reset([3])
    lane, _, lateral, error = world.road.locate(scene.position_m[0].numpy(), scene.heading_rad[0].numpy())
    indexes = [vehicle.lane_index[2] for vehicle in world._episodes[0].env.road.vehicles]
    assert lane.tolist() == indexes
    assert np.abs(lateral).max() < 1e-9 and np.abs(error).max() < 1e-9


def test_substeps_lead_to_the_scene_and_change_nothing():
    plain, watched = world_of("intersection-v0"), world_of("intersection-v0")
    plain.reset([2]), watched.reset([2])
    for _ in range(2):
        actions = random_actions(plain)
        plain_scene, plain_outcome = plain.step(actions)
        before = watched.scene
        scene, outcome = watched.step(actions, substeps=True)
        assert len(outcome.substeps) == watched.substeps_per_step == 5
        assert outcome.substeps[-1] is scene
        assert same(scene, plain_scene) and torch.equal(outcome.reward, plain_outcome.reward)
        assert plain_outcome.substeps == ()
        steps = [int(each.step[0]) for each in outcome.substeps]
        assert steps == list(range(int(before.step[0]) + 1, int(before.step[0]) + 6))


def test_motion_between_substeps_is_what_the_scene_says():
    world = world_of("highway-fast-v0", 2)
    world.reset([4, 5])
    for _ in range(4):
        _, outcome = world.step(random_actions(world), substeps=True)
        for before, after in zip(outcome.substeps, outcome.substeps[1:], strict=False):
            dt = world.substep_dt_s
            untouched = ~after.crashed
            turned = (after.heading_rad - before.heading_rad) / dt
            assert torch.allclose(after.yaw_rate_radps[untouched], turned[untouched], atol=1e-9)
            gained = (after.speed_mps - before.speed_mps) / dt
            along = torch.stack((after.heading_rad.cos(), after.heading_rad.sin()), -1)
            longitudinal = (after.acceleration_mps2 * along).sum(-1)
            assert torch.allclose(longitudinal[untouched], gained[untouched], atol=1e-9)


def test_one_world_is_the_same_alone_and_among_others():
    alone, many = world_of("merge-v0"), world_of("merge-v0", 3)
    alone.reset([8]), many.reset([7, 8, 9])
    for _ in range(4):
        a, b = alone.step(random_actions(alone)), many.step(random_actions(many))
        assert same(a[0], b[0].select([1]))
        assert torch.equal(a[1].reward, b[1].reward[1:2])


def test_the_same_seed_twice_is_the_same_episode():
    first, second = world_of("roundabout-v0", 2), world_of("roundabout-v0", 2)
    second.reset([99, 98])
    rollout(second, 2)
    first.reset([1, 2]), second.reset([1, 2])
    rollout(first, 3), rollout(second, 3)
    assert same(first.scene, second.scene)


def test_a_partial_reset_leaves_the_other_worlds_alone():
    world = world_of("u-turn-v0", 2)
    world.reset([1, 2])
    rollout(world, 2)
    before = world.scene
    after = world.reset([0, 5], where=torch.tensor([False, True]))
    assert same(before.select([0]), after.select([0]))
    assert after.step.tolist() == [before.step[0].item(), 0] and after.episode_seed.tolist() == [1, 5]


def test_reset_continue_goes_on_with_the_environments_own_generator():
    world = world_of("u-turn-v0", 2)
    world.reset([3, 4])
    rollout(world, 1)
    world.reset_continue(torch.tensor([True, False]))
    with in_place(pristine()):
        env = gymnasium.make("u-turn-v0", disable_env_checker=True, config={"simulation_frequency": 5})
        env.reset(seed=3)
        env.unwrapped.reset()
    assert world.scene.position_m[0, 3, 0].item() == env.unwrapped.road.vehicles[3].position[0]
    assert world.scene.episode_seed[1] == 4 and world.scene.episode_seed[0] != 3


def test_an_intersection_changes_no_other_world():
    quiet = world_of("highway-fast-v0")
    quiet.reset([21])
    rollout(quiet, 3)
    disturbed = world_of("highway-fast-v0")
    intersection = world_of("intersection-v0")
    intersection.reset([0])
    disturbed.reset([21])
    for _ in range(3):
        rollout(intersection, 1)
        rollout(disturbed, 1)
    assert same(quiet.scene, disturbed.scene)
    assert IDMVehicle.DISTANCE_WANTED == 10.0
    assert intersection._constants[IDMVehicle]["DISTANCE_WANTED"] == 7


def test_worlds_start_from_the_source_even_where_the_process_is_already_spoiled():
    clean = world_of("highway-fast-v0")
    clean.reset([21])
    rollout(clean, 2)
    IDMVehicle.DISTANCE_WANTED, kept = 7, IDMVehicle.DISTANCE_WANTED
    try:
        late = world_of("highway-fast-v0")
        late.reset([21])
        rollout(late, 2)
        assert IDMVehicle.DISTANCE_WANTED == 7  # what others did stays theirs
    finally:
        IDMVehicle.DISTANCE_WANTED = kept
    assert same(clean.scene, late.scene)


@pytest.mark.parametrize("id", [pytest.param(id, marks=() if id in COPIED else pytest.mark.slow) for id in SINGLE_AGENT_IDS])
def test_a_state_loads_to_the_same_future(id):
    world = world_of(id, 2)
    world.reset([1, 2])
    rollout(world, 1)
    state, scene = world.state(), world.scene
    rollout(world, 2)
    expected = world.scene
    for _ in range(2):  # a state is not used up
        assert same(world.load(state), scene)
        rollout(world, 2)
        assert same(world.scene, expected)


def test_a_fork_continues_one_world_several_times():
    world, forks = world_of("merge-v0", 2), world_of("merge-v0", 3)
    world.reset([1, 2])
    rollout(world, 1, lambda w: torch.tensor([1, 1]))
    forks.load(world.fork(1, 3))
    world.step(torch.tensor([1, 1])), forks.step(torch.tensor([4, 1, 1]))
    assert same(forks.scene.select([1]), world.scene.select([1]))
    assert same(forks.scene.select([2]), world.scene.select([1]))
    assert not torch.equal(forks.scene.position_m[0, 0], forks.scene.position_m[1, 0])


def test_a_crashed_world_goes_on_to_a_stop():
    world = world_of("highway-fast-v0", config={"vehicles_count": 10, "duration": 15})
    world.reset([2])
    faster = driver_named("faster", 5)
    outcomes = rollout(world, world.horizon_steps, lambda w: faster.act(w.scene, None, None)[0])
    crash = next(i for i, outcome in enumerate(outcomes) if outcome.terminated.item())
    assert crash < world.horizon_steps - 4
    assert all(outcome.terminated.item() for outcome in outcomes[crash:])
    assert world.scene.speed_mps[0, 0].abs().item() < 0.1
    assert outcomes[-1].truncated.item() and not outcomes[-2].truncated.item()


@pytest.mark.parametrize(("id", "steps"), [("two-way-v0", 15), ("lane-keeping-v0", 200), ("highway-fast-v0", 30), ("parking-v0", 500)])
def test_the_horizon_is_highway_envs(id, steps):
    world = world_of(id)
    if id in ("highway-fast-v0", "parking-v0"):
        env = world._episodes[0].env
        env.time, count = 0, 0
        while not env._is_truncated():
            env.time += 1 / env.config["policy_frequency"]
            count += 1
        assert world.horizon_steps == count
    else:
        world.reset([0])
        outcomes = rollout(world, steps)
        assert outcomes[-1].truncated.item() and not any(outcome.truncated.item() for outcome in outcomes[:-1])
        assert world.horizon_steps == steps


@pytest.mark.parametrize("id", PILOTED)
def test_the_autopilot_drives_as_an_idm_vehicle_put_there(id):
    world = world_of(id)
    world.reset([6])
    mask, nothing = torch.tensor([True]), torch.zeros_like(random_actions(world))
    with in_place(pristine()):
        env = gymnasium.make(id, disable_env_checker=True, config={"simulation_frequency": 5}).unwrapped
        env.reset(seed=6)
        ego = env.vehicle
        pilot = IDMVehicle(
            env.road,
            ego.position,
            ego.heading,
            ego.speed,
            getattr(ego, "target_lane_index", None),
            30.0,
            copy.copy(getattr(ego, "route", None)),
        )
        if id == "intersection-v1":
            pilot.plan_route_to("o1")
        place = env.road.vehicles.index(ego)
        env.road.vehicles[place] = env.controlled_vehicles[0] = pilot
        for _ in range(3):
            world.step(nothing, autopilot=mask)
            env._simulate(None)
            if hasattr(env, "_clear_vehicles"):
                env._clear_vehicles()
                env._spawn_vehicle(spawn_probability=env.config["spawn_probability"])
            assert world.scene.position_m[0, 0].tolist() == [pilot.position[0], -pilot.position[1]]


def test_the_wheel_can_be_handed_over_and_back():
    world = world_of("highway-fast-v0", 2)
    world.reset([1, 2])
    mask = torch.tensor([True, False])
    idle = torch.tensor([1, 1])
    world.step(idle, autopilot=mask)
    after_pilot = world.scene
    scene, outcome = world.step(torch.tensor([4, 1]), substeps=True)
    jump = (outcome.substeps[0].position_m[:, 0] - after_pilot.position_m[:, 0]).norm(dim=-1)
    assert torch.allclose(jump, after_pilot.speed_mps[:, 0] * world.substep_dt_s, rtol=0.02)
    slow, before = abs(scene.speed_mps[0, 0] - 20.0), abs(after_pilot.speed_mps[0, 0] - 20.0)
    assert slow < 0.5 * before  # SLOWER is obeyed again: to 20 m/s


@pytest.mark.parametrize("id", ["parking-v0", "lane-keeping-v0"])
def test_ids_without_lanes_to_follow_have_no_autopilot(id):
    world = world_of(id)
    world.reset([0])
    with pytest.raises(ConfigError, match="no autopilot"):
        world.step(random_actions(world), autopilot=torch.tensor([True]))


def test_lights_show_braking_and_lane_changes():
    world = world_of("highway-fast-v0", 2)
    world.reset([0, 1])
    seen = 0
    for _ in range(3):
        _, outcome = world.step(torch.tensor([0, 4]), substeps=True)
        for scene in outcome.substeps:
            braking = (
                scene.acceleration_mps2[..., 0] * scene.heading_rad.cos() + scene.acceleration_mps2[..., 1] * scene.heading_rad.sin()
            ) < -0.4
            assert torch.equal((scene.lights & Light.BRAKE) > 0, braking & scene.valid)
            left = (scene.lights & Light.LEFT) > 0
            seen += int(left.sum())
    assert seen > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: world_of("highwya-v0"), "did you mean 'highway-v0'"),
        (lambda: world_of("highway-v0", config={"vehicle_count": 3}), "did you mean 'vehicles_count'"),
        (lambda: world_of("highway-v0", config={"action": {"type": "DiscreteMetaActions"}}), "did you mean 'DiscreteMetaAction'"),
        (lambda: world_of("highway-v0", config={"observation": {"type": "Kinematics", "feature": []}}), "did you mean 'features'"),
        (lambda: world_of("highway-v0", config={"controlled_vehicles": 2}), "one ego"),
        (lambda: world_of("racetrack-oval-v0", config={"length": 0}), "no seed reaches"),
        (lambda: world_of("highway-v0", num_worlds=0), "at least 1"),
        (lambda: world_of("u-turn-v0").scene, "call reset"),
        (lambda: world_of("u-turn-v0").step(torch.tensor([1])), "call reset"),
    ],
)
def test_what_cannot_be_built_says_why(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (torch.tensor([1]), r"expected whole numbers of shape \(2,\)"),
        (torch.tensor([1.0, 2.0]), "expected whole numbers"),
        (torch.tensor([1, 5]), "expected 0 to 4"),
        (torch.tensor([-1, 0]), "expected 0 to 4"),
    ],
)
def test_wrong_discrete_actions_are_refused(actions, message):
    world = world_of("u-turn-v0", 2)
    world.reset([1, 2])
    with pytest.raises(ConfigError, match=message):
        world.step(actions)


def test_wrong_continuous_actions_are_refused():
    world = world_of("racetrack-v0", 1)
    world.reset([1])
    with pytest.raises(ConfigError, match="NaN"):
        world.step(torch.tensor([[float("nan")]]))
    with pytest.raises(ConfigError, match=r"shape \(1, 1\)"):
        world.step(torch.tensor([0.5]))


def test_a_foreign_state_is_refused():
    world, other = world_of("u-turn-v0"), world_of("u-turn-v0", config={"duration": 11})
    world.reset([1])
    with pytest.raises(ConfigError, match="same configuration"):
        other.load(world.state())
    with pytest.raises(ConfigError, match="holds 3 worlds"):
        world.load(world.fork(0, 3))


def test_changed_configuration_and_action_types_work():
    world = world_of("highway-fast-v0", config={"lanes_count": 5, "policy_frequency": 5, "action": {"type": "ContinuousAction"}})
    scene = world.reset([0])
    assert world.road.num_lanes == 5 and world.num_actions is None and world.substeps_per_step == 1
    scene, _ = world.step(torch.tensor([[0.5, 0.0]]))
    assert scene.action.tolist() == [[0.5, 0.0]]
    discrete = world_of("highway-fast-v0", config={"action": {"type": "DiscreteAction"}})
    discrete.reset([0])
    assert discrete.num_actions == 9
    scene, _ = discrete.step(torch.tensor([4]))
    assert scene.action[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
