"""What Stable-Baselines3 expects of an algorithm, on plain environments and with eyes and memory."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

from drive_fusion.checkpoint import CheckpointError
from drive_fusion.ppo import FusedPPO
from envs.sb3 import make_sb3_vec
from sensors.errors import ConfigError, SensorFault
from sensors.presets import RIGS
from tests.drive_fusion.conftest import ToyVecEnv

PLAIN: dict[str, Any] = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "seed": 7, "device": "cpu"}
FUSED: dict[str, Any] = {"rig": "micro", "n_steps": 8, "batch_size": 16, "n_epochs": 2, "seed": 3, "device": "cpu"}


class Puzzle(gymnasium.Env[Any, Any]):
    """Any spaces; random observations, and a reward for an action above the middle."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]):
        self.observation_space, self.action_space = deepcopy(observation_space), action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.clock = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.clock += 1
        reward = float(np.mean(action) > 0)
        return self.observation_space.sample(), reward, self.clock == 5, self.clock == 9, {}


BOX = spaces.Box(-1.0, 1.0, (3,))
PUZZLES = {
    "discrete": ("MlpPolicy", BOX, spaces.Discrete(3)),
    "continuous": ("MlpPolicy", BOX, spaces.Box(-2.0, 2.0, (2,))),
    "multi-discrete": ("MlpPolicy", BOX, spaces.MultiDiscrete([2, 3])),
    "multi-binary": ("MlpPolicy", BOX, spaces.MultiBinary(3)),
    "numbers": ("MlpPolicy", spaces.Discrete(4), spaces.Discrete(2)),
    "images": ("CnnPolicy", spaces.Box(0, 255, (36, 36, 3), np.uint8), spaces.Discrete(2)),
    "dict": ("MultiInputPolicy", spaces.Dict({"a": BOX, "b": spaces.Discrete(2)}), spaces.Discrete(2)),
}


def puzzles(kind: str, count: int = 2) -> DummyVecEnv:
    _, observation, action = PUZZLES[kind]
    return DummyVecEnv([lambda: Puzzle(observation, action) for _ in range(count)])


def vector(model: PPO) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach().clone()


@pytest.mark.parametrize("kind", PUZZLES)
def test_without_a_rig_it_is_sb3s_ppo_to_the_bit_and_comes_back_from_disk(kind, tmp_path):
    policy = PUZZLES[kind][0]
    theirs = PPO(policy, puzzles(kind), **PLAIN).learn(64)
    ours = FusedPPO(policy, puzzles(kind), **PLAIN).learn(64)
    assert torch.equal(vector(theirs), vector(ours))
    ours.save(tmp_path / "model")
    again = FusedPPO.load(tmp_path / "model", env=puzzles(kind), device="cpu")
    observation = puzzles(kind).reset()
    assert np.array_equal(ours.predict(observation, deterministic=True)[0], again.predict(observation, deterministic=True)[0])
    again.learn(32, reset_num_timesteps=False)
    assert again.num_timesteps == 96


