"""Environments hand the past to sensors that need it: the same frames as from all scenes there ever were, and nothing kept otherwise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.conditions import set_conditions
from envs.drivers import driver_named
from envs.gym import DrivingEnv
from envs.history import History, history_of
from envs.observation import as_numpy, pack
from envs.recording import Recording
from envs.rollout import record
from envs.sb3 import make_sb3_vec
from envs.vector import DrivingVectorEnv
from envs.world import World
from sensors.errors import ConfigError
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig

ID = "highway-fast-v0"
CONFIG = {"duration": 3, "vehicles_count": 6}
PLACE = Mount(2.4, 0.0, 0.5)
CLOCKED = Rig("clocked", radars=(Radar("r", PLACE, rate_hz=3.0, latency_s=0.3),))
PLAIN = Rig("plain", radars=(Radar("r", PLACE),))
FROZEN = ("frozen:radar:3:7",)


def expected(rig, scenes):
    """What the rig sees of the last of all scenes of a batch."""
    return as_numpy(pack(render(scenes[-1], rig, scenes[:-1]), rig))


@pytest.mark.parametrize(("rig", "faults"), [(CLOCKED, ()), (PLAIN, FROZEN), (PLAIN, ())])
def test_sb3s_environment_sees_what_all_scenes_show(rig, faults):
    vec = make_sb3_vec(ID, 3, rig=rig, config=CONFIG, seeds=[4, 5, 6])
    set_conditions(vec.world, faults=faults)
    twin = World(ID, 3, config=CONFIG)
    set_conditions(twin, faults=faults)
    observed = vec.reset()
    scenes = [twin.reset(torch.tensor([4, 5, 6]))]
    for step in range(5):
        for key, value in expected(rig, scenes).items():
            assert np.array_equal(observed[key], value), (step, key)
        actions = np.array([1, 0, 2])
        observed, _, done, infos = vec.step(actions)
        after, outcome = twin.step(torch.as_tensor(actions), substeps=True)
        scenes += outcome.substeps
        if done.any():
            last = expected(rig, scenes)
            for world in np.flatnonzero(done):
                for key, value in last.items():
                    assert np.array_equal(infos[world]["terminal_observation"][key], value[world])
            seeds = vec.scene.episode_seed
            scenes.append(twin.reset(seeds, where=torch.as_tensor(done)))
    assert bool(vec._senses._history.scenes) == (rig is CLOCKED or bool(faults))


def test_a_saved_environment_goes_on_with_its_past():
    def run(steps, vec):
        return [vec.step(np.array([1, 1]))[0] for _ in range(steps)]

    first, second = (make_sb3_vec(ID, 2, rig=CLOCKED, config=CONFIG, seeds=[1, 2]) for _ in range(2))
    first.reset()
    run(2, first)
    seen = second.load_state(first.state())
    again = second.load_state(second.state())
    assert all(np.array_equal(seen[key], again[key]) for key in seen)
    for mine, theirs in zip(run(3, first), run(3, second), strict=True):
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)


def test_gymnasiums_environments_see_the_same():
    single = DrivingEnv(ID, rig=CLOCKED, config=CONFIG)
    vector = DrivingVectorEnv(ID, 1, rig=CLOCKED, config=CONFIG)
    alone, _ = single.reset(seed=3)
    batch, _ = vector.reset(seed=[3])
    for _ in range(2):
        assert all(np.array_equal(alone[key], batch[key][0]) for key in alone)
        alone, batch = single.step(1)[0], vector.step(np.array([1]))[0]
    assert alone["alive"].tolist() == [1.0] and alone["age"][0] == pytest.approx(0.4), (
        "asked for 5 / 3 s, the last of 5 scenes a second was at 1.6 s"
    )
    again, _ = single.reset(seed=3)
    assert again["alive"].tolist() == [0.0], "nothing has arrived yet"


def test_a_recording_shows_the_same_in_one_batch_and_keeps_faults_and_weather(tmp_path):
    world = World(ID, 2, config=CONFIG)
    set_conditions(world, "fog", ("frozen:radar:3:20:40", "beams"))
    recordings = record(world, driver_named("idle", world.num_actions), [7, 8])
    recordings[1].save(tmp_path / "one.parquet")
    kept = Recording.load(tmp_path / "one.parquet")
    assert torch.equal(kept.scenes.faults.kind, recordings[1].scenes.faults.kind) and kept.scenes.faults.kind.shape[1] == 2
    assert torch.equal(kept.scenes.weather.visibility_m, torch.full_like(kept.scenes.time_s, 80.0).float())
    instants = kept.decision_instants()
    rig = replace(CLOCKED, name="both")
    frames = render(kept.scenes.select(instants), rig, history_of(kept.scenes, instants, rig))
    for row, instant in enumerate(instants.tolist()):
        one = render(kept.scenes.select([instant]), rig, [kept.scenes.select([n]) for n in range(instant)])
        assert torch.equal(one.radar.detections[0], frames.radar.detections[row])
        assert torch.equal(one.radar.age_s[0], frames.radar.age_s[row])
    replayed = recordings[0].replay()
    assert torch.equal(replayed.scenes.faults.kind, recordings[0].scenes.faults.kind)


def test_room_for_actors_may_grow():
    world = World(ID, 1, config=CONFIG)
    before = world.reset([1])
    now, outcome = world.step([1], substeps=True)
    per_actor = [name for name, value in vars(before).items() if torch.is_tensor(value) and value.shape[:2] == before.valid.shape]
    narrow = replace(before, **{name: getattr(before, name)[:, :-2] for name in per_actor})
    history = History(Rig("late", radars=(Radar("r", PLACE, latency_s=1.0),)))
    history.add(narrow, outcome.substeps, now)
    seen = render(now, history.rig, history.scenes).radar
    assert int(history.scenes[0].valid.sum()) == int(narrow.valid.sum()) and bool(seen.valid.all())
    assert torch.equal(seen.detections, render(narrow, PLAIN).radar.detections)


def test_conditions_by_name():
    world = World(ID, 2)
    set_conditions(world)
    assert world.faults.kind.shape == (2, 0)
    set_conditions(world, "rain", ("fog:camera:1", "dead:radar"))
    assert world.faults.kind.shape == (2, 2) and float(world.weather.rain_mm_per_h[0]) == 20.0
    with pytest.raises(ConfigError, match="did you mean 'rain'"):
        set_conditions(world, "rainy")
    with pytest.raises(ConfigError, match="did you mean 'frozen'"):
        set_conditions(world, faults=("frozn",))
