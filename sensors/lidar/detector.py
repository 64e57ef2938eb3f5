"""What the detector makes of a beam's row: power by the range equation, threshold, losses, noise, and returns from the air."""

from __future__ import annotations

import math

import numpy as np

from sensors.jit import inlined, leaf
from sensors.lidar.pieces import GZ, Floats
from sensors.lidar.rays import AIR_CODE, CHANCE, DISTANCE, GROUND, GROUND_CODE, INVERSE, MET, NORMAL, POWER, WHO, Row, see_ground
from sensors.noise import exp_decay, hash2, log_fast, normal_pair, remix, uniform

f4, i2, i4, u1, u4, u8 = np.float32, np.int16, np.int32, np.uint8, np.uint32, np.uint64
F4 = np.float32

LEAST, LONGEST, FADE, BY_RANGE, BY_FADE, PER_INTENSITY, PER_THRESHOLD, KEEP_FROM, KEEP_SLOPE, KEPT, SIGMA, WEAK = range(12)
"""Numbers of a detector: 1 / maximum range [1/m] and that range [m]; exponent of the air's loss [1/m], minus twice the extinction; shares
of the range equation and of the bare loss in the power; power of intensity 1, and of the threshold, both inverted; how the chance to be
kept goes with power over threshold; share of what is kept after that; standard deviation of the range, always and at the threshold [m]."""
DETECTOR_NUMBERS = 12
INTENSITY_RANGE_M = 10.0
"""A white surface met head-on at this range in clear air has intensity 1."""
SHORTEST_M = 0.001
LEAST_POWER = f4(0.01)
"""Power over threshold below which range noise grows no more."""

START, PATHS, AIR_NUMBERS = 0, 3, 13
AIR_ENDS, AIR_POWERS, AIR_TOTAL = 6, 9, 12
"""Numbers of the air: of three stretches the range at which it would begin without path, range for each unit of path, where it ends,
and the reflectivity of a droplet there; and the path of all three."""
ZERO, ONE = f4(0.0), f4(1.0)

rows = leaf(fastmath={"contract"})
inside = inlined(fastmath={"contract"})


@inside
def received(
    strength: np.float32, inverse: np.float32, distance: np.float32, by_range: np.float32, by_fade: np.float32, fade: np.float32
) -> np.float32:
    """Power that comes back, as reflectivity over squared range [1/m^2]: rho cos(theta) / R^2 exp(-2 alpha R).

    The cosine of incidence is the distance to the plane over the range, so that rho cos / R^2 is ``strength`` over R cubed.
    """
    return f4((by_range * strength * inverse * inverse * inverse + by_fade) * exp_decay(fade * distance))


@inside
def range_deviation(power: np.float32, always_m: np.float32, weak_m: np.float32) -> np.float32:
    """Standard deviation of a range [m] at a power over the threshold: the clock's and, in squares, the rising edge's, as 1 / SNR."""
    weak = weak_m / max(power, LEAST_POWER)
    return f4(math.sqrt(always_m * always_m + weak * weak))


@inside
def exact_return(w: F4, met: F4, who: F4, cos_elevation: F4, least: F4, shares: tuple[F4, F4], fade: F4, scale: F4) -> tuple[F4, F4, u1, i2]:
    """What an ideal detector tells of a ray: everything within range, exactly.

    Args:
        w: Inverse of the parameter at which the ray meets something.
        met: Strength of that.
        who: Its code.
        cos_elevation: Of the beam; w times it is 1 / R.
        least: 1 over the maximum range [1/m].
        shares: Of the range equation and of the bare loss in the power.
        fade: The air's loss [1/m].
        scale: Of intensity over power.

    Returns:
        Range [m], intensity, whether there is a return, and the actor.
    """
    inverse = w * cos_elevation
    seen = inverse > least
    distance = ONE / max(inverse, least)
    intensity = min(received(met, inverse, distance, shares[0], shares[1], fade) * scale, ONE)
    actor = i2(i4(who if seen else GROUND_CODE) >> i4(1))
    return distance if seen else ZERO, intensity if seen else ZERO, u1(seen), actor


@rows
def detect_exact(first: int, count: int, cos_elevation: np.float32, d: Floats, row: Floats, out: Row) -> None:
    """Turn a stretch of a beam's row into returns as an ideal detector gives them.

    Args:
        first: Its first column.
        count: How many.
        cos_elevation: Of the beam.
        d: Numbers of the detector.
        row: Rows INVERSE, MET and WHO are read.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, scale, shares, fade = d[LEAST], d[PER_INTENSITY], (d[BY_RANGE], d[BY_FADE]), d[FADE]
    for column in range(count):
        k = u8(first) + u8(column)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = exact_return(
            row[INVERSE + k], row[MET + k], row[WHO + k], cos_elevation, least, shares, fade, scale
        )


@rows
def detect_ground(
    columns: Floats,
    first: int,
    count: int,
    beam: tuple[np.float32, np.float32],
    ground: tuple[np.float32, np.float32, np.float32],
    level: bool,
    d: Floats,
    out: Row,
) -> None:
    """Write the returns of a stretch of a beam that meets the ground alone; arguments as for ``rays.cast_ground`` and ``detect_exact``.

    Args:
        columns: Rows over all columns.
        first: Its first column.
        count: How many.
        beam: Tangent and cosine of its elevation.
        ground: How much the sensor's axis rises, 1 over its height, and the strength of the ground.
        level: All columns look alike: the range is the same in all of them.
        d: Numbers of the detector.
        out: Written.
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, scale, shares, fade, (zz, per_height, strength) = d[LEAST], d[PER_INTENSITY], (d[BY_RANGE], d[BY_FADE]), d[FADE], ground
    if level:
        w = see_ground(columns[GZ], zz, beam[0], per_height)
        distance, intensity, hit, actor = exact_return(w, strength, GROUND_CODE, beam[1], least, shares, fade, scale)
        for column in range(count):
            k = u8(first) + u8(column)
            out_range[k], out_intensity[k], out_hit[k], out_actor[k] = distance, intensity, hit, actor
        return
    for column in range(count):
        k = u8(first) + u8(column)
        w = see_ground(columns[GZ + k], zz, beam[0], per_height)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = exact_return(
            w, strength, GROUND_CODE, beam[1], least, shares, fade, scale
        )


