"""A scripted driver who sees the whole scene: predicts each action a few seconds ahead, and takes the best one that stays clear.

It is the teacher for warm starts on multi-lane highways, and a baseline. It needs the five meta-actions of highway-env.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from envs.drivers import META_ACTIONS
from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.rig import Rig
from sensors.scene import Light, Scene

SPEED_LAG_S = 0.6
"""highway-env's cars approach their target speed with this time constant."""
LANE_CHANGE_S = 2.0
CAR_LENGTH_M = 5.0
STEP_S = 0.5


@dataclass(frozen=True)
class RuleDriver:
    """Looks ahead, everybody else at constant speed."""

    target_speeds_mps: tuple[float, ...] = (20.0, 25.0, 30.0)
    """What FASTER and SLOWER step through."""
    clear_s: float = 5.0
    """How long an action must stay clear of everybody."""
    look_s: float = 8.0
    """Over how long lanes are compared by the progress they allow."""
    gap_m: float = 5.0
    """Distance to keep to who is ahead, bumper to bumper."""
    rear_gap_m: float = 5.0
    """Distance to leave to who follows."""
    gain_m: float = 4.0
    """How much further another lane must get the ego before it changes to it."""
    swerve_m: float = 1.0
    """How far towards its next lane somebody who signals is taken to be already."""
    lane_width_m: float = 4.0
    undecided_m: float = 0.5
    """Two actions whose worth differs by this are as e to 1 in ``chances``."""
    autopilot: bool = False
    needs_frames: Rig | None = None

    def reset(self, state: Any, where: Tensor) -> Any:
        """Nothing to forget."""
        return state

    def act(self, scene: Scene, frames: Frames | None, state: Any) -> tuple[Tensor, Any]:
        """Decide for every world, from the scene alone.

        Raises:
            ConfigError: The world has other actions than the five meta-actions.
        """
        return self.worth_m(scene).argmax(1), None

    def chances(self, scene: Scene) -> Tensor:
        """How good each action is beside the others, as a distribution over them: softmax of their worth by ``undecided_m``, (B, 5).

        It says more than the best action alone: which others would do as well, and which would end badly.
        """
        return torch.softmax(self.worth_m(scene) / self.undecided_m, 1).float()

    def worth_m(self, scene: Scene) -> Tensor:
        """What each action promises, (B, 5).

        Raises:
            ConfigError: The world has other actions than the five meta-actions.
        """
        if scene.action.shape[1] != len(META_ACTIONS):
            raise ConfigError(f"driver 'rule' has the five meta-actions, but this world's action has {scene.action.shape[1]} numbers")
        traffic = Traffic.around_ego(scene, self.swerve_m)
        return torch.stack([self._worth(traffic, name) for name in META_ACTIONS], 1)

    def _worth(self, traffic: Traffic, action: str) -> Tensor:
        """Metres that an action promises over ``look_s`` if it stays clear; far below zero, by how soon it fails, if not. (B,)."""
        shift = {"LANE_LEFT": 1, "LANE_RIGHT": -1}.get(action, 0)
        target_mps = self._target_speed(traffic.speed_mps, {"FASTER": 1, "SLOWER": -1}.get(action, 0))
        fails_s = self._fails_s(traffic, shift * self.lane_width_m, target_mps)
        in_lane = traffic.present & ((traffic.side_m - shift * self.lane_width_m).abs() < 0.6 * self.lane_width_m) & (traffic.ahead_m > 0)
        reach_m = traffic.ahead_m - CAR_LENGTH_M - self.gap_m + traffic.other_mps * self.look_s
        leader_m = torch.where(in_lane, reach_m, torch.inf).amin(1)
        promise_m = leader_m.clamp(max=self.target_speeds_mps[-1] * self.look_s) - (self.gain_m if shift else 0.0)
        promise_m = promise_m + 0.1 * target_mps  # of two speeds in one lane, the higher
        worth = torch.where(fails_s.isinf(), promise_m, -1000.0 + 10.0 * fails_s.clamp(max=99.0) - target_mps)
        return torch.where(traffic.has_lane(shift), worth, -1e6)

    def _fails_s(self, traffic: Traffic, goal_m: float, target_mps: Tensor) -> Tensor:
        """When the ego first comes too close to somebody on its way to a lane and a speed; inf if it does not, (B,)."""
        fails_s = torch.full_like(target_mps, torch.inf)
        margin_m = torch.where(traffic.ahead_m > 0, self.gap_m, self.rear_gap_m) + CAR_LENGTH_M
        for number in range(1, round(self.clear_s / STEP_S) + 1):
            time_s = STEP_S * number
            lag_s = SPEED_LAG_S * (1.0 - math.exp(-time_s / SPEED_LAG_S))
            driven_m = target_mps * time_s + (traffic.speed_mps - target_mps) * lag_s
            across_m = traffic.offset_m + (goal_m - traffic.offset_m) * min(1.0, time_s / LANE_CHANGE_S)
            gap_m = traffic.ahead_m + traffic.other_mps * time_s - driven_m[:, None]
            beside = (traffic.side_m - across_m[:, None]).abs() < 0.6 * self.lane_width_m
            if goal_m != 0.0:
                beside |= (traffic.side_m - goal_m).abs() < 0.6 * self.lane_width_m
            hit = traffic.present & beside & ((gap_m.abs() < margin_m) | (gap_m * traffic.ahead_m < 0))
            fails_s = torch.where(hit.any(1) & fails_s.isinf(), time_s, fails_s)
        return fails_s

    def _target_speed(self, speed_mps: Tensor, change: int) -> Tensor:
        """Target speed after FASTER (+1) or SLOWER (-1), counted from the present speed as highway-env does, (B,)."""
        speeds_mps = speed_mps.new_tensor(self.target_speeds_mps)
        share = (speed_mps - speeds_mps[0]) / (speeds_mps[-1] - speeds_mps[0])
        place = (share * (len(speeds_mps) - 1)).round().long() + change
        return speeds_mps[place.clamp(0, len(speeds_mps) - 1)]


