"""The kernels that a World calls. Each world is stepped alone, so results do not depend on batch or threads.

The world's cars are put into groups for a decision and brought back after it. A thread keeps its groups from world to world.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.traffic.atomics import DONE, await_all, fetch_add, share_of, take
from envs.traffic.collisions import collide_all, collide_with_ego
from envs.traffic.decisions import accelerate, take_command, think
from envs.traffic.generator import seed_generator
from envs.traffic.groups import groups_for, load, unload
from envs.traffic.layout import GROUP, NOBODY, Ahead, Line, Room, Rules
from envs.traffic.motion import move
from envs.traffic.neighbours import line_up, look_ahead, sort_along_road
from envs.traffic.observation import observe
from envs.traffic.reward import judge
from envs.traffic.spawn import hand_over, spawn, spawn_next
from envs.traffic.team import SILENT, team_of
from sensors.jit import kernel, leaf


@kernel(inline="always")
def room_for(cars: int, lanes: int) -> Room:
    """Make room to step worlds of some cars, one after another."""
    line = Line(np.empty(cars, np.int64), np.empty(cars, np.int64), np.empty(cars))
    return Room(np.zeros(groups_for(cars), GROUP), line, Ahead(np.empty(lanes + 2, np.int64), np.empty((lanes + 2, 3))))


@leaf()
def advance(mine: Any, room: Room, rules: Rules) -> None:
    """One substep of one world: all decide, all move, then collisions are looked for."""
    look_ahead(room.groups, room.line, room.ahead)
    accelerate(room.groups, rules.fast)
    think(room.groups, room.line, rules.lanes, rules.fast)
    move(room.groups, rules.substep_s, rules.lanes, rules.fast)
    sort_along_road(room.groups, room.line)
    if rules.all_collide:
        collide_all(room.groups, room.line, mine, rules.substep_s)
    else:
        collide_with_ego(room.groups, room.line, mine, rules.substep_s)


@leaf()
def write_trace(mine: Any, room: Room, rules: Rules, trace: Any, substep: int, world: int) -> None:
    """Keep a world's cars as they stand after a substep, where there is room for it."""
    if substep < trace.shape[0]:
        unload(room.groups, mine, rules.fast)
        for number in range(len(mine)):
            trace[substep, world, number] = mine[number]


@leaf()
def step_world(
    world: int, cars: Any, episodes: Any, rules: Rules, targets: Any, actions: Any, autopilot: Any, outcomes: Any, trace: Any, room: Room
) -> None:
    """One decision of one world.

    Args:
        world: Which one.
        cars: CAR records, (B, A).
        episodes: EPISODE records, (B,).
        rules: What all worlds share.
        targets: Set speeds of the ego [m/s].
        actions: Meta-actions, (B,).
        autopilot: Where an IDMVehicle drives the ego, (B,).
        outcomes: OUTCOME records, (B,), written.
        trace: CAR records after every substep, (substeps, B, A), written; (0, B, A) or None writes none.
        room: Room for a world of A cars.
    """
    mine, episode = cars[world], episodes[world]
    hand_over(mine[0], autopilot[world], targets)
    if not autopilot[world]:
        take_command(mine[0], actions[world], targets, rules.lanes)
    load(mine, room.groups, rules.lanes)
    line_up(room.groups, room.line)
    for substep in range(rules.substeps):
        advance(mine, room, rules)
        if trace is not None:
            write_trace(mine, room, rules, trace, substep, world)
    unload(room.groups, mine, rules.fast)
    episode.substeps += rules.substeps
    episode.clock_s += rules.decision_s
    judge(mine[0], episode.clock_s, rules, outcomes[world])


@leaf()
def watch(
    first: int,
    end: int,
    cars: Any,
    episodes: Any,
    rules: Rules,
    targets: Any,
    outcomes: Any,
    observations: Any,
    finals: Any,
    chosen: Any,
    distance: Any,
) -> None:
    """Observe some worlds, and follow finished episodes by new ones; arguments as for ``step_share``, then room for ``observe``."""
    for world in range(first, end):
        if outcomes[world].terminated or outcomes[world].truncated:
            observe(cars[world], rules.lanes, finals[world], chosen, distance)
            spawn_next(cars[world], episodes[world], rules, targets)
        observe(cars[world], rules.lanes, observations[world], chosen, distance)


