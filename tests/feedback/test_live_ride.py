"""Live rides: real time kept, the wheel taken at substeps and given back at decisions, all of it stored, replayed and learned from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from envs.drivers import Driver, driver_named
from envs.world import World
from feedback import audit
from feedback.clips import ClipShelf
from feedback.learning import watched_rides
from feedback.live_ride import LiveRide, RideResult, Wish, controls, replay
from feedback.ride_files import keep_ride, load_ride, replay_ride
from feedback.store import Store
from feedback.windows import WindowConfig
from sensors.scene import Scene


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def ride(script: dict[float, Wish | None], seed: int = 3, driver: Driver | None = None, seconds: int = 20, cars: int = 3) -> Any:
    """Ride by a script of wishes by the ride's clock (None: stop); a heartbeat comes with every picture.

    Returns:
        The ride, its result, and for each picture real time, the world's time and whether the person had the wheel.
    """
    clock, seen = Clock(), []
    todo = sorted(script.items())
    world = World("highway-fast-v0", 1, num_threads=1, config={"duration": seconds, "vehicles_count": cars})

    def show(live: LiveRide, scene: Scene) -> None:
        seen.append((clock.now_s, float(scene.time_s[0]), live.held))
        live.wish(live.present)
        while todo and live.time_s >= todo[0][0] - 1e-6:
            wish = todo.pop(0)[1]
            live.stop() if wish is None else live.wish(wish)

    live = LiveRide(world, driver or driver_named("idle", 5), seed, show, clock, clock.sleep)
    return live, live.run(), seen


@pytest.fixture(scope="module")
def taken() -> tuple[LiveRide, RideResult, list[tuple[float, float, bool]]]:
    """A ride in which the person takes the wheel at 4 s, brakes gently to the left, and gives it back at 9.4 s."""
    held = Wish(held=True, acceleration=-0.1, steering=0.4)
    return ride({4.0: held, 5.4: replace(held, steering=-0.4), 6.8: replace(held, steering=0.0, acceleration=0.0), 9.4: Wish()})


def test_a_ride_keeps_real_time_and_shows_enough_pictures(taken: Any) -> None:
    _, result, seen = taken
    real, world_s = [each[0] for each in seen], [each[1] for each in seen]
    assert result.recording.num_decisions == 20
    assert real[-1] - real[0] == pytest.approx(world_s[-1] - world_s[0], rel=0.02, abs=0.3)
    gaps = [after - before for before, after in itertools.pairwise(real)]
    assert max(gaps) <= 0.1 + 1e-6  # 10 Hz or more, though the world has 5 instants a second
    assert world_s == sorted(world_s)


def test_slow_motion_stretches_time_and_not_pictures() -> None:
    _, result, seen = ride({0.0: Wish(rate=0.25), 3.0: None}, seconds=5)
    assert result.recording.num_decisions in (2, 3)
    real, world_s = [each[0] for each in seen], [each[1] for each in seen]
    assert real[-1] - real[8] == pytest.approx(4.0 * (world_s[-1] - world_s[8]), rel=0.1)
    assert max(after - before for before, after in itertools.pairwise(real)) <= 0.1 + 1e-6


def test_a_pause_stops_the_world_and_not_the_clock() -> None:
    clock, seen = Clock(), []
    world = World("highway-fast-v0", 1, num_threads=1, config={"duration": 3})

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if live.present.paused and clock.now_s > 110.0:
            live.wish(Wish())

    def show(live: LiveRide, scene: Scene) -> None:
        seen.append((clock.now_s, live.time_s))
        if len(seen) == 10:
            live.wish(Wish(paused=True))

    live = LiveRide(world, driver_named("idle", 5), 1, show, clock, sleep)
    assert live.run() is not None
    jumps = [(after[0] - before[0], after[1] - before[1]) for before, after in itertools.pairwise(seen)]
    longest = max(jumps)
    assert longest[0] > 8.0 and longest[1] <= 0.2 + 1e-6
    assert seen[-1][0] > 112.0


def test_whoever_holds_the_wheel_and_falls_silent_stops_the_world() -> None:
    clock, shown = Clock(), []
    world = World("highway-fast-v0", 1, num_threads=1, config={"duration": 6})

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if live.lost:
            if clock.now_s > 130.0:
                live.wish(Wish())
        elif clock.now_s < 101.0:
            live.wish(Wish(held=True))

    def show(live: LiveRide, scene: Scene) -> None:
        shown.append((clock.now_s, live.time_s))

    live = LiveRide(world, driver_named("idle", 5), 1, show, clock, sleep)
    assert live.run() is not None
    silent = [time_s for now_s, time_s in shown if 103.0 < now_s < 129.0]
    assert silent == []  # from a second after the last word nothing moves, until there is word again
    assert shown[-1][1] > 5.0


@pytest.mark.parametrize("limits", [{"idle_s": 3.0}, {"limit_s": 4.0}])
def test_a_ride_that_nobody_watches_or_that_goes_on_for_ever_ends(limits: dict[str, float]) -> None:
    clock = Clock()
    world = World("highway-fast-v0", 1, num_threads=1, config={"duration": 20})
    live = LiveRide(world, driver_named("idle", 5), 1, lambda *_: None, clock, clock.sleep, **limits)
    live.wish(Wish(paused="limit_s" in limits))
    result = live.run()
    assert (result is None) == ("limit_s" in limits)
    assert 2.5 < clock.now_s - 100.0 < 5.0


def test_the_wheel_is_taken_at_a_substep_and_given_back_at_a_decision(taken: Any) -> None:
    _, result, seen = taken
    (takeover,) = result.takeovers
    assert takeover.request_s == pytest.approx(4.0, abs=0.21)
    assert takeover.request_s <= takeover.onset_s <= takeover.request_s + 0.41
    assert takeover.onset_s % 0.2 == pytest.approx(0.0, abs=1e-4) or takeover.onset_s % 0.2 == pytest.approx(0.2, abs=1e-4)
    assert takeover.release_s == pytest.approx(10.0, abs=1e-4)  # asked at 9.4 s, decisions are at whole seconds
    assert result.by_hand_s == pytest.approx(takeover.release_s - takeover.onset_s, abs=1e-4)
    assert len(takeover.driver_actions) == len(takeover.person_actions) == 6  # decisions 4 to 9
    assert set(takeover.driver_actions) == {1}
    assert {held for _, _, held in seen} == {False, True}


def test_the_person_really_drives(taken: Any) -> None:
    _, result, _ = taken
    _, idle, _ = ride({})
    mine, theirs = result.recording.scenes, idle.recording.scenes
    onset = round(result.takeovers[0].onset_s / 0.2)
    assert torch.equal(mine.position_m[: onset + 1, 0], theirs.position_m[: onset + 1, 0])
    hand = result.hands[0]
    speed, dt = float(mine.speed_mps[onset, 0]), 0.2
    assert float(mine.speed_mps[onset + 1, 0]) == pytest.approx(speed + hand.acceleration_mps2 * dt, abs=1e-4)
    slip = math.atan(0.5 * math.tan(hand.steering_rad))
    assert float(mine.heading_rad[onset + 1, 0]) == pytest.approx(
        float(mine.heading_rad[onset, 0]) + speed * math.sin(slip) / 2.5 * dt, abs=1e-5
    )
    assert hand.steering_rad > 0
    assert float(mine.position_m[onset + 20, 0, 1]) > float(theirs.position_m[onset + 20, 0, 1]) + 1.0


def test_after_the_wheel_is_given_back_the_car_stays_in_the_lane_it_was_left_in(taken: Any) -> None:
    """highway-env's low-level control would steer back to the lane that the driver last asked for."""
    _, result, _ = taken
    scenes = result.recording.scenes
    release = round(result.takeovers[0].release_s / 0.2)
    left_at = float(scenes.position_m[release, 0, 1])
    end = float(scenes.position_m[-1, 0, 1])
    lane = round(left_at / 4.0)
    assert lane != round(float(scenes.position_m[0, 0, 1]) / 4.0), "the script must lead into another lane"
    assert round(end / 4.0) == lane


