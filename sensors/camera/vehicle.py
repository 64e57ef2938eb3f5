"""How a point of a vehicle looks: panels, glass, wheels and lamps drawn on the faces of its parts, lit by sun and sky.

A panel says, for a point of one face, how much of the pixel is ``dark`` trim, ``pale`` trim or ``glass`` and what it emits (red, green);
the rest is body colour. Edges are filtered over the pixel's width.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import sky_colour
from sensors.camera.geometry import (
    BODY_B,
    BODY_G,
    BODY_R,
    HALF_X,
    HALF_Y,
    HEIGHT,
    HULL_COS,
    HULL_SIN,
    HULL_X,
    HULL_Y,
    HULL_Z,
    KIND,
    LIGHTS,
    UNIT_FRONT,
    UNIT_REAR,
    UNIT_SIDE,
)
from sensors.camera.light import AMBIENT_B, AMBIENT_G, AMBIENT_R, SUN_B, SUN_G, SUN_R, SUN_X, SUN_Y, SUN_Z
from sensors.ground import FAST, NEXT, band, clamp01, floor
from sensors.jit import kernel
from sensors.scene import Kind, Light
from sensors.vehicle_shape import (
    CABIN_FRONT,
    CABIN_FRONT_TOP,
    CABIN_REAR,
    CABIN_REAR_TOP,
    FACE_FRONT,
    FACE_LEFT,
    FACE_REAR,
    FRONT_LEAN,
    REAR_LEAN,
    SIDE_LEAN,
    TOP,
    WAIST,
)

f4, i4 = np.float32, np.int32
BRAKE, LEFT, RIGHT = int(Light.BRAKE), int(Light.LEFT), int(Light.RIGHT)
TRUCK, OBSTACLE = int(Kind.TRUCK), int(Kind.OBSTACLE)
ZERO, ONE, LOW = f4(0), f4(1), f4(-9)
LAMP_ON, LAMP_OFF, AMBER = f4(3.0), f4(0.10), f4(2.6)
WHEEL_X, WHEEL_RADIUS_M = f4(0.60), f4(0.34)
GROUND_SHEEN = f4(0.14)
"""What a body mirrors of the ground, as a share of the light there."""


@kernel(fastmath=FAST)
def _side(x, z, hx, h, w, lights, indicator):  # type: ignore[no-untyped-def]
    """A flank: wheels in their arches, sill, doors, lamps that wrap round the corners."""
    waist = f4(WAIST) * h
    wheel_x, wheel_z = abs(x) - WHEEL_X * hx, z - WHEEL_RADIUS_M
    r = math.sqrt(wheel_x * wheel_x + wheel_z * wheel_z)
    arch, rim = band(r, LOW, WHEEL_RADIUS_M * f4(1.16), w), band(r, LOW, WHEEL_RADIUS_M * f4(0.62), w)
    hub = band(r, LOW, WHEEL_RADIUS_M * f4(0.18), w)
    dark = max(arch, band(z, LOW, f4(0.15) * h, w))
    doors = band(abs(x + f4(0.06) * hx), LOW, f4(0.012), w) + band(abs(x - f4(0.34) * hx), LOW, f4(0.012), w)
    doors += band(abs(x + f4(0.46) * hx), LOW, f4(0.012), w)
    dark = max(dark, f4(0.6) * min(doors, ONE) * band(z, f4(0.2) * h, waist, w))
    pale = (rim - hub) * f4(0.45)
    corner = band(abs(x), f4(0.93) * hx, f4(9), w) * band(z, f4(0.66) * waist, f4(0.90) * waist, w)
    red, green = ZERO, ZERO
    if x > ZERO:
        pale = max(pale, corner * f4(0.8))
    else:
        dark = max(dark, corner)
        red = corner * (LAMP_ON if lights & i4(BRAKE) else LAMP_OFF)
    if indicator:
        blink = band(abs(x), f4(0.90) * hx, f4(9), w) * band(z, f4(0.60) * waist, f4(0.92) * waist, w)
        red, green = red * (ONE - blink) + AMBER * blink, AMBER * f4(0.36) * blink
    return dark, pale, ZERO, red, green


@kernel(fastmath=FAST)
def _rear(y, z, hy, h, w, lights):  # type: ignore[no-untyped-def]
    """The tail: lamp clusters, plate, bumper."""
    waist, ay = f4(WAIST) * h, abs(y)
    dark = max(band(z, LOW, f4(0.17) * h, w), f4(0.5) * band(z, f4(0.25) * h, f4(0.262) * h, w))
    tyre = band(ay, f4(0.66) * hy, f4(0.92) * hy, w) * band(z, LOW, f4(0.2) * h, w)
    pale = band(ay, LOW, f4(0.26), w) * band(z, f4(0.30) * h, f4(0.375) * h, w)
    lamp = band(ay, f4(0.52) * hy, f4(0.96) * hy, w) * band(z, f4(0.68) * waist, f4(0.92) * waist, w)
    red, green = lamp * (LAMP_ON if lights & i4(BRAKE) else LAMP_OFF), ZERO
    blinking = (lights & i4(LEFT) and y > ZERO) or (lights & i4(RIGHT) and y < ZERO)
    if blinking:
        blink = band(ay, f4(0.70) * hy, f4(0.98) * hy, w) * band(z, f4(0.58) * waist, f4(0.94) * waist, w)
        red, green = red * (ONE - blink) + AMBER * blink, AMBER * f4(0.36) * blink
    return max(max(dark, tyre), lamp), pale * (ONE - lamp), ZERO, red, green


@kernel(fastmath=FAST)
def _front(y, z, hy, h, w, lights):  # type: ignore[no-untyped-def]
    """The nose: head lamps, grille, plate, bumper."""
    waist, ay = f4(WAIST) * h, abs(y)
    grille = band(ay, LOW, f4(0.5) * hy, w) * band(z, f4(0.50) * waist, f4(0.80) * waist, w)
    intake = band(ay, LOW, f4(0.72) * hy, w) * band(z, f4(0.20) * waist, f4(0.36) * waist, w)
    dark = max(max(grille, intake), band(z, LOW, f4(0.10) * h, w))
    plate = band(ay, LOW, f4(0.26), w) * band(z, f4(0.38) * waist, f4(0.50) * waist, w)
    lamp = band(ay, f4(0.56) * hy, f4(0.94) * hy, w) * band(z, f4(0.62) * waist, f4(0.86) * waist, w)
    rim = band(ay, f4(0.53) * hy, f4(0.96) * hy, w) * band(z, f4(0.58) * waist, f4(0.89) * waist, w)
    red, green = ZERO, ZERO
    blinking = (lights & i4(LEFT) and y > ZERO) or (lights & i4(RIGHT) and y < ZERO)
    if blinking:
        blink = band(ay, f4(0.76) * hy, f4(0.98) * hy, w) * band(z, f4(0.56) * waist, f4(0.90) * waist, w)
        red, green = AMBER * blink, AMBER * f4(0.36) * blink
    return max(dark, rim), max(plate, lamp), ZERO, red, green


@kernel(fastmath=FAST)
def _cabin(face, x, y, z, hx, hy, h, w, lights):  # type: ignore[no-untyped-def]
    """The cabin: windows between pillars, the third brake lamp under the rear window's upper edge."""
    rise = (ONE - f4(WAIST)) * h
    up = (z - f4(WAIST) * h) / rise
    pane = band(up, f4(0.08), f4(0.86), w / rise)
    red = ZERO
    if face == i4(TOP):
        pane = ZERO
    elif face == i4(FACE_FRONT) or face == i4(FACE_REAR):
        pane *= band(abs(y), LOW, (f4(0.83) - f4(0.15) * up) * hy, w)
        if face == i4(FACE_REAR) and lights & i4(BRAKE):
            lamp = band(abs(y), LOW, f4(0.30), w) * band(up, f4(0.84), f4(1.0), w / rise)
            red, pane = LAMP_ON * lamp, pane * (ONE - lamp)
    else:
        low = (f4(CABIN_REAR_TOP - CABIN_REAR) * up + f4(CABIN_REAR)) * -hx + f4(0.13)
        high = (f4(CABIN_FRONT_TOP - CABIN_FRONT) * up + f4(CABIN_FRONT)) * hx - f4(0.10)
        pane *= band(x, low, high, w) * (ONE - band(abs(x + f4(0.16) * hx), LOW, f4(0.045), w))
    return ZERO, ZERO, pane, red, ZERO


