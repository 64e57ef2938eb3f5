"""What may be added to PPO's loss: auxiliary lessons on what is true, and the distance from a policy to stay near."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from drive_fusion import training
from drive_fusion.heads import labels_of
from drive_fusion.ppo import FusedPPO
from drive_fusion.training import TrainConfig
from drive_fusion.update import with_map
from envs.sb3 import make_sb3_vec
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.windows import WindowConfig, feature_names
from sensors.errors import ConfigError

ID = "highway-fast-v0"
STEPS = 64


def learner(**changed) -> FusedPPO:
    """A small driver in real worlds."""
    settings = {"rig": "micro", "n_steps": 8, "batch_size": 32, "n_epochs": 2, "seed": 3, "device": "cpu", "learning_rate": 1e-3}
    return FusedPPO(env=make_sb3_vec(ID, 8, rig="micro", seed=1), **(settings | changed))


def assert_equal(left: FusedPPO, right: FusedPPO) -> None:
    for (name, mine), theirs in zip(left.policy.state_dict().items(), right.policy.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name


def differs(left: FusedPPO, right: FusedPPO) -> bool:
    pairs = zip(left.policy.state_dict().values(), right.policy.state_dict().values(), strict=True)
    return any(not torch.equal(mine, theirs) for mine, theirs in pairs)


class Half(BaseCallback):
    """Saves at the start of the third rollout, and stops there."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps == 2 * STEPS:
            self.model.save(self.folder)

    def _on_step(self) -> bool:
        return self.model.num_timesteps <= 2 * STEPS


@pytest.fixture(scope="module")
def plain() -> FusedPPO:
    torch.set_num_threads(1)
    return learner().learn(2 * STEPS)


def test_terms_without_weight_change_nothing(plain):
    reference = learner(seed=4).policy
    still = learner(auxiliary=0.0, anchor_weight=0.0)
    still.anchor_to(reference)
    assert_equal(plain, still.learn(2 * STEPS))


def test_terms_with_weight_change_the_weights(plain):
    assert differs(plain, learner(auxiliary=1.0).learn(2 * STEPS))
    reference = learner(seed=4).policy
    anchored = learner(anchor_weight=1.0)
    anchored.anchor_to(reference)
    assert differs(plain, anchored.learn(2 * STEPS))


def test_heads_take_no_random_numbers_from_the_learner():
    torch.manual_seed(0)
    assert_equal(learner(), learner(auxiliary=1.0))


@pytest.mark.parametrize("temporal", ["none", "conv_gru"])
def test_a_rollouts_labels_are_what_its_scenes_were(temporal):
    model = learner(auxiliary=1.0, temporal=temporal)
    env, scenes = model.env, []
    step = env.step

    def noted(actions):
        scenes.append(env.unwrapped.scene.clone())
        return step(actions)

    env.step = noted
    model.learn(STEPS)
    labels, size = model.tutor.labels(), model.tutor.size
    part = next(iter(model.rollout_buffer.get(16)))
    own = labels.select(part.places)
    for place, row in enumerate(part.places.tolist()):
        time, world = divmod(row, 8)
        truth = labels_of(scenes[time].select([world]), model.tutor.rig, size)
        assert torch.equal(own.occupied[place], truth.occupied[0])
        assert torch.equal(own.cell[place], truth.cell[0])
        begins = time + 1 < 8 and bool(model.rollout_buffer.episode_starts[time + 1, world])
        assert bool(own.later_known[place]) == (time + 1 < 8 and not begins)  # a decision takes a second
        if own.later_known[place]:
            later = labels_of(scenes[time].select([world]), model.tutor.rig, size, later=scenes[time + 1].select([world]))
            assert torch.equal(own.occupied_later[place], later.occupied_later[0])
    features, fused = with_map(model, part)
    assert features.shape[0] == fused.shape[0] == len(part.places)
    assert fused.shape[2:] == own.occupied.shape[1:]


