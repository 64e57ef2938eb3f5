"""Lamps of other vehicles as a lens sees them: a glow round each that faces the camera, and its image in a wet road."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import BLUE, DEPTH, GREEN, RED
from sensors.camera.geometry import (
    AT_COS,
    AT_HEIGHT,
    AT_KIND,
    AT_LENGTH,
    AT_LIGHTS,
    AT_SIN,
    AT_VALID,
    AT_WIDTH,
    AT_X,
    AT_Y,
    COLUMNS,
    FOCAL,
    ROWS,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    in_view,
)
from sensors.camera.light import BLINKING, EXTINCTION, HEAD, SNOW, WET
from sensors.frames import Semantic
from sensors.ground import LABEL, fast, plain
from sensors.scene import Kind, Light
from sensors.vehicle_shape import WAIST

f4, u8 = np.float32, np.uint64
ZERO, ONE = f4(0), f4(1)
BRAKE, LEFT, RIGHT, TRUCK, OBSTACLE = int(Light.BRAKE), int(Light.LEFT), int(Light.RIGHT), int(Kind.TRUCK), int(Kind.OBSTACLE)
VEHICLE = f4(Semantic.VEHICLE)
GLOWS = 160
# Columns of a glow: place in the image, radius across and down [px], depth [m] (0: an image in the road), red, green, blue.
GLOW_U, GLOW_V, GLOW_RADIUS, GLOW_TALL, GLOW_DEPTH, GLOW_RED, GLOW_GREEN, GLOW_BLUE = range(8)
GLOW_NUMBERS = 8
GLOW_M = 0.20
REACH = f4(2.4)
"""How far a glow goes, in its radii."""
BESIDE_TURN_LAMP = 0.1
"""A head lamp is dimmed to this share where the turn lamp beside it is on, so that the latter is seen."""
ROAD_STRETCH = f4(4.0)
"""How much longer than wide a lamp's image in a wet road is."""


@plain
def _put_glow(view, u, v, radius, tall, depth, colour, share, glows, count):  # type: ignore[no-untyped-def]
    """Note a glow if it reaches into the image; returns the new count."""
    reach_u, reach_v = 2.4 * radius, 2.4 * tall
    if count >= len(glows) or u < -reach_u or u > view[COLUMNS] + reach_u or v < -reach_v or v > view[ROWS] + reach_v:
        return count
    glow = glows[count]
    glow[GLOW_U], glow[GLOW_V], glow[GLOW_RADIUS], glow[GLOW_TALL], glow[GLOW_DEPTH] = u, v, radius, tall, depth
    glow[GLOW_RED], glow[GLOW_GREEN], glow[GLOW_BLUE] = colour[0] * share, colour[1] * share, colour[2] * share
    return count + 1


@plain
def _add_glow(view, light, x, y, z, size_m, colour, glows, count):  # type: ignore[no-untyped-def]
    """Note one lamp's glow, at a point relative to the camera's footprint, and its image in a wet road; returns the new count."""
    right, down, depth = in_view(view, x, y, z)
    if depth < 1.0:
        return count
    through = math.exp(-light[EXTINCTION] * depth)
    u, v = right / depth * view[FOCAL] + 0.5 * view[COLUMNS], down / depth * view[FOCAL] + 0.5 * view[ROWS]
    size = size_m * view[FOCAL] / depth
    radius = max(size, 0.55) * (3.0 - 2.0 * through)  # haze scatters what it takes, most of it by small angles
    share = min(1.0, size / max(size, 0.55) + 0.15) * (0.94 * through + 0.06)
    count = _put_glow(view, u, v, radius, radius, depth, colour, share, glows, count)
    water = light[WET] * (1.0 - light[SNOW])
    if water > 0.0:
        right, down, depth = in_view(view, x, y, -z)
        if depth > 1.0:
            u, v = right / depth * view[FOCAL] + 0.5 * view[COLUMNS], down / depth * view[FOCAL] + 0.5 * view[ROWS]
            flat = (1.0 - (view[VIEW_Z] + z) / math.sqrt(x * x + y * y + (view[VIEW_Z] + z) ** 2)) ** 5
            share *= water * (0.02 + 0.6 * flat)
            count = _put_glow(view, u, v, radius, ROAD_STRETCH * radius, 0.0, colour, share, glows, count)
    return count


