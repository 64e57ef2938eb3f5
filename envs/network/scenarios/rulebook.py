"""What a scenario hands to the engine, and what their kernels share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.geometry import is_on
from envs.network.layout import BY_COMMAND, LANE_LEFT, LANE_RIGHT, Network, Rules
from envs.traffic.decisions import speed_index as nearest_speed
from envs.traffic.elementary import clip
from sensors.jit import leaf

Kernel = Callable[..., None]


class Reward(NamedTuple):
    """How terms become a reward."""

    weights: NDArray[np.float64]
    """One for each term."""
    low: float
    """What is mapped to 0."""
    high: float
    """What is mapped to 1."""
    normalize: bool
    speed_low_mps: float
    speed_high_mps: float
    offroad_terminal: bool


@dataclass(frozen=True)
class Rulebook:
    """An id with its settings, ready for the engine."""

    terms: tuple[str, ...]
    """Names of the reward's terms, highway-env's."""
    params: tuple[Any, ...]
    """A NamedTuple of what its kernels need."""
    room: int
    """The most vehicles that its episodes hold."""
    spawn: Kernel
    """``(first, end, cars, episodes, network, rules, targets, fixtures, params, seeds, where)``: starts episodes."""
    judge: Kernel
    """``(first, end, cars, episodes, network, rules, targets, params, actions, efforts, outcomes, terms)``: rewards and ends."""
    before: Kernel | None = None
    """``(first, end, cars, episodes, network)``: at the start of a decision."""
    after: Kernel | None = None
    """``(first, end, cars, episodes, network, rules, params)``: once a decision was judged and observed."""
    observes_first: bool = False
    """Is the observation made before cars move?"""
    keeps_observation: bool = False
    """Can an observation not be made again from the state after the step?"""
    weighs_actions: bool = False
    """Does the reward ask for the number of the action?"""
    weighs_efforts: bool = False
    """Does the reward ask for the norm of the action?"""
    has_autopilot: bool = True


def reward_of(config: Mapping[str, Any], terms: Sequence[str], low: float = 0.0, high: float = 1.0, normalize: bool = False) -> Reward:
    """Read a reward's weights from settings; a term without one weighs nothing."""
    speeds = config.get("reward_speed_range", (0.0, 1.0))
    return Reward(
        np.asarray([config.get(name, 0) for name in terms], np.float64),
        float(low),
        float(high),
        bool(normalize),
        float(speeds[0]),
        float(speeds[1]),
        bool(config.get("offroad_terminal", False)),
    )


@leaf()
def weighed(terms: Any, reward: Reward) -> float:
    """Sum of terms by their weights, in their order, (T,)."""
    total = 0.0
    for number in range(len(reward.weights)):
        total += reward.weights[number] * terms[number]
    return total


@leaf()
def rescaled(value: float, low: float, high: float) -> float:
    """Map [low, high] to [0, 1] (highway_env.utils.lmap)."""
    return (value - low) / (high - low)


@leaf()
def speed_share(speed: float, reward: Reward) -> float:
    """Place of a speed in the range that is rewarded, not clipped."""
    return rescaled(speed, reward.speed_low_mps, reward.speed_high_mps)


@leaf()
def clipped_speed_share(speed: float, reward: Reward) -> float:
    """Place of a speed in the range that is rewarded, 0 to 1."""
    return clip(speed_share(speed, reward), 0.0, 1.0)


@leaf()
def is_on_road(network: Network, car: Any) -> bool:
    """Is a car on its own lane? (RoadObject.on_road)."""
    return is_on(network.lanes[car.lane], car.run_m, car.offset_m, 0.0)


@leaf()
def rewarded_lane(car: Any) -> int:
    """The lane that counts: the one that a car drives for, if it drives for one."""
    return car.target_lane if car.driver <= BY_COMMAND else car.lane


@leaf()
def speed_index_of(car: Any, targets: Any) -> int:
    """The set speed of a commanded car, or else the nearest one (MDPVehicle.get_speed_index)."""
    return car.speed_index if car.driver == BY_COMMAND else nearest_speed(car.speed_mps, targets)


@leaf()
def changes_lane(action: int) -> bool:
    """Is this the number of a lane change? highway-env asks for the number alone, whatever it means among other actions."""
    return action == LANE_LEFT or action == LANE_RIGHT


@leaf()
def is_late(episode: Any, rules: Rules) -> bool:
    """Is an episode's time over?"""
    return episode.clock_s >= rules.duration_s or 0 < rules.limit <= episode.decisions


def duration_of(config: Mapping[str, Any]) -> float:
    """When episodes are truncated [s]."""
    return float(config.get("duration", math.inf))
