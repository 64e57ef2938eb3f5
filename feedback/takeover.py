"""A scripted hand at the wheel: takes over when a collision is near, drives by IDM, and gives the wheel back when it is safe."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from envs.drivers import Driver
from feedback.gaps import box_time_to_collision, gaps
from feedback.hazard import Ride
from feedback.windows import Decisions, WindowConfig
from sensors.errors import ConfigError
from sensors.scene import Scene

if TYPE_CHECKING:
    from envs.world import World
    from feedback.rows import TakeoverRow
    from feedback.store import Store


@dataclass(frozen=True)
class Rider:
    """When somebody takes the wheel, and when they give it back."""

    threshold_s: float = 1.5
    """They want the wheel when a collision is nearer than this."""
    reaction_s: float = 0.8
    """Their hand is at the wheel this much later."""
    safe_s: float = 4.0
    """They are content while no collision is nearer than this, and the headway is at least a second."""
    calm_s: float = 2.0
    """They give the wheel back after being content for so long."""

    def __post_init__(self) -> None:
        if not (0 < self.threshold_s <= self.safe_s and self.reaction_s >= 0 and self.calm_s >= 0):
            raise ConfigError(f"{self}: expected 0 < threshold_s <= safe_s, and reaction_s and calm_s of at least 0")

    def watch(self, scenes: Scene, dt_s: float) -> Takeover:
        """Watch a recorded ride.

        Args:
            scenes: Its N instants in order.
            dt_s: Time between them.

        Returns:
            When they would have taken over, if they would; they watch until then, or to the end, or to the crash. The rest of the ride
            is not theirs: the recording does not know what they would have done.
        """
        ttc, crashed = box_time_to_collision(scenes), scenes.crashed[:, 0]
        end = int(crashed.int().argmax()) if bool(crashed.any()) else len(ttc) - 1
        near = (ttc[: end + 1] < self.threshold_s).nonzero().flatten()
        end_s = end * dt_s
        if len(near) and float(near[0]) * dt_s + self.reaction_s < end_s:
            onset_s = float(near[0]) * dt_s + self.reaction_s
            return Takeover(onset_s, end_s, f"time to collision {float(ttc[near[0]]):.1f} s")
        return Takeover(None, end_s, "crashed before a hand was at the wheel" if bool(crashed.any()) else "")


@dataclass(frozen=True)
class Takeover:
    """One watched ride, or the part of it from one release to the next."""

    onset_s: float | None
    """When they took over, from the ride's start; None: they did not."""
    release_s: float
    """When they gave the wheel back, or the ride or the watching ended."""
    cause: str = ""
    """Why."""
    driver_actions: list[Any] = field(default_factory=list)
    """What the driver wanted at each decision of the takeover."""
    person_actions: list[tuple[float, float]] = field(default_factory=list)
    """What was driven instead: acceleration along the heading [m/s2] and yaw rate [rad/s] at each decision."""


class _Hand:
    """What a rider is doing in one world of a live ride."""

    def __init__(self, rider: Rider) -> None:
        self.rider = rider
        self.wants_s: float | None = None
        self.cause = ""
        self.since_s: float | None = None
        self.content_s: float | None = None
        self.driver_actions: list[Any] = []
        self.person_actions: list[tuple[float, float]] = []
        self.done: list[Takeover] = []

    @property
    def driving(self) -> bool:
        return self.since_s is not None

    def see(self, time_s: float, ttc_s: float, headway_s: float) -> None:
        """Look at one instant."""
        if not self.driving and self.wants_s is None and ttc_s < self.rider.threshold_s:
            self.wants_s, self.cause = time_s, f"time to collision {ttc_s:.1f} s"
        if ttc_s >= self.rider.safe_s and headway_s >= 1.0:
            self.content_s = time_s if self.content_s is None else self.content_s
        else:
            self.content_s = None

    def decide(self, time_s: float) -> bool:
        """Say at a decision whether the person drives."""
        if not self.driving and self.wants_s is not None and time_s >= self.wants_s + self.rider.reaction_s:
            self.since_s, self.content_s = time_s, None
        elif self.driving and self.content_s is not None and time_s >= self.content_s + self.rider.calm_s:
            self.close(time_s)
        return self.driving

    def drove(self, wanted: Any, did: tuple[float, float]) -> None:
        """Keep what the driver wanted and what was done instead."""
        self.driver_actions.append(wanted)
        self.person_actions.append(did)

    def close(self, time_s: float) -> None:
        """End a takeover, or the watching."""
        self.done.append(Takeover(self.since_s, time_s, self.cause if self.driving else "", self.driver_actions, self.person_actions))
        self.wants_s, self.since_s, self.driver_actions, self.person_actions = None, None, [], []


