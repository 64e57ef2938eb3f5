"""Privileged state: what a driver would know who is told the world instead of sensing it, as one vector of numbers from a scene.

It holds what camera, lidar and radar could find out at their best (the lane ahead, who is near and how they move, within the senses' reach)
and nothing of the map's frame, so that a driver who learned from it can teach one who has to look (Chen et al. 2019, Learning by Cheating).
The vector is a pure function of the scene:
the ego's speed, yaw rate and acceleration as in a rig's observation, its last action; LANE_FEATURES of its lane; that lane's middle as
points in the ego's frame, AHEAD_M on; then the nearest ACTORS others, nearest first, ACTOR_FEATURES each, zeros for none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor, nn

from envs.observation import EGO_SCALES
from envs.sb3 import DrivingVecEnv, make_sb3_vec
from envs.scores.lanes import JOINED_M, JOINED_RAD, Lanes
from sensors.ego import ego_frames
from sensors.errors import ConfigError
from sensors.frames import EGO_FEATURES
from sensors.rig import Rig
from sensors.road import RoadMap
from sensors.scene import Light, Scene

PRIVILEGED = "privileged"
"""What stands for a rig's name where a driver is to see privileged state."""
ACTORS = 10
REACH_M = (-30.0, 80.0, 60.0)
"""Others further behind, ahead or to a side than this are not known: about where the bird's-eye grids of the senses end."""
AHEAD_M = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0)
LANE_FEATURES = ("lateral", "error_sin", "error_cos", "left", "half_width", "left_neighbour", "right_neighbour", "limit", "on_road")
"""Offset from the lane's middle to the left, heading error, distance to the lane's end, half its width, whether lanes lie beside it, its
speed limit, and whether the ego's middle is on any lane; scaled to about 1."""
ACTOR_FEATURES = ("there", "x", "y", "vx", "vy", "cos", "sin", "length", "width", "signal", "brake", "crashed")
"""Position, velocity relative to the ego and heading in the ego's frame, size, signal (1 left, -1 right), ...; scaled to about 1."""
DISTANCE_M, SPEED_MPS, SIZE_M, LANE_M = 50.0, 20.0, 10.0, 4.0
"""What is 1 in the vector."""
LARGEST = 4.0
LANE_LEFT_M = 100.0
BLIND = Rig("blind")
"""A rig without sensors: the cheapest observation, for what takes its place: privileged state, or a look-ahead."""


def privileged_space(action_width: int) -> spaces.Box:
    """The space of one world's privileged state, where an action has ``action_width`` numbers in ``Scene.action``."""
    width = len(EGO_FEATURES) + action_width + len(LANE_FEATURES) + 2 * len(AHEAD_M) + ACTORS * len(ACTOR_FEATURES)
    return spaces.Box(-LARGEST, LARGEST, (width,), np.float32)


class PrivilegedState:
    """Tells privileged state; keeps the tables that it makes of a road map."""

    def __init__(self) -> None:
        self._guide: LaneGuide | None = None

    def __call__(self, scene: Scene) -> Tensor:
        """Privileged state of B worlds.

        Args:
            scene: Of one map.

        Returns:
            (B, D) float32 on the scene's device, as `privileged_space` says.
        """
        if self._guide is None or self._guide.lanes.road is not scene.road or self._guide.lanes.device != scene.device:
            self._guide = LaneGuide(scene.road, scene.device)
        parts = (ego_motion(scene), scene.action, self._guide(scene), nearest_actors(scene))
        return torch.cat([part.float() for part in parts], 1).clamp(-LARGEST, LARGEST)


def ego_motion(scene: Scene) -> Tensor:
    """EGO_FEATURES of the ego, scaled as in a rig's observation, (B, 4)."""
    motion = ego_frames(scene.to("cpu")).motion.to(scene.device)
    return motion / torch.tensor([EGO_SCALES[name] for name in EGO_FEATURES], device=scene.device)


def in_ego_frame(scene: Scene, vector: Tensor) -> Tensor:
    """Turn vectors (B, N, 2) of the map's frame into the ego's."""
    cos, sin = scene.heading_rad[:, :1].cos(), scene.heading_rad[:, :1].sin()
    return torch.stack((cos * vector[..., 0] + sin * vector[..., 1], cos * vector[..., 1] - sin * vector[..., 0]), -1)


