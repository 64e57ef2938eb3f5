"""Behaviour cloning: a policy's first lessons, from what `drive_fusion.demonstrations` has of recorded drivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor

from drive_fusion.demonstrations import (
    RENDER_BATCH,
    WHOLE,
    Demonstrations,
    DisturbedDriver,
    Judge,
    demonstrations,
    lessons,
    meta_actions,
)
from drive_fusion.policy import FusedPolicy, features_of, remembers, unrolled
from drive_fusion.ppo import FusedPPO
from envs.drivers import META_ACTIONS
from sensors.errors import ConfigError

__all__ = [
    "CloneConfig",
    "CloneReport",
    "Demonstrations",
    "DisturbedDriver",
    "Judge",
    "clone",
    "demonstrations",
    "lessons",
    "meta_actions",
]

NEARLY = 0.5
"""An action that a teacher would take so much as readily as its first choice is no mistake."""


@dataclass(frozen=True)
class CloneConfig:
    """How a policy is taught by demonstrations."""

    epochs: int = 3
    """Passes over the demonstrations."""
    batch: int = 128
    """Decisions a gradient step."""
    lr: float = 2e-3
    """Learning rate of Adam, falling to zero along a cosine."""
    entropy: float = 0.01
    """Weight of the policy's entropy, so that it stays open to what PPO finds; a teacher's chances are open enough by themselves."""
    holdout: float = 0.1
    """Share of episodes that only judge."""
    seed: int = 0
    """Of the split and of the order."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"CloneConfig.{name} is {getattr(self, name)}, expected at least 1")
        if not self.lr > 0.0 or not 0.0 < self.holdout < 1.0:
            raise ConfigError(f"CloneConfig: lr {self.lr} must be above 0, holdout {self.holdout} between 0 and 1")


@dataclass(frozen=True)
class CloneReport:
    """What a clone learned, on episodes that it was not taught."""

    decisions: int
    """How many were taught."""
    held_out: int
    """How many judged."""
    accuracy: float
    """Share of held-out decisions whose most likely action is the driver's; of a teacher who tells chances, one that he would take at least
    ``NEARLY`` as readily as his first choice."""
    majority: float
    """The same for always giving the commonest action."""
    nll: float
    """Mean negative log-likelihood of the held-out actions."""
    recall: dict[str, float]
    """Accuracy by the driver's action, for actions that occur."""


