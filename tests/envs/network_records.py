"""A live highway-env environment as the records of envs.network.layout: what its kernels would see at this moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from highway_env.envs.lane_keeping_env import LaneKeepingEnv
from highway_env.vehicle.behavior import IDMVehicle
from highway_env.vehicle.controller import ControlledVehicle
from highway_env.vehicle.dynamics import BicycleVehicle
from highway_env.vehicle.kinematics import Vehicle
from highway_env.vehicle.objects import Landmark
from numpy.typing import NDArray

from envs.network.layout import (
    BY_COMMAND,
    BY_IDM,
    BY_TYRES,
    BY_WHEEL,
    CAR,
    EPISODE,
    LANDMARK,
    NOBODY,
    OBSTACLE,
    Network,
)
from envs.network.tables import network_of, road_pairs, routes_of

LOW_64 = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Snapshot:
    """One world as records."""

    network: Network
    targets: NDArray[np.float64]
    cars: NDArray[np.void]
    """CAR, (1, A)."""
    episodes: NDArray[np.void]
    """EPISODE, (1,)."""


def snapshot_of(env: Any, network: Network | None = None, room: int | None = None) -> Snapshot:
    """Copy an environment's present state.

    Args:
        env: highway-env's, reset.
        network: Its tables, if they are at hand; routes must be rows of them.
        room: Records kept for vehicles; None for as many as there are.
    """
    road = env.road
    if network is None:
        network = network_of(road.network, route_ends(env), road.neighbour_vehicles_connected_lanes)
    room = len(road.vehicles) if room is None else room
    cars = np.zeros((1, room + len(road.objects)), CAR)
    numbers = {index: number for number, index in enumerate(road.network.lanes_dict())}
    for record, vehicle in zip(cars[0], road.vehicles, strict=False):
        fill_vehicle(record, vehicle, network, numbers)
    for record, thing in zip(cars[0, room:], road.objects, strict=True):
        fill_thing(record, thing, LANDMARK if isinstance(thing, Landmark) else OBSTACLE)
    targets = np.array(getattr(env.vehicle, "target_speeds", [20.0, 25.0, 30.0]), np.float64)
    return Snapshot(network, targets, cars, episodes_of(env, room))


def with_routes(network: Network, env: Any) -> Network:
    """Tables with rows for the routes that vehicles have at present; those of the lanes take a while to make, and stay."""
    return network._replace(routes=routes_of(env.road.network, road_pairs(env.road.network), route_ends(env)))


def route_ends(env: Any) -> list[str]:
    """Nodes where routes end."""
    routes = [getattr(vehicle, "route", None) for vehicle in env.road.vehicles]
    return list(dict.fromkeys(route[-1][1] for route in routes if route))


def driver_of(vehicle: Any) -> int:
    """What moves a vehicle."""
    if isinstance(vehicle, IDMVehicle):
        return BY_IDM
    if isinstance(vehicle, ControlledVehicle):
        return BY_COMMAND
    return BY_TYRES if isinstance(vehicle, BicycleVehicle) else BY_WHEEL


def fill_thing(record: Any, thing: Any, driver: int) -> None:
    """Write what every object on the road has."""
    record["x_m"], record["y_m"] = thing.position
    record["heading_rad"], record["speed_mps"] = thing.heading, thing.speed
    record["cos"], record["sin"] = np.cos(thing.heading), np.sin(thing.heading)
    record["length_m"], record["width_m"], record["diagonal_m"] = thing.LENGTH, thing.WIDTH, thing.diagonal
    record["lane"] = record["target_lane"] = record["route"] = NOBODY
    record["driver"], record["crashed"] = driver, thing.crashed


def fill_vehicle(record: Any, vehicle: Vehicle, network: Network, numbers: dict[Any, int]) -> None:
    """Write a vehicle."""
    fill_thing(record, vehicle, driver_of(vehicle))
    record["lane"] = record["target_lane"] = numbers[as_index(vehicle.lane_index)]
    record["run_m"], record["offset_m"] = vehicle.lane.local_coordinates(vehicle.position)
    record["steering_rad"], record["acceleration_mps2"] = vehicle.action["steering"], vehicle.action["acceleration"]
    record["yaw_rate_radps"] = getattr(vehicle, "yaw_rate", 0.0)
    record["lateral_speed_mps"] = getattr(vehicle, "lateral_speed", 0.0)
    record["slowest_mps"], record["fastest_mps"] = vehicle.MIN_SPEED, vehicle.MAX_SPEED
    if vehicle.impact is not None:
        record["pushed"], (record["impact_x_m"], record["impact_y_m"]) = True, vehicle.impact
    record["speed_index"] = getattr(vehicle, "speed_index", 0)
    if isinstance(vehicle, ControlledVehicle):
        record["target_speed_mps"] = vehicle.target_speed
        record["target_lane"] = numbers[as_index(vehicle.target_lane_index)]
        fill_route(record, vehicle.route or [], network, vehicle.road.network)
    if isinstance(vehicle, IDMVehicle):
        record["timer_s"], record["exponent"], record["politeness"] = vehicle.timer, vehicle.DELTA, vehicle.POLITENESS
        record["jam_distance_m"], record["comfort_mps2"] = vehicle.DISTANCE_WANTED, vehicle.COMFORT_ACC_MAX
        record["twice_root_mps2"] = 2.0 * math.sqrt(-vehicle.COMFORT_ACC_MAX * vehicle.COMFORT_ACC_MIN)
        record["changes_lanes"], record["yields"] = vehicle.enable_lane_change, getattr(vehicle, "is_yielding", False)


def as_index(index: Any) -> tuple[str, str, int]:
    """A lane index with a plain number."""
    return index[0], index[1], int(index[2])


def fill_route(record: Any, route: Sequence[Any], network: Network, graph: Any) -> None:
    """Find a vehicle's route in the table: a whole row where its first road names a lane, else the end of a row."""
    if not route:
        return
    pairs = road_pairs(graph)
    wanted = [pairs.index((start, end)) for start, end, _ in route]
    lane = route[0][2]
    for number, row in enumerate(network.routes):
        roads = [int(road) for road in row if road != NOBODY]
        place = len(roads) - len(wanted)
        if roads[-len(wanted) :] == wanted and ((place == 0) if lane is not None else (place > 0)):
            record["route"], record["route_place"], record["route_lane"] = number, place, 0 if lane is None else lane
            return
    raise AssertionError(f"route {route} is no row of the routes table")


