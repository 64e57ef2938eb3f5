"""Where a lidar is, and where each of its columns looks when it is measured."""

from __future__ import annotations

import numpy as np

from sensors.jit import inlined, leaf
from sensors.lidar.actors import View
from sensors.lidar.detector import draw
from sensors.lidar.optics import FIRST_SENSOR, HEAD_STREAM, Optics
from sensors.lidar.pieces import (
    AZIMUTH_NOISE,
    ELEVATION_NOISE,
    GX,
    GY,
    GZ,
    MOVED_X,
    MOVED_Y,
    TIME,
    VECTOR,
    ZX,
    ZY,
    ZZ,
    Doubles,
    Floats,
)
from sensors.lidar.rays import NORMAL
from sensors.noise import world_key
from sensors.pose import SceneArrays, place_sensor, point_velocity

f4, i4, u4, u8 = np.float32, np.int32, np.uint32, np.uint64
Column = tuple[np.float32, np.float32, np.float32, np.float32, np.float32, np.float32, np.float32, np.float32, np.float32]


@inlined(fastmath={"contract"})
def aim(cos: float, sin: float, aside: float, up: float, axis: tuple[float, float, float]) -> float:
    """One coordinate of a column's vector: ``axis`` is that row of ``world_R_sensor``, aside and up what noise adds to the angles."""
    return axis[0] * (cos - aside * sin) + axis[1] * (sin + aside * cos) + axis[2] * up


@inlined(fastmath={"contract"})
def aim_still(direction: tuple[float, float], noise: tuple[float, float], r: Doubles) -> tuple[float, float, float]:
    """A column's vector in world axes; ``direction`` has cosine and sine of its azimuth, ``r`` is ``world_R_sensor``."""
    cos, sin, aside, up = direction[0], direction[1], noise[0], noise[1]
    x, y, z = (r[0, 0], r[0, 1], r[0, 2]), (r[1, 0], r[1, 1], r[1, 2]), (r[2, 0], r[2, 1], r[2, 2])
    return aim(cos, sin, aside, up, x), aim(cos, sin, aside, up, y), aim(cos, sin, aside, up, z)


@inlined(fastmath={"contract"})
def aim_then(
    g: tuple[float, float, float], time: float, spin: float, speed: tuple[float, float], arm: tuple[float, float], r: Doubles
) -> Column:
    """The numbers GX to TIME of a column of a rolling scan.

    Args:
        g: Its vector as the sensor ends the sweep.
        time: When it is measured [s], 0 and before.
        spin: Yaw rate of the ego [rad/s].
        speed: Of the sensor at the end [m/s].
        arm: From the ego to the sensor then [m].
        r: ``world_R_sensor`` then.
    """
    angle = spin * time
    square = angle * angle
    less = -0.5 * square * (1.0 - square * (1.0 / 12.0) * (1.0 - square * (1.0 / 30.0)))
    sine = angle * (1.0 - square * (1.0 / 6.0) * (1.0 - square * (1.0 / 20.0) * (1.0 - square * (1.0 / 42.0))))
    ego_x, ego_y = speed[0] + spin * arm[1], speed[1] - spin * arm[0]
    return (
        f4(g[0] + (less * g[0] - sine * g[1])),
        f4(g[1] + (less * g[1] + sine * g[0])),
        f4(g[2]),
        f4(r[0, 2] + (less * r[0, 2] - sine * r[1, 2])),
        f4(r[1, 2] + (less * r[1, 2] + sine * r[0, 2])),
        f4(r[2, 2]),
        f4(ego_x * time + (less * arm[0] - sine * arm[1])),
        f4(ego_y * time + (less * arm[1] + sine * arm[0])),
        f4(time),
    )


@leaf(fastmath={"contract"})
def aim_columns(azimuth: Doubles, v: View) -> None:
    """Write the rows GX to GZ of a scan that does not roll."""
    for column in range(azimuth.shape[1]):
        k = u8(column)
        noise = float(v.columns[AZIMUTH_NOISE + k]), float(v.columns[ELEVATION_NOISE + k])
        g = aim_still((azimuth[0, k], azimuth[1, k]), noise, v.world_R_sensor)
        v.columns[GX + k], v.columns[GY + k], v.columns[GZ + k] = g


