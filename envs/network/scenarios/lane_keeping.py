"""lane-keeping: steering a car on tyres along a sine (highway_env/envs/lane_keeping_env.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from envs.network.batch import begin
from envs.network.cars import place_ego
from envs.network.geometry import is_on, lane_frame, lane_heading, place_on_lane
from envs.network.layout import Network, Rules
from envs.network.scenarios.rulebook import Rulebook, is_late
from envs.network.tables import lane_number
from envs.traffic.generator import draw_uniform
from sensors.jit import leaf

EGO_RUN_M = 50.0
EGO_OFFSET_M = -4.0
EGO_SPEED_MPS = 8.3
NUMBERS = 4
"""Of a noisy attribute."""


class LaneKeeping(NamedTuple):
    """What the kernels need."""

    first_lane: int
    second_lane: int
    unseen_draws: int
    """Draws that highway-env makes for observations which it throws away while it resets."""


def rulebook_of(env: Any) -> Rulebook:
    """Read it from a highway-env environment."""
    network = env.road.network
    noisy = [name for name in env.config["observation"].get("attributes", ()) if name in ("state", "derivative")]
    first, second = lane_number(network, "c", "d", 0), lane_number(network, "a", "b", 0)
    params = LaneKeeping(first, second, 2 * NUMBERS * len(noisy))
    return Rulebook(
        (),
        params,
        1,
        spawn_worlds,
        judge_worlds,
        before=keep_lane,
        observes_first=True,
        keeps_observation=True,
        has_autopilot=False,
    )


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
    params: LaneKeeping,
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
        x, y = place_on_lane(lane, EGO_RUN_M, EGO_OFFSET_M)
        place_ego(mine[0], network, rules, targets, x, y, lane_heading(lane, 0.0), EGO_SPEED_MPS)
        episode.vehicles = 1
        episode.kept_lane, episode.next_kept_lane = params.first_lane, params.second_lane
        for _ in range(params.unseen_draws):
            draw_uniform(episode, 0.0, 1.0)


@leaf(nogil=True)
def keep_lane(first: int, end: int, cars: Any, episodes: Any, network: Network) -> None:
    """See ``Rulebook.before``: a car that left the lane to keep is to keep the next one."""
    for world in range(first, end):
        ego, episode = cars[world, 0], episodes[world]
        run, offset = lane_frame(network.lanes[episode.kept_lane], ego.x_m, ego.y_m)
        if not is_on(network.lanes[episode.kept_lane], run, offset, 0.0):
            episode.kept_lane = episode.next_kept_lane


@leaf(nogil=True)
def judge_worlds(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    params: LaneKeeping,
    actions: Any,
    efforts: Any,
    outcomes: Any,
    terms: Any,
) -> None:
    """See ``Rulebook.judge``."""
    for world in range(first, end):
        ego, outcome = cars[world, 0], outcomes[world]
        lane = network.lanes[episodes[world].kept_lane]
        share = lane_frame(lane, ego.x_m, ego.y_m)[1] / lane.width_m
        outcome.reward = 1.0 - share * share
        outcome.terminated = False
        outcome.truncated = is_late(episodes[world], rules)
