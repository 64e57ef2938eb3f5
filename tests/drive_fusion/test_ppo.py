"""FusedPPO: SB3's expectations, exact resume, and refusals."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.env_util import make_vec_env

from drive_fusion.checkpoint import CheckpointError
from drive_fusion.policy import FusedPolicy
from drive_fusion.ppo import FusedPPO, RewardFault
from sensors.errors import ConfigError, SensorFault

STEPS = 32
SETTINGS: dict[str, Any] = {
    "rig": "micro",
    "n_steps": 8,
    "batch_size": 16,
    "n_epochs": 2,
    "seed": 3,
    "device": "cpu",
    "learning_rate": 1e-3,
}


def weights(model: PPO) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def assert_equal_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


def test_same_seed_twice_gives_equal_weights(make_env):
    first = FusedPPO(env=make_env(), **SETTINGS).learn(STEPS)
    second = FusedPPO(env=make_env(), **SETTINGS).learn(STEPS)
    assert_equal_weights(weights(first), weights(second))
    other = FusedPPO(env=make_env(), **{**SETTINGS, "seed": 4}).learn(STEPS)
    assert any(not torch.equal(tensor, weights(other)[name]) for name, tensor in weights(first).items())


def test_resume_is_bit_equal_to_going_on(make_env, tmp_path):
    straight = FusedPPO(env=make_env(), **SETTINGS).learn(2 * STEPS)
    FusedPPO(env=make_env(), **SETTINGS).learn(STEPS).save(tmp_path / "half")
    torch.rand(5), np.random.rand(5)  # what others did to the generators in between
    resumed = FusedPPO.load(tmp_path / "half", env=make_env(seed=99), device="cpu")
    resumed.learn(STEPS, reset_num_timesteps=False)
    assert resumed.num_timesteps == straight.num_timesteps == 2 * STEPS
    assert_equal_weights(weights(straight), weights(resumed))
    for mine, theirs in zip(straight.policy.optimizer.state.values(), resumed.policy.optimizer.state.values(), strict=True):
        assert torch.equal(mine["exp_avg_sq"], theirs["exp_avg_sq"])


def test_round_trip_predicts_the_same_and_leaves_generators_alone(make_env, tmp_path):
    model = FusedPPO(env=make_env(), **SETTINGS).learn(STEPS)
    model.save(tmp_path / "model")
    before = torch.get_rng_state()
    again = FusedPPO.load(tmp_path / "model", device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    observation = make_env().reset()
    assert np.array_equal(model.predict(observation, deterministic=True)[0], again.predict(observation, deterministic=True)[0])
    assert again.gamma == model.gamma and again.policy_kwargs["features_extractor_kwargs"]["rig"] == "micro"


def test_checkpoint_callback_saves_our_format(make_env, tmp_path):
    model = FusedPPO(env=make_env(), **SETTINGS)
    model.learn(STEPS, callback=CheckpointCallback(save_freq=4, save_path=str(tmp_path)))
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["rl_model_16_steps", "rl_model_32_steps"]
    assert FusedPPO.load(tmp_path / "rl_model_16_steps.zip", device="cpu").num_timesteps == 16


def test_checkpoint_in_the_middle_of_a_rollout_starts_episodes_anew(make_env, tmp_path):
    FusedPPO(env=make_env(), **SETTINGS).learn(STEPS, callback=CheckpointCallback(save_freq=4, save_path=str(tmp_path)))
    resumed = FusedPPO.load(tmp_path / "rl_model_16_steps", env=make_env(), device="cpu")
    assert resumed._last_obs is None
    resumed.learn(STEPS, reset_num_timesteps=False)
    assert resumed.num_timesteps == 16 + STEPS


def test_foreign_zip_is_refused(make_env, tmp_path):
    env = make_env()
    PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu").save(tmp_path / "foreign.zip")
    with pytest.raises(CheckpointError, match="a zip, as Stable-Baselines3 saves"):
        FusedPPO.load(tmp_path / "foreign.zip")


def test_a_stream_holds_the_same_checkpoint(make_env):
    straight = FusedPPO(env=make_env(), **SETTINGS).learn(2 * STEPS)
    stream = io.BytesIO()
    FusedPPO(env=make_env(), **SETTINGS).learn(STEPS).save(stream)
    stream.seek(0)
    resumed = FusedPPO.load(stream, env=make_env(), device="cpu").learn(STEPS, reset_num_timesteps=False)
    assert_equal_weights(weights(straight), weights(resumed))


def test_a_damaged_or_foreign_stream_is_refused():
    stream = io.BytesIO()
    model = FusedPPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    model.save(stream)
    whole = stream.getvalue()
    theirs = io.BytesIO()
    PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").save(theirs)
    squeezed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    g = np.random.default_rng(0)
    for spot in g.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[spot] ^= 0x55
        try:
            assert_equal_weights(weights(FusedPPO.load(io.BytesIO(changed), device="cpu")), weights(model))  # a byte that means nothing
        except CheckpointError:
            pass
    for data in (b"", whole[:1000], whole[: len(whole) // 2], theirs.getvalue(), squeezed.getvalue()):
        with pytest.raises(CheckpointError):
            FusedPPO.load(io.BytesIO(data), device="cpu")


def test_a_policy_alone_is_saved_and_loaded(make_env, tmp_path):
    model = FusedPPO(env=make_env(), **{**SETTINGS, "temporal": "gru"}).learn(STEPS)
    model.policy.save(tmp_path / "policy")
    before = torch.get_rng_state()
    again = FusedPolicy.load(tmp_path / "policy", device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    observation = make_env().reset()
    (mine, state), (theirs, other) = (policy.predict(observation, deterministic=True) for policy in (model.policy, again))
    assert np.array_equal(mine, theirs) and all(np.array_equal(left, right) for left, right in zip(state, other, strict=True))
    model.save(tmp_path / "whole")
    with pytest.raises(CheckpointError, match="holds no policy"):
        FusedPolicy.load(tmp_path / "whole")


def test_parameters_come_from_a_dictionary_or_a_checkpoint(make_env, tmp_path):
    model = FusedPPO(env=make_env(), **SETTINGS).learn(STEPS)
    model.save(tmp_path / "model")
    for given in (model.get_parameters(), tmp_path / "model", str(tmp_path / "model.zip")):
        other = FusedPPO(env=make_env(), **{**SETTINGS, "seed": 8})
        other.set_parameters(given)
        assert_equal_weights(weights(model), weights(other))


def test_arguments_are_left_out_and_kept_by_name(tmp_path):
    model = FusedPPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, gamma=0.5, verbose=1, device="cpu")
    model.save(tmp_path / "m", exclude=["verbose", "gamma"], include=["gamma"])
    again = FusedPPO.load(tmp_path / "m", device="cpu")
    assert (again.verbose, again.gamma, again.n_steps) == (0, 0.5, 8)
    with pytest.raises(ConfigError, match="gama"):
        model.save(tmp_path / "m", exclude=["gama"])


def test_another_environment_is_a_value_error_as_in_sb3(tmp_path):
    FusedPPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").save(tmp_path / "m")
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        FusedPPO.load(tmp_path / "m", env=make_vec_env("Pendulum-v1"))


def test_another_size_is_refused(make_env, tmp_path):
    FusedPPO(env=make_env(), **SETTINGS).save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="does not fit.*size mismatch") as refused:
        FusedPPO.load(tmp_path / "model", policy_kwargs={"net_arch": [32]} | _extractor("micro"), device="cpu")
    assert len(str(refused.value)) < 500 and "expected (" in str(refused.value)
    other = FusedPPO(env=make_env(), **{**SETTINGS, "temporal": "gru"})
    with pytest.raises(CheckpointError, match="does not fit as a warm start: .* another network's") as refused:
        other.copy_policy(tmp_path / "model")
    assert len(str(refused.value)) < 500


def _extractor(rig: str) -> dict[str, Any]:
    from drive_fusion.extractor import FusedExtractor

    return {"features_extractor_class": FusedExtractor, "features_extractor_kwargs": {"rig": rig}}


def test_missing_checkpoint_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        FusedPPO.load(tmp_path / "nothing")


def test_nan_in_a_frame_stops_before_the_update(make_env):
    env = make_env()
    model = FusedPPO(env=env, **SETTINGS).learn(STEPS)
    before = weights(model)
    env.poison = lambda observation, rewards: observation["lidar"].__setitem__((1, 0, 1, 2, 3), np.nan)
    with pytest.raises(SensorFault, match=r"lidar after .* steps: 1 of .* first at \(1, 0, 1, 2, 3\)"):
        model.learn(STEPS, reset_num_timesteps=False)
    assert_equal_weights(before, weights(model))


def test_nan_reward_stops_before_the_update(make_env):
    env = make_env()
    model = FusedPPO(env=env, **SETTINGS)
    before = weights(model)
    env.poison = lambda observation, rewards: rewards.__setitem__(2, np.nan)
    with pytest.raises(RewardFault, match="reward of world 2"):
        model.learn(STEPS)
    assert_equal_weights(before, weights(model))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error(make_env):
    with pytest.raises(ConfigError, match="0 usable GPUs"):
        FusedPPO(env=make_env(), **{**SETTINGS, "device": "cuda"})


def test_misspelt_device_is_an_error(make_env):
    with pytest.raises(ConfigError, match="did you mean 'cuda'"):
        FusedPPO(env=make_env(), **{**SETTINGS, "device": "cdua"})


def test_without_a_rig_it_is_plain_ppo_with_our_checkpoints(tmp_path):
    import gymnasium

    env = gymnasium.make("CartPole-v1")
    model = FusedPPO("MlpPolicy", env, n_steps=16, batch_size=16, device="cpu", seed=0).learn(32)
    model.save(tmp_path / "cartpole")
    again = FusedPPO.load(tmp_path / "cartpole", env=gymnasium.make("CartPole-v1"), device="cpu")
    assert_equal_weights(weights(model), weights(again))
    again.learn(16, reset_num_timesteps=False)
    assert again.num_timesteps == 48


def test_a_checkpoint_in_one_file_is_loaded_by_its_name(tmp_path):
    model = FusedPPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu", seed=1)
    for name in ("model.zip", "model.bin"):
        with (tmp_path / name).open("wb") as file:
            model.save(file)
        assert_equal_weights(weights(model), weights(FusedPPO.load(tmp_path / name, device="cpu")))
    whole = (tmp_path / "model.zip").read_bytes()
    (tmp_path / "model.zip").write_bytes(whole[:-40] + b"\xff" * 20 + whole[-20:])
    with pytest.raises(CheckpointError):
        FusedPPO.load(tmp_path / "model.zip", device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"temporal": "gru", "spatial": "graph"},
        {"temporal": "stack", "modality_dropout": 0.5},
        {"rollout_buffer_class": DictRolloutBuffer},  # SB3's own loop
    ],
    ids=str,
)
def test_what_dead_sensors_say_leaves_no_trace_in_what_is_learned(make_env, changes):
    """Camera 1, the lidar and the radar are dead in half of the worlds; also in the last observations of episodes that time ended."""

    def learned(garbage: float | None) -> dict[str, torch.Tensor]:
        def poison(observation: dict[str, np.ndarray], rewards: np.ndarray) -> None:
            observation["alive"][:2, [1, 3, 4]] = 0.0
            if garbage is not None:
                observation["lidar"][:2] = observation["radar"][:2] = observation["age"][:2, [1, 3, 4]] = garbage
                observation["camera"][:2, 1] = 255 - observation["camera"][:2, 1]

        env = make_env()
        env.poison = poison
        return weights(FusedPPO(env=env, **{**SETTINGS, **changes, "n_epochs": 1}).learn(2 * STEPS))

    plain = learned(None)
    for garbage in (float("nan"), float("-inf"), 3e38):
        assert_equal_weights(plain, learned(garbage))
