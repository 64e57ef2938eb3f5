"""One environment of highway-env, watched: its vehicles after every substep, and its ego handed to an autopilot and back.

highway-env's own ``step`` runs unchanged. Positions here are still highway-env's (y right); the scene flips them.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import highway_env  # noqa: F401  registers its ids
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from highway_env.envs.common.action import DiscreteMetaAction, MultiAgentAction
from highway_env.envs.common.observation import MultiAgentObservation
from highway_env.envs.lane_keeping_env import LaneKeepingEnv
from highway_env.envs.parking_env import ParkingEnv
from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.controller import ControlledVehicle, MDPVehicle
from highway_env.vehicle.dynamics import BicycleVehicle
from highway_env.vehicle.kinematics import Vehicle
from highway_env.vehicle.objects import RoadObject

from envs.agents import REWARDS, TERMINATED
from sensors.errors import ConfigError
from sensors.road import Floats
from sensors.scene import Kind

AUTOPILOT_SPEED_MPS = 30.0
COLUMNS = ("x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_radps", "length_m", "width_m")
"""Floats of one actor; what is not a float follows as KIND, LANE_CHANGE (1 to the left) and CRASHED."""
KIND, LANE_CHANGE, CRASHED = range(len(COLUMNS), len(COLUMNS) + 3)


class AutopilotVehicle(IDMVehicle):  # type: ignore[misc]
    """The ego as IDM and MOBIL drive it, with the speed index that some observations and rewards ask an ego for."""

    target_speeds = MDPVehicle.DEFAULT_TARGET_SPEEDS
    index_to_speed = MDPVehicle.index_to_speed
    speed_to_index = MDPVehicle.speed_to_index

    @property
    def speed_index(self) -> int:
        """The allowed speed nearest to its own."""
        return int(self.speed_to_index(self.speed))


@dataclass(frozen=True)
class Step:
    """What one call of highway-env's ``step`` gave."""

    reward: float
    terminated: bool
    truncated: bool
    terms: dict[str, Any]
    """Numbers; of several agents also a tuple for each of ``envs.agents``' names."""
    substeps: list[Floats]
    """Actors after every substep."""


def environment_class(id: str) -> tuple[Any, int | None]:
    """The class behind an id, and gymnasium's limit on its decisions, if any."""
    spec = gymnasium.spec(id)
    return load_env_creator(str(spec.entry_point)), spec.max_episode_steps


def made(cls: type, config: dict[str, Any]) -> Any:
    """Build an environment; two classes take no configuration, and three refuse ``render_mode``, which is never passed."""
    if "config" in inspect.signature(cls).parameters:
        return cls(config=copy.deepcopy(config))
    env = cls()
    env.configure(copy.deepcopy(config))
    env.define_spaces()
    return env


