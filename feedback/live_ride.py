"""A live ride: a driver drives one world in real time, and the person beside it can take the wheel at any substep.

The ride runs in a thread of its own. What the person does comes in as the state that they want (``Wish``); what is to be seen goes out
as scenes. The wheel is taken at the next substep, and given back at the next decision, where the driver decides for what there is then.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from envs.drivers import Driver
from envs.history import History
from envs.outcome import Outcome
from envs.override import Override
from envs.recording import Recording, assemble, with_room
from feedback.clips import DEAD_DECISIONS
from feedback.rows import TAKEOVER_CAUSES
from sensors.scene import Scene

if TYPE_CHECKING:
    from envs.world import World

FULL_THROTTLE_MPS2, FULL_BRAKE_MPS2 = 4.0, 8.0
MOST_LATERAL_MPS2, MOST_SLIP_RAD = 4.0, 0.33
AXLE_TO_MIDDLE_M = 2.5
"""Half of highway-env's vehicle length: its bicycle turns by speed / this * sin(slip)."""
LOST_AFTER_S = 1.0
"""Whoever holds the wheel and is not heard of for so long has lost the connection: the ride waits."""
SHOWN_HZ = 12.0
"""At least so many pictures a second."""


@dataclass(frozen=True)
class Wish:
    """What the person wants now."""

    held: bool = False
    """The wheel."""
    acceleration: float = 0.0
    """From -1, full brake, to 1, full throttle."""
    steering: float = 0.0
    """From -1, to the right, to 1, to the left."""
    paused: bool = False
    rate: float = 1.0
    """How fast the ride goes, as a share of real time: one of ``rows.RIDE_RATES``."""


@dataclass
class LiveTakeover:
    """One time that the person had the wheel; times by the ride's clock."""

    request_s: float
    """When they asked."""
    onset_s: float
    """When they had it."""
    release_s: float | None = None
    """When the driver had it again."""
    cause: str = ""
    """Why, one of ``rows.TAKEOVER_CAUSES``."""
    driver_actions: list[Any] = field(default_factory=list)
    """What the driver wanted at each decision meanwhile."""
    person_actions: list[tuple[float, float]] = field(default_factory=list)
    """What was driven instead: mean acceleration along the heading [m/s2] and mean yaw rate [rad/s] of each decision."""


@dataclass(frozen=True)
class Hand:
    """The wheel in a person's hand for one substep: what a replay needs beside seed and actions."""

    decision: int
    substep: int
    acceleration_mps2: float
    steering_rad: float


@dataclass(frozen=True)
class RideResult:
    """What is left of a ride."""

    recording: Recording
    hands: tuple[Hand, ...]
    """Every substep that the person drove, in order."""
    handed_back: tuple[int, ...]
    """Decisions before which the wheel went back to the driver."""
    takeovers: tuple[LiveTakeover, ...]
    outcome: str
    by_hand_s: float
    distance_m: float


class Stopped(Exception):
    """The ride was ended from outside."""


def controls(wish: Wish, speed_mps: float, dt_s: float) -> tuple[float, float]:
    """Turn pedals and wheel into what the world takes.

    The steering is bounded so that the car is not pushed sideways harder than a tyre could hold, and braking ends at a stand.

    Args:
        wish: What the person wants.
        speed_mps: How fast the ego is.
        dt_s: How long the controls will act.

    Returns:
        Acceleration [m/s2] and steering angle [rad], positive to the left.
    """
    acceleration = wish.acceleration * (FULL_THROTTLE_MPS2 if wish.acceleration > 0 else FULL_BRAKE_MPS2)
    if acceleration < 0:
        acceleration = max(acceleration, -max(speed_mps, 0.0) / dt_s)
    most = min(math.sin(MOST_SLIP_RAD), MOST_LATERAL_MPS2 * AXLE_TO_MIDDLE_M / max(speed_mps**2, 1e-6))
    slip = math.asin(wish.steering * most)
    return acceleration, math.atan(2.0 * math.tan(slip))


def hand_back(world: World) -> None:
    """Let the driver's low-level control start from where the person left the car, not from the lane that it last headed for."""
    state = world.state()
    ego = state.episodes["ego"] if "ego" in (state.episodes.dtype.names or ()) else torch.zeros(world.num_worlds, dtype=torch.int64).numpy()
    for number, place in enumerate(ego.tolist()):
        state.cars["target_lane"][number, place] = state.cars["lane"][number, place]
    world.load(state)


