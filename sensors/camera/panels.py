"""What is drawn on the faces of vehicles: panels, glass, wheels and lamps, for a stretch of pixels of one face.

For each pixel the materials are how much of it is DARK trim, PALE trim or GLASS (the rest is body colour) and what it emits (GLOW_R,
GLOW_G). Edges are filtered over the pixel's width. All read the place on the actor (PX, PY, PZ) and the pixels a metre, PER_M.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import DARK, GLASS, GLOW_G, GLOW_R, PALE, PER_M, PX, PY, PZ
from sensors.camera.light import BLINKING, BRAKING, TAIL
from sensors.ground import eights, fast, floor, whole
from sensors.jit import inlined
from sensors.scene import Kind, Light
from sensors.vehicle_shape import (
    CABIN_FRONT,
    CABIN_FRONT_TOP,
    CABIN_REAR,
    CABIN_REAR_TOP,
    FACE_FRONT,
    FACE_LEFT,
    FACE_REAR,
    TOP,
    WAIST,
)

f4, u8 = np.float32, np.uint64
BRAKE, LEFT_BLINK, RIGHT_BLINK = int(Light.BRAKE), int(Light.LEFT), int(Light.RIGHT)
TRUCK, OBSTACLE = int(Kind.TRUCK), int(Kind.OBSTACLE)
ZERO, HALF, ONE = f4(0), f4(0.5), f4(1)
AMBER, AMBER_GREEN = f4(2.6), f4(0.07)
"""Red of a turn lamp, and its green over its red: more would saturate to yellow."""
WHEEL_X, WHEEL_RADIUS_M = f4(0.60), f4(0.34)
SEAM_M = f4(0.012)


@fast
def _below(x, edge, per_m):  # type: ignore[no-untyped-def]
    """Share of a pixel at ``x`` that lies below an edge."""
    return min(max(HALF + (edge - x) * per_m, ZERO), ONE)


@fast
def _between(x, low, high, per_m):  # type: ignore[no-untyped-def]
    """Share of a pixel at ``x`` that lies within low to high."""
    return max(min(HALF, (x - low) * per_m) + min(HALF, (high - x) * per_m), ZERO)


@fast
def _seam(x, at, per_m):  # type: ignore[no-untyped-def]
    """Share of a pixel at ``x`` that a seam takes."""
    return _between(x, at - SEAM_M, at + SEAM_M, per_m)


@fast
def _put(s, k, dark, pale, glass, red, green):  # type: ignore[no-untyped-def]
    """Write a pixel's materials."""
    s[DARK + k], s[PALE + k], s[GLASS + k], s[GLOW_R + k], s[GLOW_G + k] = dark, pale, glass, red, green


@fast
def _side(hx, h, brake, blink, s, first, count):  # type: ignore[no-untyped-def]
    """A flank: wheels in their arches, sill, doors, lamps that wrap round the corners."""
    waist = f4(WAIST) * h
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, z, m = s[PX + k], s[PZ + k], s[PER_M + k]
        wheel_x, wheel_z = abs(x) - WHEEL_X * hx, z - WHEEL_RADIUS_M
        r = math.sqrt(wheel_x * wheel_x + wheel_z * wheel_z)
        arch, rim = _below(r, WHEEL_RADIUS_M * f4(1.16), m), _below(r, WHEEL_RADIUS_M * f4(0.62), m)
        hub = _below(r, WHEEL_RADIUS_M * f4(0.18), m)
        dark = max(arch, _below(z, f4(0.15) * h, m))
        doors = _seam(x, f4(-0.06) * hx, m) + _seam(x, f4(0.34) * hx, m) + _seam(x, f4(-0.46) * hx, m)
        dark = max(dark, f4(0.6) * min(doors, ONE) * _between(z, f4(0.2) * h, waist, m))
        corner = _below(f4(0.93) * hx, abs(x), m) * _between(z, f4(0.66) * waist, f4(0.90) * waist, m)
        front = x > ZERO
        pale = max((rim - hub) * f4(0.45), corner * f4(0.8) if front else ZERO)
        dark = max(dark, ZERO if front else corner)
        amber = blink * _below(f4(0.90) * hx, abs(x), m) * _between(z, f4(0.60) * waist, f4(0.92) * waist, m)
        red = ZERO if front else corner * brake
        _put(s, k, dark, pale, ZERO, red * (ONE - amber) + AMBER * amber, AMBER * AMBER_GREEN * amber)


@fast
def _rear(hy, h, brake, left, right, s, first, count):  # type: ignore[no-untyped-def]
    """The tail: lamp clusters, plate, bumper."""
    waist = f4(WAIST) * h
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        y, z, m = s[PY + k], s[PZ + k], s[PER_M + k]
        ay = abs(y)
        dark = max(_below(z, f4(0.17) * h, m), f4(0.5) * _between(z, f4(0.25) * h, f4(0.262) * h, m))
        tyre = _between(ay, f4(0.66) * hy, f4(0.92) * hy, m) * _below(z, f4(0.2) * h, m)
        plate = _between(y, f4(-0.26), f4(0.26), m) * _between(z, f4(0.30) * h, f4(0.375) * h, m)
        lamp = _between(ay, f4(0.52) * hy, f4(0.96) * hy, m) * _between(z, f4(0.68) * waist, f4(0.92) * waist, m)
        amber = _between(ay, f4(0.70) * hy, f4(0.98) * hy, m) * _between(z, f4(0.58) * waist, f4(0.94) * waist, m)
        amber *= left if y > ZERO else right
        red = lamp * brake * (ONE - amber) + AMBER * amber
        _put(s, k, max(max(dark, tyre), lamp), plate * (ONE - lamp), ZERO, red, AMBER * AMBER_GREEN * amber)


