"""The scripted driver who steers: keeps its lane, overtakes, and says where it cannot drive."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from drive_fusion.evaluation import evaluate
from drive_fusion.policy_driver import driver_of
from drive_fusion.pursuit_driver import PursuitDriver
from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError


@pytest.mark.parametrize("id", ["racetrack-v0", "racetrack-oval-v0", "racetrack-large-v0"])
def test_it_overtakes_on_racetracks_and_hits_nobody(id):
    seeds = seed_set("validation", 24)
    driven, slow = (evaluate(who, id, seeds, config={"duration": 60}) for who in ("rule", "idm"))
    assert not driven["crashed"].any()
    assert float(driven["return"].mean()) > 0.75 * float(slow["return"].mean())
    assert float(driven["progress_m"].mean()) > 590.0  # 60 s at 10 m/s: it never leaves the road


def test_it_passes_who_is_slower_in_its_lane():
    world = World("racetrack-v0", 64)
    driver = PursuitDriver()
    scene = world.reset(seed_set("validation", 64))
    passed = torch.zeros(64, dtype=torch.bool)
    was_close = torch.zeros(64, dtype=torch.bool)
    for _ in range(300):
        apart_m = (scene.position_m[:, 1] - scene.position_m[:, 0]).float()
        heading = torch.stack((scene.heading_rad[:, 0].cos(), scene.heading_rad[:, 0].sin()), -1).float()
        ahead_m = (apart_m * heading).sum(-1)
        near = apart_m.norm(dim=-1) < 12.0
        was_close |= near & (ahead_m > 0)
        passed |= was_close & near & (ahead_m < -5.0)
        actions, _ = driver.act(scene, None, None)
        scene, outcome = world.step(actions)
        assert not bool(scene.crashed[:, 0].any())
    assert int(passed.sum()) > 32


def test_actions_are_the_same_alone_and_among_many_and_keep_to_their_range():
    world = World("racetrack-v0", 8)
    scene = world.reset(torch.arange(8))
    together, _ = PursuitDriver().act(scene, None, None)
    assert together.shape == (8, 1) and bool((together.abs() <= 1.0).all())
    for number in range(8):
        alone, _ = PursuitDriver().act(scene.select([number]), None, None)
        assert torch.equal(alone[0], together[number])
    turned = replace(scene, heading_rad=scene.heading_rad + 0.3)
    assert bool((PursuitDriver().act(turned, None, None)[0] > together).all())  # who points too far left steers to the right


def test_it_steers_where_one_number_steers_and_nowhere_else():
    assert isinstance(driver_of("rule", World("lane-keeping-v0", 1)), PursuitDriver)
    world = World("highway-fast-v0", 1)
    assert not isinstance(driver_of("rule", world), PursuitDriver)
    with pytest.raises(ConfigError, match="steers by one number, but this world's action has 5"):
        PursuitDriver().act(world.reset(torch.arange(1)), None, None)
