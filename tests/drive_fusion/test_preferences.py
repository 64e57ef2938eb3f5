"""The benchmark of learned rewards: its figures, its plan that goes on, and the parts its trials are made of."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from drive_fusion.bench import preferences
from drive_fusion.bench.preferences import PreferencesBench, Results, Trial, bench_preferences, trials
from drive_fusion.loop import trial as trial_module
from drive_fusion.loop.ahead import AHEAD_S, RESPONSE_S, TARGETS_MPS, AheadVecEnv, Track
from drive_fusion.loop.rides import answered, ask, drive, tempers
from drive_fusion.loop.taste import CROSSING, HIGHWAY, taste_of
from drive_fusion.loop.trial import Changed, Outcome, TrialConfig
from envs.rollout import record
from envs.sb3 import make_sb3_vec
from envs.seeds import seed_set
from envs.world import World
from feedback.clips import Clip
from feedback.reward_vec import RewardVecEnv
from feedback.scripted import Teacher, true_reward
from feedback.windows import WindowConfig
from sensors.errors import ConfigError

ID = "intersection-v0"


@pytest.fixture(scope="module")
def track() -> Track:
    return Track.surveyed(ID)


def made_up(kind: str, value: float, seed: int = 0, crashed: float = 0.1) -> Outcome:
    drawn = np.random.default_rng(seed).normal(0.0, 0.5, 200)
    return Outcome(tuple((value + drawn - drawn.mean()).tolist()), tuple((np.arange(200) < 200 * crashed).astype(float).tolist()))


def test_shares_of_the_gap_and_crashes():
    kept = {Trial("constant", seed=action): vars(made_up("c", value)) for action, value in enumerate((1.0, 2.0, 0.0))}
    for seed in range(3):
        kept[Trial("true", seed=seed)] = vars(made_up("t", 6.0, seed))
        kept[Trial("oracle", 500, 0.0, seed)] = vars(made_up("o", 5.0, seed, 0.12))
        kept[Trial("oracle", 500, 2.0, seed)] = vars(made_up("o", 4.8, seed, 0.12))
    figures = Results(kept, 3, resamples=200).figures()
    assert figures["gap"] == pytest.approx(4.0)
    assert figures["oracle.500.gap_percent"] == pytest.approx(75.0)
    assert figures["oracle.500.gap_percent.low"] < 75.0 < figures["oracle.500.gap_percent.high"]
    assert figures["oracle.500.more_crashes_points"] == pytest.approx(2.0)
    assert figures["oracle.500.offset+2.moved_percent"] == pytest.approx(-5.0)


def test_the_plan_goes_on_where_it_stopped_and_refuses_other_settings(tmp_path, monkeypatch):
    run: Counter[str] = Counter()

    def note(kind, value):
        def outcome(config, *arguments):
            run[kind] += 1
            if run.total() == 7:
                raise KeyboardInterrupt
            return made_up(kind, value, run.total())

        return outcome

    monkeypatch.setattr(trial_module, "constant_outcome", note("constant", 1.0))
    monkeypatch.setattr(trial_module, "true_outcome", note("true", 6.0))
    monkeypatch.setattr(trial_module, "learned_outcome", note("learned", 5.0))
    monkeypatch.setattr(Track, "surveyed", classmethod(lambda cls, id: None))
    config = PreferencesBench(labels=(100, 500), teacher=("oracle",), seeds=2, folder=tmp_path)
    planned = len(list(trials(config)))
    assert planned == 3 + 2 * (1 + 2 + 2)
    with pytest.raises(KeyboardInterrupt):
        bench_preferences(config)
    figures = bench_preferences(config)
    assert run.total() == planned + 1, "only the one that was cut off is run again"
    assert figures["oracle.500.gap_percent"] == pytest.approx(80.0, abs=0.1)
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "summary.json").read_text())["figures"] == figures
    bench_preferences(config)
    assert run.total() == planned + 1
    with pytest.raises(ConfigError, match="other settings"):
        bench_preferences(PreferencesBench(labels=(100, 500), teacher=("oracle",), seeds=2, folder=tmp_path, steps=1000))
    with pytest.raises(ConfigError, match="teacher"):
        bench_preferences(PreferencesBench(teacher=("orakel",), folder=tmp_path))
    with pytest.raises(ConfigError, match="offset_labels"):
        PreferencesBench(labels=(100,))
    assert preferences.CONSTANTS[Results({t: preferences._load(config, t) for t in trials(config)}, 2).best_constant] == "slower"


def test_clearances_are_those_of_a_slow_look(track):
    """Against one point at a time: the ego on its line by the speed controller's law, others straight on."""
    world = World(ID, 4)
    scene = world.reset(seed_set("validation", 4))
    for _ in range(3):
        scene, _ = world.step(torch.full((4,), 2))
    place_m, clearance_m = track.clearances(scene)
    for number in range(4):
        nearest = (track.line_m - scene.position_m[number, 0]).norm(dim=-1).min()
        assert float(nearest) < 0.5, "the ego is on its track"
        speed = float(scene.speed_mps[number, 0])
        for row, target in enumerate(TARGETS_MPS):
            for column, ahead_s in enumerate(AHEAD_S):
                run_m = target * ahead_s + (speed - target) * RESPONSE_S * (1.0 - np.exp(-ahead_s / RESPONSE_S))
                at = track.line_m[int((track.run_m - place_m[number] - run_m).abs().argmin())]
                others = scene.position_m[number, 1:] + ahead_s * scene.velocity_mps[number, 1:]
                apart = (others - at).norm(dim=-1)[scene.valid[number, 1:]]
                told = float(clearance_m[number, row, column])
                assert told == pytest.approx(min(float(apart.min()), 20.0) if len(apart) else 20.0, abs=0.6)


