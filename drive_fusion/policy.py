"""The fused policy: SB3's actor and critic on eyes that may remember.

A policy without memory is SB3's in every respect. With one, ``predict`` takes and returns the state, as SB3's recurrent policies do; a
state is a tuple of arrays, one row a world, in the order of ``state_shapes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from torch import Tensor

from drive_fusion.distributed import Group
from drive_fusion.extractor import MODALITIES
from drive_fusion.parallel import alone, parts_of, shared_out
from sensors.errors import ConfigError, SensorFault

State = dict[str, Tensor]
"""What a policy remembers: named tensors, one row a world; empty for one without memory."""
Observation = Tensor | dict[str, Tensor]
Look = Callable[[dict[str, Tensor], State, Tensor], tuple[Tensor, State]]
"""What the eyes make of (T, B) observations, and what is remembered after them."""


class Decision(NamedTuple):
    """What a policy does in B worlds."""

    actions: Tensor  # (B, ...)
    values: Tensor  # (B,)
    log_probs: Tensor  # (B,)
    state: State  # after what was seen


class FusedPolicy(MultiInputActorCriticPolicy):
    """Actor and critic on one `FusedExtractor`."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        if self.state_shapes and not self.share_features_extractor:
            raise ConfigError(
                "share_features_extractor=False needs a driver without memory; actor and critic here share what they remember"
            )

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each part of one world's state."""
        shapes: dict[str, tuple[int, ...]] = getattr(self.features_extractor, "state_shapes", {})
        return shapes

    def predict(
        self,
        observation: NDArray[Any] | dict[str, NDArray[Any]],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Decide, for one world or many.

        Args:
            observation: As the environment gives it, with or without a dimension of worlds.
            state: What ``predict`` gave last; None before the first decision.
            episode_start: Where an episode begins, bool (B,): there the state is forgotten.
            deterministic: Take the most likely action.

        Returns:
            Actions, and the state to hand in next; None of a policy without memory.

        Raises:
            ConfigError: Another rig's observation, or a state of other worlds.
            SensorFault: A live sensor's number is not finite.
        """
        if self.training:
            self.set_training_mode(False)
        seen, single = self._tensors(observation)
        worlds = len(next(iter(seen.values())))
        memory = self._memory(state, worlds)
        starts = torch.zeros(worlds, dtype=torch.bool) if state is not None else torch.ones(worlds, dtype=torch.bool)
        if episode_start is not None and state is not None:
            starts = torch.as_tensor(np.asarray(episode_start), dtype=torch.bool).reshape(-1)
        actions, memory = self._chosen(seen, memory, starts, deterministic)
        chosen = actions.cpu().numpy()
        later = tuple(memory[name].cpu().numpy() for name in self.state_shapes) if memory else None
        return (chosen[0] if single else chosen), later

    def save(self, path: str | Path) -> None:
        """Write the policy alone into a checkpoint folder.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        from drive_fusion.policy_file import save_policy  # which knows this class by name

        save_policy(self, path)

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "auto") -> Self:
        """Read what `save` wrote; nothing is unpickled or imported.

        Raises:
            CheckpointError: The folder is damaged, foreign, or of another size.
            ConfigError: The device is not there.
        """
        from drive_fusion.policy_file import load_policy

        return load_policy(cls, path, device)

    def drive(self, observation: dict[str, Tensor], state: State | None, starts: Tensor) -> tuple[Tensor, State]:
        """Take the most likely action in B worlds: ``predict`` without arrays in between.

        Args:
            observation: Packed, (B, ...) each.
            state: What ``drive`` gave last; None before the first decision.
            starts: Where an episode begins, (B,) bool.

        Returns:
            Actions (B, ...) as the environment takes them, and the state to hand in next; empty without memory.

        Raises:
            ConfigError: Another rig's observation.
            SensorFault: A live sensor's number is not finite.
        """
        if self.training:
            self.set_training_mode(False)
        seen, _ = self._tensors(observation)
        return self._chosen(seen, initial_state(self, len(starts)) if state is None else state, starts, True)

    def _chosen(self, seen: dict[str, Tensor], state: State, starts: Tensor, deterministic: bool) -> tuple[Tensor, State]:
        """Actions within their bounds, by the actor alone."""
        with torch.no_grad():
            features, state = features_of(self, check_finite(seen), state, starts.to(self.device))
            latent = self.mlp_extractor.forward_actor(features)
            actions = self._get_action_dist_from_latent(latent).get_actions(deterministic=deterministic)
        actions = actions.reshape((-1, *(self.action_space.shape or ())))
        if isinstance(self.action_space, spaces.Box):
            low, high = (torch.as_tensor(edge, device=actions.device) for edge in (self.action_space.low, self.action_space.high))
            actions = low + 0.5 * (actions + 1.0) * (high - low) if self.squash_output else actions.clamp(low, high)
        return actions, state

    def _memory(self, state: tuple[NDArray[Any], ...] | None, worlds: int) -> State:
        if state is None or not self.state_shapes:
            return initial_state(self, worlds)
        given = {name: torch.as_tensor(part) for name, part in zip(self.state_shapes, state, strict=False)}
        shapes = {name: tuple(part.shape) for name, part in given.items()}
        expected = {name: (worlds, *shape) for name, shape in self.state_shapes.items()}
        if shapes != expected or len(state) != len(expected):
            raise ConfigError(f"predict: the state has shapes {shapes}, expected {expected}; hand in what predict gave for these worlds")
        return {name: part.to(self.device) for name, part in given.items()}

    def _tensors(self, observation: Any) -> tuple[dict[str, Tensor], bool]:
        """An observation on the policy's device, with a dimension of worlds, and whether it came without one."""
        wanted = self.observation_space.spaces  # type: ignore[attr-defined]
        if isinstance(observation, tuple) and len(observation) == 2 and isinstance(observation[1], Mapping):
            raise ValueError("predict got a tuple; gymnasium's reset gives (observation, info): hand in the observation alone")
        if not isinstance(observation, Mapping) or observation.keys() != wanted.keys():
            got = sorted(observation) if isinstance(observation, Mapping) else type(observation).__name__
            raise ConfigError(f"the observation has {got}, expected {sorted(wanted)}; it comes from another rig")
        seen, single = {}, False
        for name, space in wanted.items():
            part = torch.as_tensor(observation[name]) if isinstance(observation[name], (Tensor, np.ndarray)) else None
            if part is None:
                part = torch.as_tensor(np.asarray(observation[name]))
            if part.shape[1:] != space.shape:
                if part.shape != space.shape:
                    raise ConfigError(
                        f"observation {name!r} has shape {tuple(part.shape)}, expected (worlds, *{space.shape}); it comes from another rig"
                    )
                part, single = part[None], True
            seen[name] = part.to(self.device)
        return seen, single


