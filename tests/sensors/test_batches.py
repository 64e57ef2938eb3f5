"""4,096 worlds against one, bit by bit: every preset, any number of threads, with faults, weather and history mixed."""

from dataclasses import fields, replace

import numba
import numpy as np
import pytest
import torch

from sensors.faults import Faults, fault_suite
from sensors.presets import RIGS
from sensors.rendering import render
from sensors.road import Lane, Line, RoadMap, chain
from sensors.weather import CLEAR, PRESETS, Weather

SENSES = ("camera", "lidar", "radar", "ego")


@pytest.fixture
def threads():
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def assert_same(name, many, world, alone):
    for sense in SENSES:
        for field in fields(getattr(alone, sense)):
            one, among = getattr(getattr(alone, sense), field.name)[0], getattr(getattr(many, sense), field.name)[world]
            assert torch.equal(one, among), (name, world, sense, field.name)


def episode(random_scene, worlds, length=6, seed=5):
    """The present and its history: cars that drive on, weathers in turn, two faults a world, some episodes just begun."""
    scene, g = random_scene(seed, worlds=worlds, actors=10), np.random.default_rng(seed)
    names = sorted(PRESETS)
    weather = Weather(
        **{
            name: torch.tensor([({**CLEAR, **PRESETS[names[b % len(names)]]})[name] for b in range(worlds)], dtype=torch.float32)
            for name in CLEAR
        }
    )
    suite = list(fault_suite())
    table = np.array([[suite[n] for n in g.integers(0, len(suite), 2)] for _ in range(worlds)], dtype=np.int64)  # modality, kind, severity
    start = torch.from_numpy(g.integers(0, 40, (worlds, 2)))
    column = {name: torch.from_numpy(table[..., n].copy()) for n, name in enumerate(("modality", "kind", "severity"))}
    faults = Faults(**column, index=torch.full((worlds, 2), -1), start_step=start, end_step=start + 30)
    lane = Lane(chain((-300.0, 0.0), 0.0, [(600.0, 0.0)]), 8.0, Line.SOLID, Line.DASHED, 30.0, "road", 0)
    base = replace(scene, weather=weather, faults=faults, road=RoadMap.build([lane]), step=torch.zeros_like(scene.step))
    first = torch.from_numpy(g.integers(0, 30, worlds))

    def at(n):
        time = 0.05 * n
        return replace(
            base,
            position_m=scene.position_m + time * scene.velocity_mps,
            heading_rad=scene.heading_rad + time * scene.yaw_rate_radps,
            time_s=0.05 * (first + n).double(),
            step=first + n,
            episode_seed=torch.where((torch.arange(worlds) % 7 == 3) & torch.tensor(n < length - 2), -1, scene.episode_seed),
        )

    return at(length), [at(n) for n in range(length)]


SMALL = {"micro": 96, "nano": 12, "base": 4, "carla": 3, "preview": 4, "large": 2, "nuscenes": 2}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == "nuscenes" else ()) for name in sorted(RIGS)])
def test_a_world_alone_equals_itself_among_many_with_everything_mixed(random_scene, threads, name):
    scene, history = episode(random_scene, SMALL[name])
    for count in sorted({1, min(2, numba.config.NUMBA_NUM_THREADS)}):
        threads(count)
        many = render(scene, name, history)
        threads(1)
        for world in (0, SMALL[name] // 2, SMALL[name] - 1):
            assert_same(name, many, world, render(scene.select([world]), name, [past.select([world]) for past in history]))


@pytest.mark.slow
def test_4096_worlds_equal_each_alone_with_everything_mixed(random_scene, threads):
    scene, history = episode(random_scene, 4_096, length=4)
    threads(min(2, numba.config.NUMBA_NUM_THREADS))
    many = render(scene, "micro", history)
    threads(1)
    for world in range(0, 4_096, 37):
        assert_same("micro", many, world, render(scene.select([world]), "micro", [past.select([world]) for past in history]))
