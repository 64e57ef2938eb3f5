"""The rollout: T decisions of B worlds as tensors on the network's device.

Of a memory it keeps the state at chunk starts alone. An update unrolls whole chunks of consecutive decisions; for a chunk that does not
begin the rollout the few decisions before it are run first, without gradients, so that its state comes from the present weights
(Kapturowski et al. 2019, R2D2). The first chunk's state is what the worlds were driven with.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, RolloutBuffer
from torch import Tensor

from drive_fusion.distributed import Group
from drive_fusion.kept import Kept
from drive_fusion.policy import Decision, Observation, State
from sensors.errors import ConfigError

LONGEST_CHUNK = 16
Item = TypeVar("Item")


@dataclass(frozen=True)
class Stretch:
    """L consecutive decisions of M chunks, time first, and the state before them."""

    observations: Observation  # (L, M, ...)
    state: State  # (M, ...) each
    starts: Tensor  # (L, M) bool


@dataclass(frozen=True)
class Minibatch:
    """Decisions of one gradient step: L consecutive ones of M chunks, N = L * M; what is flat has time first."""

    stretch: Stretch
    before: Stretch | None
    """The burn-in of those chunks that have one."""
    warmed: Tensor
    """Which chunks those are, (m,)."""
    rows: Tensor
    """Which of the rollout's decisions they are, step by step, (N,)."""
    actions: Tensor  # (N, ...)
    old_values: Tensor  # (N,)
    old_log_prob: Tensor  # (N,)
    advantages: Tensor  # (N,)
    returns: Tensor  # (N,)
    count: int
    """Decisions of the minibatch in all processes."""


