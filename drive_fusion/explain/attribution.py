"""Which sense a decision hangs on, and what the network looked at.

Two answers, because neither is the whole truth. Occlusion asks what the driver would do if a sense fell silent now (Zeiler, Fergus 2014);
gradient times input asks to which numbers the chosen action's likelihood is sensitive (Shrikumar et al. 2017).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import torch
from stable_baselines3.common.distributions import Distribution, kl_divergence
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from drive_fusion.extractor import MODALITIES, FusedExtractor
from drive_fusion.fusion import Look
from drive_fusion.memory import State
from sensors.errors import ConfigError


@dataclass(frozen=True)
class Explanation:
    """Of B decisions, through M modalities."""

    modalities: tuple[str, ...]
    present: Tensor  # (B, M) bool, whether any of the modality's sensors lives
    action: Tensor  # (B, ...) the most likely one
    occlusion_nats: Tensor  # (B, M) how far the action's distribution is from what it would be without the modality: Kullback-Leibler
    occluded_action: Tensor  # (B, M, ...) the most likely action without it
    gradient: Tensor  # (B, M) sum of |gradient x input| of the chosen action's log-likelihood over the modality's numbers
    maps: Tensor  # (B, M, X, Y) mean of each modality's map over its channels, without sign
    fused: Tensor  # (B, X, Y) the same of the fused map, after a memory of maps
    look: Look  # what the fusion looked at: attention (B, M, X / 2, Y / 2), share (B, M), heat (B, X, Y), nodes_xy_m, nodes_there

    @property
    def gradient_share(self) -> Tensor:
        """The gradients as shares that add up to 1, (B, M); 0 where nothing counts."""
        total = self.gradient.sum(1, keepdim=True)
        return torch.where(total > 0.0, self.gradient / total.clamp(min=1e-12), 0.0)


def eyes_of(policy: ActorCriticPolicy) -> FusedExtractor:
    """The network that a policy sees with.

    Raises:
        ConfigError: It has no senses to tell apart.
    """
    eyes = policy.features_extractor
    if not isinstance(eyes, FusedExtractor) or not len(eyes.encoders):
        raise ConfigError(f"only a driver with sensors can be explained; this one sees through {type(eyes).__name__}")
    return eyes


def explain(
    policy: ActorCriticPolicy, observations: dict[str, Tensor], state: State | None = None, starts: Tensor | None = None
) -> Explanation:
    """Explain one decision in each of B worlds.

    Args:
        policy: Whose decision; it must be in evaluation mode.
        observations: Packed observations (B, ...), on its device.
        state: What it remembered; by default nothing.
        starts: Where an episode begins, (B,) bool; by default nowhere, or everywhere without a state.

    Raises:
        ConfigError: The policy has no sensors.
    """
    eyes = eyes_of(policy)
    names = tuple(eyes.encoders)
    worlds = len(observations["ego"])
    starts = torch.full((worlds,), state is None, device=policy.device) if starts is None else starts
    state = eyes.initial_state(worlds) if state is None else state
    look: Look = {}
    with torch.no_grad():
        stretch = {name: value[None] for name, value in observations.items()}
        features, _, inside = eyes.unroll_open(stretch, state, starts[None], look)
        decision = distribution_of(policy, features[0])
        without = [_without(policy, observations, state, starts, number) for number in range(len(names))]
        action = decision.mode()
        nats = torch.stack([_summed(kl_divergence(decision, other), worlds) for other in without], 1)
    seen, fused = inside.seen, inside.fused
    assert seen is not None and fused is not None
    return Explanation(
        modalities=names,
        present=seen.present,
        action=action,
        occlusion_nats=nats,
        occluded_action=torch.stack([other.mode() for other in without], 1),
        gradient=_gradients(policy, observations, state, starts, action),
        maps=torch.stack([found.abs().mean(1) for found in seen.maps], 1),
        fused=fused.abs().mean(1),
        look=look,
    )


def distribution_of(policy: ActorCriticPolicy, features: Tensor) -> Distribution:
    """What a policy would do on features (B, F)."""
    latent = policy.mlp_extractor.forward_actor(features)
    return copy(policy._get_action_dist_from_latent(latent))  # SB3 keeps one object a policy and fills it anew


def states_along(eyes: FusedExtractor, observations: dict[str, Tensor]) -> State:
    """What is remembered before each decision of an episode.

    Args:
        eyes: Who remembers.
        observations: T instants of one world, (T, ...).

    Returns:
        Each part of the state, (T, *shape).
    """
    state = eyes.initial_state(1)
    along = {name: [part] for name, part in state.items()}
    start = torch.ones(1, dtype=torch.bool, device=observations["ego"].device)
    with torch.no_grad():
        for instant in range(len(observations["ego"]) - 1):
            seen = {name: value[instant : instant + 1] for name, value in observations.items()}
            _, state = eyes.advance(seen, state, start if instant == 0 else ~start)
            for name, part in state.items():
                along[name].append(part)
    return {name: torch.cat(parts) for name, parts in along.items()}


def _without(policy: ActorCriticPolicy, observations: dict[str, Tensor], state: State, starts: Tensor, modality: int) -> Distribution:
    """What the policy would do if a modality's sensors were all dead now."""
    eyes = eyes_of(policy)
    place = _sensors_of(eyes, tuple(eyes.encoders)[modality])
    alive = observations["alive"].clone()
    alive[:, place] = 0.0
    features, _ = eyes.advance({**observations, "alive": alive}, state, starts)
    return distribution_of(policy, features)


def _gradients(policy: ActorCriticPolicy, observations: dict[str, Tensor], state: State, starts: Tensor, action: Tensor) -> Tensor:
    """Sum of |gradient x input| over each modality's numbers, (B, M)."""
    eyes = eyes_of(policy)
    names = tuple(eyes.encoders)
    inputs = {name: observations[name].detach().float().requires_grad_() for name in names}
    with torch.enable_grad():
        features, _ = eyes.advance({**observations, **inputs}, state, starts)
        likelihood = distribution_of(policy, features).log_prob(action).sum()
        found = torch.autograd.grad(likelihood, list(inputs.values()), allow_unused=True)
    totals = []
    for values, gradient in zip(inputs.values(), found, strict=True):
        product = torch.zeros_like(values) if gradient is None else torch.where(gradient != 0.0, gradient * values.detach(), 0.0)
        totals.append(product.abs().flatten(1).sum(1))
    return torch.stack(totals, 1)


def _sensors_of(eyes: FusedExtractor, name: str) -> slice:
    """Places of a modality's sensors in ``alive``."""
    kind = MODALITIES.index(name)
    first = sum(eyes.counts[:kind])
    return slice(first, first + eyes.counts[kind])


def _summed(nats: Tensor, worlds: int) -> Tensor:
    """A divergence (B,), or (B, C) of independent numbers of an action, as (B,)."""
    return nats.view(worlds, -1).sum(1)
