"""How far native worlds are from highway-env: both are driven alike, and every number is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.agents import REWARDS, TERMINATED
from envs.config import META_ACTIONS
from envs.network.layout import BY_COMMAND
from envs.oracle import AUTOPILOT, CAR_FIELDS, CONTINUE, Action, Course, Drive, Instant, course_of, flat
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
    reach: float = 1.0,
) -> Drive:
    """Draw actions for some episodes.

    Args:
        id: A native id.
        seeds: One for each episode, or ``CONTINUE``.
        decisions: Length of each episode; it goes on past crashes and the end.
        config: Settings that differ from the defaults.
        slower: Share of decisions that are the last action (SLOWER among meta-actions) beside the uniform ones; of one ego.
        autopilot: Share of decisions that the autopilot takes; of one ego.
        key: Chooses among drives.
        reach: Continuous actions run from minus this to this.
    """
    world = World(id, 1, config=config)
    rows: list[tuple[Action, ...]] = []
    for place, seed in enumerate(seeds):
        draws = np.random.default_rng((key, place, seed + 1))
        if world.agents is not None:
            rows.append(_of_agents(world, world.agents, decisions, draws, reach))
            continue
        if world.num_actions is None:
            values = draws.uniform(-reach, reach, (decisions, world.action_width)).astype(np.float32)
            rows.append(tuple(tuple(float(value) for value in row) for row in values))
            continue
        actions = draws.integers(world.num_actions, size=decisions)
        actions[draws.random(decisions) < slower] = world.num_actions - 1
        actions[draws.random(decisions) < autopilot] = AUTOPILOT
        rows.append(tuple(int(action) for action in actions))
    return Drive(id, tuple(int(seed) for seed in seeds), tuple(rows), dict(config or {}))


def _of_agents(world: World, agents: int, decisions: int, draws: np.random.Generator, reach: float) -> tuple[Action, ...]:
    """Uniform actions of several agents."""
    if world.num_actions is None:
        values = draws.uniform(-reach, reach, (decisions, agents, world.action_width)).astype(np.float32).tolist()
    else:
        values = draws.integers(world.num_actions, size=(decisions, agents, 1)).tolist()
    return tuple(tuple(tuple(own) for own in row) for row in values)


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


def _course(world: World, actions: Sequence[Action]) -> Course:
    instants, observations, rewards, ends = [_instant(world)], [_seen(world)], [], []
    for action in actions:
        if isinstance(action, int):
            piloted = action == AUTOPILOT
            _, outcome = world.step([IDLE_ACTION if piloted else action], autopilot=torch.tensor([True]) if piloted else None)
        else:
            given = torch.tensor([action], dtype=torch.float32 if world.num_actions is None else torch.int64)
            _, outcome = world.step(given if world.num_actions is None else given[..., 0])
        instants.append(_instant(world))
        observations.append(_seen(world))
        end, terms = (bool(outcome.terminated), bool(outcome.truncated)), outcome.terms
        rewards.append(float(outcome.reward) if world.agents is None else (float(outcome.reward), *terms[REWARDS][0].tolist()))
        ends.append(end if world.agents is None else (*end, *terms[TERMINATED][0].tolist()))
    return course_of(instants, observations, rewards, ends)


def _seen(world: World) -> Any:
    """The only world's observation, flat."""
    observation = world.observation()
    return flat({key: value[0] for key, value in observation.items()} if isinstance(observation, dict) else observation[0])


def _instant(world: World) -> Instant:
    """The only world's cars in the order of highway-env's list."""
    state = world.state()
    records = state.cars[0]
    if "vehicles" in (state.episodes.dtype.names or ()):
        records = records[: int(state.episodes["vehicles"][0])]
    target = records["target_lane"]
    if "driver" in (records.dtype.names or ()):
        target = np.where(records["driver"] <= BY_COMMAND, target, records["lane"])
    decisions = np.stack((records["lane"], target, records["crashed"]), -1).astype(np.int64)
    return np.stack([records[name] for name in CAR_FIELDS], -1).tolist(), decisions.tolist()


def apart(native: NDArray[np.float64], oracle: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far two arrays of one shape are apart, number by number: 0 where both are NaN or the same infinity, inf where one alone is."""
    same = (native == oracle) | (np.isnan(native) & np.isnan(oracle))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(native - oracle)
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def difference(native: Course, oracle: Course) -> Difference:
    """Compare an episode's two courses; with other numbers of cars they are infinitely far apart."""
    counted = np.array_equal(native.counts, oracle.counts)
    cars = apart(native.cars, oracle.cars) if counted else np.full((1, 1, 4), np.inf)
    return Difference(
        position_m=float(cars[..., :2].max()),
        heading_rad=float(cars[..., 2].max()),
        speed_mps=float(cars[..., 3].max()),
        decisions=int((native.decisions != oracle.decisions).sum()) if counted else int((native.counts != oracle.counts).sum()),
        observation=float(apart(native.observations, oracle.observations).max()),
        reward=float(apart(native.rewards, oracle.rewards).max(initial=0.0)),
        ends=int((native.ends != oracle.ends).any(-1).sum()),
    )


def departure(native: Course, oracle: Course, tolerance: float) -> str | None:
    """Say where two courses part for the first time: which decision, which car, by how much; None if they stay together.

    Args:
        native: A native world's course.
        oracle: highway-env's.
        tolerance: Of places [m], headings [rad] and speeds [m/s].
    """
    for instant in range(len(oracle.counts)):
        if native.counts[instant] != oracle.counts[instant]:
            return f"decision {instant}: {native.counts[instant]} cars, highway-env has {oracle.counts[instant]}"
        count = oracle.counts[instant]
        cars = apart(native.cars[instant, :count], oracle.cars[instant, :count])
        chosen = (native.decisions[instant, :count] != oracle.decisions[instant, :count]).any(-1)
        if cars.max() > tolerance or chosen.any():
            car = int(cars.max(-1).argmax()) if cars.max() > tolerance else int(chosen.argmax())
            before = apart(native.cars[max(instant - 1, 0), car], oracle.cars[max(instant - 1, 0), car]).max()
            return (
                f"decision {instant}, car {car}: {cars[car].max():.3g} apart (one decision before: {before:.3g}); lane, target lane, "
                f"crashed {native.decisions[instant, car].tolist()}, highway-env {oracle.decisions[instant, car].tolist()}"
            )
    return None