@kernel(nogil=True)
def step_share(
    share: Any,
    bell: Any,
    cars: Any,
    episodes: Any,
    rules: Rules,
    targets: Any,
    actions: Any,
    autopilot: Any,
    outcomes: Any,
    trace: Any,
    observations: Any,
    finals: Any,
) -> None:
    """One decision of some worlds; where ``observations`` has room they are observed, and a finished episode is followed by a new one.

    Args:
        share: Which worlds, shared with other threads; see ``envs.traffic.atomics``.
        bell: Rung at the start, (1,) int64; (0,) calls nobody.
        cars: As in ``step_world``, with ``episodes`` to ``trace``.
        episodes: See there.
        rules: See there.
        targets: See there.
        actions: See there.
        autopilot: See there.
        outcomes: See there.
        trace: See there.
        observations: Of the world as it then stands, (B, rows, 5) float32, or (0, rows, 5) to leave finished episodes alone.
        finals: Of the world as the episode ended, written only there, same shape.
    """
    if len(bell) > 0:
        fetch_add(bell, 0, 1)
    room = room_for(cars.shape[1], rules.lanes)
    rows = max(observations.shape[1] - 1, 0)
    chosen, distance = np.empty(rows, np.int64), np.empty(rows)
    first, end = take(share)
    while first < end:
        for world in range(first, end):
            step_world(world, cars, episodes, rules, targets, actions, autopilot, outcomes, trace, room)
        if observations.shape[0] > 0:
            watch(first, end, cars, episodes, rules, targets, outcomes, observations, finals, chosen, distance)
        fetch_add(share, DONE, end - first)
        first, end = take(share)
    if len(bell) > 0:
        await_all(share)


def step_worlds(first: int, end: int, *arguments: Any) -> None:
    """``step_share`` for the worlds from ``first`` to before ``end`` on this thread; for ``sensors.launch.over_worlds``."""
    step_share(share_of(first, end, 1), SILENT, *arguments)


def step_together(threads: int, cars: Any, *arguments: Any) -> None:
    """``step_share`` for all worlds on some threads."""
    if threads == 1 or len(cars) == 1:
        step_worlds(0, len(cars), cars, *arguments)
    else:
        team_of(threads).run(step_share, 0, len(cars), cars, *arguments)


@kernel(nogil=True)
def reset_worlds(cars: Any, episodes: Any, rules: Rules, targets: Any, seeds: Any, where: Any) -> None:
    """Start new episodes in some worlds.

    Args:
        cars: CAR records, (B, A).
        episodes: EPISODE records, (B,).
        rules: What all worlds share.
        targets: Set speeds of the ego [m/s].
        seeds: int64 (B,); NOBODY goes on with the world's own generator.
        where: Which worlds, (B,) bool.
    """
    for world in range(len(cars)):
        if not where[world]:
            continue
        if seeds[world] == NOBODY:
            spawn_next(cars[world], episodes[world], rules, targets)
        else:
            episodes[world].seed = seeds[world]
            seed_generator(episodes[world], seeds[world])
            spawn(cars[world], episodes[world], rules, targets)


@kernel(nogil=True)
def observe_worlds(cars: Any, lanes: int, observations: Any) -> None:
    """Write the Kinematics observation of every world, (B, rows, 5)."""
    rows = max(observations.shape[1] - 1, 0)
    chosen, distance = np.empty(rows, np.int64), np.empty(rows)
    for world in range(len(cars)):
        observe(cars[world], lanes, observations[world], chosen, distance)


@kernel(nogil=True)
def hand_out(cars: Any, position: Any, heading: Any, velocity: Any, acceleration: Any, yaw_rate: Any, along: Any, change: Any) -> None:
    """Write cars in the frame of ``Scene`` (y to the left): the one place where y is flipped.

    Args:
        cars: CAR records, (B, A).
        position: [m], (B, A, 2), written, as all that follow.
        heading: [rad], (B, A).
        velocity: [m/s], (B, A, 2).
        acceleration: [m/s2], (B, A, 2): along the heading, and speed times yaw rate across it.
        yaw_rate: [rad/s], (B, A).
        along: Acceleration along the heading [m/s2], (B, A).
        change: +1 while changing to the left lane, -1 to the right, else 0, (B, A).
    """
    for world in range(cars.shape[0]):
        for number in range(cars.shape[1]):
            car = cars[world, number]
            across = car.speed_mps * car.yaw_rate_radps
            position[world, number, 0] = car.x_m
            position[world, number, 1] = -car.y_m
            heading[world, number] = -car.heading_rad
            velocity[world, number, 0] = car.speed_mps * car.cos
            velocity[world, number, 1] = -(car.speed_mps * car.sin)
            acceleration[world, number, 0] = car.acceleration_mps2 * car.cos - across * car.sin
            acceleration[world, number, 1] = -(car.acceleration_mps2 * car.sin + across * car.cos)
            yaw_rate[world, number] = -car.yaw_rate_radps
            along[world, number] = car.acceleration_mps2
            change[world, number] = np.sign(car.lane - car.target_lane)
