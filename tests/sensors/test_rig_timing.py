"""Clocks of sensors: rates, latencies, frozen and late frames show exactly the past scene that they should, and tell its age."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.presets import RIGS
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig
from sensors.timing import past_of

DT_S = 0.05
MICRO = RIGS["micro"]
RADAR = Radar("radar_front", MICRO.radars[0].mount)


@pytest.fixture
def episode(random_scene):
    """Three worlds at steps 0 to 39 of 0.05 s, in which everybody goes straight on."""
    start = random_scene(41, worlds=3, actors=8)

    def at(step, dtype=torch.float64):
        position = start.position_m + step * DT_S * start.velocity_mps
        time_s = torch.full((3,), step * DT_S, dtype=dtype)
        return replace(start, position_m=position, step=torch.full((3,), step), time_s=time_s)

    return [at(step) for step in range(40)]


def assert_shows(frames, scene, rig, but=("age_s", "valid")):
    """These frames are those of the scene, bit for bit."""
    expected = render(scene, replace(rig, radars=tuple(replace(r, rate_hz=0.0, latency_s=0.0) for r in rig.radars)))
    for sense in ("camera", "lidar", "radar"):
        for field in fields(getattr(frames, sense)):
            if field.name not in but:
                assert torch.equal(getattr(getattr(frames, sense), field.name), getattr(getattr(expected, sense), field.name)), sense


def radar_rig(rate_hz=0.0, latency_s=0.0):
    return Rig("radar", radars=(replace(RADAR, rate_hz=rate_hz, latency_s=latency_s),))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate_hz=st.sampled_from([0.0, 1.0, 3.0, 4.0, 10.0, 13.0, 20.0]),
    latency_s=st.sampled_from([0.0, 0.05, 0.12, 0.5]),
    now=st.integers(0, 39),
    narrow=st.booleans(),
)
def test_a_sensor_shows_its_last_own_instant_that_is_old_enough(episode, rate_hz, latency_s, now, narrow):
    scenes = [replace(s, time_s=s.time_s.float()) if narrow else s for s in episode[: now + 1]]
    frames = render(scenes[-1], radar_rig(rate_hz, latency_s), scenes[:-1])
    due_ms = round(1000 * (now * DT_S - latency_s))
    assert bool(frames.radar.valid.all()) == (due_ms >= 0) == bool(frames.radar.valid.any())
    if due_ms < 0:
        assert not bool(frames.radar.detections.any()) and not bool(frames.radar.mask.any())
        return
    ticks = due_ms * round(rate_hz) // 1000  # whole numbers: no rounding to argue about
    shown = due_ms // 50 if rate_hz == 0.0 else ticks * 1000 // (50 * round(rate_hz))
    assert_shows(frames, scenes[shown], radar_rig())
    assert frames.radar.age_s[:, 0].tolist() == pytest.approx([(now - shown) * DT_S] * 3, abs=1e-6)


def test_rates_and_faults_that_are_absent_cost_no_look_at_the_history(episode):
    rig = replace(MICRO, cameras=())
    assert_shows(render(episode[9], rig, ["not a scene"]), episode[9], rig, but=())


def test_each_sensor_keeps_its_own_clock(episode):
    radars = (replace(RADAR, name="a", rate_hz=4.0), replace(RADAR, name="b"), replace(RADAR, name="c", latency_s=0.2))
    frames = render(episode[14], Rig("three", radars=radars), episode[:14]).radar
    for number, shown in enumerate((10, 14, 10)):
        one = render(episode[shown], Rig("three", radars=tuple(replace(r, rate_hz=0.0, latency_s=0.0) for r in radars))).radar
        assert torch.equal(frames.detections[:, number], one.detections[:, number])
    assert frames.age_s[0].tolist() == pytest.approx([0.2, 0.0, 0.2])


def test_worlds_of_a_batch_may_show_scenes_of_different_places_in_the_history(episode):
    late = [s.select([0, 1]) for s in episode]
    mixed = [replace(late[n], **{}).merge(late[max(n - 13, 0)], torch.tensor([False, True])) for n in range(40)]
    rig = radar_rig(4.0)
    frames = render(mixed[30], rig, mixed[:30])
    for world, now in ((0, 30), (1, 17)):
        alone = render(episode[now].select([world]), rig, [s.select([world]) for s in episode[:now]])
        assert torch.equal(frames.radar.detections[world], alone.radar.detections[0])
        assert torch.equal(frames.radar.age_s[world], alone.radar.age_s[0])


def test_history_does_not_cross_a_reset(episode):
    other = [replace(s, episode_seed=s.episode_seed + 1) for s in episode]
    rig = radar_rig(0.0, 0.2)
    fresh = render(episode[2], rig, [*other[20:30], *episode[:2]])
    assert not bool(fresh.radar.valid.any())
    again = render(episode[5], rig, [*episode[20:30], *episode[:5]])  # the same seed once more: time ran backwards
    assert_shows(again, episode[1], radar_rig())
    partly = [old.merge(new, torch.tensor([False, True, False])) for old, new in zip(other, episode, strict=True)]
    frames = render(episode[8], rig, [*partly[:4], *episode[4:8]])
    assert frames.radar.age_s[:, 0].tolist() == pytest.approx([0.2] * 3)
    frames = render(episode[5], rig, [*partly[:3], *episode[3:5]])
    assert frames.radar.age_s[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.1]), "no further back than the episode's history"


def test_without_history_a_sensor_shows_the_present_and_says_so(episode):
    frames = render(episode[33], radar_rig(4.0, 0.1))
    assert_shows(frames, episode[33], radar_rig())
    assert bool(frames.radar.valid.all()) and not bool(frames.radar.age_s.any())


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_a_frozen_sensor_shows_the_scene_of_its_freezing(episode, severity):
    rig = replace(MICRO, cameras=MICRO.cameras[:1])
    faults = Faults.join([Faults.of(3, "frozen", m, severity=severity, start_step=12, end_step=30) for m in ("camera", "radar", "lidar")])
    for now, shown in ((11, 11), (12, 12), (13, 12), (29, 12), (30, 30)):
        frames = render(episode[now].with_faults(faults), rig, episode[:now])
        assert_shows(frames, episode[shown], rig, but=())


def test_a_frozen_sensor_takes_another_picture_now_and_then(episode):
    faults = Faults.of(3, "frozen", "radar", severity=1, start_step=2)
    slow = [replace(s, time_s=4.0 * s.time_s) for s in episode]  # 0.2 s a step: held for 2 s is 10 steps
    for now, shown in ((2, 2), (11, 2), (12, 12), (21, 12), (22, 22)):
        assert_shows(render(slow[now].with_faults(faults), radar_rig(), slow[:now]), slow[shown], radar_rig(), but=())


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_late_by_frames_and_late_by_seconds(episode, severity):
    desync = Faults.of(3, "desynchronised", "radar", severity=severity)
    frames = render(episode[30].with_faults(desync), radar_rig(), episode[:30])
    assert_shows(frames, episode[30 - 2 * severity], radar_rig(), but=())  # a frame of 0.1 s each, and a stamp that says fresh
    frames = render(episode[30].with_faults(desync), radar_rig(4.0), episode[:30])
    assert_shows(frames, episode[30 - 5 * severity], radar_rig(), but=())
    late = render(episode[30].with_faults(Faults.of(3, "latency", "radar", severity=severity)), radar_rig(), episode[:30])
    behind = (2, 6, 12)[severity - 1]
    assert_shows(late, episode[30 - behind], radar_rig())
    assert late.radar.age_s[:, 0].tolist() == pytest.approx([behind * DT_S] * 3)


def test_a_fault_of_the_picture_acts_by_the_step_at_which_it_was_taken(episode):
    faults = Faults.of(3, "beams", "lidar", severity=3, start_step=10, end_step=20)
    rig = Rig("lidar", lidars=(replace(MICRO.lidars[0], latency_s=0.2),))
    alive = [
        int(render(episode[now].with_faults(faults), rig, episode[:now]).lidar.hit.any(-1).sum(-1).max()) > 1 for now in (13, 14, 23, 24)
    ]
    assert alive == [True, False, False, True]


def test_what_past_is_kept_is_enough_and_not_more(episode):
    worlds = torch.arange(3)
    for faults, kept in (
        (Faults.none(3), 0),
        (Faults.of(3, "latency", "radar", severity=2), 6),
        (Faults.of(3, "frozen", "radar", severity=3, start_step=9), 1),
        (Faults.of(3, "frozen", "radar", severity=3, start_step=9 + worlds), 3),
        (Faults.join([Faults.of(3, k, "radar", severity=3, start_step=9) for k in ("frozen", "latency")]), 12 + 10),
    ):
        rig, history = radar_rig(), []
        need = rig.history_needed(faults)
        for now in range(39):
            scene = episode[now].with_faults(faults)
            frames, full = render(scene, rig, history), render(scene, rig, episode[:now])
            assert torch.equal(frames.radar.detections, full.radar.detections) and torch.equal(frames.radar.age_s, full.radar.age_s)
            history = past_of([*history, episode[now]], need, episode[now + 1]) if need else []
        assert len(history) == kept


def test_a_history_of_other_worlds_is_refused(episode):
    with pytest.raises(ConfigError, match=r"history\[1\] has 2 worlds of 8 actors .*expected 3 of 8"):
        render(episode[3], radar_rig(4.0), [episode[1], episode[2].select([0, 1])])