def ride_along(world: World, driver: Driver, rider: Rider, seeds: Tensor) -> list[list[Takeover]]:
    """Ride with a driver in live worlds, and take the wheel where needed; IDM drives meanwhile.

    The wheel changes hands at decisions only.

    Args:
        world: B worlds.
        driver: Who drives otherwise; one that needs no frames.
        rider: Who may take over.
        seeds: Episode seeds, int64 (B,).

    Returns:
        For each world its takeovers in order, then one entry without onset if nobody held the wheel when the ride ended.
    """
    if driver.needs_frames is not None:
        raise ConfigError("ride_along got a driver that needs sensor frames, expected one that drives by the scene")
    scene = world.reset(seeds)
    hands = [_Hand(rider) for _ in range(world.num_worlds)]
    over = torch.zeros(world.num_worlds, dtype=torch.bool)
    state = None
    for _ in range(world.horizon_steps):
        _look(hands, scene, over)
        held = torch.tensor([not ended and hand.decide(float(now)) for hand, now, ended in zip(hands, scene.time_s, over, strict=True)])
        actions, state = driver.act(scene, None, state)
        autopilot = (held | driver.autopilot).to(scene.device)
        scene, outcome = world.step(actions, autopilot=autopilot, substeps=True)
        for number in held.nonzero().flatten().tolist():
            hands[number].drove(actions[number].tolist(), _driven(scene, number))
        for seen in outcome.substeps[:-1]:
            _look(hands, seen, over | seen.crashed[:, 0].cpu())
        ended = outcome.terminated.cpu() & ~over
        for number in ended.nonzero().flatten().tolist():
            hands[number].close(float(scene.time_s[number]))
        over |= ended
    for number in (~over).nonzero().flatten().tolist():
        hands[number].close(float(scene.time_s[number]))
    return [hand.done for hand in hands]


def _look(hands: Sequence[_Hand], scene: Scene, over: Tensor) -> None:
    """Let every rider look at the scene of a ride that is not over."""
    near, headway = box_time_to_collision(scene).tolist(), gaps(scene).headway_s.tolist()
    for number, hand in enumerate(hands):
        if not over[number]:
            hand.see(float(scene.time_s[number]), near[number], headway[number])


def _driven(scene: Scene, number: int) -> tuple[float, float]:
    """The ego's acceleration along its heading and its yaw rate in one world."""
    heading, acceleration = scene.heading_rad[number, 0], scene.acceleration_mps2[number, 0]
    along = acceleration[0] * heading.cos() + acceleration[1] * heading.sin()
    return float(along), float(scene.yaw_rate_radps[number, 0])


class Watcher(Protocol):
    """Whoever watches recorded rides by rule."""

    def watch(self, scenes: Scene, dt_s: float) -> Takeover:
        """Say whether and when they would take the wheel, given N instants in order and the time between them."""
        ...


def watch_with(
    store: Store,
    reviewer_id: int,
    rider: Watcher,
    clips: Sequence[str],
    ride_of: Callable[[str], tuple[Scene, float]],
) -> int:
    """Let a scripted rider watch clips and store when it would have taken over, or that it would not.

    Args:
        store: Where takeovers go.
        reviewer_id: Who the script is there.
        rider: When it takes over.
        clips: Ids of the clips to watch; those it watched before are left out.
        ride_of: Gives a clip's instants in order, and the time between them [s].

    Returns:
        How many clips were watched.
    """
    watched = {row.clip_id for row in store.takeovers() if row.reviewer_id == reviewer_id}
    fresh = [clip_id for clip_id in clips if clip_id not in watched]
    for clip_id in fresh:
        seen = rider.watch(*ride_of(clip_id))
        store.add_takeover(reviewer_id, clip_id, seen.onset_s, seen.release_s, seen.cause, client_key=str(uuid.uuid4()))
    return len(fresh)


def hazard_ride(row: TakeoverRow, decisions: Decisions, config: WindowConfig, group: str) -> Ride:
    """Make a stored takeover of a clip into what the hazard learns from.

    Args:
        row: What was stored.
        decisions: The clip's.
        config: What the model sees of a decision.
        group: The clip's start state.
    """
    seen = decisions.windows(config)
    return Ride(seen.features, seen.live, decisions.dt_s, row.onset_s, row.release_s, group, row.reviewer)
