"""What a world is made of: one record a car, one record an episode, and the rules that all worlds of a batch share.

Between decisions cars are CAR records. While a world is stepped they stand in GROUP records, eight cars to a group and one row of
eight numbers to a field, so that loops over a group's cars vectorise whatever the number of cars.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LENGTH_M = 5.0
WIDTH_M = 2.0
LANE_WIDTH_M = 4.0
ROAD_LENGTH_M = 10_000.0
SPEED_LIMIT_MPS = 30.0
PERCEPTION_M = 200.0
TOP_SPEED_MPS = 40.0

LANE_LEFT, IDLE, LANE_RIGHT, FASTER, SLOWER = range(5)

NOBODY = -1

CAR = np.dtype(
    [
        ("x_m", np.float64),
        ("y_m", np.float64),
        ("heading_rad", np.float64),
        ("cos", np.float64),  # of the heading
        ("sin", np.float64),
        ("speed_mps", np.float64),
        ("target_speed_mps", np.float64),
        ("exponent", np.float64),  # of the free-road term of the IDM
        ("timer_s", np.float64),  # since the last thought about changing lane
        ("steering_rad", np.float64),  # controls of the last substep
        ("acceleration_mps2", np.float64),
        ("yaw_rate_radps", np.float64),
        ("impact_x_m", np.float64),  # push that a collision gives at the next substep
        ("impact_y_m", np.float64),
        ("impact_partner", np.int32),  # car that gave it, NOBODY for none
        ("lane", np.int32),
        ("target_lane", np.int32),
        ("crashed", np.bool_),
        ("autonomous", np.bool_),  # drives by IDM and MOBIL; else follows commands
    ],
    align=True,
)
"""A car, in highway-env's frame (y to the right)."""

SLOTS = 8
GROUP_SHIFT = 3  # SLOTS is 2**3
SLOT_MASK = SLOTS - 1

GROUP = np.dtype(
    [
        (name, kind, (SLOTS,))
        for kind, names in (
            (
                np.float64,
                (
                    "x_m y_m heading_rad cos sin speed_mps target_speed_mps exponent timer_s acceleration_mps2 yaw_rate_radps "
                    "impact_x_m impact_y_m lane target_lane "  # as in CAR
                    "steering_rad "  # in fast mode the sine of the slip angle stands here until the decision is over
                    "free_mps2 "  # acceleration on a free road
                    "gap_m front_vx_mps front_vy_mps "  # to the car ahead on the own lane, infinity for none; its velocity
                    "first_lane last_lane"  # lanes that the car counts on; last < first for none
                ).split(),
            ),
            (
                np.int64,
                (
                    "impact_partner crashed autonomous "
                    "thinks "  # about lanes, in this substep
                    "front_left front_right"  # car ahead on the lane to either side
                ).split(),
            ),
        )
        for name in names
    ],
    align=True,
)
"""Eight cars while they are stepped. Every field is eight bytes wide, as loops over fields of several widths do not vectorise."""

EPISODE = np.dtype(
    [
        ("state_high", np.uint64),  # PCG64: 128-bit state, 128-bit increment
        ("state_low", np.uint64),
        ("increment_high", np.uint64),
        ("increment_low", np.uint64),
        ("buffered", np.uint32),  # the unused half of a 64-bit draw
        ("has_buffered", np.bool_),
        ("seed", np.int64),
        ("substeps", np.int64),
        ("clock_s", np.float64),  # highway-env's time: a sum of 1 / policy_frequency
        ("action", np.int64),  # last one by its number, NOBODY at reset
    ],
    align=True,
)
"""What a world holds beside its cars."""

OUTCOME = np.dtype(
    [
        ("reward", np.float64),
        ("collision_reward", np.float64),
        ("right_lane_reward", np.float64),
        ("high_speed_reward", np.float64),
        ("on_road_reward", np.float64),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ],
    align=True,
)
"""What a decision earned; the terms have highway-env's names."""

TERMS = ("collision_reward", "right_lane_reward", "high_speed_reward", "on_road_reward")


class Rules(NamedTuple):
    """Numbers that all worlds of a batch share."""

    lanes: int
    substep_s: float
    substeps: int
    decision_s: float
    duration_s: float
    all_collide: bool
    """False: only the ego's collisions are looked for (highway-fast-v0)."""
    ego_lane: int
    """Where the ego starts; NOBODY draws it."""
    ego_spacing: float
    spacing: float
    lane_crowding: float
    """exp(-5 / 40 * lanes): cars stand closer on wider roads."""
    collision_weight: float
    right_lane_weight: float
    high_speed_weight: float
    reward_speed_low_mps: float
    reward_speed_high_mps: float
    normalize: bool
    offroad_terminal: bool
    fast: bool | None = None
    """None: exact mode. True: fast mode. The kernels are compiled for the one type or the other."""


class Line(NamedTuple):
    """Cars lined up along the road: by x, of equals by number."""

    order: NDArray[np.int64]  # (A,) numbers of the cars
    rank: NDArray[np.int64]  # (A,) place of every car
    x_m: NDArray[np.float64]  # (A,) along the line


class Ahead(NamedTuple):
    """The car seen last on every lane while all are gone through from the front of the road; lane 0 stands in row 1."""

    number: NDArray[np.int64]  # (lanes + 2,)
    place: NDArray[np.float64]  # (lanes + 2, 3) x [m], velocity [m/s]


class Room(NamedTuple):
    """Where a thread steps one world after another."""

    groups: NDArray[np.void]  # (ceil(A / SLOTS),) GROUP records
    line: Line
    ahead: Ahead
