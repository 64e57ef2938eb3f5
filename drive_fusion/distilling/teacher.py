"""The teacher, a driver who is told the world, asked for its whole distribution of actions; and how far a pupil's is from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution, Distribution
from torch import Tensor

from drive_fusion.ppo import FusedPPO
from drive_fusion.privileged import PrivilegedExtractor, PrivilegedState
from drive_fusion.pursuit_driver import PursuitDriver
from drive_fusion.rule_driver import RuleDriver
from envs.drivers import META_ACTIONS
from sensors.errors import ConfigError
from sensors.scene import Scene

RULE = "rule"
"""Names the scripted teacher."""
SCRIPTED_SPREAD = 0.1
"""How much a pupil of a driver by rules may deviate from its continuous actions, as a share of the whole range's half."""
LEAST_CHANCE = 1e-4


class Opinion(NamedTuple):
    """What a teacher would do in B worlds, and what it expects of them."""

    parameters: Tensor  # (B, P): log-likelihoods of discrete actions; means, then spreads, of continuous ones
    values: Tensor  # (B,)


class Teacher(Protocol):
    """Whoever comments on scenes."""

    space: spaces.Space[Any]
    """Its actions."""
    expects: bool
    """Whether it has values of scenes, for a critic to learn from."""
    gamma: float
    """Discount factor of those."""

    @property
    def log_std(self) -> Tensor | None:
        """Logarithm of its spread of continuous actions, (C,)."""
        ...

    def comment(self, scene: Scene) -> Opinion:
        """Say what it would do in each world."""
        ...


def teacher_of(who: Path, space: spaces.Space[Any], device: torch.device | str = "cpu") -> Teacher:
    """A teacher by its checkpoint, or the scripted one for some actions, called rule.

    Raises:
        CheckpointError: There is no checkpoint, or it is damaged.
        ConfigError: It cannot teach.
    """
    return ScriptedTeacher(space) if str(who) == RULE else PrivilegedTeacher(who, device)


class ScriptedTeacher:
    """The rule driver, where actions are the five meta-actions, or the pursuit driver, where they steer."""

    expects = False
    gamma = 1.0

    def __init__(self, space: spaces.Space[Any]):
        """Choose a driver.

        Raises:
            ConfigError: There is none for such actions.
        """
        self.space = space
        if isinstance(space, spaces.Discrete) and space.n == len(META_ACTIONS):
            self.driver: RuleDriver | PursuitDriver = RuleDriver()
        elif isinstance(space, spaces.Box) and space.shape == (1,):
            self.driver = PursuitDriver()
        else:
            raise ConfigError(f"there is no scripted teacher for actions of {space}; name a checkpoint of a driver of privileged state")

    @property
    def log_std(self) -> Tensor | None:
        """Of SCRIPTED_SPREAD, (1,)."""
        return torch.tensor([math.log(SCRIPTED_SPREAD)]) if isinstance(self.driver, PursuitDriver) else None

    def comment(self, scene: Scene) -> Opinion:
        """What the rules say, with no values."""
        nothing = torch.zeros(scene.num_worlds, device=scene.device)
        if isinstance(self.driver, RuleDriver):
            return Opinion(self.driver.chances(scene).clamp(min=LEAST_CHANCE).log(), nothing)
        action, _ = self.driver.act(scene, None, None)
        return Opinion(torch.cat((action, torch.full_like(action, SCRIPTED_SPREAD)), 1), nothing)


class PrivilegedTeacher:
    """A checkpoint of privileged state that comments on scenes."""

    expects = True

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
        self.space, self.gamma = self.model.action_space, self.model.gamma
        if not isinstance(self.space, (spaces.Discrete, spaces.Box)):
            raise ConfigError(f"{path} has actions of {self.space}, expected discrete or continuous ones")
        self.model.policy.set_training_mode(False)
        self._tell = PrivilegedState()

    @property
    def log_std(self) -> Tensor | None:
        """Of its continuous actions, (C,)."""
        return getattr(self.model.policy, "log_std", None)

    @torch.no_grad()
    def comment(self, scene: Scene) -> Opinion:
        """Say what it would do in each world."""
        policy = self.model.policy
        features = policy.extract_features(self._tell(scene).to(self.model.device))
        latent_actor, latent_critic = policy.mlp_extractor(features)
        distribution = policy._get_action_dist_from_latent(latent_actor)
        return Opinion(self._parameters(distribution), policy.value_net(latent_critic).flatten())

    def _parameters(self, distribution: Distribution) -> Tensor:
        if isinstance(distribution, CategoricalDistribution):
            logits: Tensor = distribution.distribution.logits
            return logits
        normal: Any = distribution.distribution
        low, high = (torch.as_tensor(edge, device=normal.mean.device) for edge in (self.space.low, self.space.high))  # type: ignore[attr-defined]
        return torch.cat((normal.mean.clamp(low, high), normal.stddev), 1)  # the world clips actions: what is meant is the bound


def drawn(space: spaces.Space[Any], opinion: Opinion) -> Tensor:
    """Actions drawn from an opinion, (B,) or (B, C); random numbers are torch's."""
    if isinstance(space, spaces.Discrete):
        chosen: Tensor = torch.distributions.Categorical(logits=opinion.parameters).sample()  # type: ignore[no-untyped-call]
        return chosen
    mean, spread = opinion.parameters.chunk(2, 1)
    return torch.normal(mean, spread)


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
