"""What the reward model sees of a decision: the window from one scene to the next, as a row of bounded numbers.

Everything is relative to the ego and to the lane that it is on, so that a model learned on one stretch of road speaks about another.
Once an episode has ended every further decision is one constant row ("dead" after a crash, "arrived" otherwise): absorbing states.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from feedback.gaps import FAR_S, Gaps, LanePoses, box_time_to_collision, ego_frame, gaps, lane_poses, lane_sides, speed_limit
from sensors.errors import ConfigError
from sensors.scene import Light, Scene

BOUND = 3.0
"""No feature leaves [-BOUND, BOUND]."""
SPEED_MPS = 30.0
ACCELERATION_MPS2 = 6.0
JERK_MPS3 = 10.0
YAW_RATE_RADPS = 0.5
LANE_HALF_M = 2.0
SIDE_M = 8.0
OVER_LIMIT_MPS = 5.0


@dataclass(frozen=True)
class WindowConfig:
    """What a feature window holds."""

    num_neighbours: int = 0
    """How many of the nearest actors are told one by one, beside the gaps ahead and behind; with few labels they only mislead."""
    reach_m: float = 60.0
    """Actors further away are not told one by one."""
    action_width: int = 0
    """Numbers of the action that are told: 5 for highway-env's lane and speed actions, 2 for acceleration and steering. By default
    none: reviewers see rides, and what a driver meant to do tells who drove rather than how."""
    given: int = 0
    """Numbers that somebody else gives for a decision, instead of all that scenes tell: a twin's. 0: scenes tell."""

    def __post_init__(self) -> None:
        if self.given < 0 or (self.given and (self.num_neighbours or self.action_width)):
            raise ConfigError(f"WindowConfig got {asdict(self)}, expected given >= 0, and nothing else beside what is given")
        if self.num_neighbours < 0 or self.action_width < 0 or not self.reach_m > 0:
            raise ConfigError(f"WindowConfig got {asdict(self)}, expected counts >= 0 and a reach_m above 0")


@dataclass(frozen=True)
class Windows:
    """Feature windows of N decisions."""

    features: Tensor  # (N, F) float32; zero where the episode had ended before the decision
    dead: Tensor  # (N,) bool: the ego had crashed before the decision
    arrived: Tensor  # (N,) bool: the episode had ended otherwise before the decision

    @property
    def live(self) -> Tensor:
        """Where the decision was still one, (N,) bool."""
        return ~(self.dead | self.arrived)


@dataclass(frozen=True)
class Decisions:
    """The D decisions of one ride, in order."""

    scene: Scene  # D worlds: what the driver saw
    actions: Tensor  # (D,) int64 or (D, C)
    next_scene: Scene  # D worlds: one decision later
    terminal: Tensor  # (D,) bool: the episode ended with this decision (a time limit is no end)
    ended: Tensor  # (D,) bool: it had ended before
    autopilot: Tensor  # (D,) bool: the world drove, the action was ignored
    dt_s: float
    """Time between decisions."""

    @property
    def over(self) -> Tensor:
        """Whether the ride was over before the decision, by a crash or otherwise, (D,) bool."""
        return self.ended | self.scene.crashed[:, 0]

    def windows(self, config: WindowConfig) -> Windows:
        """Describe every decision, N = D."""
        return windows(self.scene, self.actions, self.next_scene, self.terminal, config, ended=self.ended, autopilot=self.autopilot)


_CLOSE = ("headway", "near_1s", "near_2s", "ttc", "ttc_soon", "rear_headway", "rear_ttc", "rear_ttc_soon", "any_ttc", "any_ttc_soon")
_STATE = ("speed", "acceleration_long", "acceleration_lat", "yaw_rate")
_LANE = ("lateral", "lateral_abs", "heading_error", "on_road", "lane_left", "lane_right", "over_limit", "rear_braking")
_CHANGE = ("progress", "jerk", "lane_changed", "signals", "crash", "arrival")
_NEIGHBOUR = ("there", "ahead", "left", "approach_long", "approach_lat", "facing", "turned", "braking", "was_ahead", "was_left")
TOKEN = len(_NEIGHBOUR)
"""Numbers that tell one actor."""


def feature_names(config: WindowConfig) -> tuple[str, ...]:
    """The name of each of the F features, in order."""
    if config.given:
        return tuple(f"given{number}" for number in range(config.given))
    before = tuple(f"before_{name}" for name in ("speed", *_CLOSE))
    neighbours = tuple(f"neighbour{number}_{name}" for number in range(config.num_neighbours) for name in _NEIGHBOUR)
    actions = tuple(f"action{number}" for number in range(config.action_width))
    return (*before, *_STATE, *_LANE, *_CLOSE, *_CHANGE, *neighbours, *actions)


