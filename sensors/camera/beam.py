"""The ego's own head lights: two low beams, what they give to a point, and what vehicles throw back of it.

Luminance towards the driver follows EN 1436: at grazing angles road and paint throw back R_L times the illuminance across the beam,
about 15 mcd/(m2 lx) of dry asphalt and 150 or more of paint, which Lambert's law would miss by a factor of 20.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import AWAY, DARK, GAIN, GLASS, PALE, PX, PY, PZ, SEEN_B, SEEN_G, SEEN_R
from sensors.camera.light import BEAM, EXTINCTION
from sensors.ground import clamp01, eights, fast
from sensors.noise import exp_fast

f4, i4, u8 = np.float32, np.int32, np.uint64
ZERO, ONE = f4(0), f4(1)
LAMP_Z, LAMP_Y = f4(0.65), f4(0.65)
"""Height of the lamps and their distance from the middle [m]."""
PER_PI = f4(1.0 / math.pi)
BEAM_R, BEAM_G, BEAM_B = f4(1.0), f4(0.95), f4(0.84)
"""Colour of a halogen to warm LED lamp."""


@fast
def beam_at(forward, left, up):  # type: ignore[no-untyped-def]
    """Illuminance across the beam at a place relative to the middle of the ego's front bumper, of lamps of unit peak intensity [1/m2].

    Each beam is widest along the horizon and ends above at a soft cut-off that falls by 1 in 100 (UN Regulation 112, without its kink).
    """
    ahead = max(forward, f4(0.5))
    inverse = ONE / ahead
    drop = (LAMP_Z - up) * inverse
    rise = drop * f4(1 / 0.075)
    near = ONE + rise * rise
    tall = f4(0.03) + clamp01((drop - f4(0.002)) * f4(90)) / (near * math.sqrt(near))
    a, b = (left - LAMP_Y) * inverse * f4(3.2), (left + LAMP_Y) * inverse * f4(3.2)
    a, b = ONE / (ONE + a * a), ONE / (ONE + b * b)
    c = left * inverse
    wide = a * a + b * b + f4(0.10) / (ONE + f4(2) * c * c)
    begin = clamp01(forward * f4(1.5))
    return begin * tall * wide / (ahead * ahead + left * left)


@fast
def beam_on_face(light, turn, rays, normal, body, s, first, count):  # type: ignore[no-untyped-def]
    """Add to a stretch of a face what it throws back of the beams; plates and pale lamps' glass are retro-reflectors.

    Args:
        light: One row of ``light_table``.
        turn: The actor's frame in the ego's: cosine, sine, place of its origin (forward, left) from the bumper's middle.
        rays: From ``_rays`` of the face.
        normal: Outward unit normal in the actor's frame.
        body: Albedo (red, green, blue).
        s: Scratch: GAIN, AWAY, PX to PZ and the materials are read, SEEN_R to SEEN_B raised.
        first: Column of the first pixel.
        count: How many.
    """
    cos, sin, ox, oy = turn
    nx, ny, nz = normal
    (bx, by, bz), (tx, ty, tz) = rays
    extinction, power = -light[EXTINCTION], light[BEAM]
    to_x, to_y = cos * nx - sin * ny, sin * nx + cos * ny
    for i in range(eights(count)):
        k, n = u8(first) + u8(i), f4(i4(i))
        px, py, pz = s[PX + k], s[PY + k], s[PZ + k]
        forward, left = ox + cos * px - sin * py, oy + sin * px + cos * py
        dx, dy, dz = bx + tx * n, by + ty * n, bz + tz * n
        away = s[AWAY + k] * math.sqrt(dx * dx + dy * dy + dz * dz)
        reach = ONE / math.sqrt(forward * forward + left * left + f4(0.1))
        facing = max(-(to_x * forward + to_y * left + nz * (pz - LAMP_Z)) * reach, ZERO)
        lux = power * beam_at(forward, left, pz) * exp_fast(extinction * f4(2) * away) * s[GAIN + k]
        dark, pale, glass = s[DARK + k], s[PALE + k], s[GLASS + k]
        paint = (ONE - dark) * (ONE - pale) * (ONE - glass)
        trim = f4(0.03) * dark + f4(0.62) * pale * (ONE - dark)
        back = f4(0.35) * pale * (ONE - dark) + f4(0.015)
        s[SEEN_R + k] += lux * BEAM_R * facing * ((f4(0.05) + body[0] * paint + trim) * PER_PI + back)
        s[SEEN_G + k] += lux * BEAM_G * facing * ((f4(0.05) + body[1] * paint + trim) * PER_PI + back)
        s[SEEN_B + k] += lux * BEAM_B * facing * ((f4(0.05) + body[2] * paint + trim) * PER_PI + back)
