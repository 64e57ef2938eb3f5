"""From echoes to detections: resolution cells, the Swerling-1 draw, errors of measurement, false alarms and ground returns.

Echoes that the radar cannot tell from the strongest one left (within a cell of it in range, azimuth and Doppler) answer as one: their
powers add, then one draw decides. Cells of fixed place would split a target on their edge and give it two chances. The measured power
x, in units of the noise, is exponential with mean 1 + SNR, and x > -ln(Pfa) is a detection, so that Pd = Pfa^(1 / (1 + SNR)).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, kernel, leaf
from sensors.noise import bits_of, gaussian, hash2, log_fast, uniform
from sensors.radar.config import NEAREST_M
from sensors.radar.physics import angle_of, antenna_db, cosine_of, error_share, fold, from_db, ground_cnr, to_db
from sensors.radar.settings import (
    AZIMUTH_CELL,
    BLUR,
    DOPPLER_CELL,
    EDGE_SLOPE_DB,
    ELEVATION_CELL,
    FLUCTUATION,
    GROUND_GAMMA,
    GROUND_RANGES,
    HALF_FOV,
    HIGH_DOPPLER,
    LOW_DOPPLER,
    MAX_RANGE,
    MEAN_ALARMS,
    MEAN_GROUND,
    NYQUIST,
    PER_HALF_BEAM,
    PER_RANGE_CELL,
    QUANTILES,
    RANGE_CELL,
    SNR_AT_1M,
    THRESHOLD,
    WIDENS,
)
from sensors.radar.targets import (
    ACTOR,
    AHEAD,
    CLUTTER,
    COLUMNS,
    DOPPLER,
    ECHOES,
    FALSE_ALARM,
    LEFT,
    NOBODY,
    NUMBER,
    ORIGIN,
    RANGE,
    RCS,
    SNR,
    UP,
    Targets,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = tuple[np.uint32, np.uint32]
u4, u8 = np.uint32, np.uint64

FEATURES = 6  # as sensors.frames.RADAR_FEATURES: range, azimuth, elevation, Doppler, RCS, SNR; the last two linear until reported
AZIMUTH, ELEVATION, SPEED, SIGMA, RATIO = range(1, FEATURES)
"""Of ``Found.rows``. Until a detection is measured, what ``keep_place`` writes is there."""
GROUND_NUMBERS = 1 << 25
"""Where the counters of the errors of ground returns begin."""
MOST_EXTRAS = 64
"""Most false alarms, and most ground returns, of one scan."""
BUCKETS = 512
LEVELS, LEVELS_AN_OCTAVE, LOWEST_OCTAVE = 256, 4, -5
"""Keys are sorted first by level, in quarters of octaves from 2^-5 to 2^59."""


class Found(NamedTuple):
    """Detections of one scan before the strongest are reported, and what finding them takes."""

    rows: Floats  # (6, N)
    who: Ints  # (N, 2) actor or -1, origin
    keys: Floats  # (N,) what ``sort_descending`` sorts by
    order: Ints  # (N,)
    bucket: Ints  # (BUCKETS,) first echo of a range of ranges, -1 for none
    following: Ints  # (N,) the next one of the same bucket
    level: Ints  # (LEVELS + 1,) scratch of ``sort_descending``
    cell: Floats  # (COLUMNS,) sums over one cell
    number: NDArray[np.uint32]  # (N,) counters of draws: of the echoes, then of the detections
    power: Floats  # (N,) of the detections, in units of the noise
    draws: NDArray[np.float32]  # (4, N) exponential, one an echo in the first row, then standard normal, four a detection


@kernel()
def make_found(echoes: int) -> Found:
    """Make room for the detections of so many echoes."""
    room = echoes + 2 * MOST_EXTRAS
    return Found(
        np.empty((FEATURES, room)),
        np.empty((room, 2), np.int64),
        np.empty(room),
        np.empty(room, np.int64),
        np.empty(BUCKETS, np.int64),
        np.empty(room, np.int64),
        np.empty(LEVELS + 1, np.int64),
        np.empty(COLUMNS),
        np.empty(room, np.uint32),
        np.empty(room),
        np.empty((4, room), np.float32),
    )


@inlined()
def _level(key: float) -> int:
    """The level of a positive key, counted from the highest; each level is a quarter of an octave."""
    quarters = (int(bits_of(np.float32(key))) >> 21) - LEVELS_AN_OCTAVE * (127 + LOWEST_OCTAVE)
    return LEVELS - 1 - min(max(quarters, 0), LEVELS - 1)


@leaf()
def sort_descending(keys: Floats, order: Ints, level: Ints, count: int) -> None:
    """Write the indices of the first ``count`` keys in falling order: by level, then by insertion. Equal keys keep their order.

    Args:
        keys: What is sorted by, all positive.
        order: Written, (count,) or more.
        level: Scratch, (LEVELS + 1,).
        count: How many.
    """
    for n in range(LEVELS + 1):
        level[n] = 0
    for n in range(count):
        level[_level(keys[n]) + 1] += 1
    for n in range(LEVELS):
        level[n + 1] += level[n]
    for n in range(count):
        mine = _level(keys[n])
        order[level[mine]] = n
        level[mine] += 1
    for n in range(1, count):
        mine, k = order[n], n
        while k > 0 and keys[order[k - 1]] < keys[mine]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = mine


@inlined()
def _fill_buckets(t: Targets, settings: Floats, found: Found) -> None:
    """Chain the echoes by range cell."""
    for n in range(BUCKETS):
        found.bucket[n] = -1
    for n in range(t.counts[ECHOES]):
        where = int(t.echoes[n, RANGE] * settings[PER_RANGE_CELL]) & (BUCKETS - 1)
        found.following[n] = found.bucket[where]
        found.bucket[where] = n
        found.keys[n], found.number[n] = t.echoes[n, SNR], u4(t.labels[n, NUMBER])


@inlined()
def _as_one_ramp_sees(doppler: float, nyquist: float) -> float:
    """A difference of Doppler, folded."""
    return doppler if -nyquist <= doppler < nyquist else fold(doppler, -nyquist, nyquist)


@inlined()
def same_cell(row: Floats, head: Floats, settings: Floats) -> bool:
    """Whether an echo lies within one cell of another; Doppler as one ramp sees it, folded. The head's azimuth sets the cell's width."""
    if abs(row[RANGE] - head[RANGE]) > settings[RANGE_CELL]:
        return False
    aside = row[LEFT] - head[LEFT] if settings[WIDENS] > 0.0 else row[LEFT] * head[AHEAD] - row[AHEAD] * head[LEFT]
    if abs(aside) > settings[AZIMUTH_CELL] or row[AHEAD] * head[AHEAD] + row[LEFT] * head[LEFT] <= 0.0:
        return False
    return bool(abs(_as_one_ramp_sees(row[DOPPLER] - head[DOPPLER], settings[NYQUIST])) <= settings[DOPPLER_CELL])


@inlined()
def _form_cell(t: Targets, head: int, settings: Floats, found: Found) -> None:
    """Sum up what answers as one with echo ``head`` and spend it: places weighted by power, RCS and SNR as sums."""
    cell, first = found.cell, t.echoes[head]
    for column in range(COLUMNS):
        cell[column] = first[column]
    first[SNR] = -1.0
    middle, others = int(first[RANGE] * settings[PER_RANGE_CELL]), 0
    for near in range(middle - 1, middle + 2):
        n = found.bucket[near & (BUCKETS - 1)]
        while n >= 0:
            row = t.echoes[n]
            if row[SNR] > 0.0 and same_cell(row, first, settings):
                if others == 0:  # from here on the places are sums of differences, weighted
                    for column in range(RCS):
                        cell[column] = 0.0
                for column in range(DOPPLER):
                    cell[column] += row[SNR] * (row[column] - first[column])
                cell[DOPPLER] += row[SNR] * _as_one_ramp_sees(row[DOPPLER] - first[DOPPLER], settings[NYQUIST])
                cell[RCS] += row[RCS]
                cell[SNR] += row[SNR]
                row[SNR] = -1.0
                others += 1
            n = found.following[n]
    if others > 0:
        per_snr = 1.0 / cell[SNR]
        for column in range(RCS):
            cell[column] = first[column] + cell[column] * per_snr


@inlined()
def _exponential(i: int, key: Key) -> float:
    return -float(log_fast(uniform(hash2(u4(i), key[0], key[1]))))


@leaf(fastmath={"contract"})
def _draw_powers(count: int, key: Key, found: Found) -> None:
    """An exponential number for each echo, in whole vectors; those of echoes that do not lead a cell are not used."""
    number, draws, k0, k1 = found.number, found.draws[0], key[0], key[1]
    for n in range(count):
        k = u8(n)
        draws[k] = -log_fast(uniform(hash2(number[k], k0, k1)))


@leaf(fastmath={"contract"})
def _draw_errors(count: int, key: Key, found: Found) -> None:
    """Four standard normal numbers for each detection, in whole vectors."""
    number, k0, k1 = found.number, key[0], key[1]
    for which in range(4):
        draws = found.draws[which]
        for n in range(count):
            k = u8(n)
            draws[k] = gaussian(hash2(u4(u4(number[k] * u4(4)) + u4(which)), k0, k1))


@inlined()
def keep_place(n: int, range_m: float, ahead: float, left: float, up: float, doppler_mps: float, rows: Floats) -> None:
    """Write a true place as range, three of a direction's numbers (of any length but for ``up``, a sine) and Doppler."""
    rows[RANGE, n], rows[SIGMA, n], rows[AZIMUTH, n], rows[ELEVATION, n], rows[SPEED, n] = range_m, ahead, left, up, doppler_mps