@fast
def _front(hy, h, left, right, s, first, count):  # type: ignore[no-untyped-def]
    """The nose: head lamps, grille, plate, bumper."""
    waist = f4(WAIST) * h
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        y, z, m = s[PY + k], s[PZ + k], s[PER_M + k]
        ay = abs(y)
        grille = _between(y, f4(-0.5) * hy, f4(0.5) * hy, m) * _between(z, f4(0.50) * waist, f4(0.80) * waist, m)
        intake = _between(y, f4(-0.72) * hy, f4(0.72) * hy, m) * _between(z, f4(0.20) * waist, f4(0.36) * waist, m)
        dark = max(max(grille, intake), _below(z, f4(0.10) * h, m))
        plate = _between(y, f4(-0.26), f4(0.26), m) * _between(z, f4(0.38) * waist, f4(0.50) * waist, m)
        lamp = _between(ay, f4(0.56) * hy, f4(0.94) * hy, m) * _between(z, f4(0.62) * waist, f4(0.86) * waist, m)
        rim = _between(ay, f4(0.53) * hy, f4(0.96) * hy, m) * _between(z, f4(0.58) * waist, f4(0.89) * waist, m)
        amber = _between(ay, f4(0.76) * hy, f4(0.98) * hy, m) * _between(z, f4(0.56) * waist, f4(0.90) * waist, m)
        amber *= left if y > ZERO else right
        dark = max(max(dark, rim * (ONE - lamp)), min(amber, ONE))  # around and behind the lamps
        _put(s, k, dark, max(plate, lamp) * (ONE - min(amber, ONE)), ZERO, AMBER * amber, AMBER * AMBER_GREEN * amber)


@fast
def _screen(hy, h, third, s, first, count):  # type: ignore[no-untyped-def]
    """A wind screen or rear window; ``third`` is the light of the brake lamp under the rear one's upper edge."""
    rise = (ONE - f4(WAIST)) * h
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        y, m = s[PY + k], s[PER_M + k]
        up, per_rise = (s[PZ + k] - f4(WAIST) * h) / rise, m * rise
        half = (f4(0.83) - f4(0.15) * up) * hy
        pane = _between(up, f4(0.08), f4(0.86), per_rise) * _between(y, -half, half, m)
        lamp = _between(y, f4(-0.30), f4(0.30), m) * _between(up, f4(0.84), f4(1.0), per_rise) if third > ZERO else ZERO
        _put(s, k, lamp, ZERO, pane * (ONE - lamp), third * lamp, ZERO)


@fast
def _windows(hx, h, s, first, count):  # type: ignore[no-untyped-def]
    """The cabin's side: two windows between pillars."""
    rise = (ONE - f4(WAIST)) * h
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, m = s[PX + k], s[PER_M + k]
        up = (s[PZ + k] - f4(WAIST) * h) / rise
        low = (f4(CABIN_REAR_TOP - CABIN_REAR) * up + f4(CABIN_REAR)) * -hx + f4(0.13)
        high = (f4(CABIN_FRONT_TOP - CABIN_FRONT) * up + f4(CABIN_FRONT)) * hx - f4(0.10)
        pillar = _between(x, f4(-0.16) * hx - f4(0.045), f4(-0.16) * hx + f4(0.045), m)
        pane = _between(up, f4(0.08), f4(0.86), m * rise) * _between(x, low, high, m) * (ONE - pillar)
        _put(s, k, ZERO, ZERO, pane, ZERO, ZERO)


@fast
def _bonnet(hx, hy, s, first, count):  # type: ignore[no-untyped-def]
    """The body seen from above: seams of bonnet and boot."""
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, y, m = abs(s[PX + k]), abs(s[PY + k]), s[PER_M + k]
        seam = _seam(x, f4(0.93) * hx, m) + _seam(y, f4(0.74) * hy, m)
        _put(s, k, f4(0.45) * min(seam, ONE), ZERO, ZERO, ZERO, ZERO)


@fast
def _plain(pale, s, first, count):  # type: ignore[no-untyped-def]
    """A roof: body colour, or pale."""
    for i in range(whole(count)):
        _put(s, u8(first) + u8(i), ZERO, pale, ZERO, ZERO, ZERO)


