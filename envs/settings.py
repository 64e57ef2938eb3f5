"""What each of highway-env's settings must be, and which must go together: said in one line before a world is built.

highway-env itself takes most impossible values and fails later, or goes on with something else. Where one of its own answers is kept
although it may surprise, it is written here:

- No other vehicles, or ``initial_vehicle_count`` 0 or 1: a road with the ego (and merge's car on the ramp, the intersection's challenger).
- merge-generic and roundabout-generic try ten places for a car and then leave it out, so a crowded road holds fewer cars than asked for.
- exit with ``lanes_count`` 1 and other cars: they begin on the only lane; highway-env draws from shares of 0 / 0 and fails.
- A ``duration`` shorter than a decision ends the episode after its first decision.
- merge and roundabout with two continuous actions: no action counts as a lane change; highway-env fails at the first step.
- two-way with continuous actions: the set speed nearest to the ego's speed is rewarded; highway-env fails at the first step.
- Substeps longer than 1 s are refused: the speed control's time constant is 0.6 s, and explicit Euler over 1.2 s swings up without end.
- Where ``simulation_frequency`` is no multiple of ``policy_frequency``, a decision has the whole substeps that fit into it.

This module imports nothing heavy: the highway ids are checked without highway-env.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sensors.errors import ConfigError

MOST_VEHICLES = 100_000
MOST_LANES = 64
TOP_FREQUENCY_HZ = 10_000
LARGEST = 1e9
"""Numbers beyond it say nothing on a road, and lead to infinities."""
MOST_SUBSTEPS = 100_000
MOST_DECISIONS = 1_000_000
PARKING_SPOTS = 28


class Check(NamedTuple):
    """What a setting must be."""

    expected: str
    accepts: Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    """Is it an int? A bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Is it an int or float of reasonable size? A bool is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= LARGEST


def are_numbers(value: Any, count: int) -> bool:
    """Is it a list or tuple of so many finite numbers?"""
    return isinstance(value, (list, tuple)) and len(value) == count and all(map(is_number, value))


def is_rising_pair(value: Any) -> bool:
    """Is it two numbers, the second one larger?"""
    return are_numbers(value, 2) and value[0] < value[1]


def is_typed(value: Any) -> bool:
    """Is it a dict with a 'type'?"""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def whole(low: int, high: int) -> Check:
    """A whole number in a range."""
    return Check(f"a whole number from {low} to {high}", lambda value: is_whole(value) and low <= value <= high)


def number_between(low: float, high: float, unit: str = "") -> Check:
    """A number in a range."""
    return Check(f"a number from {low:g} to {high:g}{unit}", lambda value: is_number(value) and low <= value <= high)


def number_above(low: float, unit: str = "") -> Check:
    """A number above another."""
    return Check(f"a number above {low:g}{unit}", lambda value: is_number(value) and value > low)


def number_from(low: float, unit: str = "") -> Check:
    """A number not below another."""
    return Check(f"a number of at least {low:g}{unit}", lambda value: is_number(value) and value >= low)


def one_of(*values: Any) -> Check:
    """One of some values."""
    return Check("one of " + ", ".join(map(repr, values)), lambda value: not isinstance(value, bool) and value in values)


NUMBER = Check("a number", is_number)
TYPED = Check("a dict with a 'type'", is_typed)
FLAG = Check("True or False", lambda value: isinstance(value, bool))
WEIGHTS = Check("six numbers of at least 0", lambda value: are_numbers(value, 6) and min(value) >= 0)

CHECKS: dict[str, Check] = {
    "observation": TYPED,
    "action": TYPED,
    "simulation_frequency": number_between(1, TOP_FREQUENCY_HZ, " [Hz]"),
    "policy_frequency": number_above(0, " [Hz]"),
    "other_vehicles_type": Check("a class path", lambda value: isinstance(value, str)),
    "lanes_count": whole(1, MOST_LANES),
    "vehicles_count": whole(0, MOST_VEHICLES),
    "initial_vehicle_count": whole(0, MOST_VEHICLES),
    "other_vehicles": whole(0, MOST_VEHICLES),
    "controlled_vehicles": Check("1: worlds here have one ego", lambda value: is_whole(value) and value == 1),
    "initial_lane_id": Check("None or a lane number from 0", lambda value: value is None or (is_whole(value) and value >= 0)),
    "duration": number_above(0, " [s]"),
    "ego_spacing": number_from(0),
    "vehicles_density": number_between(0.001, 1000),
    "spawn_probability": number_between(0, 1),
    "destination": one_of("o0", "o1", "o2", "o3", None),
    "incoming_vehicle_destination": one_of(0, 1, 2, None),
    "roundabout_lanes": whole(1, MOST_LANES),
    "roundabout_radius": number_between(1, 10_000, " [m]"),
    "before_merge_length": number_above(0, " [m]"),
    "converge_merge_length": number_above(0, " [m]"),
    "parallel_merge_length": number_above(0, " [m]"),
    "after_merge_length": number_from(90, " [m]"),
    "length": number_above(0, " [m]"),
    "no_lanes": whole(2, MOST_LANES),
    "speed_limit": number_above(0, " [m/s]"),
    "lane_centering_cost": number_from(0),
    "state_noise": number_from(0),
    "derivative_noise": number_from(0),
    "reward_weights": WEIGHTS,
    "reward_speed_range": Check("two numbers that differ [m/s]", lambda value: are_numbers(value, 2) and value[0] != value[1]),
    "steering_range": NUMBER,
    "success_goal_reward": NUMBER,
    "left_lane_constraint": NUMBER,
    **dict.fromkeys(
        (
            "action_reward",
            "arrived_reward",
            "collision_reward",
            "goal_reward",
            "high_speed_reward",
            "lane_centering_reward",
            "lane_change_reward",
            "left_lane_reward",
            "merging_speed_reward",
            "right_lane_reward",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "add_walls",
            "block_lane",
            "force_decision",
            "manual_control",
            "neighbour_vehicles_connected_lanes",
            "normalize_reward",
            "offroad_terminal",
            "real_time_rendering",
            "render_agent",
            "show_trajectories",
            "terminate_off_road",
        ),
        FLAG,
    ),
    "offscreen_rendering": Check("None, True or False", lambda value: value is None or isinstance(value, bool)),
    "screen_width": whole(1, 100_000),
    "screen_height": whole(1, 100_000),
    "scaling": number_above(0, " [pixels/m]"),
    "centering_position": Check("two numbers", lambda value: are_numbers(value, 2)),
}
"""What a setting must be, by its key."""

