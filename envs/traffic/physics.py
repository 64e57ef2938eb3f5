"""The physics of one car as scalar functions: IDM, lane keeping, speed tracking, the kinematic bicycle.

Sources: M. Treiber, A. Hennecke, D. Helbing, "Congested traffic states in empirical observations and microscopic simulations",
2000 (IDM); P. Polack et al., "The kinematic bicycle model: a consistent model for planning feasible trajectories?", 2017 (bicycle);
both with highway-env's constants (highway_env/vehicle/behavior.py, controller.py, kinematics.py).

One source serves both modes, which the type of ``fast`` selects when kernels are compiled. None takes the C library's elementary
functions, for highway-env's very numbers. True takes polynomials, and goes round the steering angle: with slip angle b,
highway-env's steering atan(2 tan(b)) becomes a slip of atan(0.5 tan(steering)), which is b again.
"""

from __future__ import annotations

import math

from envs.traffic import libm
from envs.traffic.elementary import PI, TWO_PI, clip, dot2, floor, not_zero, wrap_to_pi
from envs.traffic.layout import LANE_WIDTH_M, LENGTH_M, ROAD_LENGTH_M, SPEED_LIMIT_MPS, TOP_SPEED_MPS
from envs.traffic.libm import LEAST_BASE, plain_power
from envs.traffic.polynomials import ROOT_HALF, arcsine, cosine_sine, power
from sensors.jit import leaf

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
MAX_LANE_HEADING_SINE = ROOT_HALF
MAX_SLIP_SINE = math.sin(math.atan(0.5 * math.tan(MAX_STEERING_RAD)))
CERTAIN_LANE_HEADING_SINE = MAX_LANE_HEADING_SINE + 1e-3
"""Beyond it the heading wanted is at its limit, whatever the last digits are."""
CERTAIN_SLIP_SINE = MAX_SLIP_SINE + 1e-3
"""And beyond this the steering."""
HALF_LENGTH_M = LENGTH_M / 2.0
LANE_MARGIN_M = LANE_WIDTH_M / 2.0 + 1.0


@leaf(forceinline=True)
def free_acceleration(speed: float, target_speed: float, exponent: float, fast: bool | None) -> float:
    """IDM acceleration on a free road [m/s2]."""
    wanted = abs(not_zero(clip(target_speed, 0.0, SPEED_LIMIT_MPS)))
    share = max(speed, 0.0) / wanted
    if fast is None:  # what is below the least base leaves 1 as it is
        return COMFORT_ACCELERATION_MPS2 * (1.0 - plain_power(max(share, LEAST_BASE), exponent))
    return COMFORT_ACCELERATION_MPS2 * (1.0 - power(share, exponent))


@leaf(forceinline=True)
def desired_gap(speed: float, cos: float, sin: float, front_vx: float, front_vy: float) -> float:
    """Gap that a car wants to the one ahead [m], the difference of velocities projected on its heading."""
    closing = dot2(speed * cos - front_vx, speed * sin - front_vy, cos, sin)
    return JAM_DISTANCE_M + speed * TIME_GAP_S + speed * closing / TWICE_ROOT_COMFORT


@leaf(forceinline=True)
def braking(wanted_gap: float, gap: float) -> float:
    """What the car ahead takes from the free acceleration [m/s2]."""
    ratio = wanted_gap / not_zero(gap)
    return COMFORT_ACCELERATION_MPS2 * (ratio * ratio)


@leaf(forceinline=True)
def heading_wanted(sine: float, fast: bool | None) -> float:
    """Heading that crosses lanes at some share of the speed, at most 45 degrees [rad]."""
    if fast is None:
        if abs(sine) > CERTAIN_LANE_HEADING_SINE:
            return math.copysign(MAX_LANE_HEADING_RAD, sine)
        return clip(libm.arcsine(sine), -MAX_LANE_HEADING_RAD, MAX_LANE_HEADING_RAD)
    return arcsine(clip(sine, -MAX_LANE_HEADING_SINE, MAX_LANE_HEADING_SINE))


@leaf(forceinline=True)
def heading_difference(angle: float, fast: bool | None) -> float:
    """Wrap an angle to [-pi, pi)."""
    if fast is None:
        return wrap_to_pi(angle)
    return angle - TWO_PI * floor((angle + PI) * (1.0 / TWO_PI))


@leaf(forceinline=True)
def steering_to_slip(slip_sine: float) -> float:
    """Steering that leads to a slip angle of some sine [rad], as far as a car steers (ControlledVehicle.steering_control)."""
    if abs(slip_sine) > CERTAIN_SLIP_SINE:
        return math.copysign(MAX_STEERING_RAD, slip_sine)
    return clip(libm.arctangent(2.0 * libm.tangent(libm.arcsine(slip_sine))), -MAX_STEERING_RAD, MAX_STEERING_RAD)


