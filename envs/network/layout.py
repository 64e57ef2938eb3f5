"""What roads and worlds are made of: records for lanes, roads and links, for cars and obstacles, and for an episode."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOBODY = -1
"""No car, no lane, no road, no route."""

STRAIGHT, SINE, ARC = range(3)

LANE = np.dtype(
    [
        ("start_x_m", np.float64),  # of straight and sine lanes
        ("start_y_m", np.float64),
        ("direction_x", np.float64),
        ("direction_y", np.float64),
        ("aside_x", np.float64),  # unit vector to the right of the direction
        ("aside_y", np.float64),
        ("heading_rad", np.float64),
        ("amplitude_m", np.float64),  # of sine lanes
        ("pulsation_per_m", np.float64),
        ("phase_rad", np.float64),
        ("center_x_m", np.float64),  # of arcs
        ("center_y_m", np.float64),
        ("radius_m", np.float64),
        ("start_phase_rad", np.float64),
        ("turn", np.float64),  # +1 clockwise with y down, else -1
        ("length_m", np.float64),
        ("width_m", np.float64),
        ("speed_limit_mps", np.float64),
        ("low_x_m", np.float64),  # box around the middle line: no point is nearer to the lane than to this box
        ("low_y_m", np.float64),
        ("high_x_m", np.float64),
        ("high_y_m", np.float64),
        ("near_low_x_m", np.float64),  # box around every point that counts as on the lane, margins included
        ("near_low_y_m", np.float64),
        ("near_high_x_m", np.float64),
        ("near_high_y_m", np.float64),
        ("kind", np.int32),
        ("road", np.int32),
        ("index", np.int32),  # place in its road, from the left
        ("count", np.int32),  # lanes of its road
        ("priority", np.int32),
        ("first_link", np.int32),  # lanes searched for neighbours from here: itself, and connected ones
        ("links", np.int32),
        ("forbidden", np.bool_),  # nobody changes to it
    ],
    align=True,
)
"""A lane of highway-env's network, in its order, so that numbers mean the same in both."""

ROAD = np.dtype(
    [
        ("start", np.int32),  # node
        ("end", np.int32),
        ("first_lane", np.int32),
        ("lanes", np.int32),
        ("first_exit", np.int32),  # roads that leave its end are neighbours in the table
        ("exits", np.int32),
        ("leaves", np.bool_),  # an exit of the intersection
    ],
    align=True,
)

LINK = np.dtype([("lane", np.int32), ("offset_m", np.float64)], align=True)
"""A lane on which a neighbour may be, and what its run is shifted by."""

BY_IDM, BY_COMMAND, BY_WHEEL, BY_TYRES, OBSTACLE, LANDMARK = range(6)
"""What moves it: IDM and MOBIL, meta-actions, steering and acceleration, the same through tyres; or nothing does."""

CAR = np.dtype(
    [
        ("x_m", np.float64),
        ("y_m", np.float64),
        ("heading_rad", np.float64),
        ("cos", np.float64),  # of the heading
        ("sin", np.float64),
        ("speed_mps", np.float64),
        ("target_speed_mps", np.float64),
        ("steering_rad", np.float64),  # controls of the last substep
        ("acceleration_mps2", np.float64),
        ("yaw_rate_radps", np.float64),
        ("lateral_speed_mps", np.float64),  # of a car on tyres
        ("impact_x_m", np.float64),  # push that a collision gives at the next substep
        ("impact_y_m", np.float64),
        ("timer_s", np.float64),  # since the last thought about changing lane
        ("exponent", np.float64),  # of the free-road term of the IDM
        ("jam_distance_m", np.float64),  # centre to centre
        ("comfort_mps2", np.float64),  # a of the IDM
        ("twice_root_mps2", np.float64),  # 2 sqrt(a b) of the IDM
        ("politeness", np.float64),  # of MOBIL
        ("slowest_mps", np.float64),  # acceleration pulls speeds beyond these back
        ("fastest_mps", np.float64),
        ("length_m", np.float64),
        ("width_m", np.float64),
        ("diagonal_m", np.float64),
        ("run_m", np.float64),  # place in the frame of its lane; derived, made anew with every move
        ("offset_m", np.float64),
        ("lane", np.int32),  # NOBODY for obstacles
        ("target_lane", np.int32),
        ("route", np.int32),  # row of the routes table, NOBODY for none
        ("route_place", np.int32),  # how many of its roads were dropped
        ("route_lane", np.int32),  # lane in its first road, where the route was planned
        ("speed_index", np.int32),
        ("driver", np.int32),
        ("yields", np.bool_),
        ("pushed", np.bool_),
        ("crashed", np.bool_),
        ("changes_lanes", np.bool_),
        ("varied", np.bool_),  # by domain randomisation
        ("looks_out", np.bool_),  # collisions count for pairs of which at least one does
    ],
    align=True,
)
"""A car or an obstacle, in highway-env's frame (y to the right)."""