@kernel(fastmath=FAST)
def _bonnet(x, y, hx, hy, w):  # type: ignore[no-untyped-def]
    """The body seen from above: seams of bonnet and boot."""
    seam = band(abs(x - f4(0.93) * hx), LOW, f4(0.012), w) + band(abs(x + f4(0.93) * hx), LOW, f4(0.012), w)
    seam += band(abs(abs(y) - f4(0.74) * hy), LOW, f4(0.012), w)
    return f4(0.45) * min(seam, ONE), ZERO, ZERO, ZERO, ZERO


@kernel(fastmath=FAST)
def _truck(face, part, x, y, z, hx, hy, h, w, lights):  # type: ignore[no-untyped-def]
    """A lorry: a pale cargo box with dark wheels and red lamps, a cab with a wind screen."""
    dark, pale, pane, red, green = band(z, LOW, f4(0.12) * h, w), ZERO, ZERO, ZERO, ZERO
    left = y > ZERO
    blinking = (lights & i4(LEFT) and left) or (lights & i4(RIGHT) and not left)
    if face == i4(FACE_REAR) or face == i4(FACE_FRONT):
        lamp = band(abs(y), f4(0.72) * hy, f4(0.95) * hy, w) * band(z, f4(0.14) * h, f4(0.24) * h, w)
        if face == i4(FACE_REAR):
            red, dark = lamp * (LAMP_ON if lights & i4(BRAKE) else LAMP_OFF), max(dark, lamp)
        else:
            pane = band(z, f4(0.46) * h, f4(0.76) * h, w) * band(abs(y), LOW, f4(0.85) * hy, w)
            pale = lamp
        if blinking:
            red, green = red * (ONE - lamp) + AMBER * lamp, AMBER * f4(0.36) * lamp
    elif face != i4(TOP):
        for place in (f4(-0.72), f4(-0.45), f4(0.78)):
            wheel_x, wheel_z = x - place * hx, z - f4(0.5)
            dark = max(dark, band(math.sqrt(wheel_x * wheel_x + wheel_z * wheel_z), LOW, f4(0.52), w))
        if part == i4(1):
            pane = band(z, f4(0.46) * h, f4(0.74) * h, w) * band(x, f4(0.70) * hx, f4(0.93) * hx, w)
    if part == i4(0):
        pale = max(pale, f4(0.85) * (ONE - dark))
    return dark, pale, pane, red, green


