"""Where actors and their shadows fall in an image: poses relative to the camera, hulls and their pixel bounds, rays against parts.

Everything near the camera is float32; differences of world coordinates and the base of a row's rays are taken in float64 first.
A view is one array: the camera's axes in the world row by row (columns right, down, forward), its position, focal length, height and width.
"""

from __future__ import annotations

import math

import numpy as np

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

f4, i4 = np.float32, np.int32
NEAR_M = 0.05
FAR = f4(1e6)
ZERO = f4(0)

# Columns of a hull: a part's numbers, then the actor's heading and the camera's place in the actor's frame.
HULL_COS, HULL_SIN, HULL_X, HULL_Y, HULL_Z = range(PART_NUMBERS, PART_NUMBERS + 5)
HULL_NUMBERS = PART_NUMBERS + 5
# Columns of a hull's integers: actor, part, and the pixel bounds first column, end column, first row, end row.
WHO, PART, U0, U1, V0, V1 = range(6)
NO_MARK = i4(-1)
"""A pixel's mark says what it shows: hull x 8 + face, or -1 for no actor."""
AT_X, AT_Y, AT_COS, AT_SIN, AT_LENGTH, AT_WIDTH, AT_HEIGHT, AT_KIND, AT_LIGHTS, AT_VALID = range(10)
ACTOR_NUMBERS = 10
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
def gather_actors(position, heading, size, kind, lights, valid, actors):  # type: ignore[no-untyped-def]
    """Put one world's actors into a table (A, ACTOR_NUMBERS), float64."""
    for a in range(len(valid)):
        actors[a, AT_X], actors[a, AT_Y] = position[a, 0], position[a, 1]
        actors[a, AT_COS], actors[a, AT_SIN] = math.cos(heading[a]), math.sin(heading[a])
        for c in range(3):
            actors[a, AT_LENGTH + c] = size[a, c]
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
def find_hulls(view, actors, sun, soft_m, hulls, who):  # type: ignore[no-untyped-def]
    """List the parts that the image may show, or, given a sun, the parts whose shadow or contact darkening it may show.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS). The ego is not seen, but casts a shadow.
        sun: Unit direction to the sun (3,), or (0, 0, 1) with ``soft_m`` below 0 for the parts themselves.
        soft_m: How far round its part a shadow softens; below 0 for the parts themselves.
        hulls: Out: (N, HULL_NUMBERS) float32.
        who: Out: (N, 6) int32.

    Returns:
        How many.
    """
    parts, points, near, limits = np.empty((MAX_PARTS, PART_NUMBERS)), np.empty((8, 3)), np.empty((8, 3)), np.empty(4)
    shadows = soft_m >= 0.0
    slide_x, slide_y = -sun[0] / sun[2], -sun[1] / sun[2]
    count = 0
    for actor in range(0 if shadows else 1, len(actors)):
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        length, width, height = actors[actor, AT_LENGTH], actors[actor, AT_WIDTH], actors[actor, AT_HEIGHT]
        reach = 0.5 * math.hypot(length, width) + height * (1.0 + abs(slide_x) + abs(slide_y)) + max(soft_m, 0.0)
        if actors[actor, AT_VALID] == 0.0 or _outside(view, x, y, reach):
            continue
        cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
        for part in range(fill_parts(int(actors[actor, AT_KIND]), length, width, height, parts)):
            _put_hull(parts[part], x, y, cos, sin, view[VIEW_Z], hulls[count])
            if shadows:
                for side in (FRONT, REAR, SIDE):
                    parts[part, side] += soft_m
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
def _put_hull(part, x, y, cos, sin, z, hull):  # type: ignore[no-untyped-def]
    """Write a hull's numbers."""
    for k in range(PART_NUMBERS):
        hull[k] = part[k]
    hull[HULL_COS], hull[HULL_SIN] = cos, sin
    hull[HULL_X], hull[HULL_Y], hull[HULL_Z] = -cos * x - sin * y, sin * x - cos * y, z