def initial_state(policy: ActorCriticPolicy, worlds: int) -> State:
    """What a policy remembers before it has seen anything."""
    if not remembers(policy):
        return {}
    state: State = policy.features_extractor.initial_state(worlds)  # type: ignore[operator,assignment]
    return {name: part.to(policy.device) for name, part in state.items()}


def remembers(policy: ActorCriticPolicy) -> bool:
    """Whether a policy has a memory."""
    return bool(getattr(policy, "state_shapes", {}))


def features_of(policy: ActorCriticPolicy, seen: Observation, state: State, starts: Tensor) -> tuple[Tensor, State]:
    """What the eyes make of B worlds, and what is remembered after it."""
    if not isinstance(policy, FusedPolicy):
        features: Tensor = policy.extract_features(seen)  # type: ignore[assignment]
        return features, {}
    features, state = unrolled(policy, {name: part[None] for name, part in floats(seen).items()}, state, starts[None])
    return features, state


def decide(policy: ActorCriticPolicy, seen: Observation, state: State, starts: Tensor, group: Group | None = None) -> Decision:
    """Draw actions for B worlds.

    Args:
        policy: Who decides.
        seen: Observations on its device.
        state: What it remembers.
        starts: Where an episode begins, (B,) bool: there it forgets first.
        group: With several processes, random numbers are drawn for all worlds in each, so that they do not depend on the division.
    """
    features, state = features_of(policy, seen, state, starts)
    latent_actor, latent_critic = policy.mlp_extractor(features)
    values = policy.value_net(latent_critic).flatten()
    own = slice(None)
    if group is not None and group.size > 1:
        own = group.own(len(values))
        everyone = latent_actor.new_zeros((group.size * len(values), latent_actor.shape[1]))
        everyone[own] = latent_actor
        latent_actor = everyone
    distribution = policy._get_action_dist_from_latent(latent_actor)
    actions = distribution.get_actions()
    log_probs = distribution.log_prob(actions)
    return Decision(actions.reshape((-1, *(policy.action_space.shape or ())))[own], values, log_probs[own], state)


def values_of(policy: ActorCriticPolicy, seen: Observation, state: State, starts: Tensor) -> Tensor:
    """The critic's opinion of B worlds, (B,)."""
    features, _ = features_of(policy, seen, state, starts)
    return policy.value_net(policy.mlp_extractor.forward_critic(features)).flatten()  # type: ignore[no-any-return]


