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
HAZE_HEIGHT_M = 500.0
"""Thickness of the layer of haze that the sky is seen through."""
KNEE, CEILING = 0.6, 1.25
"""Of the display curve sqrt(CEILING x / (x + KNEE))."""

SUN_X, SUN_Y, SUN_Z, SUN_R, SUN_G, SUN_B, AMBIENT_R, AMBIENT_G, AMBIENT_B = range(9)
ZENITH_R, ZENITH_G, ZENITH_B, HORIZON_R, HORIZON_G, HORIZON_B, EXTINCTION, EXPOSURE = range(9, 17)
DISC_R, DISC_G, DISC_B, BEAM, HEAD, TAIL, BRAKING, BLINKING, WET, SNOW = range(17, 27)
GROUND_CHANGES, GAIN, DROPS, FLAKES, WHITE, GLARE = range(27, 33)
"""Light of the sun's disc and glow, of the ego's head lights, of others' head lamps, tail, brake and turn lamps; wetness and snow cover
of the ground, and whether it takes anything more than sun and sky; the sensor's gain; drops and flakes a cubic metre, and how bright they
are; how much of the sun's light a lens scatters."""
LIGHT_NUMBERS = 33


def _blend(elevation_rad: NDArray[np.float64], stops: tuple[tuple[float, tuple[float, ...]], ...]) -> NDArray[np.float64]:
    """Interpolate colours between sun elevations given in degrees, (B,) to (B, C)."""
    at = np.radians([stop[0] for stop in stops])
    table = np.asarray([stop[1] for stop in stops])
    return np.stack([np.interp(elevation_rad, at, table[:, c]) for c in range(table.shape[1])], -1)


SUN_STOPS = (
    (-1.0, (0.0, 0.0, 0.0)),
    (2.0, (0.34, 0.15, 0.055)),
    (6.0, (0.80, 0.48, 0.24)),
    (15.0, (1.15, 0.92, 0.68)),
    (40.0, (1.30, 1.24, 1.12)),
)
DISC_STOPS = (
    (-8.0, (0.0, 0.0, 0.0)),
    (-1.0, (0.22, 0.09, 0.04)),
    (2.0, (0.55, 0.25, 0.09)),
    (6.0, (0.95, 0.58, 0.30)),
    (15.0, (1.15, 0.92, 0.68)),
    (40.0, (1.30, 1.24, 1.12)),
)
AMBIENT_STOPS = (
    (-14.0, (0.0030, 0.0032, 0.0042)),
    (-4.0, (0.032, 0.034, 0.050)),
    (2.0, (0.092, 0.092, 0.118)),
    (8.0, (0.25, 0.26, 0.30)),
    (30.0, (0.40, 0.44, 0.50)),
)
ZENITH_STOPS = (
    (-14.0, (0.0001, 0.0001, 0.0004)),
    (-4.0, (0.008, 0.014, 0.036)),
    (2.0, (0.020, 0.040, 0.100)),
    (8.0, (0.12, 0.21, 0.42)),
    (30.0, (0.20, 0.38, 0.78)),
)
HORIZON_STOPS = (
    (-14.0, (0.0030, 0.0026, 0.0026)),
    (-4.0, (0.075, 0.040, 0.032)),
    (2.0, (0.155, 0.082, 0.050)),
    (8.0, (0.50, 0.44, 0.38)),
    (30.0, (0.80, 0.90, 1.00)),
)
"""Radiance at sun elevations in degrees. The span from day to night is pressed together, by 1 to 200 instead of 1 to a million, and lamps
with it: a camera's longer shutter and a wider iris, which no picture shows."""
OVERCAST = (0.74, 0.77, 0.80)
"""Radiance of a closed cloud cover or of daylight fog over that of a white sheet under it."""
FOG_M = 600.0
"""Visibility at which fog hides most of the sky's blue."""
LONGEST_SHUTTER, MOST_EXPOSURE = 4.0, 6.0
"""Exposure beyond the first is bought with gain, and with it noise; nothing goes beyond the second, so that the dark stays dark."""
HEAD_LIGHTS = 100.0
BACK_SCATTER_M = 1.2
"""Air light that the ego's head lights make in the thickest fog, over its extinction [m]."""


