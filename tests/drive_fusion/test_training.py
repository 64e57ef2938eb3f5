"""Training runs: folders, resume, stops, refusals."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from drive_fusion import training
from drive_fusion.checkpoint import CheckpointError
from drive_fusion.ppo import FusedPPO, RewardFault
from drive_fusion.rewards import CrashPenalty, ScriptedReward
from drive_fusion.training import TrainConfig, train
from envs.sb3 import make_sb3_vec
from sensors.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(study=tmp_path, rig="none", num_envs=4, n_steps=8, batch=16, epochs=2, steps=64, device="cpu", threads=1, seed=5)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return FusedPPO.load(folder / "checkpoints" / "last", device="cpu").policy.state_dict()


def assert_equal_runs(left: Path, right: Path) -> None:
    for (name, mine), theirs in zip(weights(left).items(), weights(right).values(), strict=True):
        assert torch.equal(mine, theirs), name


def test_a_run_leaves_its_config_checkpoint_and_curves(config):
    folder = train(config)
    assert folder == config.study / "runs" / "ppo"
    assert json.loads((folder / "config.json").read_text())["gamma"] == config.gamma
    assert FusedPPO.load(folder / "checkpoints" / "last", device="cpu").num_timesteps == 64
    assert list((folder / "tensorboard").glob("events.*"))


def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(config, monkeypatch):
    straight = train(replace(config, run="straight", steps=96))
    environment = training.environment
    stops = iter([True])

    def interrupting(settings: TrainConfig):
        venv = environment(settings)
        step = venv.step_wait

        def step_wait():
            if venv.outcome is not None and next(stops, False):
                signal.raise_signal(signal.SIGINT)
            return step()

        venv.step_wait = step_wait
        return venv

    monkeypatch.setattr(training, "environment", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(replace(config, run="stopped", steps=96))
    stopped = config.study / "runs" / "stopped"
    assert FusedPPO.load(stopped / "checkpoints" / "last", device="cpu").num_timesteps == 32
    assert_equal_runs(straight, train(replace(config, run="stopped", steps=96, resume=True)))


def test_a_finished_run_can_be_taken_further(config):
    straight = train(replace(config, run="straight", steps=96))
    train(replace(config, run="further", steps=64))
    assert_equal_runs(straight, train(replace(config, run="further", steps=96, resume=True)))


def test_a_learning_rate_that_is_annealed_falls_to_nothing_and_a_resumed_run_goes_on_with_it(config, monkeypatch):
    rates: list[float] = []
    seen = FusedPPO.train

    def noting(model: FusedPPO) -> None:
        seen(model)
        rates.append(model.policy.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(FusedPPO, "train", noting)
    annealed = replace(config, lr_annealed=True, lr=1e-3)
    straight = train(replace(annealed, run="straight"))
    assert rates == pytest.approx([5e-4, 0.0])
    train(replace(annealed, run="half"), lambda model: False, points=2)
    assert rates[2:] == pytest.approx([5e-4])
    assert_equal_runs(straight, train(replace(annealed, run="half", resume=True)))
    train(replace(config, run="steady"))
    assert rates[-2:] == [config.lr, config.lr]


def test_whoever_watches_is_shown_the_learner_between_updates_and_may_end_the_run(config):
    shown: list[tuple[int, int]] = []

    def watch(model: FusedPPO) -> bool:
        shown.append((model.num_timesteps, model._n_updates))
        return len(shown) < 3

    folder = train(replace(config, steps=160), watch, points=5)
    assert shown == [(32, 2), (64, 4), (96, 6)]
    assert FusedPPO.load(folder / "checkpoints" / "last", device="cpu").num_timesteps == 96
    shown.clear()
    train(replace(config, run="all"), lambda model: watch(model) or True, points=2)
    assert shown == [(32, 2), (64, 4)]


def test_runs_are_not_overwritten_or_mixed_up(config):
    train(replace(config, steps=32))
    with pytest.raises(ConfigError, match="exists; go on with --resume"):
        train(replace(config, steps=32))
    with pytest.raises(ConfigError, match=r"other settings \(lr 0\.0003 -> 0\.001\)"):
        train(replace(config, lr=1e-3, resume=True))
    with pytest.raises(ConfigError, match="no checkpoint yet"):
        train(replace(config, run="new", resume=True))


def test_a_reward_that_is_no_number_ends_the_run_with_its_weights_kept(config, monkeypatch):
    environment = training.environment

    def poisoned(settings: TrainConfig):
        venv = environment(settings)
        step = venv.step_wait

        def step_wait():
            observation, rewards, dones, infos = step()
            return observation, np.full_like(rewards, np.nan) if model_steps() >= 32 else rewards, dones, infos

        count = iter(range(0, 10_000, settings.num_envs))
        model_steps = lambda: next(count)  # noqa: E731
        venv.step_wait = step_wait
        return venv

    monkeypatch.setattr(training, "environment", poisoned)
    with pytest.raises(RewardFault, match="expected a finite number"):
        train(config)
    kept = weights(config.folder)
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_a_crash_costs_its_penalty_once():
    plain, dear = (make_sb3_vec("highway-fast-v0", 4, seed=3) for _ in range(2))
    wrapped = CrashPenalty(dear, 5.0)
    plain.reset(), wrapped.reset()
    crashes = 0
    for _ in range(20):
        _, rewards, dones, _ = plain.step(np.full(4, 3))
        _, paid, _, infos = wrapped.step(np.full(4, 3))
        crashed = (plain.transition.next_scene.crashed[:, 0] & plain.transition.terminated).numpy()
        assert np.allclose(paid, rewards - 5.0 * crashed)
        assert [info["world_reward"] for info in infos] == pytest.approx(rewards.tolist())
        crashes += int(crashed.sum())
    assert crashes > 0


def test_the_critics_warm_up_leaves_the_policy_alone(config):
    model = training.learner(replace(config, critic_warmup=32))
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(32)
    changed = {name for name, tensor in model.policy.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith(("value_net", "mlp_extractor.value_net")) for name in changed)
    model.learn(32, reset_num_timesteps=False)
    assert not torch.equal(model.policy.action_net.weight, before["action_net.weight"])


def test_a_warm_start_is_the_first_policy(config):
    first = train(replace(config, run="first"))
    warm = training.learner(replace(config, warm_start=first / "checkpoints" / "last", seed=6))
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, warm.policy.state_dict()[name]), name
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        training.learner(replace(config, warm_start=config.study / "nothing"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 24}, "a multiple of batch 24"),
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"run": "../up"}, "a plain name"),
        ({"steps": 0}, "steps is 0, expected 1 or more"),
        ({"lr": 0.0}, "must be above 0"),
        ({"reward": Path("x"), "crash_penalty": 1.0}, "belongs to the world's own reward"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **changes)


def test_the_scripted_reward_is_what_its_terms_say():
    plain, scripted = (make_sb3_vec("highway-fast-v0", 6, seed=3) for _ in range(2))
    wrapped = CrashPenalty(ScriptedReward(scripted), 20.0)
    plain.reset(), wrapped.reset()
    crashes = 0
    for step in range(16):
        actions = np.full(6, 3 if step % 4 else 0)
        _, rewards, dones, _ = plain.step(actions)
        _, paid, _, infos = wrapped.step(actions)
        assert [info["world_reward"] for info in infos] == pytest.approx(rewards.tolist())
        before, after = plain.transition.scene, plain.transition.next_scene
        crashed = after.crashed[:, 0].numpy()
        gone_m = (after.position_m - before.position_m)[:, 0, 0].numpy()  # this highway runs along x
        without = 1.0 + (gone_m - 20.0) / 10.0 - 30.0 * crashed
        lane = lambda scene: np.round(scene.position_m[:, 0, 1].numpy() / 4.0)  # noqa: E731
        terms = paid - without
        possible = np.array([0.0, -0.1, -0.5, -0.6])
        nearest = possible[np.abs(terms[:, None] - possible).argmin(1)]
        assert np.allclose(terms, nearest, atol=2e-3)
        settled = lane(before) == lane(after)
        assert not np.any(np.isin(nearest[settled], [-0.1, -0.6]))
        crashes += int(crashed.sum())
    assert crashes > 0


def test_a_learned_reward_takes_no_other_beside_it(tmp_path):
    with pytest.raises(ConfigError, match="its own opinion of crashes"):
        TrainConfig(reward=tmp_path, scripted_reward=True)


def test_a_world_whose_own_observation_has_parts_can_be_learned_from(config, monkeypatch):
    """Parking's shows where the ego is and where it shall be."""

    class Parts(gymnasium.Env):
        observation_space = spaces.Dict({"observation": spaces.Box(-1.0, 1.0, (6,)), "desired_goal": spaces.Box(-1.0, 1.0, (6,))})
        action_space = spaces.Box(-1.0, 1.0, (2,))

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.0, False, False, {}

    monkeypatch.setattr(training, "environment", lambda settings: make_vec_env(Parts, settings.num_envs))
    assert training.learner(config).learn(32).num_timesteps == 32