SEVERAL = whole(1, MOST_VEHICLES)
OF_FAMILY: dict[str, dict[str, Check]] = {
    # limits fall by 3.4 m/s from lane to lane, from 26 m/s; the next lane's would be below 0, and its cars drive backwards
    "exit": {"lanes_count": whole(1, 7), "controlled_vehicles": SEVERAL},
    "highway": {"controlled_vehicles": SEVERAL},
    "racetrack": {"controlled_vehicles": SEVERAL},
    "intersection": {
        # highway-env counts the substeps before the ego comes, and looks twice a second who has to yield
        "simulation_frequency": whole(2, TOP_FREQUENCY_HZ),
        "controlled_vehicles": SEVERAL,
    },
    "roundabout-generic": {"incoming_vehicle_destination": one_of(0, 1, 2, 3, None)},
    "parking": {"vehicles_count": whole(0, PARKING_SPOTS - 2)},
}
"""Where an id, by the beginning of its name, asks for something else."""

LOWEST_AND_HIGHEST: dict[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    "highway": (("collision_reward",), ("high_speed_reward", "right_lane_reward"), 0.0),
    "exit": (("collision_reward",), ("goal_reward",), 0.0),
    "intersection": (("collision_reward",), ("arrived_reward",), 0.0),
    "merge": (("collision_reward", "merging_speed_reward"), ("high_speed_reward", "right_lane_reward"), 0.0),
    "racetrack": (("collision_reward",), (), 1.0),
    "roundabout": (("collision_reward",), ("high_speed_reward",), 0.0),
    "u-turn": (("collision_reward",), ("high_speed_reward", "left_lane_reward"), 0.0),
}
"""Rewards that highway-env maps to [0, 1]: what adds up to the lowest, what to the highest, and a number added to that."""


def check_values(id: str, changes: Mapping[str, Any]) -> None:
    """Check each setting by itself.

    Args:
        id: An id.
        changes: Settings by highway-env's keys, all of which are known.

    Raises:
        ConfigError: A value that cannot be used.
    """
    checks = dict(CHECKS)
    for family, own in OF_FAMILY.items():
        if id.startswith(family):
            checks |= own
    for key, value in changes.items():
        if key in checks and not checks[key].accepts(value):
            raise ConfigError(f"{id}: {key} is {value!r}, expected {checks[key].expected}")


def check_together(id: str, config: Mapping[str, Any]) -> None:
    """Check settings that must fit one another.

    Args:
        id: An id.
        config: All its settings, each checked by itself.

    Raises:
        ConfigError: Two settings that do not go together.
    """
    _check_clocks(id, config)
    lane = config.get("initial_lane_id")
    if lane is not None and lane >= config["lanes_count"]:
        raise ConfigError(f"{id}: initial_lane_id {lane} does not exist, lanes_count is {config['lanes_count']}; lanes count from 0")
    for family, (lowest, highest, more) in LOWEST_AND_HIGHEST.items():
        if not id.startswith(family) or not config.get("normalize_reward", True):
            continue
        if sum(config[name] for name in lowest) == sum(config[name] for name in highest) + more:
            best = " + ".join((*highest, *([f"{more:g}"] if more else [])))
            raise ConfigError(
                f"{id}: mapping the reward to [0, 1] divides by {best} - {' - '.join(lowest)}, which is 0; change one of them"
            )


def _check_clocks(id: str, config: Mapping[str, Any]) -> None:
    simulation, policy = config["simulation_frequency"], config["policy_frequency"]
    if simulation < policy:
        raise ConfigError(
            f"{id}: simulation_frequency {simulation} Hz is below policy_frequency {policy} Hz, "
            "so nothing would move between decisions; raise it"
        )
    if simulation / policy > MOST_SUBSTEPS:
        raise ConfigError(
            f"{id}: simulation_frequency {simulation} Hz and policy_frequency {policy} Hz make {simulation / policy:g} substeps "
            f"a decision, expected up to {MOST_SUBSTEPS}"
        )
    if config.get("duration", 0) * policy > MOST_DECISIONS:
        raise ConfigError(
            f"{id}: duration {config['duration']} s and policy_frequency {policy} Hz make {config['duration'] * policy:g} decisions, "
            f"expected up to {MOST_DECISIONS}"
        )
