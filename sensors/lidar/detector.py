"""What the detector makes of a beam's row: power by the range equation, threshold, losses, noise, and returns from the air."""

from __future__ import annotations

import math

import numpy as np

from sensors.ahead import fetch_line
from sensors.jit import inlined, leaf
from sensors.lidar.pieces import GZ, VECTOR, Floats, Ints
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
def exact_return(
    w: F4, met: F4, who: F4, cos_elevation: F4, least: F4, shares: tuple[F4, F4], fade: F4, scale: F4
) -> tuple[F4, F4, np.uint8, np.int16]:
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
def detect_exact(count: int, cos_elevation: np.float32, d: Floats, row: Floats, out: Row) -> None:
    """Turn a beam's row into returns as an ideal detector gives them.

    Args:
        count: Columns.
        cos_elevation: Of the beam.
        d: Numbers of the detector.
        row: Rows INVERSE, MET and WHO are read.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    least, scale, shares, fade = d[LEAST], d[PER_INTENSITY], (d[BY_RANGE], d[BY_FADE]), d[FADE]
    for column in range(count):
        k = u8(column)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = exact_return(
            row[INVERSE + k], row[MET + k], row[WHO + k], cos_elevation, least, shares, fade, scale
        )


@leaf()
def put_vectors(columns: int, marked: Ints, vectors: int, returns: Row, out: Row) -> None:
    """Put the returns of some vectors of columns, which lie side by side, into a beam's row.

    A loop for each array, as one for all would ask each time which of them overlap.

    Args:
        columns: C.
        marked: Which vectors they are.
        vectors: How many.
        returns: Range [m], intensity, hit and actor.
        out: Written, likewise.
    """
    ranges, intensity, hit, actor = returns
    out_range, out_intensity, out_hit, out_actor = out
    for n in range(vectors):
        first = marked[n] * VECTOR
        source, place, count = u8(n * VECTOR), u8(first), min(VECTOR, columns - first)
        for column in range(count):
            out_range[place + u8(column)] = ranges[source + u8(column)]
        for column in range(count):
            out_intensity[place + u8(column)] = intensity[source + u8(column)]
        for column in range(count):
            out_hit[place + u8(column)] = hit[source + u8(column)]
        for column in range(count):
            out_actor[place + u8(column)] = actor[source + u8(column)]


@rows
def detect_ground(
    columns: Floats,
    count: int,
    beam: tuple[np.float32, np.float32],
    ground: tuple[np.float32, np.float32, np.float32],
    d: Floats,
    out: Row,
) -> None:
    """Write the returns of a beam that meets the ground alone; arguments as for ``rays.cast_ground`` and ``detect_exact``."""
    out_range, out_intensity, out_hit, out_actor = out
    least, scale, shares, fade, (zz, per_height, strength) = d[LEAST], d[PER_INTENSITY], (d[BY_RANGE], d[BY_FADE]), d[FADE], ground
    for column in range(count):
        k = u8(column)
        w = see_ground(columns[GZ + k], zz, beam[0], per_height)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = exact_return(
            w, strength, GROUND_CODE, beam[1], least, shares, fade, scale
        )


@rows
def level_return(
    columns: Floats, beam: tuple[np.float32, np.float32], ground: tuple[np.float32, np.float32, np.float32], d: Floats
) -> tuple[np.float32, np.float32, np.uint8, np.int16]:
    """The return of the ground to a level sensor, the same in all columns of a beam; arguments as for ``detect_ground``."""
    w = see_ground(columns[GZ], ground[0], beam[0], ground[1])
    alike: tuple[np.float32, np.float32, np.uint8, np.int16]
    alike = exact_return(w, ground[2], GROUND_CODE, beam[1], d[LEAST], (d[BY_RANGE], d[BY_FADE]), d[FADE], d[PER_INTENSITY])
    return alike


@rows
def repeat_return(count: int, alike: tuple[np.float32, np.float32, np.uint8, np.int16], out: Row) -> None:
    """Write the same return in all columns of a beam."""
    out_range, out_intensity, out_hit, out_actor = out
    distance, intensity, hit, actor = alike
    for column in range(count):
        k = u8(column)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = distance, intensity, hit, actor


@inlined()
def fetch_row(out: Row, count: int) -> None:
    """Fetch the row of ``count`` columns that comes after a beam's, while there is something else to do."""
    out_range, out_intensity, out_hit, out_actor = out
    for line in range((count + 15) >> 4):
        fetch_line(out_range, count + 16 * line)
        fetch_line(out_intensity, count + 16 * line)
    for line in range((count + 31) >> 5):
        fetch_line(out_actor, count + 32 * line)
    for line in range((count + 63) >> 6):
        fetch_line(out_hit, count + 64 * line)


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