def test_look_ahead_fits_its_space_and_tells_the_time(track):
    env = AheadVecEnv(make_sb3_vec(ID, 6, rig=trial_module.BLIND, seed=1), track)
    seen = env.reset()
    for step in range(15):
        assert all(env.observation_space.contains(row) for row in seen)
        before = seen[:, 0]
        seen, _, dones, infos = env.step(np.full(6, 2))
        assert np.allclose(seen[:, 0], np.where(dones, 0.0, before + 1 / 13), atol=1e-6)
        for world in np.flatnonzero(dones):
            assert infos[world]["terminal_observation"][0] == pytest.approx(before[world] + 1 / 13), step
    with pytest.raises(ConfigError, match="speed alone"):
        Track.surveyed("highway-fast-v0")


def test_rides_are_what_the_learner_is_paid(track):
    """The same episodes through the vector environment: paid over the fixed horizon, they return what the ride says."""
    seeds = seed_set("validation", 12)
    world = World(ID, 5)
    rides = drive(world, lambda scene, decision: torch.ones(scene.num_worlds, dtype=torch.int64), seeds, CROSSING, WindowConfig())
    env = RewardVecEnv(make_sb3_vec(ID, 12, seeds=seeds), Changed(CROSSING, 0.5, offset=2.0), 1.0, 13)
    env.reset()
    total, running = np.zeros(12), np.ones(12, bool)
    for _ in range(13):
        _, paid, dones, _ = env.step(np.ones(12, np.int64))
        total += paid * running
        running &= ~dones
    assert not running.any()
    np.testing.assert_allclose(total, 0.5 * (rides.returns.numpy() + 13 * 2.0), rtol=1e-4, atol=1e-4)
    assert 0 < int(rides.crashed.sum()) < 12
    assert torch.equal(rides.crashed, rides.ended[:, -1] & (rides.dead[:, -1] | (rides.reward < -5.0).any(1)))


def test_the_highway_taste_is_the_scripted_teachers():
    world = World("highway-fast-v0", 6)
    from envs.drivers import driver_named

    for ride in record(world, driver_named("random", world.num_actions), seed_set("validation", 6)):
        decisions = Clip(ride, 0, False).decisions()
        own = HIGHWAY.reward(decisions.scene, decisions.actions, decisions.next_scene, decisions.terminal)
        torch.testing.assert_close(torch.where(decisions.over, 0.0, own), true_reward(decisions), rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="taste"):
        taste_of("merge-v0")


def test_questions_stay_in_blocks_and_oracles_prefer_the_larger_return():
    seeds = seed_set("train", 48, seed=5)
    world = World(ID, 48)
    rides = drive(world, tempers(seeds, 3, seed=1), seeds, CROSSING, WindowConfig())
    assert float(rides.returns.std()) > 1.0, "tempers differ"
    questions = ask(rides, 60, 8, seed=2, newest=24)
    assert len({frozenset(question.rides) for question in questions}) == 60
    shown, comparisons = answered(rides, questions, 8, Teacher(), seed=0)
    for question, comparison in zip(questions, comparisons, strict=True):
        one, other = question.rides
        assert max(one, other) >= 24 and int(seeds[one]) % 12 == int(seeds[other]) % 12
        returned = [float(rides.reward[ride, at : at + 8].sum()) for ride, at in zip(question.rides, question.starts, strict=True)]
        assert comparison.answer == ("tie" if abs(returned[0] - returned[1]) < 1e-6 else "A" if returned[0] > returned[1] else "B")
        assert len(shown[comparison.first].seen.features) == 8
    crashed = [ride for question in questions for ride in question.rides if bool(rides.dead[ride, -2])]
    assert crashed, "what follows a crash is seen"
    with pytest.raises(ConfigError, match="6 or more"):
        ask(rides, 10, 5, seed=0)


def test_a_trial_from_answers_to_scores(track):
    config = TrialConfig(steps=2000, num_envs=16, batch=104, epochs=1, rides=48, test_seeds=24, rounds=2)
    outcome = trial_module.learned_outcome(config, 0, track, "mistake", 60, offset=1.0)
    assert (outcome.labels, len(outcome.fits), len(outcome.returns)) == (60, 2, 24)
    assert [fit["comparisons"] for fit in outcome.fits] == [30, 60]
    again = trial_module.learned_outcome(config, 0, track, "mistake", 60, offset=1.0)
    assert again.returns == outcome.returns, "a trial is its seed"