@leaf(fastmath={"contract"})
def _find_angles(count: int, found: Found) -> None:
    """Turn what ``keep_place`` wrote into azimuth and elevation, and the cosine of the azimuth in column ``SIGMA``."""
    azimuths, elevations, cosines = found.rows[AZIMUTH], found.rows[ELEVATION], found.rows[SIGMA]
    for n in range(count):
        k = u8(n)
        ahead, left, up = cosines[k], azimuths[k], elevations[k]
        cosines[k] = ahead / math.sqrt(ahead * ahead + left * left)
        azimuths[k], elevations[k] = angle_of(left, ahead), angle_of(up, math.sqrt(max(1.0 - up * up, 0.0)))


@leaf(fastmath={"contract"})
def _blur(count: int, settings: Floats, found: Found) -> None:
    """Add errors to ranges, angles and Doppler."""
    ranges, azimuths, elevations, speeds = found.rows[RANGE], found.rows[AZIMUTH], found.rows[ELEVATION], found.rows[SPEED]
    cosines, powers, e0, e1, e2, e3 = found.rows[SIGMA], found.power, found.draws[0], found.draws[1], found.draws[2], found.draws[3]
    range_cell, azimuth_cell, widens = settings[RANGE_CELL], settings[AZIMUTH_CELL], settings[WIDENS] > 0.0
    elevation_cell, doppler_cell = settings[ELEVATION_CELL], settings[DOPPLER_CELL]
    for n in range(count):
        k = u8(n)
        share = error_share(powers[k] - 1.0)
        ranges[k] = max(ranges[k] + share * range_cell * e0[k], NEAREST_M)
        azimuths[k] += share * azimuth_cell / (cosines[k] if widens else 1.0) * e1[k]
        elevations[k] += share * elevation_cell * e2[k]
        speeds[k] += share * doppler_cell * e3[k]
        cosines[k] = cosine_of(azimuths[k])