@kernel()
def ray_at(view, u, v):  # type: ignore[no-untyped-def]
    """Ray of unit depth through a place of the image in pixels, world axes."""
    a, b = (u - 0.5 * view[COLUMNS]) / view[FOCAL], (v - 0.5 * view[ROWS]) / view[FOCAL]
    return view[0] * a + view[1] * b + view[2], view[3] * a + view[4] * b + view[5], view[6] * a + view[7] * b + view[8]


@kernel()
def in_actor(hull, x, y):  # type: ignore[no-untyped-def]
    """A direction of the world, turned into the actor's frame."""
    return hull[HULL_COS] * x + hull[HULL_SIN] * y, hull[HULL_COS] * y - hull[HULL_SIN] * x


@kernel(fastmath=FAST)
def hit_row(hull, base, step, mark, depth, marks):  # type: ignore[no-untyped-def]
    """Draw one part into a span of a row: nearer hits replace ``depth`` and ``marks``.

    Args:
        hull: (HULL_NUMBERS,).
        base: Ray of the span's first pixel in the actor's frame, of unit depth.
        step: Change of the ray by one pixel.
        mark: Actor x 16 + part x 8.
        depth: Planar depth so far (N,), replaced where the part is nearer.
        marks: (N,) int32, likewise.
    """
    bx, by, bz = base
    sx, sy, sz = step
    x, y, z = hull[HULL_X], hull[HULL_Y], hull[HULL_Z]
    lean_front, lean_rear, lean_side = hull[FRONT_LEAN], hull[REAR_LEAN], hull[SIDE_LEAN]
    in_top, in_bottom = hull[Z1] - z, z - hull[Z0]
    in_front, in_rear = hull[FRONT] - x - lean_front * z, hull[REAR] + x - lean_rear * z
    in_left, in_right = hull[SIDE] - y - lean_side * z, hull[SIDE] + y - lean_side * z
    for k in range(depth.size):
        n = f4(i4(k))
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
        hit = (t <= far) & (t > ZERO) & (t < depth[k])
        depth[k] = t if hit else depth[k]
        marks[k] = i4(mark + face) if hit else marks[k]


@kernel(fastmath=FAST)
def shade_row(hull, sun, darkening, span, first, end):  # type: ignore[no-untyped-def]
    """Take the sun from ground points that lie in a part's shadow, and sky light from those close to it.

    Args:
        hull: (HULL_NUMBERS,).
        sun: Unit direction to the sun, (3,).
        darkening: Whether to darken close to the part (once an actor).
        span: Scratch as in ``ground``: X and Y are read, SUNLIT and SKYLIT lowered.
        first: First point to look at.
        end: End of the points to look at.
    """
    cos, sin = hull[HULL_COS], hull[HULL_SIN]
    ox, oy = hull[HULL_X], hull[HULL_Y]
    sx, sy, sz = cos * sun[0] + sin * sun[1], cos * sun[1] - sin * sun[0], sun[2]
    front, rear, side = hull[FRONT], hull[REAR], hull[SIDE]
    lean_front, lean_rear, lean_side = hull[FRONT_LEAN], hull[REAR_LEAN], hull[SIDE_LEAN]
    low, high = hull[Z0] / sz, hull[Z1] / sz
    open_from, open_per_m = (f4(0.35), f4(1.3)) if darkening else (f4(1), f4(0))
    for k in range(end - first):
        x, y = span[X * STRIDE + first + k], span[Y * STRIDE + first + k]
        px, py = ox + cos * x + sin * y, oy + cos * y - sin * x
        near, far = cut(front - px, sx + lean_front * sz, low, high)
        near, far = cut(rear + px, lean_rear * sz - sx, near, far)
        near, far = cut(side - py, sy + lean_side * sz, near, far)
        near, far = cut(side + py, lean_side * sz - sy, near, far)
        lit = f4(1) - min(max((far - near) * f4(7), ZERO), f4(1))
        gap = max(max(max(px - front, -px - rear), abs(py) - side), ZERO)
        dome = min(open_from + gap * open_per_m, f4(1))
        span[SUNLIT * STRIDE + first + k] = min(span[SUNLIT * STRIDE + first + k], lit)
        span[SKYLIT * STRIDE + first + k] = min(span[SKYLIT * STRIDE + first + k], dome)
