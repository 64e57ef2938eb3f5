"""Where actors and their shadows fall in an image: poses relative to the camera, hulls and their pixel bounds, rays against parts.

Everything near the camera is float32; differences of world coordinates and the base of a row's rays are taken in float64 first.
A view is one array: the camera's axes in the world row by row (columns right, down, forward), its position, focal length, height and width.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import DEPTH, FAR
from sensors.ground import FAST, SKYLIT, STRIDE, SUNLIT, X, Y
from sensors.jit import kernel
from sensors.vehicle_shape import (
    BOTTOM,
    FACE_FRONT,
    FACE_LEFT,
    FACE_REAR,
    FACE_RIGHT,
    FRONT,
    FRONT_LEAN,
    MAX_PARTS,
    PART_NUMBERS,
    REAR,
    REAR_LEAN,
    SIDE,
    SIDE_LEAN,
    TOP,
    Z0,
    Z1,
    cut,
    fill_parts,
)

f4, i4, u8 = np.float32, np.int32, np.uint64
NEAR_M = 0.05
ZERO = f4(0)

# Columns of a hull: a part's numbers, the actor's heading, the camera's place in the actor's frame, its half size, its height,
# its looks, and the lengths' inverses of its faces' normals (1, lean).
HULL_COS, HULL_SIN, HULL_X, HULL_Y, HULL_Z, HALF_X, HALF_Y, HEIGHT = range(PART_NUMBERS, PART_NUMBERS + 8)
KIND, LIGHTS, BODY_R, BODY_G, BODY_B, UNIT_FRONT, UNIT_REAR, UNIT_SIDE = range(PART_NUMBERS + 8, PART_NUMBERS + 16)
HULL_NUMBERS = PART_NUMBERS + 16
# Columns of a hull's integers: actor, part, and the pixel bounds first column, end column, first row, end row.
WHO, PART, U0, U1, V0, V1 = range(6)
NO_MARK = i4(-1)
"""A pixel's mark says what it shows: hull x 8 + face, or -1 for no actor."""
AT_X, AT_Y, AT_COS, AT_SIN, AT_LENGTH, AT_WIDTH, AT_HEIGHT, AT_KIND, AT_LIGHTS, AT_VALID, AT_BODY = range(11)
ACTOR_NUMBERS = 13
VIEW_X, VIEW_Y, VIEW_Z, FOCAL, ROWS, COLUMNS = range(9, 15)
VIEW_NUMBERS = 15


@kernel()
def place_view(actors, mount, focal, height, width, view):  # type: ignore[no-untyped-def]
    """Write a camera's view.

    Args:
        actors: (A, ACTOR_NUMBERS), the ego first.
        mount: ego_T_camera (3, 4), columns right, down, forward, position.
        focal: Focal length [px].
        height: Rows.
        width: Columns.
        view: Out: (VIEW_NUMBERS,).
    """
    cos, sin = actors[0, AT_COS], actors[0, AT_SIN]
    for k in range(3):
        view[k] = cos * mount[0, k] - sin * mount[1, k]
        view[3 + k] = sin * mount[0, k] + cos * mount[1, k]
        view[6 + k] = mount[2, k]
    view[VIEW_X] = actors[0, AT_X] + cos * mount[0, 3] - sin * mount[1, 3]
    view[VIEW_Y] = actors[0, AT_Y] + sin * mount[0, 3] + cos * mount[1, 3]
    view[VIEW_Z], view[FOCAL], view[ROWS], view[COLUMNS] = mount[2, 3], focal, height, width


@kernel()
def gather_actors(position, heading, size, kind, lights, valid, bodies, actors):  # type: ignore[no-untyped-def]
    """Put one world's actors into a table (A, ACTOR_NUMBERS), float64."""
    for a in range(len(valid)):
        actors[a, AT_X], actors[a, AT_Y] = position[a, 0], position[a, 1]
        actors[a, AT_COS], actors[a, AT_SIN] = math.cos(heading[a]), math.sin(heading[a])
        for c in range(3):
            actors[a, AT_LENGTH + c], actors[a, AT_BODY + c] = size[a, c], bodies[a, c]
        actors[a, AT_KIND], actors[a, AT_LIGHTS], actors[a, AT_VALID] = kind[a], lights[a], valid[a]