def nearest_actors(scene: Scene) -> Tensor:
    """ACTOR_FEATURES of the nearest ACTORS others within reach, (B, ACTORS * features)."""
    place_m = in_ego_frame(scene, scene.position_m - scene.position_m[:, :1])
    back_m, front_m, side_m = REACH_M
    known = scene.valid & (place_m[..., 0] > back_m) & (place_m[..., 0] < front_m) & (place_m[..., 1].abs() < side_m)
    known[:, 0] = False
    distance_m = torch.where(known, place_m.norm(dim=-1), math.inf)
    near = distance_m.topk(min(ACTORS, scene.num_actors), largest=False).indices  # (B, N)
    speed_mps = in_ego_frame(scene, scene.velocity_mps - scene.velocity_mps[:, :1])
    turned_rad = scene.heading_rad - scene.heading_rad[:, :1]
    lights = scene.lights
    signal = ((lights & int(Light.LEFT)) > 0).long() - ((lights & int(Light.RIGHT)) > 0).long()
    columns = [
        torch.ones_like(turned_rad),
        *(place_m / DISTANCE_M).unbind(-1),
        *(speed_mps / SPEED_MPS).unbind(-1),
        turned_rad.cos(),
        turned_rad.sin(),
        *(scene.size_m[..., :2] / SIZE_M).unbind(-1),
        signal,
        (lights & int(Light.BRAKE)) > 0,
        scene.crashed,
    ]
    table = torch.stack([column.to(turned_rad) for column in columns], -1)  # (B, A, features)
    chosen = table.gather(1, near[..., None].expand(-1, -1, table.shape[-1]))
    chosen = torch.where(known.gather(1, near)[..., None], chosen, 0.0)
    return nn.functional.pad(chosen, (0, 0, 0, ACTORS - chosen.shape[1])).flatten(1)


class LaneGuide:
    """Where the ego stands in its lane, and where that lane leads."""

    def __init__(self, road: RoadMap, device: torch.device) -> None:
        """Sample every lane of a map by the metre, on into what follows it."""
        self.lanes = Lanes(road, device)
        follows = followers(road)
        samples = [centre_line(road, lane, follows) for lane in range(road.num_lanes)]
        longest = max(map(len, samples))
        filled = [np.concatenate((line, np.repeat(line[-1:], longest - len(line), 0))) for line in samples]
        beside = {(int(number), int(index)) for number, index in zip(road.lane_road, road.lane_index, strict=True)}
        places = list(zip(road.lane_road.tolist(), road.lane_index.tolist(), strict=True))
        neighbours = [[(number, index + step) in beside for step in (-1, 1)] for number, index in places]
        self.line_m = torch.as_tensor(np.stack(filled), device=device)  # (L, M, 2)
        self.length_m = torch.as_tensor(road.lane_length_m, device=device)
        self.neighbours = torch.tensor(neighbours, dtype=torch.float64, device=device)  # (L, 2)
        self.ahead_m = torch.tensor(AHEAD_M, dtype=torch.float64, device=device)

    def __call__(self, scene: Scene) -> Tensor:
        """LANE_FEATURES, then the points ahead, (B, features + 2 * len(AHEAD_M))."""
        lanes, standing = self.lanes, self.lanes.project(scene.position_m[:, :1].double())
        run_m, lateral_m, heading_rad = (part[:, 0] for part in (standing.run_m, standing.lateral_m, standing.heading_rad))  # (B, S)
        error_rad = scene.heading_rad[:, :1].double() - heading_rad
        error_rad = torch.atan2(error_rad.sin(), error_rad.cos())
        over_m = (run_m - lanes.offset_m - lanes.length_m).clamp(min=0.0) + (lanes.offset_m - run_m).clamp(min=0.0)
        piece = (lateral_m.abs() + over_m + error_rad.abs()).argmin(1, keepdim=True)  # as RoadMap.locate
        run_m, lateral_m, error_rad = (part.gather(1, piece)[:, 0] for part in (run_m, lateral_m, error_rad))
        lane = lanes.lane_of_piece[piece[:, 0]]
        columns = (
            lateral_m / LANE_M,
            error_rad.sin(),
            error_rad.cos(),
            (self.length_m[lane] - run_m).clamp(0.0, LANE_LEFT_M) / LANE_LEFT_M,
            lanes.half_width_m[piece[:, 0]] / LANE_M,
            *self.neighbours[lane].unbind(-1),
            lanes.speed_limit_mps[lane].clamp(max=EGO_SCALES["speed_mps"]) / EGO_SCALES["speed_mps"],
            lanes.within(standing, 0.0, 0.0).any(-1)[:, 0].double(),
        )
        return torch.cat((torch.stack(columns, -1), self._ahead(scene, lane, run_m)), 1)

    def _ahead(self, scene: Scene, lane: Tensor, run_m: Tensor) -> Tensor:
        """The lane's middle at AHEAD_M from where the ego is, in its frame, (B, 2 * points)."""
        place = (run_m[:, None] + self.ahead_m).clamp(0.0, self.line_m.shape[1] - 1.001)  # samples are a metre apart
        before = place.long()
        share = (place - before)[..., None]
        near, far = self.line_m[lane[:, None], before], self.line_m[lane[:, None], before + 1]
        points_m = near + share * (far - near)
        return (in_ego_frame(scene, points_m - scene.position_m[:, :1]) / DISTANCE_M).flatten(1)