def _cloud(weather: Weather, visibility_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What share of the sky is hidden by clouds that rain or snow, and by these or fog, (B,) each."""
    rain, snow = weather.rain_mm_per_h.double().numpy(), weather.snow_mm_per_h.double().numpy()
    clouds = 1.0 - np.exp(-(rain + 2.0 * snow))
    return clouds, np.maximum(clouds, np.exp(-visibility_m / FOG_M))


def drops_per_m3(rain_mm_per_h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rain drops of more than 2 mm in a cubic metre, by Marshall and Palmer (1948): 8000 exp(-4.1 R^-0.21 D) / (m3 mm)."""
    slope = 4.1 * np.maximum(rain_mm_per_h, 1e-3) ** -0.21
    return np.where(rain_mm_per_h > 0.0, 8000.0 / slope * np.exp(-2.0 * slope), 0.0)


def flakes_per_m3(snow_mm_per_h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Snow flakes of more than 4 mm (melted 1 mm) likewise, by Gunn and Marshall (1958): N0 = 3800 R^-0.87, L = 2.55 R^-0.48 / mm."""
    rate = np.maximum(snow_mm_per_h, 1e-3)
    slope = 2.55 * rate**-0.48
    return np.where(snow_mm_per_h > 0.0, 3800.0 * rate**-0.87 / slope * np.exp(-slope), 0.0)


def light_table(weather: Weather) -> NDArray[np.float32]:
    """Turn weather into the numbers that kernels read, (B, LIGHT_NUMBERS)."""
    elevation, azimuth = weather.sun_elevation_rad.double().numpy(), weather.sun_azimuth_rad.double().numpy()
    table = np.zeros((len(elevation), LIGHT_NUMBERS))
    height = np.maximum(elevation, math.radians(6.0))  # shadows of a low sun would reach for ever
    table[:, SUN_X], table[:, SUN_Y] = np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth)
    table[:, SUN_Z] = np.sin(height)
    visibility = weather.visibility_m.double().numpy()
    clouds, hidden = _cloud(weather, visibility)
    through = (np.exp(-300.0 / visibility) * (1.0 - clouds))[:, None]  # neither thick fog nor rain clouds let the direct sun through
    table[:, SUN_R : SUN_B + 1] = _blend(elevation, SUN_STOPS) * through
    table[:, DISC_R : DISC_B + 1] = _blend(elevation, DISC_STOPS) * through
    ambient = _blend(elevation, AMBIENT_STOPS) * (1.0 - 0.3 * clouds)[:, None]
    table[:, AMBIENT_R : AMBIENT_B + 1] = ambient
    grey = ambient.mean(1, keepdims=True) * np.asarray(OVERCAST)
    table[:, ZENITH_R : ZENITH_B + 1] = _mix(_blend(elevation, ZENITH_STOPS), grey * (1.0 + 0.25 * clouds)[:, None], hidden)
    table[:, HORIZON_R : HORIZON_B + 1] = _mix(_blend(elevation, HORIZON_STOPS), grey, hidden)
    table[:, EXTINCTION] = KOSCHMIEDER / visibility
    brightness = ambient[:, 1] + table[:, SUN_G] * np.sin(np.maximum(elevation, 0.0))
    table[:, EXPOSURE] = np.minimum((1.4 / brightness) ** 0.5, MOST_EXPOSURE)
    table[:, GAIN] = np.maximum(table[:, EXPOSURE] / LONGEST_SHUTTER, 1.0)
    _put_lamps(table, elevation, hidden)
    _put_ground_and_air(table, weather)
    return table.astype(np.float32)


def _mix(clear: NDArray[np.float64], grey: NDArray[np.float64], hidden: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours of the clear sky behind a share of grey, (B, 3)."""
    return clear + (grey - clear) * hidden[:, None]


def _put_lamps(table: NDArray[np.float64], elevation: NDArray[np.float64], hidden: NDArray[np.float64]) -> None:
    """Write what lamps give: lit by dusk, in fog and in rain, and seen against the exposure that the scene asks for."""
    lit = np.maximum(np.clip((math.radians(8.0) - elevation) / math.radians(5.0), 0.0, 1.0), np.clip(2.0 * hidden - 0.2, 0.0, 1.0))
    seen = table[:, EXPOSURE] ** -0.85
    table[:, HEAD], table[:, TAIL] = 2.2 * lit * seen, 0.10 * (1.0 - lit) + 0.42 * lit * seen
    table[:, BRAKING], table[:, BLINKING] = 3.0 * seen, seen
    ambient = table[:, AMBIENT_G]  # by day the beams are lost in the sun's light
    table[:, BEAM] = HEAD_LIGHTS * lit * np.clip(1.0 - ambient / 0.1, 0.08, 1.0) * (ambient < 0.2)
    back = BACK_SCATTER_M * table[:, EXTINCTION] * np.minimum(table[:, BEAM] / HEAD_LIGHTS, 1.0)
    table[:, HORIZON_R : HORIZON_B + 1] += np.minimum(back, 0.06)[:, None] * np.asarray((1.0, 0.98, 0.92)) * hidden[:, None]


def _put_ground_and_air(table: NDArray[np.float64], weather: Weather) -> None:
    """Write wetness, cover, and what falls."""
    table[:, WET], table[:, SNOW] = weather.wetness.double().numpy(), weather.snow_cover.double().numpy()
    table[:, GROUND_CHANGES] = (table[:, WET] > 0.0) | (table[:, SNOW] > 0.0) | (table[:, BEAM] > 0.0)
    table[:, DROPS] = drops_per_m3(weather.rain_mm_per_h.double().numpy())
    table[:, FLAKES] = flakes_per_m3(weather.snow_mm_per_h.double().numpy())
    low = np.clip((math.radians(25.0) - weather.sun_elevation_rad.double().numpy()) / math.radians(10.0), 0.0, 1.0)
    table[:, GLARE] = low * (table[:, DISC_G] > 0.01)
    table[:, WHITE] = 0.9 * table[:, AMBIENT_R : AMBIENT_B + 1].mean(1) + 2e-4 * table[:, BEAM]


@kernel(fastmath=FAST)
def tone(x):  # type: ignore[no-untyped-def]
    """Radiance to display value in 0 to 1: a soft shoulder, then a square root for the eye's response."""
    return min(math.sqrt(f4(CEILING) * x / (x + f4(KNEE))), f4(1))


def radiance_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Undo the display curve: linear radiance times exposure of 8-bit values of any shape; 255 is the brightest it can tell."""
    y = (rgb.astype(np.float64) / 255.0) ** 2
    return KNEE * y / (CEILING - y)
