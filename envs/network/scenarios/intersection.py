"""intersection: crossing traffic with right of way (highway_env/envs/intersection_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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
from sensors.jit import kernel

TERMS = ("collision_reward", "high_speed_reward", "arrived_reward", "on_road_reward")
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
    )
    decisions = int(np.ceil(config["duration"] * config["policy_frequency"]))
    return Rulebook(
        TERMS, params, count + 1 + min(decisions, 64), spawn_worlds, judge_worlds, after=turn_over_worlds, keeps_observation=True
    )


@kernel()
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


@kernel()
def remove(cars: Any, episode: Any, number: int) -> None:
    """Take a car off the list; the others keep their order."""
    for later in range(number + 1, episode.vehicles):
        cars[later - 1] = cars[later]
    if episode.ego > number:
        episode.ego -= 1
    episode.vehicles -= 1


@kernel()
def spawn_ego(cars: Any, episode: Any, network: Network, rules: Rules, targets: Any, params: Intersection) -> None:
    """Put the ego at the end of the list, and take away who is too near."""
    destination = rules.destination
    if destination == NOBODY:
        destination = 1 + draw_choice(episode, 3)
    lane = network.lanes[params.entries[0]]
    x, y = place_on_lane(lane, EGO_RUN_M + 5.0 * (1.0 + draw_normal(episode)), 0.0)
    episode.ego = episode.vehicles
    ego = cars[episode.ego]
    place_ego(ego, network, rules, targets, x, y, lane_heading(lane, EGO_RUN_M), lane.speed_limit_mps)
    if ego.driver == BY_COMMAND:
        plan_route(ego, network, rules, destination)
    episode.vehicles += 1
    for number in range(episode.vehicles - 1, -1, -1):
        if number != episode.ego and norm2(cars[number].x_m - x, cars[number].y_m - y) < APART_FROM_EGO_M:
            remove(cars, episode, number)


@kernel(nogil=True)
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
        spawn_ego(mine, episode, network, rules, targets, params)


@kernel()
def run_on_exit(network: Network, car: Any) -> float:
    """How far a car is down an exit [m]; negative infinity where it is on none."""
    lane = network.lanes[car.lane]
    return car.run_m if network.roads[lane.road].leaves else -np.inf


@kernel(nogil=True)
def turn_over_worlds(first: int, end: int, cars: Any, episodes: Any, network: Network, rules: Rules, params: Intersection) -> None:
    """See ``Rulebook.after``: who leaves goes, and somebody may come."""
    for world in range(first, end):
        mine, episode = cars[world], episodes[world]
        for number in range(episode.vehicles - 1, -1, -1):
            car = mine[number]
            leaving = run_on_exit(network, car) >= network.lanes[car.lane].length_m - LEAVING_M
            if number != episode.ego and (leaving or car.route == NOBODY):
                remove(mine, episode, number)
        spawn_car(mine, episode, network, rules, params, 0.0, 1.0, 1.0, params.probability, False)


@kernel(nogil=True)
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
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, episodes[world].ego], outcomes[world], terms[world], params.reward
        arrived = run_on_exit(network, ego) >= ARRIVED_M
        on_road = is_on_road(network, ego)
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = clipped_speed_share(ego.speed_mps, reward)
        mine[2] = 1.0 if arrived else 0.0
        mine[3] = 1.0 if on_road else 0.0
        value = (params.arrived_reward if arrived else weighed(mine, reward)) * mine[3]
        outcome.reward = rescaled(value, reward.low, reward.high) if reward.normalize else value
        outcome.terminated = ego.crashed or arrived or (reward.offroad_terminal and not on_road)
        outcome.truncated = is_late(episodes[world], rules)
