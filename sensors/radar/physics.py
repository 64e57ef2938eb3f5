"""The laws of the radar, one leaf function each: numbers in, numbers out, for any launcher. Powers and RCS are linear but for names in dB.

Sources: Skolnik, "Introduction to Radar Systems", 3rd ed. (radar equation 1.2, Swerling 2.8, accuracy 6.3); ITU-R P.838-3 (rain); ITU-R
P.526-15, 4.1 (diffraction at an edge).
"""

from __future__ import annotations

import math

import numpy as np

from sensors.jit import inlined
from sensors.noise import exp_fast, log_fast, quarter_sine

WAVELENGTH_M = 299_792_458.0 / 77e9
LN10_TENTH = 0.1 * math.log(10.0)
PER_LN10_TENTH = 1.0 / LN10_TENTH
RAIN_K, RAIN_ALPHA = 1.12979, 0.71250
"""ITU-R P.838-3 at 77 GHz, circular or 45 degree polarisation: gamma [dB/km] = k R^alpha, with R in mm/h."""
SIDE_LOBES_DB = -40.0
"""Two-way gain that the pattern in elevation does not fall below; an assumption."""
ARC = (
    *(0.9999999975, -0.333332823, 0.1999823064, -0.1426157368, 0.1094019897),
    *(-0.08372063948, 0.05746355786, -0.03071750891, 0.01068071945, -0.001743701145),
)
"""Of atan(x) / x for x from 0 to 1, by powers of x^2; fitted at Chebyshev nodes, atan to 1.8e-9."""
EDGE_NU = -0.78
"""Where diffraction at an edge begins to cost anything."""


@inlined()
def from_db(decibels: float) -> float:
    """A power ratio of so many decibels, to 1e-6 of it, between -340 and 340 dB."""
    return float(exp_fast(LN10_TENTH * decibels))


@inlined()
def to_db(ratio: float) -> float:
    """A power ratio from 1.2e-38 to 3e38 in decibels, to 2e-6 dB and 1e-7 of it."""
    return PER_LN10_TENTH * float(log_fast(np.float32(ratio)))


@inlined()
def angle_of(y: float, x: float) -> float:
    """``math.atan2(y, x)`` to 2e-9, without a call, so that loops vectorise; 0 where both are 0."""
    across, along = abs(y), abs(x)
    ratio = min(across, along) / max(max(across, along), 1e-300)
    square, arc = ratio * ratio, ARC[9]
    for power in range(8, -1, -1):
        arc = ARC[power] + square * arc
    arc *= ratio
    arc = 0.5 * math.pi - arc if across > along else arc
    arc = math.pi - arc if x < 0.0 else arc
    return -arc if y < 0.0 else arc


@inlined()
def cosine_of(angle_rad: float) -> float:
    """``math.cos`` to 2e-6, for angles of a few turns, without a call."""
    turns = angle_rad * (0.5 / math.pi)
    return float(quarter_sine(np.float32(0.25 - abs(turns - math.floor(turns + 0.5)))))


@inlined()
def rain_db_per_m(rain_mm_per_h: float) -> float:
    """Two-way attenuation by rain for each metre of range: 2 k R^alpha / 1000."""
    return 2e-3 * RAIN_K * rain_mm_per_h**RAIN_ALPHA if rain_mm_per_h > 0.0 else 0.0


@inlined()
def antenna_db(cos_azimuth: float, sin_elevation: float, edge_slope_db: float, per_half_beam: float) -> float:
    """Two-way gain relative to the middle of the beam.

    In azimuth a raised cosine, ``edge_slope_db`` (1 - cos(azimuth)), that reaches ``edge_db`` at the edge of the field of view; in
    elevation a parabola in decibels, 6 dB down at half the beam (3 dB each way), with side lobes.
    """
    across = sin_elevation * per_half_beam
    return edge_slope_db * (1.0 - cos_azimuth) + max(-6.0 * across * across, SIDE_LOBES_DB)


def edge_slope_db(edge_db: float, cos_half_fov: float) -> float:
    """What ``antenna_db`` takes for a gain at the edge of the field of view."""
    return edge_db / max(1.0 - cos_half_fov, 1e-12)


@inlined()
def mean_snr(snr_at_1m: float, rcs_m2: float, range_m: float, gain_db: float) -> float:
    """The radar equation: SNR = K sigma G / R^4, -40 dB a decade; ``gain_db`` holds antenna and losses."""
    square = range_m * range_m
    return float(snr_at_1m * rcs_m2 / (square * square) * from_db(gain_db))


@inlined()
def error_share(snr: float) -> float:
    """Standard deviation of a measurement as a share of its resolution: 1 / sqrt(2 SNR)."""
    return 1.0 / math.sqrt(2.0 * snr)


@inlined()
def fold(value: float, low: float, high: float) -> float:
    """The number in [low, high) that differs from ``value`` by a multiple of high - low."""
    span = high - low
    folded = value - span * math.floor((value - low) / span)
    return low if folded >= high else folded  # rounding may reach the upper end


@inlined()
def edge_loss_db(depth_m: float, before_m: float, behind_m: float) -> float:
    """Two-way loss at an edge that a straight path would pass ``depth_m`` inside (negative: clear of it), P.526 equation 31."""
    d1, d2 = max(before_m, 0.05), max(behind_m, 0.05)
    nu = depth_m * math.sqrt(2.0 * (d1 + d2) / (WAVELENGTH_M * d1 * d2))
    if nu <= EDGE_NU:
        return 0.0
    return 2.0 * max(6.9 + 20.0 * math.log10(math.sqrt((nu - 0.1) * (nu - 0.1) + 1.0) + nu - 0.1), 0.0)


@inlined()
def edge_margin_m(path_m: float) -> float:
    """How far beside an edge in the middle of a path it must pass to lose nothing; nearer its ends less is enough."""
    return -EDGE_NU * math.sqrt(0.125 * WAVELENGTH_M * max(path_m, 0.1))


@inlined()
def lobing(reflection: float, radar_m: float, target_m: float, flat_range_m: float) -> float:
    """Two-way power gain of a target over a reflecting plane: |1 - rho exp(i phi)|^4, phi = 4 pi h1 h2 / (lambda R)."""
    phase = 4.0 * math.pi * radar_m * target_m / (WAVELENGTH_M * max(flat_range_m, 1.0))
    gain = 1.0 + reflection * reflection - 2.0 * reflection * math.cos(phase)
    return gain * gain


@inlined()
def lobe_dbsm(peak_dbsm: float, lobe_db: float, cos_aspect: float) -> float:
    """RCS of a scatterer seen under an aspect: its peak, less ``lobe_db`` (1 - cos(aspect))."""
    return peak_dbsm - lobe_db * (1.0 - cos_aspect)


@inlined()
def ground_cnr(range_m: float, height_m: float, per_half_beam: float, snr_at_1m: float, gamma: float, cell_m_rad: float) -> float:
    """Clutter-to-noise ratio of a cell of ground: sigma = gamma sin(psi) R dR dAzimuth, sin(psi) = h / R, under a level radar."""
    sin_down = min(height_m / range_m, 1.0)
    rcs = gamma * sin_down * range_m * cell_m_rad
    return float(mean_snr(snr_at_1m, rcs, range_m, antenna_db(1.0, sin_down, 0.0, per_half_beam)))