def advantages(
    rewards: Tensor, values: Tensor, starts: Tensor, last_values: Tensor, last_dones: Tensor, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16).

    Args:
        rewards: (T, B); at a time limit the discounted value of the last state is in them.
        values: (T, B).
        starts: 1 where a decision is the first of its episode, (T, B).
        last_values: Value of what came after the last decision, (B,).
        last_dones: 1 where the last decision ended its episode, (B,).
        gamma: Discount factor.
        lam: lambda.

    Returns:
        (T, B).
    """
    found = torch.zeros_like(rewards)
    ahead = torch.zeros_like(last_values)
    for step in reversed(range(len(rewards))):
        last = step == len(rewards) - 1
        going_on = 1.0 - (last_dones if last else starts[step + 1])
        delta = rewards[step] + gamma * (last_values if last else values[step + 1]) * going_on - values[step]
        ahead = delta + gamma * lam * going_on * ahead
        found[step] = ahead
    return found


def chunk_length(steps: int, chunk: int | None) -> int:
    """How many consecutive decisions are unrolled at once.

    Args:
        steps: T, decisions of a world in a rollout.
        chunk: The wish; None is the longest divisor of T up to ``LONGEST_CHUNK``.

    Raises:
        ConfigError: T is not a multiple of it, or has no fair divisor.
    """
    if chunk is None:
        fair = max(length for length in range(1, LONGEST_CHUNK + 1) if steps % length == 0)
        if fair < min(steps, LONGEST_CHUNK // 2):
            raise ConfigError(
                f"n_steps {steps} has no divisor from {LONGEST_CHUNK // 2} to {LONGEST_CHUNK}; choose another, or name a chunk"
            )
        return fair
    if chunk < 1 or steps % chunk:
        raise ConfigError(f"chunk is {chunk}, expected a divisor of n_steps {steps}")
    return chunk


class Rollout(RolloutBuffer):
    """SB3's rollout buffer in what callbacks read of it; tensors instead of arrays, kept in (T, B) throughout."""

    rewards: Tensor  # type: ignore[assignment]
    values: Tensor  # type: ignore[assignment]
    log_probs: Tensor  # type: ignore[assignment]
    advantages: Tensor  # type: ignore[assignment]
    returns: Tensor  # type: ignore[assignment]
    episode_starts: Tensor  # type: ignore[assignment]
    actions: Tensor  # type: ignore[assignment]
    kept: Kept

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "cpu",
        gae_lambda: float = 1,
        gamma: float = 0.99,
        n_envs: int = 1,
    ):
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        self.gae_lambda, self.gamma = gae_lambda, gamma
        self.chunk, self.burn_in, self.group = 1, 0, Group()
        self.reset()

    def reset(self) -> None:
        """Empty it."""
        shape = (self.buffer_size, self.n_envs)
        if not hasattr(self, "rewards") or tuple(self.rewards.shape) != shape:
            kind = torch.int64 if isinstance(self.action_space, (spaces.Discrete, spaces.MultiDiscrete)) else torch.float32
            self.actions = torch.zeros(*shape, *(self.action_space.shape or ()), dtype=kind, device=self.device)
            for name in ("rewards", "returns", "episode_starts", "values", "log_probs", "advantages"):
                setattr(self, name, torch.zeros(shape, device=self.device))
        self.states: list[State] = []
        BaseBuffer.reset(self)

    def begin(self, kept: Kept, chunk: int, burn_in: int, group: Group) -> None:
        """Empty it for the next rollout.

        Args:
            kept: Keeps the observations.
            chunk: Decisions that are unrolled at once; 1 for a policy without memory.
            burn_in: Decisions that are run before a chunk; at most a chunk's.
            group: Whose decisions the minibatches are drawn from.
        """
        self.reset()
        self.kept, self.chunk, self.burn_in, self.group = kept, chunk, min(burn_in, chunk), group

    def keep(self, decision: Decision, state: State, rewards: Tensor, starts: Tensor) -> None:
        """Take in one decision of every world; its observation is kept already.

        Args:
            decision: What was done.
            state: What was remembered before it.
            rewards: (B,).
            starts: Whether it was the first of an episode, (B,).
        """
        for _ in range(self._kept_at.count(self.pos)):
            self.states.append({name: part.clone() for name, part in state.items()})
        self.actions[self.pos] = decision.actions
        self.rewards[self.pos] = rewards
        self.episode_starts[self.pos] = starts.float()
        self.values[self.pos] = decision.values
        self.log_probs[self.pos] = decision.log_probs
        self.pos += 1
        self.full = self.pos == self.buffer_size

    @property
    def _kept_at(self) -> list[int]:
        """Steps whose states are kept: where each chunk's burn-in begins."""
        return [max(0, first - self.burn_in) for first in range(0, self.buffer_size, self.chunk)]

    def compute_returns_and_advantage(self, last_values: Tensor, dones: Any) -> None:
        """Fill in advantages and returns; see `advantages`."""
        ended = torch.as_tensor(np.asarray(dones), dtype=torch.float32).to(self.device)
        last = last_values.flatten().float()
        self.advantages = advantages(self.rewards, self.values, self.episode_starts, last, ended, self.gamma, self.gae_lambda)
        self.returns = self.advantages + self.values

    @property
    def nbytes(self) -> int:
        """Memory that the rollout takes, observations and states included."""
        own = (self.actions, self.rewards, self.returns, self.episode_starts, self.values, self.log_probs, self.advantages)
        states = sum(part.nbytes for state in self.states for part in state.values())
        return sum(part.nbytes for part in own) + states + self.kept.nbytes

    def get(self, batch_size: int | None = None) -> Generator[Minibatch, None, None]:  # type: ignore[override]
        """Go through all decisions once, in a drawn order.

        Args:
            batch_size: Decisions of a minibatch in all processes, rounded down to whole chunks; all if None.
        """
        yield from ahead(self._minibatch(*drawn) for drawn in self._draws(batch_size))

    def _draws(self, batch_size: int | None) -> Iterator[tuple[Tensor, int]]:
        """Own chunks of each minibatch, world by world as SB3 counts them, and how many decisions it has in all processes."""
        chunks = self.buffer_size // self.chunk
        total = self.group.size * self.n_envs * chunks
        size = total if batch_size is None else batch_size // self.chunk
        if size < 1:
            raise ConfigError(
                f"batch_size {batch_size} is less than a chunk of {self.chunk} decisions; choose a larger one, or a smaller chunk"
            )
        order = self.group.of_first(torch.from_numpy(np.random.permutation(total)).to(self.device)).cpu()
        own = self.group.own(self.n_envs * chunks)
        for drawn in torch.split(order, size):
            mine = drawn[(drawn >= own.start) & (drawn < own.stop)] - own.start
            yield mine, len(drawn) * self.chunk

    def _minibatch(self, numbers: Tensor, count: int) -> Minibatch:
        chunks = self.buffer_size // self.chunk
        world, number = numbers // chunks, numbers % chunks
        steps = number * self.chunk + torch.arange(self.chunk)[:, None]  # (L, M)
        burnt = self.burn_in if self.states and self.states[0] else 0
        warmed = (number > 0).nonzero().flatten() if burnt else numbers[:0]
        state = self._states(number, world)
        before = None
        if len(warmed):
            back = torch.arange(-self.burn_in, 0)[:, None]
            early = number[warmed] * self.chunk + back
            before = self._stretch(early, world[warmed], {name: part[warmed] for name, part in state.items()})
        flat = (steps * self.n_envs + world).flatten().to(self.device)
        taken = {
            name: getattr(self, name).flatten(0, 1).index_select(0, flat)
            for name in ("actions", "values", "log_probs", "advantages", "returns")
        }
        old = {"old_values": taken.pop("values"), "old_log_prob": taken.pop("log_probs")}
        return Minibatch(self._stretch(steps, world, state), before, warmed.to(self.device), flat, count=count, **taken, **old)

    def _states(self, number: Tensor, world: Tensor) -> State:
        """States kept for chunks."""
        if not self.states or not self.states[0]:
            return {}
        rows = (number * self.n_envs + world).to(self.device)
        return {name: torch.cat([state[name] for state in self.states]).index_select(0, rows) for name in self.states[0]}

    def _stretch(self, steps: Tensor, world: Tensor, state: State) -> Stretch:
        worlds = world.expand(steps.shape)
        seen = self.kept.rows(steps.flatten(), worlds.flatten())
        rows = (steps * self.n_envs + worlds).to(self.device)
        starts = self.episode_starts.flatten()[rows] > 0.5

        def folded(part: Tensor) -> Tensor:
            return part.view(*steps.shape, *part.shape[1:])

        return Stretch({name: folded(part) for name, part in seen.items()} if isinstance(seen, dict) else folded(seen), state, starts)


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Make the next item in a thread while the last one is worked on: rendering goes on beside the network."""
    items = iter(items)
    nothing = object()
    coming = _maker().submit(next, items, nothing)
    try:
        while (item := coming.result()) is not nothing:
            coming = _maker().submit(next, items, nothing)
            yield item  # type: ignore[misc]
    finally:
        wait([coming])  # what is being made may read what comes to be overwritten next


@cache
def _maker() -> ThreadPoolExecutor:
    """The one thread; it stays, and with it the room that sensors keep for a thread."""
    return ThreadPoolExecutor(1, thread_name_prefix="ahead")


os.register_at_fork(after_in_child=_maker.cache_clear)  # a forked process has none of its parent's threads
