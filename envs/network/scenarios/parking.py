"""parking, parking-ActionRepeat and parking-parked: reaching a spot (highway_env/envs/parking_env.py)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.batch import begin
from envs.network.cars import place, place_ego
from envs.network.geometry import lane_heading, place_on_lane
from envs.network.layout import BY_WHEEL, LANDMARK, Network, Rules
from envs.network.scenarios.rulebook import Rulebook, is_late
from envs.traffic import libm
from envs.traffic.elementary import PI
from envs.traffic.generator import draw_choice, draw_uniform
from sensors.jit import kernel, leaf

SCALES = (100.0, 100.0, 5.0, 5.0, 1.0, 1.0)
"""Of x, y, vx, vy, cos and sin of the heading, in the distance to the goal."""
PARKED_RUN_M = 4.0


class Parking(NamedTuple):
    """What the kernels need."""

    weights: NDArray[np.float64]
    success: float
    """A distance below it is a success."""
    collision_weight: float
    parked: int


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    config = env.config
    params = Parking(
        np.asarray(config["reward_weights"], np.float64),
        float(config["success_goal_reward"]),
        float(config["collision_reward"]),
        int(config["vehicles_count"]),
    )
    return Rulebook((), params, 1 + params.parked, spawn_worlds, judge_worlds, has_autopilot=False)


@leaf()
def draw_spot(episode: Any, taken: Any) -> int:
    """A free spot, drawn evenly; it is then taken."""
    free = 0
    for lane in range(len(taken)):
        free += 0 if taken[lane] else 1
    number = draw_choice(episode, free)
    for lane in range(len(taken)):
        if not taken[lane]:
            if number == 0:
                taken[lane] = True
                return lane
            number -= 1
    return -1


@leaf()
def set_goal(car: Any, network: Network, lane: int) -> None:
    """Put the goal in the middle of a spot."""
    car.x_m, car.y_m = place_on_lane(network.lanes[lane], network.lanes[lane].length_m / 2.0, 0.0)
    car.heading_rad = network.lanes[lane].heading_rad
    car.cos, car.sin = libm.cosine_sine(car.heading_rad)


@leaf()
def spawn(mine: Any, episode: Any, network: Network, rules: Rules, targets: Any, taken: Any) -> None:
    """Put the ego, the goal and the parked cars into a world whose episode has begun.

    Args:
        mine: The world's records.
        episode: Its EPISODE record.
        network: The road network.
        rules: What all worlds share.
        targets: Set speeds of the ego [m/s].
        taken: Room to note which spots are taken, (lanes,).
    """
    for lane in range(len(taken)):
        taken[lane] = False
    place_ego(mine[0], network, rules, targets, 0.0, 0.0, 2.0 * PI * draw_uniform(episode, 0.0, 1.0), 0.0)
    taken[mine[0].lane] = True
    episode.vehicles = 1
    for thing in range(rules.room, len(mine)):
        if mine[thing].driver == LANDMARK:
            episode.goal = thing
            set_goal(mine[thing], network, draw_spot(episode, taken))
    while episode.vehicles < rules.room:
        lane = draw_spot(episode, taken)
        x, y = place_on_lane(network.lanes[lane], PARKED_RUN_M, 0.0)
        car = mine[episode.vehicles]
        place(car, network.lanes, x, y, lane_heading(network.lanes[lane], PARKED_RUN_M), 0.0)
        car.driver = BY_WHEEL
        episode.vehicles += 1


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
    params: Parking,
    seeds: Any,
    where: Any,
) -> None:
    """See ``Rulebook.spawn``."""
    taken = np.empty(len(network.lanes), np.bool_)
    for world in range(first, end):
        if where[world]:
            begin(cars[world], episodes[world], rules, fixtures, seeds[world])
            spawn(cars[world], episodes[world], network, rules, targets, taken)


@leaf()
def goal_distance(car: Any, goal: Any, weights: Any) -> float:
    """Weighted distance of a car from its goal (ParkingEnv.compute_reward with p = 0.5)."""
    total = weights[0] * abs(car.x_m / SCALES[0] - goal.x_m / SCALES[0])
    total += weights[1] * abs(car.y_m / SCALES[1] - goal.y_m / SCALES[1])
    total += weights[2] * abs(car.speed_mps * car.cos / SCALES[2])
    total += weights[3] * abs(car.speed_mps * car.sin / SCALES[3])
    total += weights[4] * abs(car.cos - goal.cos)
    total += weights[5] * abs(car.sin - goal.sin)
    return math.sqrt(total)


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: Parking,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome = cars[world, 0], outcomes[world]
        distance = goal_distance(ego, cars[world, episodes[world].goal], params.weights)
        outcome.reward = -distance + params.collision_weight * (1.0 if ego.crashed else 0.0)
        outcome.terminated = ego.crashed or distance < params.success
        outcome.truncated = is_late(episodes[world], rules)