@inside
def reflected(w: F4, met: F4, cos_elevation: F4, least: F4, shares: tuple[F4, F4], fade: F4) -> tuple[F4, F4]:
    """Range [m] of what a ray meets, the maximum if that is nothing, and the power that comes back; arguments as for ``exact_return``."""
    inverse = w * cos_elevation
    distance = ONE / max(inverse, least)
    power = received(met, inverse, distance, shares[0], shares[1], fade)
    return distance, power if inverse > least else ZERO


@rows
def receive(count: int, cos_elevation: np.float32, d: Floats, row: Floats) -> None:
    """Write rows DISTANCE and POWER."""
    least, shares, fade = d[LEAST], (d[BY_RANGE], d[BY_FADE]), d[FADE]
    for column in range(count):
        k = u8(column)
        row[DISTANCE + k], row[POWER + k] = reflected(row[INVERSE + k], row[MET + k], cos_elevation, least, shares, fade)


@inside
def drawn(i: np.uint32, key: tuple[np.uint32, np.uint32]) -> tuple[F4, F4, F4, F4]:
    """Two normal numbers and two chances from two draws."""
    bits, more = hash2(i, key[0], key[1]), hash2(i, key[1], key[0])
    first, second = normal_pair(bits, more)
    chance = remix(more)
    return first, second, f4(i4(chance & u4(0xFFFF))) * f4(1.0 / 65_536.0), f4(i4(chance >> u4(16))) * f4(1.0 / 65_536.0)


@rows
def draw(count: int, first: np.uint32, key: tuple[np.uint32, np.uint32], row: Floats) -> None:
    """Write rows NORMAL and CHANCE: two rays, half the columns apart, share two draws."""
    half = (count + 1) // 2
    h = u8(half)
    for column in range(half):
        k = u8(column)
        row[NORMAL + k], row[NORMAL + h + k], row[CHANCE + k], row[CHANCE + h + k] = drawn(u4(first + u4(k)), key)


@inside
def with_air(
    distance: F4,
    power: F4,
    who: F4,
    i: np.uint32,
    key: tuple[np.uint32, np.uint32],
    fade: F4,
    lines: tuple[F4, F4, F4, F4, F4, F4],
    ends: tuple[F4, F4],
    shine: tuple[F4, F4, F4],
    total: F4,
) -> tuple[F4, F4, F4]:
    """Let the first droplet bright enough on a ray's path be returned if it is stronger than what lies behind.

    The number of droplets on a path is Poisson's, so that the path to the first one is exponential, here in units of its mean.

    Args:
        distance: Of what lies behind [m].
        power: Of that.
        who: Its code.
        i: Number of the draw.
        key: Of the draws.
        fade: The air's loss [1/m].
        lines: Numbers of the air, as ``START`` and ``PATHS`` have them.
        ends: The first two of ``AIR_ENDS``.
        shine: As ``AIR_POWERS``.
        total: ``AIR_TOTAL``.

    Returns:
        Distance, power and code of what returns.
    """
    path = -log_fast(uniform(hash2(i, key[0], key[1])))
    there = max(max(lines[0] + lines[3] * path, lines[1] + lines[4] * path), lines[2] + lines[5] * path)
    far = shine[2] if there > ends[1] else shine[1]
    rho = far if there > ends[0] else shine[0]
    bright = rho * exp_decay(fade * there) / (there * there)
    wins = (path < total) & (there < distance) & (bright > power)
    return there if wins else distance, bright if wins else power, AIR_CODE if wins else who