@pytest.mark.parametrize(
    "changes",
    [
        {"target_kl": 1e-4},
        {"clip_range_vf": 0.1},
        {"learning_rate": LinearSchedule(1e-3, 1e-4, 1.0), "clip_range": LinearSchedule(0.3, 0.1, 1.0)},
        {"normalize_advantage": False, "ent_coef": 0.1},
        {"batch_size": 24},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_settings_mean_what_they_mean_in_sb3(make_env, changes):
    theirs = PPO("MlpPolicy", puzzles("discrete"), **{**PLAIN, **changes}).learn(64)
    ours = FusedPPO("MlpPolicy", puzzles("discrete"), **{**PLAIN, **changes}).learn(64)
    assert torch.equal(vector(theirs), vector(ours))
    fused = FusedPPO(env=make_env(), keep="frames", **{**FUSED, **changes}).learn(64)
    stock = PPO("MultiInputPolicy", Rounded(make_env()), policy_kwargs=fused.policy_kwargs, **{**WITHOUT_RIG, **changes}).learn(64)
    assert torch.allclose(vector(stock), vector(fused), atol=1e-6)
    assert stock._n_updates == fused._n_updates
    said, told = stock.logger.name_to_value, fused.logger.name_to_value
    assert {name for name in said if name.startswith("train/")} == {name for name in told if name.startswith("train/")}
    for name in ("train/loss", "train/approx_kl", "train/explained_variance", "train/clip_fraction", "train/learning_rate"):
        assert said[name] == pytest.approx(told[name], abs=1e-5), name


WITHOUT_RIG = {name: value for name, value in FUSED.items() if name != "rig"}


def Rounded(venv: Any) -> Any:  # noqa: N802
    """The environment, showing what a rollout of frames shows."""
    from drive_fusion.kept import KeptFrames

    kept = KeptFrames(1, torch.device("cpu"))
    reset, step_wait = venv.reset, venv.step_wait

    def rounded(observation: Any) -> Any:
        return {name: part.numpy() for name, part in kept.seen({name: torch.as_tensor(part) for name, part in observation.items()}).items()}

    def step() -> Any:
        observation, rewards, dones, infos = step_wait()
        for info in infos:
            if "terminal_observation" in info:
                one = {name: part[None] for name, part in info["terminal_observation"].items()}
                info["terminal_observation"] = {name: part[0] for name, part in rounded(one).items()}
        return rounded(observation), rewards, dones, infos

    venv.reset, venv.step_wait = lambda: rounded(reset()), step
    return venv


def test_state_dependent_exploration_works():
    arguments = {**PLAIN, "use_sde": True, "sde_sample_freq": 4}
    theirs = PPO("MlpPolicy", puzzles("continuous"), **arguments).learn(64)
    assert torch.equal(vector(theirs), vector(FusedPPO("MlpPolicy", puzzles("continuous"), **arguments).learn(64)))


def test_steps_are_counted_on_or_anew():
    model = FusedPPO("MlpPolicy", puzzles("discrete"), **PLAIN)
    model.learn(32).learn(32, reset_num_timesteps=False)
    assert model.num_timesteps == 64
    model.learn(32)
    assert model.num_timesteps == 32 and model.settled


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_callbacks_find_what_they_look_for(make_env, tmp_path, temporal):
    watched = VecMonitor(make_env(num_envs=2))
    evaluation = EvalCallback(
        watched,
        callback_on_new_best=StopTrainingOnRewardThreshold(1e9),
        callback_after_eval=StopTrainingOnNoModelImprovement(100),
        n_eval_episodes=3,
        eval_freq=8,
        best_model_save_path=str(tmp_path / "best"),
        log_path=str(tmp_path / "log"),
        verbose=0,
    )
    every = EveryNTimesteps(16, CheckpointCallback(1, str(tmp_path / "every")))
    model = FusedPPO(env=VecMonitor(make_env()), temporal=temporal, **FUSED)
    folder = tmp_path / "logger"
    model.set_logger(configure(str(folder), ["csv"]))
    model.learn(64, callback=CallbackList([evaluation, every]))
    assert FusedPPO.load(tmp_path / "best" / "best_model", device="cpu").num_timesteps in (32, 64)
    assert len(list((tmp_path / "every").iterdir())) >= 3
    model.logger.close()
    header = (folder / "progress.csv").read_text().splitlines()[0].split(",")
    for name in ("rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "time/total_timesteps", "train/loss", "eval/mean_reward"):
        assert name in header, name
    stopped = FusedPPO(env=VecMonitor(make_env()), temporal=temporal, **FUSED).learn(10_000, callback=StopTrainingOnMaxEpisodes(2))
    assert stopped.num_timesteps < 200
    stopped.learn(32, reset_num_timesteps=False)
    assert torch.isfinite(vector(stopped)).all()


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_parameters_environments_and_seeds_can_be_exchanged(make_env, temporal):
    model = FusedPPO(env=make_env(), temporal=temporal, **FUSED)
    before = {name: dict(part) for name, part in model.get_parameters().items()}
    assert before.keys() == {"policy", "policy.optimizer"}
    kept = {name: part.clone() for name, part in before["policy"].items()}
    model.learn(32)
    model.set_parameters({"policy": kept}, exact_match=False, device="cpu")
    assert all(torch.equal(part, kept[name]) for name, part in model.policy.state_dict().items())
    other = make_env(seed=5)
    model.set_env(other)
    assert model.get_env() is other
    model.learn(32)
    model.set_random_seed(0)
    first = torch.rand(1)
    model.set_random_seed(0)
    assert torch.equal(first, torch.rand(1))
    with pytest.raises(AssertionError, match="number of environments"):
        model.set_env(make_env(num_envs=3))


def test_normalised_observations_pass_through():
    model = FusedPPO("MlpPolicy", VecNormalize(make_vec_env("CartPole-v1", 2, seed=0)), **PLAIN).learn(64)
    assert isinstance(model.get_vec_normalize_env(), VecNormalize)


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_predict_serves_one_world_and_many_and_hands_its_memory_out(make_env, temporal):
    env = make_env()
    model = FusedPPO(env=env, temporal=temporal, **FUSED)
    many = env.reset()
    actions, state = model.predict(many, deterministic=True)
    assert actions.shape == (4,) and (state is None) == (temporal == "none")
    one, own = model.predict({name: part[1] for name, part in many.items()}, deterministic=True)
    assert one.shape == () and one == actions[1]
    next_many = env._observe()
    later, again = model.predict(next_many, state, np.array([False, True, False, True]), deterministic=True)
    assert later.shape == (4,)
    if temporal == "none":
        assert again is None
        return
    assert own[0].shape == (1, 64) and np.allclose(own[0][0], state[0][1], atol=1e-5)
    fresh = model.predict(next_many, deterministic=True)[1]
    assert np.allclose(again[0][[1, 3]], fresh[0][[1, 3]], atol=1e-5)
    assert not np.allclose(again[0][[0, 2]], fresh[0][[0, 2]], atol=1e-3)
    with pytest.raises(ConfigError, match=r"the state has shapes .*\(4, 64\).*expected .*\(1, 64\)"):
        model.predict({name: part[1] for name, part in many.items()}, state)


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_sb3_can_evaluate_it(make_env, temporal):
    model = FusedPPO(env=make_env(), temporal=temporal, **FUSED)
    mean, _ = evaluate_policy(model, VecMonitor(make_env(num_envs=2)), n_eval_episodes=4)
    assert 0.0 <= mean <= 7.0


@pytest.mark.parametrize(("temporal", "dropout"), [("gru", 0.0), ("gru", 0.5), ("none", 0.5), ("conv_gru", 0.0), ("stack", 0.2)])
def test_it_is_determinate_and_resumes_to_the_bit_with_memory(make_env, tmp_path, temporal, dropout):
    arguments = {**FUSED, "temporal": temporal, "modality_dropout": dropout, "chunk": 4, "burn_in": 2}
    straight = FusedPPO(env=make_env(), **arguments).learn(96)
    assert torch.equal(vector(straight), vector(FusedPPO(env=make_env(), **arguments).learn(96)))
    FusedPPO(env=make_env(), **arguments).learn(32).save(tmp_path / "third")
    torch.rand(3), np.random.rand(3)
    resumed = FusedPPO.load(tmp_path / "third", env=make_env(seed=9), device="cpu")
    assert resumed.memory.keys() == resumed.policy.state_shapes.keys()
    resumed.learn(64, reset_num_timesteps=False)
    assert torch.equal(vector(straight), vector(resumed))
    assert all(torch.equal(part, resumed.memory[name]) for name, part in straight.memory.items())


def test_numbers_that_are_not_finite_are_refused_unless_the_sensor_is_dead(make_env):
    env = make_env()
    model = FusedPPO(env=env, **FUSED)
    observation = env.reset()
    observation["radar"][2, 0, 3, 1] = np.nan
    with pytest.raises(SensorFault, match=r"radar: 1 of 896 numbers are not finite, first at \(2, 0, 3, 1\)"):
        model.predict(observation)
    observation["alive"][2, 4] = 0.0
    action = model.predict(observation, deterministic=True)[0]
    observation["radar"][2] = 0.25
    assert np.array_equal(action, model.predict(observation, deterministic=True)[0])
    observation["age"][2, 4] = np.nan
    assert np.array_equal(action, model.predict(observation, deterministic=True)[0])
    pictures = {**observation, "camera": observation["camera"].astype(np.float32)}
    pictures["camera"][1, 2] = np.inf
    with pytest.raises(SensorFault, match=r"camera: 3456 of .* numbers are not finite, first at \(1, 2, 0, 0, 0\)"):
        model.predict(pictures)
    pictures["alive"][1, 2] = 0.0
    dark = {**pictures, "camera": np.nan_to_num(pictures["camera"], posinf=7.0)}
    assert np.array_equal(*(model.predict(each, deterministic=True)[0] for each in (pictures, dark)))
    with pytest.raises(ConfigError, match="expected .*it comes from another rig"):
        model.predict({name: part for name, part in observation.items() if name != "lidar"})
    with pytest.raises(ConfigError, match=r"'lidar' has shape \(4, 2, 3, 8, 64\), expected .*another rig"):
        model.predict({**observation, "lidar": np.zeros((4, 2, 3, 8, 64), np.float32)})


def test_no_memory_left_proposes_a_smaller_batch(make_env, monkeypatch):
    from drive_fusion import ppo

    def greedy(learner: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ppo, "update", greedy)
    with pytest.raises(ppo.OutOfMemory, match="cpu has too little memory for an update by batches of 16; take batch_size 8"):
        FusedPPO(env=make_env(), **FUSED).learn(32)


def test_gpu_options_do_nothing_on_a_cpu_and_say_so(make_env, capsys):
    plain = FusedPPO(env=make_env(), **FUSED).learn(32)
    fast = FusedPPO(env=make_env(), bf16=True, compiled=True, **FUSED).learn(32)
    assert torch.equal(vector(plain), vector(fast))
    assert "bf16 is for GPUs" in capsys.readouterr().err


def test_custom_objects_stand_in_for_what_was_stored(tmp_path):
    """As in SB3, also for what could not be read back: a function has no form in a file."""
    model = FusedPPO("MlpPolicy", puzzles("discrete"), **PLAIN, learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: 0.2 * left)
    model.learn(32).save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="hand it in as custom_objects"):
        FusedPPO.load(tmp_path / "m", device="cpu")
    again = FusedPPO.load(tmp_path / "m", device="cpu", custom_objects={"learning_rate": 1e-5, "clip_range": 0.05, "gamma": 0.5})
    assert (again.lr_schedule(1.0), again.clip_range(1.0), again.gamma) == (1e-5, 0.05, 0.5)
    named = FusedPPO.load(tmp_path / "m", device="cpu", learning_rate=1e-5, clip_range=0.1)
    assert (named.lr_schedule(1.0), named.clip_range(0.3)) == (1e-5, 0.1)
    zoo = {"learning_rate": 0.0, "lr_schedule": lambda left: 7.0, "clip_range": lambda left: 0.3}  # what RL Zoo hands in
    assert FusedPPO.load(tmp_path / "m", device="cpu", custom_objects=zoo).lr_schedule(1.0) == 7.0
    wider = spaces.Box(-2.0, 2.0, (3,))
    assert FusedPPO.load(tmp_path / "m", device="cpu", custom_objects=zoo | {"observation_space": wider}).observation_space == wider


@pytest.mark.parametrize("wrap", [VecNormalize, lambda venv: VecFrameStack(venv, 3)], ids=["normalised", "stacked"])
def test_a_wrapper_that_remembers_more_than_its_worlds_starts_episodes_anew(tmp_path, wrap):
    """Its own memory is in no checkpoint: going on in mid-episode would not be what a run does that was never stopped."""
    worlds = lambda: wrap(make_sb3_vec("highway-fast-v0", 2, seed=1, config={"vehicles_count": 5}))  # noqa: E731
    FusedPPO("MlpPolicy", worlds(), **PLAIN).learn(32).save(tmp_path / "m")
    again = FusedPPO.load(tmp_path / "m", env=worlds(), device="cpu")
    assert again._last_obs is None
    assert again.learn(32, reset_num_timesteps=False).num_timesteps == 64


class Acting(ToyVecEnv):
    """The small environment with actions of another kind: what is above the middle counts as action 1."""

    def __init__(self, space: spaces.Space[Any], seed: int = 0):
        super().__init__(RIGS["micro"], seed=seed)
        self.action_space = space

    def step_async(self, actions: np.ndarray) -> None:
        assert all(self.action_space.contains(action) for action in actions)
        super().step_async((np.asarray(actions).reshape(len(actions), -1)[:, 0] > 0).astype(np.int64))


STEERING = spaces.Box(-2.0, 3.0, (2,))


@pytest.mark.parametrize(
    ("space", "sde"),
    [
        (STEERING, False),
        (STEERING, True),
        (spaces.Box(-1.0, 1.0, (2, 2)), False),
        (spaces.MultiDiscrete([3, 2]), False),
        (spaces.MultiBinary(3), False),
    ],
    ids=str,
)
def test_every_kind_of_action_learns_with_a_memory_and_resumes_to_the_bit(tmp_path, space, sde):
    arguments = {
        "rig": "micro",
        "temporal": "gru",
        "n_steps": 4,
        "batch_size": 8,
        "n_epochs": 1,
        "seed": 3,
        "device": "cpu",
        "use_sde": sde,
    }
    straight = FusedPPO(env=Acting(space), **arguments).learn(32)
    FusedPPO(env=Acting(space), **arguments).learn(16).save(tmp_path / "half")
    torch.rand(3)
    resumed = FusedPPO.load(tmp_path / "half", env=Acting(space, seed=5), device="cpu").learn(16, reset_num_timesteps=False)
    assert torch.equal(vector(straight), vector(resumed))
    observation = Acting(space).reset()
    mine, theirs = (model.predict(observation, deterministic=True)[0] for model in (straight, resumed))
    assert np.array_equal(mine, theirs) and mine.shape == (4, *space.shape)