def episodes_of(env: Any, room: int) -> NDArray[np.void]:
    """The episode's clocks and generator."""
    episodes = np.zeros(1, EPISODE)
    episode = episodes[0]
    fill_generator(episode, env.np_random)
    episode["substeps"], episode["clock_s"] = env.steps, env.time
    episode["decisions"] = round(env.time * env.config["policy_frequency"])
    episode["action"] = NOBODY
    episode["vehicles"] = len(env.road.vehicles)
    episode["ego"] = next(number for number, vehicle in enumerate(env.road.vehicles) if vehicle is env.vehicle)
    if isinstance(env, LaneKeepingEnv):
        lanes = env.road.network.lanes_list()
        episode["kept_lane"] = lanes.index(env.lane)
        episode["next_kept_lane"] = lanes.index(env.lanes[0] if env.lanes else env.lane)
    goal = getattr(env.vehicle, "goal", None)
    episode["goal"] = next((room + number for number, thing in enumerate(env.road.objects) if thing is goal), NOBODY)
    return episodes


def fill_generator(episode: Any, generator: np.random.Generator) -> None:
    """Copy the state of a PCG64."""
    state = generator.bit_generator.state
    for name, value in (("state", state["state"]["state"]), ("increment", state["state"]["inc"])):
        episode[f"{name}_high"], episode[f"{name}_low"] = value >> 64, value & LOW_64
    episode["has_buffered"], episode["buffered"] = bool(state["has_uint32"]), state["uinteger"]


def generator_state(episode: Any) -> tuple[int, ...]:
    """What two generators must have in common to go on alike; the buffered half counts only where there is one."""
    names = ("state_high", "state_low", "increment_high", "increment_low", "has_buffered")
    return *(int(episode[name]) for name in names), int(episode["buffered"]) if episode["has_buffered"] else 0


def stacked(snapshots: Sequence[Snapshot]) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Cars and episodes of several snapshots of one shape, as a batch."""
    return np.concatenate([one.cars for one in snapshots]), np.concatenate([one.episodes for one in snapshots])
