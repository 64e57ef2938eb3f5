"""Attribution: occlusion against a policy asked again, gradients against differences, and pictures that are there."""

from __future__ import annotations

import json

import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import MultiInputActorCriticPolicy

from drive_fusion.cloning import demonstrations
from drive_fusion.episode import check_explainable
from drive_fusion.explain import explain, states_along
from drive_fusion.explain.pictures import draw, explain_recording, facts
from drive_fusion.extractor import FusedExtractor
from drive_fusion.policy_driver import driver_of
from drive_fusion.rule_driver import RuleDriver
from envs.observation import observation_space
from envs.rollout import record
from envs.world import World
from sensors.errors import ConfigError


def policy_of(space, action_space=None, **arguments) -> MultiInputActorCriticPolicy:
    torch.manual_seed(0)
    policy = MultiInputActorCriticPolicy(
        space,
        action_space or spaces.Discrete(5),
        lambda _: 3e-4,
        net_arch={"pi": [16], "vf": [16]},
        features_extractor_class=FusedExtractor,
        features_extractor_kwargs={"rig": "micro", **arguments},
    )
    with torch.no_grad():
        policy.action_net.weight.mul_(100.0)  # SB3 begins with one so small that all actions are alike
    policy.set_training_mode(False)
    return policy


@pytest.mark.parametrize("action_space", [spaces.Discrete(5), spaces.Box(-1.0, 1.0, (2,))])
def test_occlusion_is_the_policy_asked_again_without_the_sense(micro_space, observe, action_space):
    policy, observation = policy_of(micro_space, action_space), observe(4)
    found = explain(policy, observation)
    assert found.modalities == ("camera", "lidar", "radar") and bool(found.present.all())
    with torch.no_grad():
        sure = policy.get_distribution(observation).distribution
        expected = {}
        if isinstance(action_space, spaces.Discrete):
            expected["p"] = sure.probs.clone()
            dead = {**observation, "alive": observation["alive"] * torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])}
            other = policy.get_distribution(dead).distribution.probs
            nats = (expected["p"] * (expected["p"] / other).log()).sum(1)
        else:
            mean = sure.mean.clone()
            dead = {**observation, "alive": observation["alive"] * torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])}
            other = policy.get_distribution(dead).distribution
            nats = ((mean - other.mean) ** 2 / (2 * other.stddev**2)).sum(1)
    assert torch.allclose(found.occlusion_nats[:, 1], nats, rtol=1e-3, atol=1e-5)
    assert (found.occlusion_nats > 0.0).all()
    assert torch.equal(found.action, policy.get_distribution(observation).mode())
    assert torch.equal(found.occluded_action[:, 1], policy.get_distribution(dead).mode())


def test_a_dead_sense_counts_nothing(micro_space, observe):
    policy, observation = policy_of(micro_space, spatial="hybrid"), observe(3)
    observation["alive"][:, 4] = 0.0
    observation["radar"][:] = float("nan")
    found = explain(policy, observation)
    assert found.present.tolist() == [[True, True, False]] * 3
    assert found.occlusion_nats[:, 2].tolist() == [0.0] * 3 and found.gradient[:, 2].tolist() == [0.0] * 3
    assert torch.allclose(found.gradient_share.sum(1), torch.ones(3))
    assert (found.look["attention"][:, 2] == 0.0).all()


def test_gradients_are_those_of_the_chosen_actions_likelihood(micro_space, observe):
    """Brightening one camera a little moves the log-likelihood by gradient times input: a central difference tells the same."""
    policy, observation = policy_of(micro_space), observe(1)
    found = explain(policy, observation)
    policy.double()  # SB3 would cast to float32: the network is asked directly
    observation = {name: value.double() for name, value in observation.items()}

    def likelihood(camera):
        features = policy.features_extractor({**observation, "camera": camera})
        return policy.action_net(policy.mlp_extractor.forward_actor(features)).log_softmax(1)[0, found.action[0]]

    camera = observation["camera"].clone().requires_grad_()
    likelihood(camera).backward()
    product, step = (camera.grad * camera.detach()), 1e-5
    with torch.no_grad():
        slope = float(likelihood(camera * (1.0 + step)) - likelihood(camera * (1.0 - step))) / (2.0 * step)
    assert float(product.sum()) == pytest.approx(slope, rel=1e-3, abs=1e-6)
    assert float(found.gradient[0, 0]) == pytest.approx(float(product.abs().sum()), rel=1e-3)


