"""two-way: overtaking against oncoming cars (highway_env/envs/two_way_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm_on_lane
from envs.network.draws import draw_normal
from envs.network.geometry import place_on_lane
from envs.network.layout import Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, is_late, reward_of, speed_index_of, weighed
from envs.network.tables import lane_number
from sensors.jit import leaf

TERMS = ("high_speed_reward", "left_lane_reward")
SLOW_CARS = 3
ONCOMING_CARS = 2


class TwoWay(NamedTuple):
    """What the kernels need."""

    reward: Reward
    own_lane: int
    oncoming_lane: int


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    network = env.road.network
    params = TwoWay(reward_of(env.config, TERMS), lane_number(network, "a", "b", 1), lane_number(network, "b", "a", 0))
    return Rulebook(TERMS, params, 1 + SLOW_CARS + ONCOMING_CARS, spawn_worlds, judge_worlds)


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
    params: TwoWay,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        x, y = place_on_lane(network.lanes[params.own_lane], 30.0, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, 0.0, 30.0)
        for number in range(SLOW_CARS + ONCOMING_CARS):
            car = mine[number + 1]
            if number < SLOW_CARS:
                run = 70.0 + 40.0 * number + 10.0 * draw_normal(episode)
                place_idm_on_lane(car, network, rules, params.own_lane, run, 24.0 + 2.0 * draw_normal(episode))
            else:
                run = 200.0 + 100.0 * (number - SLOW_CARS) + 10.0 * draw_normal(episode)
                place_idm_on_lane(car, network, rules, params.oncoming_lane, run, 20.0 + 5.0 * draw_normal(episode))
                car.target_lane = params.oncoming_lane
            car.changes_lanes = False
        episode.vehicles = 1 + SLOW_CARS + ONCOMING_CARS


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: TwoWay,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``; on a road of one lane, where highway-env divides by zero, no lane is the left one."""
    for world in range(first, end):
        ego, outcome, mine = cars[world, 0], outcomes[world], terms[world]
        others = network.lanes[ego.lane].count - 1
        mine[0] = speed_index_of(ego, targets) / (len(targets) - 1)
        mine[1] = (others - network.lanes[ego.target_lane].index) / others if others > 0 else 0.0
        outcome.reward = weighed(mine, params.reward)
        outcome.terminated = ego.crashed
        outcome.truncated = is_late(episodes[world], rules)
