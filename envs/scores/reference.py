"""What IDM makes of the same seeds: the yardstick that recorded people are elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from envs.drivers import driver_named
from envs.ids import checked_id
from envs.scores.agents import AgentsScores
from envs.scores.episode import EpisodeScores
from envs.world import World
from sensors.errors import ConfigError

WITHOUT_AUTOPILOT = ("parking", "lane-keeping")
_known: dict[tuple[str, str], dict[int, Tensor]] = {}


def has_autopilot(id: str) -> bool:
    """Whether IDM can drive an id: it follows lanes in traffic, so it cannot park, nor steer a car with tyres."""
    return not checked_id(id).startswith(WITHOUT_AUTOPILOT)


def idm_progress(id: str, seeds: Tensor | Sequence[int], config: Mapping[str, Any] | None = None, num_worlds: int = 64) -> Tensor:
    """How far IDM and MOBIL bring the ego on each seed, along the lanes, until the episode ends.

    Driven once for each id, configuration and seed in a process; later calls look it up.

    Args:
        id: An id of ``envs.ids.IDS``.
        seeds: int64 (N,).
        config: Changes to highway-env's configuration.
        num_worlds: How many episodes run side by side; the figures do not depend on it.

    Returns:
        Progress [m], (N,) float64; in worlds of several agents, all of whom IDM drives, that of each, (N, agents).

    Raises:
        ConfigError: IDM cannot drive this id.
    """
    if not has_autopilot(id):
        raise ConfigError(f"{checked_id(id)} has no autopilot, so there is no progress of IDM to compare with; leave it out")
    known = _known.setdefault((checked_id(id), json.dumps(config or {}, sort_keys=True, default=str)), {})
    numbers = torch.as_tensor(seeds, dtype=torch.int64).flatten().tolist()
    new = list(dict.fromkeys(number for number in numbers if number not in known))
    if new:
        world = World(id, min(num_worlds, len(new)), config=config)
        for first in range(0, len(new), world.num_worlds):
            chunk = new[first : first + world.num_worlds]
            filled = chunk + chunk[-1:] * (world.num_worlds - len(chunk))  # the last one repeats
            known.update(zip(filled, _driven(world, torch.tensor(filled)), strict=True))
    return torch.stack([known[number] for number in numbers])


def _driven(world: Any, seeds: Tensor) -> Tensor:
    """IDM's progress in every world, (B,) float64; (B, N) of several agents."""
    scene = world.reset(seeds)
    driver = driver_named("idm", world.num_actions, action_names=world.action_names, agents=world.agents)
    scores = EpisodeScores.of_world(world, scene) if world.agents is None else AgentsScores.of_world(world, scene)
    piloted = torch.ones(world.num_worlds, dtype=torch.bool)
    for _ in range(world.horizon_steps):
        actions, _ = driver.act(scene, None, None)
        scene, outcome = world.step(actions, autopilot=piloted, substeps=True)
        scores.add(scene, outcome)
        if not bool(scores.running.any()):
            break
    return scores.progress_m