@kernel(fastmath=FAST)
def _obstacle(face, x, y, z, w):  # type: ignore[no-untyped-def]
    """A barrier: slanting pale stripes."""
    if face == i4(TOP):
        return ZERO, ZERO, ZERO, ZERO, ZERO
    along = y if face == i4(FACE_FRONT) or face == i4(FACE_REAR) else x
    phase = (along + z) * f4(1.6)
    phase -= floor(phase)
    return ZERO, band(phase, f4(0.25), f4(0.75), f4(1.6) * w), ZERO, ZERO, ZERO


@kernel(fastmath=FAST)
def panel(kind, part, face, x, y, z, hx, hy, h, w, lights):  # type: ignore[no-untyped-def]
    """What a pixel of width ``w`` shows at a point of a face: shares (dark, pale, glass) and emission (red, green)."""
    if kind == i4(OBSTACLE):
        return _obstacle(face, x, y, z, w)
    if kind == i4(TRUCK):
        return _truck(face, part, x, y, z, hx, hy, h, w, lights)
    if part == i4(1):
        return _cabin(face, x, y, z, hx, hy, h, w, lights)
    if face == i4(TOP):
        return _bonnet(x, y, hx, hy, w)
    if face == i4(FACE_REAR):
        return _rear(y, z, hy, h, w, lights)
    if face == i4(FACE_FRONT):
        return _front(y, z, hy, h, w, lights)
    indicator = lights & i4(LEFT) if face == i4(FACE_LEFT) else lights & i4(RIGHT)
    return _side(x, z, hx, h, w, lights, indicator)


@kernel(fastmath=FAST)
def face_normal(face, hulls, n):  # type: ignore[no-untyped-def]
    """Outward unit normal of a face of hull ``n`` in the actor's frame."""
    if face == i4(FACE_FRONT):
        return hulls[n, UNIT_FRONT], ZERO, hulls[n, UNIT_FRONT] * hulls[n, FRONT_LEAN]
    if face == i4(FACE_REAR):
        return -hulls[n, UNIT_REAR], ZERO, hulls[n, UNIT_REAR] * hulls[n, REAR_LEAN]
    if face == i4(TOP):
        return ZERO, ZERO, ONE
    aside = hulls[n, UNIT_SIDE] if face == i4(FACE_LEFT) else -hulls[n, UNIT_SIDE]
    return ZERO, aside, hulls[n, UNIT_SIDE] * hulls[n, SIDE_LEAN]


