"""racetrack, racetrack-large and racetrack-oval: keeping a lane among others (highway_env/envs/racetrack_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import STRAIGHT, Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, is_late, is_on_road, rescaled, reward_of
from envs.network.tables import lane_number, road_pairs
from envs.traffic.elementary import norm2
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.jit import leaf

TERMS = ("lane_centering_reward", "action_reward", "collision_reward", "on_road_reward")
APART_M = 20.0


class Racetrack(NamedTuple):
    """What the kernels need."""

    reward: Reward
    centering_cost: float
    ends_off_road: bool
    ego_lanes: int
    """Lanes on which the ego may begin."""
    start: int
    """First lane of the road on which it begins."""
    following: int
    """First lane of the road after it, where the first other car begins."""
    others: int
    starts: NDArray[np.int32]
    """First road and number of roads from every node, (N, 2)."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config, network = env.config, env.road.network
    pairs = road_pairs(network)
    firsts = [next(number for number, pair in enumerate(pairs) if pair[0] == node) for node in network.graph]
    params = Racetrack(
        reward=reward_of(config, TERMS, config["collision_reward"], 1.0, True),
        centering_cost=float(config["lane_centering_cost"]),
        ends_off_road=bool(config["terminate_off_road"]),
        ego_lanes=int(config.get("no_lanes", 2)),
        start=lane_number(network, "a", "b", 0),
        following=lane_number(network, "b", "c", 0),
        others=int(config["other_vehicles"]),
        starts=np.array([(first, len(network.graph[node])) for first, node in zip(firsts, network.graph, strict=True)], np.int32),
    )
    return Rulebook(TERMS, params, 1 + max(params.others, 0), spawn_worlds, judge_worlds, weighs_efforts=True)


@leaf()
def draw_lane(episode: Any, network: Network, starts: Any) -> int:
    """A random lane (RoadNetwork.random_lane_index)."""
    node = draw_choice(episode, len(starts))
    road = network.roads[starts[node, 0] + draw_choice(episode, starts[node, 1])]
    return road.first_lane + draw_choice(episode, road.lanes)


@leaf()
def spawn_other(cars: Any, episode: Any, network: Network, rules: Rules, lane: int, length: float) -> None:
    """A car somewhere along a lane, at 6 to 9 m/s; it is not counted yet."""
    run = draw_uniform(episode, 0.0, length)
    place_idm_on_lane(cars[episode.vehicles], network, rules, lane, run, 6.0 + draw_uniform(episode, 0.0, 3.0))


@leaf()
def has_room(cars: Any, vehicles: int) -> bool:
    """Is the car after the last one 20 m or more from all before it?"""
    for number in range(vehicles):
        if norm2(cars[vehicles].x_m - cars[number].x_m, cars[vehicles].y_m - cars[number].y_m) < APART_M:
            return False
    return True


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
    params: Racetrack,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        index = draw_choice(episode, params.ego_lanes)
        lane = network.lanes[params.start + index]
        run = draw_uniform(episode, 20.0, 50.0)
        x, y = place_on_lane(lane, run, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, lane_heading(lane, run), lane.speed_limit_mps)
        episode.vehicles = 1
        if params.others > 0:
            spawn_other(mine, episode, network, rules, params.following + index, network.lanes[params.following].length_m)
            episode.vehicles = 2
            for _ in range(draw_choice(episode, params.others)):
                number = draw_lane(episode, network, params.starts)
                spawn_other(mine, episode, network, rules, number, network.lanes[number].length_m)
                if has_room(mine, episode.vehicles):
                    episode.vehicles += 1


@leaf()
def sum_as_given(centering: float, effort: Any, crash: float, reward: Reward, kind: Any) -> float:
    """The weighed terms in the actions' own precision: on straight lanes highway-env's offsets are Python's floats, which take it over."""
    value = kind(reward.weights[0] * centering) + kind(reward.weights[1]) * effort
    return float(kind(value + kind(reward.weights[2] * crash)))


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Racetrack,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, 0], outcomes[world], terms[world], params.reward
        offset = ego.offset_m
        on_road = is_on_road(network, ego)
        centering = 1.0 / (1.0 + params.centering_cost * (offset * offset))
        mine[0] = centering
        mine[1] = efforts[world]
        mine[2] = 1.0 if ego.crashed else 0.0
        mine[3] = 1.0 if on_road else 0.0
        kind = efforts.dtype.type
        if network.lanes[ego.lane].kind == STRAIGHT:
            value = sum_as_given(centering, efforts[world], mine[2], reward, kind)
        else:
            value = reward.weights[0] * centering + kind(reward.weights[1]) * efforts[world] + reward.weights[2] * mine[2]
        value += reward.weights[3] * mine[3]
        outcome.reward = rescaled(value, reward.low, reward.high) * mine[3]
        outcome.terminated = ego.crashed or (params.ends_off_road and not on_road)
        outcome.truncated = is_late(episodes[world], rules)
