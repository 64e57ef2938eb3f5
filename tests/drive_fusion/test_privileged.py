"""Privileged state: what the vector says, that it hangs on nothing else, and that drivers learn from it as from any observation."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drive_fusion.evaluation import evaluate
from drive_fusion.ppo import FusedPPO
from drive_fusion.privileged import PrivilegedExtractor, PrivilegedState, PrivilegedVecEnv, make_privileged_vec, privileged_space
from drive_fusion.privileged.clearance import CLEARANCES, FURTHEST_M, MOMENTS_S, NEAR_M, RESPONSE_S, SPEED_CHANGES_MPS
from drive_fusion.privileged.extractor import closest_approach
from drive_fusion.privileged.lanes import AHEAD_M, BRANCHES, DISTANCE_M, LANE_FEATURES, LANE_M, LaneGuide, followers
from drive_fusion.privileged.state import ACTOR_FEATURES, ACTORS, SPEED_MPS
from drive_fusion.rewards import CrashPenalty
from drive_fusion.training import TrainConfig, train
from envs.ids import SINGLE_AGENT_IDS
from envs.sb3 import make_sb3_vec
from envs.world import World
from sensors.errors import ConfigError
from sensors.scene import Scene

LANE = len(LANE_FEATURES)


def parts_of(vector: torch.Tensor, actions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lane features, points ahead (points, 2) [m] and actors of one world's vector."""
    lane = vector[4 + actions : 4 + actions + LANE]
    *_, ahead, actors, _ = vector.split((4 + actions + LANE, 2 * len(AHEAD_M), ACTORS * len(ACTOR_FEATURES), CLEARANCES))
    return lane, ahead.view(-1, 2) * DISTANCE_M, actors.view(ACTORS, -1)


