"""Light and air of each world, as numbers for the camera kernels: sun, sky, haze and exposure from the weather.

Radiance is linear and relative: a white sheet on the ground at noon is about 1.4. Haze is Koschmieder's: a surface's contrast falls by
exp(-3.912 d / V), to 2 % at the visibility V. The display curve is ``tone``; ``radiance_of`` undoes it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensors.ground import FAST
from sensors.jit import inlined, kernel
from sensors.pose import singles
from sensors.weather import Weather

f4 = np.float32
Numbers = NDArray[np.generic]
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
BEAM_COLOUR = (1.0, 0.98, 0.92)
BACK_SCATTER_M = 1.2
"""Air light that the ego's head lights make in the thickest fog, over its extinction [m]."""


def _table_of(stops: tuple[tuple[float, tuple[float, ...]], ...]) -> NDArray[np.float64]:
    """Colours at sun elevations given in degrees as a table of elevation [rad] and colour, (N, 4)."""
    return np.asarray([(math.radians(degrees), *colour) for degrees, colour in stops])


SUN, DISC, AMBIENT, ZENITH, HORIZON = (_table_of(stops) for stops in (SUN_STOPS, DISC_STOPS, AMBIENT_STOPS, ZENITH_STOPS, HORIZON_STOPS))


@inlined()
def _blend(elevation_rad: float, stops: NDArray[np.float64], row: NDArray[np.float64], first: int) -> None:
    """Interpolate a colour between sun elevations into three numbers of a row."""
    n = 1
    while n < len(stops) - 1 and elevation_rad > stops[n, 0]:
        n += 1
    share = min(max((elevation_rad - stops[n - 1, 0]) / (stops[n, 0] - stops[n - 1, 0]), 0.0), 1.0)
    for c in range(3):
        row[first + c] = stops[n - 1, 1 + c] + share * (stops[n, 1 + c] - stops[n - 1, 1 + c])


@inlined()
def drops_per_m3(rain_mm_per_h: float) -> float:
    """Rain drops of more than 2 mm in a cubic metre, by Marshall and Palmer (1948): 8000 exp(-4.1 R^-0.21 D) / (m3 mm)."""
    slope = 4.1 * max(rain_mm_per_h, 1e-3) ** -0.21
    return 8000.0 / slope * math.exp(-2.0 * slope) if rain_mm_per_h > 0.0 else 0.0


@inlined()
def flakes_per_m3(snow_mm_per_h: float) -> float:
    """Snow flakes of more than 4 mm (melted 1 mm) likewise, by Gunn and Marshall (1958): N0 = 3800 R^-0.87, L = 2.55 R^-0.48 / mm."""
    rate = max(snow_mm_per_h, 1e-3)
    slope = 2.55 * rate**-0.48
    return 3800.0 * rate**-0.87 / slope * math.exp(-slope) if snow_mm_per_h > 0.0 else 0.0


@inlined()
def _put_sky(elevation: float, azimuth: float, visibility_m: float, clouds: float, hidden: float, row: NDArray[np.float64]) -> None:
    """Write the sun, what the sky gives, and the exposure that they ask for."""
    height = max(elevation, math.radians(6.0))  # shadows of a low sun would reach for ever
    row[SUN_X], row[SUN_Y], row[SUN_Z] = math.cos(height) * math.cos(azimuth), math.cos(height) * math.sin(azimuth), math.sin(height)
    _blend(elevation, SUN, row, SUN_R)
    _blend(elevation, DISC, row, DISC_R)
    _blend(elevation, AMBIENT, row, AMBIENT_R)
    _blend(elevation, ZENITH, row, ZENITH_R)
    _blend(elevation, HORIZON, row, HORIZON_R)
    through = math.exp(-300.0 / visibility_m) * (1.0 - clouds)  # neither thick fog nor rain clouds let the direct sun through
    for c in range(3):
        row[SUN_R + c] *= through
        row[DISC_R + c] *= through
        row[AMBIENT_R + c] *= 1.0 - 0.3 * clouds
    mean = (row[AMBIENT_R] + row[AMBIENT_G] + row[AMBIENT_B]) / 3.0
    for c in range(3):
        grey = mean * OVERCAST[c]
        row[ZENITH_R + c] += (grey * (1.0 + 0.25 * clouds) - row[ZENITH_R + c]) * hidden
        row[HORIZON_R + c] += (grey - row[HORIZON_R + c]) * hidden
    row[EXTINCTION] = KOSCHMIEDER / visibility_m
    brightness = row[AMBIENT_G] + row[SUN_G] * math.sin(max(elevation, 0.0))
    row[EXPOSURE] = min(math.sqrt(1.4 / brightness), MOST_EXPOSURE)
    row[GAIN] = max(row[EXPOSURE] / LONGEST_SHUTTER, 1.0)


