"""Domain randomisation: ranges are kept to, nothing else changes, and an episode still follows from its seed."""

from typing import Any

import numpy as np
import pytest
import torch

from envs.network.layout import BY_IDM
from envs.world import World
from sensors.errors import ConfigError

RANGES: dict[str, Any] = {"density": [0.3, 0.9], "politeness": [0.2, 0.5], "desired_speed_mps": [6.0, 9.0]}
IDS = ["intersection-v0", "roundabout-v0", "highway-fast-v0"]


def others(world: World) -> list[np.ndarray]:
    """Records of the cars that others drive, world by world."""
    state = world.state()
    rows = [cars[: episode["vehicles"]] for cars, episode in zip(state.cars, state.episodes, strict=True)]
    return [row[row["driver"] == BY_IDM] for row in rows]


@pytest.mark.parametrize("id", IDS)
def test_cars_are_within_the_ranges_and_fewer(id: str) -> None:
    varied, plain = World(id, 64, config={"variation": RANGES}), World(id, 64, config={"variation": {}})
    for world in (varied, plain):
        world.reset(torch.arange(64))
        for _ in range(2):
            world.step(torch.ones(64, dtype=torch.int64))
    cars = np.concatenate(others(varied))
    free = cars[~cars["yields"]]
    assert ((cars["politeness"] >= 0.2) & (cars["politeness"] <= 0.5)).all() and np.ptp(cars["politeness"]) > 0.2
    assert ((free["target_speed_mps"] >= 6.0) & (free["target_speed_mps"] <= 10.0)).all()  # who yielded wants the limit, 10 m/s
    counts, full = (np.array([len(row) for row in others(world)]) for world in (varied, plain))
    assert 0.4 < counts.sum() / full.sum() < 0.8 and len(set(counts)) > 2


def test_nothing_asked_is_nothing_changed() -> None:
    plain, asked = World("roundabout-v0", 4), World("roundabout-v0", 4, config={"variation": {}})
    for world in (plain, asked):
        world.reset(torch.arange(4))
        for _ in range(5):
            world.step(torch.tensor([0, 1, 3, 4]))
    assert torch.equal(plain.scene.position_m, asked.scene.position_m)


def test_an_episode_follows_from_its_seed_alone() -> None:
    many, alone = World("intersection-v0", 32, config={"variation": RANGES}), World("intersection-v0", 1, config={"variation": RANGES})
    many.reset(torch.arange(32))
    alone.reset([17])
    for _ in range(6):
        many.step(torch.ones(32, dtype=torch.int64))
        alone.step([1])
    assert torch.equal(many.scene.position_m[17], alone.scene.position_m[0]) and torch.equal(many.scene.valid[17], alone.scene.valid[0])


@pytest.mark.parametrize(
    ("variation", "words"),
    [
        (3, "expected a dict"),
        ({"densty": [0, 1]}, "did you mean 'density'"),
        ({"density": [0.5, 1.5]}, "0.0 to 1.0"),
        ({"politeness": [0.5, 0.1]}, "do not fall"),
        ({"desired_speed_mps": [float("nan"), 3]}, "desired_speed_mps"),
    ],
)
def test_ranges_are_checked(variation: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        World("merge-v0", config={"variation": variation})
