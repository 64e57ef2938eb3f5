"""Commands and evaluation of worlds with several agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from stable_baselines3 import PPO

import envs
from drive_fusion.cli import main
from drive_fusion.evaluation import baselines, evaluate
from drive_fusion.policy_driver import PolicyDriver, driver_of
from envs import World
from sensors.errors import ConfigError

V1 = "intersection-multi-agent-v1"
QUICK: dict[str, Any] = {"initial_vehicle_count": 3, "simulation_frequency": 5, "duration": 6}
LANES = {"action": {"type": "MultiAgentAction", "action_config": {"type": "DiscreteMetaAction"}}}


def test_baselines_drive_and_score_each_agent() -> None:
    rows = baselines(V1, [3, 4, 5], config=QUICK, scores=True)
    assert [row.driver for row in rows] == ["random", "slower", "idle", "faster", "idm"]
    for row in rows:
        assert {"return", "crashed", "score", "progress_m", "success", "nuplan", "progress_vs_idm"} <= row.per_seed.keys()
        assert set(row["crashed"]) <= {0.0, 1.0}
    by_name = {row.driver: row for row in rows}
    assert by_name["idm"]["progress_vs_idm"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert (by_name["slower"]["progress_m"] < by_name["faster"]["progress_m"]).all()
    assert (by_name["slower"]["return"] < by_name["faster"]["return"]).any()


def test_figures_do_not_depend_on_how_many_run_side_by_side() -> None:
    alone, together = (evaluate("random", V1, [3, 4, 5], num_worlds=worlds, config=QUICK) for worlds in (1, 3))
    assert alone.per_seed == together.per_seed


def test_a_model_drives_each_agent_by_what_it_observes() -> None:
    env = envs.make_sb3_vec(V1, 2, config=QUICK, seed=1)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8, n_epochs=1, device="cpu", seed=0)
    world = World(V1, 2, config=QUICK)
    world.reset([1, 2])
    actions, _ = PolicyDriver(model, world=world).act(world.scene, None, None)
    seen = world.observation().numpy()
    expected = [[int(model.predict(seen[row, agent], deterministic=True)[0]) for agent in range(2)] for row in range(2)]
    assert actions.tolist() == expected
    assert len(evaluate(model, V1, [1, 2], config=QUICK)["return"]) == 2


def test_a_model_that_sees_through_a_rig_and_one_without_every_agents_sight_are_refused() -> None:
    model = PPO("MlpPolicy", envs.make_sb3_vec(V1, 1, config=QUICK), n_steps=4, batch_size=8, device="cpu")
    with pytest.raises(ConfigError, match="looks from actor 0 alone"):
        PolicyDriver(model, "micro", World(V1, 1, config=QUICK))
    first_sees = World(V1, 1, config=QUICK | {"observation": {"type": "Kinematics"}})
    first_sees.reset([1])
    with pytest.raises(ConfigError, match="the first agent's alone"):
        PolicyDriver(model, world=first_sees).act(first_sees.scene, None, None)


def test_the_rule_driver_drives_each_agent_where_there_are_lanes_to_choose() -> None:
    world = World(V1, 2, config=QUICK | LANES)
    world.reset([1, 2])
    assert driver_of("rule", world).act(world.scene, None, None)[0].shape == (2, 2)
    speeds = World(V1, 2, config=QUICK)
    speeds.reset([1, 2])
    with pytest.raises(ConfigError, match="five meta-actions"):
        driver_of("rule", speeds).act(speeds.scene, None, None)


def test_a_function_is_asked_once_for_all_agents() -> None:
    found = evaluate(lambda scene, frames: torch.ones(scene.num_worlds, 2, dtype=torch.int64), V1, [1], config=QUICK)
    assert found.per_seed == evaluate("idle", V1, [1], config=QUICK).per_seed
    with pytest.raises(ConfigError, match=r"shape \(1, 2\)"):
        evaluate(lambda scene, frames: torch.ones(scene.num_worlds, dtype=torch.int64), V1, [1], config=QUICK)


def test_run_drives_records_and_says_whether_any_crashed(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--id", V1, "--driver", "random", "--episodes", "6", "--config", json.dumps(QUICK), "--record", str(tmp_path)]
    assert main(["run", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    for seed, line in enumerate(lines[:6]):
        recording = envs.Recording.load(tmp_path / f"seed-{seed}.parquet")
        ends = (recording.terminated | recording.truncated).nonzero().flatten()
        assert recording.actions.shape[1:] == (2,) and int(ends[0]) + 1 == len(recording.actions)
        assert ("crashed" in line) == bool(recording.scenes.crashed[-1, :2].any())
    assert recording.replay().differences(recording) == []
