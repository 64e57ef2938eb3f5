"""A world of several agents as one of them sees it: what is written for one ego serves each of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from envs.agents import REWARDS, TERMINATED
from envs.drivers import Driver
from envs.outcome import Outcome
from envs.recording import per_actor
from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.rig import Rig
from sensors.scene import Scene


def scene_of_agent(scene: Scene, agent: int) -> Scene:
    """The scene with an agent as the ego: actors 0 and ``agent`` change places. The last action stays the first agent's."""
    if agent == 0:
        return scene
    places = torch.arange(scene.num_actors, device=scene.device)
    places[0], places[agent] = agent, 0
    return replace(scene, **{name: getattr(scene, name)[:, places] for name in per_actor(scene)})


def outcome_of_agent(outcome: Outcome, agent: int) -> Outcome:
    """A decision's outcome with an agent as the ego: its reward, its columns of what is told of each, and its substeps.

    Args:
        outcome: Of a world of several agents.
        agent: Which one.
    """
    order = list(range(outcome.terms[REWARDS].shape[1]))
    order[0], order[agent] = agent, 0
    told = {name: outcome.terms[name][:, order] for name in (REWARDS, TERMINATED)}
    substeps = tuple(scene_of_agent(scene, agent) for scene in outcome.substeps)
    return replace(outcome, reward=told[REWARDS][:, 0], terms=outcome.terms | told, substeps=substeps)


@dataclass(frozen=True)
class EachAgent:
    """Several agents, each driven by the same driver of one ego, which sees the scene from its place."""

    driver: Driver
    agents: int

    def __post_init__(self) -> None:
        if self.driver.needs_frames is not None:
            raise ConfigError(
                f"this driver sees through rig {self.driver.needs_frames.name!r}, which looks from actor 0 alone, "
                f"and the world has {self.agents} agents; drive them by what needs no rig"
            )

    @property
    def autopilot(self) -> bool:
        """The driver's."""
        return self.driver.autopilot

    @property
    def needs_frames(self) -> Rig | None:
        """None: sensors see from actor 0 alone."""
        return None

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Decide for every agent of every world, (B, N) or (B, N, C)."""
        states = (None,) * self.agents if state is None else state
        decided = [self.driver.act(scene_of_agent(scene, agent), None, states[agent]) for agent in range(self.agents)]
        return torch.stack([actions for actions, _ in decided], 1), tuple(own for _, own in decided)

    def reset(self, state: Any, where: Tensor) -> Any:
        """Forget the past of the worlds in the mask (B,)."""
        return state if state is None else tuple(self.driver.reset(own, where) for own in state)