@pytest.mark.parametrize("speed_mps", [0.0, 0.5, 5.0, 15.0, 30.0, 40.0])
def test_controls_never_push_sideways_harder_than_a_tyre_holds_and_never_reverse(speed_mps: float) -> None:
    for acceleration, steering in itertools.product((-1.0, -0.3, 0.0, 1.0), (-1.0, 0.2, 1.0)):
        along, angle = controls(Wish(True, acceleration, steering), speed_mps, 0.2)
        slip = math.atan(0.5 * math.tan(angle))
        assert abs(speed_mps**2 * math.sin(slip) / 2.5) <= 4.0 + 1e-9
        assert speed_mps + along * 0.2 >= -1e-9
        assert -8.0 <= along <= 4.0 and abs(angle) < 0.7
        assert math.copysign(1, angle) == math.copysign(1, steering)


def test_a_ride_is_replayed_bit_for_bit(taken: Any) -> None:
    _, result, _ = taken
    assert result.recording.differences(replay(result.recording, result.hands, result.handed_back)) == []
    assert "scene" not in result.recording.differences(result.recording)
    unlike = replay(result.recording, result.hands[:-3], result.handed_back)
    assert "position_m" in result.recording.differences(unlike)


def keep(store: Store, reviewer_id: int, result: RideResult, key: str = "ride-0001") -> tuple[int, list[str]]:
    for folder in ("rides", "clips"):
        (store.folder / folder).mkdir(exist_ok=True)
    return keep_ride(store, reviewer_id, "idle", result, key)


