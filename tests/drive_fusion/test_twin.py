"""A reward model's twin over what a fused driver sees: its windows, its learning by the very same machinery, and who it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from drive_fusion.extractor import FusedExtractor
from drive_fusion.ppo import FusedPPO
from drive_fusion.twin import FusedEyes, Twin, fit_twin
from envs.drivers import driver_named
from envs.observation import observation_space, pack
from envs.rollout import record
from envs.sb3 import make_sb3_vec
from envs.world import World
from feedback.clips import Clip, cut_clips
from feedback.pairs import propose_pairs
from feedback.reward_fit import Comparison
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.scripted import teacher_named, true_reward
from feedback.windows import WindowConfig, Windows
from sensors.errors import ConfigError
from sensors.presets import RIGS
from sensors.rendering import render


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    world = World("highway-fast-v0", num_worlds=8, num_threads=1)
    rides = [ride for name in ("random", "slower", "idm") for ride in record(world, driver_named(name, 5), list(range(8)))]
    return [clip for ride in rides for clip in cut_clips(ride)]


@pytest.fixture(scope="module")
def eyes() -> FusedEyes:
    torch.manual_seed(0)
    return FusedEyes(FusedExtractor(observation_space(RIGS["micro"], 5), "micro"), "micro")


def test_a_window_is_what_is_seen_before_and_after(clips: list[Clip], eyes: FusedEyes) -> None:
    clip = next(each for each in clips if each.outcome.startswith("crashed"))
    seen, scenes = eyes.rides([clip])[clip.content_hash].seen, clip.recording.at_decisions()
    assert seen.features.shape == (clip.num_decisions, eyes.width)
    with torch.no_grad():
        alone = [eyes.extractor({k: v.float() for k, v in pack(render(scenes.select([n]), eyes.rig), eyes.rig).items()}) for n in (0, 1)]
    assert torch.allclose(seen.features[0], torch.cat(alone, 1)[0].clamp(-3, 3), atol=1e-5)
    plain = clip.decisions().windows(WindowConfig())
    assert torch.equal(seen.dead, plain.dead) and torch.equal(seen.arrived, plain.arrived)
    assert bool(seen.dead.any()) and not seen.features[seen.dead].any()


def test_a_twin_learns_by_the_same_machinery_and_pays_scenes(clips: list[Clip], eyes: FusedEyes) -> None:
    rides, teacher = eyes.rides(clips), teacher_named("oracle")
    rewards = {clip.content_hash: true_reward(clip.decisions()) for clip in clips}
    pairs = [(pair.first.content_hash, pair.second.content_hash) for pair in propose_pairs(clips, 80)]
    answers = [Comparison(*pair, teacher.answer(*(rewards[name] for name in pair), number)) for number, pair in enumerate(pairs)]
    twin, report = fit_twin(rides, answers, eyes, RewardConfig(steps=20, hidden=4))
    assert isinstance(twin.model, RewardModel) and list(twin.model.heads(next(iter(rides.values())).seen)) == ["given", "ended"]
    told = {name: float(twin.model.reward_of(ride.seen).sum()) for name, ride in rides.items()}
    right = [(told[one] > told[other]) == (rewards[one].sum() > rewards[other].sum()) for one, other in pairs]
    assert sum(right) / len(right) > 0.8 and report.held_out > 0
    decisions = clips[0].decisions()
    paid = twin.reward(decisions.scene, decisions.actions, decisions.next_scene, decisions.terminal)
    assert torch.allclose(paid, twin.model.reward_of(rides[clips[0].content_hash].seen), atol=1e-4)
    with pytest.raises(ConfigError, match="needs .* numbers of a fused driver"):
        twin.model.reward(decisions.scene, decisions.actions, decisions.next_scene, decisions.terminal)


def test_a_twin_s_model_is_saved_and_loaded_like_any_other(eyes: FusedEyes, tmp_path: Any) -> None:
    config = RewardConfig(windows=WindowConfig(given=eyes.width), hidden=4)
    model = RewardModel(config, RewardNet(eyes.width, 4, 5, config=config.windows).requires_grad_(False), torch.randn(9, eyes.width))
    model.save(tmp_path / "twin")
    back = Twin(RewardModel.load(tmp_path / "twin"), eyes)
    none = torch.zeros(9, dtype=torch.bool)
    assert torch.equal(back.model.reward_of(Windows(model.reference, none, none)), model.reward_of(Windows(model.reference, none, none)))


def test_eyes_come_of_a_checkpoint_and_a_driver_with_a_memory_or_without_sensors_is_refused(tmp_path: Any) -> None:
    vec = make_sb3_vec("highway-fast-v0", num_envs=1, rig="micro", device="cpu", seed=0)
    model = FusedPPO("MultiInputPolicy", vec, rig="micro", n_steps=8, batch_size=8, device="cpu", seed=0)
    model.save(tmp_path / "fused")
    loaded = FusedEyes.load(tmp_path / "fused")
    assert loaded.rig.name == "micro" and loaded.width == 2 * model.policy.features_dim
    with pytest.raises(ConfigError, match="needs a driver without memory"):
        FusedEyes(FusedExtractor(vec.observation_space, "micro", temporal="gru"), "micro")
    with pytest.raises(ConfigError, match="nothing else beside"):
        WindowConfig(given=3, num_neighbours=1)