@kernel()
def _part_corners(part, x, y, cos, sin, points):  # type: ignore[no-untyped-def]
    """Write a part's corners relative to the camera's footprint, for an actor at (x, y) from it, to ``points`` (8, 3)."""
    for k in range(8):
        z = part[Z1] if k & 4 else part[Z0]
        forward = part[FRONT] - part[FRONT_LEAN] * z if k & 1 else part[REAR_LEAN] * z - part[REAR]
        side = part[SIDE] - part[SIDE_LEAN] * z
        left = side if k & 2 else -side
        points[k, 0], points[k, 1], points[k, 2] = x + cos * forward - sin * left, y + sin * forward + cos * left, z


@kernel()
def _bound(x, y, z, focal, limits):  # type: ignore[no-untyped-def]
    """Widen pixel limits (relative to the image's middle) by a point in camera coordinates in front of the camera."""
    u, v = x / z * focal, y / z * focal
    limits[0], limits[1] = min(limits[0], u), max(limits[1], u)
    limits[2], limits[3] = min(limits[2], v), max(limits[3], v)


@kernel()
def in_view(view, x, y, z):  # type: ignore[no-untyped-def]
    """Camera coordinates (right, down, forward) of a point given relative to the camera's footprint."""
    z = z - view[VIEW_Z]
    right = view[0] * x + view[3] * y + view[6] * z
    down = view[1] * x + view[4] * y + view[7] * z
    return right, down, view[2] * x + view[5] * y + view[8] * z


@kernel()
def pixel_bounds(points, view, near, limits, bounds):  # type: ignore[no-untyped-def]
    """Bound the image of the hull of ``points`` (8, 3), given relative to the camera's footprint; False where it is not in view.

    Edges and diagonals that cross the near plane are clipped there. ``near`` (8, 3) and ``limits`` (4,) are scratch.
    """
    focal = view[FOCAL]
    limits[0], limits[1], limits[2], limits[3] = 1e9, -1e9, 1e9, -1e9
    behind = 0
    for k in range(8):
        near[k, 0], near[k, 1], near[k, 2] = in_view(view, points[k, 0], points[k, 1], points[k, 2])
        if near[k, 2] >= NEAR_M:
            _bound(near[k, 0], near[k, 1], near[k, 2], focal, limits)
        else:
            behind += 1
    if behind == 8:
        return False
    for i in range(8 if behind else 0):
        for j in range(8):
            if near[i, 2] >= NEAR_M and near[j, 2] < NEAR_M:
                a = (near[i, 2] - NEAR_M) / (near[i, 2] - near[j, 2])
                _bound(near[i, 0] + a * (near[j, 0] - near[i, 0]), near[i, 1] + a * (near[j, 1] - near[i, 1]), NEAR_M, focal, limits)
    for k in range(4):
        most = view[COLUMNS] if k < 2 else view[ROWS]
        edge = limits[k] + 0.5 * most + (2.0 if k & 1 else -1.0)
        bounds[U0 + k] = i4(min(max(edge, 0.0), most))
    return bounds[U0] < bounds[U1] and bounds[V0] < bounds[V1]


@kernel()
def _outside(view, x, y, reach):  # type: ignore[no-untyped-def]
    """Whether a ball around a point of the ground surely misses the image, by its left and right edges and the camera's plane."""
    right, _, forward = in_view(view, x, y, 0.0)
    half, focal = 0.5 * view[COLUMNS], view[FOCAL]
    return forward < -reach or focal * abs(right) - half * forward > reach * math.sqrt(focal * focal + half * half)


