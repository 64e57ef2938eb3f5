"""The teacher: a driver trained on privileged state, asked for its whole distribution of actions, and how far a pupil's is from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution, Distribution
from torch import Tensor

from drive_fusion.ppo import FusedPPO
from drive_fusion.privileged import PrivilegedExtractor, PrivilegedState
from sensors.errors import ConfigError
from sensors.scene import Scene


class Opinion(NamedTuple):
    """What a teacher would do in B worlds, and what it expects of them."""

    parameters: Tensor  # (B, P): log-likelihoods of discrete actions; means, then spreads, of continuous ones
    values: Tensor  # (B,)


class Teacher:
    """A privileged checkpoint that comments on scenes."""

    def __init__(self, path: str | Path, device: torch.device | str = "cpu"):
        """Load a checkpoint.

        Raises:
            CheckpointError: It is damaged.
            ConfigError: It was not trained on privileged state, or has actions that no distribution of ours describes.
        """
        self.model = FusedPPO.load(path, device=device)
        if not isinstance(self.model.policy.features_extractor, PrivilegedExtractor):
            raise ConfigError(
                f"{path} is no teacher: it was not trained on privileged state; make one with drive-fusion train --rig privileged"
            )
        self.space = self.model.action_space
        if not isinstance(self.space, (spaces.Discrete, spaces.Box)):
            raise ConfigError(f"{path} has actions of {self.space}, expected discrete or continuous ones")
        self.model.policy.set_training_mode(False)
        self._tell = PrivilegedState()

    @torch.no_grad()
    def comment(self, scene: Scene) -> Opinion:
        """Say what it would do in each world."""
        policy = self.model.policy
        features = policy.extract_features(self._tell(scene).to(self.model.device))
        latent_actor, latent_critic = policy.mlp_extractor(features)
        distribution = policy._get_action_dist_from_latent(latent_actor)
        return Opinion(self._parameters(distribution), policy.value_net(latent_critic).flatten())

    def drawn(self, opinion: Opinion) -> Tensor:
        """Actions drawn from an opinion, (B,) or (B, C); random numbers are torch's."""
        if isinstance(self.space, spaces.Discrete):
            drawn: Tensor = torch.distributions.Categorical(logits=opinion.parameters).sample()  # type: ignore[no-untyped-call]
            return drawn
        mean, spread = opinion.parameters.chunk(2, 1)
        return torch.normal(mean, spread)

    def _parameters(self, distribution: Distribution) -> Tensor:
        if isinstance(distribution, CategoricalDistribution):
            logits: Tensor = distribution.distribution.logits
            return logits
        normal: Any = distribution.distribution
        low, high = (torch.as_tensor(edge, device=normal.mean.device) for edge in (self.space.low, self.space.high))  # type: ignore[attr-defined]
        return torch.cat((normal.mean.clamp(low, high), normal.stddev), 1)  # the world clips actions: what is meant is the bound


def divergence(pupil: Distribution, parameters: Tensor) -> Tensor:
    """Kullback-Leibler divergence from a teacher's opinion to a pupil's distribution, (N,) [nat].

    Args:
        pupil: N distributions, categorical or normal with independent numbers.
        parameters: The teacher's `Opinion.parameters`, (N, P).

    Raises:
        ConfigError: The pupil has another kind of distribution.
    """
    if isinstance(pupil, CategoricalDistribution):
        own = pupil.distribution.logits
        return (parameters.exp() * (parameters - own)).sum(1)
    if not isinstance(pupil, DiagGaussianDistribution):
        raise ConfigError(f"a pupil with a {type(pupil).__name__} cannot be taught; use discrete or plain continuous actions, without gSDE")
    mean, spread = parameters.chunk(2, 1)
    return torch.distributions.kl_divergence(torch.distributions.Normal(mean, spread), pupil.distribution).sum(1)