class LiveRide:
    """A ride as it happens.

    Args:
        world: One world.
        driver: Who drives when the person does not.
        seed: Episode seed.
        show: Given every scene that is to be seen, in the ride's thread.
        clock: Real time [s].
        sleep: Waits for so long [s].
        idle_s: The ride ends when nothing was heard of the person for so long [s].
        limit_s: The ride ends after so much real time [s].
        note: Given what each decision adds to what the ride repeats from, in the ride's thread (see ``feedback.ride_journal``).
    """

    def __init__(
        self,
        world: World,
        driver: Driver,
        seed: int,
        show: Callable[[LiveRide, Scene], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        idle_s: float = math.inf,
        limit_s: float = math.inf,
        note: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.world, self.driver, self.seed = world, driver, seed
        self.takeovers: list[LiveTakeover] = []
        self.over = ""
        self._show, self._clock, self._note = show, clock, note
        self._changed = threading.Condition()
        self._sleep = sleep or self._wait
        self._wish, self._heard = Wish(), clock()
        self._asked_s: float | None = None
        self._idle_s, self._limit_s, self._begun = idle_s, limit_s, clock()
        self._stop = False
        self._now_s, self._due = 0.0, 0.0
        self._decision, self._substep = 0, 0
        self._hands: list[Hand] = []
        self._handed_back: list[int] = []
        self._before: Scene | None = None

    # What the person does, from any thread

    def wish(self, wish: Wish) -> None:
        """Say what the person wants from now on; without word for ``LOST_AFTER_S`` while they hold the wheel, the ride waits."""
        with self._changed:
            if wish.held and not self._wish.held:
                self._asked_s = self._now_s
            self._wish, self._heard = wish, self._clock()
            self._changed.notify_all()

    def say_cause(self, number: int, cause: str) -> bool:
        """Note why the person took the wheel the ``number``-th time, from 0; tells whether there was such a time."""
        with self._changed:
            if not 0 <= number < len(self.takeovers) or cause not in TAKEOVER_CAUSES:
                return False
            self.takeovers[number].cause = cause
            return True

    def stop(self) -> None:
        """End the ride; what was driven in whole decisions is kept."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    @property
    def present(self) -> Wish:
        """What the person wants now."""
        return self._wish

    @property
    def held(self) -> bool:
        """Whether the person has the wheel."""
        return bool(self.takeovers) and self.takeovers[-1].release_s is None

    @property
    def lost(self) -> bool:
        """Whether the person holds the wheel and is not heard of."""
        return self._wish.held and self._clock() - self._heard > LOST_AFTER_S

    @property
    def quiet_s(self) -> float:
        """For how long nothing was heard of the person [s]."""
        return self._clock() - self._heard

    @property
    def time_s(self) -> float:
        """The ride's clock."""
        return self._now_s

    # The ride, in its own thread

    def run(self) -> RideResult | None:
        """Ride until the end of the episode, or until stopped.

        Returns:
            What is left; None if it ended before the first decision.
        """
        world = self.world
        scene = world.reset(torch.tensor([self.seed]))
        instants, actions = [scene], []
        outcomes: list[Outcome] = []
        history, state = History(self.driver.needs_frames), None
        start_s, self._due = float(scene.time_s[0]), self._clock()
        dead = 0
        try:
            while len(outcomes) < world.horizon_steps and dead <= DEAD_DECISIONS:
                self._maybe_hand_back(float(scene.time_s[0]) - start_s)
                action, state = self.driver.act(scene, self._frames(scene, history), state)
                self._substep = 0
                before = scene
                piloted = torch.tensor([self.driver.autopilot])
                person = partial(self._drive, start_s=start_s, paced=not dead)
                scene, outcome = world.step(action, autopilot=piloted, override=person, substeps=True)
                self._keep(action, outcome)
                history.add(before, outcome.substeps, scene)
                instants += outcome.substeps
                actions.append(action)
                outcomes.append(outcome)
                dead += bool(dead) or bool(outcome.terminated[0])
                if dead == 1:
                    self._picture(scene)
                    self._close(float(scene.time_s[0]) - start_s)
                if bool(outcome.truncated[0]):
                    break
        except Stopped:
            pass
        finally:
            self._close(float(scene.time_s[0]) - start_s)
        if not outcomes:
            return None
        recording = assemble(world, [self.seed], actions, self.driver.autopilot, instants, outcomes)[0]
        return self._result(recording, len(outcomes))

    def _frames(self, scene: Scene, history: History) -> Any:
        if self.driver.needs_frames is None:
            return None
        from sensors.rendering import render

        return render(scene.to("cpu"), self.driver.needs_frames, history.scenes)

    def _drive(self, scene: Scene, start_s: float, paced: bool) -> Override | None:
        """Before every substep: show what there is, wait until it is due, and give what the person does."""
        with self._changed:
            self._now_s = float(scene.time_s[0]) - start_s
        if paced:
            self._picture(scene)
        with self._changed:
            wish, substep = self._wish, self._substep
            self._substep += 1
            if wish.held and not self.held and paced:
                asked = self._now_s if self._asked_s is None else min(self._asked_s, self._now_s)
                self.takeovers.append(LiveTakeover(asked, self._now_s))
            if not self.held or not paced:
                return None
            wish = wish if wish.held else Wish()  # given back, and not yet at the next decision: the car rolls on
        speed = float(scene.speed_mps[0, 0])
        acceleration, steering = controls(wish, speed, self.world.substep_dt_s)
        self._hands.append(Hand(self._decision, substep, acceleration, steering))
        taken = torch.tensor([acceleration, steering], dtype=torch.float64)
        return Override(torch.tensor([True]), taken[:1], taken[1:])

    def _picture(self, scene: Scene) -> None:
        """Show a scene, and what lies between it and the one before where the world or the ride is slow."""
        from sensors.views.video import interpolate

        dt_s = self.world.substep_dt_s / self._wish.rate
        count = max(1, math.ceil(dt_s * SHOWN_HZ - 1e-6))
        shown = [scene]
        if count > 1 and self._before is not None:
            room = max(self._before.num_actors, scene.num_actors)
            ends = [with_room(replace(each, road=self.world.road), room) for each in (self._before, scene)]
            filled, _ = interpolate(Scene.cat(ends), count / self.world.substep_dt_s)
            shown = [filled.select([number]) for number in range(1, filled.num_worlds)]
        first, self._before = self._before is None, scene
        for each in shown:
            self._await_due()
            self._show(self, each)
            self._due += 0.0 if first and count > 1 else dt_s / len(shown)
        if self._clock() - self._due > 0.25:  # a machine that cannot keep up rides slower, it does not catch up in a rush
            self._due = self._clock()

    def _await_due(self) -> None:
        while True:
            with self._changed:
                if self._stop or self.quiet_s > self._idle_s or self._clock() - self._begun > self._limit_s:
                    raise Stopped
                waits = self._wish.paused or self.lost
                if waits:
                    self._due = self._clock() + 0.05
                left = self._due - self._clock()
            if left <= 0 and not waits:
                return
            self._sleep(min(max(left, 0.001), 0.25))

    def _wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(seconds)

    def _maybe_hand_back(self, now_s: float) -> None:
        with self._changed:
            if self.held and not self._wish.held:
                self.takeovers[-1].release_s = now_s
                self._handed_back.append(self._decision)
                self._asked_s = None
            else:
                return
        hand_back(self.world)

    def _keep(self, action: Any, outcome: Outcome) -> None:
        """Keep what the driver wanted and what was done in a decision of which the person drove a part."""
        mean = None
        if self._hands and self._hands[-1].decision == self._decision:
            takeover, mean = self.takeovers[-1], _mean_motion(outcome.substeps)
            takeover.driver_actions.append(action[0].tolist())
            takeover.person_actions.append(mean)
        if self._note is not None:
            self._note(self._line(action, mean))
        self._decision += 1

    def _line(self, action: Any, mean: tuple[float, float] | None) -> dict[str, Any]:
        """What this decision adds to what the ride repeats from, as plain data."""
        hands = [hand for hand in self._hands[-self.world.substeps_per_step :] if hand.decision == self._decision]
        with self._changed:
            taken = [(each.request_s, each.onset_s, each.release_s, each.cause) for each in self.takeovers]
        return {
            "action": action[0].tolist(),
            "action_dtype": str(action.dtype).removeprefix("torch."),
            "hands": [(hand.substep, hand.acceleration_mps2, hand.steering_rad) for hand in hands],
            "handed_back": bool(self._handed_back) and self._handed_back[-1] == self._decision,
            "takeover": len(taken) - 1,
            "person_action": mean,
            "takeovers": [dict(zip(("request_s", "onset_s", "release_s", "cause"), each, strict=True)) for each in taken],
        }

    def _close(self, now_s: float) -> None:
        with self._changed:
            if self.held:
                self.takeovers[-1].release_s = max(now_s, self.takeovers[-1].onset_s)

    def _result(self, recording: Recording, decisions: int) -> RideResult:
        hands = [hand for hand in self._hands if hand.decision < decisions]
        result = result_of(recording, hands, self._handed_back, self.takeovers)
        self.over = result.outcome
        return result


def result_of(recording: Recording, hands: Sequence[Hand], handed_back: Sequence[int], takeovers: Sequence[LiveTakeover]) -> RideResult:
    """Sum a ride up."""
    scenes = recording.scenes
    path_m = float((scenes.position_m[1:, 0] - scenes.position_m[:-1, 0]).norm(dim=-1).sum())
    copies = tuple(replace(each) for each in takeovers)
    return RideResult(recording, tuple(hands), tuple(handed_back), copies, outcome_of(recording), len(hands) * recording.dt_s, path_m)


def _mean_motion(substeps: Sequence[Scene]) -> tuple[float, float]:
    scenes = Scene.cat(list(substeps))
    heading, acceleration = scenes.heading_rad[:, 0], scenes.acceleration_mps2[:, 0]
    along = acceleration[:, 0] * heading.cos() + acceleration[:, 1] * heading.sin()
    return float(along.mean()), float(scenes.yaw_rate_radps[:, 0].mean())


def outcome_of(recording: Recording) -> str:
    """How a ride ended, for people; seconds by the ride's clock."""
    crashed = recording.scenes.crashed[:, 0]
    if bool(crashed.any()):
        return f"crashed at {recording.dt_s * int(crashed.int().argmax()):.1f} s"
    length_s = recording.dt_s * (len(recording.decision_of_substep) - 1)
    return f"arrived at {length_s:.1f} s" if bool(recording.terminated.any()) else f"still driving at {length_s:.1f} s"


def replay(recording: Recording, hands: Sequence[Hand], handed_back: Sequence[int]) -> Recording:
    """Drive a ride again from its seed, its driver's actions and the person's hands.

    Returns:
        A new recording; equal to the ride's bit for bit on the same machine and versions (``Recording.differences`` says).
    """
    return drive_again(
        recording.id,
        recording.config,
        recording.scenes.position_m.dtype,
        recording.seed,
        list(recording.actions[:, None]),
        recording.autopilot,
        hands,
        handed_back,
    )


def drive_again(
    env_id: str,
    config: dict[str, Any],
    dtype: torch.dtype,
    seed: int,
    actions: Sequence[Any],
    autopilot: bool,
    hands: Sequence[Hand],
    handed_back: Sequence[int],
) -> Recording:
    """Drive a ride again from what it repeats from; ``actions`` are T tensors of shape (1,) or (1, C)."""
    from envs.world import World

    world = World(env_id, 1, dtype=dtype, config=config, num_threads=1)
    by_hand = {(hand.decision, hand.substep): hand for hand in hands}
    instants, outcomes = [world.reset(torch.tensor([seed]))], []
    for decision, action in enumerate(actions):
        if decision in handed_back:
            hand_back(world)
        substep = iter(range(world.substeps_per_step))

        def person(_: Scene, decision: int = decision, substep: Any = substep) -> Override | None:
            hand = by_hand.get((decision, next(substep)))
            if hand is None:
                return None
            taken = torch.tensor([hand.acceleration_mps2, hand.steering_rad], dtype=torch.float64)
            return Override(torch.tensor([True]), taken[:1], taken[1:])

        _, outcome = world.step(action, autopilot=torch.tensor([autopilot]), override=person, substeps=True)
        instants += outcome.substeps
        outcomes.append(outcome)
    return assemble(world, [seed], list(actions), autopilot, instants, outcomes)[0]