def turned(scene: Scene, angle_rad: float, shift_m: tuple[float, float]) -> Scene:
    """The same world in another frame of the map."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)  # rows times this
    pieces = scene.road.lanes
    lanes = replace(pieces, start_m=pieces.start_m @ turn.numpy() + np.array(shift_m), heading_rad=pieces.heading_rad + angle_rad)
    return replace(
        scene,
        position_m=scene.position_m @ turn + torch.tensor(shift_m, dtype=torch.float64),
        velocity_mps=scene.velocity_mps @ turn,
        acceleration_mps2=scene.acceleration_mps2 @ turn,
        heading_rad=scene.heading_rad + angle_rad,
        road=replace(scene.road, lanes=lanes),
    )


def test_what_it_says_of_a_highway(scene_of):
    scene = scene_of((100.0, -4.0, 20.0), (130.0, 0.0, 25.0), (80.0, -4.0, 20.0), (400.0, 0.0, 20.0))
    lane, ahead, actors = parts_of(PrivilegedState()(scene)[0], 5)
    told = dict(zip(LANE_FEATURES, lane.tolist(), strict=True))
    assert told["lateral"] == pytest.approx(0.0, abs=1e-6) and told["error_cos"] == pytest.approx(1.0)
    assert (told["left_neighbour"], told["right_neighbour"], told["on_road"], told["half_width"]) == (1.0, 1.0, 1.0, 2.0 / LANE_M)
    torch.testing.assert_close(ahead, torch.tensor([[along, 0.0] for along in AHEAD_M]), atol=1e-4, rtol=0.0)
    rows = [dict(zip(ACTOR_FEATURES, row.tolist(), strict=True)) for row in actors]
    assert [row["there"] for row in rows] == [1.0, 1.0] + [0.0] * (ACTORS - 2)  # the fourth car is out of reach
    assert rows[0]["x"] * DISTANCE_M == pytest.approx(-20.0, abs=1e-4)  # the nearest first
    assert rows[1]["x"] * DISTANCE_M == pytest.approx(30.0, abs=1e-4) and rows[1]["y"] * DISTANCE_M == pytest.approx(4.0, abs=1e-4)
    assert rows[1]["vx"] * SPEED_MPS == pytest.approx(5.0, abs=1e-4)
    assert not actors[2:].any()


@pytest.mark.parametrize("id", ["racetrack-v0", "intersection-v0", "roundabout-v0", "merge-v0"])
def test_the_points_ahead_lie_on_lanes_and_in_order(id):
    world = World(id, 16)
    scene = world.reset(torch.arange(16))
    tell, road = PrivilegedState(), world.road
    joined = [lanes for lanes in followers(road) if lanes]
    assert joined, "these maps have lanes that go on in others"
    for vector, place, heading in zip(tell(scene), scene.position_m[:, 0].double(), scene.heading_rad[:, 0].double(), strict=True):
        _, ahead, _ = parts_of(vector, world.action_width)
        near = ahead[: AHEAD_M.index(20.0) + 1].double()  # on these maps a lane may end after that
        turn = torch.tensor([[heading.cos(), heading.sin()], [-heading.sin(), heading.cos()]])
        points_m = (near @ turn + place).numpy()
        run_m, lateral_m, _ = road.project(points_m)
        over_m = np.maximum(run_m - road.lanes.offset_m - road.lanes.length_m, 0.0) + np.maximum(road.lanes.offset_m - run_m, 0.0)
        assert (np.abs(lateral_m) + over_m).min(1).max() < 0.1
        steps_m = near.diff(dim=0).norm(dim=1)
        wanted_m = torch.tensor(AHEAD_M[: len(near)], dtype=torch.float64).diff()
        assert bool((steps_m <= wanted_m + 1e-3).all()) and bool((steps_m > 0.85 * wanted_m).all())  # chords of curves are shorter


@pytest.mark.parametrize("id", ["racetrack-v0", "intersection-v0"])
def test_it_does_not_hang_on_the_maps_frame(id):
    world = World(id, 8, dtype=torch.float64)
    scene = world.reset(torch.arange(8))
    told, other = PrivilegedState()(scene), PrivilegedState()(turned(scene, 0.7, (300.0, -40.0)))
    torch.testing.assert_close(told, other, atol=2e-4, rtol=0.0)


def test_a_world_alone_is_told_what_it_is_told_among_many():
    world = World("intersection-v0", 8)
    scene = world.reset(torch.arange(8))
    tell = PrivilegedState()
    for number in range(8):
        assert torch.equal(tell(scene.select([number]))[0], tell(scene)[number])


@pytest.mark.parametrize("id", SINGLE_AGENT_IDS)
def test_every_id_has_one(id):
    world = World(id, 2)
    told = PrivilegedState()(world.reset(torch.arange(2)))
    space = privileged_space(world.action_width)
    assert all(space.contains(row) for row in told.numpy())


def test_the_extractor_takes_actors_in_any_order_and_ignores_places_where_none_is(scene_of):
    torch.manual_seed(0)
    told = PrivilegedState()(scene_of((100.0, -4.0, 20.0), (130.0, 0.0, 25.0), (80.0, -4.0, 20.0)))
    extractor = PrivilegedExtractor(privileged_space(5))
    own = told[:, : extractor.own]
    _, actors, clear = told.split((extractor.own, ACTORS * len(ACTOR_FEATURES), CLEARANCES), 1)
    actors = actors.view(ACTORS, -1)
    shuffled = actors.flip(0).clone()
    shuffled[:3, 1:] = 7.0  # nobody is there
    assert torch.equal(extractor(told), extractor(torch.cat((own, shuffled.view(1, -1), clear), 1)))
    nobody = torch.cat((own, torch.zeros(1, actors.numel()), clear), 1)
    assert bool(torch.isfinite(extractor(nobody)).all()) and not torch.equal(extractor(told), extractor(nobody))


def test_when_and_how_near_a_crossing_car_comes():
    cars = torch.zeros(3, len(ACTOR_FEATURES))
    cars[:, 0] = 1.0
    cars[0, 1:5] = torch.tensor([40.0 / DISTANCE_M, 20.0 / DISTANCE_M, -10.0 / SPEED_MPS, -10.0 / SPEED_MPS])
    cars[1, 1:5] = torch.tensor([-10.0 / DISTANCE_M, 0.0, -5.0 / SPEED_MPS, 0.0])  # goes away
    cars[2, 0] = 0.0
    steps_s = torch.arange(0.0, 8.0, 0.001)
    apart_m = ((40.0 - 10.0 * steps_s) ** 2 + (20.0 - 10.0 * steps_s) ** 2).sqrt()
    (time, distance), leaving, nobody = closest_approach(cars)
    assert float(time) * 4.0 == pytest.approx(float(steps_s[apart_m.argmin()]), abs=2e-3)
    assert float(distance) * 20.0 == pytest.approx(float(apart_m.min()), abs=1e-3)
    assert leaving.tolist() == [0.0, 0.5] and nobody.tolist() == [0.0, 0.0]


def test_worlds_show_it_also_where_an_episode_ended():
    venv, bare = make_privileged_vec("intersection-v0", 8, seed=3), make_sb3_vec("intersection-v0", 8, seed=3)
    tell = PrivilegedState()
    bare.reset()
    assert np.array_equal(venv.reset(), tell(bare.scene).numpy())
    ended = 0
    for _ in range(16):
        actions = np.full(8, 2)
        seen, rewards, dones, infos = venv.step(actions)
        _, wanted, _, _ = bare.step(actions)
        assert np.array_equal(rewards, wanted) and np.array_equal(seen, tell(bare.scene).numpy())
        last = tell(bare.transition.next_scene).numpy()
        for world in np.flatnonzero(dones):
            ended += 1
            assert np.array_equal(infos[world]["terminal_observation"], last[world])
    assert ended > 0


def test_only_worlds_of_one_ego_can_show_it(make_env):
    with pytest.raises(ConfigError, match="privileged state got a ToyVecEnv"):
        PrivilegedVecEnv(make_env())
    with pytest.raises(ConfigError, match="sees from actor 0 alone"):
        make_privileged_vec("intersection-multi-agent-v0", 2)
    venv = CrashPenalty(make_privileged_vec("intersection-v0", 2, seed=0), 5.0)
    assert venv.reset().shape == (2, privileged_space(3).shape[0])


def test_a_run_on_it_can_be_resumed_and_drives(tmp_path: Path):
    config = TrainConfig(
        study=tmp_path, id="racetrack-v0", rig="privileged", num_envs=4, n_steps=8, batch=16, epochs=2, steps=96, device="cpu", threads=1
    )
    straight = train(replace(config, run="straight"))
    train(replace(config, run="stopped", steps=32))
    again = train(replace(config, run="stopped", resume=True))
    left, right = (FusedPPO.load(folder / "checkpoints" / "last", device="cpu") for folder in (straight, again))
    for (name, mine), theirs in zip(left.policy.state_dict().items(), right.policy.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    assert "PrivilegedExtractor" in type(left.policy.features_extractor).__name__
    scored = evaluate(str(straight / "checkpoints" / "last"), "racetrack-v0", [5, 6], config={"duration": 4})
    assert scored.rig is None and len(scored["return"]) == 2
    with pytest.raises(ConfigError, match="actor 0 alone"):
        evaluate(left, "intersection-multi-agent-v0", [5])
    with pytest.raises(ConfigError, match="with rig 'privileged' there are no senses"):
        replace(config, temporal="gru")


def told_clearances(scene: Scene) -> torch.Tensor:
    """(B, ways, changes of speed, moments) [m]."""
    return PrivilegedState()(scene)[:, -CLEARANCES:].view(-1, BRANCHES, len(SPEED_CHANGES_MPS), len(MOMENTS_S)) * NEAR_M


def test_how_near_others_would_come_on_a_straight_road(scene_of):
    scene = scene_of((100.0, -4.0, 20.0), (118.0, -4.0, 15.0), (95.0, 0.0, 26.0))
    found = told_clearances(scene)[0]
    for row, change_mps in enumerate(SPEED_CHANGES_MPS):
        for column, moment_s in enumerate(MOMENTS_S):
            run_m, speed_mps = 0.0, 20.0
            for _ in range(round(moment_s / 1e-4)):  # the controller by small steps
                run_m += speed_mps * 1e-4
                speed_mps += (20.0 + change_mps - speed_mps) / RESPONSE_S * 1e-4
            ahead_m = 18.0 + 15.0 * moment_s - run_m
            beside_m = math.hypot(-5.0 + 26.0 * moment_s - run_m, 4.0)
            wanted_m = min(abs(ahead_m), beside_m, FURTHEST_M)
            assert found[:, row, column].tolist() == pytest.approx([wanted_m] * BRANCHES, abs=5e-3)


def test_ways_on_are_told_apart_where_a_lane_forks_and_nowhere_else():
    world = World("intersection-v0", 64)
    scene = world.reset(torch.arange(64))
    forked = []
    for _ in range(8):
        guide = LaneGuide(scene.road, scene.device)
        place = guide.locate(scene)
        found = told_clearances(scene)
        forks = followers(scene.road)
        for lane, ways in zip(place.lane.tolist(), found, strict=True):
            alike = all(torch.equal(ways[0], way) for way in ways)
            assert alike or len(forks[lane]) > 1
            forked.append(not alike)
        scene, _ = world.step(torch.full((64,), 2))
    assert 0.1 < np.mean(forked) < 0.9


def test_a_rider_who_keeps_the_lane_comes_as_near_as_was_told():
    """Alone with one other car that keeps its velocity, the nearest distance a second ahead is what the world then shows."""
    world = World("racetrack-v0", 256)
    scene = world.reset(torch.arange(256))
    told = told_clearances(scene)[:, 0, SPEED_CHANGES_MPS.index(0.0), MOMENTS_S.index(1.0)]
    for _ in range(5):
        scene, _ = world.step(torch.zeros(256, 1))
    apart_m = (scene.position_m[:, 1] - scene.position_m[:, 0]).norm(dim=-1).float()
    near = apart_m < FURTHEST_M - 2.0
    assert int(near.sum()) >= 8
    assert float((told - apart_m)[near].abs().max()) < 1.0  # curves: neither goes straight on
