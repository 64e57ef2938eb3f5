"""Learning in turns: it resumes after a kill at every stage, stops when the reward is gamed, approves no parked car, and tells it all."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drive_fusion.loop import rounds
from drive_fusion.loop.asking import PANEL, let_scripts_answer, wait_for_people
from drive_fusion.loop.config import LoopConfig
from drive_fusion.loop.driven import driven
from drive_fusion.loop.gate import Driven, judge, shut
from drive_fusion.policy_driver import driver_of
from drive_fusion.ppo import FusedPPO
from drive_fusion.report.config import ReportConfig
from drive_fusion.report.page import run_report
from drive_fusion.report.turns import runs_in_turns
from drive_fusion.study import Study
from drive_fusion.training import TrainConfig, learner, train
from envs.rollout import record
from envs.seeds import seed_set
from envs.world import World
from feedback.clips import ClipShelf
from feedback.learning import ride_windows
from feedback.reward_fit import Comparison, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.store import Store
from sensors.errors import ConfigError

ID = "highway-fast-v0"
SLOWER, FASTER = 4, 3


def tiny(study, **changed) -> TrainConfig:
    loop = {"rounds": 1, "labels": 48, "episodes": 12, "panel": 8} | changed.pop("loop", {})
    settings = {"id": ID, "rig": "none", "num_envs": 8, "n_steps": 16, "batch": 128, "steps": 128, "device": "cpu", "threads": 1}
    return TrainConfig(study=study, alternate=True, loop=LoopConfig(**loop), **settings | changed)


def always(path, action: int):
    """A checkpoint that always does one thing."""
    model = learner(replace(tiny(path.parent), alternate=False))
    with torch.no_grad():
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.fill_(-20.0)
        model.policy.action_net.bias[action] = 20.0
    model.save(path)
    return path


def kept(config: TrainConfig) -> dict:
    """What a run came to, without what a clock says."""
    memory = Study(config.folder)
    stages = {stage: memory.outcome(f"0 {stage}") for stage, _ in rounds.STAGES}
    with Store(config.study / "feedback.db") as store:
        answers = sorted((label.clip_a, label.clip_b, label.reason, label.choice, label.reviewer) for label in store.labels())
    weights = FusedPPO.load(rounds.Turn(config, 0, memory).candidate, device="cpu").policy.state_dict()
    return {"stages": stages, "answers": answers, "weights": {name: part.numpy() for name, part in weights.items()}}


def test_a_run_killed_after_the_work_of_every_stage_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("feedback.reward_fit._reviewers", lambda *arguments: None)  # a report that takes most of the time
    whole = tiny(tmp_path / "whole")
    train(whole)
    broken = tiny(tmp_path / "broken")
    for stage, work in rounds.STAGES:

        def work_then_die(turn, work=work):
            work(turn)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(rounds, "STAGES", tuple((name, work_then_die if name == stage else run) for name, run in rounds.STAGES))
            with pytest.raises(KeyboardInterrupt):
                train(replace(broken, resume=Study(broken.folder).settings() != {}))
        assert Study(broken.folder).outcome(f"0 {stage}") is None
    train(replace(broken, resume=True))
    one, other = kept(whole), kept(broken)
    assert one["answers"] == other["answers"], "nothing is answered twice, nothing is lost"
    assert len(one["answers"]) == 48 + sum(answer[2] == PANEL for answer in one["answers"])
    for name in ("clips", "scores", "panel", "verdict"):
        assert one["stages"][name] == other["stages"][name], name
    for name, part in one["weights"].items():
        np.testing.assert_array_equal(part, other["weights"][name], err_msg=name)


def test_a_run_is_not_begun_over_another_and_not_resumed_as_another(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "STAGES", ())
    monkeypatch.setattr(rounds, "_line", lambda turn: "")
    monkeypatch.setattr(Study, "outcome", lambda self, stage: {"stop": True})
    config = tiny(tmp_path / "study")
    train(config)
    with pytest.raises(ConfigError, match="exists; go on with --resume"):
        train(config)
    with pytest.raises(ConfigError, match="labels.*48.*49|loop"):
        train(replace(config, resume=True, loop=replace(config.loop, labels=49)))
    train(replace(config, resume=True, steps=config.steps, loop=replace(config.loop, rounds=5)))
    with pytest.raises(ConfigError, match="leave crash_penalty out"):
        train(replace(config, run="other", crash_penalty=3.0))


def test_ppo_in_a_process_of_its_own_leaves_a_checkpoint_or_says_that_it_failed(tmp_path, capfd):
    plan = replace(tiny(tmp_path / "study"), alternate=False)
    rounds._in_a_process_of_its_own(plan)
    assert FusedPPO.load(plan.last_checkpoint, device="cpu").num_timesteps == 128
    with pytest.raises(rounds.RoundFailed, match="status 1"):
        rounds._in_a_process_of_its_own(replace(plan, run="other", warm_start=tmp_path / "nowhere"))
    assert "nowhere" in capfd.readouterr().err


def learn_from_speed(turn):
    """Plant a reward that is gamed: it was learned from speed alone, whatever the reviewers said."""
    with Store(turn.study.database) as store:
        shelf = ClipShelf(store)
        pairs = [(one, other) for _, one, other, reason in store.pairs() if reason != PANEL]
        names = {name for pair in pairs for name in pair}
        config = RewardConfig(members=2, folds=4, reviewer_draws=0)
        speed = {name: float(shelf.decisions(name).scene.speed_mps[:, 0].mean()) for name in names}
        rides = {name: ride_windows(shelf, name, config.windows) for name in names}
        answers = [Comparison(one, other, "A" if speed[one] > speed[other] else "B") for one, other in pairs]
        model, _ = fit_reward(rides, answers, (), config)
    turn.reward.parent.mkdir(parents=True, exist_ok=True)
    replace(model, net=_without_ends(model.net)).save(turn.reward)
    return {"labels_sha256": "", "comparisons": len(answers), "accuracy": 1.0, "nll": 0.0}


def _without_ends(net):
    """A crash is no worse than driving fast: what comes after it pays as well as the best of driving."""
    with torch.no_grad():
        net.ended.fill_(5.0)
    return net


def test_a_reward_that_is_gamed_trips_the_stop_and_is_told_in_the_report(tmp_path, monkeypatch):
    study = tmp_path / "study"
    slow, fast = always(tmp_path / "slow", SLOWER), always(tmp_path / "fast", FASTER)

    def race(turn):
        FusedPPO.load(fast, device="cpu").save(turn.candidate)
        return {"steps": 0, "run": turn.name}

    planted = {"reward": learn_from_speed, "driver": race}
    monkeypatch.setattr(rounds, "STAGES", tuple((name, planted.get(name, run)) for name, run in rounds.STAGES))
    config = tiny(study, warm_start=slow, loop={"rounds": 3, "panel": 12})
    train(config)
    verdict = Study(config.folder).outcome("0 verdict")
    assert verdict["stop"] and not verdict["approved"], verdict
    assert Study(config.folder).outcome("1 clips") is None, "it stops, whatever rounds are left"
    assert not (config.folder / "checkpoints" / "approved").exists()
    assert run_report(ReportConfig(study)) == 0
    page = (study / "report.html").read_text()
    for words in ("was stopped in round 0", "being gamed", "48 of scripts", "takeovers / 100 km", "collisions / 100 km", "progress, m"):
        assert words in page, words
    (run,) = runs_in_turns(Study(study))
    assert run.labels(0) == {"people": 0, "scripts": 48}


@pytest.fixture(scope="module")
def model():
    """A reward that pays the same for everything; gates look past it."""
    from feedback.reward_model import RewardNet
    from feedback.windows import WindowConfig, feature_names

    net = RewardNet(len(feature_names(WindowConfig())), 4, 2, torch.Generator().manual_seed(0)).requires_grad_(False)
    return RewardModel(RewardConfig(), net, torch.randn(16, len(feature_names(WindowConfig()))))


def test_the_gate_refuses_a_parked_car(model):
    """On intersection-v0 SLOWER parks: no crash, hardly a takeover, and it gets nowhere."""
    seeds = seed_set("validation", 24)
    world = World("intersection-v0", len(seeds))
    parked, moving = (driven(record(world, driver_of(name, world), seeds), model) for name in ("slower", "idle"))
    assert sum(parked.takeovers) < sum(moving.takeovers) and sum(parked.crashed) < sum(moving.crashed)
    assert any("takeovers fall while progress falls" in reason for reason in shut(parked, moving))
    assert not judge(parked, moving, [1.0] * 24).approved, "not even if the panel likes it"
    assert not [reason for reason in shut(moving, parked) if "takeovers" in reason]


def rides(**changed) -> Driven:
    plain = {"learned": 1.0, "progress_m": 300.0, "crashed": 0.0, "takeovers": 0.0, "distance_m": 310.0} | changed
    return Driven(**{name: tuple(np.broadcast_to(value, 20).tolist()) for name, value in plain.items()})


def test_what_the_gate_says():
    some = np.arange(20) < 6
    noisy = 300.0 + np.arange(20) % 3
    assert judge(rides(progress_m=noisy + 20.0), rides(progress_m=noisy, takeovers=some), [0.6] * 20).approved
    refused = judge(rides(progress_m=noisy - 20.0), rides(progress_m=noisy, takeovers=some), [0.6] * 20)
    assert not refused.approved and "takeovers fall while progress falls" in refused.why
    assert "progress falls" in judge(rides(progress_m=noisy - 20.0), rides(progress_m=noisy), [0.5] * 20).why
    assert judge(rides(progress_m=noisy - 20.0, takeovers=some), rides(progress_m=noisy), [0.5] * 20).approved, "the panel did not mind"
    assert "crashes rise" in judge(rides(crashed=some), rides(), [0.5] * 20).why
    lost = judge(rides(learned=0.5), rides(), [0.0] * 15 + [1.0] * 5)
    assert not lost.approved and not lost.stop, "a loss on both sides is no gaming"
    assert judge(rides(learned=1.5), rides(), [0.0] * 15 + [1.0] * 5).stop
    assert not judge(rides(learned=1.5), rides(), [0.0] * 11 + [1.0] * 9).stop, "within chance"


def test_figures_per_100_km():
    driven_ = rides(takeovers=np.arange(20) < 2, crashed=np.arange(20) < 1, distance_m=500.0)
    assert driven_.takeovers_per_100km == pytest.approx(20.0)
    assert driven_.collisions_per_100km == pytest.approx(10.0)
    assert rides(distance_m=0.01).takeovers_per_100km is None, "a parked car has no rate to be proud of"
    assert asdict(driven_)["takeovers"] == driven_.takeovers


def pairs_that_want_a_label(shelf: ClipShelf) -> list[int]:
    """Three pairs of rides of two drivers, each of which wants one."""
    from feedback.clips import cut_clips

    world = World(ID, 2)
    clips = [cut_clips(ride, count=1)[0] for name in ("idle", "slower") for ride in record(world, driver_of(name, world), [1, 2])]
    names = [shelf.add(clip) for clip in clips]
    return [shelf.store.add_pair(names[one], names[other], labels_wanted=1) for one, other in ((0, 2), (1, 3), (0, 3))]


def test_waiting_ends_when_people_have_answered(tmp_path, capsys):
    with Store(tmp_path / "feedback.db") as store:
        pairs = pairs_that_want_a_label(ClipShelf(store))[:2]
        person, _ = store.add_reviewer("somebody")
        waiting = threading.Thread(target=wait_for_people, args=(store, pairs, 0.02, tmp_path))
        waiting.start()
        store.add_label(person, pairs[0], "A", 2.0)
        waiting.join(0.3)
        assert waiting.is_alive(), "one pair is open"
        store.add_label(person, pairs[1], "cannot", 2.0)
        waiting.join(5.0)
        assert not waiting.is_alive()
    assert "drive-fusion review" in capsys.readouterr().err


def test_a_pair_that_somebody_is_at_is_left_to_them_and_is_a_scripts_again_when_they_go(tmp_path, monkeypatch):
    """People in the review room are shown whatever has videos, also what scripts were to answer."""
    from feedback import queries

    with Store(tmp_path / "feedback.db") as store:
        shelf = ClipShelf(store)
        pairs = pairs_that_want_a_label(shelf)
        person, _ = store.add_reviewer("somebody")
        assert [given.pair_id for given in store.next_pairs(person, 2)] == pairs[:2]
        scripts = partial(let_scripts_answer, store, shelf, pairs, ["oracle"], ID)
        assert scripts() == pairs[:2]
        assert {label.pair_id: label.scripted for label in store.labels()} == {pairs[2]: True}
        waiting = threading.Thread(target=wait_for_people, args=(store, [], 0.02, tmp_path, scripts))
        waiting.start()
        store.add_label(person, pairs[0], "A", 2.0)
        waiting.join(0.3)
        assert waiting.is_alive(), "somebody is still at the second"
        later = time.time() + 2 * queries.LEASE_S
        monkeypatch.setattr(queries, "time", SimpleNamespace(time=lambda: later))
        waiting.join(5.0)
        assert not waiting.is_alive()
        assert {label.pair_id: label.scripted for label in store.labels()} == {pairs[0]: False, pairs[1]: True, pairs[2]: True}
