"""Rollouts: advantages by hand, whole chunks, truncated back-propagation, time limits seen with memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.callbacks import BaseCallback

from drive_fusion.kept import KeptFrames
from drive_fusion.policy import initial_state, judged
from drive_fusion.ppo import FusedPPO
from drive_fusion.rollout import advantages, ahead, chunk_length
from drive_fusion.update import features
from sensors.errors import ConfigError

SETTINGS: dict[str, Any] = {"rig": "micro", "n_steps": 8, "batch_size": 32, "n_epochs": 1, "seed": 3, "device": "cpu", "temporal": "gru"}


class Seen(BaseCallback):
    """Keeps what a rollout was made of."""

    def _on_training_start(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.first = {name: np.array(part) for name, part in self.model._last_obs.items()}

    def _on_step(self) -> bool:
        names = ("new_obs", "rewards", "dones", "infos", "actions")
        self.steps.append({name: self.locals[name] for name in names})
        return True


def collected(make_env, **changes: Any) -> tuple[FusedPPO, Seen]:
    """A learner after one rollout, its weights still those that acted."""
    model = FusedPPO(env=make_env(), **{**SETTINGS, **changes})
    model.train = lambda: None  # type: ignore[method-assign]
    seen = Seen()
    model.learn(model.n_steps * model.n_envs, callback=seen)
    return model, seen


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 4))
def test_advantages_are_the_sums_of_the_paper(seed, steps, worlds):
    draw = np.random.default_rng(seed)
    gamma, lam = draw.uniform(0.5, 1.0, 2)
    rewards, values = draw.normal(size=(2, steps, worlds))
    starts, last_dones = draw.random((steps, worlds)) < 0.3, draw.random(worlds) < 0.3
    last_values = draw.normal(size=worlds)
    expected = np.zeros((steps, worlds))
    for world in range(worlds):
        for first in range(steps):
            weight = 1.0
            for step in range(first, steps):
                over = last_dones[world] if step == steps - 1 else starts[step + 1, world]
                later = 0.0 if over else last_values[world] if step == steps - 1 else values[step + 1, world]
                expected[first, world] += weight * (rewards[step, world] + gamma * later - values[step, world])
                weight *= gamma * lam
                if over:
                    break
    floats = [torch.as_tensor(part).double() for part in (rewards, values, starts, last_values, last_dones)]
    assert np.allclose(advantages(*floats, gamma, lam), expected)


def test_a_time_limit_pays_the_value_of_the_last_state_seen_with_the_memory_of_its_episode(make_env):
    model, seen = collected(make_env, n_steps=16)
    policy, eyes = model.policy, model.policy.features_extractor
    torch.manual_seed(3)
    state, starts = initial_state(policy, 4), torch.ones(4, dtype=torch.bool)
    kept = KeptFrames(1, torch.device("cpu"))
    now, late = seen.first, 0
    for number, step in enumerate(seen.steps):
        shown = kept.seen({name: torch.as_tensor(part) for name, part in now.items()})
        with torch.no_grad():
            _, state = eyes.advance(shown, state, starts)
        expected = step["rewards"].copy()
        for world in np.flatnonzero(step["dones"]):
            if step["infos"][world]["TimeLimit.truncated"]:
                last = {name: torch.as_tensor(part)[None] for name, part in step["infos"][world]["terminal_observation"].items()}
                own = {name: part[world : world + 1] for name, part in state.items()}
                with torch.no_grad():
                    found, _ = eyes.advance(kept.seen(last), own, torch.zeros(1, dtype=torch.bool))
                    value = policy.value_net(policy.mlp_extractor.forward_critic(found))
                expected[world] += model.gamma * float(value)
                late += 1
        assert np.allclose(model.rollout_buffer.rewards[number].numpy(), expected, atol=1e-5)
        now, starts = step["new_obs"], torch.as_tensor(step["dones"])
    assert late > 0


@pytest.mark.parametrize(("chunk", "burn_in"), [(8, 4), (4, 2), (4, 0), (2, 4)])
def test_minibatches_are_whole_chunks_and_each_decision_once(make_env, chunk, burn_in):
    model, _ = collected(make_env, chunk=chunk, burn_in=burn_in)
    rollout = model.rollout_buffer
    mark = torch.arange(32.0).reshape(8, 4)
    rollout.returns = mark
    found = []
    for part in rollout.get(16):
        steps, worlds = (part.returns.reshape(chunk, -1) // 4).long(), (part.returns.reshape(chunk, -1) % 4).long()
        assert (steps[1:] == steps[:-1] + 1).all() and (worlds == worlds[0]).all() and (steps[0] % chunk == 0).all()
        assert part.count == len(part.returns) == 16
        found.append(part.returns)
    assert torch.equal(torch.cat(found).sort().values, torch.arange(32.0))


@pytest.mark.parametrize(("chunk", "burn_in"), [(8, 4), (4, 2), (4, 0), (2, 2)])
def test_before_the_first_step_an_update_sees_what_the_rollout_saw(make_env, chunk, burn_in):
    model, _ = collected(make_env, chunk=chunk, burn_in=burn_in)
    with torch.no_grad():
        for part in model.rollout_buffer.get(16):
            values, log_prob, _ = judged(model.policy, features(model, part), part.actions)
            assert torch.allclose(values, part.old_values, atol=1e-5)
            assert torch.allclose(log_prob, part.old_log_prob, atol=1e-5)


def by_hand(model: FusedPPO, seen: Seen, chunk: int) -> torch.Tensor:
    """The PPO loss of a whole rollout, decision by decision, gradients cut where chunks begin."""
    rollout, policy = model.rollout_buffer, model.policy
    kept = KeptFrames(1, torch.device("cpu"))
    state = initial_state(policy, 4)
    surrogate, errors, entropies = [], [], []
    now = seen.first
    normal = (rollout.advantages - rollout.advantages.mean()) / (rollout.advantages.std() + 1e-8)
    for number, step in enumerate(seen.steps):
        if number % chunk == 0:
            state = {name: part.detach() for name, part in state.items()}
        shown = kept.seen({name: torch.as_tensor(part) for name, part in now.items()})
        found, state = policy.features_extractor.advance(shown, state, rollout.episode_starts[number] > 0.5)
        values, log_prob, entropy = judged(policy, found, torch.as_tensor(step["actions"]))
        surrogate.append(normal[number] * (log_prob - rollout.log_probs[number]).exp())  # at the first step nothing is clipped
        errors.append((values - rollout.returns[number]) ** 2)
        entropies.append(entropy)
        now = step["new_obs"]
    mean = [torch.stack(part).mean() for part in (surrogate, errors, entropies)]
    return -mean[0] + model.vf_coef * mean[1] - model.ent_coef * mean[2]


@pytest.mark.parametrize(
    ("temporal", "chunk"), [("gru", 8), ("gru", 4), ("conv_gru", 8), ("conv_gru", 4), ("stack", 4), ("transformer", 8), ("transformer", 2)]
)
def test_an_update_by_chunks_equals_back_propagation_through_time(make_env, temporal, chunk):
    """The whole rollout's where a chunk is the rollout; else with gradients cut where chunks begin, which is less."""
    from collections import defaultdict

    from drive_fusion.update import _loss

    model, seen = collected(make_env, temporal=temporal, chunk=chunk, burn_in=2, ent_coef=0.01)
    model.policy.set_training_mode(True)
    expected = torch.autograd.grad(by_hand(model, seen, chunk), list(model.policy.parameters()), allow_unused=True)
    if chunk < 8:
        whole = torch.autograd.grad(by_hand(model, seen, 8), list(model.policy.parameters()), allow_unused=True)
        cut, uncut = (torch.cat([one.flatten() for one in each if one is not None]) for each in (expected, whole))
        assert (cut - uncut).norm() > 1e-4 * uncut.norm()
    loss, _ = _loss(model, next(iter(model.rollout_buffer.get(32))), 0.2, None, defaultdict(list))
    got = torch.autograd.grad(loss, list(model.policy.parameters()), allow_unused=True)
    memory = {name: mine for (name, _), mine in zip(model.policy.named_parameters(), got, strict=True) if "memory" in name}
    assert memory and all(mine.abs().max() > 0 for mine in memory.values() if mine is not None)
    for mine, theirs in zip(got, expected, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert torch.allclose(mine, theirs, atol=2e-5, rtol=1e-3)


def test_chunks_that_cannot_be_are_refused(make_env):
    assert (chunk_length(2048, None), chunk_length(24, None), chunk_length(6, None), chunk_length(20, 5)) == (16, 12, 6, 5)
    with pytest.raises(ConfigError, match="expected a divisor of n_steps 20"):
        chunk_length(20, 16)
    with pytest.raises(ConfigError, match="n_steps 34 has no divisor from 8 to 16"):
        chunk_length(34, None)
    with pytest.raises(ConfigError, match="batch_size 4 is less than a chunk of 8"):
        FusedPPO(env=make_env(), **{**SETTINGS, "batch_size": 4}).learn(32)


def test_what_is_made_ahead_comes_in_order_and_passes_errors_on():
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise ValueError("no more")

    found = ahead(broken())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


@pytest.mark.parametrize(
    ("spatial", "temporal"), [("concat", "gru"), ("hybrid", "conv_gru"), ("attention", "transformer"), ("sum", "none")]
)
def test_worlds_shared_out_among_threads_give_what_one_thread_gives(make_env, spatial, temporal):
    model, _ = collected(make_env, spatial=spatial, temporal=temporal)
    part = next(iter(model.rollout_buffer.get(32)))
    parameters = [*model.policy.features_extractor.parameters()]
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seen = features(model, part)
        found.append((seen.detach(), torch.autograd.grad(seen.square().sum(), parameters, allow_unused=True)))
    torch.set_num_threads(1)
    (one, one_back), (two, two_back) = found
    assert torch.allclose(one, two, atol=1e-5)
    for mine, theirs in zip(one_back, two_back, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-3)