class Episode:
    """One environment and what must be remembered beside it. Copies deeply, and then goes on identically."""

    def __init__(self, id: str, config: dict[str, Any]) -> None:
        cls, self.limit = environment_class(id)
        self.env = made(cls, config)
        self.observation: Any = None
        self.seed = 0
        self.substeps = 0
        self.decisions = 0
        self.last_action: Floats = np.zeros(0)
        self.actors: Floats = np.zeros((0, CRASHED + 1))
        self._manual: dict[int, Any] = {}  # agents that the autopilot replaced, by number

    def reset(self, seed: int | None) -> None:
        """Start again: from a seed, or going on with the environment's own generator."""
        self.observation, _ = self.env.reset(seed=seed)  # its info holds an unseeded action: not used
        self.substeps = self.decisions = 0
        self.last_action = np.zeros(action_width(actor_of(self.env).space()))
        self._manual = {}
        self.actors = actors_of(self.env)

    def step(self, action: Any) -> Step:
        """Advance one decision, past an end too; under autopilot the action is ignored.

        Args:
            action: The ego's, or a tuple of all agents'.
        """
        several = isinstance(self.env.action_type, MultiAgentAction)
        given = [idle_action(self.env) if agent in self._manual else one for agent, one in enumerate(action if several else (action,))]
        action = tuple(given) if several else given[0]
        with self._watched() as substeps:
            self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.actors = substeps[-1] = actors_of(self.env)  # the intersection removes and spawns vehicles after its last substep
        self.substeps += len(substeps)
        self.decisions += 1
        self.last_action = action_numbers(actor_of(self.env).space(), given[0])
        late = self.limit is not None and self.decisions >= self.limit
        terms: dict[str, Any] = {name: float(value) for name, value in info.get("rewards", {}).items()}
        if several:
            terms |= _told_of_agents(self.env, info, float(reward))
        return Step(float(reward), bool(terminated), bool(truncated) or late, terms, substeps)

    @contextmanager
    def _watched(self) -> Iterator[list[Floats]]:
        """Note the actors after every substep, by a wrapper around the road's ``step`` for the while, and silence who is piloted."""
        env, substeps = self.env, list[Floats]()
        road_step = env.road.step

        def watched_step(dt: float) -> None:
            road_step(dt)
            substeps.append(actors_of(env))

        env.road.step = watched_step
        silent = [actor_of(env, agent) for agent in self._manual]
        for actor in silent:
            actor.act = lambda action: None
        try:
            yield substeps
        finally:
            del env.road.step
            for actor in silent:
                del actor.act

    def hand_over(self, autopilot: bool, agent: int = 0) -> None:
        """Put the right kind of car on the road for an agent, in the same place of the list and the same state of motion."""
        car = self.env.controlled_vehicles[agent]
        if autopilot and agent not in self._manual:
            self._manual[agent] = car
            self._replace(agent, autopilot_of(self.env, car))
        elif not autopilot and agent in self._manual:
            self._replace(agent, resumed(self._manual.pop(agent), car))

    def _replace(self, agent: int, new: Any) -> None:
        env = self.env
        old, vehicles = env.controlled_vehicles[agent], env.road.vehicles
        vehicles[next(index for index, vehicle in enumerate(vehicles) if vehicle is old)] = new
        env.controlled_vehicles[agent] = new
        if isinstance(env.action_type, MultiAgentAction):
            actor_of(env, agent).controlled_vehicle = new
        if isinstance(env.observation_type, MultiAgentObservation):
            env.observation_type.agents_observation_types[agent].observer_vehicle = new


def _told_of_agents(env: Any, info: dict[str, Any], reward: float) -> dict[str, Any]:
    """Each agent's reward and end; outside intersections highway-env has no such thing: all get the reward, and crashed ones are done."""
    if REWARDS in info:
        return {name: info[name] for name in (REWARDS, TERMINATED)}
    agents = env.controlled_vehicles
    return {REWARDS: (reward,) * len(agents), TERMINATED: tuple(bool(agent.crashed) for agent in agents)}


def _copy_motion(source: Any, target: Any) -> None:
    target.position, target.heading, target.speed = source.position.copy(), source.heading, source.speed
    target.lane_index, target.lane = source.lane_index, source.lane
    target.action, target.impact, target.crashed = dict(source.action), source.impact, source.crashed
    target.check_collisions, target.collidable, target.solid = source.check_collisions, source.collidable, source.solid


def autopilot_of(env: Any, ego: Any) -> AutopilotVehicle:
    """An IDM and MOBIL driver in an agent's place.

    Raises:
        ConfigError: The id has no road to follow for such a driver (parking), or needs a car with tyre dynamics (lane keeping).
    """
    if isinstance(env, (LaneKeepingEnv, ParkingEnv)):
        raise ConfigError(f"{type(env).__name__} has no autopilot: IDM and MOBIL follow lanes in traffic; drive it by actions")
    pilot = AutopilotVehicle(
        env.road,
        ego.position,
        heading=ego.heading,
        speed=ego.speed,
        target_lane_index=getattr(ego, "target_lane_index", None),
        target_speed=AUTOPILOT_SPEED_MPS,
        route=list(ego.route) if getattr(ego, "route", None) else None,
    )
    pilot.target_speeds = getattr(ego, "target_speeds", MDPVehicle.DEFAULT_TARGET_SPEEDS)
    _copy_motion(ego, pilot)
    if pilot.route is None and env.config.get("destination"):
        pilot.plan_route_to(env.config["destination"])
    return pilot


