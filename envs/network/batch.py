"""The kernels that step worlds on a network. Each world is stepped alone, so results do not depend on batch or threads.

Stepping takes nearly all of the time and is shared by threads; spawning, judging and observing are the scenarios' own, of all worlds from
one to before another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.network.cars import hand_over
from envs.network.collisions import collide_all
from envs.network.driving import decide, take_command
from envs.network.layout import BY_COMMAND, LANDMARK, NOBODY, OBSTACLE, Network, Rules
from envs.network.motion import move
from envs.network.regulation import enforce_rules
from envs.traffic.atomics import DONE, await_all, fetch_add, take
from envs.traffic.generator import following_seed, seed_generator
from sensors.jit import leaf


@leaf()
def advance(cars: Any, episode: Any, network: Network, rules: Rules) -> None:
    """One substep of one world after its cars decided: rules of the road, motion, collisions."""
    episode.road_steps += 1
    if rules.regulation > 0 and episode.road_steps % rules.regulation == 0:
        enforce_rules(cars, episode.vehicles, network)
    for number in range(episode.vehicles):
        move(cars[number], network.lanes, rules.substep_s)
    collide_all(cars, episode.vehicles, rules.room, rules.substep_s)


@leaf()
def take_controls(cars: Any, episode: Any, agents: int, substep: int, forced: Any, controls: Any) -> None:
    """Let somebody else's hands be on the wheel of some cars for a substep.

    Args:
        cars: The world's records.
        episode: Its EPISODE record.
        agents: How many agents it has.
        substep: Which one of the decision.
        forced: Which actors, in the order of the scene, (A,).
        controls: Acceleration [m/s2] and steering [rad, to the right], (substeps, A, 2).
    """
    for actor in range(episode.vehicles):
        if forced[actor]:
            car = cars[number_of_actor(episode.ego, actor, agents)]
            car.acceleration_mps2 = controls[substep, actor, 0]
            car.steering_rad = controls[substep, actor, 1]


@leaf()
def number_of_actor(ego: int, actor: int, agents: int) -> int:
    """Which record an actor of the scene has: the agents come first there, and in highway-env's list only mostly."""
    if actor < agents:
        return ego + actor
    return actor if actor >= ego + agents else actor - agents


@leaf()
def take_actions(
    world: int, cars: Any, episode: Any, network: Network, rules: Rules, targets: Any, actions: Any, controls: Any, autopilot: Any
) -> None:
    """Let the agents of a world act, one after the other; arguments as for ``step_share``."""
    for agent in range(rules.agents):
        car, place = cars[episode.ego + agent], world * rules.agents + agent
        hand_over(car, network, rules, targets, autopilot[place])
        if autopilot[place]:
            pass
        elif car.driver == BY_COMMAND:
            take_command(network, car, actions[place], targets)
        else:
            car.acceleration_mps2, car.steering_rad = controls[place, 0], controls[place, 1]


@leaf()
def step_world(
    world: int,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    actions: Any,
    controls: Any,
    autopilot: Any,
    forced: Any,
    forced_controls: Any,
    trace: Any,
    vehicles: Any,
    opening: int,
    closing: int,
) -> None:
    """One decision of one world, or some of its substeps; arguments as for ``step_share``."""
    mine, episode = cars[world], episodes[world]
    if opening == 0:
        take_actions(world, mine, episode, network, rules, targets, actions, controls, autopilot)
    for substep in range(opening, closing):
        decide(mine, episode.vehicles, rules.room, network)
        if forced.shape[0] > 0:
            take_controls(mine, episode, rules.agents, substep, forced[world], forced_controls[:, world])
        advance(mine, episode, network, rules)
        if substep < trace.shape[0]:
            vehicles[substep, world] = episode.vehicles
            for number in range(len(mine)):
                trace[substep, world, number] = mine[number]
    episode.substeps += closing - opening
    if closing == rules.substeps:
        episode.decisions += 1
        episode.clock_s += rules.decision_s


