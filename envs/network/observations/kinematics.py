"""Rows of features of the ego and of those near it (KinematicObservation), and the same with the way to the exit (ExitObservation).

Source: highway_env.envs.common.observation and Road.close_objects_to. The ego's own row is absolute and shows where it wants to go;
the others are relative to it unless asked otherwise. Rows left over are zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.engine import NotNative
from envs.network.geometry import lane_frame
from envs.network.layout import NOBODY, Network
from envs.network.observations.features import Origin, Scales, X, feature_of, numbers_of, origin_of, scaled, scales_of
from envs.network.observations.observer import Observer
from envs.network.tables import lane_number
from envs.traffic.elementary import norm2
from envs.traffic.generator import next_uint32
from sensors.errors import ConfigError
from sensors.jit import kernel, leaf

LANE_WIDTH_M = 4.0
TOP_SPEED_MPS = 40.0
EXIT = ("1", "2", -1)


class View(NamedTuple):
    """What a Kinematics observation shows, as the kernel takes it."""

    features: NDArray[np.int64]
    scales: Scales
    reach_m: float
    things: int
    """How many obstacles and goals are shown; their records are the last."""
    exit_lane: int
    """Lane along which the ego's x is counted; NOBODY for the plain x."""
    clipped: bool
    absolute: bool
    nearest_first: bool
    shuffled: bool
    behind: bool
    intentions: bool


def kinematics_observer(env: Any, network: Network) -> Observer:
    """Make the observer of an environment with Kinematics or ExitObservation.

    Args:
        env: The environment, reset once, so that its ego is on the road.
        network: Its road network.

    Raises:
        ConfigError: highway-env has no such option.
        NotNative: It gives rows without limit.
    """
    seen = env.observation_type
    leaving = type(seen).__name__ == "ExitObservation"
    if seen.vehicles_count < 2:
        raise NotNative(f"vehicles_count {seen.vehicles_count}: highway-env gives rows without limit for fewer than 2")
    view = View(
        features=numbers_of(seen.features),
        scales=scales_of((seen.features_range or default_ranges(env)) if seen.normalize else {}),
        reach_m=float(env.PERCEPTION_DISTANCE),
        things=len(env.road.objects) if seen.include_obstacles and not leaving else 0,
        exit_lane=_exit_lane(env) if leaving else NOBODY,
        clipped=bool(seen.clip),
        absolute=bool(seen.absolute),
        nearest_first=leaving or seen.order == "sorted",
        shuffled=seen.order == "shuffled",
        behind=bool(seen.see_behind),
        intentions=bool(seen.observe_intentions),
    )
    parts = {"": ((int(seen.vehicles_count), len(seen.features)), np.dtype(np.float32))}
    return Observer(parts, observe_kinematics, (network, view), draws=view.shuffled)


def default_ranges(env: Any) -> dict[str, list[float]]:
    """highway-env's ranges where none are given.

    It counts the lanes of the road that the ego is on at its first look, which is at reset, and keeps to that for the episode. Every id
    starts its ego on roads of one number of lanes, so the environment's own first look serves all episodes.
    """
    aside = LANE_WIDTH_M * len(env.road.network.all_side_lanes(env.vehicle.lane_index))
    fast = 2.0 * TOP_SPEED_MPS
    far = 5.0 * TOP_SPEED_MPS
    return {"x": [-far, far], "y": [-aside, aside], "vx": [-fast, fast], "vy": [-fast, fast]}


def _exit_lane(env: Any) -> int:
    """Number of the lane whose run the ego's x is: the rightmost of the road with the exit."""
    start, end, _ = EXIT
    lanes = env.road.network.graph.get(start, {}).get(end, [])
    if not lanes:
        raise ConfigError(f"ExitObservation needs a road from node {start!r} to node {end!r}, which this road network lacks")
    return lane_number(env.road.network, start, end, len(lanes) - 1)


@leaf()
def note(chosen: Any, distances: Any, count: int, number: int, distance: float) -> int:
    """Insert someone among the nearest, behind equals; the farthest falls out where the list is full. Returns how many there are."""
    if count == len(chosen):
        if distance >= distances[count - 1]:
            return count
    else:
        count += 1
    place = count - 1
    while place > 0 and distances[place - 1] > distance:
        distances[place], chosen[place] = distances[place - 1], chosen[place - 1]
        place -= 1
    distances[place], chosen[place] = distance, number
    return count


