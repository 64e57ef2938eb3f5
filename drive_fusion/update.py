"""PPO's update on a rollout: the clipped surrogate of Schulman et al. 2017, with SB3's settings, statistics and early stop."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.utils import explained_variance
from torch import Tensor, nn

from drive_fusion.distributed import Group
from drive_fusion.policy import State, unrolled, unrolled_with_map
from drive_fusion.rollout import Minibatch, Rollout

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO

CRITIC_WARMUP_EPOCHS = 30
CRITIC_WARMUP_LR = 2e-3


def update(learner: FusedPPO) -> None:
    """Learn from the rollout that was collected last."""
    policy, rollout = learner.policy, learner.rollout_buffer
    policy.set_training_mode(True)
    learner._update_learning_rate(policy.optimizer)
    clip = learner.clip_range(learner._current_progress_remaining)  # type: ignore[operator]
    clip_values = None if learner.clip_range_vf is None else learner.clip_range_vf(learner._current_progress_remaining)  # type: ignore[operator]
    told: dict[str, list[Tensor]] = defaultdict(list)
    for epoch in range(learner.n_epochs):
        told["approx_kl"].clear()
        for part in rollout.get(learner.batch_size):
            loss, kl = _loss(learner, part, clip, clip_values, told)  # type: ignore[arg-type]
            if learner.target_kl is not None and float(kl) > 1.5 * learner.target_kl:
                if learner.verbose >= 1:
                    print(f"Early stopping at step {epoch} due to reaching max kl: {float(kl):.2f}")
                break
            policy.optimizer.zero_grad()
            if loss is not None:
                loss.backward()  # type: ignore[no-untyped-call]
            learner.group.sum_gradients(policy.parameters())
            nn.utils.clip_grad_norm_(policy.parameters(), learner.max_grad_norm)
            policy.optimizer.step()
            if learner.tutor is not None:
                learner.group.sum_gradients(learner.tutor.heads.parameters())
                learner.tutor.step(learner.max_grad_norm)
        else:
            learner._n_updates += 1
            continue
        learner._n_updates += 1
        break
    _log(learner, told, clip, clip_values)


def state_of(learner: FusedPPO, part: Minibatch) -> State:
    """What is remembered before each chunk: as kept, or after its burn-in by the present weights."""
    state = part.stretch.state
    if part.before is None:
        return state
    with torch.no_grad(), learner.autocast():
        _, warm = unrolled(learner.policy, part.before.observations, part.before.state, part.before.starts)
    return {name: kept.index_copy(0, part.warmed, warm[name].to(kept.dtype)) for name, kept in state.items()}


def features(learner: FusedPPO, part: Minibatch) -> Tensor:
    """What the eyes make of a minibatch, (N, F)."""
    stretch = part.stretch
    return unrolled(learner.policy, stretch.observations, state_of(learner, part), stretch.starts)[0]


def with_map(learner: FusedPPO, part: Minibatch) -> tuple[Tensor, Tensor]:
    """What the eyes make of a minibatch, (N, F), and the maps that they made, (N, W, X, Y)."""
    stretch = part.stretch
    return unrolled_with_map(learner.policy, stretch.observations, state_of(learner, part), stretch.starts)


def _loss(
    learner: FusedPPO, part: Minibatch, clip: float, clip_values: float | None, told: dict[str, list[Tensor]]
) -> tuple[Tensor | None, Tensor]:
    """The loss of a minibatch (None where none of it is this process's), and how far the policy has moved, in all processes."""
    group, count = learner.group, part.count
    advantages = part.advantages
    if learner.normalize_advantage and count > 1:
        advantages = _normalised(advantages, count, group)
    loss, moved = None, torch.zeros((), device=learner.device)
    if len(advantages):
        with learner.autocast():
            seen, fused = (features(learner, part), None) if learner.tutor is None else with_map(learner, part)
            values, log_prob, entropy = learner.judge(learner.policy, seen, part.actions)
            values, log_prob = values.float(), log_prob.float()
            ratio = torch.exp(log_prob - part.old_log_prob)
            policy_loss = -_mean(surrogate(advantages, ratio, clip), count)
            if clip_values is not None:
                values = part.old_values + (values - part.old_values).clamp(-clip_values, clip_values)
            value_loss = _squared(part.returns, values, count)
            entropy_loss = _mean(log_prob if entropy is None else -entropy.float(), count)
            loss = policy_loss + learner.ent_coef * entropy_loss + learner.vf_coef * value_loss
            loss = _with_terms(learner, loss, seen, fused, part, told)
        with torch.no_grad():
            log_ratio = log_prob - part.old_log_prob
            moved = _mean((torch.exp(log_ratio) - 1) - log_ratio, count)
            told["policy_gradient_loss"].append(policy_loss.detach())
            told["value_loss"].append(value_loss.detach())
            told["entropy_loss"].append(entropy_loss.detach())
            told["clip_fraction"].append(_mean(((ratio - 1).abs() > clip).float(), count))
            told["loss"].append(loss.detach())
    moved = group.sum(moved)
    told["approx_kl"].append(moved)
    return loss, moved


def surrogate(advantages: Tensor, ratio: Tensor, clip: float) -> Tensor:
    """PPO's clipped surrogate of each decision (Schulman et al. 2017, equation 7), (N,).

    Args:
        advantages: How much better each turned out than was expected, (N,).
        ratio: How much likelier each has become since it was driven, (N,).
        clip: Changes of more than this share earn nothing further.
    """
    return torch.min(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip))


