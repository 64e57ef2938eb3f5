"""What is in the air: how much light it takes, and the droplets and flakes that send some back."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.jit import leaf
from sensors.lidar.detector import AIR_ENDS, AIR_POWERS, AIR_TOTAL, PATHS, START

KOSCHMIEDER = 3.912
PER_DB_KM = math.log(10.0) / 10_000.0
"""Extinction [1/m] of 1 dB/km."""
RAIN_DB_KM, RAIN_EXPONENT = 1.076, 0.67
"""Extinction by rain, 1.076 R^0.67 dB/km with R in mm/h (ITU-R P.1814, 2007, section 3.4)."""
SNOW_DB_KM, SNOW_EXPONENT = 5.42e-5 * 905.0 + 5.4958776, 1.38
"""Extinction by dry snow, a S^1.38 dB/km with S in mm/h and a = 5.42e-5 wavelength / nm + 5.4958776 (the same, section 3.5)."""

NEAREST_M = 2.0
"""Nearer than this the receiver does not see where its own beam is."""
FOG_RATIO_SR, PULSE_M = 18.0, 1.5
"""Extinction over backscatter of water droplets (Pinnick et al., 1983), and the depth of air that half a pulse of 10 ns fills."""
RAIN_RETURN, SNOW_RETURN = 0.02, 0.06
"""What one drop or flake sends back of the light, as a reflectivity over the whole beam: it covers a part of it. Chosen, not measured."""
GEOMETRIC = 0.5
"""Share of a large particle's extinction that is its cross-section (Mie's limit is 2): the rest is diffracted ahead."""
NEGLIGIBLE = 1e-3
"""Chance of a return from the air below which none is drawn."""
KINDS = 3
RATE, BRIGHT, REACH = range(3)


@leaf()
def rain_extinction(rain_mm_per_h: float) -> float:
    """Extinction by rain [1/m]."""
    return RAIN_DB_KM * rain_mm_per_h**RAIN_EXPONENT * PER_DB_KM if rain_mm_per_h > 0.0 else 0.0


@leaf()
def snow_extinction(snow_mm_per_h: float) -> float:
    """Extinction by dry snow [1/m]."""
    return SNOW_DB_KM * snow_mm_per_h**SNOW_EXPONENT * PER_DB_KM if snow_mm_per_h > 0.0 else 0.0


@leaf()
def extinction(visibility_m: float, rain_mm_per_h: float, snow_mm_per_h: float) -> float:
    """Extinction of the air [1/m]: Koschmieder's, as visibility has rain and snow in it, but no less than theirs."""
    falling: float = rain_extinction(rain_mm_per_h) + snow_extinction(snow_mm_per_h)
    return max(KOSCHMIEDER / visibility_m, falling)


@leaf()
def reach_of(reflectivity: float, extinction_per_m: float, threshold: float, longest_m: float) -> float:
    """Range [m] at which a reflectivity falls to a threshold [1/m^2]: reflectivity exp(-2 alpha r) / r^2 = threshold; Newton on log r."""
    if threshold <= 0.0 or reflectivity <= 0.0:
        return longest_m if reflectivity > 0.0 else 0.0
    level = 0.5 * math.log(reflectivity / threshold)
    x = min(level, math.log(longest_m))
    for _ in range(8):  # log r + alpha r = level; convex in log r and begun above the root, so it comes down on it
        r = math.exp(x)
        x -= (x + extinction_per_m * r - level) / (1.0 + extinction_per_m * r)
    return min(math.exp(x), longest_m)


@leaf()
def fill_air(
    visibility_m: float,
    rain_mm_per_h: float,
    snow_mm_per_h: float,
    threshold: float,
    longest_m: float,
    air: NDArray[np.float32],
    kinds: NDArray[np.float64],
) -> bool:
    """Write the numbers of the air for ``detector.add_air``; whether any returns are to be expected.

    Fog, rain and snow each have so many droplets a metre of path and a range up to which one is bright enough. In the order of these
    ranges, the path (in expected droplets) grows along three straight stretches, ever more slowly: its inverse, from path to range, is
    the largest of three straight lines. ``kinds`` is (KINDS, 3) to work in: droplets a metre, reflectivity and range of each kind.
    """
    total = extinction(visibility_m, rain_mm_per_h, snow_mm_per_h)
    rain, snow = rain_extinction(rain_mm_per_h), snow_extinction(snow_mm_per_h)
    fog = max(total - rain - snow, 0.0)
    kinds[0, RATE], kinds[1, RATE], kinds[2, RATE] = fog, GEOMETRIC * rain, GEOMETRIC * snow
    kinds[0, BRIGHT], kinds[1, BRIGHT], kinds[2, BRIGHT] = math.pi * PULSE_M / FOG_RATIO_SR * fog, RAIN_RETURN, SNOW_RETURN
    for kind in range(KINDS):
        falls = kinds[kind, RATE] > 0.0
        kinds[kind, REACH] = max(reach_of(kinds[kind, BRIGHT], total, threshold, longest_m), NEAREST_M) if falls else NEAREST_M
    for i, j in ((0, 1), (1, 2), (0, 1)):
        if kinds[i, REACH] > kinds[j, REACH]:
            for field in range(3):
                kinds[i, field], kinds[j, field] = kinds[j, field], kinds[i, field]
    path, begin = 0.0, NEAREST_M
    for stretch in range(KINDS):
        left, shine = 0.0, 0.0
        for n in range(stretch, KINDS):
            left += kinds[n, RATE]
            shine += kinds[n, RATE] * kinds[n, BRIGHT]
        scale = 1.0 / max(left, 1e-12)
        end = kinds[stretch, REACH]
        air[START + stretch], air[PATHS + stretch] = begin - path * scale, scale
        air[AIR_ENDS + stretch], air[AIR_POWERS + stretch] = end, shine * scale
        path += left * (end - begin)
        begin = end
    air[AIR_TOTAL] = path
    return path > NEGLIGIBLE