@leaf(fastmath={"contract"})
def _read_off(count: int, settings: Floats, found: Found) -> None:
    """Fold Doppler, and write the SNR and the RCS that powers suggest."""
    ranges, speeds, cosines, ratios, powers = found.rows[RANGE], found.rows[SPEED], found.rows[SIGMA], found.rows[RATIO], found.power
    low, high, per_strength = settings[LOW_DOPPLER], settings[HIGH_DOPPLER], 1.0 / settings[SNR_AT_1M]
    slope, beam = settings[EDGE_SLOPE_DB], settings[PER_HALF_BEAM]
    for n in range(count):
        k = u8(n)
        speed = speeds[k]
        speeds[k] = speed if (speed >= low) & (speed < high) else fold(speed, low, high)
        ratios[k] = powers[k] - 1.0
        cosines[k] = rcs_of(powers[k] - 1.0, ranges[k], antenna_db(cosines[k], 0.0, slope, beam), per_strength)


@inlined()
def measure(count: int, key: Key, settings: Floats, found: Found) -> None:
    """Blur places by how clearly they stood out, fold Doppler, and give each the SNR and RCS that its power suggests.

    Standard deviations are resolution / sqrt(2 SNR), of the measured SNR; in azimuth the resolution widens as 1 / cos(azimuth). RCS
    follows from SNR, range and azimuth by the radar equation: the radar knows neither rain nor what stood in the way.

    Args:
        count: How many detections of ``found``: places, powers and numbers.
        key: Of the errors' draws.
        settings: The radar's.
        found: Where they are.
    """
    _find_angles(count, found)
    if settings[BLUR] > 0.0:
        _draw_errors(count, key, found)
        _blur(count, settings, found)
    _read_off(count, settings, found)


