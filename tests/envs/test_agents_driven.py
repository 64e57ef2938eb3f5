"""Several agents driven by what drives one ego, and scored as one ego is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from envs import World
from envs.agent_views import EachAgent, outcome_of_agent, scene_of_agent
from envs.drivers import ConstantDriver, driver_named
from envs.ids import MULTI_AGENT_IDS
from envs.scores import AgentsScores, EpisodeScores, idm_progress
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.scene import Scene

V1 = MULTI_AGENT_IDS[1]
QUICK: dict[str, Any] = {"initial_vehicle_count": 4, "simulation_frequency": 5, "controlled_vehicles": 3, "duration": 8}
STEERED = {"action": {"type": "MultiAgentAction", "action_config": {"type": "ContinuousAction"}}}


def world_of(worlds: int = 3, **config: Any) -> Any:
    world = World(V1, worlds, dtype=torch.float64, config=QUICK | config)
    world.reset(list(range(70, 70 + worlds)))
    return world


def test_an_agents_scene_has_it_as_the_ego_and_everybody_else_too() -> None:
    world = world_of()
    scene = world.scene
    seen = scene_of_agent(scene, 2)
    assert torch.equal(seen.position_m[:, 0], scene.position_m[:, 2]) and torch.equal(seen.position_m[:, 2], scene.position_m[:, 0])
    assert torch.equal(seen.position_m[:, 3:], scene.position_m[:, 3:]) and torch.equal(seen.crashed[:, 1], scene.crashed[:, 1])
    back = scene_of_agent(seen, 2)
    for name in vars(scene):
        if isinstance(getattr(scene, name), Tensor):
            assert torch.equal(getattr(back, name), getattr(scene, name)), name
    assert scene_of_agent(scene, 0) is scene


@pytest.mark.parametrize("action", ["named", "steered"])
@pytest.mark.parametrize("name", ["random", "idle", "slower", "faster", "idm"])
def test_every_scripted_driver_drives_every_agent(name: str, action: str) -> None:
    world = world_of(**(STEERED if action == "steered" else {}))
    driver = driver_named(name, world.num_actions, action_names=world.action_names, agents=world.agents)
    actions, _ = driver.act(world.scene, None, None)
    assert actions.shape == ((3, 3, 2) if action == "steered" else (3, 3))
    before = world.scene.speed_mps[:, :3]
    for _ in range(3):
        world.step(driver.act(world.scene, None, None)[0], autopilot=torch.full((3,), driver.autopilot))
    after = world.scene.speed_mps[:, :3]
    if name == "slower":
        assert (after < before).all()
    if name == "faster":
        assert (after > before - 1.5).all() and (after.mean() > before.mean() or action == "named")
    if name == "random":
        assert len(actions.reshape(9, -1).unique(dim=0)) > 1  # each agent draws its own


def test_random_agents_draw_the_same_wherever_their_world_is() -> None:
    many, alone = world_of(3), world_of(1)
    alone.reset([72])
    driver = driver_named("random", many.num_actions, agents=3)
    assert torch.equal(driver.act(many.scene, None, None)[0][2:], driver.act(alone.scene, None, None)[0])


class Nearest:
    """Idle where nobody is near the ego; remembers how often it was asked."""

    autopilot, needs_frames = False, None
    near_m = 58.0

    def act(self, scene: Scene, frames: Any, state: Any) -> tuple[Tensor, Any]:
        gaps = (scene.position_m - scene.position_m[:, :1]).norm(dim=-1).masked_fill(~scene.valid, torch.inf)
        count = torch.zeros(scene.num_worlds) if state is None else state
        return torch.where(gaps[:, 1:].amin(1) < self.near_m, 0, 1), count + 1

    def reset(self, state: Any, where: Tensor) -> Any:
        return torch.where(where, 0.0, state)


def test_a_driver_of_one_ego_drives_each_agent_from_its_place() -> None:
    world = world_of()
    team = EachAgent(Nearest(), 3)
    actions, state = team.act(world.scene, None, None)
    for agent in range(3):
        assert torch.equal(actions[:, agent], Nearest().act(scene_of_agent(world.scene, agent), None, None)[0])
    assert 0 < int(actions.sum()) < 9
    _, state = team.act(world.scene, None, state)
    assert [own.tolist() for own in state] == [[2.0, 2.0, 2.0]] * 3
    state = team.reset(state, torch.tensor([True, False, False]))
    assert [own.tolist() for own in state] == [[0.0, 2.0, 2.0]] * 3
    assert team.reset(None, torch.ones(3, dtype=torch.bool)) is None and not team.autopilot


def test_a_driver_with_a_rig_is_refused() -> None:
    with pytest.raises(ConfigError, match="looks from actor 0 alone, and the world has 3 agents"):
        EachAgent(replace(ConstantDriver(1), needs_frames=rig_named("micro")), 3)


def test_each_agent_is_scored_as_one_ego_is() -> None:
    """Who arrives succeeds, who crashes does not, and agent 0's scores are those of the ego."""
    world = world_of(16, duration=12)
    driver = driver_named("faster", world.num_actions, action_names=world.action_names, agents=3)
    several, first = AgentsScores.of_world(world, world.scene), EpisodeScores.of_world(world, world.scene)
    arrived, crashed = torch.zeros(16, 3, dtype=torch.bool), torch.zeros(16, 3, dtype=torch.bool)
    for _ in range(world.horizon_steps):
        running = several.running.clone()
        scene, outcome = world.step(driver.act(world.scene, None, None)[0], substeps=True)
        terms = several.add(scene, outcome)
        assert torch.equal(terms["pdms"][:, 0], first.add(scene, outcome)["pdms"])
        over = running & (outcome.terminated | outcome.truncated)
        crashed |= scene.crashed[:, :3] & running[:, None]
        arrived |= outcome.terms["agents_terminated"] & ~scene.crashed[:, :3] & over[:, None]
        if not several.running.any():
            break
    found, ego = several.result(), first.result()
    assert found.keys() == ego.keys() and found["pdms"].shape == (16, 3)
    assert all(torch.equal(found[name][:, 0], ego[name]) for name in ego)
    assert torch.equal(found["crashed"] > 0, crashed) and crashed.any() and not crashed.all()
    assert ((found["success"] > 0) <= arrived).all() and (found["success"] > 0).any() and (found["success"] == 0).any()
    assert (found["progress_m"][:, 1] != found["progress_m"][:, 0]).any()
    assert torch.equal(several.progress_m, found["progress_m"])