def test_the_auxiliary_loss_falls_where_it_counts():
    def told(weight: float) -> list[float]:
        found: list[float] = []
        model = learner(auxiliary=weight, learning_rate=2e-3, n_epochs=4)
        losses = model.tutor.loss

        def noted(*arguments):
            loss = losses(*arguments)
            found.append(float(loss.detach()))
            return loss

        model.tutor.loss = noted
        model.learn(8 * STEPS)
        return found

    with_weight = told(1.0)
    assert np.mean(with_weight[-8:]) < 0.8 * np.mean(with_weight[:8])
    assert np.mean(with_weight[-8:]) < np.mean(told(1e-9)[-8:])  # the heads alone, on eyes that care for reward only, learn less


def test_threads_give_the_map_that_one_gives():
    model = learner(auxiliary=1.0).learn(STEPS)
    part = next(iter(model.rollout_buffer.get(64)))
    alone = with_map(model, part)
    torch.set_num_threads(2)
    try:
        together = with_map(model, part)
    finally:
        torch.set_num_threads(1)
    for one, other in zip(alone, together, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def distance(model: FusedPPO, reference: FusedPPO) -> float:
    """Mean KL(model || reference) over fresh scenes."""
    env = make_sb3_vec(ID, 16, rig="micro", seed=9)
    seen, total = env.reset(), []
    for _ in range(4):
        observation, _ = model.policy.obs_to_tensor(seen)
        with torch.no_grad():
            own, other = (each.policy.get_distribution(observation).distribution for each in (model, reference))
        total.append(torch.distributions.kl_divergence(own, other).mean())
        seen, *_ = env.step(np.ones(16, dtype=np.int64))
    return float(torch.stack(total).mean())


def test_an_anchored_policy_stays_nearer():
    reference = learner()
    far = {}
    for weight in (0.0, 5.0):
        model = learner(anchor_weight=weight, anchor_annealed=False, learning_rate=3e-3, n_epochs=6, ent_coef=0.0)
        model.policy.load_state_dict(reference.policy.state_dict())
        if weight:
            model.anchor_to(reference.policy)
        model.learn(6 * STEPS)
        far[weight] = distance(model, reference)
    assert far[5.0] < 0.3 * far[0.0]


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_the_distance_is_torchs_by_hand(temporal):
    reference = learner(seed=8, temporal=temporal)
    with torch.no_grad():
        reference.policy.action_net.weight.mul_(100.0)
    model = learner(anchor_weight=1.0, temporal=temporal)
    model.anchor_to(reference.policy)
    model.learn(STEPS)
    part = next(iter(model.rollout_buffer.get(32)))
    noted = torch.cat(model.anchor._rows)[part.places]
    features = torch.randn(len(part.places), model.policy.features_dim)
    logits = model.policy.action_net(model.policy.mlp_extractor.forward_actor(features)).log_softmax(1)
    by_hand = (logits.exp() * (logits - noted.log_softmax(1))).sum(1).mean()
    assert model.anchor.distance(model.policy, features, part).item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_an_anchor_of_steering_is_compared_as_gaussians():
    make = lambda seed: FusedPPO(  # noqa: E731
        "MlpPolicy", make_sb3_vec("racetrack-v0", 2, seed=1), n_steps=4, batch_size=8, device="cpu", seed=seed, anchor_weight=1.0,
    )  # fmt: skip
    model = make(0)
    model.anchor_to(make(1).policy)
    model.learn(8)
    part = next(iter(model.rollout_buffer.get(8)))
    mean, deviation = torch.cat(model.anchor._rows)[part.places].chunk(2, 1)
    features = model.policy.extract_features(part.stretch.observations.flatten(0, 1))
    own = model.policy._get_action_dist_from_latent(model.policy.mlp_extractor.forward_actor(features)).distribution
    variance, other = own.stddev**2, deviation**2
    by_hand = (deviation / own.stddev).log() + (variance + (own.mean - mean) ** 2) / (2 * other) - 0.5
    assert model.anchor.distance(model.policy, features, part).item() == pytest.approx(by_hand.sum(1).mean().item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_resume_with_terms_is_bit_equal(tmp_path, temporal):
    learner(seed=7, temporal=temporal).save(tmp_path / "reference")
    config = TrainConfig(
        study=tmp_path, num_envs=8, n_steps=8, batch=32, epochs=2, steps=4 * STEPS, device="cpu", threads=1, seed=5, temporal=temporal,
        auxiliary=0.5, anchor=tmp_path / "reference", anchor_weight=0.3,
    )  # fmt: skip
    straight = training.learner(config)
    straight.learn(config.steps)
    half = training.learner(replace(config, run="half"))
    half.learn(config.steps, callback=Half(replace(config, run="half").last_checkpoint))
    resumed = training.resumed(replace(config, run="half"))
    resumed.learn(config.steps - resumed.num_timesteps, reset_num_timesteps=False)
    assert resumed.num_timesteps == straight.num_timesteps
    assert_equal(straight, resumed)
    for mine, theirs in zip(straight.tutor.heads.parameters(), resumed.tutor.heads.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_resume_with_everything_at_once_is_bit_equal(tmp_path):
    """A learned reward, weather and faults, a falling rate, senses that fall silent, auxiliary lessons and a memory, in mid-episode."""
    config, width = RewardConfig(hidden=4, members=3), len(feature_names(WindowConfig()))
    generator = torch.Generator().manual_seed(0)
    net = RewardNet(width, 4, 3, generator).requires_grad_(False)
    RewardModel(config, net, torch.randn(8, width, generator=generator)).save(tmp_path / "reward")
    config = TrainConfig(
        study=tmp_path, num_envs=8, n_steps=8, batch=32, epochs=1, steps=3 * STEPS, device="cpu", threads=1, seed=5, temporal="conv_gru",
        auxiliary=0.5, modality_dropout=0.5, conditions="mixed", lr_annealed=True, reward=tmp_path / "reward",
    )  # fmt: skip
    straight = training.learner(config)
    straight.learn(config.steps)
    half = training.learner(replace(config, run="half"))
    half.learn(config.steps, callback=Half(replace(config, run="half").last_checkpoint))
    torch.rand(3), np.random.rand(3)
    resumed = training.resumed(replace(config, run="half"))
    assert resumed.num_timesteps == 2 * STEPS and not resumed._last_episode_starts.all()
    resumed.learn(config.steps - resumed.num_timesteps, reset_num_timesteps=False)
    assert_equal(straight, resumed)
    assert all(torch.equal(part, resumed.memory[name]) for name, part in straight.memory.items())


def test_another_anchor_than_before_is_refused(tmp_path):
    model = learner(anchor_weight=1.0)
    with pytest.raises(ConfigError, match="there is no anchor; call anchor_to"):
        model.learn(STEPS)
    model.anchor_to(learner(seed=4).policy)
    model.save(tmp_path / "anchored")
    again = FusedPPO.load(tmp_path / "anchored", env=make_sb3_vec(ID, 8, rig="micro", seed=1), device="cpu")
    with pytest.raises(ConfigError, match="not the policy that this learner was anchored to"):
        again.anchor_to(learner(seed=5).policy)
    with pytest.raises(ConfigError, match="the reference has observation_space"):
        again.anchor_to(FusedPPO("MlpPolicy", make_sb3_vec(ID, 2), device="cpu").policy)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"auxiliary": -1.0}, "auxiliary is -1.0, expected 0 or more"),
        ({"rig": "none", "auxiliary": 1.0}, "there are no senses to fuse"),
        ({"anchor_weight": 1.0}, "anchor and anchor_weight belong together"),
        ({"anchor": Path("somewhere")}, "anchor and anchor_weight belong together"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changed)


def test_worlds_without_scenes_cannot_be_lessons(make_env):
    model = FusedPPO(env=make_env(), rig="micro", n_steps=8, batch_size=16, device="cpu", auxiliary=1.0)
    with pytest.raises(ConfigError, match="need worlds with scenes, got ToyVecEnv"):
        model.learn(32)
