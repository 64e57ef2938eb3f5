"""A user's own scenario: an environment of highway-env's classes, for its settings and as the oracle, and the kernels that step it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.road.road import Road
from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.objects import Obstacle
from numpy.typing import NDArray

from envs.agents import check_wrapping
from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane, plan_route
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import BY_COMMAND, NOBODY, Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, clipped_speed_share, is_late, is_on_road, reward_of, rewarded_lane, weighed
from envs.network.tables import node_numbers
from envs.scenario import SETTINGS, Scenario, checked_starts
from sensors.errors import unknown_name
from sensors.jit import leaf

TERMS = ("collision_reward", "right_lane_reward", "high_speed_reward", "on_road_reward", "arrived_reward")
ARRIVED_M = 5.0
"""As far before the end of the last lane the ego counts as arrived (MetaDrive's 5 m)."""


class Own(NamedTuple):
    """What the kernels need."""

    reward: Reward


class ScenarioEnv(AbstractEnv):  # type: ignore[misc]
    """The scenario as highway-env itself would step it."""

    scenario: Scenario
    destination: str | None
    """Of the ego."""

    @classmethod
    def default_config(cls) -> dict[str, Any]:
        """highway-env's general settings and the scenario's."""  # noqa: D403
        return {**super().default_config(), **SETTINGS, "reward_speed_range": list(SETTINGS["reward_speed_range"])}

    def _reset(self) -> None:
        network = self.scenario.network()
        connected = self.config["neighbour_vehicles_connected_lanes"]
        self.road = Road(network=network, np_random=self.np_random, neighbour_vehicles_connected_lanes=connected)
        self.controlled_vehicles = []
        for number, start in enumerate(checked_starts(self.scenario, self.scenario.starts(self.np_random), network)):
            lane = network.get_lane(start.lane)
            kind = IDMVehicle if number else self.action_type.vehicle_class
            car = kind(self.road, lane.position(start.run_m, 0.0), heading=lane.heading_at(start.run_m), speed=start.speed_mps)
            if start.destination is not None and hasattr(car, "plan_route_to"):
                car.plan_route_to(start.destination)
            if number:
                car.enable_lane_change = start.changes_lanes
                car.target_speed = start.speed_mps if start.target_speed_mps is None else start.target_speed_mps
            else:
                self.controlled_vehicles.append(car)
                self.destination = start.destination
            self.road.vehicles.append(car)
        self.road.objects.extend(Obstacle(self.road, place) for place in self.scenario.obstacles)

    def _reward(self, action: Any) -> float:
        return float(sum(self.config[name] * value for name, value in self._rewards(action).items()))

    def _rewards(self, action: Any) -> dict[str, float]:
        ego = self.vehicle
        lane = getattr(ego, "target_lane_index", None) or ego.lane_index
        lanes = len(self.road.network.graph[ego.lane_index[0]][ego.lane_index[1]])
        low, high = self.config["reward_speed_range"]
        speed = np.clip((ego.speed - low) / (high - low), 0, 1)
        values = (ego.crashed, lane[2] / max(lanes - 1, 1), speed, ego.on_road, self.has_arrived())
        return {name: float(value) for name, value in zip(TERMS, values, strict=True)}

    def has_arrived(self) -> bool:
        """Is the ego at the end of a road to its destination?"""
        ego = self.vehicle
        run = ego.lane.local_coordinates(ego.position)[0]
        return bool(ego.lane_index[1] == self.destination and run >= ego.lane.length - ARRIVED_M)

    def _is_terminated(self) -> bool:
        return bool(self.vehicle.crashed or self.has_arrived() or (self.config["offroad_terminal"] and not self.vehicle.on_road))

    def _is_truncated(self) -> bool:
        return bool(self.time >= self.config["duration"])


def environment_of(scenario: Scenario, settings: Mapping[str, Any]) -> ScenarioEnv:
    """The scenario as highway-env would step it, with changed settings.

    Raises:
        ConfigError: There is no such setting, or it asks for several agents.
    """
    known = ScenarioEnv.default_config()
    changed = dict(scenario.settings) | dict(settings)
    for key in changed:
        if key not in known:
            raise unknown_name(f"setting of scenario {scenario.name}", str(key), known)
    for part in (name for name in ("action", "observation") if name in changed):
        check_wrapping(f"scenario {scenario.name}", part, changed[part])
    kind = type("ScenarioEnv", (ScenarioEnv,), {"scenario": scenario})
    env: ScenarioEnv = kind(config=changed)
    return env


def rulebook_of(env: ScenarioEnv) -> Rulebook:
    """Read it from the scenario's environment."""
    scenario, lanes = env.scenario, list(env.road.network.lanes_dict())
    nodes = list(node_numbers(env.road.network))

    def spawn(
        first: int,
        end: int,
        cars: NDArray[Any],
        episodes: NDArray[Any],
        network: Network,
        rules: Rules,
        targets: NDArray[np.float64],
        fixtures: NDArray[Any],
        params: Own,
        seeds: NDArray[np.int64],
        where: NDArray[np.bool_],
    ) -> None:
        """See ``Rulebook.spawn``; the starts are drawn in Python."""
        for world in range(first, end):
            if where[world]:
                begin(cars[world], episodes[world], rules, fixtures, seeds[world])
                starts = checked_starts(scenario, draw_with(episodes, world, scenario.starts), env.road.network)
                for number, start in enumerate(starts):
                    goal = NOBODY if start.destination is None else nodes.index(start.destination)
                    wanted = start.speed_mps if start.target_speed_mps is None else start.target_speed_mps
                    place_start(
                        cars[world],
                        episodes[world],
                        network,
                        rules,
                        targets,
                        number,
                        lanes.index(tuple(start.lane)),
                        float(start.run_m),
                        float(start.speed_mps),
                        float(wanted),
                        goal,
                        bool(start.changes_lanes),
                    )

    reward = reward_of(env.config, TERMS)
    return Rulebook(TERMS, Own(reward), scenario.most_cars, spawn, judge_worlds)


def draw_with(episodes: NDArray[Any], world: int, draw: Callable[[np.random.Generator], Any]) -> Any:
    """Let a function draw from a world's generator."""
    episode, bits = episodes[world], np.random.PCG64(0)
    numbers = {name: int(episode[name]) for name in episode.dtype.names}
    bits.state = {
        "bit_generator": "PCG64",
        "state": {
            "state": numbers["state_high"] << 64 | numbers["state_low"],
            "inc": numbers["increment_high"] << 64 | numbers["increment_low"],
        },
        "has_uint32": numbers["has_buffered"],
        "uinteger": numbers["buffered"],
    }
    drawn = draw(np.random.Generator(bits))
    after: Any = bits.state
    low = (1 << 64) - 1
    episodes["state_high"][world], episodes["state_low"][world] = after["state"]["state"] >> 64, after["state"]["state"] & low
    episodes["has_buffered"][world], episodes["buffered"][world] = after["has_uint32"], after["uinteger"]
    return drawn


@leaf()
def place_start(
    cars: Any,
    episode: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    number: int,
    lane: int,
    run: float,
    speed: float,
    wanted: float,
    goal: int,
    changes_lanes: bool,
) -> None:
    """Put a car where it begins.

    Args:
        cars: The world's records.
        episode: Its EPISODE record.
        network: The road network.
        rules: What all worlds share.
        targets: Set speeds of the ego [m/s].
        number: Which car; 0 is the ego.
        lane: Where.
        run: How far along it [m].
        speed: Its speed [m/s].
        wanted: What an IDM driver wants [m/s].
        goal: Node that it is to reach, or NOBODY.
        changes_lanes: May MOBIL change its lane?
    """
    car = cars[number]
    if number == 0:
        x, y = place_on_lane(network.lanes[lane], run, 0.0)
        place_ego(car, network, rules, targets, x, y, lane_heading(network.lanes[lane], run), speed)
        episode.goal = goal
    else:
        place_idm_on_lane(car, network, rules, lane, run, speed)
        car.target_speed_mps = wanted
        car.changes_lanes = changes_lanes
    if goal != NOBODY and car.driver <= BY_COMMAND:
        plan_route(car, network, rules, goal)
    episode.vehicles = number + 1


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Own,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine = cars[world, 0], outcomes[world], terms[world]
        lane, on_road = network.lanes[ego.lane], is_on_road(network, ego)
        there = network.roads[lane.road].end == episodes[world].goal
        arrived = there and ego.run_m >= lane.length_m - ARRIVED_M
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = network.lanes[rewarded_lane(ego)].index / max(lane.count - 1, 1)
        mine[2] = clipped_speed_share(ego.speed_mps, params.reward)
        mine[3] = 1.0 if on_road else 0.0
        mine[4] = 1.0 if arrived else 0.0
        outcome.reward = weighed(mine, params.reward)
        outcome.terminated = ego.crashed or arrived or (params.reward.offroad_terminal and not on_road)
        outcome.truncated = is_late(episodes[world], rules)