def windows(
    scene: Scene,
    actions: Tensor,
    next_scene: Scene,
    terminal: Tensor,
    config: WindowConfig,
    *,
    ended: Tensor | None = None,
    autopilot: Tensor | None = None,
) -> Windows:
    """Describe decisions.

    Args:
        scene: What the driver saw, B worlds.
        actions: What it chose: int64 (B,), or numbers (B, C).
        next_scene: One decision later, before any reset.
        terminal: Whether the episode ended with this decision (a time limit is no end), (B,) bool.
        config: What to tell.
        ended: Whether the episode had ended before, (B,) bool; a crashed ego always counts as ended.
        autopilot: Where the world drove and the action was ignored, (B,) bool; no action is told there.

    Returns:
        Feature windows, N = B.

    Raises:
        ConfigError: The windows are given by somebody else, or the actions do not fit.
    """
    if config.given:
        raise ConfigError(f"this reward needs {config.given} numbers of a fused driver; ask drive_fusion.twin.Twin for it")
    poses, next_poses = lane_poses(scene), lane_poses(next_scene)
    before, after = gaps(scene, poses), gaps(next_scene, next_poses)
    parts = [
        (scene.speed_mps[:, :1] / SPEED_MPS),
        _closeness(scene, before),
        _state(next_scene),
        _lane(next_scene, next_poses, after),
        _closeness(next_scene, after),
        _change(scene, next_scene, poses, next_poses, terminal),
        _neighbours(scene, next_scene, config),
        _action(actions, config, autopilot).to(scene.position_m),
    ]
    crashed = scene.crashed[:, 0]
    over = crashed if ended is None else crashed | ended
    rows = torch.cat(parts, dim=1).float().clamp(-BOUND, BOUND)
    return Windows(torch.where(over[:, None], torch.zeros_like(rows), rows), crashed, over & ~crashed)


def _closeness(scene: Scene, gap: Gaps) -> Tensor:
    """How near the cars ahead and behind are, on several time scales, (B, 10)."""
    headway, ttc, rear_ttc, any_ttc = gap.headway_s, gap.front_ttc_s, gap.rear_ttc_s, box_time_to_collision(scene)
    rear_headway = (gap.rear_m / (gap.ego_speed_mps + gap.rear_closing_mps).clamp(min=0.5)).clamp(max=FAR_S)
    columns = [
        (headway / 3.0).clamp(max=1.0),
        torch.sigmoid((1.0 - headway) / 0.15),
        torch.sigmoid((2.0 - headway) / 0.3),
        ttc / FAR_S,
        torch.exp(-ttc / 2.0),
        (rear_headway / 3.0).clamp(max=1.0),
        rear_ttc / FAR_S,
        torch.exp(-rear_ttc / 2.0),
        any_ttc / FAR_S,
        torch.exp(-any_ttc / 2.0),
    ]
    return torch.stack(columns, 1)


def _state(scene: Scene) -> Tensor:
    """How the ego moves, (B, 4)."""
    acceleration_long, acceleration_lat = _ego_acceleration(scene)
    columns = [scene.speed_mps[:, 0] / SPEED_MPS, acceleration_long, acceleration_lat, scene.yaw_rate_radps[:, 0] / YAW_RATE_RADPS]
    return torch.stack(columns, 1)


def _ego_acceleration(scene: Scene) -> tuple[Tensor, Tensor]:
    """The ego's acceleration along and across its heading, scaled, each (B,)."""
    cos, sin = scene.heading_rad[:, 0].cos(), scene.heading_rad[:, 0].sin()
    acceleration = scene.acceleration_mps2[:, 0] / ACCELERATION_MPS2
    return acceleration[:, 0] * cos + acceleration[:, 1] * sin, acceleration[:, 1] * cos - acceleration[:, 0] * sin


def _lane(scene: Scene, poses: LanePoses, gap: Gaps) -> Tensor:
    """Where the ego is on its lane, whether it may go so fast there, and what the car behind has to do, (B, 8)."""
    lateral = poses.lateral_m[:, 0] / LANE_HALF_M
    columns = [lateral, lateral.abs(), poses.heading_error_rad[:, 0].sin(), poses.on_road[:, 0].to(lateral)]
    for side in lane_sides(scene.road):
        there = torch.as_tensor(side, device=scene.device)
        columns.append(there[poses.lane[:, 0]].to(lateral) if len(there) else torch.zeros_like(lateral))
    over = (scene.speed_mps[:, 0] - speed_limit(scene, poses)).clamp(min=0.0)
    columns += [over / OVER_LIMIT_MPS, gap.rear_braking_mps2 / ACCELERATION_MPS2]
    return torch.stack(columns, 1)


