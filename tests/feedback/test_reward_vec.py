"""The learned reward for PPO: what is paid and logged, and that a constant pays neither for ending early nor for idling."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import VecEnv

from envs.sb3 import make_sb3_vec
from feedback.hazard import Hazard
from feedback.reward_model import Answers, RewardConfig, RewardModel, RewardNet
from feedback.reward_vec import RewardError, RewardVecEnv
from feedback.windows import WindowConfig, feature_names
from sensors.errors import ConfigError


def untrained(scale: float = 1.0, hazard: bool = False) -> RewardModel:
    config, width = RewardConfig(hidden=4), len(feature_names(WindowConfig()))
    generator = torch.Generator().manual_seed(0)
    net = RewardNet(width, 4, 3, generator)
    torch.nn.init.constant_(net.ended, -0.7)
    net.requires_grad_(False)
    reference = scale * torch.randn(64, width, generator=generator)
    answers = Answers(takeover_weight=0.5 if hazard else 0.0)
    return RewardModel(config, net, reference, answers, Hazard(width, 4, generator).requires_grad_(False) if hazard else None)


class Shifted:
    """A reward model whose every reward is larger by a constant."""

    def __init__(self, model: Any, offset: float) -> None:
        self.model, self.offset = model, offset

    def reward(self, *transition: Any) -> torch.Tensor:
        return self.model.reward(*transition) + self.offset  # type: ignore[no-any-return]

    def after_the_end(self, scene: Any) -> torch.Tensor:
        return self.model.after_the_end(scene) + self.offset  # type: ignore[no-any-return]


class Chain(VecEnv):
    """Worlds that follow given plans: after so many steps each episode ends truly or by the clock; its scene is a step number."""

    def __init__(self, plans: list[list[tuple[int, bool]]]) -> None:
        super().__init__(len(plans), spaces.Box(-1, 1, (1,)), spaces.Discrete(2))
        self.plans, self.transition, self._place, self._step = plans, None, [0] * len(plans), [0] * len(plans)

    def reset(self) -> Any:
        return np.zeros((self.num_envs, 1), np.float32)

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        dones, infos, ended, scenes = np.zeros(self.num_envs, bool), [{} for _ in range(self.num_envs)], [], []
        for world, plan in enumerate(self.plans):
            length, true_end = plan[self._place[world] % len(plan)]
            scenes.append(float(100 * self._place[world] + self._step[world]))
            self._step[world] += 1
            dones[world] = self._step[world] == length
            ended.append(bool(dones[world]) and true_end)
            if dones[world]:
                infos[world]["TimeLimit.truncated"] = not true_end
                infos[world]["terminal_observation"] = np.zeros(1, np.float32)
                self._place[world], self._step[world] = self._place[world] + 1, 0
        scene = SimpleNamespace(number=torch.tensor(scenes), episode_seed=torch.zeros(self.num_envs), step=torch.tensor(scenes))
        self.transition = SimpleNamespace(scene=scene, actions=None, next_scene=scene, terminated=torch.tensor(ended))
        return np.zeros((self.num_envs, 1), np.float32), np.full(self.num_envs, 2.0, np.float32), dones, infos

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, *args: Any, **kwargs: Any) -> list[Any]:
        return []

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class Wavy:
    """A made-up reward of the step number."""

    def reward(self, scene: Any, *_: Any) -> torch.Tensor:
        return torch.sin(scene.number)

    def after_the_end(self, scene: Any) -> torch.Tensor:
        return torch.cos(scene.number)


def returns(plans: list[list[tuple[int, bool]]], model: Any, gamma: float, value_at_timeout: float, steps: int = 40) -> np.ndarray:
    """Discounted returns from every state as SB3 counts them: a time limit adds gamma times the value of the state cut off there."""
    env = RewardVecEnv(Chain(plans), model, gamma)
    env.reset()
    rewards, ends = [], []
    for _ in range(steps):
        _, reward, done, infos = env.step(np.zeros(env.num_envs))
        late = np.asarray([info.get("TimeLimit.truncated", False) for info in infos])
        rewards.append(reward.astype(np.float64) + late * gamma * value_at_timeout)
        ends.append(done)
    out, later = np.zeros((steps, env.num_envs)), np.full(env.num_envs, value_at_timeout)
    for step in reversed(range(steps)):
        later = rewards[step] + gamma * later * ~ends[step]
        out[step] = later
    return out


plans = st.lists(st.lists(st.tuples(st.integers(1, 7), st.booleans()), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=40, deadline=None)
@given(plans=plans, offset=st.floats(-3, 3), gamma=st.floats(0.0, 0.99))
def test_a_constant_adds_the_same_to_every_return(plans: list[list[tuple[int, bool]]], offset: float, gamma: float) -> None:
    shift = offset / (1.0 - gamma)
    plain = returns(plans, Wavy(), gamma, value_at_timeout=0.3)
    shifted = returns(plans, Shifted(Wavy(), offset), gamma, value_at_timeout=0.3 + shift)
    assert np.allclose(shifted - plain, shift, rtol=1e-4, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(plans=plans, offset=st.floats(-3, 3), gamma=st.floats(0.0, 0.99), horizon=st.sampled_from([None, 7]))
def test_centred_rewards_do_not_know_a_constant(plans: Any, offset: float, gamma: float, horizon: int | None) -> None:
    def paid(model: Any) -> np.ndarray:
        env = RewardVecEnv(Chain(plans), model, gamma, horizon, centred=True)  # type: ignore[arg-type]
        env.reset()
        return np.stack([env.step(np.zeros(len(plans)))[1] for _ in range(12)])

    plain, shifted = paid(Wavy()), paid(Shifted(Wavy(), offset))
    assert np.allclose(plain, shifted, rtol=1e-4, atol=1e-4)
    assert plain[0].mean() == pytest.approx(0.0, abs=1e-6) or any(end for plan in plans for _, end in plan)


def test_true_end_pays_for_ever_and_a_time_limit_does_not() -> None:
    gamma = 0.9
    env = RewardVecEnv(Chain([[(2, True)], [(2, False)]]), Wavy(), gamma)  # type: ignore[arg-type]
    env.reset()
    first = env.step(np.zeros(2))[1]
    second = env.step(np.zeros(2))[1]
    assert first.tolist() == pytest.approx([0.0, 0.0])
    assert second.tolist() == pytest.approx([np.sin(1) + 9.0 * np.cos(1), np.sin(1)])


@settings(max_examples=40, deadline=None)
@given(ends=st.lists(st.integers(1, 7), min_size=1, max_size=4), offset=st.floats(-3, 3), gamma=st.sampled_from([0.5, 0.9, 1.0]))
def test_over_a_fixed_horizon_a_constant_adds_what_the_time_alone_says(ends: list[int], offset: float, gamma: float) -> None:
    horizon, steps = 7, 40
    plan = [[(end, end < horizon) for end in ends]]

    def returned(model: Any) -> tuple[np.ndarray, list[int]]:
        env = RewardVecEnv(Chain(plan), model, gamma, horizon)  # type: ignore[arg-type]
        env.reset()
        stepped = [env.step(np.zeros(1)) for _ in range(steps)]
        assert not any(step[3][0].get("TimeLimit.truncated") for step in stepped), "nothing comes after the horizon"
        out, gone, later, since = np.zeros(steps), [], 0.0, 0
        for place in reversed(range(steps)):
            later = float(stepped[place][1][0]) + gamma * later * (not stepped[place][2][0])
            out[place] = later
        for step in stepped:
            gone.append(since)
            since = 0 if step[2][0] else since + 1
        whole = max(place for place in range(steps) if stepped[place][2][0]) + 1  # the last episode is cut off by the test
        return out[:whole], gone[:whole]

    (plain, gone), (shifted, _) = returned(Wavy()), returned(Shifted(Wavy(), offset))
    told = [offset * sum(gamma**k for k in range(horizon - since)) for since in gone]
    assert np.allclose(shifted - plain, told, rtol=1e-4, atol=1e-3)


def test_world_reward_is_only_logged() -> None:
    env = RewardVecEnv(Chain([[(3, True)]]), Wavy(), 0.9)  # type: ignore[arg-type]
    env.reset()
    seen = [env.step(np.zeros(1)) for _ in range(3)]
    assert [step[3][0]["world_reward"] for step in seen] == [2.0] * 3
    assert [step[3][0]["learned_reward"] for step in seen] == pytest.approx([0.0, np.sin(1), np.sin(2)])
    assert "world_return" not in seen[1][3][0]
    assert seen[2][3][0]["world_return"] == pytest.approx(6.0)
    assert seen[2][3][0]["learned_return"] == pytest.approx(np.sin(1) + np.sin(2))


@pytest.mark.parametrize("hazard", [False, True])
def test_pays_what_the_model_says_of_the_transition_in_real_traffic(hazard: bool) -> None:
    model, gamma = untrained(hazard=hazard), 0.95
    venv = make_sb3_vec("highway-fast-v0", num_envs=8, seed=3)
    env = RewardVecEnv(venv, model, gamma)
    env.reset()
    crashes = 0
    for _ in range(12):
        _, rewards, dones, infos = env.step(np.full(8, 3))
        step = venv.transition
        assert step is not None
        plain = model.reward(step.scene, step.actions, step.next_scene, step.terminated)
        later = gamma / (1 - gamma) * model.absorbing_reward
        assert rewards.tolist() == pytest.approx((plain + later * step.terminated).tolist(), rel=1e-4)
        assert all(("terminal_observation" in info) == done for info, done in zip(infos, dones, strict=True))
        crashes += int(step.terminated.sum())
    assert crashes > 0


def test_state_comes_back_with_the_running_returns() -> None:
    def follow(env: RewardVecEnv, steps: int) -> list[tuple[list[float], list[Any]]]:
        stepped = [env.step(np.full(4, 3)) for _ in range(steps)]
        return [(step[1].tolist(), [info.get("learned_return") for info in step[3]]) for step in stepped]

    one, other = (RewardVecEnv(make_sb3_vec("highway-fast-v0", num_envs=4, seed=1), untrained(), 0.9, centred=True) for _ in range(2))
    one.reset()
    follow(one, 2)
    state = one.state()
    expected = follow(one, 8)
    other.reset()
    other.load_state(state)
    assert follow(other, 8) == expected
    assert any(value is not None for _, values in expected for value in values)


def test_a_reward_that_is_not_a_number_is_one_clear_error() -> None:
    model = untrained()
    with torch.no_grad():
        model.net.ensemble.line[0, 0] = torch.nan
    env = RewardVecEnv(make_sb3_vec("highway-fast-v0", num_envs=2, seed=1), model, 0.9)
    env.reset()
    with pytest.raises(RewardError, match="2 of 2 rewards are not finite, first in world 0"):
        env.step(np.zeros(2, np.int64))


def test_wrong_discount_and_foreign_environments_are_refused() -> None:
    chain = Chain([[(1, True)]])
    with pytest.raises(ConfigError, match=r"gamma is 1.0, expected .* in \[0, 1\)"):
        RewardVecEnv(chain, untrained(), 1.0)
    chain.agents = 2
    with pytest.raises(ConfigError, match="several agents"):
        RewardVecEnv(chain, untrained(), 0.9)
    del chain.transition
    with pytest.raises(ConfigError, match="without 'transition'"):
        RewardVecEnv(chain, untrained(), 0.9)


class Given:
    """Each world's own reward, ever the same."""

    def __init__(self, *rewards: float) -> None:
        self.rewards = torch.tensor(rewards)

    def reward(self, *_: Any) -> torch.Tensor:
        return self.rewards

    def after_the_end(self, scene: Any) -> torch.Tensor:
        return torch.zeros_like(self.rewards)


def test_processes_that_share_worlds_take_off_what_they_agreed_on() -> None:
    """Each alone would take off the mean of its own worlds, and two processes would not learn what one learns."""
    plan, handed_in = [[(3, False)]], []

    def agreed(mean: float) -> float:
        handed_in.append(mean)
        return 2.0

    whole = RewardVecEnv(Chain(plan * 2), Given(1.0, 3.0), 0.9, centred=True)  # type: ignore[arg-type]
    parts = [RewardVecEnv(Chain(plan), Given(reward), 0.9, centred=True, agreed=agreed) for reward in (1.0, 3.0)]  # type: ignore[arg-type]
    for env in (whole, *parts):
        env.reset()
    for _ in range(4):
        apart = np.concatenate([env.step(np.zeros(1))[1] for env in parts])
        assert np.array_equal(whole.step(np.zeros(2))[1], apart)
    assert handed_in == [1.0, 3.0]  # asked for once, not at every step
