"""Searches and collisions against slow, obvious ones, on crowds made to be awkward: level cars, cars between lanes and off the road."""

import math

import numpy as np
import pytest
from highway_env import utils
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.traffic.collisions import OVERLAP, WILL_OVERLAP, collide_all, separate
from envs.traffic.groups import groups_for, load, unload
from envs.traffic.layout import CAR, GROUP, GROUP_SHIFT, NOBODY, SLOT_MASK, Ahead, Line, Room
from envs.traffic.neighbours import front_noted, front_on_lane, line_up, look_ahead, rear_on_lane
from envs.traffic.physics import closest_lane, lanes_covered, on_lane

LANES = 4


def crowd(seed: int, cars: int, length_m: float, start_m: float = 100.0) -> NDArray[np.void]:
    """Cars at whole metres, so that many stand level."""
    draws = np.random.default_rng(seed)
    records = np.zeros(cars, CAR)
    records["x_m"] = start_m + draws.integers(0, int(length_m), cars)
    records["y_m"] = draws.choice([0.0, 1.0, 3.0, 4.0, 8.0, 10.5, 12.0, -3.0, 15.5, 40.0], cars)
    records["heading_rad"] = draws.choice([0.0, 0.0, 0.3, -2.0], cars)
    records["cos"], records["sin"] = np.cos(records["heading_rad"]), np.sin(records["heading_rad"])
    records["speed_mps"] = draws.choice([25.0, 22.0, 0.0, -3.0], cars)
    records["impact_partner"] = NOBODY
    for car in records:
        car["lane"] = closest_lane(car["x_m"], car["y_m"], car["heading_rad"], LANES, None)
    return records


def room_with(cars: NDArray[np.void]) -> Room:
    """Some cars, lined up."""
    count = len(cars)
    line = Line(np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count))
    room = Room(np.zeros(groups_for(count), GROUP), line, Ahead(np.empty(LANES + 2, np.int64), np.empty((LANES + 2, 3))))
    load(cars, room.groups, LANES)
    line_up(room.groups, room.line)
    return room


def neighbours_by_scan(cars: NDArray[np.void], number: int, lane: int) -> tuple[int, int]:
    """Road.neighbour_vehicles, word for word on arrays."""
    s, front, rear = cars[number]["x_m"], NOBODY, NOBODY
    for other, car in enumerate(cars):
        if other == number or not on_lane(car["x_m"], car["y_m"], lane, 3.0):
            continue
        if s <= car["x_m"] and (front == NOBODY or car["x_m"] <= cars[front]["x_m"]):
            front = other
        if car["x_m"] < s and (rear == NOBODY or car["x_m"] > cars[rear]["x_m"]):
            rear = other
    return front, rear


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 24), st.sampled_from([8, 60]), st.sampled_from([100.0, 9_990.0, -12.0]))
def test_neighbours_equal_a_scan_of_all_cars(seed: int, count: int, length_m: float, start_m: float) -> None:
    cars = crowd(seed, count, length_m, start_m)
    room = room_with(cars)
    look_ahead(*room)
    for number in range(count):
        for lane in range(LANES):
            expected = neighbours_by_scan(cars, number, lane)
            assert (front_on_lane(*room[:2], number, lane), rear_on_lane(*room[:2], number, lane)) == expected
            if lane != cars[number]["lane"]:
                assert front_noted(*room[:2], number, lane) == expected[0]
        group, slot = room.groups[number >> GROUP_SHIFT], number & SLOT_MASK
        front = neighbours_by_scan(cars, number, cars[number]["lane"])[0]
        gap, vx = math.inf, 0.0
        if front != NOBODY:
            gap, vx = cars[front]["x_m"] - cars[number]["x_m"], cars[front]["speed_mps"] * cars[front]["cos"]
        assert (group["gap_m"][slot], group["front_vx_mps"][slot]) == (gap, vx)