def test_a_takeover_is_stored_with_what_came_before_and_after(store: Store, reviewer_id: int, taken: Any) -> None:
    live, result, _ = taken
    assert live.say_cause(0, "too close") and not live.say_cause(1, "too close") and not live.say_cause(0, "<b>")
    result = replace(result, takeovers=tuple(replace(each, cause="too close") for each in result.takeovers))
    ride_id, shown = keep(store, reviewer_id, result)
    (row,) = store.rides(reviewer_id)
    assert (row.id, row.env_id, row.seed, row.driver, row.stars) == (ride_id, "highway-fast-v0", 3, "idle", None)
    assert row.duration_s == pytest.approx(20.0) and row.distance_m > 200
    taken_rows = [each for each in store.takeovers() if each.onset_s is not None]
    (takeover,) = taken_rows
    assert (takeover.cause, takeover.ride_id, takeover.recording) == ("too close", ride_id, row.recording)
    before, after = (ClipShelf(store)[clip_id] for clip_id in (takeover.clip_id, takeover.after_clip_id))
    assert before.start_s + takeover.onset_s == pytest.approx(result.takeovers[0].onset_s, abs=1e-4)
    assert before.start_s + takeover.request_s == pytest.approx(result.takeovers[0].request_s, abs=1e-4)
    assert before.start_s <= 4.0 <= before.start_s + before.duration_s
    assert after.start_s <= result.takeovers[0].release_s <= after.start_s + after.duration_s
    assert [clip.duration_s for clip in (before, after)] == pytest.approx([8.0, 8.0])
    assert shown == [takeover.clip_id, takeover.after_clip_id]
    assert len(takeover.driver_actions) == len(takeover.person_actions) == 6
    quiet = [each for each in store.takeovers() if each.onset_s is None]
    assert all(each.release_s == pytest.approx(ClipShelf(store)[each.clip_id].duration_s) for each in quiet)
    for each in quiet:  # what nobody took is what the driver drove
        clip = ClipShelf(store)[each.clip_id]
        assert clip.start_s >= result.takeovers[0].release_s - 1e-4 or clip.start_s + clip.duration_s <= takeover.onset_s + before.start_s
    assert store.was_shown(reviewer_id, takeover.clip_id) and not store.was_shown(store.add_reviewer("heron")[0], takeover.clip_id)
    assert audit.verify(store.engine).problems == ()


def test_a_stored_ride_is_replayed_from_its_files_and_a_changed_one_is_refused(store: Store, reviewer_id: int, taken: Any) -> None:
    keep(store, reviewer_id, taken[1])
    (row,) = store.rides()
    assert replay_ride(store.folder, row) == []
    recording, hands, handed_back = load_ride(store.folder, row)
    assert (tuple(hands), tuple(handed_back)) == (taken[1].hands, taken[1].handed_back)
    path = store.folder / row.recording
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Exception, match="missing or is not the one that was stored"):
        load_ride(store.folder, row)


def test_storing_a_ride_again_writes_nothing_twice(store: Store, reviewer_id: int, taken: Any) -> None:
    first = keep(store, reviewer_id, taken[1])
    rows = len(store.takeovers())
    with pytest.raises(Exception, match="already names another takeover"):
        keep(store, reviewer_id, taken[1])  # its recording has another name: a page never sends a ride, the server stores it once
    assert (len(store.rides()), len(store.takeovers())) == (1, rows)
    assert store.rides()[0].id == first[0]


def test_the_hazard_learns_from_live_takeovers_as_from_the_scripts(store: Store, reviewer_id: int, taken: Any) -> None:
    keep(store, reviewer_id, taken[1])
    rides = watched_rides(store, ClipShelf(store), WindowConfig())
    onsets = [each.onset_s for each in rides if each.onset_s is not None]
    assert len(onsets) == 1 and 0 < onsets[0] < 8.0
    assert all(each.features.shape[0] == 8 and bool(torch.isfinite(each.features).all()) for each in rides)


