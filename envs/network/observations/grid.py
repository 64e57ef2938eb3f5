"""A grid around the ego: features of the vehicles in its cells, and which cells hold road (OccupancyGridObservation).

Source: highway_env.envs.common.observation, cell by cell. highway-env draws each lane by way points up to 100 m before and behind the
ego, pulled in to the lane's ends; most of them are then one and the same, or too far away for the grid. Here only those are placed that
differ and may be on the grid.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.network.geometry import box_distance2, lane_frame, place_on_lane
from envs.network.layout import ARC, Network
from envs.network.observations.features import FEATURES, Scales, X, Y, feature_of, map_linearly, numbers_of, origin_of, scaled, scales_of
from envs.network.observations.observer import Observer
from envs.network.rotation import mixed_of_one
from envs.traffic.elementary import PI, clip
from sensors.errors import ConfigError
from sensors.jit import leaf

ON_ROAD = len(FEATURES)
LAYERS = (*FEATURES, "on_road")
LANE_REACH_M = 100.0
TOP_SPEED_MPS = 40.0
SLACK_M = 1e-3
SURE_TURN_RAD = 1.5 * PI
"""Way points less than this far around an arc from the ego do not come near it again."""


class Grid(NamedTuple):
    """What an OccupancyGrid shows, as the kernel takes it."""

    features: NDArray[np.int64]
    scales: Scales
    low_x_m: float
    low_y_m: float
    step_x_m: float
    step_y_m: float
    spacing_m: float
    """Between the way points of a lane."""
    reach_m: float
    """No point of the grid is farther from the ego."""
    aligned: bool
    clipped: bool


def grid_observer(env: Any, network: Network) -> Observer:
    """Make the observer of an environment with OccupancyGrid.

    Raises:
        ConfigError: The options are not native, or not highway-env's.
    """
    seen = env.observation_type
    if seen.absolute:
        raise ConfigError("OccupancyGrid: absolute=True is not implemented by highway-env; leave it False")
    if min(seen.grid.shape) < 1:
        raise ConfigError(f"OccupancyGrid: the grid's shape is {seen.grid.shape}, expected at least one layer and one cell each way")
    fast = 2.0 * TOP_SPEED_MPS
    size, step = np.asarray(seen.grid_size, np.float64), np.asarray(seen.grid_step, np.float64)
    grid = Grid(
        features=numbers_of(seen.features, LAYERS),
        scales=scales_of(seen.features_range or {"vx": [-fast, fast], "vy": [-fast, fast]}),
        low_x_m=float(size[0, 0]),
        low_y_m=float(size[1, 0]),
        step_x_m=float(step[0]),
        step_y_m=float(step[1]),
        spacing_m=float(np.amin(step)),
        reach_m=float(np.hypot(*np.abs(size).max(axis=1))) + SLACK_M,
        aligned=bool(seen.align_to_vehicle_axes),
        clipped=bool(seen.clip),
    )
    parts = {"": (tuple(int(n) for n in seen.grid.shape), np.dtype(np.uint8 if seen.as_image else np.float32))}
    return Observer(parts, observe_grid, (network, grid, bool(seen.as_image)))


@leaf()
def cell_of(me: Any, grid: Grid, dx: float, dy: float) -> tuple[int, int]:
    """The cell of a point that is (dx, dy) from the ego [m]; it may lie outside the grid."""
    x, y = dx, dy
    if grid.aligned:
        x = mixed_of_one(me.cos, me.sin, dx, dy)
        y = mixed_of_one(-me.sin, me.cos, dx, dy)
    return math.floor((x - grid.low_x_m) / grid.step_x_m), math.floor((y - grid.low_y_m) / grid.step_y_m)


@leaf()
def there_and_back(value: float, number: int, scales: Scales) -> float:
    """A coordinate as highway-env finds it again from its scaled one."""
    if not scales.used[number]:
        return value
    low, high = scales.low[number], scales.high[number]
    return map_linearly(map_linearly(value, low, high, -1.0, 1.0), -1.0, 1.0, low, high)


@leaf()
def cell_value(value: float, clipped: bool, image: bool) -> float:
    """What a cell holds: NaN counts as zero."""
    if image:
        return math.floor((clip(value, -1.0, 1.0) + 1.0) / 2.0 * 255.0) if value == value else 0.0
    if clipped:
        value = clip(value, -1.0, 1.0)
    return value if value == value else 0.0


@leaf()
def put_vehicles(cars: Any, vehicles: int, ego: int, network: Network, grid: Grid, image: bool, layers: Any) -> None:
    """Write every vehicle's features into its cell; the first in the list is written last.

    Args:
        cars: The world's records.
        vehicles: How many vehicles there are.
        ego: Number of the ego, which is in its own grid.
        network: The road network.
        grid: What is shown.
        image: Are cells bytes?
        layers: The world's array, (layers, H, W), written.
    """
    me = cars[ego]
    origin = origin_of(me)
    for number in range(vehicles - 1, -1, -1):
        car = cars[number]
        x = there_and_back(car.x_m - origin[0], X, grid.scales)
        y = there_and_back(car.y_m - origin[1], Y, grid.scales)
        row, column = cell_of(me, grid, x, y)
        if not (0 <= row < layers.shape[1] and 0 <= column < layers.shape[2]):
            continue
        for layer in range(len(grid.features)):
            feature = grid.features[layer]
            if feature != ON_ROAD:
                value = scaled(feature_of(network, car, origin, feature, True), feature, grid.scales, False)
                layers[layer, row, column] = cell_value(value, grid.clipped, image)


@leaf()
def way_point(start: float, spacing: float, number: int) -> float:
    """Entry of ``numpy.arange(start, ..., spacing)``: it goes on by the rounded difference of its first two."""
    second = start + spacing
    if number == 1:
        return second
    return start + number * (second - start)


@leaf()
def window(lane: Any, grid: Grid) -> float:
    """How far along a lane from the ego its points may be on the grid [m]."""
    if lane.kind != ARC:
        return grid.reach_m
    if lane.radius_m <= grid.reach_m or lane.radius_m * SURE_TURN_RAD <= LANE_REACH_M:
        return LANE_REACH_M
    return lane.radius_m * math.asin(grid.reach_m / lane.radius_m)


@leaf()
def way_points(lane: Any, grid: Grid, start: float, origin: float) -> tuple[int, int]:
    """First and last way point that may be on the grid; those pulled in to an end are the same as one among these."""
    count = math.ceil(((origin + LANE_REACH_M) - start) / grid.spacing_m)
    near = window(lane, grid)
    low = max(-start, LANE_REACH_M - near) / grid.spacing_m
    high = min(lane.length_m - start, LANE_REACH_M + near) / grid.spacing_m
    first = min(max(math.floor(low) - 1, 0), count - 1)
    return first, max(min(math.ceil(high) + 1, count - 1), first)


@leaf()
def put_lane(me: Any, lane: Any, grid: Grid, value: float, layer: Any) -> None:
    """Mark the cells of one lane's way points.

    Args:
        me: Record of the ego.
        lane: LANE record.
        grid: What is shown.
        value: What road is.
        layer: The layer, (H, W), written.
    """
    if box_distance2(lane, me.x_m, me.y_m) > grid.reach_m * grid.reach_m:
        return
    origin = lane_frame(lane, me.x_m, me.y_m)[0]
    start = origin - LANE_REACH_M
    first, last = way_points(lane, grid, start, origin)
    for number in range(first, last + 1):
        run = min(max(way_point(start, grid.spacing_m, number), 0.0), lane.length_m)
        x, y = place_on_lane(lane, run, 0.0)
        row, column = cell_of(me, grid, x - me.x_m, y - me.y_m)
        if 0 <= row < layer.shape[0] and 0 <= column < layer.shape[1]:
            layer[row, column] = value


@leaf(nogil=True)
def observe_grid(
    first: int, end: int, where: Any, cars: Any, episodes: Any, network: Network, grid: Grid, image: bool, arrays: tuple[Any, ...]
) -> None:
    """Write the grids of a share of worlds; the arguments are those of ``Observer.write``."""
    road = cell_value(1.0, grid.clipped, image)
    for world in range(first, end):
        if len(where) > 0 and not where[world]:
            continue
        mine, episode, layers = cars[world], episodes[world], arrays[0][world]
        layers[:] = 0
        put_vehicles(mine, episode.vehicles, episode.ego, network, grid, image, layers)
        for layer in range(len(grid.features)):
            if grid.features[layer] == ON_ROAD:
                for number in range(len(network.lanes)):
                    put_lane(mine[episode.ego], network.lanes[number], grid, road, layers[layer])