@plain
def find_glows(view, actors, light, glows):  # type: ignore[no-untyped-def]
    """List the lit lamps of other vehicles that face the camera; returns how many."""
    count, seen = 0, float(light[BLINKING])  # doubles all through, so that ``_add_glow`` is compiled once
    night = light[HEAD] / seen
    for actor in range(1, len(actors)):
        on = int(actors[actor, AT_LIGHTS])
        if actors[actor, AT_VALID] == 0.0 or actors[actor, AT_KIND] == OBSTACLE or (on == 0 and night == 0.0):
            continue
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
        half, side, z = 0.5 * actors[actor, AT_LENGTH], 0.5 * actors[actor, AT_WIDTH], 0.8 * WAIST * actors[actor, AT_HEIGHT]
        if actors[actor, AT_KIND] == TRUCK:
            z = 0.19 * actors[actor, AT_HEIGHT]
        ahead = -cos * x - sin * y
        behind, before = ahead < -half, ahead > half
        for left in (-1.0, 1.0):
            end = half if ahead > half else -half
            if (on & LEFT and left > 0) or (on & RIGHT and left < 0):
                across = 0.88 * side * left
                place = (x + cos * end - sin * across, y + sin * end + cos * across)
                count = _add_glow(view, light, place[0], place[1], z, GLOW_M, (0.8 * seen, 0.06 * seen, 0.0), glows, count)
            across = 0.74 * side * left
            place = (x + cos * end - sin * across, y + sin * end + cos * across)
            if behind and on & BRAKE:
                wide, colour = GLOW_M * (1.2 + 0.3 * min(night, 2.0)), (1.4 * seen, 0.02 * seen, 0.02 * seen)
                count = _add_glow(view, light, place[0], place[1], z, wide, colour, glows, count)
            elif behind and night > 0.0:
                count = _add_glow(view, light, place[0], place[1], z, 0.12, (0.10 * night * seen, 0.0, 0.0), glows, count)
            elif before and night > 0.0:
                bright = night * seen * (0.25 + (ahead - half) / math.hypot(x, y)) ** 2
                if (on & LEFT and left > 0) or (on & RIGHT and left < 0):
                    bright *= BESIDE_TURN_LAMP
                count = _add_glow(view, light, place[0], place[1], z, 0.22, (bright, 0.97 * bright, 0.9 * bright), glows, count)
    return count


@fast
def glow_row(glows, count, v, width, s):  # type: ignore[no-untyped-def]
    """Add the glow of lamps to the colours of row ``v``, over what is not nearer than the lamp; images in the road only over ground."""
    for n in range(count):
        u0, v0, radius, tall, away = glows[n, GLOW_U], glows[n, GLOW_V], glows[n, GLOW_RADIUS], glows[n, GLOW_TALL], glows[n, GLOW_DEPTH]
        dv = (f4(v) + f4(0.5) - v0) / tall
        if abs(dv) > REACH:
            continue
        reach = REACH * radius
        for k in range(max(int(u0 - reach), 0), min(int(u0 + reach) + 1, width)):
            du = (f4(k) + f4(0.5) - u0) / radius
            fall = max(ONE - (du * du + dv * dv) * f4(0.17), ZERO)
            share = fall * fall * fall / (ONE + f4(2.0) * (du * du + dv * dv))
            over = s[DEPTH + u8(k)] > away - f4(0.4) if away > ZERO else s[LABEL + u8(k)] < VEHICLE
            if over:
                s[RED + u8(k)] += glows[n, GLOW_RED] * share
                s[GREEN + u8(k)] += glows[n, GLOW_GREEN] * share
                s[BLUE + u8(k)] += glows[n, GLOW_BLUE] * share