@leaf(forceinline=True)
def lane_steering(y: float, heading: float, speed: float, lane: float, fast: bool | None) -> float:
    """Steering that brings a car to the middle of a lane: lateral speed, heading, heading rate, steering in cascade.

    Returns:
        The steering angle [rad]; in fast mode the sine of the slip angle that it leads to.
    """
    lateral = y - LANE_WIDTH_M * lane
    if fast is None and lateral == 0.0 and heading == 0.0:  # every factor below is exactly zero
        return 0.0
    divisor = not_zero(speed)
    heading_error = heading_difference(heading_wanted(-LATERAL_GAIN * lateral / divisor, fast) - heading, fast)
    slip_sine = HALF_LENGTH_M / divisor * (HEADING_GAIN * heading_error)
    if fast is None:
        return steering_to_slip(slip_sine)
    return clip(slip_sine, -MAX_SLIP_SINE, MAX_SLIP_SINE)


@leaf(forceinline=True)
def course_of(steering: float, heading: float, cos: float, sin: float, fast: bool | None) -> tuple[float, float, float]:
    """Where a steered bicycle goes: cosine and sine of its course, and the sine of its slip angle."""
    if fast is None:
        if steering == 0.0:
            return cos, sin, 0.0
        slip = libm.arctangent(0.5 * libm.tangent(steering))
        course_cos, course_sin = libm.cosine_sine(heading + slip)
        return course_cos, course_sin, libm.sine(slip)
    slip_cosine = math.sqrt(1.0 - steering * steering)
    return cos * slip_cosine - sin * steering, sin * slip_cosine + cos * steering, steering


@leaf(forceinline=True)
def direction_of(heading: float, fast: bool | None) -> tuple[float, float]:
    """Cosine and sine of a heading."""
    if fast is None:
        return libm.cosine_sine(heading)
    return cosine_sine(heading)


@leaf(forceinline=True)
def steering_of_slip(steering: float, fast: bool | None) -> float:
    """The steering angle [rad] behind what ``lane_steering`` gave."""
    if fast is None or steering == 0.0:
        return steering
    slip_cosine = math.sqrt(1.0 - steering * steering)
    return math.atan(2.0 * steering / slip_cosine)


@leaf(forceinline=True)
def speed_tracking(speed: float, target_speed: float) -> float:
    """Acceleration of a commanded car towards its set speed [m/s2]."""
    return SPEED_GAIN * (target_speed - speed)


@leaf(forceinline=True)
def cap_acceleration(speed: float, acceleration: float) -> float:
    """Pull speeds beyond 40 m/s, forwards or backwards, back to it."""
    if speed > TOP_SPEED_MPS:
        return min(acceleration, TOP_SPEED_MPS - speed)
    if speed < -TOP_SPEED_MPS:
        return max(acceleration, -TOP_SPEED_MPS - speed)
    return acceleration


@leaf(forceinline=True)
def lane_to_the_left(y: float, lanes: int) -> float:
    """The lane whose middle a point is on or just right of; the outermost ones beyond the edges."""
    return clip(floor(y / LANE_WIDTH_M), 0.0, lanes - 1.0)


@leaf(forceinline=True)
def closest_lane(x: float, y: float, heading: float, lanes: int, fast: bool | None) -> float:
    """The lane with the smallest sum of lateral distance, overshoot and heading error; the first one of equals.

    Only the two lanes beside the point can be it; the others are a lane's width further. Overshoot and heading error are the same
    for both: they count only where a sum rounds, which fast mode leaves out.
    """
    left = lane_to_the_left(y, lanes)
    right = min(left + 1.0, lanes - 1.0)
    to_left, to_right = abs(y - LANE_WIDTH_M * left), abs(y - LANE_WIDTH_M * right)
    if fast is None:
        angle = abs(wrap_to_pi(heading)) if heading != 0.0 else 0.0
        beyond, before = max(x - ROAD_LENGTH_M, 0.0), max(-x, 0.0)
        to_left = to_left + beyond + before + angle
        to_right = to_right + beyond + before + angle
    return right if to_right < to_left else left


@leaf(forceinline=True)
def lanes_covered(x: float, y: float, lanes: int) -> tuple[float, float]:
    """First and last lane that a point counts on for its neighbours, within 1 m of a lane's edge; last < first for none."""
    left = lane_to_the_left(y, lanes)
    right = left + 1.0
    on_left = abs(y - LANE_WIDTH_M * left) <= LANE_MARGIN_M
    on_right = abs(y - LANE_WIDTH_M * right) <= LANE_MARGIN_M and right < lanes
    on_road = -LENGTH_M <= x < ROAD_LENGTH_M + LENGTH_M
    first, last = left if on_left else right, right if on_right else left
    return (first, last) if on_road else (1.0, 0.0)


@leaf(forceinline=True)
def on_lane(x: float, y: float, lane: float, half_width: float) -> bool:
    """Is a point within some half width of a lane's middle, and within a car's length of its ends?"""
    return abs(y - LANE_WIDTH_M * lane) <= half_width and -LENGTH_M <= x < ROAD_LENGTH_M + LENGTH_M


@leaf(forceinline=True)
def reachable(x: float, y: float, lane: float) -> bool:
    """May a car at a point set out for a lane?"""
    return abs(y - LANE_WIDTH_M * lane) <= 2.0 * LANE_WIDTH_M and 0.0 <= x < ROAD_LENGTH_M + LENGTH_M