EPISODE = np.dtype(
    [
        ("state_high", np.uint64),  # PCG64: 128-bit state, 128-bit increment
        ("state_low", np.uint64),
        ("increment_high", np.uint64),
        ("increment_low", np.uint64),
        ("buffered", np.uint32),  # the unused half of a 64-bit draw
        ("has_buffered", np.bool_),
        ("seed", np.int64),
        ("substeps", np.int64),  # since reset
        ("decisions", np.int64),
        ("clock_s", np.float64),  # highway-env's time: a sum of 1 / policy_frequency
        ("action", np.int64),  # last one by its number, NOBODY at reset and for continuous ones
        ("throttle", np.float64),  # last continuous action, as given
        ("wheel", np.float64),
        ("vehicles", np.int32),  # how many of the car records are in use, in highway-env's order
        ("ego", np.int32),  # its place among them; other agents follow it
        ("appeared", np.int64),  # cars that domain randomisation has seen
        ("road_steps", np.int64),  # of the road, which counts those before the episode too
        ("kept_lane", np.int32),  # which lane is to be kept (lane-keeping), and after it
        ("next_kept_lane", np.int32),
        ("goal", np.int32),  # record of the goal (parking), NOBODY for none
    ],
    align=True,
)
"""What a world holds beside its cars."""

OUTCOME = np.dtype([("reward", np.float64), ("terminated", np.bool_), ("truncated", np.bool_)], align=True)
"""What a decision earned."""

LANE_LEFT, IDLE, LANE_RIGHT, FASTER, SLOWER = range(5)


class Network(NamedTuple):
    """The tables of a road network, shared by all worlds."""

    lanes: NDArray[np.void]  # (L,) LANE
    roads: NDArray[np.void]  # (R,) ROAD
    links: NDArray[np.void]  # LINK
    routes: NDArray[np.int32]  # (rows, M) roads in turn, NOBODY after the last; a row for every road and destination


RULES = np.dtype(
    (
        np.record,
        [
            ("substep_s", np.float64),
            ("substeps", np.int64),
            ("decision_s", np.float64),
            ("duration_s", np.float64),  # truncated from then on; infinity for never
            ("limit", np.int64),  # decisions after which gymnasium truncates; 0 for no such limit
            ("room", np.int64),  # records kept for vehicles; those of obstacles follow
            ("regulation", np.int64),  # substeps between two looks at who has to yield; 0 for never
            ("agents", np.int64),  # cars that actions drive, one after the other from the ego on; 1 where there is but the ego
            ("ego_driver", np.int64),  # what moves the ego unless it is handed over: BY_COMMAND, BY_WHEEL or BY_TYRES
            ("ego_slowest_mps", np.float64),
            ("ego_fastest_mps", np.float64),
            ("jam_distance_m", np.float64),  # of the IDM, as are the next two; an intersection has its own
            ("comfort_mps2", np.float64),
            ("twice_root_mps2", np.float64),
            ("destination", np.int64),  # where an autopilot without a route goes, by its place among the destinations, or NOBODY
            ("destinations", np.int64),  # the routes table has a row for every road and destination
        ],
    ),
    align=True,
)
"""Numbers that every scenario has and all worlds of a batch share; a record, because tuples of numbers are slow to hand to a kernel."""

Rules = Any
"""One RULES record."""
