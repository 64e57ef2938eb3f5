"""Lidar geometry and detector for one world, vectorised along the columns of the range image.

The direction of beam b in column k is ``g_k + tan(elevation_b) z``: g_k the column's unit vector across the sensor's axis, z that axis.
With an unnormalised direction d of this kind a plane ``n . x <= c`` is crossed at the parameter t = depth / (n . d), where depth is
c - n . origin. The kernels carry the inverse, w = (n . d) / depth: it is linear in d, so no ray divides but once at the end. A convex
part is entered at the smallest w of the planes that the sensor is outside of (depth < 0), and that is a hit where it is not less than
the w of every plane that the sensor is inside of. The nearest thing has the largest w; the ground starts it off, 0 is the sky.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel
from sensors.noise import exp_fast, gaussian, hash2, remix
from sensors.vehicle_shape import FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN, Z0, Z1

f4, i2, i4, u1, u4, u8 = np.float32, np.int16, np.int32, np.uint8, np.uint32, np.uint64
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Actors = NDArray[np.int32]
Row = tuple[Floats, Floats, NDArray[np.uint8], NDArray[np.int16]]

PLANES = 6
COEFFICIENTS = 6
X, Y, Z, ENTRY, EXIT, STRENGTH = range(COEFFICIENTS)
GROUND = -1
VECTOR = 16
"""Columns are taken in whole vectors of this many."""
NEVER = 1e30
ON_PLANE_M = 1e-9

INTENSITY_RANGE_M = 10.0
"""A white surface met head-on at this range in clear air has intensity 1."""
SHORTEST_M = 0.001
DROP_SHARE = 0.005
"""Share of returns that are lost without a reason."""

rows = kernel(fastmath={"contract"})


@kernel()
def set_planes(part: Doubles, sensor: Doubles, heading: tuple[float, float], reflectivity: float, planes: Floats) -> int:
    """Write a part's six planes as one sensor sees them.

    Args:
        part: Numbers of ``sensors.vehicle_shape``, (8,).
        sensor: Where the sensor is in the actor's frame [m], (3,).
        heading: Cosine and sine of the actor's heading.
        reflectivity: Of the part's surface.
        planes: Written: for top, bottom, front, rear, left, right the coefficients of w for a direction's x, y and z in world axes,
            what is added to w where it is taken for an entry and for an exit, and reflectivity times distance, (6, 6) float32.

    Returns:
        How many planes the sensor is outside of; 0: it is inside the part and does not see it.
    """
    outside = 0
    cos, sin = heading
    for i in range(PLANES):
        nx, ny, nz, offset = 0.0, 0.0, 0.0, 0.0
        if i == 0:
            nz, offset = 1.0, part[Z1]
        elif i == 1:
            nz, offset = -1.0, -part[Z0]
        elif i == 2:
            nx, nz, offset = 1.0, part[FRONT_LEAN], part[FRONT]
        elif i == 3:
            nx, nz, offset = -1.0, part[REAR_LEAN], part[REAR]
        elif i == 4:
            ny, nz, offset = 1.0, part[SIDE_LEAN], part[SIDE]
        else:
            ny, nz, offset = -1.0, part[SIDE_LEAN], part[SIDE]
        depth = offset - (nx * sensor[0] + ny * sensor[1] + nz * sensor[2])
        if abs(depth) < ON_PLANE_M:
            depth = ON_PLANE_M
        scale = 1.0 / depth
        planes[i, X], planes[i, Y], planes[i, Z] = (cos * nx - sin * ny) * scale, (sin * nx + cos * ny) * scale, nz * scale
        planes[i, ENTRY] = 0.0 if depth < 0.0 else NEVER
        planes[i, EXIT] = -NEVER if depth < 0.0 else 0.0
        planes[i, STRENGTH] = reflectivity * abs(depth) / math.sqrt(nx * nx + ny * ny + nz * nz)
        outside += 1 if depth < 0.0 else 0
    return outside


@kernel()
def span_of(part: Doubles, sensor: Doubles, sensor_R_actor: Doubles, tan_elevation: Floats, columns: int) -> tuple[int, int, int, int]:
    """Bound the columns [k0, k1) and beams [b0, b1) that can see a part; k0 may be negative, k1 - k0 is at most ``columns``."""
    m = sensor_R_actor
    middle_z = 0.5 * (part[Z0] + part[Z1])
    x = 0.5 * (part[FRONT] - part[REAR] + (part[REAR_LEAN] - part[FRONT_LEAN]) * middle_z) - sensor[0]
    y, z = -sensor[1], middle_z - sensor[2]
    cx, cy = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z, m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
    centre = math.sqrt(cx * cx + cy * cy)
    left, right, near, far, low, high = -1e30, 1e30, 1e30, 0.0, 1e30, -1e30
    for level in range(2):
        height = part[Z1] if level else part[Z0]
        front, rear = part[FRONT] - part[FRONT_LEAN] * height - sensor[0], part[REAR_LEAN] * height - part[REAR] - sensor[0]
        side, z = part[SIDE] - part[SIDE_LEAN] * height, height - sensor[2]
        for corner in range(4):
            x, y = front if corner & 1 else rear, (side if corner & 2 else -side) - sensor[1]
            px, py = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z, m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
            pz = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z
            along, across = cx * px + cy * py, cx * py - cy * px
            if along <= 0.02 * centre:  # nearer than 2 cm, or round the sensor: no tangent
                return 0, columns, 0, tan_elevation.size
            tangent = across / along
            left, right, low, high = max(left, tangent), min(right, tangent), min(low, pz), max(high, pz)
            near, far = min(near, along), max(far, px * px + py * py)
    near, far = near / centre, math.sqrt(far)
    per_radian = columns / (2.0 * math.pi)
    middle = math.atan2(cy, cx) * per_radian - 0.5
    k0 = math.floor(middle + math.atan(right) * per_radian - 0.01)
    k1 = math.ceil(middle + math.atan(left) * per_radian + 0.01) + 1
    lowest = low / (near if low < 0.0 else far) - 1e-5
    highest = high / (near if high > 0.0 else far) + 1e-5
    b0 = 0
    while b0 < tan_elevation.size and tan_elevation[b0] < lowest:
        b0 += 1
    b1 = b0
    while b1 < tan_elevation.size and tan_elevation[b1] <= highest:
        b1 += 1
    return k0, min(k1, k0 + columns), b0, b1


@rows
def cast_ground(
    gz: Floats, dz: np.float32, per_height: np.float32, strength_of: np.float32, w: Floats, strength: Floats, actor: Actors
) -> None:
    """Start a beam's row with the ground, at a height of 1 / per_height below the sensor; ``dz`` is the beam's share of the slope."""
    for k in range(w.size):
        w[k] = max(-(gz[k] + dz) * per_height, f4(0.0))
        strength[k] = strength_of
        actor[k] = i4(GROUND)


@rows
def cast_part(
    planes: Floats,
    part: int,
    number: np.int32,
    axis: tuple[float, float, float],
    directions: Floats,
    span: tuple[int, int],
    w: Floats,
    strength: Floats,
    actor: Actors,
) -> None:
    """Let one beam's row see a part.

    Args:
        planes: From ``set_planes``, (parts, 6, 6).
        part: Which of them.
        number: Whose part it is.
        axis: The sensor's axis in world axes times the tangent of the beam's elevation, three float32.
        directions: Column directions in world axes, (3, columns).
        span: First column that can see it, and the one after the last; unsigned indices, as only they are known not to count
            from the end, which would keep the loop from being vectorised. No slices: each would cost its reference counts.
        w: Largest inverse parameter so far, (columns,); changed where the part is nearer, as the others are.
        strength: Reflectivity times distance of the plane that has it, (columns,).
        actor: The actor that has it, (columns,).
    """
    ax, ay, az = axis
    p, n, first = planes, u8(part), u8(span[0])
    top, bottom = p[n, 0, Z], p[n, 1, Z]
    x2, x3, x4, x5, y2, y3, y4, y5 = p[n, 2, X], p[n, 3, X], p[n, 4, X], p[n, 5, X], p[n, 2, Y], p[n, 3, Y], p[n, 4, Y], p[n, 5, Y]
    z2, z3, z4, z5 = p[n, 2, Z], p[n, 3, Z], p[n, 4, Z], p[n, 5, Z]
    in0, in1, in2, in3, in4, in5 = p[n, 0, ENTRY], p[n, 1, ENTRY], p[n, 2, ENTRY], p[n, 3, ENTRY], p[n, 4, ENTRY], p[n, 5, ENTRY]
    out0, out1, out2, out3, out4, out5 = p[n, 0, EXIT], p[n, 1, EXIT], p[n, 2, EXIT], p[n, 3, EXIT], p[n, 4, EXIT], p[n, 5, EXIT]
    s0, s1, s2, s3, s4, s5 = (
        p[n, 0, STRENGTH],
        p[n, 1, STRENGTH],
        p[n, 2, STRENGTH],
        p[n, 3, STRENGTH],
        p[n, 4, STRENGTH],
        p[n, 5, STRENGTH],
    )
    for column in range(span[1] - span[0]):
        k = first + u8(column)
        x, y, z = directions[0, k] + ax, directions[1, k] + ay, directions[2, k] + az
        w0, w1 = z * top, z * bottom
        w2, w3 = x * x2 + y * y2 + z * z2, x * x3 + y * y3 + z * z3
        w4, w5 = x * x4 + y * y4 + z * z4, x * x5 + y * y5 + z * z5
        enter, s, t = w0 + in0, s0, w1 + in1
        s, enter, t = s1 if t < enter else s, min(enter, t), w2 + in2
        s, enter, t = s2 if t < enter else s, min(enter, t), w3 + in3
        s, enter, t = s3 if t < enter else s, min(enter, t), w4 + in4
        s, enter, t = s4 if t < enter else s, min(enter, t), w5 + in5
        s, enter = s5 if t < enter else s, min(enter, t)
        leave = max(max(max(w0 + out0, w1 + out1), max(w2 + out2, w3 + out3)), max(w4 + out4, w5 + out5))
        hit = (enter >= leave) & (enter > w[k])
        w[k] = enter if hit else w[k]
        strength[k] = s if hit else strength[k]
        actor[k] = number if hit else actor[k]


@rows
def detect_exact(w: Floats, strength: Floats, actor: Actors, cos_elevation: np.float32, limits: Floats, out: Row) -> None:
    """Turn a beam's row into returns as an ideal detector gives them: everything within range, exactly.

    Args:
        w: Largest inverse parameter, (columns,); times the cosine of the elevation it is 1 / R.
        strength: Reflectivity times distance to the plane, (columns,). The cosine of incidence is that distance over the range R,
            so that reflectivity times cosine over R squared is strength over R cubed.
        actor: Who has it, (columns,).
        cos_elevation: Of the beam.
        limits: 1 / maximum range [1/m], minus twice the extinction [1/m], and more that only a real detector needs.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, fade = limits[0], limits[1]
    for k in range(w.size):
        inverse = w[k] * cos_elevation
        seen = inverse > least
        keep = f4(seen)
        distance = f4(1.0) / max(inverse, least)
        power = strength[k] * inverse * inverse * inverse * exp_fast(fade * distance)
        out_range[k] = keep * distance
        out_intensity[k] = keep * min(power * f4(INTENSITY_RANGE_M * INTENSITY_RANGE_M), f4(1.0))
        out_hit[k] = u1(seen)
        out_actor[k] = i2(i4(actor[k] - i4(GROUND)) * i4(seen) + i4(GROUND))


