"""Shadows of actors on the ground, and the darker ground close to them."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import SKYLIT, SUNLIT
from sensors.camera.geometry import (
    AT_COS,
    AT_HEIGHT,
    AT_LENGTH,
    AT_PARTS,
    AT_RADIUS,
    AT_SIN,
    AT_VALID,
    AT_WIDTH,
    AT_X,
    AT_Y,
    COLUMNS,
    CORNER_X,
    CORNER_Y,
    CORNER_Z,
    LIMITS,
    ROWS,
    VIEW_X,
    VIEW_Y,
    bounds_of,
    off_image,
    outside,
)
from sensors.ground import X, Y, eights, fast
from sensors.jit import inlined
from sensors.vehicle_shape import FRONT, FRONT_LEAN, MAX_PARTS, REAR, REAR_LEAN, SIDE, SIDE_LEAN, Z0, Z1

f4, u8 = np.float32, np.uint64
ZERO, ONE = f4(0), f4(1)
CONTACT_M = 0.5
"""How far round a vehicle the ground is darker."""
SOFTNESS = f4(7)
"""A shadow is full where the way to the sun through the part is 1 / SOFTNESS metres or longer."""
NEVER = 1e9

# Columns of a shadow: bounds of its pixels, parts, the actor's box seen from the camera's footprint; then PART_AT a part: depth along the
# way to the sun at which it is entered and left by height, and of four sides that depth (constant, per x, per y), and what is added to it
# so that it does not count for entering or for leaving.
U0, U1, V0, V1, PARTS, BOX_COS, BOX_SIN, BOX_X, BOX_Y, HALF_X, HALF_Y, PART_AT = range(12)
SIDE_NUMBERS = 5
PART_SHADOW = 2 + 4 * SIDE_NUMBERS
SHADOW_NUMBERS = PART_AT + MAX_PARTS * PART_SHADOW


@inlined()
def _box_corners(actors, actor, x, y, slide_x, slide_y, c):  # type: ignore[no-untyped-def]
    """Write the corners of an actor's box with the ground close to it, the upper ones where their shadow falls."""
    cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
    half_x, half_y = 0.5 * actors[actor, AT_LENGTH] + CONTACT_M, 0.5 * actors[actor, AT_WIDTH] + CONTACT_M
    for k in range(8):
        forward, left = half_x if k & 1 else -half_x, half_y if k & 2 else -half_y
        high = actors[actor, AT_HEIGHT] if k & 4 else 0.0
        n = u8(k)
        c[CORNER_X + n] = x + cos * forward - sin * left + high * slide_x
        c[CORNER_Y + n], c[CORNER_Z + n] = y + sin * forward + cos * left + high * slide_y, 0.0


@inlined()
def _put_side(shadow, at, nx, ny, inside, along):  # type: ignore[no-untyped-def]
    """Write one side: ``inside`` at the camera's footprint, falling by (nx, ny) a metre; a way to the sun leaves it by ``along``."""
    along = along if abs(along) > 1e-9 else 1e-9
    shadow[at], shadow[at + 1], shadow[at + 2] = inside / along, -nx / along, -ny / along
    shadow[at + 3], shadow[at + 4] = (0.0, NEVER) if along < 0.0 else (-NEVER, 0.0)


@inlined()
def _put_part(part, shadow, at, sun_x, sun_y, sun_z):  # type: ignore[no-untyped-def]
    """Write a part's numbers; the sun in the actor's frame."""
    cos, sin, x, y = shadow[BOX_COS], shadow[BOX_SIN], shadow[BOX_X], shadow[BOX_Y]
    shadow[at], shadow[at + 1] = part[Z0] / sun_z, part[Z1] / sun_z
    _put_side(shadow, at + 2, cos, sin, part[FRONT] - x, sun_x + part[FRONT_LEAN] * sun_z)
    _put_side(shadow, at + 2 + SIDE_NUMBERS, -cos, -sin, part[REAR] + x, part[REAR_LEAN] * sun_z - sun_x)
    _put_side(shadow, at + 2 + 2 * SIDE_NUMBERS, -sin, cos, part[SIDE] - y, sun_y + part[SIDE_LEAN] * sun_z)
    _put_side(shadow, at + 2 + 3 * SIDE_NUMBERS, sin, -cos, part[SIDE] + y, part[SIDE_LEAN] * sun_z - sun_y)


