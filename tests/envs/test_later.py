"""Scenes made when they are looked at, prepared kernels, and the choice of threads."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

import envs
from envs.network.layout import RULES
from envs.traffic.pace import PERIOD, TRIES, Pace
from sensors.jit import kernel
from sensors.prepared import compiled, lasting, prepared
from sensors.scene import Scene

IDS = ("highway-fast-v0", "parking-v0")


def numbers(scene: Scene) -> dict[str, Any]:
    return {field.name: getattr(scene, field.name).clone() for field in fields(Scene) if torch.is_tensor(getattr(scene, field.name))}


def started(id: str) -> tuple[envs.World, torch.Tensor]:
    world = envs.World(id, 3, num_threads=1)
    world.reset(torch.arange(3))
    actions = torch.full((3, world.action_width), 0.5) if world.num_actions is None else torch.tensor([3, 0, 2])
    return world, actions


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("id", IDS)
def test_a_scene_looked_at_late_shows_its_own_moment(id: str) -> None:
    prompt, actions = started(id)
    late, _ = started(id)
    expected, held = [numbers(prompt.scene)], [late.scene]
    for _ in range(3):
        expected.append(numbers(prompt.step(actions)[0]))
        held.append(late.step(actions)[0])
    for world in (prompt, late):
        world.step_autoreset(actions)
    expected.append(numbers(prompt.scene))
    held.append(late.scene)
    late.reset(torch.arange(3) + 7)
    assert all(same(numbers(scene), then) for scene, then in zip(held, expected, strict=True))
    assert not same(expected[0], expected[-1])


@pytest.mark.parametrize("id", IDS)
def test_a_scene_keeps_its_weather_and_its_copies_are_plain(id: str) -> None:
    world, actions = started(id)
    weather, scene = world.weather, world.step(actions)[0]
    world.weather = weather.clone()
    assert scene.weather is weather
    for copied in (pickle.loads(pickle.dumps(world.step(actions)[0])), copy.copy(world.step(actions)[0]), world.scene.clone()):
        assert set(vars(copied)) == {field.name for field in fields(Scene)}
    assert set(vars(world.step(actions)[0])) == {field.name for field in fields(Scene)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = world.step(actions)[0].nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("id", IDS)
def test_a_scene_nobody_looks_at_is_never_made(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, actions = started(id)
    made: list[int] = []
    engine, actors = world._engine, world._engine.actors
    monkeypatch.setattr(engine, "actors", lambda *given: made.append(1) or actors(*given))
    still = engine.still
    monkeypatch.setattr(engine, "still", lambda: made.append(2) or still())
    for _ in range(3):
        world.step(actions)
        world.reset_continue(torch.tensor([True, False, False]))
        assert world.egos_crashed().shape == world.episode_seeds().shape == (3,)
    assert made == []
    scene = world.scene
    world.step(actions)
    assert made == [2]
    assert scene.crashed.shape[0] == 3
    assert made == [2, 1]


@pytest.mark.parametrize("id", IDS)
def test_crashes_and_seeds_are_those_of_the_scene(id: str) -> None:
    world, actions = started(id)
    for _ in range(12):
        scene, _ = world.step(actions)
        assert torch.equal(world.egos_crashed(), scene.crashed[:, 0])
        assert torch.equal(world.episode_seeds(), scene.episode_seed)


@pytest.mark.parametrize("id", IDS)
def test_a_pickled_world_goes_on_alike(id: str) -> None:
    world, actions = started(id)
    world.step_autoreset(actions)
    other = pickle.loads(pickle.dumps(world))
    one, two = world.step_autoreset(actions), other.step_autoreset(actions)
    assert torch.equal(one.reward, two.reward)
    world.step_autoreset(actions)
    assert int(world.scene.step[0]) > int(other.scene.step[0])
    assert same(numbers(other.step(actions)[0]), numbers(world.scene))


@kernel()
def summed(rules: Any, values: Any, scale: float) -> float:
    return (values.sum() + rules.room) * scale


def test_a_prepared_kernel_gives_what_the_kernel_gives() -> None:
    rules, values = np.zeros(1, RULES)[0], np.arange(4.0)
    rules.room = 3
    ready = prepared(summed, rules, like=(values, 2.0))
    assert ready(values, 2.0) == ready(np.arange(4.0), 2.0) == summed(rules, values, 2.0) == 18.0
    rules.room = 4
    assert ready(values, 2.0) == 20.0
    assert compiled(summed, rules, values, 2.0)(*lasting(rules, values, 0.5)) == 5.0


def run(pace: Pace, spent_s: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads of a period's decisions that take so long."""
    clock, used = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def work(threads: int) -> None:
        used.append(threads)
        clock[0] += spent_s[threads]

    for _ in range(PERIOD):
        pace.run(2, work)
    return used


def test_the_quicker_number_of_threads_is_kept_until_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pace: Pace = Pace()
    assert run(pace, {1: 1.0, 2: 0.6}, monkeypatch) == [1, 2] * TRIES + [2] * (PERIOD - 2 * TRIES)
    assert run(pace, {1: 1.0, 2: 0.95}, monkeypatch) == [1, 2] * TRIES + [1] * (PERIOD - 2 * TRIES)


def test_one_thread_is_never_compared() -> None:
    used: list[int] = []
    for _ in range(2 * TRIES + 1):
        Pace().run(1, used.append)
    assert set(used) == {1}