@fast
def _truck_end(hy, h, rear, brake, left, right, pale, s, first, count):  # type: ignore[no-untyped-def]
    """A lorry from behind (``rear`` 1: red lamps) or ahead (0: pale lamps and a wind screen); the cargo box is ``pale``."""
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        y, z, m = s[PY + k], s[PZ + k], s[PER_M + k]
        lamp = _between(abs(y), f4(0.72) * hy, f4(0.95) * hy, m) * _between(z, f4(0.14) * h, f4(0.24) * h, m)
        pane = (ONE - rear) * _between(z, f4(0.46) * h, f4(0.76) * h, m) * _between(y, f4(-0.85) * hy, f4(0.85) * hy, m)
        amber = lamp * (left if y > ZERO else right)
        dark = max(_below(z, f4(0.12) * h, m), lamp * rear)
        red = lamp * rear * brake * (ONE - amber) + AMBER * amber
        _put(s, k, dark, max(lamp * (ONE - rear) * (ONE - min(amber, ONE)), pale * (ONE - dark)), pane, red, AMBER * AMBER_GREEN * amber)


@fast
def _truck_side(hx, h, cab, pale, s, first, count):  # type: ignore[no-untyped-def]
    """A lorry's flank: wheels, and a window where it is the ``cab`` (1)."""
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, z, m = s[PX + k], s[PZ + k], s[PER_M + k]
        nearest = min(min(abs(x + f4(0.72) * hx), abs(x + f4(0.45) * hx)), abs(x - f4(0.78) * hx))
        r = math.sqrt(nearest * nearest + (z - HALF) * (z - HALF))
        dark = max(_below(z, f4(0.12) * h, m), _below(r, f4(0.52), m))
        pane = cab * _between(z, f4(0.46) * h, f4(0.74) * h, m) * _between(x, f4(0.70) * hx, f4(0.93) * hx, m)
        _put(s, k, dark, pale * (ONE - dark), pane, ZERO, ZERO)


@fast
def _barrier(along, s, first, count):  # type: ignore[no-untyped-def]
    """A barrier: slanting pale stripes, blurred to their mean where a pixel is wider than they; ``along`` is the row PX or PY."""
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        phase = (s[along + k] + s[PZ + k]) * f4(1.6)
        phase = phase - floor(phase) - HALF
        width = f4(1.6) / s[PER_M + k]
        stripe = max(min(HALF * width, f4(0.25) - phase) + min(HALF * width, phase + f4(0.25)), ZERO) / width
        fade = min(max(width * f4(2) - ONE, ZERO), ONE)
        _put(s, k, ZERO, stripe + fade * (HALF - stripe), ZERO, ZERO, ZERO)


@inlined()
def _draw_truck(part, face, hx, hy, h, brake, left, right, s, first, count):  # type: ignore[no-untyped-def]
    """Draw a stretch of a lorry."""
    pale = f4(0.85) if part == 0 else ZERO
    if face == FACE_FRONT or face == FACE_REAR:
        _truck_end(hy, h, ONE if face == FACE_REAR else ZERO, brake, left, right, pale, s, first, count)
    elif face == TOP:
        _plain(pale, s, first, count)
    else:
        _truck_side(hx, h, ONE if part == 1 else ZERO, pale, s, first, count)


@inlined()
def _draw_car(part, face, hx, hy, h, brake, third, left, right, s, first, count):  # type: ignore[no-untyped-def]
    """Draw a stretch of a car."""
    if part == 1:
        if face == TOP:
            _plain(ZERO, s, first, count)
        elif face == FACE_FRONT or face == FACE_REAR:
            _screen(hy, h, third if face == FACE_REAR else ZERO, s, first, count)
        else:
            _windows(hx, h, s, first, count)
    elif face == TOP:
        _bonnet(hx, hy, s, first, count)
    elif face == FACE_REAR:
        _rear(hy, h, brake, left, right, s, first, count)
    elif face == FACE_FRONT:
        _front(hy, h, left, right, s, first, count)
    else:
        _side(hx, h, brake, left if face == FACE_LEFT else right, s, first, count)


@inlined()
def draw_panel(kind, part, face, half_x, half_y, height, lights, light, s, first, count):  # type: ignore[no-untyped-def]
    """Write the materials of a stretch of one face.

    Args:
        kind: A ``Kind``.
        part: Which part of the actor.
        face: Which face of it.
        half_x: Half length [m].
        half_y: Half width [m].
        height: Height [m].
        lights: ``Light`` flags.
        light: One row of ``light_table``: how bright lamps are.
        s: Scratch: PX, PY, PZ and PER_M are read, DARK to GLOW_G written.
        first: Column of the first pixel.
        count: How many.
    """
    hx, hy, h, third = f4(half_x), f4(half_y), f4(height), light[BRAKING] if lights & BRAKE else ZERO
    brake, amber = max(third, light[TAIL]), light[BLINKING]
    left, right = amber if lights & LEFT_BLINK else ZERO, amber if lights & RIGHT_BLINK else ZERO
    if kind == OBSTACLE:
        if face == TOP:
            _plain(ZERO, s, first, count)
        else:
            _barrier(PY if face == FACE_FRONT or face == FACE_REAR else PX, s, first, count)
    elif kind == TRUCK:
        _draw_truck(part, face, hx, hy, h, brake, left, right, s, first, count)
    else:
        _draw_car(part, face, hx, hy, h, brake, third, left, right, s, first, count)
