"""Light and air of each world, as numbers for the camera kernels: sun, sky, haze and exposure from the weather.

Radiance is linear and relative: a white sheet on the ground at noon is about 1.4. Haze is Koschmieder's: a surface's contrast falls by
exp(-3.912 d / V), to 2 % at the visibility V. The display curve is ``tone``; ``radiance_of`` undoes it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.ground import FAST
from sensors.jit import kernel
from sensors.weather import Weather

f4 = np.float32
KOSCHMIEDER = 3.912
HAZE_HEIGHT_M = 1200.0
"""Thickness of the layer of haze that the sky is seen through."""
KNEE, CEILING = 0.6, 1.25
"""Of the display curve sqrt(CEILING x / (x + KNEE))."""

SUN_X, SUN_Y, SUN_Z, SUN_R, SUN_G, SUN_B, AMBIENT_R, AMBIENT_G, AMBIENT_B = range(9)
ZENITH_R, ZENITH_G, ZENITH_B, HORIZON_R, HORIZON_G, HORIZON_B, EXTINCTION, EXPOSURE = range(9, 17)
LIGHT_NUMBERS = 17


def _blend(elevation_rad: NDArray[np.float64], stops: tuple[tuple[float, tuple[float, ...]], ...]) -> NDArray[np.float64]:
    """Interpolate colours between sun elevations given in degrees, (B,) to (B, C)."""
    at = np.radians([stop[0] for stop in stops])
    table = np.asarray([stop[1] for stop in stops])
    return np.stack([np.interp(elevation_rad, at, table[:, c]) for c in range(table.shape[1])], -1)


SUN_STOPS = ((-1.0, (0.0, 0.0, 0.0)), (4.0, (0.75, 0.38, 0.16)), (15.0, (1.15, 0.92, 0.68)), (40.0, (1.30, 1.24, 1.12)))
AMBIENT_STOPS = (
    (-14.0, (0.012, 0.015, 0.025)),
    (-4.0, (0.07, 0.075, 0.11)),
    (6.0, (0.25, 0.26, 0.32)),
    (30.0, (0.40, 0.44, 0.50)),
)
ZENITH_STOPS = (
    (-14.0, (0.006, 0.010, 0.026)),
    (-4.0, (0.05, 0.07, 0.16)),
    (6.0, (0.16, 0.25, 0.46)),
    (30.0, (0.20, 0.38, 0.78)),
)
HORIZON_STOPS = (
    (-14.0, (0.02, 0.022, 0.03)),
    (-4.0, (0.20, 0.13, 0.12)),
    (6.0, (0.68, 0.50, 0.38)),
    (30.0, (0.80, 0.90, 1.00)),
)


def light_table(weather: Weather) -> NDArray[np.float32]:
    """Turn weather into the numbers that kernels read, (B, LIGHT_NUMBERS)."""
    elevation, azimuth = weather.sun_elevation_rad.double().numpy(), weather.sun_azimuth_rad.double().numpy()
    table = np.zeros((len(elevation), LIGHT_NUMBERS))
    height = np.maximum(elevation, math.radians(6.0))  # shadows of a low sun would reach for ever
    table[:, SUN_X], table[:, SUN_Y] = np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth)
    table[:, SUN_Z] = np.sin(height)
    visibility = weather.visibility_m.double().numpy()
    through = np.exp(-300.0 / visibility)[:, None]  # thick fog lets little of the direct sun through
    table[:, SUN_R : SUN_B + 1] = _blend(elevation, SUN_STOPS) * through
    ambient = _blend(elevation, AMBIENT_STOPS)
    table[:, AMBIENT_R : AMBIENT_B + 1] = ambient
    table[:, ZENITH_R : ZENITH_B + 1] = _blend(elevation, ZENITH_STOPS)
    table[:, HORIZON_R : HORIZON_B + 1] = _blend(elevation, HORIZON_STOPS)
    table[:, EXTINCTION] = KOSCHMIEDER / visibility
    brightness = ambient[:, 1] + table[:, SUN_G] * np.sin(np.maximum(elevation, 0.0))
    table[:, EXPOSURE] = np.minimum((1.4 / brightness) ** 0.7, 12.0)
    return table.astype(np.float32)


@kernel(fastmath=FAST)
def tone(x):  # type: ignore[no-untyped-def]
    """Radiance to display value in 0 to 1: a soft shoulder, then a square root for the eye's response."""
    return min(math.sqrt(f4(CEILING) * x / (x + f4(KNEE))), f4(1))


def radiance_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Undo the display curve: linear radiance times exposure of 8-bit values of any shape; 255 is the brightest it can tell."""
    y = (rgb.astype(np.float64) / 255.0) ** 2
    return KNEE * y / (CEILING - y)