def test_a_ride_that_was_too_short_for_clips_is_stored_without(store: Store, reviewer_id: int) -> None:
    _, result, _ = ride({1.0: Wish(held=True), 3.5: None}, seconds=20)
    assert result.recording.num_decisions == 3
    keep(store, reviewer_id, result)
    (row,) = store.takeovers()
    assert row.clip_id is None and row.recording.startswith("rides/")
    assert row.onset_s == pytest.approx(1.0, abs=0.41) and row.release_s == pytest.approx(3.0)
    assert replay_ride(store.folder, store.rides()[0]) == []


def test_a_ride_stopped_at_once_leaves_nothing() -> None:
    assert ride({0.0: None})[1] is None


def test_a_crash_ends_the_ride_and_is_seen_with_what_follows(store: Store, reviewer_id: int) -> None:
    _, result, seen = ride({1.0: Wish(held=True, acceleration=1.0)}, seconds=40, cars=30)
    assert result.outcome.startswith("crashed at ")
    assert bool(result.recording.scenes.crashed[-1, 0])
    ended = int(result.recording.terminated.int().argmax())
    assert result.recording.num_decisions == ended + 3
    (takeover,) = result.takeovers
    assert takeover.release_s == pytest.approx(ended + 1)  # by the crash, not by what follows
    keep(store, reviewer_id, result)
    assert replay_ride(store.folder, store.rides()[0]) == []


def test_ratings_count_by_the_latest(store: Store, reviewer_id: int, taken: Any) -> None:
    ride_id, _ = keep(store, reviewer_id, taken[1])
    first = store.rate_ride(reviewer_id, ride_id, 2, "jerky", client_key="rate-0001")
    assert store.rate_ride(reviewer_id, ride_id, 2, "jerky", client_key="rate-0001") == first
    store.rate_ride(reviewer_id, ride_id, 4)
    assert store.rides()[0].stars == 4
    attempts: Sequence[tuple[Callable[[], object], str]] = (
        (lambda: store.rate_ride(reviewer_id, ride_id, 6), "expected 1 to 5"),
        (lambda: store.rate_ride(reviewer_id, 999, 3), "not one of yours"),
        (lambda: store.rate_ride(store.add_reviewer("heron")[0], ride_id, 3), "not one of yours"),
        (lambda: store.rate_ride(reviewer_id, ride_id, 3, client_key="rate-0001"), "already names another rating"),
    )
    for attempt, message in attempts:
        with pytest.raises(Exception, match=message):
            attempt()
    assert store.rides()[0].stars == 4


class Seeing:
    """A driver that drives by what its sensors see."""

    autopilot = False

    def __init__(self) -> None:
        from sensors.presets import RIGS

        self.needs_frames = RIGS["micro"]
        self.seen: list[int] = []

    def act(self, scene: Scene, frames: Any, state: Any) -> tuple[torch.Tensor, Any]:
        self.seen.append(int(frames.camera.rgb.shape[0]))
        return torch.ones(1, dtype=torch.int64), (state or 0) + 1

    def reset(self, state: Any, where: torch.Tensor) -> Any:
        return state


def test_a_driver_that_sees_by_its_sensors_is_given_their_frames() -> None:
    driver = Seeing()
    _, result, _ = ride({1.0: Wish(held=True), 2.0: Wish()}, driver=driver, seconds=5)
    assert driver.seen == [1] * result.recording.num_decisions
    assert result.recording.differences(replay(result.recording, result.hands, result.handed_back)) == []


def test_a_ride_among_cars_that_come_and_go_is_replayed_too() -> None:
    """Traffic at an intersection spawns as it goes, so that scenes differ in how many actors they hold."""
    clock, shown = Clock(), []
    world = World("intersection-v0", 1, num_threads=1)

    def show(live: LiveRide, scene: Scene) -> None:
        shown.append(scene.num_actors)
        live.wish(Wish(held=2.0 <= live.time_s < 4.0, acceleration=0.3, steering=0.2, rate=0.5))

    live = LiveRide(world, driver_named("slower", 3), 5, show, clock, clock.sleep)
    result = live.run()
    assert result is not None and len(result.takeovers) == 1 and result.by_hand_s > 1.0
    assert result.recording.differences(replay(result.recording, result.hands, result.handed_back)) == []
