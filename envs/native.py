"""How settings become what the kernels take: rules, set speeds and actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import META_ACTIONS, Settings, action_names, observed_cars, target_speeds
from envs.traffic.layout import NOBODY, Rules

MODES: dict[str, bool | None] = {"exact": None, "fast": True}
"""Modes by name: highway-env's own numbers, or decisions like its own at a higher speed; what kernels are compiled for."""


@dataclass(frozen=True)
class Highway:
    """One id with its settings, ready for the kernels."""

    rules: Rules
    targets_mps: NDArray[np.float64]
    action_names: tuple[str, ...]
    meta_actions: NDArray[np.int64]
    """Number of the meta-action behind each action."""
    cars: int
    observed_cars: int


def highway_of(id: str, config: Settings, mode: str = "exact") -> Highway:
    """Make it from complete, checked settings.

    Args:
        id: A key of ``NATIVE_DEFAULTS``.
        config: All its settings.
        mode: One of ``MODES``.
    """
    names = action_names(id, config["action"])
    targets = target_speeds(id, config["action"])
    return Highway(
        rules=rules_of(id, config, targets, mode),
        targets_mps=np.asarray(targets, np.float64),
        action_names=names,
        meta_actions=np.asarray([META_ACTIONS.index(name) for name in names], np.int64),
        cars=1 + config["vehicles_count"],
        observed_cars=observed_cars(id, config["observation"]),
    )


def rules_of(id: str, config: Settings, targets: tuple[float, ...], mode: str = "exact") -> Rules:
    """The numbers that all worlds share, each of the type that the kernels are compiled for."""
    low, high = config["reward_speed_range"]
    lane: Any = config["initial_lane_id"]
    return Rules(
        lanes=int(config["lanes_count"]),
        substep_s=1 / float(config["simulation_frequency"]),
        substeps=int(config["simulation_frequency"] // config["policy_frequency"]),
        decision_s=1 / float(config["policy_frequency"]),
        duration_s=float(config["duration"]),
        all_collide=id != "highway-fast-v0",
        ego_lane=NOBODY if lane is None else int(lane),
        ego_spacing=float(config["ego_spacing"]),
        spacing=1 / float(config["vehicles_density"]),
        lane_crowding=math.exp(-5 / 40 * config["lanes_count"]),
        collision_weight=float(config["collision_reward"]),
        right_lane_weight=float(config["right_lane_reward"]),
        high_speed_weight=float(config["high_speed_reward"]),
        reward_speed_low_mps=float(low),
        reward_speed_high_mps=float(high),
        normalize=bool(config["normalize_reward"]),
        offroad_terminal=bool(config["offroad_terminal"]),
        fast=MODES[mode],
    )


def horizon_steps(rules: Rules) -> int:
    """Decisions until an episode is truncated, by highway-env's own sum of floats."""
    clock, steps = 0.0, 0
    while clock < rules.duration_s:
        clock += rules.decision_s
        steps += 1
    return steps
