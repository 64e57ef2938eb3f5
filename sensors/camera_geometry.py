"""Where actors and their shadows fall in an image: poses relative to the camera, hulls and their pixel bounds, rays against parts.

Everything near the camera is float32; differences of world coordinates and the base of a row's rays are taken in float64 first.
A view is (world_R_camera with columns right, down, forward; camera position; focal length [px]; height; width).
"""

from __future__ import annotations

import math

import numpy as np

from sensors.ground import FAST
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
"""A pixel's mark says what it shows: actor x 16 + part x 8 + face, or -1 for no actor."""


@kernel()
def place_view(x, y, heading, mount, view_R):  # type: ignore[no-untyped-def]
    """Turn a camera's mount (ego_T_camera, (3, 4), columns right, down, forward, position) to the world; give its position."""
    cos, sin = math.cos(heading), math.sin(heading)
    for k in range(3):
        view_R[0, k] = cos * mount[0, k] - sin * mount[1, k]
        view_R[1, k] = sin * mount[0, k] + cos * mount[1, k]
        view_R[2, k] = mount[2, k]
    return x + cos * mount[0, 3] - sin * mount[1, 3], y + sin * mount[0, 3] + cos * mount[1, 3], mount[2, 3]


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
def pixel_bounds(points, view, near, bounds):  # type: ignore[no-untyped-def]
    """Bound the image of the hull of ``points`` (8, 3), given relative to the camera's footprint; False where it is not in view.

    Edges and diagonals that cross the near plane are clipped there.
    """
    R, z0, focal, height, width = view
    limits = np.array((1e9, -1e9, 1e9, -1e9))
    behind = 0
    for k in range(8):
        x, y, z = points[k, 0], points[k, 1], points[k, 2] - z0
        for c in range(3):
            near[k, c] = R[0, c] * x + R[1, c] * y + R[2, c] * z
        if near[k, 2] >= NEAR_M:
            _bound(near[k, 0], near[k, 1], near[k, 2], focal, limits)
        else:
            behind += 1
    if behind == 8:
        return False
    if behind:
        for i in range(8):
            for j in range(8):
                if near[i, 2] >= NEAR_M and near[j, 2] < NEAR_M:
                    a = (near[i, 2] - NEAR_M) / (near[i, 2] - near[j, 2])
                    _bound(near[i, 0] + a * (near[j, 0] - near[i, 0]), near[i, 1] + a * (near[j, 1] - near[i, 1]), NEAR_M, focal, limits)
    bounds[U0] = int(min(max(limits[0] + 0.5 * width - 1.0, 0.0), 1.0 * width))
    bounds[U1] = int(min(max(limits[1] + 0.5 * width + 2.0, 0.0), 1.0 * width))
    bounds[V0] = int(min(max(limits[2] + 0.5 * height - 1.0, 0.0), 1.0 * height))
    bounds[V1] = int(min(max(limits[3] + 0.5 * height + 2.0, 0.0), 1.0 * height))
    return bounds[U0] < bounds[U1] and bounds[V0] < bounds[V1]


@kernel()
def _outside(view, x, y, reach):  # type: ignore[no-untyped-def]
    """Whether a ball around a point of the ground surely misses the image, by its left and right edges and the camera's plane."""
    R, z0, focal, _, width = view
    right = R[0, 0] * x + R[1, 0] * y - R[2, 0] * z0
    forward = R[0, 2] * x + R[1, 2] * y - R[2, 2] * z0
    half = 0.5 * width
    return forward < -reach or focal * abs(right) - half * forward > reach * math.sqrt(focal * focal + half * half)


