"""One substep of a car: the kinematic bicycle by explicit Euler or the one on tyres by Runge-Kutta, and the lane it is then on.

Sources: P. Polack et al. 2017 as in envs.traffic.physics; R. Rajamani, "Lateral Vehicle Dynamics", 2011, chapter 2, with highway-env's
constants (highway_env/vehicle/dynamics.py).
"""

from __future__ import annotations

from typing import Any

from envs.network.geometry import closest_lane
from envs.network.layout import BY_IDM, BY_TYRES
from envs.network.rotation import mixed_of_one
from envs.traffic import libm
from envs.traffic.elementary import PI, clip
from sensors.jit import leaf

MASS_KG = 1.0
TO_AXLE_M = 2.5
INERTIA_KGM2 = 1.0 / 12.0 * MASS_KG * (25.0 + 4.0)
STIFFNESS_N = 15.0 * MASS_KG
TOP_YAW_RATE_RADPS = 2.0 * PI
SLIDING_BELOW_MPS = 1.0

Motion = tuple[float, float, float, float, float, float]
"""Place, heading, speed along and across, yaw rate; or their rates of change."""


@leaf(forceinline=True)
def limit_controls(car: Any) -> None:
    """A crashed car lets go of the wheel and stops with a time constant of 1 s; speeds beyond its limits are pulled back."""
    if car.crashed:
        car.steering_rad = 0.0
        car.acceleration_mps2 = -car.speed_mps
    if car.speed_mps > car.fastest_mps:
        car.acceleration_mps2 = min(car.acceleration_mps2, car.fastest_mps - car.speed_mps)
    elif car.speed_mps < car.slowest_mps:
        car.acceleration_mps2 = max(car.acceleration_mps2, car.slowest_mps - car.speed_mps)


@leaf(forceinline=True)
def turn_and_roll(car: Any, dt: float) -> None:
    """Move by the slip angle of the steered bicycle. Without steering the heading's sine and cosine are still right."""
    if car.steering_rad == 0.0:
        car.yaw_rate_radps = 0.0
        car.x_m += car.speed_mps * car.cos * dt
        car.y_m += car.speed_mps * car.sin * dt
        return
    slip = libm.arctangent(0.5 * libm.tangent(car.steering_rad))
    course_cos, course_sin = libm.cosine_sine(car.heading_rad + slip)
    car.x_m += car.speed_mps * course_cos * dt
    car.y_m += car.speed_mps * course_sin * dt
    car.yaw_rate_radps = car.speed_mps * libm.sine(slip) / (car.length_m / 2.0)
    car.heading_rad += car.yaw_rate_radps * dt
    car.cos, car.sin = libm.cosine_sine(car.heading_rad)


@leaf(forceinline=True)
def take_push(car: Any) -> None:
    """Move by the push of a collision that the last substep foresaw: now the car has crashed."""
    if car.pushed:
        car.x_m += car.impact_x_m
        car.y_m += car.impact_y_m
        car.crashed = True
        car.pushed = False


@leaf()
def tyre_rates(motion: Motion, steering: float, acceleration: float) -> Motion:
    """Rates of change of a car on tyres (BicycleVehicle.derivative_func)."""
    heading, speed, across, yaw_rate = motion[2], motion[3], motion[4], motion[5]
    front = 2.0 * STIFFNESS_N * (steering - libm.direction(across + TO_AXLE_M * yaw_rate, speed))
    rear = 2.0 * STIFFNESS_N * (0.0 - libm.direction(across - TO_AXLE_M * yaw_rate, speed))
    if abs(speed) < SLIDING_BELOW_MPS:
        front = -MASS_KG * across - INERTIA_KGM2 / TO_AXLE_M * yaw_rate
        rear = -MASS_KG * across + INERTIA_KGM2 / TO_AXLE_M * yaw_rate
    cos, sin = libm.cosine_sine(heading)
    return (
        mixed_of_one(cos, -sin, speed, across),
        mixed_of_one(sin, cos, speed, across),
        yaw_rate,
        acceleration,
        1.0 / MASS_KG * (front + rear) - yaw_rate * speed,
        1.0 / INERTIA_KGM2 * (TO_AXLE_M * front - TO_AXLE_M * rear),
    )


@leaf()
def added(motion: Motion, rates: Motion, dt: float) -> Motion:
    """A motion some time later at constant rates."""
    return (
        motion[0] + rates[0] * dt,
        motion[1] + rates[1] * dt,
        motion[2] + rates[2] * dt,
        motion[3] + rates[3] * dt,
        motion[4] + rates[4] * dt,
        motion[5] + rates[5] * dt,
    )


@leaf()
def mixed(first: float, second: float, third: float, fourth: float) -> float:
    """Runge and Kutta's weights."""
    return first + 2.0 * second + 2.0 * third + fourth


@leaf()
def drive_on_tyres(car: Any, dt: float) -> None:
    """Advance a car on tyres; its push is never taken, as in highway-env."""
    car.steering_rad = clip(car.steering_rad, -PI / 2.0, PI / 2.0)
    yaw_rate = clip(car.yaw_rate_radps, -TOP_YAW_RATE_RADPS, TOP_YAW_RATE_RADPS)
    start = (car.x_m, car.y_m, car.heading_rad, car.speed_mps, car.lateral_speed_mps, yaw_rate)
    f1 = tyre_rates(start, car.steering_rad, car.acceleration_mps2)
    f2 = tyre_rates(added(start, f1, dt / 2.0), car.steering_rad, car.acceleration_mps2)
    f3 = tyre_rates(added(start, f2, dt / 2.0), car.steering_rad, car.acceleration_mps2)
    f4 = tyre_rates(added(start, f3, dt), car.steering_rad, car.acceleration_mps2)
    share = dt / 6.0
    car.x_m = start[0] + share * mixed(f1[0], f2[0], f3[0], f4[0])
    car.y_m = start[1] + share * mixed(f1[1], f2[1], f3[1], f4[1])
    car.heading_rad = start[2] + share * mixed(f1[2], f2[2], f3[2], f4[2])
    car.speed_mps = start[3] + share * mixed(f1[3], f2[3], f3[3], f4[3])
    car.lateral_speed_mps = start[4] + share * mixed(f1[4], f2[4], f3[4], f4[4])
    car.yaw_rate_radps = start[5] + share * mixed(f1[5], f2[5], f3[5], f4[5])
    car.cos, car.sin = libm.cosine_sine(car.heading_rad)


@leaf(forceinline=True)
def move(car: Any, lanes: Any, dt: float) -> None:
    """Advance one car by a substep."""
    if car.driver == BY_IDM:
        car.timer_s += dt
    limit_controls(car)
    if car.driver == BY_TYRES:
        drive_on_tyres(car, dt)
    else:
        turn_and_roll(car, dt)
        take_push(car)
        car.speed_mps += car.acceleration_mps2 * dt
    car.lane, car.run_m, car.offset_m = closest_lane(lanes, car.x_m, car.y_m, car.heading_rad, car.lane)