def followers(road: RoadMap) -> list[int | None]:
    """The lane that each lane goes on in; of several the one that turns least, and of those the first."""
    first = [int(np.flatnonzero(road.lane_of_piece == lane)[0]) for lane in range(road.num_lanes)]
    ends = [centre_line(road, lane, ())[-1] for lane in range(road.num_lanes)]
    heads = [_heading_at_end(road, lane) for lane in range(road.num_lanes)]
    found: list[int | None] = []
    for lane in range(road.num_lanes):
        nearby = []
        for other, piece in enumerate(first):
            apart_m = math.dist(ends[lane], road.lanes.start_m[piece])
            turn_rad = abs(math.remainder(heads[lane] - road.lanes.heading_rad[piece], math.tau))
            if other != lane and apart_m < JOINED_M and turn_rad < JOINED_RAD:
                nearby.append((round(apart_m, 3), round(abs(_turn_rad(road, other)), 3), other))
        found.append(min(nearby)[-1] if nearby else None)
    return found


def _turn_rad(road: RoadMap, lane: int) -> float:
    mine = road.lane_of_piece == lane
    return float((road.lanes.curvature_per_m[mine] * road.lanes.length_m[mine]).sum())


def _heading_at_end(road: RoadMap, lane: int) -> float:
    last = int(np.flatnonzero(road.lane_of_piece == lane)[-1])
    return float(road.lanes.heading_rad[last] + road.lanes.curvature_per_m[last] * road.lanes.length_m[last])


def centre_line(road: RoadMap, lane: int, follows: Any) -> NDArray[np.float64]:
    """A lane's middle by the metre from its start, then its end; with ``follows``, on along its followers past the furthest of AHEAD_M.

    Where nothing follows, it goes straight on.
    """
    points_m = [_points(road, lane, np.arange(0.0, road.lane_length_m[lane], 1.0))]
    if not follows:
        return np.concatenate((*points_m, _points(road, lane, road.lane_length_m[lane : lane + 1])))
    missing = math.ceil(AHEAD_M[-1]) + 2
    overshoot_m = len(points_m[0]) - float(road.lane_length_m[lane])
    while missing > 0:
        following = follows[lane]
        if following is None:
            points_m.append(_points(road, lane, road.lane_length_m[lane] + overshoot_m + np.arange(float(missing))))
            break
        run_m = np.arange(overshoot_m, road.lane_length_m[following], 1.0)[:missing]
        points_m.append(_points(road, following, run_m))
        missing -= len(run_m)
        overshoot_m = (run_m[-1] + 1.0 if len(run_m) else overshoot_m) - float(road.lane_length_m[following])
        lane = following
    return np.concatenate(points_m)


