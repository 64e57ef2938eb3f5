"""Random settings that highway-env can run, for every id and every key that changes an episode: what parity is tried on.

Each drawn setting is one that people give: whole or half numbers as often as odd ones, each key left alone more often than not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from envs.agents import ACTION, FAMILY, OBSERVATION

Draws = np.random.Generator
Settings = dict[str, Any]

CHANGED = 0.35
"""Share of an id's settings that are drawn anew."""
PARTS_CHANGED = 0.6
"""Share of draws with another action, and of those with another observation."""
UNCHANGED = frozenset(
    {
        "action",
        "observation",
        "controlled_vehicles",
        "other_vehicles_type",
        "manual_control",
        "screen_width",
        "screen_height",
        "centering_position",
        "scaling",
        "show_trajectories",
        "render_agent",
        "offscreen_rendering",
        "real_time_rendering",
    }
)
"""Pictures, other drivers, and what is drawn apart."""
FEATURES = ("presence", "x", "y", "vx", "vy", "heading", "cos_h", "sin_h", "cos_d", "sin_d", "long_off", "lat_off", "ang_off")
GRID_FEATURES = (*FEATURES, "on_road")
GOAL_FEATURES = ("presence", "x", "y", "vx", "vy", "cos_h", "sin_h")
CARS_AT_MOST = 20


def _chance(draws: Draws, share: float = 0.5) -> bool:
    return bool(draws.random() < share)


def _one(draws: Draws, *values: Any) -> Any:
    return values[int(draws.integers(len(values)))]


def _number(draws: Draws, low: float, high: float) -> float | int:
    """Whole, of one decimal, or any."""
    value = float(draws.uniform(low, high))
    rounded = _one(draws, round(value), round(value, 1), value)
    return rounded if low <= rounded <= high else value


def _rising(draws: Draws, low: float, high: float, least: float = 1.0) -> list[float | int]:
    first = _number(draws, low, high - least)
    return [first, first + max(least, _number(draws, 0.0, high - first))]


def _some(draws: Draws, names: tuple[str, ...]) -> list[str]:
    """Some of the names, in any order."""
    return [names[number] for number in draws.permutation(len(names))[: int(draws.integers(1, len(names) + 1))]]


def _flag(draws: Draws, settings: Mapping[str, Any]) -> bool:
    return _chance(draws)


def _weight(draws: Draws, settings: Mapping[str, Any]) -> float | int:
    return _number(draws, -2.0, 2.0)


def _lane(draws: Draws, settings: Mapping[str, Any]) -> Any:
    return _one(draws, None, *range(settings["lanes_count"]))


Drawer = Callable[[Draws, Mapping[str, Any]], Any]
DRAWERS: dict[str, Drawer] = {
    "lanes_count": lambda draws, settings: int(draws.integers(1, 7)),
    "vehicles_count": lambda draws, settings: int(draws.integers(0, CARS_AT_MOST + 1)),
    "initial_vehicle_count": lambda draws, settings: int(draws.integers(0, 16)),
    "other_vehicles": lambda draws, settings: int(draws.integers(0, 7)),
    "initial_lane_id": _lane,
    "duration": lambda draws, settings: _number(draws, 2.0, 20.0),
    "ego_spacing": lambda draws, settings: _number(draws, 0.0, 4.0),
    "vehicles_density": lambda draws, settings: max(0.2, _number(draws, 0.2, 4.0)),
    "spawn_probability": lambda draws, settings: _number(draws, 0.0, 1.0),
    "destination": lambda draws, settings: _one(draws, "o0", "o1", "o2", "o3", None),
    "incoming_vehicle_destination": lambda draws, settings: _one(draws, 0, 1, 2, None),
    "roundabout_lanes": lambda draws, settings: int(draws.integers(1, 5)),
    "roundabout_radius": lambda draws, settings: _number(draws, 12.0, 60.0),
    "before_merge_length": lambda draws, settings: _number(draws, 80.0, 250.0),
    "converge_merge_length": lambda draws, settings: _number(draws, 20.0, 150.0),
    "parallel_merge_length": lambda draws, settings: _number(draws, 20.0, 150.0),
    "after_merge_length": lambda draws, settings: _number(draws, 90.0, 250.0),
    "length": lambda draws, settings: _number(draws, 40.0, 200.0),
    "no_lanes": lambda draws, settings: int(draws.integers(2, 7)),
    "speed_limit": lambda draws, settings: _number(draws, 3.0, 25.0),
    "lane_centering_cost": lambda draws, settings: _number(draws, 0.0, 8.0),
    "state_noise": lambda draws, settings: _number(draws, 0.0, 0.2),
    "derivative_noise": lambda draws, settings: _number(draws, 0.0, 0.2),
    "reward_weights": lambda draws, settings: [_number(draws, 0.0, 1.0) for _ in range(6)],
    "reward_speed_range": lambda draws, settings: _rising(draws, -5.0, 35.0),
    "steering_range": lambda draws, settings: _number(draws, 0.1, 1.0),
    "success_goal_reward": lambda draws, settings: _number(draws, 0.0, 1.0),
    "left_lane_constraint": _weight,
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
        _weight,
    ),
    **dict.fromkeys(
        (
            "add_walls",
            "block_lane",
            "force_decision",
            "neighbour_vehicles_connected_lanes",
            "normalize_reward",
            "offroad_terminal",
            "terminate_off_road",
        ),
        _flag,
    ),
}
"""How each setting is drawn, by its key; given the settings drawn before it."""