def test_a_memorys_decisions_are_explained_from_what_it_remembered(micro_space, observe):
    policy, episode = policy_of(micro_space, temporal="conv_gru", spatial="attention"), observe(4)
    eyes = policy.features_extractor
    states = states_along(eyes, episode)
    starts = torch.tensor([True, False, False, False])
    found = explain(policy, episode, states, starts)
    features, _ = eyes.unroll({name: value[:, None] for name, value in episode.items()}, eyes.initial_state(1), starts[:, None])
    latent = policy.mlp_extractor.forward_actor(features[:, 0])
    assert torch.equal(found.action, policy.action_net(latent).argmax(1))
    forgotten = explain(policy, episode)
    assert not torch.allclose(found.occlusion_nats[1:], forgotten.occlusion_nats[1:], rtol=1e-3)
    assert torch.allclose(found.occlusion_nats[0], forgotten.occlusion_nats[0], rtol=1e-3, atol=1e-6)


def test_pictures_and_facts(micro_space, observe, tmp_path):
    policy, observation = policy_of(micro_space, spatial="hybrid"), observe(2)
    found = explain(policy, observation)
    grid = policy.features_extractor.size.feature_grid
    assert found.look["attention"].shape == (2, 3, 8, 16) and found.look["heat"].shape == found.fused.shape == (2, 16, 32)
    draw(found, 1, grid, tmp_path / "one.png", observation["camera"][1].byte().numpy())
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(json.dumps(facts(found, 1)))
    assert told["senses"].keys() == {"camera", "lidar", "radar"} and told["action"] == int(found.action[1])
    with pytest.raises(ConfigError, match="of 2 decisions, got number 2"):
        draw(found, 2, grid, tmp_path / "two.png")


def test_a_driver_without_senses_is_refused():
    policy = MultiInputActorCriticPolicy(spaces.Dict({"a": spaces.Box(0.0, 1.0, (3,))}), spaces.Discrete(2), lambda _: 3e-4)
    with pytest.raises(ConfigError, match="only a driver with sensors"):
        explain(policy, {"a": torch.zeros(1, 3)})


def test_an_episode_is_explained_decision_by_decision(micro, tmp_path):
    """The frames are rendered again: what is explained at each decision is what the driver did there."""
    world = World("highway-fast-v0", 1, config={"duration": 3, "vehicles_count": 5})
    policy = policy_of(observation_space(micro, 5), temporal="gru")
    recording = record(world, driver_of("idle", world), torch.tensor([3]), until_horizon=False)[0]
    pictures = explain_recording(policy, recording, micro, tmp_path / "explained")
    assert [path.name for path in pictures] == ["decision-000.png", "decision-001.png", "decision-002.png"]
    told = json.loads((tmp_path / "explained" / "explain.json").read_text())
    seen = demonstrations([recording], micro).observations
    eyes = policy.features_extractor
    starts = torch.tensor([[True], [False], [False]])
    features, _ = eyes.unroll({name: value[:, None] for name, value in seen.items()}, eyes.initial_state(1), starts)
    expected = policy.action_net(policy.mlp_extractor.forward_actor(features[:, 0])).argmax(1)
    assert [decision["action"] for decision in told] == expected.tolist()


def test_only_networks_with_sensors_are_explained():
    with pytest.raises(ConfigError, match="--driver must be the folder of a checkpoint with sensors"):
        check_explainable(RuleDriver())
