"""A scenario of a user's own: stepped natively as highway-env's own classes would step it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import Scenario, Start, World
from envs.class_constants import in_place, pristine
from envs.network.scenarios.own import environment_of
from sensors.errors import ConfigError

SETTINGS = {"duration": 12, "arrived_reward": 2.0, "on_road_reward": 0.1, "reward_speed_range": [5, 15]}


def fork_in_the_road() -> Any:
    """A straight road of two lanes, a bend from it, and a straight one after."""
    from highway_env.road.lane import CircularLane, StraightLane
    from highway_env.road.road import RoadNetwork

    network = RoadNetwork()
    for y in (0, 4):
        network.add_lane("a", "b", StraightLane([0, y], [80, y], speed_limit=15))
    network.add_lane("b", "c", CircularLane([80, 30], 30, -np.pi / 2, 0, speed_limit=12))
    network.add_lane("b", "d", StraightLane([80, 0], [200, 0], speed_limit=15))
    network.add_lane("c", "e", StraightLane([110, 30], [110, 90], speed_limit=12))
    return network


def starts(draws: np.random.Generator) -> list[Start]:
    ahead = [
        Start(
            ("a", "b", int(draws.integers(2))),
            30.0 + 15.0 * k + draws.normal(),
            9.0 + draws.uniform(0, 3),
            destination="de"[k % 2],
            target_speed_mps=14.0,
        )
        for k in range(int(draws.integers(1, 4)))
    ]
    return [Start(("a", "b", 0), 5.0, 12.0, destination="e"), *ahead, Start(("c", "e", 0), 5.0, 4.0, changes_lanes=False)]


SCENARIO = Scenario("fork", fork_in_the_road, starts, most_cars=6, settings=SETTINGS, obstacles=[(150.0, 0.0)])


@pytest.mark.parametrize("config", [{}, {"action": {"type": "ContinuousAction"}, "offroad_terminal": True}])
def test_it_is_stepped_as_highway_env_would(config: dict[str, Any]) -> None:
    world = World(SCENARIO, 1, dtype=torch.float64, config=config)
    draws = np.random.default_rng(1)
    with in_place(pristine()):
        env: Any = environment_of(SCENARIO, config)
        for seed in (5, 6):
            observation, _ = env.reset(seed=seed)
            scene = world.reset([seed])
            for _ in range(12):
                cars = [car for car in env.road.vehicles]
                here = scene.valid[0].sum() - 1  # the obstacle comes last
                assert here == len(cars)
                np.testing.assert_allclose(
                    scene.position_m[0, :here] * torch.tensor([1.0, -1.0]), [car.position for car in cars], atol=1e-6
                )
                np.testing.assert_allclose(world.observation()[0], observation, atol=1e-6)
                action = draws.integers(5) if not config else draws.uniform(-0.3, 0.3, 2).astype(np.float32)
                observation, reward, terminated, truncated, info = env.step(action)
                scene, outcome = world.step(torch.as_tensor(np.asarray(action))[None])
                assert float(outcome.reward) == pytest.approx(reward, abs=1e-6)
                assert (bool(outcome.terminated), bool(outcome.truncated)) == (terminated, truncated)
                assert {name: float(value) for name, value in outcome.terms.items()} == pytest.approx(info["rewards"], abs=1e-6)


def test_episodes_go_on_with_the_worlds_own_generator() -> None:
    world = World(SCENARIO, 1, dtype=torch.float64)
    with in_place(pristine()):
        env: Any = environment_of(SCENARIO, {})
        env.reset(seed=3)
        env.reset()
        world.reset([3])
        scene = world.reset_continue(torch.tensor([True]))
        positions = [car.position for car in env.road.vehicles]
    np.testing.assert_allclose(scene.position_m[0, : len(positions)] * torch.tensor([1.0, -1.0]), positions, atol=1e-9)


def test_worlds_finish_and_begin_anew_in_the_fast_step() -> None:
    world = World(SCENARIO, 8, num_threads=2)
    world.reset(torch.arange(8))
    ended = torch.zeros(8, dtype=torch.bool)
    for _ in range(14):
        step = world.step_autoreset(torch.full((8,), 1))
        ended |= step.terminated | step.truncated
    assert bool(ended.all())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"most_cars": 2}, "starts gave"),
        ({"starts": lambda draws: []}, "gave 0 cars"),
        ({"starts": lambda draws: [Start(("a", "z", 0), 0.0, 1.0)]}, "lane of car 0"),
        ({"starts": lambda draws: [Start(("a", "b", 0), 0.0, 1.0, destination="q")]}, "destination of car 0"),
        ({"starts": lambda draws: [Start(("a", "b", 0), float("nan"), 1.0)]}, "not finite"),
        ({"settings": {"durration": 3}}, "did you mean 'duration'"),
        ({"name": "a/b"}, "without a slash"),
    ],
)
def test_what_cannot_be_is_said(changed: dict[str, Any], words: str) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match=words):
        World(replace(SCENARIO, **changed), 1).reset([0])


def test_a_scenario_can_be_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As commands do; then recordings and states name it so too."""
    (tmp_path / "roads_of_mine.py").write_text(
        "from highway_env.road.road import RoadNetwork\nfrom envs import Scenario, Start\n"
        "STRAIGHT = Scenario('straight', lambda: RoadNetwork.straight_road_network(2), lambda g: [Start(('0', '1', 0), 5.0, 20.0)], 1)\n"
        "NOTHING = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    world = World("roads_of_mine:STRAIGHT", 2)
    scene = world.reset([1, 2])
    assert world.id == "roads_of_mine:STRAIGHT" and scene.valid.sum() == 2
    for name, words in (("roads_of_mine:NOTHING", "is a int"), ("roads_of_mine:GONE", "GONE"), ("no_such_roads:X", "no_such_roads")):
        with pytest.raises(ConfigError, match=words):
            World(name)
