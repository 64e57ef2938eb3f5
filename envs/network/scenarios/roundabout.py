"""roundabout and roundabout-generic: entering, circling and leaving (highway_env/envs/roundabout_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane, plan_route
from envs.network.draws import draw_normal
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import BY_COMMAND, NOBODY, Network, Rules
from envs.network.scenarios.rulebook import (
    Reward,
    Rulebook,
    changes_lane,
    is_late,
    is_on_road,
    rescaled,
    reward_of,
    speed_index_of,
    weighed,
)
from envs.network.tables import lane_number, road_number
from envs.traffic.elementary import norm2
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.jit import leaf

TERMS = ("collision_reward", "high_speed_reward", "lane_change_reward", "on_road_reward")
DESTINATIONS = ("exr", "sxr", "nxr", "wxr", "nxs")
EGO_DESTINATION = 4
GENERIC_ROADS = (("we", "sx"), ("sx", "se"), ("ee", "nx"), ("nx", "ne"), ("eer", "ees"), ("ner", "nes"), ("wer", "wes"))
LAST_SPEED_INDEX = 2.0
EGO_SPEED_MPS = 8.0
SPEED_MPS = 16.0
GENERIC_SPEED_MPS = 14.0
SPREAD = 2.0
SAFE_M = 7.0
TRIES = 10
LOWEST_EXPONENT = 3.5
HIGHEST_EXPONENT = 4.5


class Roundabout(NamedTuple):
    """What the kernels need."""

    reward: Reward
    ego_lane: int
    ego_run_m: float
    ego_heading_run_m: float
    circle: int
    """Lanes before the southern exit: where the incoming cars begin."""
    entry: int
    """Lane from the east."""
    destination: int
    """Of the incoming car, or of all in the generic roundabout; NOBODY draws it."""
    others: int
    """Other cars of the generic roundabout; NOBODY for the fixed four."""
    roads: NDArray[np.int32]
    """Where those begin."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config, network = env.config, env.road.network
    generic = "roundabout_lanes" in config
    ego_lane = lane_number(network, "ser", "ses", 0)
    run = float(network.get_lane(("ser", "ses", 0)).length - 2.5) if generic else 125.0
    chosen = config["incoming_vehicle_destination"]
    params = Roundabout(
        reward=reward_of(config, TERMS, config["collision_reward"], config["high_speed_reward"], config["normalize_reward"]),
        ego_lane=ego_lane,
        ego_run_m=run,
        ego_heading_run_m=run if generic else 140.0,
        circle=lane_number(network, "we", "sx", 0),
        entry=lane_number(network, "eer", "ees", 0),
        destination=NOBODY if chosen is None else int(chosen),
        others=config["vehicles_count"] if generic else NOBODY,
        roads=np.asarray([road_number(network, *road) for road in GENERIC_ROADS], np.int32),
    )
    return Rulebook(TERMS, params, 1 + (config["vehicles_count"] if generic else 4), spawn_worlds, judge_worlds, weighs_actions=True)


@leaf()
def send_off(car: Any, episode: Any, network: Network, rules: Rules, destination: int, choices: int) -> None:
    """Plan a new car's route, to a drawn destination if none is given, and draw how it drives."""
    if destination == NOBODY:
        destination = draw_choice(episode, choices)
    plan_route(car, network, rules, destination)
    car.exponent = draw_uniform(episode, LOWEST_EXPONENT, HIGHEST_EXPONENT)
    episode.vehicles += 1


@leaf()
def spawn_four(cars: Any, episode: Any, network: Network, rules: Rules, params: Roundabout) -> None:
    """The cars of roundabout: one incoming, two beside it, one entering."""
    for number in range(4):
        lane = params.circle + 1 if number == 0 else params.entry if number == 3 else params.circle
        run = 5.0 if number == 0 else 20.0 if number == 1 else -20.0 if number == 2 else 50.0
        run += draw_normal(episode) * SPREAD
        speed = SPEED_MPS + draw_normal(episode) * SPREAD
        car = cars[episode.vehicles]
        place_idm_on_lane(car, network, rules, lane, run, speed)
        send_off(car, episode, network, rules, params.destination if number == 0 else NOBODY, 3)


@leaf()
def spawn_many(cars: Any, episode: Any, network: Network, rules: Rules, params: Roundabout) -> None:
    """The cars of roundabout-generic: each tries ten places, and is left out if all are too near to where another began."""
    for _ in range(params.others):
        for _try in range(TRIES):
            road = network.roads[params.roads[draw_choice(episode, len(params.roads))]]
            lane = road.first_lane + draw_choice(episode, road.lanes)
            run = draw_uniform(episode, 5.0, max(5.0, network.lanes[lane].length_m - 5.0))
            x, y = place_on_lane(network.lanes[lane], run, 0.0)
            if is_near_another(cars, episode.vehicles, x, y, SAFE_M):
                continue
            car = cars[episode.vehicles]
            place_idm_on_lane(car, network, rules, lane, run, GENERIC_SPEED_MPS + draw_normal(episode) * SPREAD)
            send_off(car, episode, network, rules, params.destination, 4)
            break


@leaf()
def is_near_another(cars: Any, vehicles: int, x: float, y: float, distance: float) -> bool:
    """Is a point nearer than some distance to a car?"""
    for number in range(vehicles):
        if norm2(x - cars[number].x_m, y - cars[number].y_m) < distance:
            return True
    return False


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
    params: Roundabout,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        lane = network.lanes[params.ego_lane]
        x, y = place_on_lane(lane, params.ego_run_m, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, lane_heading(lane, params.ego_heading_run_m), EGO_SPEED_MPS)
        if mine[0].driver == BY_COMMAND:
            plan_route(mine[0], network, rules, EGO_DESTINATION)
        episode.vehicles = 1
        if params.others == NOBODY:
            spawn_four(mine, episode, network, rules, params)
        else:
            spawn_many(mine, episode, network, rules, params)


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Roundabout,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, 0], outcomes[world], terms[world], params.reward
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = speed_index_of(ego, targets) / LAST_SPEED_INDEX
        mine[2] = 1.0 if changes_lane(actions[world]) else 0.0
        mine[3] = 1.0 if is_on_road(network, ego) else 0.0
        value = weighed(mine, reward)
        outcome.reward = (rescaled(value, reward.low, reward.high) if reward.normalize else value) * mine[3]
        outcome.terminated = ego.crashed
        outcome.truncated = is_late(episodes[world], rules)
