"""Evaluation: hand case, independence of the batch, files, tables, and who can drive."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drive_fusion.checkpoint import CheckpointError
from drive_fusion.evaluation import Evaluation, evaluate, scores_table, table
from drive_fusion.policy_driver import PolicyDriver, driver_of
from drive_fusion.ppo import FusedPPO
from drive_fusion.rule_driver import RuleDriver
from envs.observation import pack
from envs.sb3 import make_sb3_vec
from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError
from sensors.presets import RIGS

ID = "highway-fast-v0"
SEEDS = seed_set("validation", 5)


def test_figures_equal_an_episode_followed_by_hand():
    found = evaluate("faster", ID, SEEDS[:1])
    world = World(ID, 1)
    scene, total, metres, ahead = world.reset(SEEDS[:1]), 0.0, 0.0, 0.0
    steps, over = 0, False
    while not over:
        scene, outcome = world.step(torch.tensor([3]), substeps=True)
        total += float(outcome.reward)
        steps, over = steps + 1, bool(outcome.terminated | outcome.truncated)
    again = World(ID, 1)
    last = again.reset(SEEDS[:1]).position_m[0, 0].double()
    for _ in range(steps):
        _, outcome = again.step(torch.tensor([3]), substeps=True)
        for instant in outcome.substeps:
            here = instant.position_m[0, 0].double()
            metres, ahead, last = metres + float((here - last).norm()), ahead + float((here - last)[0]), here
    assert found["return"][0] == pytest.approx(total, rel=1e-6)
    assert found["progress_m"][0] == pytest.approx(ahead, rel=1e-6)  # the highway's lanes run along x
    assert found["crashed"][0] == float(scene.crashed[0, 0])
    assert found["time_s"][0] == pytest.approx(steps * world.policy_dt_s)
    assert found["speed_mps"][0] == pytest.approx(metres / (steps * world.policy_dt_s), rel=1e-6)


def test_figures_do_not_depend_on_the_batch():
    together, apart = evaluate("random", ID, SEEDS), evaluate("random", ID, SEEDS, num_worlds=2)
    assert together.per_seed == apart.per_seed
    assert len(together["return"]) == len(SEEDS) and len(set(together["return"])) > 1


def test_the_other_scores_are_told_when_asked_for():
    idm, slower = (evaluate(name, ID, SEEDS, scores=True) for name in ("idm", "slower"))
    assert (idm["progress_vs_idm"] == 1.0).all() and (idm["route_completion"] == 1.0).all()
    assert np.allclose(slower["progress_vs_idm"], slower["progress_m"] / idm["progress_m"])
    assert (slower["epdms"] > 0.0).any() and "IDM" in slower.versions["nuplan"] and slower.versions["epdms"].startswith("epdms-")
    plain = evaluate("slower", ID, SEEDS)
    assert "epdms" not in plain.per_seed and plain.versions == {} and (plain["score"] == slower["score"]).all()
    text = scores_table([slower, plain])
    assert "EPDMS" in text and slower.versions["carla"] in text and f"{slower.mean('nuplan').value:.3f}" in text and " - " in text
    assert plain.score_version in table([plain])


def test_idm_outlives_full_throttle():
    idm, faster = evaluate("idm", ID, SEEDS), evaluate("faster", ID, SEEDS)
    assert idm.crash_rate.value < faster.crash_rate.value
    assert idm.ahead_of(faster, "score").low > 0.0


def test_the_rule_gets_further_than_idm():
    seeds = seed_set("validation", 24)
    assert evaluate(RuleDriver(), ID, seeds).ahead_of(evaluate("idm", ID, seeds), "progress_m").low > 0.0


def test_different_seeds_cannot_be_paired():
    with pytest.raises(ConfigError, match="other ids or seeds"):
        evaluate("idle", ID, SEEDS[:1]).ahead_of(evaluate("idle", ID, SEEDS[1:2]), "return")


def test_evaluations_come_back_from_files_and_fit_one_table(tmp_path):
    row = evaluate("slower", ID, SEEDS[:2], name="slow one", scores=True)
    row.save(tmp_path / "slow.json")
    assert Evaluation.load(tmp_path / "slow.json") == row
    text = table([row])
    assert "slow one" in text and "crashed %" in text and f"{row.mean('progress_m').value:.0f}" in text
    (tmp_path / "slow.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a saved evaluation"):
        Evaluation.load(tmp_path / "slow.json")


def test_models_functions_and_folders_drive(tmp_path):
    venv = make_sb3_vec(ID, 2)
    model = FusedPPO("MlpPolicy", venv, n_steps=8, batch_size=16, device="cpu", seed=0)
    model.save(tmp_path / "model")
    by_model, by_folder = evaluate(model, ID, SEEDS[:2]), evaluate(tmp_path / "model", ID, SEEDS[:2])
    assert by_model.per_seed == by_folder.per_seed
    by_function = evaluate(lambda scene, frames: torch.full((scene.num_worlds,), 4), ID, SEEDS[:2])
    assert by_function.per_seed == evaluate("slower", ID, SEEDS[:2]).per_seed


def test_who_cannot_drive_is_refused(tmp_path):
    world = World(ID, 1)
    with pytest.raises(ConfigError, match="did you mean 'slower'"):
        driver_of("slowr", world)
    with pytest.raises(CheckpointError, match="no checkpoint there"):
        driver_of(tmp_path, world)
    with pytest.raises(ConfigError, match="a int cannot drive"):
        driver_of(3, world)
    with pytest.raises(ConfigError, match="no seeds"):
        evaluate("idle", ID, [])


def test_a_driver_carries_its_memory_and_forgets_where_it_is_told():
    from sensors.rendering import render

    venv = make_sb3_vec("highway-fast-v0", 2, rig="micro", seed=0)
    model = FusedPPO(env=venv, rig="micro", temporal="gru", n_steps=8, batch_size=16, device="cpu", seed=0)
    driver = PolicyDriver(model)
    world = World("highway-fast-v0", 3)
    scene = world.reset(torch.arange(3))
    state, memory = None, None
    for step in range(4):
        frames = render(scene, "micro")
        actions, state = driver.act(scene, frames, state)
        observation = {name: part.numpy() for name, part in pack(frames, RIGS["micro"]).items()}
        starts = np.array([False, step == 2, False])
        expected, memory = model.predict(observation, memory, starts, deterministic=True)
        assert np.array_equal(actions.numpy(), expected)
        assert np.allclose(state.memory["hidden"].numpy(), memory[0])
        scene, _ = world.step(actions)
        state = driver.reset(state, torch.tensor([False, step == 1, False]))
    one = evaluate(model, "highway-fast-v0", [7, 8, 9], num_worlds=3)
    assert one["return"].tolist() == evaluate(model, "highway-fast-v0", [7, 8, 9], num_worlds=2)["return"].tolist()
