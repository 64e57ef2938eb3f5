"""What a world is made of: one record a car, one record an episode, and the rules that all worlds of a batch share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LENGTH_M = 5.0
WIDTH_M = 2.0
LANE_WIDTH_M = 4.0
ROAD_LENGTH_M = 10_000.0
SPEED_LIMIT_MPS = 30.0
PERCEPTION_M = 200.0
TOP_SPEED_MPS = 40.0

LANE_LEFT, IDLE, LANE_RIGHT, FASTER, SLOWER = range(5)

NOBODY = -1
UNKNOWN = -2

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
        ("rank", np.int32),  # place along the road; derived, rebuilt in every step
        ("front", np.int32),  # car ahead on the own lane; derived, rebuilt in every substep
        ("crashed", np.bool_),
        ("autonomous", np.bool_),  # drives by IDM and MOBIL; else follows commands
    ],
    align=True,
)
"""A car, in highway-env's frame (y to the right)."""

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