@inside
def lines_of(air: Floats) -> tuple[F4, F4, F4, F4, F4, F4]:
    """The straight lines of the air."""
    return air[START], air[START + 1], air[START + 2], air[PATHS], air[PATHS + 1], air[PATHS + 2]


@rows
def add_air(count: int, first: np.uint32, key: tuple[np.uint32, np.uint32], d: Floats, air: Floats, row: Floats) -> None:
    """Let the air return something before what a beam's row has, in rows DISTANCE, POWER and WHO."""
    lines, ends, total, fade = lines_of(air), (air[AIR_ENDS], air[AIR_ENDS + 1]), air[AIR_TOTAL], d[FADE]
    shine = air[AIR_POWERS], air[AIR_POWERS + 1], air[AIR_POWERS + 2]
    for column in range(count):
        k = u8(column)
        row[DISTANCE + k], row[POWER + k], row[WHO + k] = with_air(
            row[DISTANCE + k], row[POWER + k], row[WHO + k], u4(first + u4(k)), key, fade, lines, ends, shine, total
        )


@inside
def noisy_return(
    distance: F4,
    power: F4,
    who: F4,
    normal: F4,
    chance: F4,
    longest: F4,
    scales: tuple[F4, F4],
    sigmas: tuple[F4, F4],
    keeping: tuple[F4, F4, F4],
) -> tuple[F4, F4, np.uint8, np.int16]:
    """What a detector tells of a ray: weak returns and some others are lost, the range is blurred.

    Args:
        distance: Of what returns [m].
        power: Of that.
        who: Its code.
        normal: A normal number.
        chance: A uniform one.
        longest: The maximum range [m].
        scales: Of intensity, and of power over the threshold, both over power.
        sigmas: Standard deviation of the range, always and at the threshold [m].
        keeping: How the chance to be kept goes with power over the threshold, and what is kept after that.

    Returns:
        As ``exact_return``.
    """
    strong = power * scales[1]
    kept = min(max(keeping[0] + keeping[1] * strong, ZERO), ONE) * keeping[2]
    seen = (power > ZERO) & (chance < kept)
    noisy = min(max(distance + range_deviation(strong, sigmas[0], sigmas[1]) * normal, f4(SHORTEST_M)), longest)
    intensity = min(power * scales[0], ONE)
    actor = i2(i4(who if seen else GROUND_CODE) >> i4(1))
    return noisy if seen else ZERO, intensity if seen else ZERO, u1(seen), actor


@rows
def detect(count: int, d: Floats, row: Floats, out: Row) -> None:
    """Turn a beam's row into returns.

    Args:
        count: Columns.
        d: Numbers of the detector.
        row: Rows DISTANCE, POWER, WHO, NORMAL and CHANCE are read.
        out: Written, range [m], intensity, hit and actor, each (columns,).
    """
    out_range, out_intensity, out_hit, out_actor = out
    longest, scales, sigmas, keeping = (
        d[LONGEST],
        (d[PER_INTENSITY], d[PER_THRESHOLD]),
        (d[SIGMA], d[WEAK]),
        (d[KEEP_FROM], d[KEEP_SLOPE], d[KEPT]),
    )
    for column in range(count):
        k = u8(column)
        out_range[k], out_intensity[k], out_hit[k], out_actor[k] = noisy_return(
            row[DISTANCE + k], row[POWER + k], row[WHO + k], row[NORMAL + k], row[CHANCE + k], longest, scales, sigmas, keeping
        )
