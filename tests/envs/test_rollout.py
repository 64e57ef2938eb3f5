"""Driving and recording: any driver, whole episodes."""

from dataclasses import dataclass, field

import pytest
import torch

from envs.drivers import driver_named
from envs.reference import ReferenceWorld
from envs.rollout import record
from envs.world import World
from sensors.lidar.config import Lidar
from sensors.presets import RIGS
from sensors.rig import Rig

LIDAR = Rig("lidar only", lidars=(Lidar("lidar_top", elevations_rad=(-0.1, 0.0), columns=8),))


@dataclass
class Watcher:
    """Remembers what it was given; its state counts its decisions."""

    needs_frames: Rig | None = None
    autopilot: bool = False
    seen: list = field(default_factory=list)

    def act(self, scene, frames, state):
        state = 0 if state is None else state + 1
        self.seen.append((scene, frames, state))
        return torch.ones(scene.num_worlds, dtype=torch.int64), state

    def reset(self, state, where):
        return state


def short_world(num_worlds=2):
    return ReferenceWorld("u-turn-v0", num_worlds, config={"duration": 2, "simulation_frequency": 5})


def test_the_driver_sees_each_decision_and_gets_its_state_back():
    driver = Watcher()
    recordings = record(short_world(), driver, [1, 2])
    assert [state for _, _, state in driver.seen] == [0, 1]
    assert all(frames is None for _, frames, _ in driver.seen)
    for number, (scene, _, _) in enumerate(driver.seen):
        for place, recording in enumerate(recordings):
            assert torch.equal(recording.at_decisions().position_m[number], scene.position_m[place])


def test_frames_are_rendered_only_for_a_driver_that_asks():
    driver = Watcher(needs_frames=LIDAR)
    record(short_world(), driver, [1, 2])
    assert all(frames.lidar.range_m.shape == (2, 1, 2, 8) for _, frames, _ in driver.seen)
    blind = Watcher()
    record(short_world(), blind, [1, 2], frames_rig="micro")
    assert all(frames is None for _, frames, _ in blind.seen)


def test_another_rig_may_be_looked_through():
    driver = Watcher(needs_frames=RIGS["micro"])
    record(short_world(1), driver, [1], frames_rig=LIDAR)
    assert all(frames.lidar.range_m.shape == (1, 1, 2, 8) for _, frames, _ in driver.seen)


def test_recording_runs_on_past_a_crash_to_the_horizon():
    world = World("highway-fast-v0", 3)
    recordings = record(world, driver_named("faster", 5), [1, 2, 3])
    assert all(recording.num_decisions == 30 for recording in recordings)
    assert any(bool(recording.terminated[:-5].any()) for recording in recordings)
    for recording in recordings:
        first = int(recording.terminated.nonzero()[0])
        assert recording.terminated[first:].all()  # a wreck stays a wreck


def test_recording_can_end_with_the_episode():
    world = World("highway-fast-v0", 3)
    whole = record(world, driver_named("faster", 5), [1, 2, 3])
    cut = record(world, driver_named("faster", 5), [1, 2, 3], until_horizon=False)
    for long, short in zip(whole, cut, strict=True):
        ended = (short.terminated | short.truncated).tolist()
        assert ended == [False] * (len(ended) - 1) + [True]
        count = short.num_decisions
        assert torch.equal(short.rewards, long.rewards[:count])
        assert torch.equal(short.scenes.position_m, long.scenes.position_m[: short.scenes.num_worlds])
        assert int(short.decision_of_substep[-1]) == count - 1
        assert short.replay().differences(short) == []


def test_the_idm_driver_is_the_worlds_autopilot():
    native = record(World("highway-fast-v0", 1, dtype=torch.float64, config={"duration": 5}), driver_named("idm", 5), [7])[0]
    reference = record(ReferenceWorld("highway-fast-v0", 1, dtype=torch.float64, config={"duration": 5}), driver_named("idm", 5), [7])[0]
    assert native.autopilot and not native.terminated.any()
    assert torch.allclose(native.scenes.position_m, reference.scenes.position_m, atol=1e-6, rtol=0)


@pytest.mark.parametrize("driver", ["random", "slower"])
def test_one_world_alone_is_recorded_as_among_others(driver):
    many = record(World("highway-fast-v0", 4), driver_named(driver, 5), [1, 2, 3, 4])
    alone = record(World("highway-fast-v0", 1), driver_named(driver, 5), [3])[0]
    assert alone.differences(many[2]) == []
