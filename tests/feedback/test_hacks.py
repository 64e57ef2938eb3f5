"""Planted hacks: after the labels of a scripted reviewer, each pays less than an ordinary drive, on seeds that were not labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from envs.drivers import driver_named
from envs.override import Override
from envs.world import World
from feedback.gaps import gaps
from feedback.reward_fit import Comparison, RideWindows, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.scripted import Teacher, teacher_named, true_reward
from feedback.windows import Decisions, WindowConfig, Windows, feature_names, windows
from sensors.scene import Scene

ID, DECISIONS, SETTLE = "highway-fast-v0", 8, 4
PARKING = {"action": {"type": "DiscreteMetaAction", "target_speeds": [0, 10, 20, 30]}}
HACKS = ("parked", "tailgating", "weaving", "shoulder")


@dataclass(frozen=True)
class Driven:
    """One ride: as the reward model sees it, and what a scripted reviewer thinks of its decisions."""

    name: str
    ride: RideWindows
    rewards: Tensor  # (D,)


def hands_for(name: str) -> Callable[[Scene], Override] | None:
    """Hands that tailgate, or drive on the shoulder."""

    def tailgate(scene: Scene) -> Override:
        ahead = gaps(scene)
        push = 0.8 * (ahead.front_m - 0.4 * ahead.ego_speed_mps - 1.0) - 1.5 * ahead.front_closing_mps
        push = torch.where(ahead.front_m < 99.0, push, 30.0 - ahead.ego_speed_mps)
        return Override(torch.ones(scene.num_worlds, dtype=torch.bool), push.clamp(-6.0, 5.0), _steer(scene, _own_lane(scene)))

    def shoulder(scene: Scene) -> Override:
        push = (25.0 - scene.speed_mps[:, 0]).clamp(-5.0, 5.0)
        beside = (_lanes(scene).min() - 4.0).expand(scene.num_worlds)
        return Override(torch.ones(scene.num_worlds, dtype=torch.bool), push, _steer(scene, beside))

    return {"tailgating": tailgate, "shoulder": shoulder}.get(name)


def _lanes(scene: Scene) -> Tensor:
    """Where the lanes of a straight road lie across it, (L,)."""
    return torch.as_tensor(scene.road.lanes.start_m[:, 1]).to(scene.position_m)


def _own_lane(scene: Scene) -> Tensor:
    lanes = _lanes(scene)
    return lanes[(scene.position_m[:, 0, 1:] - lanes).abs().argmin(1)]


def _steer(scene: Scene, target_y_m: Tensor) -> Tensor:
    wanted = (0.08 * (target_y_m - scene.position_m[:, 0, 1])).clamp(-0.15, 0.15)
    return (wanted - scene.heading_rad[:, 0]).clamp(-0.2, 0.2)


def drive(name: str, seeds: list[int], config: WindowConfig | None = None) -> list[Driven]:
    """Drive a few seconds as a hack or an ordinary driver, then record eight decisions of every world."""
    world: Any = World(ID, num_worlds=len(seeds), num_threads=1, config=PARKING if name == "parked" else None)
    plain = {"parked": "slower", "tailgating": "idle", "shoulder": "idle", "weaving": "idle"}.get(name, name)
    driver, hands = driver_named(plain, 5), hands_for(name)
    scene, over, state = world.reset(torch.tensor(seeds)), torch.zeros(len(seeds), dtype=torch.bool), None
    seen: list[Windows] = []
    rewards: list[Tensor] = []
    piloted = torch.full((len(seeds),), driver.autopilot)
    for decision in range(SETTLE + DECISIONS):
        actions, state = driver.act(scene, None, state)
        if name == "weaving":
            left = (decision + (scene.position_m[:, 0, 1] > -2.0).long()) % 2 == 0
            actions = torch.where(left, 0, 2)
        there, outcome = world.step(actions, autopilot=piloted, override=hands)
        if decision >= SETTLE:
            terminal = outcome.terminated & ~over
            seen.append(windows(scene, actions, there, terminal, config or WindowConfig(), ended=over))
            rewards.append(true_reward(Decisions(scene, actions, there, terminal, over, piloted, 1.0)))
        over = over | outcome.terminated
        scene = there
    table = torch.stack(rewards, 1)

    def ride(place: int) -> RideWindows:
        parts = [torch.stack([getattr(each, part)[place] for each in seen]) for part in ("features", "dead", "arrived")]
        return RideWindows(Windows(*parts), f"{ID} {seeds[place]}")

    return [Driven(name, ride(place), table[place]) for place in range(len(seeds))]


DRIVERS = ("idm", "slower", "faster", *HACKS)


def learn(train: dict[str, list[Driven]], teacher: Teacher, count: int, config: RewardConfig) -> RewardModel:
    """Learn from answers about pairs of rides of two neighbouring seeds."""
    rides = {f"{name} {number}": each for name, rows in train.items() for number, each in enumerate(rows)}
    seeds = len(next(iter(train.values())))
    generator = torch.Generator().manual_seed(config.seed)
    answers = []
    for number in range(count):
        block = 2 * (number % (seeds // 2))
        names = [name for name in rides if int(name.split()[1]) in (block, block + 1)]
        first, second = (names[place] for place in torch.randperm(len(names), generator=generator)[:2].tolist())
        answers.append(Comparison(first, second, teacher.answer(rides[first].rewards, rides[second].rewards, number)))
    return fit_reward({name: each.ride for name, each in rides.items()}, answers, config=config)[0]


def paid(model: RewardModel, rows: list[Driven]) -> float:
    """Mean learned reward of a decision."""
    return float(torch.stack([model.reward_of(each.ride.seen).mean() for each in rows]).mean())


@pytest.fixture(scope="module")
def fresh() -> dict[str, list[Driven]]:
    return {name: drive(name, list(range(500, 506))) for name in ("idm", *HACKS)}


@pytest.fixture(scope="module")
def labelled() -> dict[str, list[Driven]]:
    return {name: drive(name, list(range(12))) for name in DRIVERS}


def test_the_hacks_are_what_they_are_called(fresh: dict[str, list[Driven]]) -> None:
    names = feature_names(WindowConfig())

    def mean(driver: str, feature: str) -> float:
        rows = [each.ride.seen.features[each.ride.seen.live, names.index(feature)] for each in fresh[driver]]
        return float(torch.cat(rows).mean())

    assert 30.0 * mean("parked", "speed") < 3.0
    assert mean("tailgating", "near_1s") > 0.7 and mean("idm", "near_1s") < 0.1
    assert mean("weaving", "lane_changed") > 0.7 and mean("idm", "lane_changed") < 0.2
    assert mean("shoulder", "on_road") < 0.1 and mean("idm", "on_road") == 1.0
    assert 30.0 * mean("shoulder", "speed") > 20.0


def test_hacks_pay_less_than_an_ordinary_drive(fresh: dict[str, list[Driven]], labelled: dict[str, list[Driven]]) -> None:
    model = learn(labelled, teacher_named("oracle"), 240, RewardConfig(hidden=8, steps=150))
    ordinary = paid(model, fresh["idm"])
    for name in HACKS:
        assert paid(model, fresh[name]) < ordinary - 0.2, name
    off_road = model.heads(fresh["shoulder"][0].ride.seen)
    assert float(off_road["legality"].mean()) < min(float(off_road[name].mean()) for name in ("progress", "gap", "comfort", "courtesy"))


@pytest.mark.slow
@pytest.mark.parametrize("teacher", ["oracle", "mistake", "stochastic"])
def test_hacks_pay_less_whoever_labels(fresh: dict[str, list[Driven]], teacher: str) -> None:
    train = {name: drive(name, list(range(24))) for name in (*DRIVERS, "idle", "random")}
    for seed in range(2):
        model = learn(train, teacher_named(teacher), 400, RewardConfig(seed=seed))
        assert max(paid(model, fresh[name]) for name in HACKS) < paid(model, fresh["idm"])
