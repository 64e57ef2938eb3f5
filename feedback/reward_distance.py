"""How far a learned reward is from another one: DARD, with the simulator's own dynamics, and rank correlations.

DARD (Wulfe et al. 2022, section 4) takes out of a reward what no policy could tell, potential shaping and scale:
C(s, a, s') = R(s, a, s') + E[gamma R(s', A, S'') - R(s, A, S') - gamma R(S', A, S'')], with S' after s and S'' after s'. Worlds are set
back and tried with every action, so that the expectation over uniform actions is exact. The distance is sqrt((1 - rho) / 2), with rho
the correlation of both rewards' C over transitions: 0 for rewards that order all policies alike, 1 for opposite ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from envs.seeds import uniform
from feedback.scripted import true_reward
from feedback.windows import Decisions
from sensors.errors import ConfigError
from sensors.scene import Scene

RewardFunction = Callable[[Scene, Tensor, Scene, Tensor], Tensor]
"""(scene, actions, next scene, terminal) to (B,): ``RewardModel.reward`` is one."""


@dataclass(frozen=True)
class RewardDistance:
    """How far two rewards are apart."""

    dard: float
    """0: they order all policies alike; 1: oppositely; 0.71: they have nothing to do with each other."""
    spearman: float
    """Rank correlation of both rewards over transitions, shaping taken out."""
    spearman_returns: float
    """Rank correlation of plain returns over rides."""
    transitions: int
    """How many were compared."""


def true_reward_of(dt_s: float) -> RewardFunction:
    """``true_reward`` as a function of transitions that take ``dt_s``."""

    def reward(scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
        no = torch.zeros(scene.num_worlds, dtype=torch.bool)
        return true_reward(Decisions(scene, actions, next_scene, terminal, no, no, dt_s))

    return reward


def reward_distance(
    world: Any, one: RewardFunction, other: RewardFunction, seeds: Sequence[int], decisions: int = 8, gamma: float = 0.9, seed: int = 0
) -> RewardDistance:
    """Compare two rewards over random rides.

    Args:
        world: B worlds of discrete actions; they are reset.
        one: A reward.
        other: Another.
        seeds: One episode a world.
        decisions: How long rides are; after a crash they are over.
        gamma: The learner's discount factor.
        seed: Of the actions.

    Raises:
        ConfigError: Actions are continuous, or fewer than 3 transitions are left.
    """
    if world.num_actions is None:
        raise ConfigError(f"reward_distance got {world.id} with continuous actions, expected discrete ones, all of which it tries")
    tree = _grow(world, seeds, decisions + 1, seed)
    canonical, plain, live = [], [], []
    for now, after in zip(tree[:-1], tree[1:], strict=True):
        both = [_canonical(reward, now, after, gamma) for reward in (one, other)]
        canonical.append(torch.stack([each[0] for each in both]))
        plain.append(torch.stack([each[1] for each in both]))
        live.append(~now.over)
    kept = torch.cat(live)
    if int(kept.sum()) < 3:
        raise ConfigError(f"reward_distance got {int(kept.sum())} transitions that are not over, expected at least 3; give more seeds")
    table = torch.cat(canonical, 1)[:, kept].double()
    returns = (torch.stack(plain, 2) * torch.stack(live, 1)).sum(2).double()  # (2, B)
    rho = float(torch.corrcoef(table)[0, 1])
    ranks, of_returns = (float(torch.corrcoef(_ranks(values))[0, 1]) for values in (table, returns))
    return RewardDistance(math.sqrt(max(1.0 - rho, 0.0) / 2.0), ranks, of_returns, table.shape[1])


@dataclass(frozen=True)
class _Node:
    """One instant of B rides, and what each action would lead to."""

    scene: Scene
    over: Tensor  # (B,) the ride had ended before
    actions: Tensor  # (B,) what was done
    branches: tuple[tuple[Scene, Tensor], ...]  # for each action: the next scene, and whether the episode ended with it


def _grow(world: Any, seeds: Sequence[int], decisions: int, seed: int) -> list[_Node]:
    """Drive at random, and try every action at every decision."""
    scene = world.reset(torch.as_tensor(seeds))
    over, nodes, worlds = torch.zeros(len(seeds), dtype=torch.bool), [], torch.arange(len(seeds))
    for decision in range(decisions):
        state = world.state()
        branches = []
        for action in range(world.num_actions):
            world.load(state)
            there, outcome = world.step(torch.full((len(seeds),), action))
            branches.append((there, outcome.terminated))
        actions = (uniform(seed, worlds, decision) * world.num_actions).long()
        nodes.append(_Node(scene, over, actions, tuple(branches)))
        world.load(state)
        scene, outcome = world.step(actions)
        over = over | outcome.terminated
    return nodes


def _canonical(reward: RewardFunction, now: _Node, after: _Node, gamma: float) -> tuple[Tensor, Tensor]:
    """C and R of what was done in each world, each (B,)."""

    def paid(scene: Scene, action: int, there: Scene, ended: Tensor) -> Tensor:
        return reward(scene, torch.full((scene.num_worlds,), action), there, ended)

    first = torch.stack([paid(now.scene, action, *branch) for action, branch in enumerate(now.branches)])  # (A, B)
    second = torch.stack([paid(after.scene, action, *branch) for action, branch in enumerate(after.branches)])
    across = torch.stack(
        [paid(start, action, *branch) for start, _ in now.branches for action, branch in enumerate(after.branches)]
    )  # (A * A, B)
    plain = first.gather(0, now.actions[None])[0]
    return plain + gamma * second.mean(0) - first.mean(0) - gamma * across.mean(0), plain


def _ranks(values: Tensor) -> Tensor:
    """Rank of each value in its row, ties in their mean rank, (R, N)."""
    below = (values[:, :, None] > values[:, None, :]).sum(2)
    same = (values[:, :, None] == values[:, None, :]).sum(2)
    return below.double() + 0.5 * (same - 1).double()
