"""The geometry of one lane: run along it and offset to its right, place and heading at a run, who is on it, how far it is.

As highway_env.road.lane, operation by operation. A point outside a lane's box is rejected before anything is computed exactly.
"""

from __future__ import annotations

import math
from typing import Any

from envs.network.layout import ARC, SINE
from envs.traffic import libm
from envs.traffic.elementary import PI, dot2, norm2, wrap_to_pi
from sensors.jit import leaf

CAR_LENGTH_M = 5.0
LANE_MARGIN_M = 1.0
"""A neighbour may be this far beyond the edge of a lane."""
SLACK_M = 1e-6


@leaf(forceinline=True)
def lane_frame(lane: Any, x: float, y: float) -> tuple[float, float]:
    """Run along a lane and offset to its right [m] (AbstractLane.local_coordinates)."""
    if lane.kind == ARC:
        dx, dy = x - lane.center_x_m, y - lane.center_y_m
        phase = lane.start_phase_rad + wrap_to_pi(math.atan2(dy, dx) - lane.start_phase_rad)
        return lane.turn * (phase - lane.start_phase_rad) * lane.radius_m, lane.turn * (lane.radius_m - norm2(dx, dy))
    dx, dy = x - lane.start_x_m, y - lane.start_y_m
    run = dot2(dx, dy, lane.direction_x, lane.direction_y)
    offset = dot2(dx, dy, lane.aside_x, lane.aside_y)
    if lane.kind == SINE:
        offset -= lane.amplitude_m * libm.sine(lane.pulsation_per_m * run + lane.phase_rad)
    return run, offset


@leaf(forceinline=True)
def frame_of(lanes: Any, number: int, car: Any) -> tuple[float, float]:
    """Run and offset of a car in the frame of a lane [m]; those in its own lane are known."""
    if number == car.lane:
        return car.run_m, car.offset_m
    return lane_frame(lanes[number], car.x_m, car.y_m)


@leaf(forceinline=True)
def lane_heading(lane: Any, run: float) -> float:
    """Heading of a lane at a run [rad] (AbstractLane.heading_at)."""
    if lane.kind == ARC:
        return lane.turn * run / lane.radius_m + lane.start_phase_rad + PI / 2.0 * lane.turn
    if lane.kind == SINE:
        slope = lane.amplitude_m * lane.pulsation_per_m * libm.cosine(lane.pulsation_per_m * run + lane.phase_rad)
        return lane.heading_rad + libm.arctangent(slope)
    return lane.heading_rad


@leaf()
def place_on_lane(lane: Any, run: float, offset: float) -> tuple[float, float]:
    """Point at a run and an offset to the right [m] (AbstractLane.position)."""
    if lane.kind == ARC:
        phase = lane.turn * run / lane.radius_m + lane.start_phase_rad
        radius = lane.radius_m - offset * lane.turn
        cos, sin = libm.cosine_sine(phase)
        return lane.center_x_m + radius * cos, lane.center_y_m + radius * sin
    if lane.kind == SINE:
        offset = offset + lane.amplitude_m * libm.sine(lane.pulsation_per_m * run + lane.phase_rad)
    x = lane.start_x_m + run * lane.direction_x + offset * lane.aside_x
    return x, lane.start_y_m + run * lane.direction_y + offset * lane.aside_y


@leaf(forceinline=True)
def is_on(lane: Any, run: float, offset: float, margin: float) -> bool:
    """Does a place in a lane's frame count as on it? (AbstractLane.on_lane)."""
    return abs(offset) <= lane.width_m / 2.0 + margin and -CAR_LENGTH_M <= run < lane.length_m + CAR_LENGTH_M


@leaf(forceinline=True)
def may_be_on(lane: Any, x: float, y: float) -> bool:
    """Is a point in the box outside which nothing is on a lane, margin included?"""
    return lane.near_low_x_m <= x <= lane.near_high_x_m and lane.near_low_y_m <= y <= lane.near_high_y_m


@leaf()
def is_reachable(lane: Any, x: float, y: float) -> bool:
    """May a car at a point set out for a lane? (AbstractLane.is_reachable_from)."""
    if lane.forbidden:
        return False
    run, offset = lane_frame(lane, x, y)
    return abs(offset) <= 2.0 * lane.width_m and 0.0 <= run < lane.length_m + CAR_LENGTH_M


@leaf(forceinline=True)
def beyond_ends(run: float, length: float) -> tuple[float, float]:
    """How far a run is beyond a lane's end, and before its start [m]."""
    return max(run - length, 0.0), max(0.0 - run, 0.0)


@leaf()
def lane_distance(lane: Any, x: float, y: float) -> float:
    """Distance of a point from a lane [m]: offset and overshoot (AbstractLane.distance)."""
    run, offset = lane_frame(lane, x, y)
    after, before = beyond_ends(run, lane.length_m)
    return abs(offset) + after + before


@leaf(forceinline=True)
def box_distance2(lane: Any, x: float, y: float) -> float:
    """Squared distance of a point from the box around a lane's middle line [m2]; no point of the lane is nearer."""
    dx = max(lane.low_x_m - x, 0.0, x - lane.high_x_m)
    dy = max(lane.low_y_m - y, 0.0, y - lane.high_y_m)
    return dx * dx + dy * dy


@leaf(forceinline=True)
def lane_fit(lane: Any, x: float, y: float, heading: float) -> tuple[float, float, float]:
    """Distance of a pose from a lane, its heading error counted in full, then run and offset (distance_with_heading)."""
    run, offset = lane_frame(lane, x, y)
    after, before = beyond_ends(run, lane.length_m)
    angle = abs(wrap_to_pi(heading - lane_heading(lane, run)))
    return abs(offset) + after + before + angle, run, offset


@leaf(forceinline=True)
def closest_lane(lanes: Any, x: float, y: float, heading: float, guess: int) -> tuple[int, float, float]:
    """The lane that fits a pose best, the first of equals; lanes whose box is too far away are not looked at closely.

    Args:
        lanes: LANE records of the network.
        x: Place [m].
        y: See there.
        heading: Heading [rad].
        guess: Lane to begin with; the answer does not depend on it.

    Returns:
        Its number, and the run and offset there [m].
    """
    best, run, offset = lane_fit(lanes[guess], x, y, heading)
    chosen = guess
    for number in range(len(lanes)):
        reach = best + SLACK_M
        if number == guess or box_distance2(lanes[number], x, y) > reach * reach:
            continue
        fit, its_run, its_offset = lane_fit(lanes[number], x, y, heading)
        if fit < best or (fit == best and number < chosen):
            best, chosen, run, offset = fit, number, its_run, its_offset
    return chosen, run, offset