@leaf()
def choose(cars: Any, vehicles: int, ego: int, network: Network, view: View, chosen: Any, distances: Any) -> int:
    """Choose whom the ego sees (Road.close_objects_to).

    Args:
        cars: The world's records.
        vehicles: How many vehicles there are.
        ego: Number of the ego.
        network: The road network.
        view: What is shown.
        chosen: Written with their numbers in order.
        distances: Room for as many.

    Returns:
        How many there are.
    """
    me, count = cars[ego], 0
    lane = network.lanes[me.lane]
    run = lane_frame(lane, me.x_m, me.y_m)[0]
    for place in range(vehicles + view.things):
        number = place if place < vehicles else len(cars) - view.things + place - vehicles
        if number == ego:
            continue
        car = cars[number]
        if not norm2(car.x_m - me.x_m, car.y_m - me.y_m) < view.reach_m:
            continue
        ahead = lane_frame(lane, car.x_m, car.y_m)[0] - run
        if not (view.behind and place < vehicles) and not -2.0 * me.length_m < ahead:
            continue
        if view.nearest_first:
            count = note(chosen, distances, count, number, abs(ahead))
        elif count < len(chosen):
            chosen[count] = number
            count += 1
    return count


@leaf()
def write_row(network: Network, car: Any, origin: Origin, view: View, intentions: bool, row: Any) -> None:
    """Write the features of one vehicle or object, (F,)."""
    for column in range(len(view.features)):
        number = view.features[column]
        row[column] = scaled(feature_of(network, car, origin, number, intentions), number, view.scales, view.clipped)


@leaf()
def write_way_to_exit(network: Network, car: Any, view: View, row: Any) -> None:
    """Write the ego's run along the exit's road over its x."""
    run = lane_frame(network.lanes[view.exit_lane], car.x_m, car.y_m)[0]
    for column in range(len(view.features)):
        if view.features[column] == X:
            row[column] = scaled(run, X, view.scales, view.clipped)


@leaf()
def draw_below(episode: Any, top: int) -> Any:
    """A number from 0 to ``top`` as NumPy's ``shuffle`` draws it: masked bits, again while they are too large."""
    mask = np.uint64(top)
    for shift in (1, 2, 4, 8, 16):
        mask |= mask >> np.uint64(shift)
    while True:
        drawn = next_uint32(episode) & mask
        if drawn <= np.uint64(top):
            return np.int64(drawn)


@leaf()
def shuffle_rows(episode: Any, rows: Any) -> None:
    """``Generator.shuffle`` of the rows of an array, (N, F)."""
    for row in range(len(rows) - 1, 0, -1):
        other = draw_below(episode, row)
        for column in range(rows.shape[1]):
            rows[row, column], rows[other, column] = rows[other, column], rows[row, column]


@leaf()
def write_table(mine: Any, episode: Any, network: Network, view: View, chosen: Any, distances: Any, table: Any) -> None:
    """Write the rows of one world, (N, F).

    Args:
        mine: The world's records.
        episode: Its EPISODE record.
        network: The road network.
        view: What is shown.
        chosen: Room for the numbers of who is seen, (N - 1,).
        distances: Room for as many numbers.
        table: Written.
    """
    ego = mine[episode.ego]
    write_row(network, ego, (0.0, 0.0, 0.0, 0.0), view, True, table[0])
    if view.exit_lane != NOBODY:
        write_way_to_exit(network, ego, view, table[0])
    origin = (0.0, 0.0, 0.0, 0.0) if view.absolute else origin_of(ego)
    seen = choose(mine, episode.vehicles, episode.ego, network, view, chosen, distances)
    for place in range(seen):
        write_row(network, mine[chosen[place]], origin, view, view.intentions, table[place + 1])
    for place in range(seen + 1, table.shape[0]):
        for column in range(table.shape[1]):
            table[place, column] = 0.0
    if view.shuffled:
        shuffle_rows(episode, table[1:])


@leaf()
def write_tables(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, view: View, chosen: Any, distances: Any, tables: Any
) -> None:
    """Write the rows of a share of worlds; arguments as for ``write_table``."""
    for world in range(first, end):
        if len(where) == 0 or where[world]:
            write_table(cars[world], episodes[world], network, view, chosen, distances, tables[world])


@kernel(nogil=True)
def observe_kinematics(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, view: View, arrays: tuple[Any, ...]
) -> None:
    """Write the rows of a share of worlds; the arguments are those of ``Observer.write``."""
    rows = arrays[0].shape[1]
    chosen, distances = np.empty(rows - 1, np.int64), np.empty(rows - 1)
    write_tables(first, end, where, cars, episodes, network, view, chosen, distances, arrays[0])
