"""Somebody else's hands on the wheel: only the chosen actors, at every substep, in any action space."""

import math
from typing import Any

import pytest
import torch

from envs import Override, World
from sensors.errors import ConfigError
from sensors.scene import Scene

IDS = ["highway-fast-v0", "roundabout-v0", "racetrack-v0"]


def world_of(id: str, worlds: int = 3) -> World:
    world = World(id, worlds, dtype=torch.float64, config={"vehicles_count": 6} if id.startswith("highway") else None)
    world.reset(torch.arange(worlds))
    return world


def some_action(world: World) -> torch.Tensor:
    return (
        torch.zeros(world.num_worlds, world.action_width) if world.num_actions is None else torch.ones(world.num_worlds, dtype=torch.int64)
    )


@pytest.mark.parametrize("id", IDS)
def test_nobody_overridden_is_an_ordinary_decision(id: str) -> None:
    """On the highway this also holds the general kernels against its own, bit for bit."""
    plain, asked = world_of(id), world_of(id)
    nobody = Override(torch.zeros(3, dtype=torch.bool), torch.zeros(3), torch.zeros(3))
    for _ in range(4):
        scene, outcome = plain.step(some_action(plain), substeps=True)
        other, same = asked.step(some_action(asked), override=nobody, substeps=True)
        assert torch.equal(scene.position_m, other.position_m) and torch.equal(outcome.reward, same.reward)
        for one, two in zip(outcome.substeps, same.substeps, strict=True):
            assert torch.equal(one.position_m, two.position_m) and torch.equal(one.heading_rad, two.heading_rad)
    assert torch.equal(plain.step(some_action(plain))[0].position_m, asked.step(some_action(asked))[0].position_m)  # and after it


@pytest.mark.parametrize("id", IDS)
def test_the_ego_brakes_and_turns_left_by_hand(id: str) -> None:
    world = world_of(id)
    before = world.scene
    hands = Override(torch.tensor([False, True, False]), torch.full((3,), -2.0), torch.full((3,), 0.05, dtype=torch.float64))
    scene, _ = world.step(some_action(world), override=hands)
    dt = world.substep_dt_s
    speed, heading = math.hypot(*before.velocity_mps[1, 0].tolist()), float(before.heading_rad[1, 0])
    slip = math.atan(0.5 * math.tan(0.05))
    for _ in range(world.substeps_per_step):
        heading += speed * math.sin(slip) / 2.5 * dt
        speed += -2.0 * dt
    assert math.hypot(*scene.velocity_mps[1, 0].tolist()) == pytest.approx(speed, abs=1e-9)
    assert float(scene.heading_rad[1, 0]) == pytest.approx(heading, abs=1e-9)  # to the left is positive


def test_others_can_be_driven_and_who_is_far_ahead_goes_on_as_before() -> None:
    by_hand, plain = world_of("highway-fast-v0", 1), world_of("highway-fast-v0", 1)
    start = by_hand.scene
    where = torch.zeros(start.valid.shape, dtype=torch.bool)
    where[0, 1] = True  # the one ahead of the ego; nobody in front looks back without thinking of changing lane
    acceleration = torch.linspace(-2.0, 0.0, by_hand.substeps_per_step, dtype=torch.float64)[:, None, None].expand(-1, *where.shape)
    scene, _ = by_hand.step([1], override=Override(where, acceleration, torch.zeros_like(acceleration)))
    other, _ = plain.step([1])
    speed = float(start.velocity_mps[0, 1].norm()) + float(acceleration[:, 0, 1].sum()) * by_hand.substep_dt_s
    assert float(scene.velocity_mps[0, 1].norm()) == pytest.approx(speed, abs=1e-9)
    assert torch.equal(scene.position_m[0, -1], other.position_m[0, -1])


@pytest.mark.parametrize("id", IDS)
def test_a_function_is_asked_before_every_substep(id: str) -> None:
    world = world_of(id, 1)
    seen: list[Scene] = []

    def person(scene: Scene) -> Override | None:
        seen.append(scene)
        return None if len(seen) % 2 else Override(torch.tensor([True]), torch.tensor([1.0]), torch.tensor([0.0]))

    before = world.scene
    world.step(some_action(world), override=person)
    assert [int(scene.step) for scene in seen] == [int(before.step) + k for k in range(world.substeps_per_step)]
    assert torch.equal(seen[0].position_m, before.position_m)
    assert (seen[1].position_m[0, 0] != seen[0].position_m[0, 0]).any()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (3, "is a int"),
        (Override(torch.ones(2, dtype=torch.bool), torch.zeros(3), torch.zeros(3)), r"where is torch.bool \(2,\)"),
        (Override(torch.ones(3), torch.zeros(3), torch.zeros(3)), "torch.float32"),
        (Override(torch.ones(3, dtype=torch.bool), torch.zeros(2), torch.zeros(3)), r"acceleration_mps2 has shape \(2,\)"),
        (Override(torch.ones(3, dtype=torch.bool), torch.zeros(3), torch.full((3,), math.nan)), "steering_rad holds NaN"),
        (Override(torch.ones(3, dtype=torch.bool), torch.full((3,), 1e30), torch.zeros(3)), "acceleration_mps2 reaches 1e\\+30"),
    ],
)
def test_overrides_are_checked(override: Any, words: str) -> None:
    world = world_of("roundabout-v0")
    with pytest.raises(ConfigError, match=words):
        world.step(some_action(world), override=override)


def test_actors_that_are_not_there_cannot_be_driven() -> None:
    world = World("intersection-v0", 1)
    scene = world.reset([0])
    where = ~scene.valid
    with pytest.raises(ConfigError, match="not there"):
        world.step([1], override=Override(where, torch.zeros(where.shape), torch.zeros(where.shape)))


def test_unclipped_actions_cannot_overflow() -> None:
    world = World("roundabout-v0", 1, config={"action": {"type": "ContinuousAction", "clip": False}})
    world.reset([0])
    with pytest.raises(ConfigError, match="where clip is off"):
        world.step(torch.tensor([[1e30, 0.0]]))
