"""What is seen of the ego at one instant: the quantities that all scores are made of, in batch."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from envs.scores.boxes import bearing_cos, ego_points, in_ego_frame, length_of, no_collision_of, soon_overlapping
from envs.scores.constants import Limits
from envs.scores.lanes import Lanes
from sensors.errors import ConfigError
from sensors.scene import Scene

SLACK_S = 1e-3
"""What sums of float32 times may be off by."""


@dataclass(frozen=True)
class Instant:
    """One instant of B worlds; floats are float64."""

    counted: Tensor  # (B,) bool: the episode still runs
    judged: Tensor  # (B,) bool: and the ego had not crashed before
    dt_s: Tensor  # (B,) since the instant before
    distance_m: Tensor  # (B,) driven since then
    progress_m: Tensor  # (B,) of it along the lane's direction; 0 off the lanes
    crashed: Tensor  # (B,) bool, in this instant for the first time
    no_collision: Tensor  # (B,) 1, or what the collision of this instant leaves
    hit_obstacle: Tensor  # (B,) bool, of that collision
    off_road: Tensor  # (B,) bool, a corner is outside the lanes
    off_lane: Tensor  # (B,) bool, the middle is outside the lanes
    against_m: Tensor  # (B,) driven against the lanes' direction in the last second
    close: dict[tuple[float, ...], Tensor]  # by look-ahead times: (B,) bool, about to collide
    rough: Tensor  # (B,) bool, outside a bound of comfort
    strayed: Tensor  # (B,) instants that now count as astray from the lane's middle
    overspeed_mps: Tensor  # (B,)
    motion: Tensor  # (B, 4) acceleration, jerk, yaw rate, yaw acceleration


class Watcher:
    """Follows B egos from instant to instant."""

    def __init__(self, start: Scene, limits: Limits, looks_s: tuple[tuple[float, ...], ...]) -> None:
        """Begin.

        Args:
            start: The scene at reset.
            limits: What is asked of an instant.
            looks_s: Look-ahead times of the times to collision.
        """
        self.limits, self._looks_s = limits, looks_s
        self.lanes = Lanes(start.road, start.device)
        self.crashed = torch.zeros(start.num_worlds, dtype=torch.bool, device=start.device)
        self._time_s = start.time_s.double()
        self._position_m = start.position_m[:, 0].double()
        self._motion: Tensor | None = None  # nobody has driven before the first instant
        self._recent: deque[tuple[Tensor, Tensor]] = deque()  # (dt, progress), newest last
        none = torch.zeros_like(self._time_s)
        self._astray_s, self._astray = none, none.clone()  # how long, and for how many instants

    def see(self, scene: Scene, counted: Tensor) -> Instant:
        """Look at the next instant.

        Args:
            scene: Of all worlds.
            counted: Worlds whose episode runs, (B,) bool; what is found of the others means nothing.

        Raises:
            ConfigError: Time does not go on in a world that is counted.
        """
        if scene.road is not self.lanes.road:
            self.lanes = Lanes(scene.road, scene.device)
        dt = self._elapsed(scene, counted)
        points = ego_points(scene)
        standing = self.lanes.project(points)
        inside = self.lanes.within(standing, 0.0, self.limits.lane_end_m)
        wide = self.lanes.within(standing, self.limits.road_tolerance_m, self.limits.lane_end_m)
        off_road = ~wide[:, 1:].any(-1).all(1)
        between = off_road | self.lanes.between_lanes(self.lanes.by_lane(inside[:, 1:]))
        piece, on_lane, direction, lateral = self._own_lane(scene, standing.heading_rad[:, 0], standing.lateral_m[:, 0], inside[:, 0])
        moved = scene.position_m[:, 0].double() - self._position_m
        progress = (moved[:, 0] * direction.cos() + moved[:, 1] * direction.sin()) * on_lane
        crashed = scene.crashed[:, 0] & ~self.crashed & counted
        no_collision, hit_obstacle = self._blame(scene, crashed, between)
        speed = length_of(scene.velocity_mps[:, 0].double())
        limit = self.lanes.speed_limit_mps[self.lanes.lane_of_piece[piece]] if self.lanes.road.num_lanes else torch.inf
        motion, rough = self._comfort(scene, dt)
        instant = Instant(
            counted=counted,
            judged=counted & ~self.crashed,
            dt_s=dt,
            distance_m=length_of(moved),
            progress_m=progress,
            crashed=crashed,
            no_collision=no_collision,
            hit_obstacle=hit_obstacle,
            off_road=off_road,
            off_lane=~on_lane,
            against_m=self._against(dt, progress),
            close=self._close(scene, between),
            rough=rough,
            strayed=self._stray(lateral, dt),
            overspeed_mps=((speed - limit) * on_lane).clamp(min=0.0),
            motion=motion,
        )
        self.crashed = self.crashed | crashed
        self._position_m = scene.position_m[:, 0].double()
        return instant

    def _elapsed(self, scene: Scene, counted: Tensor) -> Tensor:
        now = scene.time_s.double()
        dt = torch.where(counted, now - self._time_s, 1.0)
        if bool((dt <= 0.0).any()):
            index = int((dt <= 0.0).nonzero()[0])
            raise ConfigError(
                f"scores: time of world {index} goes from {float(self._time_s[index]):g} to {float(now[index]):g} s; scenes follow one "
                "another, and a world that was reset needs scores of its own from then on"
            )
        self._time_s = now
        return dt

    def _own_lane(self, scene: Scene, heading: Tensor, lateral: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The piece on which the ego's middle is: of those that hold it, the one it is best aligned with, else the nearest sideways.

        Args:
            scene: B worlds.
            heading: Of every piece beside the ego [rad], (B, S).
            lateral: Of the ego to every piece [m], (B, S).
            inside: Which pieces hold its middle, (B, S) bool.

        Returns:
            Piece (B,), whether it holds the middle (B,), its heading (B,), and the lateral offset from it (B,).
        """
        worlds = scene.num_worlds
        if not heading.shape[1]:
            zero = torch.zeros(worlds, dtype=torch.float64, device=scene.device)
            return zero.long(), zero.bool(), zero, zero
        aligned = (scene.heading_rad[:, :1].double() - heading).cos()  # 1 along, -1 against
        cost = torch.where(inside, 2.0 - 2.0 * aligned + 1e-3 * lateral.abs(), 1e6 + lateral.abs())
        piece = cost.argmin(1)
        row = torch.arange(worlds, device=scene.device)
        return piece, inside[row, piece], heading[row, piece], lateral[row, piece]

    def _blame(self, scene: Scene, crashed: Tensor, between: Tensor) -> tuple[Tensor, Tensor]:
        if not bool(crashed.any()):
            return torch.ones_like(self._time_s), torch.zeros_like(crashed)
        left, obstacle = no_collision_of(scene, between, self.limits)
        return torch.where(crashed, left, 1.0), obstacle & crashed

    def _against(self, dt: Tensor, progress: Tensor) -> Tensor:
        """How far the ego went against its lane in the last second; exact for equal steps, and at most one step too long else."""
        self._recent.append((dt, progress))
        while len(self._recent) > 1:
            span = reduce(torch.add, (step for step, _ in list(self._recent)[1:]))
            if not bool((span >= self.limits.direction_s - SLACK_S).all()):
                break
            self._recent.popleft()
        total = torch.zeros_like(progress)
        span = torch.zeros_like(dt)
        for step, forward in reversed(self._recent):  # newest first; each world counts its own second
            total = torch.where(span < self.limits.direction_s - SLACK_S, total + forward, total)
            span = span + step
        return (-total).clamp(min=0.0)

    def _close(self, scene: Scene, between: Tensor) -> dict[tuple[float, ...], Tensor]:
        """Who is ahead (or, between lanes, not behind) and soon overlaps with a moving ego."""
        cos = bearing_cos(scene, in_ego_frame(scene))
        ahead = cos > math.cos(self.limits.ahead_rad)
        behind = cos < math.cos(self.limits.behind_rad)
        moving = length_of(scene.velocity_mps[:, 0].double()) >= self.limits.standing_mps
        candidate = (ahead | (between[:, None] & ~behind)) & scene.valid & moving[:, None]
        candidate = torch.cat((torch.zeros_like(candidate[:, :1]), candidate[:, 1:]), 1)
        return soon_overlapping(scene, candidate, self._looks_s)

    def _stray(self, lateral_m: Tensor, dt: Tensor) -> Tensor:
        """How many instants become astray now: all of a run in the instant in which it becomes long enough, then each by itself."""
        astray = lateral_m.abs() > self.limits.stray_m
        short = self._astray_s < self.limits.stray_s - SLACK_S
        self._astray_s = torch.where(astray, self._astray_s + dt, 0.0)
        self._astray = torch.where(astray, self._astray + 1.0, 0.0)
        long = astray & (self._astray_s >= self.limits.stray_s - SLACK_S)
        return torch.where(long, torch.where(short, self._astray, 1.0), 0.0)

    def _comfort(self, scene: Scene, dt: Tensor) -> tuple[Tensor, Tensor]:
        """The ego's motion and whether it is outside a bound; changes are plain differences to the instant before."""
        limits = self.limits
        heading, acceleration = scene.heading_rad[:, 0].double(), scene.acceleration_mps2[:, 0].double()
        cos, sin = heading.cos(), heading.sin()
        forward = acceleration[:, 0] * cos + acceleration[:, 1] * sin
        sideways = acceleration[:, 1] * cos - acceleration[:, 0] * sin
        state = torch.stack((forward, length_of(acceleration), scene.yaw_rate_radps[:, 0].double()), -1)
        change = torch.zeros_like(state) if self._motion is None else (state - self._motion) / dt[:, None]
        self._motion = state
        low, high = limits.acceleration_mps2
        rough = (forward < low) | (forward > high) | (sideways.abs() > limits.lateral_acceleration_mps2)
        rough = rough | (change[:, 0].abs() > limits.forward_jerk_mps3) | (change[:, 1].abs() > limits.jerk_mps3)
        rough = rough | (state[:, 2].abs() > limits.yaw_rate_radps) | (change[:, 2].abs() > limits.yaw_acceleration_radps2)
        return torch.stack((state[:, 1], change[:, 1], state[:, 2], change[:, 2]), -1), rough