@kernel()
def find_hulls(view, cx, cy, position, heading, size, kind, valid, hulls, who):  # type: ignore[no-untyped-def]
    """List the parts of other actors that the image may show; returns how many.

    Args:
        view: See the module's text, without the camera's x and y.
        cx: Camera position x in the world.
        cy: Camera position y.
        position: (A, 2) and so on, one world of a scene.
        heading: (A,).
        size: (A, 3).
        kind: (A,).
        valid: (A,).
        hulls: Out: (N, HULL_NUMBERS) float32.
        who: Out: (N, 6) int32.
    """
    parts, points, near = np.empty((MAX_PARTS, PART_NUMBERS)), np.empty((8, 3)), np.empty((8, 3))
    count = 0
    for actor in range(1, len(valid)):
        if not valid[actor]:
            continue
        x, y = position[actor, 0] - cx, position[actor, 1] - cy
        length, width, height = size[actor]
        if _outside(view, x, y, 0.5 * math.hypot(length, width) + height):
            continue
        cos, sin = math.cos(heading[actor]), math.sin(heading[actor])
        for part in range(fill_parts(kind[actor], length, width, height, parts)):
            _part_corners(parts[part], x, y, cos, sin, points)
            if pixel_bounds(points, view, near, who[count]):
                who[count, WHO], who[count, PART] = actor, part
                _put_hull(parts[part], x, y, cos, sin, view[1], hulls[count])
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
def find_shadows(view, cx, cy, position, heading, size, kind, valid, sun, soft_m, hulls, who):  # type: ignore[no-untyped-def]
    """List the parts whose shadow, or contact darkening, may fall into the image; the ego casts one too."""
    parts, points, near = np.empty((MAX_PARTS, PART_NUMBERS)), np.empty((8, 3)), np.empty((8, 3))
    count = 0
    for actor in range(len(valid)):
        if not valid[actor]:
            continue
        x, y = position[actor, 0] - cx, position[actor, 1] - cy
        length, width, height = size[actor]
        slide_x, slide_y = -sun[0] / sun[2], -sun[1] / sun[2]
        reach = 0.5 * math.hypot(length, width) + height * math.hypot(slide_x, slide_y) + soft_m
        if _outside(view, x, y, reach):
            continue
        cos, sin = math.cos(heading[actor]), math.sin(heading[actor])
        for part in range(fill_parts(kind[actor], length, width, height, parts)):
            _put_hull(parts[part], x, y, cos, sin, view[1], hulls[count])
            parts[part, FRONT] += soft_m
            parts[part, REAR] += soft_m
            parts[part, SIDE] += soft_m
            _part_corners(parts[part], x, y, cos, sin, points)
            for k in range(8):
                points[k, 0] += points[k, 2] * slide_x
                points[k, 1] += points[k, 2] * slide_y
                points[k, 2] = 0.0
            if pixel_bounds(points, view, near, who[count]):
                who[count, WHO], who[count, PART] = actor, part
                count += 1
    return count


@kernel()
def ray_base(hull, view_R, focal, u, v):  # type: ignore[no-untyped-def]
    """Direction of the ray at (u, v) from the image's middle, in the actor's frame, and its change with u."""
    cos, sin = float(hull[HULL_COS]), float(hull[HULL_SIN])
    a, b = u / focal, v / focal
    x = view_R[0, 0] * a + view_R[0, 1] * b + view_R[0, 2]
    y = view_R[1, 0] * a + view_R[1, 1] * b + view_R[1, 2]
    z = view_R[2, 0] * a + view_R[2, 1] * b + view_R[2, 2]
    sx, sy, sz = view_R[0, 0] / focal, view_R[1, 0] / focal, view_R[2, 0] / focal
    base = f4(cos * x + sin * y), f4(cos * y - sin * x), f4(z)
    step = f4(cos * sx + sin * sy), f4(cos * sy - sin * sx), f4(sz)
    return base, step


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
def shade_row(hull, sun, darkening, x, y, sunlit, open_sky):  # type: ignore[no-untyped-def]
    """Take the sun from ground points that lie in a part's shadow, and sky light from those close to it.

    Args:
        hull: (HULL_NUMBERS,).
        sun: Unit direction to the sun, (3,).
        darkening: Whether to darken close to the part (once an actor).
        x: Ground points relative to the camera (N,).
        y: The same.
        sunlit: Share of the sun that a point sees (N,), lowered.
        open_sky: Share of the sky (N,), lowered.
    """
    cos, sin = hull[HULL_COS], hull[HULL_SIN]
    ox, oy = hull[HULL_X], hull[HULL_Y]
    sx, sy, sz = cos * sun[0] + sin * sun[1], cos * sun[1] - sin * sun[0], sun[2]
    front, rear, side = hull[FRONT], hull[REAR], hull[SIDE]
    lean_front, lean_rear, lean_side = hull[FRONT_LEAN], hull[REAR_LEAN], hull[SIDE_LEAN]
    low, high = hull[Z0], hull[Z1]
    for k in range(x.size):
        px, py = ox + cos * x[k] + sin * y[k], oy + cos * y[k] - sin * x[k]
        near, far = cut(front - px, sx + lean_front * sz, low / sz, high / sz)
        near, far = cut(rear + px, lean_rear * sz - sx, near, far)
        near, far = cut(side - py, sy + lean_side * sz, near, far)
        near, far = cut(side + py, lean_side * sz - sy, near, far)
        sunlit[k] = min(sunlit[k], f4(1) - min(max((far - near) * f4(7), ZERO), f4(1)))
        if darkening:
            gap = max(max(max(px - front, -px - rear), abs(py) - side), ZERO)
            open_sky[k] = min(open_sky[k], f4(0.35) + min(gap * f4(1.3), f4(0.65)))
