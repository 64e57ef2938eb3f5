"""What rollouts keep: scenes render again to the same bits, frames lose as little as they say, memory is a tenth of SB3's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor

from drive_fusion.bench.driver import rollout_bytes
from drive_fusion.extractor import FusedExtractor
from drive_fusion.kept import KeptFrames, KeptScenes, keeper
from drive_fusion.ppo import FusedPPO
from drive_fusion.rewards import CrashPenalty
from envs.conditions import set_conditions
from envs.sb3 import make_sb3_vec
from sensors.errors import ConfigError
from sensors.presets import RIGS

CPU = torch.device("cpu")
PLAIN: dict[str, Any] = {"n_steps": 8, "batch_size": 32, "n_epochs": 2, "seed": 1, "device": "cpu"}


def drive(venv, kept: KeptScenes | KeptFrames, steps: int) -> list[dict[str, torch.Tensor]]:
    """Drive at random, and keep what was seen."""
    draw = np.random.default_rng(0)
    seen, now = [], venv.reset()
    for step in range(steps):
        shown = kept.seen({name: torch.as_tensor(part) for name, part in now.items()})
        kept.add(step, shown)
        seen.append({name: part.clone() for name, part in shown.items()})
        now, *_ = venv.step(draw.integers(0, venv.action_space.n, venv.num_envs))
    return seen


@pytest.mark.parametrize(
    ("id", "weather", "faults"), [("highway-fast-v0", "rain", ("snow:lidar",)), ("intersection-v0", None, ("dead:lidar",))]
)
def test_scenes_render_again_to_the_same_bits(id, weather, faults):
    venv = make_sb3_vec(id, 3, rig="micro", seed=2)
    set_conditions(venv.world, weather, faults)
    kept = KeptScenes(venv, 14, CPU)
    for _ in range(2):  # the room of one rollout serves the next
        seen = drive(venv, kept, 14)
        steps, worlds = torch.arange(14).repeat(3), torch.arange(3).repeat_interleave(14)
        order = torch.randperm(42, generator=torch.Generator().manual_seed(0))
        again = kept.rows(steps[order], worlds[order])
        for name, part in again.items():
            expected = torch.stack([seen[step][name][world] for step, world in zip(steps[order], worlds[order], strict=True)])
            assert torch.equal(part, expected), name


def test_scenes_with_more_cars_or_other_weather_in_mid_rollout_find_room():
    from envs.recording import with_room

    venv = make_sb3_vec("highway-fast-v0", 2, rig="micro", seed=2)
    venv.reset()
    kept, seen = KeptScenes(venv, 3, CPU), []
    scene = venv.world.scene
    for step in range(3):
        crowd = with_room(scene, scene.num_actors + 2 * step)
        dark = crowd.with_weather(replace(crowd.weather, visibility_m=crowd.weather.visibility_m / (1 + step)))
        venv.world = type("Still", (), {"scene": dark, "faults": dark.faults})()
        venv._senses._world = venv.world
        seen.append(venv._senses.observe(dark))
        kept.add(step, seen[-1])
    again = kept.rows(torch.tensor([2, 0, 1]), torch.tensor([1, 0, 1]))
    for row, (step, world) in enumerate([(2, 1), (0, 0), (1, 1)]):
        assert all(torch.equal(part[row], seen[step][name][world]) for name, part in again.items())


def test_frames_lose_less_than_their_steps_and_nothing_twice(observe, micro):
    kept = KeptFrames(2, CPU)
    given = observe(5)
    given["camera"] = given["camera"].byte()
    seen = kept.seen(given)
    twice = kept.seen(seen)
    kept.add(0, seen), kept.add(1, seen)
    back = kept.rows(torch.zeros(5, dtype=torch.int64), torch.arange(5))
    for name, part in seen.items():
        assert torch.equal(part, twice[name]) and torch.equal(part.float(), back[name].float()), name
    hit = given["lidar"][:, :, 0]
    assert torch.equal(seen["lidar"][:, :, 0], hit)
    assert ((seen["lidar"] - given["lidar"])[:, :, 1] * hit).abs().max() < 1 / 65000
    assert ((seen["lidar"] - given["lidar"])[:, :, 2] * hit).abs().max() < 1 / 500
    for name in ("radar", "ego", "age"):
        assert (seen[name] - given[name]).abs().max() < 5e-4
    bytes_an_observation = kept.nbytes / 10
    space = sum(int(np.prod(part.shape[1:])) * 4 for name, part in given.items() if name != "camera")
    assert bytes_an_observation < given["camera"][0].numel() + 0.35 * space


def stock(venv, **changes: Any) -> PPO:
    kwargs = {
        "features_extractor_class": FusedExtractor,
        "features_extractor_kwargs": {"rig": "micro"},
        "net_arch": {"pi": [64], "vf": [64]},
    }
    return PPO("MultiInputPolicy", venv, policy_kwargs=kwargs, **{**PLAIN, **changes})


def test_it_learns_what_stock_ppo_learns_with_a_tenth_of_the_memory():
    ours = FusedPPO(env=make_sb3_vec("highway-fast-v0", 8, rig="micro", seed=0), rig="micro", **PLAIN).learn(128)
    theirs = stock(make_sb3_vec("highway-fast-v0", 8, rig="micro", seed=0)).learn(128)
    assert isinstance(ours.rollout_buffer.kept, KeptScenes)
    assert rollout_bytes(ours.rollout_buffer) <= 0.1 * rollout_bytes(theirs.rollout_buffer)
    for (name, mine), other in zip(ours.policy.state_dict().items(), theirs.policy.state_dict().values(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6), name
    assert ours.num_timesteps == theirs.num_timesteps and ours._n_updates == theirs._n_updates


def test_frames_and_scenes_learn_nearly_the_same():
    def learned(keep: str) -> torch.Tensor:
        model = FusedPPO(env=make_sb3_vec("highway-fast-v0", 4, rig="micro", seed=0), rig="micro", keep=keep, **PLAIN).learn(64)
        return torch.nn.utils.parameters_to_vector(model.policy.parameters())

    frames, scenes = learned("frames"), learned("scenes")
    assert not torch.equal(frames, scenes) and (frames - scenes).abs().max() < 0.01


def test_a_run_on_scenes_with_memory_resumes_to_the_bit(tmp_path):
    def worlds():
        return CrashPenalty(make_sb3_vec("highway-fast-v0", 3, rig="micro", seed=0), 2.0)

    settings = {**PLAIN, "n_steps": 12, "batch_size": 18, "chunk": 6, "temporal": "conv_gru", "modality_dropout": 0.3, "rig": "micro"}
    straight = FusedPPO(env=worlds(), **settings).learn(108)
    FusedPPO(env=worlds(), **settings).learn(72).save(tmp_path / "model")
    torch.rand(3)
    resumed = FusedPPO.load(tmp_path / "model", env=worlds(), device="cpu").learn(36, reset_num_timesteps=False)
    assert isinstance(resumed.rollout_buffer.kept, KeptScenes)
    for (name, mine), other in zip(straight.policy.state_dict().items(), resumed.policy.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


def test_scenes_that_are_not_enough_are_refused(make_env):
    with pytest.raises(ConfigError, match="keep='scenes': a ToyVecEnv has no scenes with a rig.*use keep='frames'"):
        FusedPPO(env=make_env(), rig="micro", keep="scenes", **PLAIN).learn(32)
    venv = make_sb3_vec("highway-fast-v0", 2, rig="micro")
    assert isinstance(keeper("auto", VecMonitor(CrashPenalty(venv, 1.0)), 4, CPU), KeptScenes)
    assert isinstance(keeper("auto", VecFrameStack(make_sb3_vec("highway-fast-v0", 2), 2), 4, CPU), KeptFrames)
    set_conditions(venv.world, None, ("latency",))
    with pytest.raises(ConfigError, match="'micro' or the worlds' faults show the past"):
        keeper("scenes", venv, 4, CPU)
    assert isinstance(keeper("auto", venv, 4, CPU), KeptFrames)
    timed = replace(RIGS["micro"], cameras=tuple(replace(camera, rate_hz=3.0) for camera in RIGS["micro"].cameras))
    with pytest.raises(ConfigError, match="show the past"):
        keeper("scenes", make_sb3_vec("highway-fast-v0", 2, rig=timed), 4, CPU)
    with pytest.raises(ConfigError, match="unknown keep 'scene'"):
        FusedPPO(env=make_env(), rig="micro", keep="scene", **PLAIN)  # type: ignore[arg-type]
