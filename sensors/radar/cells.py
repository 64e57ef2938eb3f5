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
from sensors.noise import gaussian, hash2, log_fast, uniform
from sensors.radar.config import NEAREST_M
from sensors.radar.physics import antenna_db, error_share, fold, from_db, ground_cnr, to_db
from sensors.radar.settings import (
    AZIMUTH_CELL,
    BLUR,
    COS_HALF_FOV,
    DOPPLER_CELL,
    EDGE_DB,
    ELEVATION_BEAM,
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
    PFA,
    QUANTILES,
    RANGE_CELL,
    SNR_AT_1M,
    WIDENS,
)
from sensors.radar.targets import (
    ACTOR,
    AHEAD,
    CLUTTER,
    COLUMNS,
    DOPPLER,
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
u4 = np.uint32

FEATURES = 6  # as sensors.frames.RADAR_FEATURES: range, azimuth, elevation, Doppler, RCS, SNR; the last two linear until reported
AZIMUTH, ELEVATION, SPEED, SIGMA, RATIO = range(1, FEATURES)
MOST_EXTRAS = 64
"""Most false alarms, and most ground returns, of one scan."""
BUCKETS = 512


class Found(NamedTuple):
    """Detections of one scan before the strongest are reported, and what finding them takes."""

    rows: Floats  # (N, 6)
    who: Ints  # (N, 2) actor or -1, origin
    keys: Floats  # (N,) what ``sort_descending`` sorts by
    order: Ints  # (N,)
    bucket: Ints  # (BUCKETS,) first echo of a range of ranges, -1 for none
    following: Ints  # (N,) the next one of the same bucket
    cell: Floats  # (COLUMNS,) sums over one cell


@kernel()
def make_found(echoes: int) -> Found:
    """Make room for the detections of so many echoes."""
    room = echoes + 2 * MOST_EXTRAS
    return Found(
        np.empty((room, FEATURES)),
        np.empty((room, 2), np.int64),
        np.empty(room),
        np.empty(room, np.int64),
        np.empty(BUCKETS, np.int64),
        np.empty(room, np.int64),
        np.empty(COLUMNS),
    )


@leaf()
def sort_descending(keys: Floats, order: Ints, count: int) -> None:
    """Write the indices of the first ``count`` keys in falling order (Shell's sort; equal keys in a fixed but arbitrary order)."""
    for n in range(count):
        order[n] = n
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for n in range(gap, count):
            mine, k = order[n], n
            while k >= gap and keys[order[k - gap]] < keys[mine]:
                order[k] = order[k - gap]
                k -= gap
            order[k] = mine
        gap //= 3


@leaf()
def _fill_buckets(t: Targets, settings: Floats, found: Found) -> None:
    """Chain the echoes by range cell."""
    found.bucket[:] = -1
    for n in range(t.counts[1]):
        where = int(t.echoes[n, RANGE] / settings[RANGE_CELL]) & (BUCKETS - 1)
        found.following[n] = found.bucket[where]
        found.bucket[where] = n
        found.keys[n] = t.echoes[n, SNR]


@inlined()
def same_cell(row: Floats, head: Floats, settings: Floats) -> bool:
    """Whether an echo lies within one cell of another; Doppler as one ramp sees it, folded. The head's azimuth sets the cell's width."""
    if abs(row[RANGE] - head[RANGE]) > settings[RANGE_CELL]:
        return False
    if row[AHEAD] * head[AHEAD] + row[LEFT] * head[LEFT] <= 0.0:
        return False
    aside = row[LEFT] - head[LEFT] if settings[WIDENS] > 0.0 else row[LEFT] * head[AHEAD] - row[AHEAD] * head[LEFT]
    if abs(aside) > settings[AZIMUTH_CELL]:
        return False
    return bool(abs(fold(row[DOPPLER] - head[DOPPLER], -settings[NYQUIST], settings[NYQUIST])) <= settings[DOPPLER_CELL])


@leaf()
def _form_cell(t: Targets, head: int, settings: Floats, found: Found) -> None:
    """Sum up what answers as one with echo ``head`` and spend it: places weighted by power, RCS and SNR as sums."""
    cell, first = found.cell, t.echoes[head]
    cell[:] = 0.0
    middle = int(first[RANGE] / settings[RANGE_CELL])
    for near in range(middle - 1, middle + 2):
        n = found.bucket[near & (BUCKETS - 1)]
        while n >= 0:
            row = t.echoes[n]
            if row[SNR] > 0.0 and n != head and same_cell(row, first, settings):
                for column in range(DOPPLER):
                    cell[column] += row[SNR] * (row[column] - first[column])
                cell[DOPPLER] += row[SNR] * fold(row[DOPPLER] - first[DOPPLER], -settings[NYQUIST], settings[NYQUIST])
                cell[RCS] += row[RCS]
                cell[SNR] += row[SNR]
                row[SNR] = -1.0
            n = found.following[n]
    cell[RCS] += first[RCS]
    cell[SNR] += first[SNR]
    for column in range(RCS):
        cell[column] = first[column] + cell[column] / cell[SNR]
    first[SNR] = -1.0


@inlined()
def _exponential(i: int, key: Key) -> float:
    return -float(log_fast(uniform(hash2(u4(i), key[0], key[1]))))


@inlined()
def _error(i: int, key: Key) -> float:
    return float(gaussian(hash2(u4(i), key[0], key[1])))


@inlined()
def _write_place(cell: Floats, settings: Floats, row: Floats) -> None:
    """Write the true place of a cell as range, azimuth, elevation and Doppler."""
    row[RANGE], row[AZIMUTH] = cell[RANGE], math.atan2(cell[LEFT], cell[AHEAD])
    row[ELEVATION], row[SPEED] = math.asin(min(max(cell[UP], -1.0), 1.0)), cell[DOPPLER]


@inlined()
def measure(power: float, number: int, key: Key, settings: Floats, row: Floats) -> None:
    """Blur a detection's place by how clearly it stood out, fold its Doppler, and give it the SNR and RCS that its power suggests.

    Standard deviations are resolution / sqrt(2 SNR), of the measured SNR; in azimuth the resolution widens as 1 / cos(azimuth). RCS
    follows from SNR, range and azimuth by the radar equation: the radar knows neither rain nor what stood in the way.
    """
    snr = power - 1.0
    share = error_share(snr) * settings[BLUR]
    if share > 0.0:
        wide = math.cos(row[AZIMUTH]) if settings[WIDENS] > 0.0 else 1.0
        row[RANGE] = max(row[RANGE] + share * settings[RANGE_CELL] * _error(4 * number, key), NEAREST_M)
        row[AZIMUTH] += share * settings[AZIMUTH_CELL] / wide * _error(4 * number + 1, key)
        row[ELEVATION] += share * settings[ELEVATION_CELL] * _error(4 * number + 2, key)
        row[SPEED] += share * settings[DOPPLER_CELL] * _error(4 * number + 3, key)
    row[SPEED] = fold(row[SPEED], settings[LOW_DOPPLER], settings[HIGH_DOPPLER])
    square = row[RANGE] * row[RANGE]
    gain = antenna_db(math.cos(row[AZIMUTH]), 0.0, settings[COS_HALF_FOV], settings[EDGE_DB], settings[ELEVATION_BEAM])
    row[SIGMA], row[RATIO] = snr * square * square / (settings[SNR_AT_1M] * from_db(gain)), snr


@leaf()
def detect(t: Targets, fluctuation: Key, errors: Key, settings: Floats, found: Found) -> int:
    """Draw which resolution cells are detected and how they are measured; return how many."""
    detections, threshold = 0, -math.log(settings[PFA])
    _fill_buckets(t, settings, found)
    sort_descending(found.keys, found.order, t.counts[1])
    for rank in range(t.counts[1]):
        head = found.order[rank]
        if t.echoes[head, SNR] < 0.0:
            continue
        _form_cell(t, head, settings, found)
        number, power = t.labels[head, NUMBER], 1.0 + found.cell[SNR]
        if settings[FLUCTUATION] > 0.0:
            power *= _exponential(number, fluctuation)
        if power > threshold:
            _write_place(found.cell, settings, found.rows[detections])
            measure(power, number, errors, settings, found.rows[detections])
            found.who[detections, 0], found.who[detections, 1] = t.labels[head, ACTOR], t.labels[head, ORIGIN]
            detections += 1
    return detections


@leaf()
def copy_exactly(t: Targets, settings: Floats, found: Found) -> int:
    """Let every echo be a detection as it is; return how many."""
    for n in range(t.counts[1]):
        _write_place(t.echoes[n], settings, found.rows[n])
        found.rows[n, SIGMA], found.rows[n, RATIO] = t.echoes[n, RCS], t.echoes[n, SNR]
        found.who[n, 0], found.who[n, 1] = t.labels[n, ACTOR], t.labels[n, ORIGIN]
    return int(t.counts[1])


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
        row, i = found.rows[count + n], 1 + 4 * n
        row[RANGE] = NEAREST_M + (settings[MAX_RANGE] - NEAREST_M) * uniform(hash2(u4(i), key[0], key[1]))
        row[AZIMUTH] = _any_azimuth(uniform(hash2(u4(i + 1), key[0], key[1])), settings)
        row[ELEVATION] = 0.0
        row[SPEED] = settings[LOW_DOPPLER] + (settings[HIGH_DOPPLER] - settings[LOW_DOPPLER]) * uniform(hash2(u4(i + 2), key[0], key[1]))
        snr = _exponential(i + 3, key) - math.log(settings[PFA]) - 1.0
        gain = antenna_db(math.cos(row[AZIMUTH]), 0.0, settings[COS_HALF_FOV], settings[EDGE_DB], settings[ELEVATION_BEAM])
        row[SIGMA], row[RATIO] = snr * row[RANGE] ** 4 / (settings[SNR_AT_1M] * from_db(gain)), snr
        found.who[count + n, 0], found.who[count + n, 1] = NOBODY, FALSE_ALARM
    return int(count + alarms)


@leaf()
def add_ground(key: Key, errors: Key, settings: Floats, t: Targets, found: Found, count: int) -> int:
    """Add returns of the ground near the car, at rest and as far below the radar as it is high; return how many rows there are now."""
    returns, more = poisson(settings[MEAN_GROUND], uniform(hash2(u4(0), key[0], key[1]))), 0
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
        row = found.rows[count + more]
        row[RANGE], row[SPEED] = distance, -(t.velocity[0] * x + t.velocity[1] * y) / distance
        ahead, left = r[0, 0] * x + r[1, 0] * y + r[2, 0] * z, r[0, 1] * x + r[1, 1] * y + r[2, 1] * z
        row[AZIMUTH] = math.atan2(left, ahead)
        row[ELEVATION] = math.asin((r[0, 2] * x + r[1, 2] * y + r[2, 2] * z) / distance)
        area = settings[RANGE_CELL] * settings[AZIMUTH_CELL]
        cnr = ground_cnr(distance, t.origin[2], settings[ELEVATION_BEAM], settings[SNR_AT_1M], settings[GROUND_GAMMA], area)
        power = -math.log(settings[PFA]) + (1.0 + cnr) * _exponential(i + 2, key)
        measure(power, (1 << 25) + n, errors, settings, row)
        found.who[count + more, 0], found.who[count + more, 1] = NOBODY, CLUTTER
        more += 1
    return count + more


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
        found.keys[n] = found.rows[n, RATIO]
    sort_descending(found.keys, found.order, count)
    for slot in range(mask.size):
        if slot >= count:
            detections[slot], mask[slot], actor[slot], origin[slot] = 0.0, 0, NOBODY, 0
            continue
        n = found.order[slot]
        for feature in range(SIGMA):
            detections[slot, feature] = found.rows[n, feature]
        detections[slot, SIGMA], detections[slot, RATIO] = to_db(found.rows[n, SIGMA]), to_db(found.rows[n, RATIO])
        mask[slot], actor[slot], origin[slot] = 1, found.who[n, 0], found.who[n, 1]
