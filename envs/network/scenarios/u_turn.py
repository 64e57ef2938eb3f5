"""u-turn: a half circle past slow cars (highway_env/envs/u_turn_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane, plan_route
from envs.network.draws import draw_normal
from envs.network.geometry import place_on_lane
from envs.network.layout import BY_COMMAND, Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, clipped_speed_share, is_late, is_on_road, rescaled, reward_of, weighed
from envs.network.tables import lane_number
from envs.traffic.generator import draw_uniform
from sensors.jit import leaf

TERMS = ("collision_reward", "left_lane_reward", "high_speed_reward", "on_road_reward")
DESTINATIONS = ("d",)
EGO_SPEED_MPS = 16.0
SPREAD = 2.0
LOWEST_EXPONENT = 3.5
HIGHEST_EXPONENT = 4.5
BEGINNINGS = (
    ("a", "b", 0, 25.0, 13.5),
    ("a", "b", 1, 56.0, 14.5),
    ("b", "c", 1, 0.5, 4.5),
    ("b", "c", 0, 17.5, 5.5),
    ("c", "d", 0, 1.0, 3.5),
    ("c", "d", 1, 30.0, 5.5),
)
"""Lane, run [m] and speed [m/s] of each car, before the draws."""


class UTurn(NamedTuple):
    """What the kernels need."""

    reward: Reward
    ego_lane: int
    beginnings: NDArray[np.float64]
    """Lane, run and speed, (6, 3)."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config, network = env.config, env.road.network
    best = config["high_speed_reward"] + config["left_lane_reward"]
    params = UTurn(
        reward=reward_of(config, TERMS, config["collision_reward"], best, config["normalize_reward"]),
        ego_lane=lane_number(network, "a", "b", 0),
        beginnings=np.array([(lane_number(network, start, end, lane), run, speed) for start, end, lane, run, speed in BEGINNINGS]),
    )
    return Rulebook(TERMS, params, 1 + len(BEGINNINGS), spawn_worlds, judge_worlds)


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
    params: UTurn,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        x, y = place_on_lane(network.lanes[params.ego_lane], 0.0, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, 0.0, EGO_SPEED_MPS)
        if mine[0].driver == BY_COMMAND:
            plan_route(mine[0], network, rules, 0)
        for number in range(len(params.beginnings)):
            run = params.beginnings[number, 1] + draw_normal(episode) * SPREAD
            speed = params.beginnings[number, 2] + draw_normal(episode) * SPREAD
            car = mine[number + 1]
            place_idm_on_lane(car, network, rules, int(params.beginnings[number, 0]), run, speed)
            plan_route(car, network, rules, 0)
            if number == 0:
                car.exponent = draw_uniform(episode, LOWEST_EXPONENT, HIGHEST_EXPONENT)
        episode.vehicles = 1 + len(params.beginnings)


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: UTurn,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine, reward = cars[world, 0], outcomes[world], terms[world], params.reward
        lane = network.lanes[ego.lane]
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = lane.index / max(lane.count - 1, 1)
        mine[2] = clipped_speed_share(ego.speed_mps, reward)
        mine[3] = 1.0 if is_on_road(network, ego) else 0.0
        value = weighed(mine, reward)
        outcome.reward = (rescaled(value, reward.low, reward.high) if reward.normalize else value) * mine[3]
        outcome.terminated = ego.crashed
        outcome.truncated = is_late(episodes[world], rules)