@inlined()
def _put_lamps(elevation: float, hidden: float, row: NDArray[np.float64]) -> None:
    """Write what lamps give: lit by dusk, in fog and in rain, and seen against the exposure that the scene asks for."""
    lit = max(min((math.radians(8.0) - elevation) / math.radians(5.0), 1.0), min(2.0 * hidden - 0.2, 1.0), 0.0)
    seen = row[EXPOSURE] ** -0.85
    row[HEAD], row[TAIL] = 2.2 * lit * seen, 0.10 * (1.0 - lit) + 0.42 * lit * seen
    row[BRAKING], row[BLINKING] = 3.0 * seen, seen
    ambient = row[AMBIENT_G]  # by day the beams are lost in the sun's light
    row[BEAM] = HEAD_LIGHTS * lit * min(max(1.0 - ambient / 0.1, 0.08), 1.0) if ambient < 0.2 else 0.0
    back = min(BACK_SCATTER_M * row[EXTINCTION] * min(row[BEAM] / HEAD_LIGHTS, 1.0), 0.06)
    for c in range(3):
        row[HORIZON_R + c] += back * BEAM_COLOUR[c] * hidden


@inlined()
def _put_ground_and_air(elevation: float, rain: float, snow: float, wet: float, cover: float, row: NDArray[np.float64]) -> None:
    """Write wetness, cover, and what falls."""
    row[WET], row[SNOW], row[DROPS], row[FLAKES] = wet, cover, drops_per_m3(rain), flakes_per_m3(snow)
    row[GROUND_CHANGES] = 1.0 if wet > 0.0 or cover > 0.0 or row[BEAM] > 0.0 else 0.0
    low = min(max((math.radians(25.0) - elevation) / math.radians(10.0), 0.0), 1.0)
    row[GLARE] = low if row[DISC_G] > 0.01 else 0.0
    row[WHITE] = 0.3 * (row[AMBIENT_R] + row[AMBIENT_G] + row[AMBIENT_B]) + 2e-4 * row[BEAM]


@kernel(nogil=True)
def _fill_table(
    elevation: Numbers, azimuth: Numbers, visibility_m: Numbers, rain: Numbers, snow: Numbers, wet: Numbers, cover: Numbers, table: Numbers
) -> None:
    """Write a row for each world; worlds of one weather share the work."""
    row = np.empty(LIGHT_NUMBERS)
    for b in range(len(table)):
        same = b > 0 and elevation[b] == elevation[b - 1] and azimuth[b] == azimuth[b - 1] and visibility_m[b] == visibility_m[b - 1]
        same = same and rain[b] == rain[b - 1] and snow[b] == snow[b - 1] and wet[b] == wet[b - 1] and cover[b] == cover[b - 1]
        if not same:
            up, falls = float(elevation[b]), float(rain[b]) + 2.0 * float(snow[b])
            clouds = 1.0 - math.exp(-falls)  # the share of the sky that they hide
            hidden = max(clouds, math.exp(-float(visibility_m[b]) / FOG_M))  # these or fog
            _put_sky(up, float(azimuth[b]), float(visibility_m[b]), clouds, hidden, row)
            _put_lamps(up, hidden, row)
            _put_ground_and_air(up, float(rain[b]), float(snow[b]), float(wet[b]), float(cover[b]), row)
        for n in range(LIGHT_NUMBERS):
            table[b, n] = row[n]


def light_table(weather: Weather) -> NDArray[np.float32]:
    """Turn weather into the numbers that kernels read, (B, LIGHT_NUMBERS)."""
    w = weather
    fields = (w.sun_elevation_rad, w.sun_azimuth_rad, w.visibility_m, w.rain_mm_per_h, w.snow_mm_per_h, w.wetness, w.snow_cover)
    table = np.empty((len(w.visibility_m), LIGHT_NUMBERS), np.float32)
    _fill_table(*[singles(field) for field in fields], table)
    return table


@kernel(fastmath=FAST)
def tone(x):  # type: ignore[no-untyped-def]
    """Radiance to display value in 0 to 1: a soft shoulder, then a square root for the eye's response."""
    return min(math.sqrt(f4(CEILING) * x / (x + f4(KNEE))), f4(1))


def radiance_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Undo the display curve: linear radiance times exposure of 8-bit values of any shape; 255 is the brightest it can tell."""
    y = (rgb.astype(np.float64) / 255.0) ** 2
    return KNEE * y / (CEILING - y)