def drawn_settings(id: str, defaults: Mapping[str, Any], draws: Draws) -> Settings:
    """Draw changes to an id's settings.

    Args:
        id: An id.
        defaults: All its settings (``envs.reference_config.defaults_of``).
        draws: What draws.

    Returns:
        The changes, by highway-env's keys; plain lists, numbers and strings, so that JSON carries them.
    """
    changes: Settings = {}
    for key in DRAWERS:
        if key in defaults and _chance(draws, CHANGED):
            changes[key] = DRAWERS[key](draws, dict(defaults) | changes)
    changes |= _drawn_clocks(id, defaults, draws)
    _fit(id, defaults, changes, draws)
    several = id.startswith(FAMILY) and ("multi-agent" in id or _chance(draws, 0.2))
    if several:
        changes["controlled_vehicles"] = int(draws.integers(1, 6))
    if several != ("multi-agent" in id) or _chance(draws, PARTS_CHANGED):
        action = _drawn_action(id, draws)
        changes["action"] = {"type": ACTION, "action_config": action} if several else action
    given = changes.get("action", defaults["action"])
    meta = given.get("action_config", given)["type"] == "DiscreteMetaAction"
    usual = defaults["observation"].get("observation_config", defaults["observation"])["type"]
    if several != ("multi-agent" in id) or _chance(draws, PARTS_CHANGED) or (usual == "TimeToCollision" and not meta):
        observation = _drawn_observation(id, meta, draws)
        changes["observation"] = {"type": OBSERVATION, "observation_config": observation} if several else observation
    return changes


def _drawn_clocks(id: str, defaults: Mapping[str, Any], draws: Draws) -> Settings:
    """Rates of simulation and of decisions that go together."""
    changes: Settings = {}
    if _chance(draws):
        rates = (4, 5, 6, 8, 10, 12, 15, 20) if id.startswith(FAMILY) else (3, 4, 5, 7.5, 8, 10, 12, 15, 20)
        changes["simulation_frequency"] = _one(draws, *rates)
    fastest = changes.get("simulation_frequency", defaults["simulation_frequency"])
    if _chance(draws) or defaults["policy_frequency"] > fastest:
        changes["policy_frequency"] = _one(draws, *(rate for rate in (0.5, 1, 1.5, 2, 3, 4, 5, 7, 10, 15) if rate <= fastest))
    return changes


def _fit(id: str, defaults: Mapping[str, Any], changes: Settings, draws: Draws) -> None:
    """Change what highway-env cannot run together: rewards mapped by an empty range, lanes that a car cannot begin on."""
    from envs.settings import LOWEST_AND_HIGHEST

    if id.startswith("exit") and changes.get("lanes_count") == 1:
        changes["lanes_count"] = 7
    if changes.get("initial_lane_id") is not None and changes["initial_lane_id"] >= changes.get("lanes_count", defaults["lanes_count"]):
        changes["initial_lane_id"] = None
    complete = dict(defaults) | changes
    for family, (lowest, highest, more) in LOWEST_AND_HIGHEST.items():
        if id.startswith(family) and sum(complete[name] for name in lowest) >= sum(complete[name] for name in highest) + more:
            changes["collision_reward"] = -7


