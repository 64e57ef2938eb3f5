"""A world alone is that world among many, bit for bit, on one thread and on two: every id, with settings that nobody chose."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from envs import World
from envs.ids import IDS
from envs.random_settings import drawn_settings
from envs.reference_config import defaults_of

QUICK = ("exit-v1", "intersection-multi-agent-v2", "lane-keeping-v0", "merge-generic-v1", "parking-parked-v0", "racetrack-oval-v0")
KEY = 4_096


def drawn_actions(world: Any, draws: np.random.Generator) -> Tensor:
    shape = (world.num_worlds,) if world.agents is None else (world.num_worlds, world.agents)
    if world.num_actions is not None:
        return torch.from_numpy(draws.integers(world.num_actions, size=shape))
    return torch.from_numpy(draws.uniform(-1.0, 1.0, (*shape, world.action_width)).astype(np.float32))


def rows(observed: Any, index: int) -> list[Tensor]:
    return [values[index] for values in (observed.values() if isinstance(observed, dict) else [observed])]


def assert_alone_equals_among(id: str, worlds: int, number: int, decisions: int) -> None:
    """Rewards, ends, observations and in the end every field of the state; the worlds end and start again as they please."""
    config = drawn_settings(id, defaults_of(id), np.random.default_rng((KEY, number, IDS.index(id))))
    config["duration"] = 2.5 / config.get("policy_frequency", defaults_of(id)["policy_frequency"])
    config = {name: value for name, value in config.items() if name in defaults_of(id)}
    crowds = [World(id, worlds, config=config, num_threads=threads) for threads in (1, 2) if threads <= numba.config.NUMBA_NUM_THREADS]
    chosen, seeds = worlds * 5 // 7, torch.arange(worlds) * 13 + 5
    alone: Any = World(id, 1, config=config, num_threads=1)
    for crowd in crowds:
        crowd.reset(seeds)
    alone.reset(seeds[chosen : chosen + 1])
    draws = np.random.default_rng((KEY, number))
    for _ in range(decisions):
        actions = drawn_actions(crowds[0], draws)
        single = alone.step_autoreset(actions[chosen : chosen + 1])
        for crowd in crowds:
            step = crowd.step_autoreset(actions)
            for name in ("reward", "terminated", "truncated"):
                assert getattr(step, name)[chosen].numpy().tobytes() == getattr(single, name)[0].numpy().tobytes(), name
            for mine, theirs in zip(rows(step.observation, chosen), rows(single.observation, 0), strict=True):
                assert mine.numpy().tobytes() == theirs.numpy().tobytes()
    states = [crowd.state() for crowd in crowds]
    for name, values in alone.state().arrays().items():
        for state in states:
            held = state.arrays()[name][chosen]
            assert held[: len(values[0])].tobytes() == values[0].tobytes() if values.ndim > 1 else held == values[0], name
    if len(states) > 1:
        for name, values in states[0].arrays().items():
            assert values.tobytes() == states[1].arrays()[name].tobytes(), name


@pytest.mark.parametrize("id", QUICK)
def test_alone_equals_among_70(id: str) -> None:
    assert_alone_equals_among(id, 70, 0, 4)


def test_a_grid_as_an_image_is_built_and_seen_without_a_warning() -> None:
    """highway-env casts NaN to bytes there; warnings fail tests."""  # noqa: D403
    world = World("u-turn-v0", 2, config={"observation": {"type": "OccupancyGrid", "as_image": True}})
    world.reset([1, 2])
    world.step([1, 1])
    assert world.observation().dtype == torch.uint8 and world.observation().any()


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("id", IDS)
def test_alone_equals_among_4096(id: str, number: int) -> None:
    assert_alone_equals_among(id, 4_096, number, 4)
