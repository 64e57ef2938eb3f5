"""Which columns and beams can see a small box: bounds from its corners, in double precision and never too narrow."""

from __future__ import annotations

import math

import numpy as np

from sensors.jit import inlined, leaf
from sensors.lidar.pieces import VECTOR, Doubles, Floats

Point = tuple[float, float, float]
Pose = tuple[Point, Point, Point, Point]
"""Where the sensor is in an actor's frame [m], and that frame's axes (ahead, left, up) in the sensor's."""
Box = tuple[Point, Point, Point, Point]
"""A box or a quadrangle: its middle, and from there to the middles of three faces."""

ARCTANGENT = (0.9998660, -0.3302995, 0.1801410, -0.0851330, 0.0208351)
"""Of x, x^3, ... up to 1, within 1e-5 (Abramowitz and Stegun, 1964, 4.4.49)."""
NEAR_M = 0.1
"""What comes nearer to the sensor's axis can be in any beam."""


@inlined()
def arctangent(x: float) -> float:
    """Arctangent within 1e-5."""
    small = min(abs(x), 1.0 / max(abs(x), 1e-300))
    square, a = small * small, ARCTANGENT
    angle = small * (a[0] + square * (a[1] + square * (a[2] + square * (a[3] + square * a[4]))))
    angle = angle if abs(x) <= 1.0 else 0.5 * math.pi - angle
    return angle if x >= 0.0 else -angle


@inlined()
def azimuth_of(x: float, y: float) -> float:
    """Azimuth of a direction within 1e-5, -pi to pi."""
    angle = arctangent(y / x) if x != 0.0 else 0.5 * math.pi * (1.0 if y > 0.0 else -1.0)
    return angle if x >= 0.0 else angle + (math.pi if y >= 0.0 else -math.pi)


@inlined()
def in_sensor(p: Point, pose: Pose) -> Point:
    """Turn a vector from an actor's frame into the sensor's."""
    _, f, s, u = pose
    return p[0] * f[0] + p[1] * s[0] + p[2] * u[0], p[0] * f[1] + p[1] * s[1] + p[2] * u[1], p[0] * f[2] + p[1] * s[2] + p[2] * u[2]


@inlined()
def box_seen(middle: Point, half: tuple[Point, Point, Point], pose: Pose) -> Box:
    """Put a box, or a quadrangle of two half axes and one of no length, from an actor's frame into the sensor's."""
    o = pose[0]
    return (
        in_sensor((middle[0] - o[0], middle[1] - o[1], middle[2] - o[2]), pose),
        in_sensor(half[0], pose),
        in_sensor(half[1], pose),
        in_sensor(half[2], pose),
    )


@leaf()
def window_of(box: Box, slack_m: float, slack_rad: float, columns: int) -> tuple[int, int, float, float]:
    """Bound the columns [k0, k1) that can see a box, and how far it is from the sensor's axis.

    Args:
        box: In the sensor's frame.
        slack_m: How far it may be from there.
        slack_rad: By how much the columns' azimuths may be off.
        columns: C.

    Returns:
        k0, which may be negative, k1 with k1 - k0 <= C, and the least and the greatest distance [m].
    """
    c, u, w, h = box
    away = math.sqrt(c[0] * c[0] + c[1] * c[1])
    scale = 1.0 / max(away, 1e-9)
    x, y = c[0] * scale, c[1] * scale
    flat = h[0] * h[0] + h[1] * h[1] < 1e-20
    near, far, low, high = away, 0.0, 0.0, 0.0
    for corner in range(4 if flat else 8):
        i, j, k = 1.0 if corner & 1 else -1.0, 1.0 if corner & 2 else -1.0, 1.0 if corner & 4 else -1.0
        px, py = c[0] + i * u[0] + j * w[0] + k * h[0], c[1] + i * u[1] + j * w[1] + k * h[1]
        ahead, aside = x * px + y * py, x * py - y * px
        near, far = min(near, ahead), max(far, px * px + py * py)
        slope = aside / max(ahead, 1e-9)
        low, high = min(low, slope), max(high, slope)
    near, far = near - slack_m, math.sqrt(far) + slack_m
    if near < NEAR_M:
        return 0, columns, max(near, 0.0), far
    slack = slack_rad + 1.6 * min(slack_m / near, 1.0)  # an arc sine is at most pi / 2 times its sine
    around, per_radian = azimuth_of(c[0], c[1]), columns / (2.0 * math.pi)
    k0 = int(math.floor((around + arctangent(low) - slack) * per_radian - 0.55)) & -VECTOR
    k1 = int(math.ceil((around + arctangent(high) + slack) * per_radian - 0.45)) + 1
    return (k0, k1, near, far) if k1 - k0 < columns else (0, columns, near, far)


@inlined()
def beams_of(box: Box, slack_m: float, slack: float, distances: tuple[float, float], tan_elevation: Floats) -> tuple[int, int]:
    """Bound the beams [b0, b1) that can see a box.

    Args:
        box: In the sensor's frame.
        slack_m: How far up or down it may be from there.
        slack: By how much the tangents of the beams' elevations may be off.
        distances: Least and greatest from the sensor's axis, from ``window_of``.
        tan_elevation: Of the beams, rising.
    """
    near, far = distances
    if near < NEAR_M:
        return 0, tan_elevation.size
    c, u, w, h = box
    rise = abs(u[2]) + abs(w[2]) + abs(h[2]) + slack_m
    low, high = c[2] - rise, c[2] + rise
    low, high = low / (near if low < 0.0 else far) - slack, high / (near if high > 0.0 else far) + slack
    lowest, highest = np.float32(low - 1e-5), np.float32(high + 1e-5)
    b0, b1 = np.int32(0), np.int32(0)
    for e in range(tan_elevation.size):
        b0 += np.int32(tan_elevation[np.uint64(e)] < lowest)
        b1 += np.int32(tan_elevation[np.uint64(e)] <= highest)
    return int(b0), int(b1)


@inlined()
def overlap(k0: int, k1: int, begin: int, end: int, columns: int) -> tuple[int, int]:
    """What of columns [begin, end) lies in a window [k0, k1) that may go over the image's edge; begins at a whole vector from ``begin``."""
    low, high = end, begin
    for turn in range(-1, 2):
        a, b = max(begin, k0 + turn * columns), min(end, k1 + turn * columns)
        if a < b:
            low, high = min(low, a), max(high, b)
    return begin + ((low - begin) & -VECTOR), high


@inlined()
def axes_of(world_R_sensor: Doubles, cos: float, sin: float, sensor: Point) -> Pose:
    """The pose of an actor from the sensor; cosine and sine are of its heading, less what the sensor has turned."""
    r = world_R_sensor
    return (
        sensor,
        (r[0, 0] * cos + r[1, 0] * sin, r[0, 1] * cos + r[1, 1] * sin, r[0, 2] * cos + r[1, 2] * sin),
        (r[1, 0] * cos - r[0, 0] * sin, r[1, 1] * cos - r[0, 1] * sin, r[1, 2] * cos - r[0, 2] * sin),
        (r[2, 0], r[2, 1], r[2, 2]),
    )
