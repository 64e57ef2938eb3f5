"""The physics of one car as scalar functions: IDM, lane keeping, speed tracking, the kinematic bicycle.

Sources: M. Treiber, A. Hennecke, D. Helbing, "Congested traffic states in empirical observations and microscopic simulations",
2000 (IDM); P. Polack et al., "The kinematic bicycle model: a consistent model for planning feasible trajectories?", 2017 (bicycle);
both with highway-env's constants (highway_env/vehicle/behavior.py, controller.py, kinematics.py).
"""

from __future__ import annotations

import math

from envs.traffic.elementary import PI, clip, dot2, leaf, not_zero, wrap_to_pi
from envs.traffic.layout import LANE_WIDTH_M, LENGTH_M, ROAD_LENGTH_M, SPEED_LIMIT_MPS, TOP_SPEED_MPS

COMFORT_ACCELERATION_MPS2 = 3.0
JAM_DISTANCE_M = 10.0  # centre to centre
TIME_GAP_S = 1.5
TWICE_ROOT_COMFORT = 2.0 * math.sqrt(15.0)  # 2 sqrt(a b) with a = 3, b = 5 m/s2
MAX_ACCELERATION_MPS2 = 6.0

SPEED_GAIN = 1.0 / 0.6
LATERAL_GAIN = 1.0 / 0.6
HEADING_GAIN = 1.0 / 0.2
MAX_STEERING_RAD = PI / 3.0
MAX_LANE_HEADING_RAD = PI / 4.0
HALF_LENGTH_M = LENGTH_M / 2.0


@leaf()
def free_acceleration(speed: float, target_speed: float, exponent: float) -> float:
    """IDM acceleration on a free road [m/s2]."""
    wanted = abs(not_zero(clip(target_speed, 0.0, SPEED_LIMIT_MPS)))
    return COMFORT_ACCELERATION_MPS2 * (1.0 - math.pow(max(speed, 0.0) / wanted, exponent))


@leaf()
def desired_gap(speed: float, cos: float, sin: float, front_speed: float, front_cos: float, front_sin: float) -> float:
    """Gap that a car wants to the one ahead [m], the difference of velocities projected on its heading."""
    closing = dot2(speed * cos - front_speed * front_cos, speed * sin - front_speed * front_sin, cos, sin)
    return JAM_DISTANCE_M + speed * TIME_GAP_S + speed * closing / TWICE_ROOT_COMFORT


@leaf()
def braking(wanted_gap: float, gap: float) -> float:
    """What the car ahead takes from the free acceleration [m/s2]."""
    ratio = wanted_gap / not_zero(gap)
    return COMFORT_ACCELERATION_MPS2 * (ratio * ratio)


@leaf()
def lane_steering(y: float, heading: float, speed: float, lane: int) -> float:
    """Steering that brings a car to the middle of a lane [rad]: lateral speed, heading, heading rate, steering in cascade."""
    lateral = y - LANE_WIDTH_M * lane
    if lateral == 0.0 and heading == 0.0:  # every factor below is exactly zero
        return 0.0
    divisor = not_zero(speed)
    heading_command = math.asin(clip(-LATERAL_GAIN * lateral / divisor, -1.0, 1.0))
    heading_error = wrap_to_pi(clip(heading_command, -MAX_LANE_HEADING_RAD, MAX_LANE_HEADING_RAD) - heading)
    slip = math.asin(clip(HALF_LENGTH_M / divisor * (HEADING_GAIN * heading_error), -1.0, 1.0))
    return clip(math.atan(2.0 * math.tan(slip)), -MAX_STEERING_RAD, MAX_STEERING_RAD)


@leaf()
def speed_tracking(speed: float, target_speed: float) -> float:
    """Acceleration of a commanded car towards its set speed [m/s2]."""
    return SPEED_GAIN * (target_speed - speed)


@leaf()
def cap_acceleration(speed: float, acceleration: float) -> float:
    """Pull speeds beyond 40 m/s, forwards or backwards, back to it."""
    if speed > TOP_SPEED_MPS:
        return min(acceleration, TOP_SPEED_MPS - speed)
    if speed < -TOP_SPEED_MPS:
        return max(acceleration, -TOP_SPEED_MPS - speed)
    return acceleration


@leaf()
def lane_to_the_left(y: float, lanes: int) -> int:
    """The lane whose middle a point is on or just right of; the outermost ones beyond the edges."""
    if y <= 0.0:
        return 0
    return min(int(y / LANE_WIDTH_M), lanes - 1)


@leaf()
def closest_lane(x: float, y: float, heading: float, lanes: int) -> int:
    """The lane with the smallest sum of lateral distance, overshoot and heading error; the first one of equals.

    Only the two lanes beside the point can be it; the others are a lane's width further.
    """
    left = lane_to_the_left(y, lanes)
    right = min(left + 1, lanes - 1)
    angle = abs(wrap_to_pi(heading)) if heading != 0.0 else 0.0
    beyond, before = max(x - ROAD_LENGTH_M, 0.0), max(-x, 0.0)
    to_left = abs(y - LANE_WIDTH_M * left) + beyond + before + angle
    to_right = abs(y - LANE_WIDTH_M * right) + beyond + before + angle
    return right if to_right < to_left else left


@leaf()
def on_lane(x: float, y: float, lane: int, half_width: float) -> bool:
    """Is a point within some half width of a lane's middle, and within a car's length of its ends?"""
    return abs(y - LANE_WIDTH_M * lane) <= half_width and -LENGTH_M <= x < ROAD_LENGTH_M + LENGTH_M


@leaf()
def reachable(x: float, y: float, lane: int) -> bool:
    """May a car at a point set out for a lane?"""
    return abs(y - LANE_WIDTH_M * lane) <= 2.0 * LANE_WIDTH_M and 0.0 <= x < ROAD_LENGTH_M + LENGTH_M