def _points(road: RoadMap, lane: int, run_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of a lane's middle, (N, 2); beyond its end straight on."""
    mine = np.flatnonzero(road.lane_of_piece == lane)
    pieces = road.lanes
    piece = mine[np.clip(np.searchsorted(pieces.offset_m[mine], run_m, side="right") - 1, 0, None)]
    along_m = np.minimum(run_m - pieces.offset_m[piece], pieces.length_m[piece])
    beyond_m = run_m - pieces.offset_m[piece] - along_m
    curvature, heading_rad = pieces.curvature_per_m[piece], pieces.heading_rad[piece]
    half_rad = curvature * along_m / 2.0
    chord_m = along_m * np.sinc(half_rad / np.pi)
    middle_rad, end_rad = heading_rad + half_rad, heading_rad + 2.0 * half_rad
    x = chord_m * np.cos(middle_rad) + beyond_m * np.cos(end_rad)
    y = chord_m * np.sin(middle_rad) + beyond_m * np.sin(end_rad)
    return pieces.start_m[piece] + np.stack((x, y), -1)


class PrivilegedExtractor(BaseFeaturesExtractor):
    """Each actor through one small network, the largest of each number over all actors, and the rest of the vector beside it.

    When and how near each actor would come at constant velocities is told to the network: on crossing traffic it finds that out only
    slowly by itself.
    """

    def __init__(self, observation_space: spaces.Box, hidden: int = 64) -> None:
        """Build it for a space of `privileged_space`."""
        self.own = observation_space.shape[0] - ACTORS * len(ACTOR_FEATURES)
        if self.own <= 0:
            raise ConfigError(f"PrivilegedExtractor got an observation of {observation_space.shape[0]} numbers, expected privileged state")
        super().__init__(observation_space, self.own + hidden)
        wide = len(ACTOR_FEATURES) + 2 + self.own
        layers = (nn.Linear(wide, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.actor = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Encode (B, D) to (B, F)."""
        own, others = observations[:, : self.own], observations[:, self.own :].view(len(observations), ACTORS, -1)
        found = self.actor(torch.cat((others, closest_approach(others), own[:, None].expand(-1, ACTORS, -1)), -1))
        there = others[..., :1] > 0.5
        most = torch.where(there, found, -math.inf).amax(1)
        return torch.cat((own, torch.where(there.any(1), most, 0.0)), 1)


def closest_approach(actors: Tensor) -> Tensor:
    """When actors would be nearest to the ego, and how near, if nobody changed velocity.

    Args:
        actors: ACTOR_FEATURES, (..., features).

    Returns:
        Time, 1 at 4 s and 2 at 8 s or later, and distance, 1 at 20 m and 3 at 60 m or more, (..., 2); zeros where nobody is.
    """
    there, x, y, vx, vy = actors[..., :5].unbind(-1)
    place_m = torch.stack((x, y), -1) * DISTANCE_M
    velocity_mps = torch.stack((vx, vy), -1) * SPEED_MPS
    speed2 = (velocity_mps * velocity_mps).sum(-1).clamp(min=0.1)
    time_s = (-(place_m * velocity_mps).sum(-1) / speed2).clamp(0.0, 8.0)
    distance_m = (place_m + velocity_mps * time_s[..., None]).norm(dim=-1)
    return torch.stack((time_s / 4.0, (distance_m / 20.0).clamp(max=3.0)), -1) * there[..., None]


class PrivilegedVecEnv(VecEnvWrapper):
    """Shows privileged state of worlds that ``envs.make_sb3_vec`` made, whatever they show themselves."""

    def __init__(self, venv: VecEnv) -> None:
        """Wrap an environment.

        Raises:
            ConfigError: It has no scenes, or its worlds have several agents.
        """
        if not hasattr(venv, "transition") or hasattr(venv, "agents"):
            raise ConfigError(f"privileged state got a {type(venv).__name__}, expected worlds of one ego as envs.make_sb3_vec makes them")
        worlds: DrivingVecEnv = venv.unwrapped  # type: ignore[assignment]
        super().__init__(venv, privileged_space(worlds.world.action_width))
        self.worlds = worlds
        self.tell = PrivilegedState()

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        self.venv.reset()
        return self.tell(self.worlds.scene).cpu().numpy()

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and tell privileged state, also of episodes that ended."""
        _, rewards, dones, infos = self.venv.step_wait()
        if dones.any():
            ended = torch.from_numpy(dones)
            last = self.tell(self.worlds.transition.next_scene.select(ended.to(self.worlds.world.device))).cpu().numpy()  # type: ignore[union-attr]
            for row, index in enumerate(np.flatnonzero(dones).tolist()):
                infos[index]["terminal_observation"] = last[row]
        return self.tell(self.worlds.scene).cpu().numpy(), rewards, dones, infos


def make_privileged_vec(id: str, num_envs: int, **arguments: Any) -> PrivilegedVecEnv:
    """Make worlds that show privileged state; arguments as for ``envs.make_sb3_vec``, without ``rig``."""
    return PrivilegedVecEnv(make_sb3_vec(id, num_envs, rig=BLIND, **arguments))
