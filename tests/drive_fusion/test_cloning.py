"""Cloning: labels, split, and learning."""

from __future__ import annotations

import pytest
import torch

from drive_fusion import demonstrations as demonstrations_module
from drive_fusion.cloning import CloneConfig, Demonstrations, DisturbedDriver, clone, demonstrations, lessons, meta_actions
from drive_fusion.policy_driver import PolicyDriver
from drive_fusion.ppo import FusedPPO
from drive_fusion.rule_driver import RuleDriver
from drive_fusion.training import TrainConfig, learner
from envs.drivers import META_ACTIONS, driver_named
from envs.recording import Recording
from envs.rollout import record
from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError
from sensors.radar.config import Radar
from sensors.rig import Rig
from sensors.scene import Light, Scene

ID = "highway-fast-v0"
RADAR_ONLY = Rig("radar", radars=(Radar("front"),))


def autopilot_recording(speeds: list[float], lights: list[int], scene_of, per_decision: int = 2) -> Recording:
    """A recording of one car with given speeds and lights at every instant."""
    instants = [scene_of((0.0, 0.0, speed)) for speed in speeds]
    scenes = Scene.cat(instants)
    scenes.lights[:, 0] = torch.tensor(lights)
    decisions = (len(speeds) - 1) // per_decision
    none = torch.zeros(decisions, dtype=torch.bool)
    decision = torch.tensor([-1] + [number for number in range(decisions) for _ in range(per_decision)])
    idle = torch.ones(decisions, dtype=torch.int64)
    return Recording(ID, {}, "World", 0, idle, True, scenes, decision, torch.zeros(decisions), none, none, 0.2, {})


def test_an_autopilots_actions_are_read_off_speed_and_lights(scene_of):
    left, right = int(Light.LEFT), int(Light.RIGHT)
    recording = autopilot_recording(
        speeds=[20, 21, 22, 22.5, 23, 22, 20, 20, 20, 20, 21.9, 20, 20],
        lights=[0, 0, 0, 0, 0, 0, 0, 0, left, left, 0, right, right],
        scene_of=scene_of,
    )
    names = [META_ACTIONS[number] for number in meta_actions(recording).tolist()]
    assert names == ["FASTER", "IDLE", "SLOWER", "LANE_LEFT", "FASTER", "LANE_RIGHT"]


def test_idm_recordings_can_be_cloned():
    recordings = record(World(ID, 3), driver_named("idm", 5), seed_set("train", 3))
    taught = demonstrations(recordings, RADAR_ONLY)
    assert len(taught) == sum(recording.num_decisions for recording in recordings)
    assert taught.observations["radar"].shape[1:] == (1, 32, 7)
    assert taught.quality.frames == taught.quality.sound == len(taught)
    counts = taught.actions.bincount(minlength=5)
    assert counts[META_ACTIONS.index("IDLE")] > 0 and counts.sum() == len(taught)


def test_a_disturbed_driver_does_something_else_now_and_then_and_the_teacher_labels_it():
    world = World(ID, 4)
    recordings = record(world, DisturbedDriver(RuleDriver(), 5, rate=0.5), seed_set("train", 4))
    taught = demonstrations(recordings, RADAR_ONLY, teacher=RuleDriver())
    done = torch.cat([recording.actions[: int((taught.episode == number).sum())] for number, recording in enumerate(recordings)])
    share = (done != taught.actions).float().mean()
    assert 0.2 < float(share) < 0.6  # half are drawn, a fifth of those by chance the same
    scene = recordings[0].at_decisions().select(slice(0, 1))
    assert int(RuleDriver().act(scene, None, None)[0]) == int(taught.actions[0])


def test_decisions_after_a_crash_are_left_out():
    recordings = record(World(ID, 4), driver_named("faster", 5), seed_set("train", 4))
    taught = demonstrations(recordings, RADAR_ONLY)
    for number, recording in enumerate(recordings):
        ends = (recording.terminated | recording.truncated).nonzero().flatten()
        assert int((taught.episode == number).sum()) == int(ends[0]) + 1


