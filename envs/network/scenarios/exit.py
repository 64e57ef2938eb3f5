"""exit: leaving a highway by its rightmost lane (highway_env/envs/exit_env.py)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane, plan_route
from envs.network.draws import draw_weighted
from envs.network.geometry import lane_frame, lane_heading, place_on_lane
from envs.network.layout import Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, clipped_speed_share, is_late, rescaled, reward_of, rewarded_lane, weighed
from envs.network.tables import lane_number
from envs.traffic.elementary import clip
from envs.traffic.generator import draw_uniform
from sensors.jit import leaf

TERMS = ("collision_reward", "goal_reward", "high_speed_reward", "right_lane_reward")
DESTINATIONS = ("3",)
EGO_SPEED_MPS = 25.0
STANDING_GAP_M = 12.0


class Exit(NamedTuple):
    """What the kernels need."""

    reward: Reward
    first_lane: int
    exit_lane: int
    """Beside the highway, which leads to the ramp."""
    ramp: int
    crowding: float
    """exp(-5 / 40 lanes): cars stand closer on wider roads."""
    ego_spacing: float
    spacing: float
    others: int
    cumulated: NDArray[np.float64]
    """Share of cars up to each lane: the further right the more."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config, network = env.config, env.road.network
    lanes = np.arange(config["lanes_count"])
    cumulated = (lanes / lanes.sum()).cumsum() if lanes.sum() else np.ones(1)
    params = Exit(
        reward=reward_of(config, TERMS, config["collision_reward"], config["goal_reward"], config["normalize_reward"]),
        first_lane=lane_number(network, "0", "1", 0),
        exit_lane=lane_number(network, "1", "2", config["lanes_count"]),
        ramp=lane_number(network, "2", "exit", 0),
        crowding=math.exp(-5 / 40 * config["lanes_count"]),
        ego_spacing=float(config["ego_spacing"]),
        spacing=1 / float(config["vehicles_density"]),
        others=int(config["vehicles_count"]),
        cumulated=cumulated / cumulated[-1],
    )
    return Rulebook(TERMS, params, 1 + params.others, spawn_worlds, judge_worlds)


@leaf()
def foremost(cars: Any, vehicles: int, network: Network, lane: int) -> float:
    """Largest run of a car along a lane [m]."""
    run = -math.inf
    for number in range(vehicles):
        run = max(run, lane_frame(network.lanes[lane], cars[number].x_m, cars[number].y_m)[0])
    return run


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
    params: Exit,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        lane = network.lanes[params.first_lane]
        offset = params.ego_spacing * (STANDING_GAP_M + EGO_SPEED_MPS) * params.crowding
        run = 3.0 * offset + offset * draw_uniform(episode, 0.9, 1.1)
        x, y = place_on_lane(lane, run, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, lane_heading(lane, run), EGO_SPEED_MPS)
        episode.vehicles = 1
        for _ in range(params.others):
            number = params.first_lane + draw_weighted(episode, params.cumulated)
            speed = network.lanes[number].speed_limit_mps
            run = foremost(mine, episode.vehicles, network, number)
            run += params.spacing * (STANDING_GAP_M + speed) * params.crowding * draw_uniform(episode, 0.9, 1.1)
            car = mine[episode.vehicles]
            place_idm_on_lane(car, network, rules, number, run, speed)
            plan_route(car, network, rules, 0)
            car.changes_lanes = False
            episode.vehicles += 1


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Exit,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, 0], outcomes[world], terms[world], params.reward
        lane = rewarded_lane(ego)
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = 1.0 if lane == params.exit_lane or lane == params.ramp else 0.0
        mine[2] = clipped_speed_share(ego.speed_mps, reward)
        mine[3] = network.lanes[lane].index
        value = weighed(mine, reward)
        outcome.reward = clip(rescaled(value, reward.low, reward.high), 0.0, 1.0) if reward.normalize else value
        outcome.terminated = ego.crashed
        outcome.truncated = is_late(episodes[world], rules)