@leaf(nogil=True)
def step_share(
    share: Any,
    bell: Any,
    cars: Any,
    episodes: Any,
    network: Network,
    rules: Rules,
    targets: Any,
    actions: Any,
    controls: Any,
    autopilot: Any,
    forced: Any,
    forced_controls: Any,
    trace: Any,
    vehicles: Any,
    opening: int,
    closing: int,
) -> None:
    """One decision of some worlds, or some of its substeps.

    Args:
        share: Which worlds, shared with other threads; see ``envs.traffic.atomics``.
        bell: Rung at the start, (1,) int64; (0,) calls nobody.
        cars: CAR records, (B, A).
        episodes: EPISODE records, (B,).
        network: The road network.
        rules: What all worlds share.
        targets: Set speeds of the agents [m/s].
        actions: Meta-actions, (B * N,), those of a world's N agents one after the other; taken where they are driven by commands.
        controls: Acceleration [m/s2] and steering [rad] of the agents, (B * N, 2); taken where they are driven by the wheel.
        autopilot: Where an IDMVehicle drives an agent, (B * N,).
        forced: Actors whose controls are somebody else's, (B, A), or (0, 0).
        forced_controls: Those, (substeps, B, A, 2).
        trace: CAR records after every substep, (substeps, B, A), written; (0, B, A) writes none.
        vehicles: How many vehicles there were then, (substeps, B), written with the trace.
        opening: First substep; at 0 the action is taken.
        closing: Substep after the last; with the decision's last one its clocks move on.
    """
    if len(bell) > 0:
        fetch_add(bell, 0, 1)
    first, end = take(share)
    while first < end:
        for world in range(first, end):
            step_world(
                world,
                cars,
                episodes,
                network,
                rules,
                targets,
                actions,
                controls,
                autopilot,
                forced,
                forced_controls,
                trace,
                vehicles,
                opening,
                closing,
            )
        fetch_add(share, DONE, end - first)
        first, end = take(share)
    if len(bell) > 0:
        await_all(share)


@leaf()
def begin(cars: Any, episode: Any, rules: Rules, fixtures: Any, seed: int) -> None:
    """Start an episode without cars: its clocks, its obstacles, and its generator from a seed (NOBODY: as it stands)."""
    for number in range(len(fixtures)):
        cars[rules.room + number] = fixtures[number]
    if seed == NOBODY:
        episode.seed = following_seed(episode.seed)
    else:
        episode.seed = seed
        seed_generator(episode, seed)
    episode.substeps = 0
    episode.decisions = 0
    episode.clock_s = 0.0
    episode.action = NOBODY
    episode.throttle, episode.wheel = 0.0, 0.0
    episode.vehicles = 0
    episode.ego = 0
    episode.appeared = 0
    episode.road_steps = 0
    episode.kept_lane, episode.next_kept_lane = 0, 0
    episode.goal = NOBODY


@leaf(nogil=True)
def hand_out(
    cars: Any,
    vehicles: Any,
    egos: Any,
    room: int,
    floats: Any,
    kinds: Any,
    flags: Any,
    lanes: Any,
    agents: int,
) -> None:
    """Write actors in the frame of ``Scene`` (y to the left): agents, other vehicles in highway-env's order, then obstacles.

    Args:
        cars: CAR records, (B, A).
        vehicles: How many vehicles there are, (B,).
        egos: Which record is the first agent's, (B,): another one at the end of a decision that clears vehicles before it.
        room: Where obstacles begin.
        floats: x, y, heading, vx, vy, ax, ay, yaw rate, length, width, acceleration along the heading, lane change, (12, B, A), written.
        kinds: 1 for an obstacle, (B, A), written.
        flags: Crashed, and valid, (2, B, A), written.
        lanes: LANE records.
        agents: How many of the vehicles are agents.
    """
    for world in range(cars.shape[0]):
        count = vehicles[world]
        actor = 0
        for place in range(count + cars.shape[1] - room):
            number = number_of_actor(egos[world], place, agents) if place < count else room + place - count
            car = cars[world, number]
            if car.driver == LANDMARK:
                continue
            across = car.speed_mps * car.yaw_rate_radps
            floats[0, world, actor] = car.x_m
            floats[1, world, actor] = -car.y_m
            floats[2, world, actor] = -car.heading_rad
            floats[3, world, actor] = car.speed_mps * car.cos
            floats[4, world, actor] = -(car.speed_mps * car.sin)
            floats[5, world, actor] = car.acceleration_mps2 * car.cos - across * car.sin
            floats[6, world, actor] = -(car.acceleration_mps2 * car.sin + across * car.cos)
            floats[7, world, actor] = -car.yaw_rate_radps
            floats[8, world, actor] = car.length_m
            floats[9, world, actor] = car.width_m
            floats[10, world, actor] = car.acceleration_mps2
            has_target = car.driver <= BY_COMMAND and lanes[car.lane].road == lanes[car.target_lane].road
            floats[11, world, actor] = np.sign(car.lane - car.target_lane) if has_target else 0.0
            kinds[world, actor] = 1 if car.driver == OBSTACLE else 0
            flags[0, world, actor] = car.crashed
            flags[1, world, actor] = True
            actor += 1


@leaf(nogil=True)
def take_wheels(first: int, end: int, cars: Any, episodes: Any, controls: Any) -> None:
    """Set the ego's controls before anything moves, where it is observed with them; arguments as for ``step_worlds``."""
    for world in range(first, end):
        ego = cars[world, episodes[world].ego]
        ego.acceleration_mps2, ego.steering_rad = controls[world, 0], controls[world, 1]
