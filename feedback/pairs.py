"""Which clips to compare: any two, mixed with rides that start in the same situation and then differ."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from envs.drivers import Driver
from envs.recording import Recording
from envs.rollout import record
from envs.scene_table import as_json
from envs.seeds import uniform
from feedback.clips import Clip
from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.rig import Rig
from sensors.scene import Scene

BLOCKS = 12
"""Start states fall into so many blocks, and pairs are drawn within one: some blocks can be held out without losing a pair."""
GROUPS_IN_BLOCK = 4
"""With fewer start states than this for each block, there are fewer blocks."""


@dataclass(frozen=True)
class PairProposal:
    """Two clips to compare, and why."""

    first: Clip
    second: Clip
    reason: str
    """'uniform' or 'fork'."""


def propose_pairs(clips: Sequence[Clip], count: int, seed: int = 0, fork_share: float = 0.3) -> list[PairProposal]:
    """Choose pairs of equally long clips.

    Uniform pairs are drawn among all pairs within a block of start states. Forks start in the very same situation and differ after;
    they are mixed in, for they say little alone.

    Args:
        clips: What there is.
        count: How many pairs.
        seed: Chooses them.
        fork_share: Share of forks, as far as there are any.

    Returns:
        Different pairs of rides that differ; fewer than ``count`` if there are no more.

    Raises:
        ConfigError: ``fork_share`` is not in [0, 1].
    """
    if not 0.0 <= fork_share <= 1.0:
        raise ConfigError(f"fork_share is {fork_share}, expected a share in [0, 1]")
    distinct = list({clip.content_hash: clip for clip in clips}.values())
    forks = shuffled(_forks(distinct), seed, 1)[: round(fork_share * count)]
    taken = {pair_name(pair) for pair in forks}
    uniform_pairs = [pair for pair in shuffled(pairs_within_blocks(distinct), seed, 2) if pair_name(pair) not in taken]
    chosen = [(pair, "fork") for pair in forks] + [(pair, "uniform") for pair in uniform_pairs[: count - len(forks)]]
    turned = uniform(seed, 3, torch.arange(len(chosen))) < 0.5
    proposals = [
        PairProposal(second, first, reason) if turn else PairProposal(first, second, reason)
        for ((first, second), reason), turn in zip(chosen, turned.tolist(), strict=True)
    ]
    return [proposals[place] for place in uniform(seed, 4, torch.arange(len(proposals))).argsort().tolist()]


Pair = tuple[Clip, Clip]


def pair_name(pair: Pair) -> frozenset[str]:
    """Name of a pair, whatever its order."""
    return frozenset((pair[0].content_hash, pair[1].content_hash))


def shuffled(pairs: list[Pair], seed: int, stream: int) -> list[Pair]:
    """The pairs in an order that depends on ``seed`` and ``stream`` alone."""
    order = uniform(seed, stream, torch.arange(len(pairs))).argsort().tolist()
    return [pairs[place] for place in order]


def _comparable(first: Clip, second: Clip) -> bool:
    """Equally long, and not the same ride twice."""
    return first.num_decisions == second.num_decisions and first.ride_hash != second.ride_hash


def _forks(clips: Sequence[Clip]) -> list[Pair]:
    """All comparable pairs that start in the same situation."""
    started: dict[str, list[Clip]] = {}
    for clip in clips:
        started.setdefault(clip.start_hash, []).append(clip)
    return [pair for same in started.values() for pair in itertools.combinations(same, 2) if _comparable(*pair)]


def pairs_within_blocks(clips: Sequence[Clip]) -> list[Pair]:
    """All comparable pairs within a block of start states."""
    groups = {clip.group for clip in clips}
    blocks = min(BLOCKS, max(len(groups) // GROUPS_IN_BLOCK, 1))
    by_hash = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    block_of = {group: place % blocks for place, group in enumerate(by_hash)}
    members: dict[int, list[Clip]] = {}
    for clip in clips:
        members.setdefault(block_of[clip.group], []).append(clip)
    return [pair for block in members.values() for pair in itertools.combinations(block, 2) if _comparable(*pair)]


@dataclass(frozen=True)
class ForkedDriver:
    """Drives as recorded up to a decision, then as another driver would."""

    prefix: Tensor  # (B, P) or (B, P, C) recorded actions
    driver: Driver
    autopilot: bool = False

    @property
    def needs_frames(self) -> Rig | None:
        """The rig of the driver that takes over; it watches from the start."""
        return self.driver.needs_frames

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Give the recorded actions first, then the driver's."""
        decision, inner = (0, None) if state is None else state
        actions, inner = self.driver.act(scene, frames, inner)
        if decision < self.prefix.shape[1]:
            actions = self.prefix[:, decision].to(actions)
        return actions, (decision + 1, inner)

    def reset(self, state: Any, where: Tensor) -> Any:
        """Forks run one episode, all worlds in step: there is nothing to forget in between."""
        return None if state is None else (state[0], self.driver.reset(state[1], where))


def fork_recordings(world: Any, recordings: Sequence[Recording], at_decision: int, driver: Driver) -> list[Recording]:
    """Drive episodes again as they were recorded, and from one decision on as another driver would.

    Args:
        world: As many worlds as recordings, of their id and configuration.
        recordings: Episodes that a driver's own actions made.
        at_decision: The first decision that differs.
        driver: Who drives from there.

    Returns:
        Whole recordings, one a world; each shares the scenes before the fork with the original, bit for bit.

    Raises:
        ConfigError: The world is another one, or the autopilot drove: what it did cannot be given as actions.
    """
    if driver.autopilot or any(recording.autopilot for recording in recordings):
        raise ConfigError("fork_recordings got an autopilot's ride, expected drivers that act; fork those at decision 0 by the seed alone")
    config = as_json(world.config)
    if world.num_worlds != len(recordings) or any(each.id != world.id or each.config != config for each in recordings):
        raise ConfigError(
            f"fork_recordings got {world.num_worlds} worlds of {world.id} for {len(recordings)} recordings, "
            "expected one world a recording, of the same id and configuration"
        )
    prefix = torch.stack([recording.actions[:at_decision] for recording in recordings])
    return record(world, ForkedDriver(prefix, driver), [recording.seed for recording in recordings])
