"""A frozen policy that a learner is kept near: a warm start that is not to be unlearned, or the last policy that people approved.

To the loss comes weight x KL(policy || reference), in the decisions of the rollout, as in learning from people's preferences (Ziegler et
al. 2019, equation 2), or, with the weight falling to zero, in learning that a teacher starts (Schmitt et al. 2018). The reference looks
once at each decision, while the rollout is collected, with a memory of its own.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, distributions

from drive_fusion.policy import Observation, State, features_of, initial_state
from drive_fusion.rollout import Minibatch
from sensors.errors import ConfigError

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO


class Anchor:
    """What a frozen policy would do in the rollout's decisions."""

    def __init__(self, policy: ActorCriticPolicy, learner: FusedPPO):
        """Hold a policy still.

        Args:
            policy: The reference; its gradients are switched off.
            learner: Who is kept near it.

        Raises:
            ConfigError: It is for other observations or actions, or actions have no distribution that can be compared.
        """
        for name in ("observation_space", "action_space"):
            own, wanted = getattr(policy, name), getattr(learner, name)
            if own != wanted:
                raise ConfigError(f"anchor: the reference has {name} {own}, the learner {wanted}; take a policy of the same rig and world")
        if not isinstance(learner.action_space, (spaces.Discrete, spaces.Box)) or learner.use_sde:
            raise ConfigError(
                f"anchor: there is no distance between policies for {learner.action_space}, expected Discrete or Box without sde"
            )
        self.policy = policy.to(learner.device).requires_grad_(False)
        self.policy.set_training_mode(False)
        self.memory: State = {}
        self._rows: list[Tensor] = []

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the reference's weights."""
        digest = hashlib.sha256()
        for name, part in sorted(self.policy.state_dict().items()):
            digest.update(name.encode() + part.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def begin(self, worlds: int) -> None:
        """Empty what was noted; of other worlds than before nothing is remembered."""
        self._rows.clear()
        if len(next(iter(self.memory.values()), ())) != worlds:
            self.memory = initial_state(self.policy, worlds)

    @torch.no_grad()
    def see(self, seen: Observation, starts: Tensor) -> None:
        """Note what the reference would do.

        Args:
            seen: What the learner sees at a step, (B, ...).
            starts: Where an episode begins, (B,) bool.
        """
        features, self.memory = features_of(self.policy, seen, self.memory, starts)
        self._rows.append(_numbers(_actions(self.policy, features)).float())

    def distance(self, policy: ActorCriticPolicy, features: Tensor, part: Minibatch) -> Tensor:
        """This process's share of the mean KL(policy || reference) over a minibatch, a scalar.

        Args:
            policy: The learner's.
            features: What its eyes make of the minibatch, (N, F).
            part: The minibatch.
        """
        own = _actions(policy, features)
        reference = _like(own, torch.cat(self._rows).index_select(0, part.rows))
        apart = distributions.kl_divergence(own, reference)
        return apart.reshape(len(part.rows), -1).sum() / part.count


def _actions(policy: ActorCriticPolicy, features: Tensor) -> Any:
    """The distribution of actions."""
    return policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(features)).distribution


def _numbers(actions: Any) -> Tensor:
    """The numbers that say a distribution, (N, K)."""
    if isinstance(actions, distributions.Categorical):
        return actions.logits  # type: ignore[no-any-return]
    return torch.cat((actions.mean, actions.stddev), 1)


def _like(actions: Any, numbers: Tensor) -> Any:
    """The distribution of another's kind that `_numbers` said."""
    if isinstance(actions, distributions.Categorical):
        return distributions.Categorical(logits=numbers)
    mean, deviation = numbers.chunk(2, 1)
    return distributions.Normal(mean, deviation)