def _drawn_action(id: str, draws: Draws) -> Settings:
    """Another action that the id can take."""
    kinds = ["ContinuousAction", "DiscreteAction"]
    if not id.startswith(("racetrack", "lane-keeping")):
        kinds += ["DiscreteMetaAction"] * 3
    kind = _one(draws, *kinds)
    axes = _one(draws, {}, {}, {"longitudinal": False, "lateral": True}, {"longitudinal": True, "lateral": False})
    action: Settings = {"type": kind} | axes
    if kind == "DiscreteMetaAction":
        if _chance(draws, 0.7):
            steps = [_number(draws, 0.5, 12.0) for _ in range(int(draws.integers(1, 5)))]
            speeds = np.cumsum([_number(draws, -2.0, 20.0), *steps])
            action["target_speeds"] = sorted({float(speed) if _chance(draws) else round(float(speed), 1) for speed in speeds})
        return action
    if id.startswith("lane-keeping") or _chance(draws, 0.3):
        action["dynamical"] = True
    if _chance(draws):
        action["acceleration_range"] = _rising(draws, -8.0, 8.0)
    if _chance(draws):
        action["steering_range"] = _rising(draws, -1.2, 1.2, 0.2)
    if _chance(draws, 0.3):
        action["clip"] = _chance(draws)
    if kind == "DiscreteAction":
        if _chance(draws):
            action["actions_per_axis"] = int(draws.integers(2, 7))
    elif _chance(draws, 0.4):
        action["speed_range"] = _rising(draws, -10.0, 30.0)
    return action


def _drawn_observation(id: str, meta: bool, draws: Draws) -> Settings:
    """Another observation that the id can give."""
    kinds: list[Callable[[Draws], Settings]] = [_kinematics, _kinematics, _grid, _beams]
    if meta:
        kinds.append(_meetings)
    if id.startswith("exit"):
        kinds += [lambda draws: _kinematics(draws) | {"type": "ExitObservation"}] * 2
    if id.startswith("parking"):
        kinds += [_goal] * 2
    if id.startswith("lane-keeping"):
        kinds += [_attributes] * 3
    drawn: Settings = _one(draws, *kinds)(draws)
    return drawn


def _kinematics(draws: Draws) -> Settings:
    observation: Settings = {"type": "Kinematics"}
    if _chance(draws, 0.8):
        observation["features"] = _some(draws, FEATURES)
    if _chance(draws, 0.6):
        observation["vehicles_count"] = int(draws.integers(2, 25))
    if _chance(draws, 0.4):
        observation["features_range"] = {name: _rising(draws, -100.0, 100.0) for name in _some(draws, FEATURES)[:5]}
    if _chance(draws, 0.3):
        observation["order"] = _one(draws, "sorted", "shuffled")
    for name in ("absolute", "normalize", "clip", "see_behind", "observe_intentions", "include_obstacles", "flatten"):
        if _chance(draws, 0.4):
            observation[name] = _chance(draws)
    return observation


def _grid(draws: Draws) -> Settings:
    observation: Settings = {"type": "OccupancyGrid"}
    if _chance(draws, 0.7):
        observation["features"] = _some(draws, GRID_FEATURES)
    if _chance(draws, 0.6):
        observation["grid_size"] = [_rising(draws, -40.0, 40.0, 10.0), _rising(draws, -40.0, 40.0, 10.0)]
    if _chance(draws, 0.6):
        observation["grid_step"] = [max(1.0, _number(draws, 1.0, 8.0)), max(1.0, _number(draws, 1.0, 8.0))]
    if _chance(draws, 0.4):
        observation["features_range"] = {name: _rising(draws, -100.0, 100.0) for name in _some(draws, ("x", "y", "vx", "vy"))}
    for name in ("align_to_vehicle_axes", "clip", "as_image"):
        if _chance(draws, 0.4):
            observation[name] = _chance(draws)
    return observation


def _beams(draws: Draws) -> Settings:
    observation: Settings = {"type": "LidarObservation"}
    if _chance(draws, 0.7):
        observation["cells"] = int(draws.integers(1, 65))
    if _chance(draws, 0.6):
        observation["maximum_range"] = _number(draws, 5.0, 150.0)
    if _chance(draws, 0.4):
        observation["normalize"] = _chance(draws)
    return observation


def _meetings(draws: Draws) -> Settings:
    return {"type": "TimeToCollision", "horizon": _number(draws, 2.0, 15.0)} if _chance(draws, 0.8) else {"type": "TimeToCollision"}


def _goal(draws: Draws) -> Settings:
    features = _some(draws, GOAL_FEATURES)
    return {"type": "KinematicsGoal", "features": features, "scales": [_number(draws, 1.0, 100.0) for _ in features], "normalize": False}


def _attributes(draws: Draws) -> Settings:
    return {"type": "AttributesObservation", "attributes": _some(draws, ("state", "derivative", "reference_state"))}


def drawn_length(settings: Mapping[str, Any], draws: Draws, longest_s: float, most: int) -> int:
    """How many decisions to make, so that an episode lasts a while, also past its end."""
    wanted = float(draws.uniform(0.5, 1.0)) * longest_s * float(settings["policy_frequency"])
    return max(3, min(most, math.ceil(wanted)))
