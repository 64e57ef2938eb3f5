"""merge and merge-generic: a highway that a ramp joins (highway_env/envs/merge_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from envs.network.batch import begin
from envs.network.cars import place_ego, place_idm
from envs.network.geometry import place_on_lane
from envs.network.layout import BY_COMMAND, NOBODY, Network, Rules
from envs.network.scenarios.rulebook import Reward, Rulebook, changes_lane, is_late, rescaled, reward_of, speed_share, weighed
from envs.network.tables import lane_number
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.jit import leaf

TERMS = ("collision_reward", "right_lane_reward", "high_speed_reward", "lane_change_reward", "merging_speed_reward")
END_M = 370.0
EGO_RUN_M = 30.0
EGO_SPEED_MPS = 30.0
RAMP_SPEED_MPS = 20.0
RAMP_WANTED_MPS = 30.0
SAFE_M = 15.0
TRIES = 10


class Merge(NamedTuple):
    """What the kernels need."""

    reward: Reward
    highway: int
    """First lane of the highway before the ramp."""
    lanes: int
    ego_lane: int
    ramp: int
    """Lane on which the merging car begins."""
    slow_lane: int
    """Cars on it that are slower than they want cost; NOBODY if there is no such lane."""
    end_m: float
    others: int
    """Other cars of the generic merge; NOBODY for the fixed three."""
    spread_m: float
    """Where those begin at most."""
    ramp_run_m: float


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config, network = env.config, env.road.network
    generic = "parallel_merge_length" in config
    lanes = config["lanes_count"] if generic else 2
    before = [config[f"{part}_merge_length"] for part in ("before", "converge", "parallel")] if generic else []
    reward = reward_of(
        config,
        TERMS,
        config["collision_reward"] + config["merging_speed_reward"],
        config["high_speed_reward"] + config["right_lane_reward"],
        True,
    )
    params = Merge(
        reward=reward,
        highway=lane_number(network, "a", "b", 0),
        lanes=lanes,
        ego_lane=lane_number(network, "a", "b", lanes - 1),
        ramp=lane_number(network, "j", "k", 0),
        slow_lane=lane_number(network, "b", "c", 2) if ("b", "c", 2) in network.lanes_dict() else NOBODY,
        end_m=float(env.end_position) if generic else END_M,
        others=config["vehicles_count"] if generic else NOBODY,
        spread_m=float(sum(before)),
        ramp_run_m=EGO_RUN_M + 30.0 if generic else 110.0,
    )
    return Rulebook(TERMS, params, (config["vehicles_count"] if generic else 3) + 2, spawn_worlds, judge_worlds, weighs_actions=True)


@leaf()
def place_on_highway(car: Any, network: Network, rules: Rules, lane: int, run: float, speed: float) -> None:
    """A new car on the highway, heading along x."""
    x, y = place_on_lane(network.lanes[lane], run, 0.0)
    place_idm(car, network, rules, x, y, 0.0, speed)


@leaf()
def spawn_three(cars: Any, episode: Any, network: Network, rules: Rules, merge: Merge) -> None:
    """The three cars of merge."""
    for number in range(3):
        lane = merge.highway + draw_choice(episode, 2)
        run = (90.0 if number == 0 else 70.0 if number == 1 else 5.0) + draw_uniform(episode, -5.0, 5.0)
        speed = (29.0 if number == 0 else 31.0 if number == 1 else 31.5) + draw_uniform(episode, -1.0, 1.0)
        place_on_highway(cars[episode.vehicles], network, rules, lane, run, speed)
        episode.vehicles += 1


@leaf()
def spawn_many(cars: Any, episode: Any, network: Network, rules: Rules, merge: Merge) -> None:
    """The cars of merge-generic: each tries ten places, and is left out if all are too near to another on the same lane."""
    for _ in range(merge.others):
        for _try in range(TRIES):
            lane = draw_choice(episode, merge.lanes)
            run = draw_uniform(episode, 0.0, merge.spread_m)
            if is_free(cars, episode.vehicles, network.lanes[merge.highway + lane], run):
                speed = 30.0 + draw_uniform(episode, -2.0, 2.0)
                place_on_highway(cars[episode.vehicles], network, rules, merge.highway + lane, run, speed)
                episode.vehicles += 1
                break


@leaf()
def is_free(cars: Any, vehicles: int, lane: Any, run: float) -> bool:
    """Is a run on a lane more than 15 m from every car there? The highway begins at 0 and heads along x, so that runs are exactly x."""
    for number in range(vehicles):
        if cars[number].y_m == lane.start_y_m and not abs(run - cars[number].x_m) > SAFE_M:
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
    merge: Merge,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    for world in range(first, end):
        if not where[world]:
            continue
        mine, episode = cars[world], episodes[world]
        begin(mine, episode, rules, fixtures, seeds[world])
        x, y = place_on_lane(network.lanes[merge.ego_lane], EGO_RUN_M, 0.0)
        place_ego(mine[0], network, rules, targets, x, y, 0.0, EGO_SPEED_MPS)
        episode.vehicles = 1
        if merge.others == NOBODY:
            spawn_three(mine, episode, network, rules, merge)
        else:
            spawn_many(mine, episode, network, rules, merge)
        place_on_highway(mine[episode.vehicles], network, rules, merge.ramp, merge.ramp_run_m, RAMP_SPEED_MPS)
        mine[episode.vehicles].target_speed_mps = RAMP_WANTED_MPS
        episode.vehicles += 1


@leaf()
def slowness_on_ramp(cars: Any, vehicles: int, lane: int) -> float:
    """How much slower than they want the cars on a lane are, as a share of what they want, summed."""
    total = 0.0
    for number in range(vehicles):
        car = cars[number]
        if car.lane == lane and car.driver <= BY_COMMAND:
            total += (car.target_speed_mps - car.speed_mps) / car.target_speed_mps
    return total


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    merge: Merge,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome, mine = cars[world, 0], outcomes[world], terms[world]
        mine[0] = 1.0 if ego.crashed else 0.0
        mine[1] = network.lanes[ego.lane].index
        mine[2] = speed_share(ego.speed_mps, merge.reward)
        mine[3] = 1.0 if changes_lane(actions[world]) else 0.0
        mine[4] = slowness_on_ramp(cars[world], episodes[world].vehicles, merge.slow_lane)
        outcome.reward = rescaled(weighed(mine, merge.reward), merge.reward.low, merge.reward.high)
        outcome.terminated = ego.crashed or ego.x_m > merge.end_m
        outcome.truncated = is_late(episodes[world], rules)