@kernel(fastmath=FAST)
def lit_surface(light, sky, hulls, n, normal, view, up, materials):  # type: ignore[no-untyped-def]
    """Radiance of a surface of body paint, trim and glass.

    Args:
        light: One row of ``light_table``.
        sky: Its ``sky_numbers``.
        hulls: (N, HULL_NUMBERS).
        n: Which hull: heading and body colour are read.
        normal: Unit normal in the actor's frame.
        view: Unit ray in the actor's frame.
        up: Height of the point as a share of the vehicle's, for the dimmer light low on its sides.
        materials: (dark, pale, glass, red, green) from ``panel``.

    Returns:
        Red, green, blue.
    """
    dark, pale, glass, red, green = materials
    nx, ny, nz = normal
    vx, vy, vz = view
    cos, sin = hulls[n, HULL_COS], hulls[n, HULL_SIN]
    sx, sy, sz = cos * light[SUN_X] + sin * light[SUN_Y], cos * light[SUN_Y] - sin * light[SUN_X], light[SUN_Z]
    facing = max(-(nx * vx + ny * vy + nz * vz), ZERO)
    mirror_x, mirror_y, mirror_z = vx + f4(2) * facing * nx, vy + f4(2) * facing * ny, vz + f4(2) * facing * nz
    sky_r, sky_g, sky_b = sky_colour(sky, cos * mirror_x - sin * mirror_y, sin * mirror_x + cos * mirror_y, mirror_z)
    sheen = clamp01(f4(0.5) + mirror_z * f4(6))  # 0 mirrors the ground, 1 the sky
    low = (ONE - sheen) * GROUND_SHEEN
    fresnel = ONE - facing
    fresnel *= fresnel * fresnel * fresnel
    body = (ONE - dark) * (ONE - pale) * (ONE - glass)
    gloss = (f4(0.05) + f4(0.6) * fresnel) * (body + glass * f4(1.8))
    sun = max(nx * sx + ny * sy + nz * sz, ZERO)
    dome = (f4(0.62) + f4(0.38) * nz) * (f4(0.6) + f4(0.4) * clamp01(up * f4(2)))
    trim = f4(0.022) * dark + f4(0.62) * pale * (ONE - dark) + f4(0.018) * glass
    sky_r, sky_g, sky_b = sky_r * sheen + low * light[SUN_R], sky_g * sheen + low * light[SUN_G], sky_b * sheen + low * light[SUN_B]
    r = (hulls[n, BODY_R] * body + trim) * (light[AMBIENT_R] * dome + light[SUN_R] * sun) + gloss * sky_r
    g = (hulls[n, BODY_G] * body + trim) * (light[AMBIENT_G] * dome + light[SUN_G] * sun) + gloss * sky_g
    b = (hulls[n, BODY_B] * body + trim * f4(1.06)) * (light[AMBIENT_B] * dome + light[SUN_B] * sun) + gloss * sky_b
    return r + red, g + green + f4(0.02) * red, b + f4(0.015) * red


@kernel(fastmath=FAST)
def vehicle_pixel(hulls, n, part, face, ray, t, px_size, light, sky, s, to):  # type: ignore[no-untyped-def]
    """Colour one pixel of a vehicle.

    Args:
        hulls: (N, HULL_NUMBERS).
        n: Which hull.
        part: Its part.
        face: The face that is seen.
        ray: Ray of unit depth in the actor's frame.
        t: Depth [m].
        px_size: Width of a pixel at unit depth.
        light: One row of ``light_table``.
        sky: Its ``sky_numbers``.
        s: Scratch: three colours are written.
        to: Where the red goes.
    """
    dx, dy, dz = ray
    px, py, pz = hulls[n, HULL_X] + t * dx, hulls[n, HULL_Y] + t * dy, hulls[n, HULL_Z] + t * dz
    inverse = ONE / math.sqrt(dx * dx + dy * dy + dz * dz)
    h, lights = hulls[n, HEIGHT], i4(hulls[n, LIGHTS])
    materials = panel(i4(hulls[n, KIND]), part, face, px, py, pz, hulls[n, HALF_X], hulls[n, HALF_Y], h, max(t * px_size, f4(1e-3)), lights)
    view = (dx * inverse, dy * inverse, dz * inverse)
    r, g, b = lit_surface(light, sky, hulls, n, face_normal(face, hulls, n), view, pz / h, materials)
    s[to], s[to + NEXT], s[to + NEXT + NEXT] = r, g, b
