"""The scores of each agent of worlds that have several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from envs.agent_views import outcome_of_agent, scene_of_agent
from envs.outcome import Outcome
from envs.scores.episode import EpisodeScores
from envs.scores.tally import Terms
from sensors.errors import ConfigError
from sensors.scene import Scene


class AgentsScores:
    """``EpisodeScores`` of each of N agents, every one of them as if it were the ego and the others traffic.

    An agent that has arrived drives on until the world's episode ends, and is scored until then.
    """

    def __init__(self, each: list[EpisodeScores]) -> None:
        """Follow the agents, given their scores at the start."""
        self.each = each

    @classmethod
    def of_world(cls, world: Any, start: Scene, idm_progress_m: Tensor | None = None) -> AgentsScores:
        """Begin for a world of several agents.

        Args:
            world: The world.
            start: Its scene at reset.
            idm_progress_m: How far IDM brings each of them on the same seeds, (B, N); see ``envs.scores.idm_progress``.

        Raises:
            ConfigError: A world of one ego, or a progress of another shape.
        """
        agents = world.agents
        if agents is None:
            raise ConfigError(f"scores: {world.id} has one ego; EpisodeScores are of one")
        if idm_progress_m is not None and tuple(idm_progress_m.shape) != (start.num_worlds, agents):
            raise ConfigError(f"scores: idm_progress_m has shape {tuple(idm_progress_m.shape)}, expected ({start.num_worlds}, {agents})")
        columns = [None] * agents if idm_progress_m is None else idm_progress_m.unbind(1)
        return cls([EpisodeScores.of_world(world, scene_of_agent(start, agent), column) for agent, column in enumerate(columns)])

    @property
    def running(self) -> Tensor:
        """Worlds whose episode is not over, (B,)."""
        return self.each[0].running

    @property
    def versions(self) -> dict[str, str]:
        """As ``EpisodeScores.versions``."""
        return self.each[0].versions

    @property
    def progress_m(self) -> Tensor:
        """How far each agent has come along the lanes, (B, N) float64."""
        return torch.stack([scores.tally.progress_m for scores in self.each], 1)

    def add(self, scene: Scene, outcome: Outcome, active: Tensor | None = None) -> Terms:
        """Take in one decision, as ``EpisodeScores.add`` does; terms are (B, N)."""
        return stacked(
            [scores.add(scene_of_agent(scene, agent), outcome_of_agent(outcome, agent), active) for agent, scores in enumerate(self.each)]
        )

    def result(self) -> Terms:
        """Terms and scores by the names of ``EpisodeScores``, each (B, N) float64."""
        return stacked([scores.result() for scores in self.each])


def stacked(each: list[Terms]) -> Terms:
    """Terms of N agents, (B,) each, as (B, N)."""
    return {name: torch.stack([terms[name] for terms in each], 1) for name in each[0]}