def _with_terms(
    learner: FusedPPO, loss: Tensor, seen: Tensor, fused: Tensor | None, part: Minibatch, told: dict[str, list[Tensor]]
) -> Tensor:
    """Add what the auxiliary lessons and the distance from the anchor cost."""
    if learner.tutor is not None and fused is not None:
        lessons = learner.tutor.loss(seen.float(), fused.float(), part)
        told["auxiliary_loss"].append(lessons.detach())
        loss = loss + learner.auxiliary_weight_now * lessons
    if learner.anchor is not None:
        apart = learner.anchor.distance(learner.policy, seen, part)
        told["anchor_kl"].append(apart.detach())
        loss = loss + learner.anchor_weight_now * apart
    return loss


def _mean(numbers: Tensor, count: int) -> Tensor:
    """This process's share of a mean over ``count`` numbers in all processes."""
    return numbers.mean() if len(numbers) == count else numbers.sum() / count


def _squared(wanted: Tensor, got: Tensor, count: int) -> Tensor:
    """This process's share of a mean squared error."""
    return nn.functional.mse_loss(wanted, got) if len(wanted) == count else ((wanted - got) ** 2).sum() / count


def _normalised(advantages: Tensor, count: int, group: Group) -> Tensor:
    if group.size == 1:
        return (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    mean = group.sum(advantages.double().sum()) / count
    deviation = (group.sum(((advantages.double() - mean) ** 2).sum()) / (count - 1)).sqrt()
    return ((advantages.double() - mean) / (deviation + 1e-8)).float()


def _log(learner: FusedPPO, told: dict[str, list[Tensor]], clip: float, clip_values: float | None) -> None:
    """SB3's figures under SB3's names; numbers leave the device here, once."""
    rollout, record = learner.rollout_buffer, learner.logger.record
    for name in ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "auxiliary_loss", "anchor_kl"):
        if told[name]:
            record(f"train/{name}", float(torch.stack(told[name]).mean()))
    if told["loss"]:
        record("train/loss", float(told["loss"][-1]))
    values, returns = (numbers.flatten().cpu().numpy() for numbers in (rollout.values, rollout.returns))  # type: ignore[attr-defined]
    record("train/explained_variance", float(explained_variance(values, returns)))
    if hasattr(learner.policy, "log_std"):
        record("train/std", torch.exp(learner.policy.log_std).mean().item())  # type: ignore[arg-type]
    record("train/n_updates", learner._n_updates, exclude="tensorboard")
    record("train/clip_range", clip)
    if clip_values is not None:
        record("train/clip_range_vf", clip_values)
    for name, there, weight in (
        ("auxiliary", learner.tutor is not None, learner.auxiliary_weight_now),
        ("anchor", learner.anchor is not None, learner.anchor_weight_now),
    ):
        if there:
            record(f"train/{name}_weight", weight)


def fit_critic(learner: FusedPPO) -> None:
    """Fit the critic's own layers to the rollout. What they look at stands still: computed once, it makes many passes cheap."""
    policy = learner.policy
    critic = [*policy.mlp_extractor.value_net.parameters(), *policy.value_net.parameters()]
    optimiser = torch.optim.Adam(critic, lr=CRITIC_WARMUP_LR)
    policy.set_training_mode(False)
    with torch.no_grad():
        rollout = _seen_by_critic(learner)
    losses = []
    for _ in range(CRITIC_WARMUP_EPOCHS):
        for seen, returns, count in rollout:
            loss = _squared(returns, policy.value_net(policy.mlp_extractor.forward_critic(seen)).flatten(), count)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            learner.group.sum_gradients(critic)
            optimiser.step()
        losses.append(loss.item())
    learner.logger.record("train/critic_warmup_loss", losses[-1])


def _seen_by_critic(learner: FusedPPO) -> list[tuple[Tensor, Tensor, int]]:
    """Features, returns and counts of the rollout's minibatches."""
    policy, parts = learner.policy, learner.rollout_buffer.get(learner.batch_size)
    if isinstance(learner.rollout_buffer, Rollout):
        return [(features(learner, part), part.returns, part.count) for part in parts]  # type: ignore[arg-type,attr-defined,misc]
    eyes = policy.vf_features_extractor
    return [(BaseModel.extract_features(policy, part.observations, eyes), part.returns, len(part.returns)) for part in parts]
