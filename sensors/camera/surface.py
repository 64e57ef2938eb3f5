"""Ground that is wet, white or in the beams of the ego's head lights: ``colour_ground`` for such worlds."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import (
    BLUE,
    COARSE,
    DETAIL,
    FINE,
    GREEN,
    PAINT_RGB,
    RED,
    SKYLIT,
    SUNLIT,
    THROUGH,
    albedo_of,
    haze_row,
)
from sensors.camera.beam import BEAM_B, BEAM_G, BEAM_R, LAMP_Z, PER_PI, beam_at
from sensors.camera.light import (
    AMBIENT_B,
    AMBIENT_G,
    AMBIENT_R,
    BEAM,
    EXTINCTION,
    HORIZON_B,
    HORIZON_G,
    HORIZON_R,
    SNOW,
    SUN_B,
    SUN_G,
    SUN_R,
    SUN_Z,
    WET,
    ZENITH_B,
    ZENITH_G,
    ZENITH_R,
)
from sensors.ground import ROAD_SHARE, X, Y, clamp01, eights, fast

f4, u8 = np.float32, np.uint64
ZERO, ONE = f4(0), f4(1)
SNOW_RGB = (0.80, 0.82, 0.85)
ASPHALT_BACK, PAINT_BACK, SNOW_BACK = f4(0.015), f4(0.15), f4(0.05)
"""R_L of EN 1436, luminance over illuminance across the beam [cd / (m2 lx)]."""
WET_DARKENS = f4(0.48)
"""What standing water takes of asphalt's albedo (Lekner and Dorf 1988: about half)."""
WET_HIDES_PAINT, WET_HIDES_BEAM = f4(0.35), f4(0.75)
CLEARED = f4(0.35)
"""Share of the snow that traffic has taken off the road."""


@fast
def _cover(share, uneven, road):  # type: ignore[no-untyped-def]
    """Share of a pixel under snow: uneven where cover is thin, less of it on the road."""
    share = share * (ONE - CLEARED * road)
    return clamp01(share + uneven * f4(1.6) * share * (ONE - share))


@fast
def weather_ground(light, tangents, view_z, ego, s, first, count):  # type: ignore[no-untyped-def]
    """Light a part of a row of ground with snow, water and beams, and the haze before it.

    Wet ground mirrors the sky by Schlick's approximation for water, as far as its roughness and the gaps between puddles let it.

    Args:
        light: One row of ``light_table``.
        tangents: As for ``colour_ground``.
        view_z: The camera's height [m].
        ego: The world's axes in the ego's frame: cosine, sine; place of the camera's footprint (forward, left) from the bumper's middle.
        s: Scratch, as for ``colour_ground``; X and Y too.
        first: Column of the first pixel.
        count: How many.
    """
    cos, sin, ox, oy = ego
    up, wet, snow, power = light[SUN_Z], light[WET], light[SNOW], light[BEAM]
    sun_r, sun_g, sun_b = light[SUN_R] * up, light[SUN_G] * up, light[SUN_B] * up
    sky_r, sky_g, sky_b = light[AMBIENT_R], light[AMBIENT_G], light[AMBIENT_B]
    air_r, air_g, air_b = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B]
    rise_r, rise_g, rise_b = light[ZENITH_R] - air_r, light[ZENITH_G] - air_g, light[ZENITH_B] - air_b
    haze_row(light[EXTINCTION], tangents, s, first, count)
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        r, q, b, p = albedo_of(s, k)
        road, x, y = s[ROAD_SHARE + k], s[X + k], s[Y + k]
        uneven = s[COARSE + k] * min(f4(1.2) * s[DETAIL + k], ONE) + f4(0.4) * s[FINE + k] * min(f4(0.04) * s[DETAIL + k], ONE)
        water = wet * clamp01(f4(0.85) + f4(0.4) * uneven) * (f4(0.4) + f4(0.6) * road)
        cover = _cover(snow, uneven, road)
        p *= (ONE - WET_HIDES_PAINT * water) * (ONE - cover)
        darker = ONE - WET_DARKENS * water
        r, q, b = r * darker, q * darker, b * darker
        r, q, b = r + (f4(SNOW_RGB[0]) - r) * cover, q + (f4(SNOW_RGB[1]) - q) * cover, b + (f4(SNOW_RGB[2]) - b) * cover
        r, q, b = r + p * (f4(PAINT_RGB[0]) - r), q + p * (f4(PAINT_RGB[1]) - q), b + p * (f4(PAINT_RGB[2]) - b)
        lit, dome, through = s[SUNLIT + k], s[SKYLIT + k], s[THROUGH + k]
        steep = view_z / math.sqrt(x * x + y * y + view_z * view_z)
        flat = ONE - steep
        flat *= flat * flat * flat * flat
        mirror = (f4(0.02) + f4(0.50) * flat) * water * (ONE - cover) * dome
        a = math.sqrt(steep)
        forward, left = ox + cos * x + sin * y, oy + cos * y - sin * x
        lux = power * beam_at(forward, left, ZERO) * through
        down = LAMP_Z / math.sqrt(forward * forward + left * left + LAMP_Z * LAMP_Z) * PER_PI
        back = ((ASPHALT_BACK + (PAINT_BACK - ASPHALT_BACK) * p) * (ONE - WET_HIDES_BEAM * water) * (ONE - cover)) + SNOW_BACK * cover
        keep = ONE - mirror
        r = (r * (sky_r * dome + sun_r * lit) + lux * BEAM_R * (r * down + back)) * keep + mirror * (air_r + a * rise_r)
        q = (q * (sky_g * dome + sun_g * lit) + lux * BEAM_G * (q * down + back)) * keep + mirror * (air_g + a * rise_g)
        b = (b * (sky_b * dome + sun_b * lit) + lux * BEAM_B * (b * down + back)) * keep + mirror * (air_b + a * rise_b)
        s[RED + k], s[GREEN + k], s[BLUE + k] = air_r + (r - air_r) * through, air_g + (q - air_g) * through, air_b + (b - air_b) * through