@inlined()
def rcs_of(snr: float, range_m: float, gain_db: float, per_strength: float) -> float:
    """RCS that an SNR suggests for a target at the radar's height, by the radar equation."""
    square = range_m * range_m
    return float(snr * square * square * per_strength * from_db(-gain_db))


@leaf()
def detect(t: Targets, fluctuation: Key, settings: Floats, found: Found) -> int:
    """Draw which resolution cells are detected; write their true places, powers and numbers, and return how many."""
    detections, echoes = 0, t.counts[ECHOES]
    _fill_buckets(t, settings, found)
    _draw_powers(echoes, fluctuation, found)
    sort_descending(found.keys, found.order, found.level, echoes)
    for rank in range(echoes):
        head = found.order[rank]
        if t.echoes[head, SNR] < 0.0:
            continue
        _form_cell(t, head, settings, found)
        power = 1.0 + found.cell[SNR]
        if settings[FLUCTUATION] > 0.0:
            power *= found.draws[0, head]
        if power > settings[THRESHOLD]:
            cell = found.cell
            keep_place(detections, cell[RANGE], cell[AHEAD], cell[LEFT], cell[UP], cell[DOPPLER], found.rows)
            found.power[detections] = power
            found.who[detections, 0], found.who[detections, 1] = t.labels[head, ACTOR], t.labels[head, ORIGIN]
            found.order[detections] = head  # heads come no faster than ranks
            detections += 1
    for n in range(detections):
        found.number[n] = u4(t.labels[found.order[n], NUMBER])
    return detections


@leaf()
def copy_exactly(t: Targets, found: Found) -> int:
    """Let every echo be a detection as it is; return how many."""
    count = t.counts[ECHOES]
    for n in range(count):
        echo = t.echoes[n]
        keep_place(n, echo[RANGE], echo[AHEAD], echo[LEFT], echo[UP], echo[DOPPLER], found.rows)
        found.who[n, 0], found.who[n, 1] = t.labels[n, ACTOR], t.labels[n, ORIGIN]
    _find_angles(count, found)
    for n in range(count):
        found.rows[SIGMA, n], found.rows[RATIO, n] = t.echoes[n, RCS], t.echoes[n, SNR]
    return int(count)


@leaf()
def poisson(mean: float, chance: float) -> int:
    """The number that a chance in (0, 1) gives by the Poisson distribution; at most ``MOST_EXTRAS``."""
    term = math.exp(-mean)
    total, count = term, 0
    while chance > total and count < MOST_EXTRAS:
        count += 1
        term *= mean / count
        total += term
    return count


@leaf()
def _any_azimuth(chance: float, settings: Floats) -> float:
    """An azimuth that is as likely in every cell."""
    side = 2.0 * chance - 1.0
    return math.asin(side * math.sin(settings[HALF_FOV])) if settings[WIDENS] > 0.0 else side * settings[HALF_FOV]


