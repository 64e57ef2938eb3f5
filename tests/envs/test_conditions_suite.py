"""Suites of conditions: every episode's own weather and faults, from its seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from envs.conditions import draw_conditions, mixed
from envs.sb3 import make_sb3_vec
from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError
from sensors.faults import FAULTS_OF, Modality, check_faults
from sensors.weather import check_weather

ID = "highway-fast-v0"
SEEDS = seed_set("train", 6000)


def test_an_episode_meets_the_same_in_any_batch():
    weather, faults = mixed(SEEDS[:50])
    for number in (0, 7, 49):
        alone_weather, alone_faults = mixed(SEEDS[number : number + 1])
        for one, all_ in ((alone_weather, weather), (alone_faults, faults)):
            for name, value in vars(one).items():
                assert torch.equal(value[0], getattr(all_, name)[number]), name


def test_the_mixed_suite_is_what_its_constants_say():
    weather, faults = mixed(SEEDS)
    check_weather(weather)
    check_faults(faults)
    count = (faults.kind > 0).sum(1)
    assert torch.equal(faults.kind[:, 1] > 0, count == 2)
    for wanted, found in ((0.3, count == 0), (0.3, count == 1), (0.4, count == 2)):
        assert abs(float(found.float().mean()) - wanted) < 0.02
    nights = (weather.sun_elevation_rad < 0).float().mean()
    assert abs(float(nights) - 1 / 6) < 0.02
    there = faults.kind > 0
    for modality in Modality:
        own = there & (faults.modality == int(modality))
        assert abs(float(own.sum() / there.sum()) - 1 / 3) < 0.03
        assert set(faults.kind[own].tolist()) == {int(kind) for kind in FAULTS_OF[modality]}
    assert set(faults.severity[there].tolist()) == {1, 2, 3}
    lasting = (faults.end_step[there] > 10_000).float().mean()
    assert abs(float(lasting) - 0.5) < 0.03
    assert bool((faults.end_step > faults.start_step).all())


def test_worlds_change_their_conditions_with_their_episodes_and_state_keeps_them():
    env = make_sb3_vec(ID, 6, rig="micro", seed=2, conditions="mixed")
    assert env.looks_back
    seen = env.reset()
    other = make_sb3_vec(ID, 6, rig="micro", seed=9, conditions="mixed")
    other.reset()
    ended = 0
    for step in range(14):
        if step == 9:
            again = other.load_state(env.state())
            assert all(np.array_equal(part, seen[name]) for name, part in again.items())
        seen, _, dones, infos = env.step(np.full(6, 3))
        ended += int(dones.sum())
        if step >= 9:
            theirs, *_ = other.step(np.full(6, 3))
            assert all(np.array_equal(theirs[name], seen[name]) for name in theirs)
        weather, faults = mixed(env.scene.episode_seed)
        for own, drawn in ((env.scene.weather, weather), (env.scene.faults, faults)):
            for name, value in vars(drawn).items():
                assert torch.equal(getattr(own, name), value), name
    assert ended > 3


def test_only_the_worlds_that_start_change():
    world = World(ID, 4)
    draw_conditions(world, None, SEEDS[:4])
    assert world.faults.kind.shape == (4, 0)
    draw_conditions(world, "mixed", SEEDS[:4])
    before = world.weather
    draw_conditions(world, "mixed", SEEDS[4:8], torch.tensor([True, False, True, False]))
    fresh = mixed(SEEDS[4:8])[0]
    for world_number, expected in enumerate((fresh, before, fresh, before)):
        assert world.weather.visibility_m[world_number] == expected.visibility_m[world_number]


def test_a_misspelt_suite_is_an_error():
    with pytest.raises(ConfigError, match="mixed"):
        make_sb3_vec(ID, 1, conditions="mixd")
