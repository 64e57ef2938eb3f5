"""The network in front of a policy that is told privileged state."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from drive_fusion.privileged.clearance import CLEARANCES
from drive_fusion.privileged.lanes import DISTANCE_M
from drive_fusion.privileged.state import ACTOR_FEATURES, ACTORS, SPEED_MPS
from sensors.errors import ConfigError


class PrivilegedExtractor(BaseFeaturesExtractor):
    """Each actor through one small network, the largest of each number over all actors, and the rest of the vector beside it.

    When and how near each actor would come at constant velocities is told to the network: on crossing traffic it finds that out only
    slowly by itself.
    """

    def __init__(self, observation_space: spaces.Box, hidden: int = 64) -> None:
        """Build it for a space of `privileged_space`."""
        self.own = observation_space.shape[0] - ACTORS * len(ACTOR_FEATURES) - CLEARANCES
        if self.own <= 0:
            raise ConfigError(f"PrivilegedExtractor got an observation of {observation_space.shape[0]} numbers, expected privileged state")
        super().__init__(observation_space, self.own + CLEARANCES + hidden)
        wide = len(ACTOR_FEATURES) + 2 + self.own
        layers = (nn.Linear(wide, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.actor = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Encode (B, D) to (B, F)."""
        own, others, clear = torch.split(observations, [self.own, ACTORS * len(ACTOR_FEATURES), CLEARANCES], 1)
        others = others.view(len(observations), ACTORS, -1)
        found = self.actor(torch.cat((others, closest_approach(others), own[:, None].expand(-1, ACTORS, -1)), -1))
        there = others[..., :1] > 0.5
        most = torch.where(there, found, -math.inf).amax(1)
        return torch.cat((own, clear, torch.where(there.any(1), most, 0.0)), 1)


def closest_approach(actors: Tensor) -> Tensor:
    """When actors would be nearest to the ego, and how near, if nobody changed velocity.

    Args:
        actors: ACTOR_FEATURES, (..., features).

    Returns:
        Time, 1 at 4 s and 2 at 8 s or later, and distance, 1 at 20 m and 3 at 60 m or more, (..., 2); zeros where nobody is.
    """
    there, x, y, vx, vy = actors[..., :5].unbind(-1)
    place_m = torch.stack((x, y), -1) * DISTANCE_M
    velocity_mps = torch.stack((vx, vy), -1) * SPEED_MPS
    speed2 = (velocity_mps * velocity_mps).sum(-1).clamp(min=0.1)
    time_s = (-(place_m * velocity_mps).sum(-1) / speed2).clamp(0.0, 8.0)
    distance_m = (place_m + velocity_mps * time_s[..., None]).norm(dim=-1)
    return torch.stack((time_s / 4.0, (distance_m / 20.0).clamp(max=3.0)), -1) * there[..., None]