@dataclass(frozen=True)
class Traffic:
    """The others along and across the ego's lane; float64."""

    speed_mps: Tensor  # (B,) the ego's
    offset_m: Tensor  # (B,) the ego's distance from its lane's centre, positive left
    lane: Tensor  # (B,) the ego's, counted from the right
    lanes: Tensor  # (B,) how many its road has
    ahead_m: Tensor  # (B, A) centre to centre
    side_m: Tensor  # (B, A) from the centre of the ego's lane, positive left; moved towards the lane that a car signals
    other_mps: Tensor  # (B, A) speed along the ego's lane
    present: Tensor  # (B, A) bool; not the ego

    @classmethod
    def around_ego(cls, scene: Scene, swerve_m: float) -> Traffic:
        """Read a scene, with signalling cars ``swerve_m`` on their way."""
        road, device = scene.road, scene.device
        position, heading = scene.position_m.double(), scene.heading_rad[:, 0].double()
        lane, _, lateral_m, error_rad = road.locate(position[:, 0].cpu().numpy(), heading.cpu().numpy())
        lanes = torch.from_numpy((road.lane_road[:, None] == road.lane_road[lane]).sum(0)).to(device)
        offset_m = torch.from_numpy(lateral_m).to(device)
        along = (heading - torch.from_numpy(error_rad).to(device))[:, None]
        relative, velocity = position - position[:, :1], scene.velocity_mps.double()
        side_m = relative[..., 1] * along.cos() - relative[..., 0] * along.sin() + offset_m[:, None]
        left, right = ((scene.lights & int(light)) > 0 for light in (Light.LEFT, Light.RIGHT))
        present = scene.valid.clone()
        present[:, 0] = False
        return cls(
            speed_mps=scene.speed_mps[:, 0].double(),
            offset_m=offset_m,
            lane=lanes - 1 - torch.from_numpy(road.lane_index[lane]).to(device),
            lanes=lanes,
            ahead_m=relative[..., 0] * along.cos() + relative[..., 1] * along.sin(),
            side_m=side_m + swerve_m * (left.double() - right.double()),
            other_mps=velocity[..., 0] * along.cos() + velocity[..., 1] * along.sin(),
            present=present,
        )

    def has_lane(self, shift: int) -> Tensor:
        """Whether there is a lane that many to the left (or, negative, to the right), (B,) bool."""
        return (self.lane + shift >= 0) & (self.lane + shift < self.lanes)
