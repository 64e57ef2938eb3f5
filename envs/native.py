"""How settings become what the kernels take: rules, set speeds and actions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import META_ACTIONS, Settings, action_names, complete_config, observed_cars, steps_until, target_speeds
from envs.traffic.batch import reset_worlds, step_together
from envs.traffic.layout import CAR, EPISODE, NOBODY, OUTCOME, Rules
from envs.traffic.observation import FEATURES
from sensors.errors import unknown_name

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

    Raises:
        ConfigError: An unknown mode.
    """
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
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
    return steps_until(rules.duration_s, rules.decision_s)


class Highways:
    """B highways as bare arrays: what a ``World`` steps, in either mode, without scenes and without checks."""

    def __init__(self, id: str, num_worlds: int, config: Mapping[str, Any] | None = None, mode: str = "exact", threads: int = 1) -> None:
        """Make room.

        Args:
            id: A key of ``NATIVE_DEFAULTS``.
            num_worlds: B.
            config: Settings that differ from the defaults.
            mode: One of ``MODES``.
            threads: Threads to step on.
        """
        self.highway, self.threads = highway_of(id, complete_config(id, config), mode), threads
        self.cars = np.zeros((num_worlds, self.highway.cars), CAR)
        self.episodes = np.zeros(num_worlds, EPISODE)
        self._nobody_piloted = np.zeros(num_worlds, np.bool_)
        self._no_trace = np.zeros((0, *self.cars.shape), CAR)
        self._no_observation = np.zeros((0, self.highway.observed_cars, FEATURES), np.float32)

    def reset(self, seeds: NDArray[np.int64]) -> None:
        """Start episodes from seeds, (B,)."""
        everywhere = np.ones(len(self.cars), np.bool_)
        reset_worlds(self.cars, self.episodes, self.highway.rules, self.highway.targets_mps, seeds, everywhere)

    def step(self, actions: NDArray[np.int64]) -> NDArray[Any]:
        """Advance all by one decision, (B,) numbers of actions; gives OUTCOME records."""
        return self._step(actions, self._no_observation, self._no_observation)

    def step_and_renew(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Advance all by one decision and follow finished episodes by new ones; gives outcomes, observations and final ones."""
        shape = (len(self.cars), *self._no_observation.shape[1:])
        observations, finals = np.empty(shape, np.float32), np.zeros(shape, np.float32)
        return self._step(actions, observations, finals), observations, finals

    def _step(self, actions: NDArray[np.int64], observations: NDArray[np.float32], finals: NDArray[np.float32]) -> NDArray[Any]:
        outcomes, highway = np.empty(len(self.cars), OUTCOME), self.highway
        self.episodes["action"] = actions
        chosen, rest = highway.meta_actions[actions], (outcomes, self._no_trace, observations, finals)
        step_together(self.threads, self.cars, self.episodes, highway.rules, highway.targets_mps, chosen, self._nobody_piloted, *rest)
        return outcomes