@rows
def leave_empty(count: int, out: Row) -> None:
    """Write a beam's row in which nothing returns."""
    out_range, out_intensity, out_hit, out_actor = out
    for column in range(count):
        k = u8(column)
        out_range[k] = ZERO
        out_intensity[k] = ZERO
        out_hit[k] = u1(0)
        out_actor[k] = i2(GROUND)


@rows
def receive(count: int, cos_elevation: np.float32, d: Floats, row: Floats) -> None:
    """Write rows DISTANCE (the maximum where nothing is met) and POWER."""
    least, by_range, by_fade, fade = d[LEAST], d[BY_RANGE], d[BY_FADE], d[FADE]
    for column in range(count):
        k = u8(column)
        inverse = row[INVERSE + k] * cos_elevation
        distance = ONE / max(inverse, least)
        power = received(row[MET + k], inverse, distance, by_range, by_fade, fade)
        row[DISTANCE + k] = distance
        row[POWER + k] = power if inverse > least else ZERO


@rows
def draw(count: int, first: np.uint32, key: tuple[np.uint32, np.uint32], row: Floats) -> None:
    """Write rows NORMAL and CHANCE: two rays share two draws."""
    half = (count + 1) // 2
    k0, k1 = key
    h = u8(half)
    for column in range(half):
        k = u8(column)
        i = u4(first + u4(k))
        bits, more = hash2(i, k0, k1), hash2(i, k1, k0)
        row[NORMAL + k], row[NORMAL + h + k] = normal_pair(bits, more)
        chance = remix(more)
        row[CHANCE + k] = f4(i4(chance & u4(0xFFFF))) * f4(1.0 / 65_536.0)
        row[CHANCE + h + k] = f4(i4(chance >> u4(16))) * f4(1.0 / 65_536.0)


@rows
def add_air(count: int, first: np.uint32, key: tuple[np.uint32, np.uint32], d: Floats, air: Floats, row: Floats) -> None:
    """Let the first droplet bright enough on each ray's path be returned where it is stronger than what lies behind.

    The number of droplets on a path is Poisson's, so that the path to the first one is exponential, here in units of its mean.
    """
    k0, k1 = key
    a0, a1, a2, b0, b1, b2 = air[0], air[1], air[2], air[3], air[4], air[5]
    end0, end1, rho0, rho1, rho2, total, fade = air[6], air[7], air[9], air[10], air[11], air[12], d[FADE]
    for column in range(count):
        k = u8(column)
        path = -log_fast(uniform(hash2(u4(first + u4(k)), k0, k1)))
        distance = max(max(a0 + b0 * path, a1 + b1 * path), a2 + b2 * path)
        far = rho2 if distance > end1 else rho1
        rho = far if distance > end0 else rho0
        power = rho * exp_decay(fade * distance) / (distance * distance)
        behind, reflected, who = row[DISTANCE + k], row[POWER + k], row[WHO + k]
        wins = (path < total) & (distance < behind) & (power > reflected)
        row[DISTANCE + k] = distance if wins else behind
        row[POWER + k] = power if wins else reflected
        row[WHO + k] = AIR_CODE if wins else who


@rows
def detect(count: int, d: Floats, row: Floats, out: Row) -> None:
    """Turn a beam's row into returns: lose weak ones and some others, and blur the range.

    Args:
        count: Columns.
        d: Numbers of the detector.
        row: Rows DISTANCE, POWER, WHO, NORMAL and CHANCE are read.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    longest, scale, per_threshold, always, weak = d[LONGEST], d[PER_INTENSITY], d[PER_THRESHOLD], d[SIGMA], d[WEAK]
    keep_from, keep_slope, kept = d[KEEP_FROM], d[KEEP_SLOPE], d[KEPT]
    for column in range(count):
        k = u8(column)
        distance, power = row[DISTANCE + k], row[POWER + k]
        strong = power * per_threshold
        chance = min(max(keep_from + keep_slope * strong, ZERO), ONE) * kept
        seen = (power > ZERO) & (row[CHANCE + k] < chance)
        noisy = min(max(distance + range_deviation(strong, always, weak) * row[NORMAL + k], f4(SHORTEST_M)), longest)
        intensity, who = min(power * scale, ONE), row[WHO + k]
        out_range[k] = noisy if seen else ZERO
        out_intensity[k] = intensity if seen else ZERO
        out_hit[k] = u1(seen)
        out_actor[k] = i2(i4(who if seen else GROUND_CODE) >> i4(1))
