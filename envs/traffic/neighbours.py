"""Who is ahead and who is behind, as highway-env's ``Road.neighbour_vehicles`` answers.

highway-env scans all cars. Here the cars are kept in order along the road, so that a search ends at the first match. Its ties hold:
of cars ahead at one place the last in the list wins (one level with the asker counts as ahead), of cars behind the first.
"""

from __future__ import annotations

import math
from typing import Any

from envs.traffic.groups import x_of
from envs.traffic.layout import GROUP_SHIFT, NOBODY, SLOT_MASK, SLOTS, Ahead, Line
from sensors.jit import leaf


@leaf()
def line_up(groups: Any, line: Line) -> None:
    """Start a line from the cars' numbers, and sort it."""
    for number in range(len(line.order)):
        line.order[number] = number
        line.rank[number] = number
    sort_along_road(groups, line)


@leaf()
def sort_along_road(groups: Any, line: Line) -> None:
    """Sort the line by x, then by number (insertion sort: cars hardly change places between substeps)."""
    x_before = -math.inf
    for place in range(len(line.order)):
        number = line.order[place]
        x = x_of(groups, number)
        if x_before < x:
            line.x_m[place] = x
            x_before = x
            continue
        gap = place - 1
        while gap >= 0 and (line.x_m[gap] > x or (line.x_m[gap] == x and line.order[gap] > number)):
            line.x_m[gap + 1] = line.x_m[gap]
            line.order[gap + 1] = line.order[gap]
            line.rank[line.order[gap]] = gap + 1
            gap -= 1
        line.x_m[gap + 1] = x
        line.order[gap + 1] = number
        line.rank[number] = gap + 1
        x_before = line.x_m[place]


@leaf(forceinline=True)
def counts_on(groups: Any, number: int, lane: float) -> bool:
    """Is a car on a lane, for its neighbours?"""
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    return group.first_lane[slot] <= lane <= group.last_lane[slot]


@leaf()
def front_by_scan(groups: Any, number: int, lane: float) -> int:
    """The car ahead of this one on a lane, or NOBODY, found as highway-env finds it; slots without a car must count on no lane."""
    x, front, front_x = x_of(groups, number), NOBODY, math.inf
    for other in range(len(groups) * SLOTS):
        its_x = x_of(groups, other)
        if x <= its_x and its_x <= front_x and other != number and counts_on(groups, other, lane):
            front, front_x = other, its_x
    return front


@leaf()
def rear_by_scan(groups: Any, number: int, lane: float) -> int:
    """The car behind this one on a lane, or NOBODY, found as highway-env finds it; slots without a car must count on no lane."""
    x, rear, rear_x = x_of(groups, number), NOBODY, -math.inf
    for other in range(len(groups) * SLOTS):
        its_x = x_of(groups, other)
        if rear_x < its_x and its_x < x and counts_on(groups, other, lane):
            rear, rear_x = other, its_x
    return rear


@leaf()
def first_level_with(line: Line, number: int) -> int:
    """Place of the first car at the very x of this one."""
    place = line.rank[number]
    x = line.x_m[place]
    while place > 0 and line.x_m[place - 1] == x:
        place -= 1
    return place


@leaf()
def front_on_lane(groups: Any, line: Line, number: int, lane: float) -> int:
    """The car ahead of this one on a lane, or NOBODY."""
    front, x = NOBODY, math.inf
    for place in range(first_level_with(line, number), len(line.order)):
        if line.x_m[place] > x:
            break
        other = line.order[place]
        if other != number and counts_on(groups, other, lane):
            front, x = other, line.x_m[place]
    return front


@leaf()
def rear_on_lane(groups: Any, line: Line | None, number: int, lane: float) -> int:
    """The car behind this one on a lane, or NOBODY; without a line by a scan of all, as in ``front_by_scan``."""
    if line is None:
        return rear_by_scan(groups, number, lane)
    rear, x = NOBODY, -math.inf
    for place in range(first_level_with(line, number) - 1, -1, -1):
        if line.x_m[place] < x:
            break
        if counts_on(groups, line.order[place], lane):
            rear, x = line.order[place], line.x_m[place]
    return rear


@leaf(forceinline=True)
def look_at(group: Any, slot: int, x: float, vx: float, vy: float) -> None:
    """Note the place and velocity of the car ahead of one."""
    group.gap_m[slot] = x - group.x_m[slot]
    group.front_vx_mps[slot] = vx
    group.front_vy_mps[slot] = vy


@leaf()
def look_ahead(groups: Any, line: Line, ahead: Ahead) -> None:
    """Note the car ahead of every car on its own lane and on those beside it, in one sweep from the front of the road.

    Args:
        groups: The world's cars, written: gap and velocity of the car ahead (a gap of infinity for none), numbers of those beside.
        line: The cars lined up.
        ahead: Room for the last car seen on every lane.
    """
    for row in range(len(ahead.number)):
        ahead.number[row] = NOBODY
        ahead.place[row, 0], ahead.place[row, 1], ahead.place[row, 2] = math.inf, 0.0, 0.0
    last_x, some_level = math.inf, False
    for place in range(len(line.order) - 1, -1, -1):
        number = line.order[place]
        group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
        x, own = line.x_m[place], int(group.lane[slot]) + 1
        look_at(group, slot, ahead.place[own, 0], ahead.place[own, 1], ahead.place[own, 2])
        group.front_left[slot], group.front_right[slot] = ahead.number[own - 1], ahead.number[own + 1]
        some_level |= x == last_x
        last_x = x
        vx, vy = group.speed_mps[slot] * group.cos[slot], group.speed_mps[slot] * group.sin[slot]
        for row in range(int(group.first_lane[slot]) + 1, int(group.last_lane[slot]) + 2):
            if ahead.place[row, 0] != x:  # of cars at one place the last in the list is the one ahead
                ahead.number[row] = number
                ahead.place[row, 0], ahead.place[row, 1], ahead.place[row, 2] = x, vx, vy
    if some_level:
        look_beside(groups, line)


@leaf()
def look_beside(groups: Any, line: Line) -> None:
    """Note the cars ahead again for cars that stand level with others: a search decides."""
    last = len(line.order) - 1
    for place in range(last + 1):
        x = line.x_m[place]
        if not ((place > 0 and line.x_m[place - 1] == x) or (place < last and line.x_m[place + 1] == x)):
            continue
        number = line.order[place]
        group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
        group.front_left[slot] = front_on_lane(groups, line, number, group.lane[slot] - 1.0)
        group.front_right[slot] = front_on_lane(groups, line, number, group.lane[slot] + 1.0)
        front = front_on_lane(groups, line, number, group.lane[slot])
        if front == NOBODY:
            look_at(group, slot, math.inf, 0.0, 0.0)
            continue
        other, its_slot = groups[front >> GROUP_SHIFT], front & SLOT_MASK
        speed = other.speed_mps[its_slot]
        look_at(group, slot, other.x_m[its_slot], speed * other.cos[its_slot], speed * other.sin[its_slot])


@leaf()
def front_noted(groups: Any, line: Line | None, number: int, lane: float) -> int:
    """The car ahead of this one on another lane, or NOBODY: as noted for the lanes beside its own, searched for further away.

    Without a line nothing is noted, and all cars are scanned.
    """
    if line is None:
        return front_by_scan(groups, number, lane)
    group, slot = groups[number >> GROUP_SHIFT], number & SLOT_MASK
    if lane == group.lane[slot] - 1.0:
        return group.front_left[slot]
    if lane == group.lane[slot] + 1.0:
        return group.front_right[slot]
    return front_on_lane(groups, line, number, lane)