@settings(deadline=None)
@given(st.floats(-300, 10_300), st.floats(-30, 40), st.floats(-10, 10), st.integers(1, 6))
def test_closest_lane_is_the_first_smallest_of_all(x: float, y: float, heading: float, lanes: int) -> None:
    angle = abs(utils.wrap_to_pi(heading))
    distances = [abs(y - 4.0 * lane) + max(x - 10_000.0, 0.0) + max(-x, 0.0) + angle for lane in range(lanes)]
    assert closest_lane(x, y, heading, lanes, None) == int(np.argmin(distances))


@settings(deadline=None)
@given(st.floats(-20, 10_020), st.floats(-30, 40), st.integers(1, 6))
def test_lanes_covered_are_those_within_the_margin(x: float, y: float, lanes: int) -> None:
    first, last = lanes_covered(x, y, lanes)
    assert [lane for lane in range(lanes) if first <= lane <= last] == [lane for lane in range(lanes) if on_lane(x, y, lane, 3.0)]
    assert -1.0 <= last - first <= 1.0


def test_cars_come_back_from_their_groups() -> None:
    cars = crowd(5, 19, 60)
    cars["timer_s"], cars["autonomous"], cars["crashed"][::3], cars["target_lane"] = np.arange(19), True, True, 2
    back = cars.copy()
    unload(room_with(cars).groups, back, None)
    for name in CAR.names or ():
        np.testing.assert_array_equal(back[name], cars[name], err_msg=name)


def polygon(car: np.void) -> NDArray[np.float64]:
    """RoadObject.polygon."""
    points = np.array([[-2.5, -1.0], [-2.5, 1.0], [2.5, 1.0], [2.5, -1.0]]).T
    rotation = np.array([[car["cos"], -car["sin"]], [car["sin"], car["cos"]]])
    corners = (rotation @ points).T + np.tile(np.array([car["x_m"], car["y_m"]]), (4, 1))
    return np.vstack([corners, corners[0:1]])


def test_separation_equals_highway_envs_in_every_bit() -> None:
    cars, dt, found = crowd(3, 80, 30), 1 / 5, 0
    for first in cars:
        for second in cars[:40]:
            if first["x_m"] == second["x_m"] and first["y_m"] == second["y_m"]:
                continue
            verdict, x, y = separate(first, second, dt)
            displacements = (
                first["speed_mps"] * np.array([first["cos"], first["sin"]]) * dt,
                second["speed_mps"] * np.array([second["cos"], second["sin"]]) * dt,
            )
            overlap, will_overlap, way = utils.are_polygons_intersecting(polygon(first), polygon(second), *displacements)
            assert (bool(verdict & OVERLAP), bool(verdict & WILL_OVERLAP)) == (overlap, will_overlap)
            if will_overlap:
                found += 1
                assert (x, y) == tuple(way)
    assert found > 100


def collide_in_list_order(cars: NDArray[np.void], dt: float) -> None:
    """Road.step's second half: every pair in the order of the list, a later push replacing an earlier one."""
    for i, first in enumerate(cars):
        for j in range(i + 1, len(cars)):
            second = cars[j]
            apart = math.hypot(second["x_m"] - first["x_m"], second["y_m"] - first["y_m"])
            if apart > math.sqrt(29.0) + first["speed_mps"] * dt:
                continue
            verdict, x, y = separate(first, second, dt)
            if verdict & WILL_OVERLAP:
                for car, partner, sign in ((first, j, 1.0), (second, i, -1.0)):
                    car["impact_partner"], car["impact_x_m"], car["impact_y_m"] = partner, sign * x / 2.0, sign * y / 2.0
            if verdict & OVERLAP:
                first["crashed"] = second["crashed"] = True


@pytest.mark.parametrize("seed", range(6))
def test_collisions_of_a_pile_up_equal_those_in_list_order(seed: int) -> None:
    cars = crowd(seed, 30, 25)
    expected, room = cars.copy(), room_with(cars)
    collide_all(room.groups, room.line, cars, 1 / 15)
    unload(room.groups, cars, None)
    collide_in_list_order(expected, 1 / 15)
    assert expected["crashed"].sum() > 10
    for name in ("crashed", "impact_partner", "impact_x_m", "impact_y_m"):
        np.testing.assert_array_equal(cars[name], expected[name], err_msg=name)
