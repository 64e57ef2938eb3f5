"""Settings of the highway ids: highway-env's own keys and defaults, checked before a world is built.

highway-env takes a misspelt key silently; here it is an error. What is allowed but not served by the highway's own kernels (another
observation, continuous actions) is served by the general ones, and another class of vehicles by ``ReferenceWorld``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from envs.settings import check_together, check_values, is_whole
from sensors.errors import ConfigError, unknown_name

Settings = dict[str, Any]

IDM_VEHICLE = "highway_env.vehicle.behavior.IDMVehicle"

HIGHWAY: Settings = {
    "observation": {"type": "Kinematics"},
    "action": {"type": "DiscreteMetaAction"},
    "simulation_frequency": 15,
    "policy_frequency": 1,
    "other_vehicles_type": IDM_VEHICLE,
    "screen_width": 600,
    "screen_height": 150,
    "centering_position": [0.3, 0.5],
    "scaling": 5.5,
    "show_trajectories": False,
    "render_agent": True,
    "offscreen_rendering": None,
    "manual_control": False,
    "real_time_rendering": False,
    "neighbour_vehicles_connected_lanes": False,
    "lanes_count": 4,
    "vehicles_count": 50,
    "controlled_vehicles": 1,
    "initial_lane_id": None,
    "duration": 40,
    "ego_spacing": 2,
    "vehicles_density": 1,
    "collision_reward": -1,
    "right_lane_reward": 0.1,
    "high_speed_reward": 0.4,
    "lane_change_reward": 0,
    "reward_speed_range": [20, 30],
    "normalize_reward": True,
    "offroad_terminal": False,
}
HIGHWAY_FAST: Settings = HIGHWAY | {"simulation_frequency": 5, "lanes_count": 3, "vehicles_count": 20, "duration": 30, "ego_spacing": 1.5}
NATIVE_DEFAULTS: dict[str, Settings] = {"highway-v0": HIGHWAY, "highway-fast-v0": HIGHWAY_FAST}

META_ACTIONS = ("LANE_LEFT", "IDLE", "LANE_RIGHT", "FASTER", "SLOWER")
SPEED_ACTIONS = ("SLOWER", "IDLE", "FASTER")
LANE_ACTIONS = ("LANE_LEFT", "IDLE", "LANE_RIGHT")
DEFAULT_TARGET_SPEEDS_MPS = (20.0, 25.0, 30.0)
NATIVE_ACTION_KEYS = ("type", "longitudinal", "lateral", "target_speeds")
NATIVE_OBSERVATION_KEYS = ("type", "vehicles_count")


def complete_config(id: str, config: Mapping[str, Any] | None) -> Settings:
    """Fill a highway id's settings with highway-env's defaults, checked.

    Args:
        id: A key of ``NATIVE_DEFAULTS``.
        config: Settings that differ from the defaults; None for none.

    Returns:
        All settings, a copy.

    Raises:
        ConfigError: An unknown key, a value of the wrong type or out of range, or two that do not go together.
    """
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"config of {id} is a {type(config).__name__}, expected a dict of highway-env's settings")
    defaults = NATIVE_DEFAULTS[id]
    for key in config or {}:
        if key not in defaults:
            raise unknown_name(f"setting of {id}", str(key), defaults)
    check_values(id, config or {})
    complete = copy.deepcopy(defaults | dict(config or {}))
    check_together(id, complete)
    if complete["offscreen_rendering"] is None:
        complete["offscreen_rendering"] = True  # as highway-env fills it in without a window
    return complete


def why_not_native(config: Settings) -> str | None:
    """Say which setting of a complete config the native kernels lack; None if they have all."""
    action, observation = config["action"], config["observation"]
    if action["type"] != "DiscreteMetaAction" or any(key not in NATIVE_ACTION_KEYS for key in action):
        return f"action {dict(action)}"
    if observation["type"] != "Kinematics" or any(key not in NATIVE_OBSERVATION_KEYS for key in observation):
        return f"observation {dict(observation)}"
    if config["other_vehicles_type"] != IDM_VEHICLE:
        return f"other_vehicles_type {config['other_vehicles_type']}"
    if config["manual_control"]:
        return "manual_control"
    if config["controlled_vehicles"] != 1:
        return f"controlled_vehicles {config['controlled_vehicles']}"
    return None


def action_names(id: str, action: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the meta-actions that a native action setting offers, in order.

    Raises:
        ConfigError: Neither lanes nor speeds can be chosen, or a flag is no bool.
    """
    longitudinal, lateral = action.get("longitudinal", True), action.get("lateral", True)
    if not isinstance(longitudinal, bool) or not isinstance(lateral, bool) or not (longitudinal or lateral):
        raise ConfigError(
            f"{id}: action has longitudinal {longitudinal!r} and lateral {lateral!r}, expected True or False and one of them True"
        )
    if longitudinal:
        return META_ACTIONS if lateral else SPEED_ACTIONS
    return LANE_ACTIONS


def target_speeds(id: str, action: Mapping[str, Any]) -> tuple[float, ...]:
    """Set speeds of a native action setting [m/s].

    Raises:
        ConfigError: Fewer than two, or not rising.
    """
    speeds = action.get("target_speeds")
    if speeds is None:
        return DEFAULT_TARGET_SPEEDS_MPS
    listed = list(speeds) if hasattr(speeds, "__iter__") and not isinstance(speeds, (str, Mapping)) else []
    numbers = [float(speed) for speed in listed if isinstance(speed, (int, float)) and not isinstance(speed, bool)]
    if len(numbers) < 2 or len(numbers) != len(listed) or any(b <= a for a, b in zip(numbers, numbers[1:], strict=False)):
        raise ConfigError(f"{id}: action target_speeds is {speeds!r}, expected two or more rising numbers [m/s]")
    return tuple(numbers)


def observed_cars(id: str, observation: Mapping[str, Any]) -> int:
    """Rows of a native observation, the ego's included.

    Raises:
        ConfigError: Not a whole number from 2.
    """
    count = observation.get("vehicles_count", 5)
    if not is_whole(count) or count < 2:
        raise ConfigError(f"{id}: observation vehicles_count is {count!r}, expected a whole number of at least 2")
    return int(count)


def steps_until(duration_s: float, dt_s: float) -> int:
    """How many decisions highway-env takes until its clock, a running sum of ``dt_s``, reaches the duration; 2**31 for never."""
    if not math.isfinite(duration_s):
        return 2**31
    clock_s, steps = 0.0, 0
    while clock_s < duration_s:
        clock_s += dt_s
        steps += 1
    return steps
