"""highway and highway-fast on the general kernels: for actions and observations that the straight highway's own lack."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import NOBODY, Network, Rules
from envs.network.scenarios.exit import EGO_SPEED_MPS, STANDING_GAP_M, foremost
from envs.network.scenarios.rulebook import (
    Reward,
    Rulebook,
    clipped_speed_share,
    is_late,
    is_on_road,
    rescaled,
    reward_of,
    rewarded_lane,
    weighed,
)
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.jit import leaf

TERMS = ("collision_reward", "right_lane_reward", "high_speed_reward", "on_road_reward")
LOWEST_EXPONENT = 3.5
HIGHEST_EXPONENT = 4.5


class Highway(NamedTuple):
    """What the kernels need."""

    reward: Reward
    lanes: int
    ego_lane: int
    """Where the ego begins; NOBODY draws it."""
    crowding: float
    ego_spacing: float
    spacing: float
    others: int
    all_look_out: bool
    """False: only the ego's collisions are looked for (highway-fast-v0)."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config = env.config
    best = config["high_speed_reward"] + config["right_lane_reward"]
    lane = config["initial_lane_id"]
    params = Highway(
        reward=reward_of(config, TERMS, config["collision_reward"], best, config["normalize_reward"]),
        lanes=int(config["lanes_count"]),
        ego_lane=NOBODY if lane is None else int(lane),
        crowding=math.exp(-5 / 40 * config["lanes_count"]),
        ego_spacing=float(config["ego_spacing"]),
        spacing=1 / float(config["vehicles_density"]),
        others=int(config["vehicles_count"]),
        all_look_out=type(env).__name__ != "HighwayEnvFast",
    )
    return Rulebook(TERMS, params, 1 + params.others, spawn_worlds, judge_worlds)


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
    params: Highway,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        lane = params.ego_lane if params.ego_lane != NOBODY else draw_choice(episode, params.lanes)
        offset = params.ego_spacing * (STANDING_GAP_M + EGO_SPEED_MPS) * params.crowding
        run = 3.0 * offset + offset * draw_uniform(episode, 0.9, 1.1)
        x, y = place_on_lane(network.lanes[lane], run, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, lane_heading(network.lanes[lane], run), EGO_SPEED_MPS)
        episode.vehicles = 1
        for number in range(1, 1 + params.others):
            lane = draw_choice(episode, params.lanes)
            limit = network.lanes[lane].speed_limit_mps
            speed = draw_uniform(episode, 0.7 * limit, 0.8 * limit)
            run = foremost(mine, episode.vehicles, network, lane)
            run += params.spacing * (STANDING_GAP_M + speed) * params.crowding * draw_uniform(episode, 0.9, 1.1)
            place_idm_on_lane(mine[number], network, rules, lane, run, speed)
            mine[number].exponent = draw_uniform(episode, LOWEST_EXPONENT, HIGHEST_EXPONENT)
            mine[number].looks_out = params.all_look_out
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
    params: Highway,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, 0], outcomes[world], terms[world], params.reward
        on_road = is_on_road(network, ego)
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = network.lanes[rewarded_lane(ego)].index / max(network.lanes[ego.lane].count - 1, 1)
        mine[2] = clipped_speed_share(ego.speed_mps * ego.cos, reward)
        mine[3] = 1.0 if on_road else 0.0
        value = weighed(mine, reward)
        outcome.reward = (rescaled(value, reward.low, reward.high) if reward.normalize else value) * mine[3]
        outcome.terminated = ego.crashed or (reward.offroad_terminal and not on_road)
        outcome.truncated = is_late(episodes[world], rules)
