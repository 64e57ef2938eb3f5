"""How far native worlds are from highway-env: both are driven alike, and every number is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from envs.config import META_ACTIONS
from envs.oracle import AUTOPILOT, CAR_FIELDS, CONTINUE, DECISION_FIELDS, Course, Drive
from envs.world import World

IDLE_ACTION = META_ACTIONS.index("IDLE")


@dataclass(frozen=True)
class Difference:
    """The largest differences in one episode; all zero is bit-equal."""

    position_m: float
    heading_rad: float
    speed_mps: float
    decisions: int
    """Lanes, target lanes and crash flags that differ, over all cars and instants."""
    observation: float
    reward: float
    ends: int
    """Decisions after which terminated or truncated differ."""

    @staticmethod
    def worst(several: Sequence[Difference]) -> Difference:
        """The largest of each."""
        return Difference(**{field.name: max(getattr(one, field.name) for one in several) for field in fields(Difference)})


def random_drive(
    id: str,
    seeds: Sequence[int],
    decisions: int,
    config: Mapping[str, Any] | None = None,
    slower: float = 0.0,
    autopilot: float = 0.0,
    key: int = 0,
    num_actions: int = len(META_ACTIONS),
) -> Drive:
    """Draw actions for some episodes.

    Args:
        id: A native id.
        seeds: One for each episode, or ``CONTINUE``.
        decisions: Length of each episode; it goes on past crashes and the end.
        config: Settings that differ from the defaults.
        slower: Share of decisions that are SLOWER beside the uniform ones.
        autopilot: Share of decisions that the autopilot takes.
        key: Chooses among drives.
        num_actions: How many actions the settings offer.
    """
    rows = []
    for place, seed in enumerate(seeds):
        draws = np.random.default_rng((key, place, seed + 1))
        actions = draws.integers(num_actions, size=decisions)
        actions[draws.random(decisions) < slower] = num_actions - 1
        actions[draws.random(decisions) < autopilot] = AUTOPILOT
        rows.append(tuple(int(action) for action in actions))
    return Drive(id, tuple(int(seed) for seed in seeds), tuple(rows), dict(config or {}))


def follow(one: Drive) -> list[Course]:
    """Drive a native world as the oracle drives highway-env: one world, one episode after the other."""
    world = World(one.id, 1, dtype=torch.float64, config=one.config, num_threads=1)
    courses = []
    for seed, actions in zip(one.seeds, one.actions, strict=True):
        if seed == CONTINUE:
            world.reset_continue(torch.ones(1, dtype=torch.bool))
        else:
            world.reset([seed])
        courses.append(_course(world, actions))
    return courses


def _course(world: World, actions: Sequence[int]) -> Course:
    cars, observations, rewards, ends = [world.state().cars[0]], [world.observation()[0].numpy()], [], []
    for action in actions:
        piloted = action == AUTOPILOT
        _, outcome = world.step([IDLE_ACTION if piloted else action], autopilot=torch.tensor([piloted]))
        cars.append(world.state().cars[0])
        observations.append(world.observation()[0].numpy())
        rewards.append(float(outcome.reward))
        ends.append((bool(outcome.terminated), bool(outcome.truncated)))
    records = np.stack(cars)
    return Course(
        np.stack([records[name] for name in CAR_FIELDS], -1),
        np.stack([records[name].astype(np.int64) for name in DECISION_FIELDS], -1),
        np.stack(observations),
        np.array(rewards),
        np.array(ends, np.bool_).reshape(-1, 2),
    )


def difference(native: Course, oracle: Course) -> Difference:
    """Compare an episode's two courses."""
    cars = np.abs(native.cars - oracle.cars)
    return Difference(
        position_m=float(cars[..., :2].max()),
        heading_rad=float(cars[..., 2].max()),
        speed_mps=float(cars[..., 3].max()),
        decisions=int((native.decisions != oracle.decisions).sum()),
        observation=float(np.abs(native.observations - oracle.observations).max()),
        reward=float(np.abs(native.rewards - oracle.rewards).max(initial=0.0)),
        ends=int((native.ends != oracle.ends).any(-1).sum()),
    )
