"""intersection: crossing traffic with right of way (highway_env/envs/intersection_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.agents import number_of
from envs.network.batch import advance, begin
from envs.network.cars import place_ego, place_idm_on_lane, plan_route
from envs.network.draws import draw_normal, draw_pair
from envs.network.driving import decide
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import BY_COMMAND, NOBODY, Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, clipped_speed_share, is_late, is_on_road, rescaled, reward_of, weighed
from envs.network.tables import lane_number
from envs.traffic.elementary import norm2
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.errors import ConfigError
from sensors.jit import leaf

TERMS = ("collision_reward", "high_speed_reward", "arrived_reward", "on_road_reward")
ARRIVED = TERMS.index("arrived_reward")
DESTINATIONS = ("o0", "o1", "o2", "o3")
WARM_UP_S = 3
EGO_RUN_M = 60.0
CHALLENGER_RUN_M = 60.0
FARTHEST_RUN_M = 80.0
ARRIVED_M = 25.0
LEAVING_M = 20.0
SPEED_MPS = 8.0
APART_M = 15.0
APART_FROM_EGO_M = 20.0
LOWEST_EXPONENT = 3.5
HIGHEST_EXPONENT = 4.5


class Intersection(NamedTuple):
    """What the kernels need."""

    reward: Reward
    arrived_reward: float
    entries: NDArray[np.int32]
    """Lanes that lead in, from the south, west, north and east."""
    runs_m: NDArray[np.float64]
    """Where the first cars begin."""
    probability: float
    """Of a newcomer after each decision."""
    warm_up: int
    """Substeps before the ego appears."""
    tells_agents: bool
    """Is there room for each agent's reward and end behind the terms?"""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment.

    Raises:
        ConfigError: No car is to be there at first, or the destination is no exit.
    """
    config, network = env.config, env.road.network
    count = config["initial_vehicle_count"]
    if config["destination"] and config["destination"] not in DESTINATIONS:
        raise ConfigError(f"intersection: destination is {config['destination']!r}, expected one of {', '.join(DESTINATIONS)} or None")
    params = Intersection(
        reward=reward_of(config, TERMS, config["collision_reward"], config["arrived_reward"], config["normalize_reward"]),
        arrived_reward=float(config["arrived_reward"]),
        entries=np.array([lane_number(network, f"o{corner}", f"ir{corner}", 0) for corner in range(4)], np.int32),
        runs_m=np.linspace(0, FARTHEST_RUN_M, count)[: max(count - 1, 0)],
        probability=float(config["spawn_probability"]),
        warm_up=WARM_UP_S * int(config["simulation_frequency"]),
        tells_agents=number_of(config) is not None,
    )
    decisions = int(np.ceil(config["duration"] * config["policy_frequency"]))
    room = count + config["controlled_vehicles"] + min(decisions, 64)
    return Rulebook(TERMS, params, room, spawn_worlds, judge_worlds, after=turn_over_worlds, keeps_observation=True)


@leaf()
def spawn_car(
    cars: Any,
    episode: Any,
    network: Network,
    rules: Rules,
    params: Intersection,
    run: float,
    spread: float,
    speed_spread: float,
    probability: float,
    straight: bool,
) -> None:
    """Let a newcomer drive in, if chance and the others leave it room (IntersectionEnv._spawn_vehicle).

    Args:
        cars: The world's records.
        episode: Its EPISODE record.
        network: The road network.
        rules: What all worlds share.
        params: Of the scenario.
        run: Where it begins, more or less [m].
        spread: Deviation of that [m].
        speed_spread: Deviation of its speed [m/s].
        probability: That it comes.
        straight: Does it cross straight?
    """
    if draw_uniform(episode, 0.0, 1.0) > probability:
        return
    origin, destination = draw_pair(episode, 4)
    if straight:
        destination = (origin + 2) % 4
    run = run + 5.0 + draw_normal(episode) * spread
    car = cars[episode.vehicles]
    place_idm_on_lane(car, network, rules, params.entries[origin], run, SPEED_MPS + draw_normal(episode) * speed_spread)
    for number in range(episode.vehicles):
        if norm2(cars[number].x_m - car.x_m, cars[number].y_m - car.y_m) < APART_M:
            return
    plan_route(car, network, rules, destination)
    car.exponent = draw_uniform(episode, LOWEST_EXPONENT, HIGHEST_EXPONENT)
    episode.vehicles += 1


@leaf()
def remove(cars: Any, episode: Any, number: int) -> None:
    """Take a car off the list; the others keep their order."""
    for later in range(number + 1, episode.vehicles):
        cars[later - 1] = cars[later]
    if episode.ego > number:
        episode.ego -= 1
    episode.vehicles -= 1


@leaf()
def spawn_agent(cars: Any, episode: Any, network: Network, rules: Rules, targets: Any, params: Intersection, agent: int) -> None:
    """Put an agent at the end of the list, behind those before it, and take away who is too near and no agent."""
    destination = rules.destination
    if destination == NOBODY:
        destination = 1 + draw_choice(episode, 3)
    lane = network.lanes[params.entries[agent % 4]]
    x, y = place_on_lane(lane, EGO_RUN_M + 5.0 * (1.0 + draw_normal(episode)), 0.0)
    car = cars[episode.vehicles]
    place_ego(car, network, rules, targets, x, y, lane_heading(lane, EGO_RUN_M), lane.speed_limit_mps)
    if car.driver == BY_COMMAND:
        plan_route(car, network, rules, destination)
    episode.vehicles += 1
    for number in range(episode.ego - 1, -1, -1):
        if norm2(cars[number].x_m - x, cars[number].y_m - y) < APART_FROM_EGO_M:
            remove(cars, episode, number)


@leaf(nogil=True)
def spawn_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    fixtures: Any,
    params: Intersection,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        for number in range(len(params.runs_m)):
            spawn_car(mine, episode, network, rules, params, params.runs_m[number], 1.0, 1.0, 0.6, False)
        for _ in range(params.warm_up):
            decide(mine, episode.vehicles, rules.room, network)
            advance(mine, episode, network, rules)
        spawn_car(mine, episode, network, rules, params, CHALLENGER_RUN_M, 0.1, 0.0, 1.0, True)
        episode.ego = episode.vehicles
        for agent in range(rules.agents):
            spawn_agent(mine, episode, network, rules, targets, params, agent)


@leaf()
def run_on_exit(network: Network, car: Any) -> float:
    """How far a car is down an exit [m]; negative infinity where it is on none."""
    lane = network.lanes[car.lane]
    return car.run_m if network.roads[lane.road].leaves else -np.inf


@leaf(nogil=True)
def turn_over_worlds(first: int, end: int, cars: Any, episodes: Any, network: Network, rules: Rules, params: Intersection) -> None:
    """See ``Rulebook.after``: who leaves goes, and somebody may come."""
    for world in range(first, end):
        mine, episode = cars[world], episodes[world]
        for number in range(episode.vehicles - 1, -1, -1):
            car = mine[number]
            leaving = run_on_exit(network, car) >= network.lanes[car.lane].length_m - LEAVING_M
            is_agent = episode.ego <= number < episode.ego + rules.agents
            if not is_agent and (leaving or car.route == NOBODY):
                remove(mine, episode, number)
        spawn_car(mine, episode, network, rules, params, 0.0, 1.0, 1.0, params.probability, False)


@leaf()
def judge_agent(network: Network, car: Any, params: Intersection, terms: Any) -> float:
    """The reward of one agent (IntersectionEnv._agent_reward); its terms are written, (T,)."""
    reward = params.reward
    terms[0] = 1.0 if car.crashed else 0.0
    terms[1] = clipped_speed_share(car.speed_mps, reward)
    terms[ARRIVED] = 1.0 if run_on_exit(network, car) >= ARRIVED_M else 0.0
    terms[3] = 1.0 if is_on_road(network, car) else 0.0
    value = (params.arrived_reward if terms[ARRIVED] > 0.0 else weighed(terms, reward)) * terms[3]
    return rescaled(value, reward.low, reward.high) if reward.normalize else value


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Intersection,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``; the terms are means over the agents, whose own rewards and ends follow them."""
    agents, count = rules.agents, len(params.reward.weights)
    for world in range(first, end):
        episode, outcome, mine = episodes[world], outcomes[world], terms[world]
        sums = (0.0, 0.0, 0.0, 0.0)
        total, crashed, arrived = 0.0, False, True
        for agent in range(agents):
            car = cars[world, episode.ego + agent]
            value = judge_agent(network, car, params, mine)
            has_arrived = mine[ARRIVED] > 0.0
            total += value
            crashed, arrived = crashed or car.crashed, arrived and has_arrived
            sums = (sums[0] + mine[0], sums[1] + mine[1], sums[2] + mine[2], sums[3] + mine[3])
            if params.tells_agents:
                mine[count + agent] = value
                mine[count + agents + agent] = 1.0 if car.crashed or has_arrived else 0.0
        mine[0], mine[1], mine[2], mine[3] = sums[0] / agents, sums[1] / agents, sums[2] / agents, sums[3] / agents
        outcome.reward = total / agents
        off_road = not is_on_road(network, cars[world, episode.ego])
        outcome.terminated = crashed or arrived or (params.reward.offroad_terminal and off_road)
        outcome.truncated = is_late(episode, rules)