@kernel()
def find_hulls(view, actors, slide_x, slide_y, soft_m, hulls, who):  # type: ignore[no-untyped-def]
    """List the parts that the image may show, or, given a sun, the parts whose shadow or contact darkening it may show.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS). The ego is not seen, but casts a shadow.
        slide_x: How far a shadow lies along x for each metre of height; 0 for the parts themselves.
        slide_y: The same along y.
        soft_m: How far round its part a shadow softens; below 0 for the parts themselves.
        hulls: Out: (N, HULL_NUMBERS) float32.
        who: Out: (N, 6) int32.

    Returns:
        How many.
    """
    parts, points, near, limits = np.empty((MAX_PARTS, PART_NUMBERS)), np.empty((8, 3)), np.empty((8, 3)), np.empty(4)
    shadows = soft_m >= 0.0
    count = 0
    for actor in range(0 if shadows else 1, len(actors)):
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        length, width, height = actors[actor, AT_LENGTH], actors[actor, AT_WIDTH], actors[actor, AT_HEIGHT]
        reach = 0.5 * math.hypot(length, width) + height * (1.0 + abs(slide_x) + abs(slide_y)) + max(soft_m, 0.0)
        if actors[actor, AT_VALID] == 0.0 or _outside(view, x, y, reach):
            continue
        cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
        for part in range(fill_parts(int(actors[actor, AT_KIND]), length, width, height, parts)):
            _put_hull(parts[part], actors, actor, x, y, view[VIEW_Z], hulls, count)
            if shadows:
                parts[part, FRONT] += soft_m
                parts[part, REAR] += soft_m
                parts[part, SIDE] += soft_m
            _part_corners(parts[part], x, y, cos, sin, points)
            if shadows:
                for k in range(8):
                    points[k, 0] += points[k, 2] * slide_x
                    points[k, 1] += points[k, 2] * slide_y
                    points[k, 2] = 0.0
            if pixel_bounds(points, view, near, limits, who[count]):
                who[count, WHO], who[count, PART] = actor, part
                count += 1
    return count


@kernel()
def _put_hull(part, actors, actor, x, y, z, hulls, n):  # type: ignore[no-untyped-def]
    """Write hull ``n``: a part of an actor at (x, y) from the camera, whose height is z."""
    for k in range(PART_NUMBERS):
        hulls[n, k] = part[k]
    cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
    hulls[n, HULL_COS], hulls[n, HULL_SIN] = cos, sin
    hulls[n, HULL_X], hulls[n, HULL_Y], hulls[n, HULL_Z] = -cos * x - sin * y, sin * x - cos * y, z
    hulls[n, HALF_X], hulls[n, HALF_Y] = 0.5 * actors[actor, AT_LENGTH], 0.5 * actors[actor, AT_WIDTH]
    hulls[n, HEIGHT], hulls[n, KIND], hulls[n, LIGHTS] = actors[actor, AT_HEIGHT], actors[actor, AT_KIND], actors[actor, AT_LIGHTS]
    for k in range(3):
        hulls[n, BODY_R + k] = actors[actor, AT_BODY + k]
    hulls[n, UNIT_FRONT] = 1.0 / math.sqrt(1.0 + part[FRONT_LEAN] * part[FRONT_LEAN])
    hulls[n, UNIT_REAR] = 1.0 / math.sqrt(1.0 + part[REAR_LEAN] * part[REAR_LEAN])
    hulls[n, UNIT_SIDE] = 1.0 / math.sqrt(1.0 + part[SIDE_LEAN] * part[SIDE_LEAN])


@kernel()
def ray_at(view, u, v):  # type: ignore[no-untyped-def]
    """Ray of unit depth through a place of the image in pixels, world axes."""
    a, b = (u - 0.5 * view[COLUMNS]) / view[FOCAL], (v - 0.5 * view[ROWS]) / view[FOCAL]
    return view[0] * a + view[1] * b + view[2], view[3] * a + view[4] * b + view[5], view[6] * a + view[7] * b + view[8]


@kernel()
def row_rays(view, v):  # type: ignore[no-untyped-def]
    """Rays of a row for ``ray_in``: that through its first pixel, world axes with unit depth, and its change with each pixel."""
    per_px = 1.0 / view[FOCAL]
    return ray_at(view, 0.5, v + 0.5), (view[0] * per_px, view[3] * per_px, view[6] * per_px)


@kernel()
def ray_in(hulls, n, rays, k):  # type: ignore[no-untyped-def]
    """Ray of column ``k`` (whole or between) in the frame of hull ``n``'s actor, float64."""
    base, step = rays
    cos, sin = float(hulls[n, HULL_COS]), float(hulls[n, HULL_SIN])
    x, y = base[0] + k * step[0], base[1] + k * step[1]
    return cos * x + sin * y, cos * y - sin * x, base[2] + k * step[2]


