"""Radars: point detections of a scene's vehicles, with Doppler, and with fluctuation, noise and false alarms.

Doppler is the rate of change of the range, positive for what moves away: relative velocity along the line of sight, with the motion and
the turning of both cars. Without noise every visible scatterer is a detection, exactly measured. With noise, scatterers within one
resolution cell of the strongest answer as one target: their powers add, then one Swerling-1 draw decides. The measured power x, in
units of the noise, is exponential with mean 1 + SNR, and x > -ln(Pfa) is a detection, so that Pd = Pfa^(1 / (1 + SNR)). Errors have
a standard deviation of resolution / sqrt(2 SNR). False alarms are Poisson with mean Pfa times the number of cells.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.faults import Modality
from sensors.frames import RadarFrames
from sensors.jit import kernel
from sensors.launch import over_worlds
from sensors.noise import gaussian, hash2, sensor_number, uniform, world_key
from sensors.pose import SceneArrays, mounts_of, scene_arrays
from sensors.radar.config import Radar
from sensors.radar.targets import (
    AZIMUTH,
    DOPPLER,
    ELEVATION,
    FEATURES,
    NEAREST_M,
    RANGE,
    RCS,
    SCATTERERS,
    SNR,
    SNR_AT_1M_DB,
    Floats,
    Ints,
    Targets,
    antenna_db,
    find_scatterers,
    make_targets,
)
from sensors.scene import Scene

u4 = np.uint32

FALSE_ALARM_RATE = 1e-7
"""Pfa of one resolution cell."""
RANGE_CELL_M, AZIMUTH_CELL_RAD, DOPPLER_CELL_MPS = 0.4, math.radians(2.0), 0.2
ELEVATION_CELL_RAD = math.radians(4.0)
MAX_DOPPLER_MPS = 70.0
MOST_FALSE_ALARMS = 64
FLUCTUATION_STREAM, ERROR_STREAM, FALSE_STREAM = 0, 1, 2
FIRST_SENSOR = sensor_number(Modality.RADAR, 0)
NOBODY = -1


class Detections(NamedTuple):
    """Where the kernels write."""

    detections: NDArray[np.float32]  # (B, K, D, 6)
    mask: NDArray[np.uint8]  # (B, K, D)
    actor: NDArray[np.int16]  # (B, K, D)


def mean_false_alarms(radar: Radar) -> float:
    """Expected number of false alarms of one scan: Pfa times the number of resolution cells."""
    cells = radar.max_range_m / RANGE_CELL_M * radar.horizontal_fov_rad / AZIMUTH_CELL_RAD * 2.0 * MAX_DOPPLER_MPS / DOPPLER_CELL_MPS
    return FALSE_ALARM_RATE * cells


@kernel()
def _strongest(rows: Floats, count: int) -> int:
    """Which of the first rows has the largest SNR; the first of equals; -1 if all are spent (SNR below 0)."""
    best, most = -1, 0.0
    for n in range(count):
        if rows[n, SNR] > most:
            best, most = n, rows[n, SNR]
    return best


@kernel()
def _form_cell(rows: Floats, count: int, head: int, cell: Floats) -> None:
    """Add up the scatterers that the radar cannot tell from scatterer ``head``, and spend them; features by power, RCS and SNR as sums."""
    distance, azimuth, doppler = rows[head, RANGE], rows[head, AZIMUTH], rows[head, DOPPLER]
    for feature in range(FEATURES):
        cell[feature] = 0.0
    for n in range(count):
        row = rows[n]
        if row[SNR] < 0.0 or abs(row[RANGE] - distance) > RANGE_CELL_M or abs(row[AZIMUTH] - azimuth) > AZIMUTH_CELL_RAD:
            continue
        if abs(row[DOPPLER] - doppler) > DOPPLER_CELL_MPS:
            continue
        for feature in range(RCS):
            cell[feature] += row[SNR] * row[feature]
        cell[RCS] += row[RCS]
        cell[SNR] += row[SNR]
        row[SNR] = -1.0
    for feature in range(RCS):
        cell[feature] /= cell[SNR]


@kernel()
def _exponential(i: int, key: tuple[np.uint32, np.uint32]) -> float:
    return -math.log(uniform(hash2(u4(i), key[0], key[1])))


@kernel()
def _error(i: int, key: tuple[np.uint32, np.uint32]) -> float:
    return float(gaussian(hash2(u4(i), key[0], key[1])))


@kernel()
def _measure(cell: Floats, power: float, number: int, key: tuple[np.uint32, np.uint32]) -> None:
    """Blur a detected cell by how clearly it stood out, and give it the RCS and SNR that its power suggests."""
    snr = power - 1.0
    blur = 1.0 / math.sqrt(2.0 * snr)
    cell[RANGE] = max(cell[RANGE] + blur * RANGE_CELL_M * _error(4 * number, key), NEAREST_M)
    cell[AZIMUTH] += blur * AZIMUTH_CELL_RAD * _error(4 * number + 1, key)
    cell[ELEVATION] += blur * ELEVATION_CELL_RAD * _error(4 * number + 2, key)
    cell[DOPPLER] += blur * DOPPLER_CELL_MPS * _error(4 * number + 3, key)
    cell[RCS] *= snr / cell[SNR]
    cell[SNR] = snr


@kernel()
def _detect(
    t: Targets, count: int, keys: tuple[tuple[np.uint32, np.uint32], tuple[np.uint32, np.uint32]], found: Floats, actors: Ints
) -> int:
    """Draw which resolution cells are detected and how they are measured; return how many."""
    detections, threshold = 0, -math.log(FALSE_ALARM_RATE)
    head = _strongest(t.seen, count)
    while head >= 0:
        number, cell = t.scatterer[head], found[detections]
        _form_cell(t.seen, count, head, cell)
        power = _exponential(number, keys[0]) * (1.0 + cell[SNR])
        if power > threshold:
            _measure(cell, power, number, keys[1])
            actors[detections] = number // SCATTERERS
            detections += 1
        head = _strongest(t.seen, count)
    return detections


@kernel()
def _add_false_alarms(
    mean: float, half_fov_rad: float, max_range_m: float, key: tuple[np.uint32, np.uint32], count: int, found: Floats, actors: Ints
) -> int:
    """Add detections of nothing, spread evenly over the cells; return how many rows there are now."""
    chance = uniform(hash2(u4(0), key[0], key[1]))
    term = math.exp(-mean)
    total, alarms = term, 0
    while chance > total and alarms < MOST_FALSE_ALARMS:
        alarms += 1
        term *= mean / alarms
        total += term
    for n in range(alarms):
        row, i = found[count + n], 1 + 4 * n
        row[RANGE] = NEAREST_M + (max_range_m - NEAREST_M) * uniform(hash2(u4(i), key[0], key[1]))
        row[AZIMUTH] = half_fov_rad * (2.0 * uniform(hash2(u4(i + 1), key[0], key[1])) - 1.0)
        row[ELEVATION] = 0.0
        row[DOPPLER] = MAX_DOPPLER_MPS * (2.0 * uniform(hash2(u4(i + 2), key[0], key[1])) - 1.0)
        row[SNR] = _exponential(i + 3, key) - math.log(FALSE_ALARM_RATE) - 1.0
        loss_db = SNR_AT_1M_DB - 40.0 * math.log10(row[RANGE]) + antenna_db(row[AZIMUTH], half_fov_rad)
        row[RCS] = row[SNR] * 10.0 ** (-0.1 * loss_db)
        actors[count + n] = NOBODY
    return count + alarms


@kernel()
def _report(
    found: Floats, actors: Ints, count: int, detections: NDArray[np.float32], mask: NDArray[np.uint8], actor: NDArray[np.int16]
) -> None:
    """Write the strongest rows, in falling order of SNR, as a frame; spends them."""
    for slot in range(mask.size):
        n = _strongest(found, count)
        mask[slot] = n >= 0
        actor[slot] = actors[n] if n >= 0 else NOBODY
        for feature in range(FEATURES):
            value = found[n, feature] if n >= 0 else 0.0
            detections[slot, feature] = 10.0 * math.log10(value) if n >= 0 and feature >= RCS else value
        if n >= 0:
            found[n, SNR] = -1.0


@kernel(nogil=True)
def _scan(first: int, end: int, scene: SceneArrays, mounts: Floats, settings: Floats, out: Detections) -> None:
    """Scan worlds ``first`` to ``end`` with every radar."""
    sensors = out.mask.shape[1]
    t = make_targets(scene.valid.shape[1])
    found = np.empty((t.seen.shape[0] + MOST_FALSE_ALARMS + 1, FEATURES))
    actors = np.empty(found.shape[0], np.int64)
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        half_fov_rad, max_range_m, mean, noisy = settings[k, 0], settings[k, 1], settings[k, 2], settings[k, 3]
        count = find_scatterers(scene, b, mounts[k], half_fov_rad, max_range_m, t)
        if noisy > 0.0:
            seed, step, sensor = scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k
            keys = (world_key(seed, step, sensor, FLUCTUATION_STREAM), world_key(seed, step, sensor, ERROR_STREAM))
            count = _detect(t, count, keys, found, actors)
            false_key = world_key(seed, step, sensor, FALSE_STREAM)
            count = _add_false_alarms(mean, half_fov_rad, max_range_m, false_key, count, found, actors)
        else:
            for n in range(count):
                for feature in range(FEATURES):
                    found[n, feature] = t.seen[n, feature]
                actors[n] = t.scatterer[n] // SCATTERERS
        _report(found, actors, count, out.detections[b, k], out.mask[b, k], out.actor[b, k])


@functools.lru_cache(maxsize=16)
def _optics(radars: tuple[Radar, ...]) -> tuple[Floats, Floats]:
    """The radars as the kernels take them: mounts (K, 4, 4), and half field of view, range, mean false alarms, noise (K, 4)."""
    settings = [(0.5 * radar.horizontal_fov_rad, radar.max_range_m, mean_false_alarms(radar), float(radar.noise)) for radar in radars]
    return mounts_of([radar.mount for radar in radars]), np.array(settings)


def render_radar(scene: Scene, radars: Sequence[Radar]) -> RadarFrames:
    """Scan a scene with K radars that have room for the same number of detections.

    Args:
        scene: B worlds on the CPU, poses finite.
        radars: The radars.

    Returns:
        Frames (B, K, D), the strongest detections first, every sensor valid; for no radar (B, 0, 0).
    """
    worlds, sensors = scene.num_worlds, len(radars)
    shape = (worlds, sensors, radars[0].detections if radars else 0)
    frames = RadarFrames(
        detections=torch.empty((*shape, FEATURES)),
        mask=torch.empty(shape, dtype=torch.bool),
        actor=torch.empty(shape, dtype=torch.int16),
        valid=torch.ones((worlds, sensors), dtype=torch.bool),
        age_s=torch.zeros((worlds, sensors)),
    )
    if worlds and sensors:
        out = Detections(frames.detections.numpy(), frames.mask.view(torch.uint8).numpy(), frames.actor.numpy())
        over_worlds(_scan, worlds, scene_arrays(scene), *_optics(tuple(radars)), out)
    return frames
