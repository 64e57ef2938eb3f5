"""What the detector makes of a beam's row: power by the range equation, threshold, losses, noise, and returns from the air."""

from __future__ import annotations

import math

import numpy as np

from sensors.jit import leaf
from sensors.lidar.pieces import Floats
from sensors.lidar.rays import AIR_CODE, CHANCE, DISTANCE, GROUND, GROUND_CODE, INVERSE, MET, NORMAL, POWER, WHO, Row
from sensors.noise import exp_decay, hash2, log_fast, normal_pair, remix, uniform

f4, i2, i4, u1, u4, u8 = np.float32, np.int16, np.int32, np.uint8, np.uint32, np.uint64

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


@rows
def received(
    strength: np.float32, inverse: np.float32, distance: np.float32, by_range: np.float32, by_fade: np.float32, fade: np.float32
) -> np.float32:
    """Power that comes back, as reflectivity over squared range [1/m^2]: rho cos(theta) / R^2 exp(-2 alpha R).

    The cosine of incidence is the distance to the plane over the range, so that rho cos / R^2 is ``strength`` over R cubed.
    """
    return f4((by_range * strength * inverse * inverse * inverse + by_fade) * exp_decay(fade * distance))


@rows
def range_deviation(power: np.float32, always_m: np.float32, weak_m: np.float32) -> np.float32:
    """Standard deviation of a range [m] at a power over the threshold: the clock's and, in squares, the rising edge's, as 1 / SNR."""
    weak = weak_m / max(power, LEAST_POWER)
    return f4(math.sqrt(always_m * always_m + weak * weak))


@rows
def detect_exact(count: int, cos_elevation: np.float32, d: Floats, row: Floats, out: Row) -> None:
    """Turn a beam's row into returns as an ideal detector gives them: everything within range, exactly.

    Args:
        count: Columns.
        cos_elevation: Of the beam; w times it is 1 / R.
        d: Numbers of the detector.
        row: Rows INVERSE, MET and WHO are read.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, scale, by_range, by_fade, fade = d[LEAST], d[PER_INTENSITY], d[BY_RANGE], d[BY_FADE], d[FADE]
    for column in range(count):
        k = u8(column)
        inverse = row[INVERSE + k] * cos_elevation
        seen = inverse > least
        distance = ONE / max(inverse, least)
        intensity = min(received(row[MET + k], inverse, distance, by_range, by_fade, fade) * scale, ONE)
        who = row[WHO + k]
        out_range[k] = distance if seen else ZERO
        out_intensity[k] = intensity if seen else ZERO
        out_hit[k] = u1(seen)
        out_actor[k] = i2(i4(who if seen else GROUND_CODE) >> i4(1))


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
