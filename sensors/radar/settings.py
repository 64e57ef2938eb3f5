"""A radar as the kernels take it: one row of numbers, made once for each rig."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from sensors.pose import mounts_of
from sensors.radar.config import WIDEST_ARRAY_RAD, Radar
from sensors.radar.physics import edge_slope_db, from_db, ground_cnr

Floats = NDArray[np.float64]

GROUND_BINS = 256
QUANTILES = 32
COLUMNS = 33
(
    HALF_FOV,
    COS_HALF_FOV,
    VIEW,
    MAX_RANGE,
    NOISE,
    SNR_AT_1M,
    THRESHOLD,
    RANGE_CELL,
    PER_RANGE_CELL,
    AZIMUTH_CELL,
    ELEVATION_CELL,
    DOPPLER_CELL,
    EDGE_SLOPE_DB,
    PER_HALF_BEAM,
    NYQUIST,
    LOW_DOPPLER,
    HIGH_DOPPLER,
    FLUCTUATION,
    BLUR,
    MEAN_ALARMS,
    RCS_SPREAD_DB,
    RAIN,
    UNDERBODY_DB,
    REFLECTION,
    MOST_LOBING,
    GHOSTS,
    MIRROR_DB,
    MIRROR_GAIN,
    CLUTTER,
    MEAN_GROUND,
    GROUND_GAMMA,
    WIDENS,
    RAIN_DB_PER_M,
) = range(COLUMNS)
"""VIEW is cos |cos| of half the field of view, THRESHOLD the power that is a detection, in units of the noise, and MOST_LOBING the most
that the ground's reflection adds. RAIN says whether rain counts; RAIN_DB_PER_M is what it costs in one world, written by the thread that
scans it."""
POST, ROADSIDE, ROAD_OBJECT = range(COLUMNS, COLUMNS + 3)
"""Mean RCS of the three kinds of clutter object [m^2], in the order of ``sensors.radar.roadside``."""
GROUND_RANGES = COLUMNS + 3
"""From here on: ranges of ground returns at ``QUANTILES`` + 1 even steps of their distribution."""
WIDTH = GROUND_RANGES + QUANTILES + 1


def _ground(radar: Radar) -> tuple[float, Floats]:
    """Mean number of ground returns of a scan, and the quantiles of their ranges [m], (QUANTILES + 1,).

    A cell of ground with clutter-to-noise ratio C is reported with Pfa^(1 / (1 + C)); Pfa of that is a false alarm already.
    """
    half = 0.5 * radar.horizontal_fov_rad
    width = (2.0 * math.sin(half) if half <= WIDEST_ARRAY_RAD else 2.0 * half) / radar.azimuth_cell_rad
    height, edges = radar.mount.z_m, np.geomspace(max(radar.mount.z_m, 0.5), radar.max_range_m, GROUND_BINS + 1)
    if height <= 0.0 or edges[0] >= radar.max_range_m:
        return 0.0, np.full(QUANTILES + 1, radar.max_range_m)
    per_half_beam = 2.0 / radar.elevation_beam_rad
    constants = (from_db(radar.snr_at_1m_db), from_db(radar.ground_gamma_db), radar.range_cell_m * radar.azimuth_cell_rad)
    middles = 0.5 * (edges[1:] + edges[:-1])
    cnr = np.array([ground_cnr(r, height, per_half_beam, *constants) for r in middles])
    cells = np.diff(edges) / radar.range_cell_m * width
    share = np.concatenate(([0.0], np.cumsum(cells * (radar.false_alarm_rate ** (1.0 / (1.0 + cnr)) - radar.false_alarm_rate))))
    if share[-1] < 1e-9:
        return 0.0, np.full(QUANTILES + 1, radar.max_range_m)
    return float(share[-1]), np.interp(np.linspace(0.0, share[-1], QUANTILES + 1), share, edges)


def settings_of(radar: Radar) -> Floats:
    """One radar's row, (WIDTH,); without ``noise`` every effect that would blur or add is off."""
    low, high = radar.doppler_span_mps
    mean_ground, quantiles = _ground(radar)
    row = np.zeros(WIDTH)
    half, cos = 0.5 * radar.horizontal_fov_rad, math.cos(0.5 * radar.horizontal_fov_rad)
    row[[HALF_FOV, COS_HALF_FOV, VIEW, MAX_RANGE]] = half, cos, cos * abs(cos), radar.max_range_m
    row[[SNR_AT_1M, THRESHOLD]] = from_db(radar.snr_at_1m_db), -math.log(radar.false_alarm_rate)
    row[[EDGE_SLOPE_DB, PER_HALF_BEAM]] = edge_slope_db(radar.edge_db, cos), 2.0 / radar.elevation_beam_rad
    row[[RANGE_CELL, AZIMUTH_CELL, ELEVATION_CELL]] = radar.range_cell_m, radar.azimuth_cell_rad, radar.elevation_cell_rad
    row[PER_RANGE_CELL] = 1.0 / radar.range_cell_m
    row[[DOPPLER_CELL, NYQUIST, LOW_DOPPLER, HIGH_DOPPLER]] = radar.doppler_cell_mps, radar.nyquist_mps, low, high
    row[[FLUCTUATION, BLUR, RAIN]] = radar.fluctuation, radar.measurement_noise, radar.rain_attenuation
    row[[UNDERBODY_DB, WIDENS]] = radar.underbody_loss_db, half <= WIDEST_ARRAY_RAD
    row[[MIRROR_DB, MIRROR_GAIN]] = radar.mirror_loss_db, from_db(-radar.mirror_loss_db)
    row[[POST, ROADSIDE, ROAD_OBJECT]] = [from_db(db) for db in (radar.rail_post_dbsm, radar.roadside_dbsm, radar.road_object_dbsm)]
    row[MOST_LOBING] = 1.0
    row[GROUND_GAMMA], row[GROUND_RANGES:] = from_db(radar.ground_gamma_db), quantiles
    if radar.noise:
        row[[NOISE, GHOSTS, CLUTTER]] = 1.0, radar.ghosts, radar.clutter
        row[[RCS_SPREAD_DB, REFLECTION, MEAN_GROUND]] = radar.rcs_spread_db, radar.ground_reflection, mean_ground * radar.clutter
        row[MOST_LOBING] = (1.0 + radar.ground_reflection) ** 4
        row[MEAN_ALARMS] = radar.mean_false_alarms * radar.false_alarms
    return row


@functools.lru_cache(maxsize=256)
def settings_and_mounts(radars: tuple[Radar, ...]) -> tuple[Floats, Floats]:
    """The radars of a rig as the kernels take them: settings (K, WIDTH) and mounts (K, 4, 4)."""
    return np.stack([settings_of(radar) for radar in radars]), mounts_of([radar.mount for radar in radars])
