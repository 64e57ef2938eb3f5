"""The scores over many worlds: independent of the batch, steps that add up, IDM's progress, lanes as the map has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from envs.scores import EpisodeScores, has_autopilot, idm_progress, reference
from envs.scores.lanes import Lanes
from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError
from sensors.road import Lane, Line, RoadMap, chain

ID = "highway-fast-v0"
SEEDS = seed_set("validation", 6)


def driven(seeds, actions, device="cpu"):
    """Episodes of given actions, (T, B), scored on a device; scores of every step and of the whole."""
    world = World(ID, len(seeds))
    scene = world.reset(seeds).to(device)
    scores = EpisodeScores.of_world(world, scene, torch.full((len(seeds),), 700.0))
    steps = []
    for row in actions:
        scene, outcome = world.step(row, substeps=True)
        steps.append(scores.add(scene.to(device), outcome.to(device)))
    return scores, steps


@pytest.fixture(scope="module")
def drive():
    generator = torch.Generator().manual_seed(3)
    actions = torch.randint(0, 5, (30, len(SEEDS)), generator=generator)
    actions[:, 2:4] = 4  # slower: these last
    return actions, *driven(SEEDS, actions)


def test_a_world_alone_scores_as_among_others_bit_for_bit(drive):
    actions, together, steps = drive
    found = together.result()
    assert len(set(found["pdms"].tolist())) > 2 and 0 < int(found["crashed"].sum()) < len(SEEDS)
    for index in range(len(SEEDS)):
        alone, lonely_steps = driven(SEEDS[index : index + 1], actions[:, index : index + 1])
        assert all(torch.equal(values, found[name][index : index + 1]) for name, values in alone.result().items())
        for step, lonely in zip(steps, lonely_steps, strict=True):
            assert all(torch.equal(values, step[name][index : index + 1]) for name, values in lonely.items())


@pytest.mark.gpu
def test_a_gpu_scores_as_the_cpu(drive):
    actions, here, _ = drive
    there, _ = driven(SEEDS, actions, "cuda")
    for name, values in there.result().items():
        assert values.is_cuda and torch.allclose(values.cpu(), here.result()[name], atol=1e-9), name


def test_every_share_is_a_share(drive):
    _, scores, steps = drive
    metric = {"cost", "distance_m", "progress_m", "time_s", "carla", "progress_vs_idm"}
    for told in (*steps, scores.result()):
        for name, values in told.items():
            assert values.dtype == torch.float64 and bool(torch.isfinite(values).all()), name
            assert name in metric or bool(((values >= 0.0) & (values <= 1.0)).all()), name


def test_steps_add_up_to_the_episode(drive):
    _, scores, steps = drive
    whole = scores.result()
    for name in ("progress_m", "distance_m", "time_s", "cost", "crashed", "route_completion", "success"):
        parts = torch.stack([step[name] for step in steps]).sum(0)
        assert torch.allclose(parts, whole[name], atol=1e-9), name
    for name in ("no_collision", "on_road", "direction", "never_close", "always_comfortable"):
        assert torch.equal(torch.stack([step[name] for step in steps]).amin(0), whole[name]), name


def test_decisions_alone_can_be_scored_too():
    world = World(ID, 2)
    scores = EpisodeScores.of_world(world, world.reset([1, 2]))
    for _ in range(5):
        scene, result = world.step([4, 4])
        scores.add(scene, result)
    found = scores.result()
    assert found["time_s"].tolist() == [5.0, 5.0] and bool((found["progress_m"] > 90.0).all())


def test_scoring_leaves_the_scenes_device_to_the_caller(drive):
    """No tensor is made elsewhere: with the default device set to one that holds no data, everything still works."""
    world = World(ID, 1)
    scene = world.reset([5])
    after, result = world.step([1], substeps=True)
    with torch.device("meta"):
        scores = EpisodeScores.of_world(world, scene)
        scores.add(after, result)
        assert all(values.device.type == "cpu" for values in scores.result().values())


def test_idms_progress_is_driven_once(monkeypatch):
    first = idm_progress(ID, SEEDS, num_worlds=4)
    assert first.shape == (len(SEEDS),) and bool((first > 300.0).all())
    monkeypatch.setattr(reference, "World", lambda *_, **__: pytest.fail("drove again"))
    assert torch.equal(idm_progress(ID, SEEDS.flip(0)), first.flip(0))
    with pytest.raises(BaseException, match="drove again"):
        idm_progress(ID, SEEDS, {"lanes_count": 2})


def test_idm_makes_its_own_progress_and_the_batch_does_not_matter():
    world = World(ID, 2)
    scene = world.reset(SEEDS[:2])
    scores = EpisodeScores.of_world(world, scene, idm_progress(ID, SEEDS[:2]))
    while bool(scores.running.any()):
        scene, result = world.step([1, 1], autopilot=torch.tensor([True, True]), substeps=True)
        scores.add(scene, result)
    found = scores.result()
    assert found["progress_vs_idm"].tolist() == [1.0, 1.0] == found["success"].tolist()


@pytest.mark.parametrize("id", ["parking-v0", "parking-ActionRepeat-v0", "lane-keeping-v0"])
def test_ids_without_an_autopilot_say_so(id):
    assert not has_autopilot(id) and has_autopilot(ID)
    with pytest.raises(ConfigError, match=f"{id} has no autopilot"):
        idm_progress(id, [1])


def curved_road():
    """A straight lane, a left turn that goes on in a right turn, and a lane of its own."""
    turn = [(20.0, 0.05), (20.0, 0.05), (30.0, -0.04)]
    lanes = [
        Lane(chain((0.0, 0.0), 0.0, [(40.0, 0.0)]), 4.0, Line.SOLID, Line.SOLID, 20.0, "a", 0),
        Lane(chain((40.0, 0.0), 0.0, turn), 4.0, Line.SOLID, Line.SOLID, 10.0, "b", 0),
        Lane(chain((40.0, -4.0), 0.3, [(50.0, 0.0)]), 3.0, Line.SOLID, Line.SOLID, 30.0, "c", 0),
    ]
    return RoadMap.build(lanes)


def test_lanes_are_the_maps_own():
    road, points = curved_road(), np.random.default_rng(0).uniform((-10.0, -30.0), (90.0, 60.0), (400, 2))
    lanes = Lanes(road, torch.device("cpu"))
    found = lanes.project(torch.from_numpy(points)[:, None])
    for ours, theirs in zip((found.run_m, found.lateral_m, found.heading_rad), road.project(points), strict=True):
        assert np.allclose(ours[:, 0].numpy(), theirs, atol=1e-9)
    alone = [lanes.project(torch.from_numpy(points[n : n + 1])[:, None]).run_m for n in range(50)]
    assert torch.equal(torch.cat(alone), found.run_m[:50])


def test_lanes_go_on_in_each_other_and_end():
    lanes = Lanes(curved_road(), torch.device("cpu"))
    assert lanes.goes_with.int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]  # c begins 4 m aside of a's end

    def held(x, y, tolerance=0.0, end=5.0):
        standing = lanes.project(torch.tensor([[[x, y]]], dtype=torch.float64))
        return lanes.by_lane(lanes.within(standing, tolerance, end))[0, 0].tolist()

    assert held(20.0, 1.9) == [True, False, False] and held(20.0, 2.1) == [False] * 3 and held(20.0, 2.1, 0.3) == [True, False, False]
    assert held(-4.9, 0.0) == [True, False, False] and held(-5.1, 0.0) == [False] * 3
    assert held(42.0, 0.0) == [True, True, False]  # 2 m beyond a's end, where b has begun
    centre = 40.0 + 20.0 * math.sin(1.0), 20.0 - 20.0 * math.cos(1.0)  # 20 m along an arc of 20 m radius
    assert held(*centre) == [False, True, False]


def test_a_car_across_a_joint_is_in_one_lane():
    lanes = Lanes(curved_road(), torch.device("cpu"))

    def between(*corners):
        standing = lanes.project(torch.tensor([corners], dtype=torch.float64))
        return bool(lanes.between_lanes(lanes.by_lane(lanes.within(standing, 0.0, 0.0))))

    assert not between((42.0, 1.0), (42.0, -1.0), (37.0, -1.0), (37.0, 1.0))  # a goes on in b
    assert between((44.0, -1.0), (44.0, -3.0), (41.0, -3.0), (41.0, -1.0))  # half in b, half in c