@inlined()
def find_shadows(view, actors, shapes, sun_x, sun_y, sun_z, corners, shadows):  # type: ignore[no-untyped-def]
    """List the actors, the ego too, whose shadow or contact darkening the image may show.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS).
        shapes: (A, MAX_PARTS, PART_NUMBERS).
        sun_x: Unit direction to the sun, world axes.
        sun_y: See ``sun_x``.
        sun_z: See ``sun_x``.
        corners: Scratch, (CORNER_NUMBERS,).
        shadows: Out: (A, SHADOW_NUMBERS).

    Returns:
        How many.
    """
    slide_x, slide_y = -sun_x / sun_z, -sun_y / sun_z
    count = 0
    for actor in range(len(actors)):
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        reach = actors[actor, AT_RADIUS] + actors[actor, AT_HEIGHT] * (abs(slide_x) + abs(slide_y)) + 2.0 * CONTACT_M
        if actors[actor, AT_VALID] == 0.0 or outside(view, x, y, reach):
            continue
        _box_corners(actors, actor, x, y, slide_x, slide_y, corners)
        if bounds_of(view, corners) == 8 or off_image(view, corners):
            continue
        shadow, cos, sin = shadows[count], actors[actor, AT_COS], actors[actor, AT_SIN]
        for k in range(4):
            most = view[COLUMNS] if k < 2 else view[ROWS]
            shadow[U0 + k] = min(max(corners[LIMITS + k], 0.0), most)
        shadow[U0], shadow[U1] = math.floor(shadow[U0]), math.ceil(shadow[U1])
        shadow[V0], shadow[V1] = math.floor(shadow[V0]), math.ceil(shadow[V1])
        shadow[BOX_COS], shadow[BOX_SIN], shadow[BOX_X], shadow[BOX_Y] = cos, sin, -cos * x - sin * y, sin * x - cos * y
        shadow[HALF_X], shadow[HALF_Y] = 0.5 * actors[actor, AT_LENGTH], 0.5 * actors[actor, AT_WIDTH]
        shadow[PARTS] = actors[actor, AT_PARTS]
        for part in range(int(shadow[PARTS])):
            at = PART_AT + part * PART_SHADOW
            _put_part(shapes[actor, part], shadow, at, cos * sun_x + sin * sun_y, cos * sun_y - sin * sun_x, sun_z)
        count += 1
    return count


@fast
def _way(side, x, y):  # type: ignore[no-untyped-def]
    """Depth at which the way from a point of the ground to the sun crosses a side, as bounds on entering and leaving."""
    t = side[0] + side[1] * x + side[2] * y
    return t + side[3], t + side[4]


@fast
def _shade_part(heights, front, rear, left, right, s, first, count):  # type: ignore[no-untyped-def]
    """Take the sun from points in a part's shadow."""
    low, high = heights
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, y = s[X + k], s[Y + k]
        near0, far0 = _way(front, x, y)
        near1, far1 = _way(rear, x, y)
        near2, far2 = _way(left, x, y)
        near3, far3 = _way(right, x, y)
        near = max(max(max(near0, near1), max(near2, near3)), low)
        far = min(min(min(far0, far1), min(far2, far3)), high)
        s[SUNLIT + k] = min(s[SUNLIT + k], ONE - min(max((far - near) * SOFTNESS, ZERO), ONE))


@fast
def _darken(box, s, first, count):  # type: ignore[no-untyped-def]
    """Take sky light from points close to an actor."""
    cos, sin, ox, oy, half_x, half_y = box
    for i in range(eights(count)):
        k = u8(first) + u8(i)
        x, y = s[X + k], s[Y + k]
        px, py = abs(ox + cos * x + sin * y), abs(oy + cos * y - sin * x)
        gap = max(max(px - half_x, py - half_y), ZERO)
        s[SKYLIT + k] = min(s[SKYLIT + k], f4(0.35) + gap * f4(1.3))


@inlined()
def _side_of(shadow, at):  # type: ignore[no-untyped-def]
    """Numbers of one side as float32 scalars."""
    return f4(shadow[at]), f4(shadow[at + 1]), f4(shadow[at + 2]), f4(shadow[at + 3]), f4(shadow[at + 4])


@inlined()
def shade_row(shadow, s, first, count):  # type: ignore[no-untyped-def]
    """Shade a stretch of ground: X and Y of the scratch are read, SUNLIT and SKYLIT lowered."""
    box = (f4(shadow[BOX_COS]), f4(shadow[BOX_SIN]), f4(shadow[BOX_X]), f4(shadow[BOX_Y]), f4(shadow[HALF_X]), f4(shadow[HALF_Y]))
    _darken(box, s, first, count)
    for part in range(int(shadow[PARTS])):
        at = PART_AT + part * PART_SHADOW
        sides = at + 2
        front, rear = _side_of(shadow, sides), _side_of(shadow, sides + SIDE_NUMBERS)
        left, right = _side_of(shadow, sides + 2 * SIDE_NUMBERS), _side_of(shadow, sides + 3 * SIDE_NUMBERS)
        _shade_part((f4(shadow[at]), f4(shadow[at + 1])), front, rear, left, right, s, first, count)