def test_the_outcome_of_an_agent_is_its_own() -> None:
    world = world_of()
    scene, outcome = world.step(torch.ones(3, 3, dtype=torch.int64), substeps=True)
    own = outcome_of_agent(outcome, 1)
    assert torch.equal(own.reward, outcome.terms["agents_rewards"][:, 1])
    assert torch.equal(own.terms["agents_rewards"], outcome.terms["agents_rewards"][:, [1, 0, 2]])
    assert torch.equal(own.substeps[-1].position_m[:, 0], scene.position_m[:, 1])


def test_idm_brings_each_agent_somewhere() -> None:
    found = idm_progress(V1, [5, 6], QUICK)
    assert found.shape == (2, 3) and (found > 20.0).all() and len(found.flatten().unique()) > 2
    assert torch.equal(idm_progress(V1, [6], QUICK), found[1:])


def test_scores_of_agents_need_agents() -> None:
    one = World("intersection-v1", 1, config={"simulation_frequency": 5})
    start = one.reset([1])
    with pytest.raises(ConfigError, match="has one ego"):
        AgentsScores.of_world(one, start)
    world = world_of()
    with pytest.raises(ConfigError, match=r"shape \(3,\), expected \(3, 3\)"):
        AgentsScores.of_world(world, world.scene, torch.ones(3))