@inlined()
def time_of(column: int, per_column: float, sweep_s: float) -> float:
    """When a column of a rolling scan is measured [s]."""
    return per_column * (float(i4(column)) + 1.0) - sweep_s


@leaf(fastmath={"contract"})
def aim_rolling(azimuth: Doubles, count: int, arm: tuple[float, float], v: View) -> None:
    """Write the rows GX to TIME of a rolling scan."""
    spin, sweep_s, per_column, c = v.motion[2], v.motion[3], v.motion[3] / count, v.columns
    for column in range(azimuth.shape[1]):
        k = u8(column)
        noise = float(c[AZIMUTH_NOISE + k]), float(c[ELEVATION_NOISE + k])
        g = aim_still((azimuth[0, k], azimuth[1, k]), noise, v.world_R_sensor)
        aimed = aim_then(g, time_of(column, per_column, sweep_s), spin, (v.motion[0], v.motion[1]), arm, v.world_R_sensor)
        c[GX + k], c[GY + k], c[GZ + k], c[ZX + k], c[ZY + k], c[ZZ + k], c[MOVED_X + k], c[MOVED_Y + k], c[TIME + k] = aimed


@leaf()
def shake_columns(key: tuple[np.uint32, np.uint32], azimuth_rad: float, elevation_rad: float, count: int, row: Floats, v: View) -> None:
    """Write the noise of the head, a draw a column; none where the deviations are 0."""
    shake_row(key, u4(0), f4(azimuth_rad), count, AZIMUTH_NOISE, row, v)
    shake_row(key, u4(count), f4(elevation_rad), count, ELEVATION_NOISE, row, v)


@leaf()
def shake_row(
    key: tuple[np.uint32, np.uint32], first: np.uint32, deviation_rad: np.float32, count: int, place: np.uint64, row: Floats, v: View
) -> None:
    """Write one row of noise."""
    if deviation_rad > f4(0.0):
        draw(count, first, key, row)
        for k in range(count):
            v.columns[place + u8(k)] = deviation_rad * row[NORMAL + u8(k)]
    for k in range(count if deviation_rad > f4(0.0) else 0, (count + VECTOR - 1) & -VECTOR):
        v.columns[place + u8(k)] = f4(0.0)


@leaf()
def place(scene: SceneArrays, b: int, k: int, optics: Optics, v: View) -> None:
    """Put a sensor in its place."""
    ego = scene.position[b, 0]
    place_sensor(ego, scene.heading[b, 0], optics.mounts[k], v.origin, v.world_R_sensor)
    arm_x, arm_y, spin = v.origin[0] - ego[0], v.origin[1] - ego[1], scene.yaw_rate[b, 0]
    v.motion[0], v.motion[1] = point_velocity(scene.velocity[b, 0, 0], scene.velocity[b, 0, 1], spin, arm_x, arm_y)
    azimuth_rad, elevation_rad = head_noise(k, optics)
    v.motion[2], v.motion[3], v.motion[4], v.motion[5] = spin, optics.times[k, 0], 7.0 * azimuth_rad, 7.0 * elevation_rad + 1e-4


@inlined()
def head_noise(k: int, optics: Optics) -> tuple[float, float]:
    """Standard deviation of the head's azimuth and elevation [rad]."""
    shaking = optics.switches[k, 0]
    return optics.times[k, 1] if shaking else 0.0, optics.times[k, 2] if shaking else 0.0


@leaf()
def look(scene: SceneArrays, b: int, k: int, columns: int, optics: Optics, row: Floats, v: View) -> None:
    """Put a sensor in its place and aim its columns."""
    place(scene, b, k, optics, v)
    key = world_key(scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k, HEAD_STREAM)
    azimuth_rad, elevation_rad = head_noise(k, optics)
    shake_columns(key, azimuth_rad, elevation_rad, columns, row, v)
    if v.motion[3] > 0.0:
        aim_rolling(optics.azimuth, columns, (v.origin[0] - scene.position[b, 0, 0], v.origin[1] - scene.position[b, 0, 1]), v)
    else:
        aim_columns(optics.azimuth, v)