def test_a_clone_learns_what_can_be_seen_and_reports_on_unseen_episodes(make_env, observe):
    observations = {name: value.repeat(200, *[1] * (value.ndim - 1)) for name, value in observe(1).items()}
    observations["ego"] = torch.rand(200, 9, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    actions = (observations["ego"][:, 0] > 0).long() * 3
    taught = Demonstrations(observations, actions, torch.arange(200) // 10)
    model = FusedPPO(env=make_env(), rig="micro", n_steps=8, batch_size=16, device="cpu", seed=0)
    report = clone(model, taught, CloneConfig(epochs=10, batch=16, lr=3e-3))
    assert (report.decisions, report.held_out) == (180, 20)
    assert report.accuracy > 0.85 > report.majority
    assert set(report.recall) == {"LANE_LEFT", "FASTER"}


def test_a_clone_with_memory_learns_what_only_the_past_tells(make_env, observe):
    observations = {name: value.repeat(240, *[1] * (value.ndim - 1)) for name, value in observe(1).items()}
    shown = torch.rand(60, generator=torch.Generator().manual_seed(0)).round()
    ego = torch.zeros(60, 4)
    ego[:, 0] = 2.0 * shown - 1.0  # a sign in the first decision says what to do in all four
    observations["ego"] = torch.cat((ego.reshape(-1, 1), torch.zeros(240, 8)), 1)
    taught = Demonstrations(observations, shown.long().repeat_interleave(4) * 3, torch.arange(60).repeat_interleave(4))
    reports = {}
    for temporal in ("none", "gru"):
        model = FusedPPO(env=make_env(), rig="micro", temporal=temporal, n_steps=8, batch_size=16, device="cpu", seed=0)
        reports[temporal] = clone(model, taught, CloneConfig(epochs=12, batch=32, lr=1e-2))
    assert reports["gru"].accuracy > 0.95
    assert reports["none"].accuracy < 0.9


def test_a_memorys_demonstrations_are_unrolled_as_they_were_driven(make_env, observe):
    from drive_fusion.cloning import _distribution

    model = FusedPPO(env=make_env(), rig="micro", temporal="gru", n_steps=8, batch_size=16, device="cpu", seed=0)
    seen = observe(7)
    taught = Demonstrations(seen, torch.zeros(7, dtype=torch.int64), torch.tensor([5, 5, 5, 2, 2, 2, 2]))
    found = _distribution(model, taught).distribution.probs
    for rows in (range(3), range(3, 7)):
        state = None
        for row in rows:
            one = {name: part[row : row + 1] for name, part in seen.items()}
            starts = torch.tensor([row == rows[0]])
            features, state = model.policy.features_extractor.advance(
                one, state or model.policy.features_extractor.initial_state(1), starts
            )
            expected = model.policy._get_action_dist_from_latent(model.policy.mlp_extractor.forward_actor(features)).distribution.probs
            assert torch.allclose(found[row], expected[0], atol=1e-5)


def test_one_episode_is_not_enough(make_env, observe):
    taught = Demonstrations(observe(10), torch.zeros(10, dtype=torch.int64), torch.zeros(10, dtype=torch.int64))
    model = FusedPPO(env=make_env(), rig="micro", n_steps=8, batch_size=16, device="cpu", seed=0)
    with pytest.raises(ConfigError, match="at least 2 episodes"):
        clone(model, taught)
    with pytest.raises(ConfigError, match="no recorded decisions"):
        demonstrations([], RADAR_ONLY)


def test_the_rules_chances_are_its_worth_and_name_its_action_first():
    scenes = record(World(ID, 4), DisturbedDriver(RuleDriver(), 5, rate=0.5), seed_set("train", 4))[0].at_decisions()
    rule = RuleDriver()
    worth, chances = rule.worth_m(scenes), rule.chances(scenes)
    assert torch.allclose(chances.sum(1), torch.ones(len(chances)))
    assert torch.equal(chances.argmax(1), worth.argmax(1)) and torch.equal(rule.act(scenes, None, None)[0], worth.argmax(1))
    by_hand = (worth[:, 3] - worth[:, 4]) / rule.undecided_m
    near = by_hand.abs() < 20.0
    assert bool(near.any())
    assert torch.allclose((chances[:, 3] / chances[:, 4]).log()[near], by_hand[near].float(), atol=1e-3)


def test_chances_teach_what_a_single_label_hides(make_env, observe):
    """Two actions are as good, the label always names the first: only who is told the chances learns that the second would do."""
    observations = {name: value.repeat(200, *[1] * (value.ndim - 1)) for name, value in observe(1).items()}
    chances = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0]).expand(200, 5)
    told = {}
    for name, given in (("label", None), ("chances", chances)):
        taught = Demonstrations(observations, torch.ones(200, dtype=torch.int64), torch.arange(200) // 10, chances=given)
        model = FusedPPO(env=make_env(), rig="micro", n_steps=8, batch_size=16, device="cpu", seed=0)
        clone(model, taught, CloneConfig(epochs=10, batch=16, lr=3e-3))
        one = {part: value[:1] for part, value in observations.items()}
        told[name] = model.policy.get_distribution(one).distribution.probs[0].detach()
    assert told["label"][1] > 0.9
    assert told["chances"][[1, 3]].min() > 0.4


def test_lessons_are_the_same_however_many_are_recorded_at_once(monkeypatch):
    whole = lessons(ID, RADAR_ONLY, RuleDriver(), 6, seed=3, conditions="mixed")
    monkeypatch.setattr(demonstrations_module, "RENDER_BATCH", 2)
    parts = lessons(ID, RADAR_ONLY, RuleDriver(), 6, seed=3, conditions="mixed")
    assert torch.equal(whole.actions, parts.actions) and torch.equal(whole.episode, parts.episode)
    assert torch.equal(whole.chances, parts.chances)
    assert all(torch.equal(whole.observations[name], part) for name, part in parts.observations.items())
    assert whole.quality.frames == parts.quality.frames == len(whole)


def test_a_driver_of_privileged_state_can_be_taught_and_can_teach():
    taught = lessons(ID, "privileged", RuleDriver(), 8)
    model = learner(TrainConfig(rig="privileged", num_envs=2, n_steps=16, batch=32, device="cpu"))
    report = clone(model, taught, CloneConfig(epochs=8, batch=32))
    assert report.nll < 1.6  # log 5 is 1.61
    passed_on = lessons(ID, RADAR_ONLY, PolicyDriver(model), 2)
    assert passed_on.chances.shape == (len(passed_on), 5)
    assert torch.equal(passed_on.chances.argmax(1), passed_on.actions)


def test_modality_dropout_alone_does_not_need_whole_episodes(make_env, observe):
    from drive_fusion.cloning import _batches

    model = FusedPPO(env=make_env(), rig="micro", modality_dropout=0.5, n_steps=8, batch_size=16, device="cpu", seed=0)
    taught = Demonstrations(observe(40), torch.zeros(40, dtype=torch.int64), torch.arange(40) // 10)
    rows = _batches(model, taught, torch.arange(40), 8, torch.Generator().manual_seed(0))
    assert [len(part) for part in rows] == [8] * 5
    assert any(len(torch.unique(taught.episode[part])) > 2 for part in rows)


def test_only_alike_demonstrations_are_joined(observe):
    plain = Demonstrations(observe(2), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]))
    telling = Demonstrations(observe(2), torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]), chances=torch.ones(2, 5) / 5)
    assert Demonstrations.join([plain, plain]).episode.tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="chances in all of them or in none"):
        Demonstrations.join([plain, telling])


def test_an_action_that_the_teacher_likes_nearly_as_much_is_no_mistake():
    from drive_fusion.cloning import _as_good

    chances = torch.tensor([[0.5, 0.4, 0.1], [0.5, 0.24, 0.26], [0.1, 0.1, 0.8]])
    told = Demonstrations({}, chances.argmax(1), torch.arange(3), chances=chances)
    plain = Demonstrations({}, chances.argmax(1), torch.arange(3))
    rows = torch.tensor([2, 0, 1])
    assert _as_good(told, rows, torch.tensor([1, 1, 1])).tolist() == [False, True, False]
    assert _as_good(told, rows, torch.tensor([2, 0, 2])).tolist() == [True, True, True]
    assert _as_good(plain, rows, torch.tensor([2, 1, 0])).tolist() == [True, False, True]