def clone(
    model: FusedPPO, taught: Demonstrations, config: CloneConfig | None = None, progress: Callable[[float], None] | None = None
) -> CloneReport:
    """Teach a policy to do what was demonstrated, by maximum likelihood. The critic and PPO's own optimiser are left as they are.

    Args:
        model: Its policy is changed.
        taught: The demonstrations; the episodes are split into taught and held-out ones.
        config: How.
        progress: Told the share that is done, 0 to 1.

    Raises:
        ConfigError: There is no episode to hold out.
    """
    config = config or CloneConfig()
    policy, generator = model.policy, torch.Generator().manual_seed(config.seed)
    judged = _held_out(taught, config.holdout, generator)
    train, held = (~judged).nonzero().flatten(), judged.nonzero().flatten()  # rows, not copies: frames are large
    optimiser = torch.optim.Adam(policy.parameters(), lr=config.lr)
    steps = config.epochs * len(_batches(model, taught, train, config.batch, torch.Generator().manual_seed(config.seed)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    policy.set_training_mode(True)
    for _ in range(config.epochs):
        for rows in _batches(model, taught, train, config.batch, generator):
            batch = taught.select(rows)
            distribution = _distribution(model, batch, drop=True)
            loss = _unlikeness(distribution, batch, config.entropy, model.device)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(min(1.0, schedule.last_epoch / steps))
    policy.set_training_mode(False)
    return _judge(model, taught, held, len(train))


def _unlikeness(distribution: Distribution, batch: Demonstrations, openness: float, device: torch.device) -> Tensor:
    """Cross-entropy to the teacher's chances where it told them; else negative log-likelihood of its actions, less some entropy."""
    if batch.chances is not None:
        return -(batch.chances.to(device) * distribution.distribution.logits).sum(1).mean()
    entropy = distribution.entropy()
    loss = -distribution.log_prob(batch.actions.to(device)).mean()
    return loss - openness * (entropy.mean() if entropy is not None else 0.0)


def _batches(model: FusedPPO, taught: Demonstrations, of: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of each gradient step, of some of the demonstrations, in a drawn order; with a memory, of whole episodes."""
    if not _looks_back(model):
        return list(torch.split(of[torch.randperm(len(of), generator=generator)], size))
    episodes = torch.unique(taught.episode[of])
    drawn = episodes[torch.randperm(len(episodes), generator=generator)]
    whole = [(taught.episode == episode).nonzero().flatten() for episode in drawn]
    batches: list[list[Tensor]] = [[]]
    for rows in whole:
        if batches[-1] and sum(map(len, batches[-1])) + len(rows) > size:
            batches.append([])
        batches[-1].append(rows)
    return [torch.cat(batch) for batch in batches]


def _distribution(model: FusedPPO, batch: Demonstrations, drop: bool = False) -> Distribution:
    """What the policy would do in each decision; with a memory, after all that its episode showed before.

    Args:
        model: Whose policy.
        batch: N decisions; with a memory whole episodes, each in order of time.
        drop: Let modality dropout work.
    """
    policy, observations = model.policy, _on(batch.observations, model.device)
    if not _looks_back(model):
        if not isinstance(policy, FusedPolicy):
            return policy.get_distribution(observations)
        state = policy.features_extractor.initial_state(len(batch), drop=drop)  # type: ignore[operator]
        seen, _ = features_of(policy, observations, state, torch.ones(len(batch), dtype=torch.bool, device=model.device))
        return policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(seen))
    episodes, column = torch.unique_consecutive(batch.episode, return_inverse=True)
    first = torch.searchsorted(column, torch.arange(len(episodes)))
    step = torch.arange(len(column)) - first[column]
    longest = int(step.max()) + 1
    place = (step * len(episodes) + column).to(model.device)

    def unfolded(part: Tensor) -> Tensor:
        """(N, ...) to (T, B, ...); where an episode is over, zeros."""
        room = part.new_zeros((longest * len(episodes), *part.shape[1:]))
        return room.index_copy(0, place, part).view(longest, len(episodes), *part.shape[1:])

    seen = {name: unfolded(part) for name, part in observations.items()}
    starts = torch.zeros(longest, len(episodes), dtype=torch.bool, device=model.device)
    starts[0] = True
    state = policy.features_extractor.initial_state(len(episodes), drop=drop)  # type: ignore[operator]
    features, _ = unrolled(policy, seen, state, starts)
    return policy._get_action_dist_from_latent(policy.mlp_extractor.forward_actor(features[place]))


def _looks_back(model: FusedPPO) -> bool:
    """Whether what a policy does hangs on earlier decisions; modality dropout's draws alone do not make it so."""
    eyes: Any = model.policy.features_extractor
    return remembers(model.policy) and (eyes.memory is not None or eyes.map_memory is not None)


def _held_out(taught: Demonstrations, share: float, generator: torch.Generator) -> Tensor:
    episodes = torch.unique(taught.episode)
    if len(episodes) < 2:
        raise ConfigError(f"cloning needs at least 2 episodes, one to learn from and one to judge by; got {len(episodes)}")
    count = min(max(1, round(share * len(episodes))), len(episodes) - 1)
    return torch.isin(taught.episode, episodes[torch.randperm(len(episodes), generator=generator)[:count]])


@torch.no_grad()
def _judge(model: FusedPPO, lessons: Demonstrations, held: Tensor, taught: int) -> CloneReport:
    guesses, likelihoods, order = [], [], []
    for rows in _batches(model, lessons, held, RENDER_BATCH, torch.Generator().manual_seed(0)):
        distribution = _distribution(model, lessons.select(rows))
        order.append(rows)
        guesses.append(distribution.mode().cpu())
        likelihoods.append(distribution.log_prob(lessons.actions[rows].to(model.device)).cpu())
    judged = torch.cat(order)
    actions = lessons.actions[judged]
    right = _as_good(lessons, judged, torch.cat(guesses))
    counts = actions.bincount()
    majority = _as_good(lessons, judged, counts.argmax().expand(len(judged)))
    names = META_ACTIONS if len(counts) <= len(META_ACTIONS) else tuple(str(number) for number in range(len(counts)))
    recall = {names[number]: float(right[actions == number].float().mean()) for number in counts.nonzero().flatten().tolist()}
    shares = float(right.float().mean()), float(majority.float().mean())
    return CloneReport(taught, len(held), *shares, -float(torch.cat(likelihoods).mean()), recall)


def _as_good(taught: Demonstrations, rows: Tensor, chosen: Tensor) -> Tensor:
    """Whether actions (N,) are the teacher's in those decisions, or nearly as good in his own eyes, bool (N,)."""
    if taught.chances is None:
        return chosen == taught.actions[rows]
    chances = taught.chances[rows].cpu()
    return chances.gather(1, chosen[:, None])[:, 0] >= NEARLY * chances.amax(1)


def _on(observations: dict[str, Tensor], device: torch.device) -> Any:
    if WHOLE in observations:
        return observations[WHOLE].to(device)
    return {name: value.to(device) for name, value in observations.items()}