def progress_mps(scene: Scene, next_scene: Scene, poses: LanePoses) -> Tensor:
    """How fast the ego came forward along its lane between two scenes, (B,)."""
    dt_s = (next_scene.time_s - scene.time_s).clamp(min=1e-3)
    lane_heading = scene.heading_rad[:, 0] - poses.heading_error_rad[:, 0]
    moved = next_scene.position_m[:, 0] - scene.position_m[:, 0]
    return (moved[:, 0] * lane_heading.cos() + moved[:, 1] * lane_heading.sin()) / dt_s


def lane_changed(scene: Scene, poses: LanePoses, next_poses: LanePoses) -> Tensor:
    """Whether the ego went over to another lane of the same road, (B,) bool."""
    lane, next_lane = poses.lane[:, 0], next_poses.lane[:, 0]
    road = torch.as_tensor(scene.road.lane_road, device=scene.device)
    if not len(road):
        return torch.zeros_like(lane, dtype=torch.bool)
    return (lane != next_lane) & (road[lane] == road[next_lane])


def _change(scene: Scene, next_scene: Scene, poses: LanePoses, next_poses: LanePoses, terminal: Tensor) -> Tensor:
    """What happened during the decision, (B, 6)."""
    dt_s = (next_scene.time_s - scene.time_s).clamp(min=1e-3)
    jerk = (_ego_acceleration(next_scene)[0] - _ego_acceleration(scene)[0]) * ACCELERATION_MPS2 / dt_s
    crash = next_scene.crashed[:, 0] & ~scene.crashed[:, 0]
    signals = (next_scene.lights[:, 0] & (Light.LEFT | Light.RIGHT)) != 0
    flags = (lane_changed(scene, poses, next_poses), signals, crash, terminal & ~next_scene.crashed[:, 0])
    progress = progress_mps(scene, next_scene, poses) / SPEED_MPS
    return torch.stack([progress, jerk / JERK_MPS3, *(flag.to(progress) for flag in flags)], 1)


def _neighbours(scene: Scene, next_scene: Scene, config: WindowConfig) -> Tensor:
    """The actors that are nearest afterwards, nearest first, each with where it was before, (B, TOKEN K); zeros where there are fewer."""
    worlds, actors = next_scene.valid.shape
    if config.num_neighbours == 0:
        return next_scene.position_m.new_zeros((worlds, 0))
    position, velocity = ego_frame(next_scene)
    distance = position.norm(dim=-1)
    near = next_scene.valid & (distance < config.reach_m)
    near[:, 0] = False
    order = torch.where(near, distance, torch.full_like(distance, torch.inf)).argsort(dim=1, stable=True)
    order = order[:, : config.num_neighbours]
    turned = next_scene.heading_rad - next_scene.heading_rad[:, :1]
    forward = torch.stack((next_scene.heading_rad.cos(), next_scene.heading_rad.sin()), -1)
    braking = -(next_scene.acceleration_mps2 * forward).sum(-1)
    was = ego_frame(scene)[0]
    known = torch.where(scene.valid[..., None], was, torch.zeros_like(was))[:, :actors]
    before = position.new_zeros((worlds, actors, 2))
    before[:, : known.shape[1]] = known
    columns = [
        torch.ones_like(distance),
        position[..., 0] / config.reach_m,
        position[..., 1] / SIDE_M,
        velocity[..., 0] / 10.0,
        velocity[..., 1] / 2.0,
        turned.cos(),
        turned.sin(),
        braking / ACCELERATION_MPS2,
        before[..., 0] / config.reach_m,
        before[..., 1] / SIDE_M,
    ]
    rows = torch.stack(columns, -1)  # (B, A, TOKEN)
    rows = torch.where(near[..., None], rows, torch.zeros_like(rows))
    told = rows.gather(1, order[..., None].expand(-1, -1, TOKEN))
    table = rows.new_zeros((worlds, config.num_neighbours, TOKEN))
    table[:, : told.shape[1]] = told
    return table.reshape(worlds, -1)


def _action(actions: Tensor, config: WindowConfig, autopilot: Tensor | None) -> Tensor:
    """The action as numbers, (B, C): one-hot of a discrete one; zeros where the world drove."""
    width = config.action_width
    if width == 0:
        return torch.zeros((len(actions), 0), device=actions.device)
    if actions.ndim == 1 and not actions.is_floating_point():
        if len(actions) and not 0 <= int(actions.min()) <= int(actions.max()) < width:
            raise ConfigError(f"actions run from {int(actions.min())} to {int(actions.max())}, expected 0 to {width - 1} for this model")
        told = torch.nn.functional.one_hot(actions, width).float()
    else:
        told = actions.reshape(len(actions), -1).float()
        if told.shape[1] != width:
            raise ConfigError(f"actions have shape {tuple(actions.shape)}, expected ({len(actions)}, {width}) for this model")
    return told if autopilot is None else torch.where(autopilot[:, None], torch.zeros_like(told), told)