def resumed(manual: Any, pilot: AutopilotVehicle) -> Any:
    """The earlier ego where the autopilot has brought it."""
    _copy_motion(pilot, manual)
    if isinstance(manual, BicycleVehicle):
        manual.lateral_speed, manual.yaw_rate = 0.0, 0.0
    if isinstance(manual, ControlledVehicle):
        manual.target_lane_index, manual.route = pilot.target_lane_index, pilot.route
    if isinstance(manual, MDPVehicle):
        manual.speed_index = int(manual.speed_to_index(manual.speed))
        manual.target_speed = manual.index_to_speed(manual.speed_index)
    return manual


def actor_of(env: Any, agent: int = 0) -> Any:
    """The action type of one agent; of the ego where there is no other."""
    return env.action_type.agents_action_types[agent] if isinstance(env.action_type, MultiAgentAction) else env.action_type


def action_width(space: spaces.Space[Any]) -> int:
    """How many numbers say an action: one per discrete choice, or the size of a continuous one."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(space.shape[0])  # type: ignore[index]


def action_names(env: Any) -> tuple[str, ...]:
    """Names of an agent's discrete actions in order; none where they have no names."""
    action_type = actor_of(env)
    return tuple(action_type.actions[i] for i in range(len(action_type.actions))) if isinstance(action_type, DiscreteMetaAction) else ()


def idle_action(env: Any) -> Any:
    """The action that does nothing: what an autopilot's steps are charged for in rewards that look at the action."""
    space = actor_of(env).space()
    if isinstance(space, spaces.Discrete):
        names = action_names(env)
        return names.index("IDLE") if names else int(space.n) // 2
    return np.zeros(space.shape, np.float32)


def action_numbers(space: spaces.Space[Any], action: Any) -> Floats:
    """An action as the scene carries it: one-hot, or its numbers."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(np.arange(int(space.n)) == int(action), np.float64)
    return np.asarray(action, np.float64).reshape(-1)


def actors_of(env: Any) -> Floats:
    """Everything solid on the road: the agents, the other vehicles in highway-env's order, then obstacles, (A, CRASHED + 1)."""
    agents = env.controlled_vehicles
    others = [vehicle for vehicle in env.road.vehicles if not any(vehicle is agent for agent in agents)]
    solid = [thing for thing in env.road.objects if thing.solid]
    dt_s = 1 / env.config["simulation_frequency"]
    return np.array([_vehicle_row(vehicle, dt_s) for vehicle in (*agents, *others)] + [_obstacle_row(thing) for thing in solid], np.float64)


def _vehicle_row(vehicle: Vehicle, dt_s: float) -> tuple[float, ...]:
    acceleration = float(vehicle.action["acceleration"])
    return (
        *vehicle.position,
        vehicle.heading,
        vehicle.speed,
        acceleration,
        _yaw_rate_radps(vehicle, dt_s),
        vehicle.LENGTH,
        vehicle.WIDTH,
        int(Kind.CAR),
        _lane_change(vehicle),
        bool(vehicle.crashed),
    )


def _yaw_rate_radps(vehicle: Vehicle, dt_s: float) -> float:
    """As the last substep turned it: highway-env's bicycle model turns by the speed before the substep."""
    if isinstance(vehicle, BicycleVehicle):
        return float(vehicle.yaw_rate)
    slip = np.arctan(0.5 * np.tan(vehicle.action["steering"]))
    speed_before = vehicle.speed - vehicle.action["acceleration"] * dt_s
    return float(speed_before * np.sin(slip) / (vehicle.LENGTH / 2))


def _lane_change(vehicle: Vehicle) -> int:
    target, lane = getattr(vehicle, "target_lane_index", None), vehicle.lane_index
    if target is None or lane is None or target[:2] != lane[:2] or target[2] is None:
        return 0
    return int(np.sign(lane[2] - target[2]))


def _obstacle_row(thing: RoadObject) -> tuple[float, ...]:
    still = (0.0, 0.0, 0.0)
    return (*thing.position, thing.heading, *still, thing.LENGTH, thing.WIDTH, int(Kind.OBSTACLE), 0, bool(thing.crashed))
