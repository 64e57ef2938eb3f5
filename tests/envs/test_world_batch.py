"""One world alone, among others, on more threads, forked, loaded, reset in part: always the same numbers."""

import copy
import dataclasses

import numba
import numpy as np
import pytest
import torch

from envs.traffic.layout import CAR
from envs.world import World, WorldState
from sensors.scene import Scene

FAST = "highway-fast-v0"


def actions_of(steps: int, worlds: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, 5, (steps, worlds)))


def assert_same_state(a: WorldState, b: WorldState) -> None:
    for name, values in a.arrays().items():
        np.testing.assert_array_equal(values, b.arrays()[name], err_msg=name)


def assert_same_scene(a: Scene, b: Scene) -> None:
    for field in dataclasses.fields(Scene):
        if isinstance(getattr(a, field.name), torch.Tensor):
            assert torch.equal(getattr(a, field.name), getattr(b, field.name)), field.name


def part(state: WorldState, worlds: slice) -> WorldState:
    return WorldState(state.id, state.config, state.cars[worlds], state.episodes[worlds])


@pytest.mark.parametrize("id", [FAST, "highway-v0"])
@pytest.mark.parametrize("threads", [1, 2])
def test_alone_equals_among_1024(id: str, threads: int) -> None:
    if numba.config.NUMBA_NUM_THREADS < threads:
        pytest.skip("numba started with one thread")
    many, seeds = World(id, 1024, num_threads=threads), torch.arange(1024) * 7 + 3
    alone = World(id, 1, num_threads=1)
    chosen, steps = 777, 6
    actions = actions_of(steps, 1024)
    many.reset(seeds)
    alone.reset(seeds[chosen : chosen + 1])
    for row in actions:
        crowd, single = many.step_autoreset(row), alone.step_autoreset(row[chosen : chosen + 1])
        assert torch.equal(crowd.observation[chosen], single.observation[0])
        assert torch.equal(crowd.reward[chosen], single.reward[0])
    assert_same_state(part(many.state(), slice(chosen, chosen + 1)), alone.state())


def test_same_seed_twice_gives_the_same_episode() -> None:
    world, actions = World(FAST, 3), actions_of(5, 3)
    states = []
    for _ in range(2):
        world.reset(torch.tensor([4, 4, 9]))
        for row in actions:
            world.step(row)
        states.append(world.state())
    assert_same_state(*states)
    assert not np.array_equal(states[0].cars["x_m"][1], states[0].cars["x_m"][2])


def test_autoreset_equals_step_and_reset_continue() -> None:
    fast, slow, actions = World(FAST, 16), World(FAST, 16), actions_of(40, 16)
    fast.reset(torch.arange(16))
    slow.reset(torch.arange(16))
    endings = 0
    for row in actions:
        quick = fast.step_autoreset(row)
        _, outcome = slow.step(row)
        ended = outcome.terminated | outcome.truncated
        final = slow.observation()
        slow.reset_continue(ended)
        assert torch.equal(quick.reward, outcome.reward)
        assert torch.equal(quick.terminated, outcome.terminated) and torch.equal(quick.truncated, outcome.truncated)
        assert torch.equal(quick.observation, slow.observation())
        assert torch.equal(quick.final_observation[ended], final[ended])
        assert not quick.final_observation[~ended].any()
        endings += int(ended.sum())
    assert endings >= 32
    assert_same_state(fast.state(), slow.state())
    assert_same_scene(fast.scene, slow.scene)


def test_reset_where_leaves_the_others_alone() -> None:
    world = World(FAST, 3)
    world.reset(torch.tensor([1, 2, 3]))
    world.step(torch.tensor([1, 1, 1]))
    before = world.state()
    scene = world.reset(torch.tensor([-1, 20, -1]), where=torch.tensor([False, True, False]))
    assert_same_state(part(before, slice(0, 1)), part(world.state(), slice(0, 1)))
    assert scene.step.tolist() == [5, 0, 5] and scene.episode_seed.tolist() == [1, 20, 3]
    fresh = World(FAST, 1)
    fresh.reset([20])
    assert_same_state(part(world.state(), slice(1, 2)), fresh.state())


def test_fork_goes_on_as_the_original_does() -> None:
    world = World(FAST, 4)
    world.reset(torch.arange(4))
    world.step(torch.tensor([3, 3, 3, 3]))
    forks = World(FAST, 3)
    forks.load(world.fork(2, 3))
    for row in actions_of(8, 4):
        scene, _ = world.step(row)
        branches, _ = forks.step(row[2].repeat(3))
    assert torch.equal(branches.position_m, scene.position_m[2:3].repeat(3, 1, 1))
    assert branches.episode_seed.tolist() == [2, 2, 2]


def test_state_survives_its_arrays_and_keeps_the_generator() -> None:
    world = World(FAST, 2)
    world.reset([5, 6])
    world.step([0, 2], autopilot=torch.tensor([True, False]))
    kept = WorldState.of_arrays(world.id, world.config, world.state().arrays())
    other = World(FAST, 2)
    other.load(kept)
    everywhere = torch.ones(2, dtype=torch.bool)
    for one in (world, other):
        one.step([1, 1], autopilot=torch.tensor([True, False]))
        one.reset_continue(everywhere)
        one.step([3, 4])
    assert_same_state(world.state(), other.state())


def test_a_copied_world_goes_on_by_itself() -> None:
    world = World(FAST, 2)
    world.reset([5, 6])
    twin = copy.deepcopy(world)
    for row in actions_of(12, 2):
        world.step_autoreset(row)
    before = twin.state()
    for row in actions_of(12, 2):
        twin.step_autoreset(row)
    assert_same_state(world.state(), twin.state())
    assert not np.array_equal(before.cars["x_m"], twin.state().cars["x_m"])


def test_a_scene_is_not_written_again() -> None:
    world = World(FAST, 2)
    scene = world.reset([1, 2])
    kept = scene.clone()
    state = world.state()
    cars = state.cars.copy()
    world.step_autoreset([3, 0])
    world.step([3, 0])
    assert_same_scene(scene, kept)
    assert all(np.array_equal(state.cars[name], cars[name]) for name in CAR.names or ())


def test_stepping_past_a_crash_brings_cars_to_a_stop() -> None:
    world = World(FAST, 64, dtype=torch.float64)
    world.reset(torch.arange(64))
    terminated = torch.zeros(64, dtype=torch.bool)
    for row in actions_of(40, 64):
        scene, outcome = world.step(row)
        terminated |= outcome.terminated
    assert terminated.sum() >= 32
    speeds = scene.speed_mps[scene.crashed]
    assert speeds.abs().max() < 20.0 and speeds.abs().median() < 1e-2
    assert outcome.truncated.all()