@rows
def detect_noisy(
    w: Floats,
    strength: Floats,
    actor: Actors,
    cos_elevation: np.float32,
    limits: Floats,
    first: np.uint32,
    key: NDArray[np.uint32],
    out: Row,
) -> None:
    """Turn a beam's row into returns as ``detect_exact`` does, but lose weak ones and some others, and blur the range.

    A return is lost where its power is below a threshold that varies from half to one and a half times ``1 / limits[2]``.

    Args:
        w: As for ``detect_exact``.
        strength: As for ``detect_exact``.
        actor: As for ``detect_exact``.
        cos_elevation: As for ``detect_exact``.
        limits: 1 / maximum range, minus twice the extinction, 1 / threshold, standard deviation of the range [m], maximum range [m].
        first: Number of the row's first ray, for its noise.
        key: Key words of its noise, (2,).
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, fade, per_threshold, sigma, longest = limits[0], limits[1], limits[2], limits[3], limits[4]
    k0, k1 = key[0], key[1]
    for k in range(w.size):
        inverse = w[k] * cos_elevation
        distance = f4(1.0) / max(inverse, least)
        power = strength[k] * inverse * inverse * inverse * exp_fast(fade * distance)
        bits = hash2(u4(first + u4(k)), k0, k1)
        chance = remix(bits)
        threshold = f4(0.5) + f4(i4(chance & u4(0xFFFF))) * f4(1.0 / 65_536.0)
        seen = (inverse > least) & (power * per_threshold > threshold) & (u4(chance >> u4(16)) >= u4(DROP_SHARE * 65_536.0))
        keep = f4(seen)
        out_range[k] = keep * min(max(distance + sigma * gaussian(bits), f4(SHORTEST_M)), longest)
        out_intensity[k] = keep * min(power * f4(INTENSITY_RANGE_M * INTENSITY_RANGE_M), f4(1.0))
        out_hit[k] = u1(seen)
        out_actor[k] = i2(i4(actor[k] - i4(GROUND)) * i4(seen) + i4(GROUND))