def unrolled(policy: ActorCriticPolicy, seen: Observation, state: State, starts: Tensor) -> tuple[Tensor, State]:
    """Features of sequences, time first.

    Args:
        policy: Whose eyes look.
        seen: Observations (T, B, ...).
        state: What is remembered before the first step; empty without memory.
        starts: Where an episode begins, (T, B) bool.

    Returns:
        Features (T * B, F), and what is remembered after the last step.
    """
    if not isinstance(policy, FusedPolicy):
        flat = {name: part.flatten(0, 1) for name, part in seen.items()} if isinstance(seen, dict) else seen.flatten(0, 1)
        return features_of(policy, flat, {}, starts.flatten())
    return _through(policy, policy.features_extractor.unroll, seen, state, starts)  # type: ignore[operator,arg-type]


def unrolled_with_map(policy: ActorCriticPolicy, seen: Observation, state: State, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Features of sequences as `unrolled` gives them, (T * B, F), and the maps that they were read off, (T * B, W, X, Y)."""
    eyes: Any = policy.features_extractor

    def look(shown: dict[str, Tensor], own: State, begins: Tensor) -> tuple[Tensor, State]:
        features, after, inside = eyes.unroll_open(shown, own, begins)
        return torch.cat((features, inside.fused.flatten(1).unflatten(0, begins.shape)), 2), after  # one tensor, as threads hand over

    both = _through(policy, look, seen, state, starts)[0]
    grid = eyes.size.feature_grid
    return both[:, : eyes.features_dim], both[:, eyes.features_dim :].reshape(len(both), -1, grid.x_cells, grid.y_cells)


def _through(policy: ActorCriticPolicy, look: Look, seen: Observation, state: State, starts: Tensor) -> tuple[Tensor, State]:
    """Let the eyes' threads look, each at some of the worlds."""
    eyes, shown = policy.features_extractor, floats(seen)

    def features(part: slice) -> tuple[Tensor, State]:
        own = {name: value[part] for name, value in state.items()}
        return look({name: value[:, part] for name, value in shown.items()}, own, starts[:, part])

    parts = parts_of(starts.shape[1], starts.numel(), policy.device)
    if len(parts) > 1:
        found, state_after = shared_out(features, parts, eyes)
    else:
        with alone(bool(parts)):
            found, state_after = features(slice(None))
    return found.flatten(0, 1), state_after


def judged(policy: ActorCriticPolicy, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Values, log-likelihoods of actions and entropies, each (N,), for features (N, F)."""
    latent_actor, latent_critic = policy.mlp_extractor(features)
    distribution: Distribution = policy._get_action_dist_from_latent(latent_actor)
    given = actions.flatten(1) if actions.ndim > 2 else actions  # a table of numbers is one row to SB3's distributions
    return policy.value_net(latent_critic).flatten(), distribution.log_prob(given), distribution.entropy()


def floats(seen: Observation) -> dict[str, Tensor]:
    """An observation as the extractor takes it."""
    assert isinstance(seen, dict)
    return {name: part if part.dtype == torch.uint8 else part.float() for name, part in seen.items()}


def check_finite(seen: dict[str, Tensor], where: str = "") -> dict[str, Tensor]:
    """Refuse numbers that are not finite in what live sensors say.

    Returns:
        The observation; what is not finite in a dead sensor's part is zero there.

    Raises:
        SensorFault: A live sensor's number, or the ego's, is not finite.
    """
    sums = [part.sum() for part in seen.values() if part.is_floating_point()]
    if not sums or bool(torch.isfinite(torch.stack([total.float() for total in sums])).all()):
        return seen
    return {name: _finite(name, part, seen, where) if part.is_floating_point() else part for name, part in seen.items()}


def _finite(name: str, part: Tensor, seen: Mapping[str, Tensor], where: str) -> Tensor:
    wrong = ~torch.isfinite(part)
    if "alive" in seen and name in (*MODALITIES, "age"):
        alive = seen["alive"] > 0.5
        if name in MODALITIES:
            first = sum(seen[kind].shape[1] for kind in MODALITIES[: MODALITIES.index(name)] if kind in seen)
            alive = alive[:, first : first + part.shape[1]]
        part = torch.where(wrong & ~alive.reshape(*alive.shape, *[1] * (part.ndim - 2)), 0.0, part)
        wrong = ~torch.isfinite(part)
    if bool(wrong.any()):
        bad = wrong.nonzero()
        raise SensorFault(
            f"{name}{where}: {len(bad)} of {part.numel()} numbers are not finite, first at {tuple(bad[0].tolist())}, "
            "expected finite ones; a sensor without data sets valid=False. The weights are still those of the last update"
        )
    return part