@kernel(fastmath=FAST)
def hit_row(hulls, h, rays, s, marks, slot, first, count):  # type: ignore[no-untyped-def]
    """Draw one part into a stretch of a row: nearer hits replace depth and mark.

    Args:
        hulls: (N, HULL_NUMBERS).
        h: Which hull.
        rays: ``row_rays`` of the row.
        s: Scratch: DEPTH is replaced where the part is nearer.
        marks: Three rows of ``STRIDE`` marks, likewise.
        slot: Which of them.
        first: Column of the first pixel.
        count: How many.
    """
    b, (_, _, sz) = ray_in(hulls, h, rays, float(first)), rays[1]
    e = ray_in(hulls, h, rays, first + 1.0)
    bx, by, bz, sx, sy, sz = f4(b[0]), f4(b[1]), f4(b[2]), f4(e[0] - b[0]), f4(e[1] - b[1]), f4(sz)
    x, y, z = hulls[h, HULL_X], hulls[h, HULL_Y], hulls[h, HULL_Z]
    lean_front, lean_rear, lean_side = hulls[h, FRONT_LEAN], hulls[h, REAR_LEAN], hulls[h, SIDE_LEAN]
    in_top, in_bottom = hulls[h, Z1] - z, z - hulls[h, Z0]
    in_front, in_rear = hulls[h, FRONT] - x - lean_front * z, hulls[h, REAR] + x - lean_rear * z
    in_left, in_right = hulls[h, SIDE] - y - lean_side * z, hulls[h, SIDE] + y - lean_side * z
    mark = i4(h * 8)
    at, to = DEPTH + u8(first), u8(slot * STRIDE + first)
    for i in range(count):
        k, n = u8(i), f4(i4(i))
        dx, dy, dz = bx + sx * n, by + sy * n, bz + sz * n
        near, far = cut(in_top, dz, -FAR, FAR)
        face = i4(TOP)
        t, far = cut(in_bottom, -dz, near, far)
        face = i4(BOTTOM) if t > near else face
        near, far = cut(in_front, dx + lean_front * dz, t, far)
        face = i4(FACE_FRONT) if near > t else face
        t, far = cut(in_rear, lean_rear * dz - dx, near, far)
        face = i4(FACE_REAR) if t > near else face
        near, far = cut(in_left, dy + lean_side * dz, t, far)
        face = i4(FACE_LEFT) if near > t else face
        t, far = cut(in_right, lean_side * dz - dy, near, far)
        face = i4(FACE_RIGHT) if t > near else face
        hit = (t <= far) & (t > ZERO) & (t < s[at + k])
        s[at + k] = t if hit else s[at + k]
        marks[to + k] = i4(mark + face) if hit else marks[to + k]


@kernel(fastmath=FAST)
def shade_row(hulls, h, sun_x, sun_y, sun_z, darkening, s, first, count):  # type: ignore[no-untyped-def]
    """Take the sun from ground points that lie in a part's shadow, and sky light from those close to it.

    Args:
        hulls: (N, HULL_NUMBERS).
        h: Which hull.
        sun_x: Unit direction to the sun, world axes.
        sun_y: See ``sun_x``.
        sun_z: See ``sun_x``.
        darkening: Whether to darken close to the part (once an actor).
        s: Scratch: X and Y are read, SUNLIT and SKYLIT lowered.
        first: Column of the first point.
        count: How many.
    """
    cos, sin = hulls[h, HULL_COS], hulls[h, HULL_SIN]
    ox, oy = hulls[h, HULL_X], hulls[h, HULL_Y]
    sx, sy, sz = cos * sun_x + sin * sun_y, cos * sun_y - sin * sun_x, sun_z
    front, rear, side = hulls[h, FRONT], hulls[h, REAR], hulls[h, SIDE]
    lean_front, lean_rear, lean_side = hulls[h, FRONT_LEAN], hulls[h, REAR_LEAN], hulls[h, SIDE_LEAN]
    low, high = hulls[h, Z0] / sz, hulls[h, Z1] / sz
    open_from, open_per_m = (f4(0.35), f4(1.3)) if darkening else (f4(1), f4(0))
    for i in range(count):
        k = u8(first) + u8(i)
        x, y = s[X + k], s[Y + k]
        px, py = ox + cos * x + sin * y, oy + cos * y - sin * x
        near, far = cut(front - px, sx + lean_front * sz, low, high)
        near, far = cut(rear + px, lean_rear * sz - sx, near, far)
        near, far = cut(side - py, sy + lean_side * sz, near, far)
        near, far = cut(side + py, lean_side * sz - sy, near, far)
        lit = f4(1) - min(max((far - near) * f4(7), ZERO), f4(1))
        gap = max(max(max(px - front, -px - rear), abs(py) - side), ZERO)
        dome = min(open_from + gap * open_per_m, f4(1))
        s[SUNLIT + k] = min(s[SUNLIT + k], lit)
        s[SKYLIT + k] = min(s[SKYLIT + k], dome)
