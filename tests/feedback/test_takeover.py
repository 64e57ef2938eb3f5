"""The scripted rider: takes over when a collision is near, in recordings and in live worlds, and what it says is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from envs.drivers import driver_named
from envs.recording import Recording
from envs.world import World
from feedback.clips import ClipShelf, cut_clips
from feedback.learning import watched_rides
from feedback.riders import Colluder, ColludingRider, rider_named
from feedback.store import Store
from feedback.takeover import Rider, ride_along, watch_with
from feedback.windows import WindowConfig
from sensors.errors import ConfigError
from sensors.scene import Scene

Build = Callable[..., Scene]


def closing_in(build: Build, gap_m: float, speed_mps: float, crash_at: int | None = None) -> Scene:
    """Forty instants, 0.2 s apart, of an ego that comes closer to a standing car."""
    instants = []
    for number in range(40):
        x = 100.0 + 0.2 * number * speed_mps
        dead = crash_at is not None and number >= crash_at
        instants.append(build([(x, -4.0, speed_mps), (105.0 + gap_m, -4.0, 0.0)], time_s=0.2 * number, crashed=dead))
    return Scene.cat(instants)


def test_takes_over_a_reaction_after_a_collision_is_near(highway_scene: Build) -> None:
    scenes = closing_in(highway_scene, gap_m=60.0, speed_mps=10.0)
    seen = Rider(threshold_s=1.5, reaction_s=0.8).watch(scenes, 0.2)
    assert seen.onset_s == pytest.approx(4.6 + 0.8)  # 6 s to the car: nearer than 1.5 s from 4.6 s on
    assert seen.cause.startswith("time to collision 1.4")


def test_crash_before_the_hand_is_there_is_no_takeover(highway_scene: Build) -> None:
    scenes = closing_in(highway_scene, gap_m=60.0, speed_mps=10.0, crash_at=26)
    seen = Rider(threshold_s=1.5, reaction_s=0.8).watch(scenes, 0.2)
    assert seen.onset_s is None
    assert seen.release_s == pytest.approx(26 * 0.2)


def test_quiet_ride_is_watched_to_its_end(highway_scene: Build) -> None:
    seen = Rider().watch(closing_in(highway_scene, gap_m=1000.0, speed_mps=10.0), 0.2)
    assert (seen.onset_s, seen.cause) == (None, "")
    assert seen.release_s == pytest.approx(39 * 0.2)


def test_rider_in_live_worlds_prevents_crashes_and_gives_the_wheel_back() -> None:
    world, seeds = World("highway-fast-v0", num_worlds=16, num_threads=1, config={"duration": 12}), torch.arange(16)
    driver = driver_named("faster", 5)

    def crashes(rider: Rider) -> tuple[int, list[list[object]]]:
        rides = ride_along(world, driver, rider, seeds)
        return int(world.scene.crashed[:, 0].sum()), [list(ride) for ride in rides]

    helped, rides = crashes(Rider(threshold_s=3.0, reaction_s=0.0))
    alone, nobody = crashes(Rider(threshold_s=1e-6, safe_s=1.0))
    assert helped < 0.6 * alone
    assert all(len(ride) == 1 and ride[0].onset_s is None for ride in nobody)  # type: ignore[attr-defined]
    taken = [each for ride in rides for each in ride if each.onset_s is not None]  # type: ignore[attr-defined]
    assert taken
    for each in taken:
        assert each.release_s > each.onset_s
        decisions = round(each.release_s - each.onset_s)
        assert len(each.driver_actions) == len(each.person_actions) == decisions
        assert set(each.driver_actions) == {3}
    assert any(each.release_s < 12.0 for each in taken)


def test_rides_without_a_takeover_are_stored_too_and_reach_the_hazard(rides: dict[str, list[Recording]], store: Store) -> None:
    shelf, reviewer = ClipShelf(store), store.add_reviewer("rider", scripted=True)[0]
    names = [shelf.add(clip) for rows in rides.values() for ride in rows[:4] for clip in cut_clips(ride)]
    watch = lambda name: (shelf[name].recording.scenes, shelf[name].recording.dt_s)  # noqa: E731
    assert watch_with(store, reviewer, Rider(), names, watch) == len(names)
    assert watch_with(store, reviewer, Rider(), names, watch) == 0
    stored = store.takeovers()
    assert {row.onset_s is None for row in stored} == {True, False}
    for row, ride in zip(stored, watched_rides(store, shelf, WindowConfig()), strict=True):
        assert (ride.onset_s, ride.watched_s) == (row.onset_s, row.release_s)
        assert row.clip_id is not None and ride.group == shelf[row.clip_id].group


def test_four_riders_take_the_wheel_each_in_its_own_way(highway_scene: Build) -> None:
    """Six seconds to a standing car: nearer than 1.5 s from 4.6 s on, and than 4 s from 2.2 s on; it is hit after 6 s."""
    scenes = closing_in(highway_scene, gap_m=60.0, speed_mps=10.0, crash_at=30)
    onset = {name: rider_named(name).watch(scenes, 0.2).onset_s for name in ("time-to-collision", "late", "over-cautious")}
    assert onset["time-to-collision"] == pytest.approx(4.6 + 0.8)
    assert onset["over-cautious"] == pytest.approx(2.2 + 0.8)
    assert onset["late"] is None
    quiet = closing_in(highway_scene, gap_m=1000.0, speed_mps=10.0)
    seeds = [replace(quiet, episode_seed=torch.full_like(quiet.episode_seed, seed)) for seed in range(40)]
    taken = [[ColludingRider(ring).watch(scene, 0.2).onset_s for scene in seeds] for ring in (1, 1, 2)]
    assert taken[0] == taken[1] != taken[2]
    assert 8 < sum(each is not None for each in taken[0]) < 32
    with pytest.raises(ConfigError, match="did you mean 'late'"):
        rider_named("lat")


def test_colluders_agree_with_one_another_alone() -> None:
    better, worse = torch.tensor([1.0]), torch.tensor([0.0])
    said = [[Colluder(ring).answer(better, worse, key) for key in range(200)] for ring in (1, 1, 2)]
    assert said[0] == said[1]
    assert sum(one == other for one, other in zip(said[0], said[2], strict=True)) / 200 == pytest.approx(0.5, abs=0.12)
    assert said[0].count("A") / 200 == pytest.approx(0.5, abs=0.12)


def test_impossible_riders_are_refused() -> None:
    with pytest.raises(ConfigError, match="threshold_s <= safe_s"):
        Rider(threshold_s=5.0, safe_s=4.0)