@leaf()
def add_false_alarms(key: Key, settings: Floats, found: Found, count: int) -> int:
    """Add detections of nothing, spread evenly over the cells; return how many rows there are now."""
    alarms = poisson(settings[MEAN_ALARMS], uniform(hash2(u4(0), key[0], key[1])))
    for n in range(alarms):
        row, i = found.rows[:, count + n], 1 + 4 * n
        row[RANGE] = NEAREST_M + (settings[MAX_RANGE] - NEAREST_M) * uniform(hash2(u4(i), key[0], key[1]))
        row[AZIMUTH] = _any_azimuth(uniform(hash2(u4(i + 1), key[0], key[1])), settings)
        row[ELEVATION] = 0.0
        row[SPEED] = settings[LOW_DOPPLER] + (settings[HIGH_DOPPLER] - settings[LOW_DOPPLER]) * uniform(hash2(u4(i + 2), key[0], key[1]))
        snr = _exponential(i + 3, key) + settings[THRESHOLD] - 1.0
        gain_db = antenna_db(math.cos(row[AZIMUTH]), 0.0, settings[EDGE_SLOPE_DB], settings[PER_HALF_BEAM])
        row[RATIO], row[SIGMA] = snr, rcs_of(snr, row[RANGE], gain_db, 1.0 / settings[SNR_AT_1M])
        found.who[count + n, 0], found.who[count + n, 1] = NOBODY, FALSE_ALARM
    return int(count + alarms)


@leaf()
def add_ground(key: Key, settings: Floats, t: Targets, found: Found, count: int) -> int:
    """Add returns of the ground near the car, at rest and as far below the radar as it is high; return how many rows there are now.

    They are to be measured, as what ``detect`` writes.
    """
    returns = poisson(settings[MEAN_GROUND], uniform(hash2(u4(0), key[0], key[1])))
    for n in range(returns):
        i, r = 1 + 3 * n, t.world_R_sensor
        step = QUANTILES * uniform(hash2(u4(i), key[0], key[1]))
        below = min(int(step), QUANTILES - 1)
        low, high = settings[GROUND_RANGES + below], settings[GROUND_RANGES + below + 1]
        distance = low + (high - low) * (step - below)
        if t.origin[2] >= distance:
            continue
        flat = math.sqrt(distance * distance - t.origin[2] * t.origin[2])
        turn = math.atan2(r[1, 0], r[0, 0]) + _any_azimuth(uniform(hash2(u4(i + 1), key[0], key[1])), settings)
        x, y, z = flat * math.cos(turn), flat * math.sin(turn), -t.origin[2]
        ahead, left = r[0, 0] * x + r[1, 0] * y + r[2, 0] * z, r[0, 1] * x + r[1, 1] * y + r[2, 1] * z
        up, doppler = (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z) / distance, -(t.velocity[0] * x + t.velocity[1] * y) / distance
        keep_place(count, distance, ahead, left, up, doppler, found.rows)
        area = settings[RANGE_CELL] * settings[AZIMUTH_CELL]
        cnr = ground_cnr(distance, t.origin[2], settings[PER_HALF_BEAM], settings[SNR_AT_1M], settings[GROUND_GAMMA], area)
        found.power[count], found.number[count] = settings[THRESHOLD] + (1.0 + cnr) * _exponential(i + 2, key), u4(GROUND_NUMBERS + n)
        found.who[count, 0], found.who[count, 1] = NOBODY, CLUTTER
        count += 1
    return count


@leaf()
def report(
    found: Found,
    count: int,
    detections: NDArray[np.float32],
    mask: NDArray[np.uint8],
    actor: NDArray[np.int16],
    origin: NDArray[np.int8],
) -> None:
    """Write the rows of the highest SNR, in falling order, as a frame; what is left of it is zero."""
    for n in range(count):
        found.keys[n] = found.rows[RATIO, n]
    sort_descending(found.keys, found.order, found.level, count)
    for slot in range(mask.size):
        if slot >= count:
            for feature in range(FEATURES):
                detections[slot, feature] = 0.0
            mask[slot], actor[slot], origin[slot] = 0, NOBODY, 0
            continue
        n = found.order[slot]
        for feature in range(SIGMA):
            detections[slot, feature] = found.rows[feature, n]
        detections[slot, SIGMA], detections[slot, RATIO] = to_db(found.rows[SIGMA, n]), to_db(found.rows[RATIO, n])
        mask[slot], actor[slot], origin[slot] = 1, found.who[n, 0], found.who[n, 1]
