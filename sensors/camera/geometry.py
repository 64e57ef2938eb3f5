"""Where actors fall in an image: poses relative to the camera, which are in view, and which of them are before which.

World coordinates are taken relative to the camera in float64. A view is one array: the camera's axes in the world row by row (columns
right, down, forward), its position, focal length, height and width.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.ground import plain
from sensors.jit import inlined
from sensors.vehicle_shape import FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN, Z0, Z1, fill_parts

i4, u8 = np.int32, np.uint64
NEAR_M = 0.05

AT_X, AT_Y, AT_COS, AT_SIN, AT_LENGTH, AT_WIDTH, AT_HEIGHT, AT_KIND, AT_LIGHTS, AT_VALID, AT_RADIUS, AT_PARTS, AT_BODY = range(13)
ACTOR_NUMBERS = 15
VIEW_X, VIEW_Y, VIEW_Z, FOCAL, ROWS, COLUMNS = range(9, 15)
VIEW_NUMBERS = 15
# Eight corners in one array of doubles, coordinate by coordinate, so that processors take all at once.
CORNER_X, CORNER_Y, CORNER_Z, SEEN_U, SEEN_V, SEEN_DEPTH = (u8(8 * n) for n in range(6))
LIMITS = 48
CORNER_NUMBERS = LIMITS + 6


@inlined()
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


@inlined()
def gather_actors(world, later_s, actors, shapes):  # type: ignore[no-untyped-def]
    """Put one world's actors into a table as they are some time after the scene's.

    Args:
        world: velocity (A, 2), yaw rate (A,), position (A, 2), heading (A,), size (A, 3), kind, lights, valid (A,), albedo (A, 3).
        later_s: How much later; each goes on straight, and turns, at its present rates.
        actors: Out: (A, ACTOR_NUMBERS), float64.
        shapes: Out: their parts, (A, MAX_PARTS, PART_NUMBERS).
    """
    velocity, yaw_rate, position, heading, size, kind, lights, valid, bodies = world
    for a in range(len(valid)):
        actors[a, AT_VALID] = valid[a]
        if not valid[a]:
            continue
        actors[a, AT_X], actors[a, AT_Y] = position[a, 0] + later_s * velocity[a, 0], position[a, 1] + later_s * velocity[a, 1]
        yaw = heading[a] + later_s * yaw_rate[a]
        actors[a, AT_COS], actors[a, AT_SIN] = math.cos(yaw), math.sin(yaw)
        for c in range(3):
            actors[a, AT_LENGTH + c], actors[a, AT_BODY + c] = size[a, c], bodies[a, c]
        actors[a, AT_KIND], actors[a, AT_LIGHTS] = kind[a], lights[a]
        actors[a, AT_RADIUS] = 0.5 * math.sqrt(size[a, 0] * size[a, 0] + size[a, 1] * size[a, 1])
        actors[a, AT_PARTS] = fill_parts(int(kind[a]), size[a, 0], size[a, 1], size[a, 2], shapes[a])


@inlined()
def part_corners(part, x, y, cos, sin, c):  # type: ignore[no-untyped-def]
    """Write a part's corners relative to the camera's footprint, for an actor at (x, y) from it, to CORNER_X to CORNER_Z.

    Of a corner's number, bit 0 says front, bit 1 left, bit 2 upper.
    """
    for k in range(8):
        z = part[Z1] if k & 4 else part[Z0]
        forward = part[FRONT] - part[FRONT_LEAN] * z if k & 1 else part[REAR_LEAN] * z - part[REAR]
        side = part[SIDE] - part[SIDE_LEAN] * z
        left = side if k & 2 else -side
        n = u8(k)
        c[CORNER_X + n], c[CORNER_Y + n], c[CORNER_Z + n] = x + cos * forward - sin * left, y + sin * forward + cos * left, z


@inlined()
def in_view(view, x, y, z):  # type: ignore[no-untyped-def]
    """Camera coordinates (right, down, forward) of a point given relative to the camera's footprint."""
    z = z - view[VIEW_Z]
    right = view[0] * x + view[3] * y + view[6] * z
    down = view[1] * x + view[4] * y + view[7] * z
    return right, down, view[2] * x + view[5] * y + view[8] * z


@inlined()
def _see_corners(view, c):  # type: ignore[no-untyped-def]
    """Turn the eight corners, CORNER_X to CORNER_Z, into SEEN_U, SEEN_V and SEEN_DEPTH: column, row and depth in the image.

    Where some are behind the near plane, all are camera coordinates (right, down, forward) instead; returns how many those are.
    """
    behind = 0
    for k in range(8):
        n = u8(k)
        c[SEEN_U + n], c[SEEN_V + n], c[SEEN_DEPTH + n] = in_view(view, c[CORNER_X + n], c[CORNER_Y + n], c[CORNER_Z + n])
    for k in range(8):
        behind += c[SEEN_DEPTH + u8(k)] < NEAR_M
    if behind == 0:
        focal, middle_u, middle_v = view[FOCAL], 0.5 * view[COLUMNS], 0.5 * view[ROWS]
        for k in range(8):
            n = u8(k)
            scale = focal / c[SEEN_DEPTH + n]
            c[SEEN_U + n], c[SEEN_V + n] = c[SEEN_U + n] * scale + middle_u, c[SEEN_V + n] * scale + middle_v
    return behind


@plain
def bounds_of(view, c):  # type: ignore[no-untyped-def]
    """Bound the image of the hull of eight points, CORNER_X to CORNER_Z, given relative to the camera's footprint.

    Edges and diagonals that cross the near plane are clipped there.

    Args:
        view: (VIEW_NUMBERS,).
        c: (CORNER_NUMBERS,): the points are read; column, row and depth of each are written if all are before the near plane, and at
            LIMITS the least and greatest column, least and greatest row, nearest and farthest depth.

    Returns:
        How many points are behind the near plane; 8: nothing is in view.
    """
    behind = _see_corners(view, c)
    c[LIMITS], c[LIMITS + 1], c[LIMITS + 2], c[LIMITS + 3], c[LIMITS + 4], c[LIMITS + 5] = 1e9, -1e9, 1e9, -1e9, 1e9, -1e9
    if behind == 8:
        return behind
    if behind == 0:
        for axis in range(3):
            low, high = 1e9, -1e9
            for k in range(8):
                at = c[SEEN_U + u8(8 * axis + k)]
                low, high = min(low, at), max(high, at)
            c[LIMITS + 2 * axis], c[LIMITS + 2 * axis + 1] = low, high
        return behind
    for i in range(8):
        right, down, depth = c[SEEN_U + u8(i)], c[SEEN_V + u8(i)], c[SEEN_DEPTH + u8(i)]
        if depth >= NEAR_M:
            _project(right, down, depth, view, c)
            for j in range(8):
                other = c[SEEN_DEPTH + u8(j)]
                if other < NEAR_M:
                    a = (depth - NEAR_M) / (depth - other)
                    _project(right + a * (c[SEEN_U + u8(j)] - right), down + a * (c[SEEN_V + u8(j)] - down), NEAR_M, view, c)
    return behind


@inlined()
def _project(right, down, depth, view, c):  # type: ignore[no-untyped-def]
    """Widen LIMITS by a point in camera coordinates."""
    scale = view[FOCAL] / depth
    u, v = right * scale + 0.5 * view[COLUMNS], down * scale + 0.5 * view[ROWS]
    c[LIMITS], c[LIMITS + 1] = min(c[LIMITS], u), max(c[LIMITS + 1], u)
    c[LIMITS + 2], c[LIMITS + 3] = min(c[LIMITS + 2], v), max(c[LIMITS + 3], v)
    c[LIMITS + 4], c[LIMITS + 5] = min(c[LIMITS + 4], depth), max(c[LIMITS + 5], depth)


@inlined()
def off_image(view, c):  # type: ignore[no-untyped-def]
    """Whether LIMITS, as ``bounds_of`` leaves them, miss the image."""
    return c[LIMITS] >= view[COLUMNS] or c[LIMITS + 1] <= 0.0 or c[LIMITS + 2] >= view[ROWS] or c[LIMITS + 3] <= 0.0


@inlined()
def outside(view, x, y, reach):  # type: ignore[no-untyped-def]
    """Whether a ball around a point of the ground surely misses the image, by its left and right edges and the camera's plane."""
    right, _, forward = in_view(view, x, y, 0.0)
    half, focal = 0.5 * view[COLUMNS], view[FOCAL]
    return forward < -reach or focal * abs(right) - half * forward > reach * math.sqrt(focal * focal + half * half)


@plain
def _parted(actors, a, b, view):  # type: ignore[no-untyped-def]
    """Whether a side of actor ``a``'s box parts it from ``b``'s: 1, and the camera is on a's side; -1, and it is on b's; 0, none does."""
    cos, sin = actors[a, AT_COS], actors[a, AT_SIN]
    x, y = actors[b, AT_X] - actors[a, AT_X], actors[b, AT_Y] - actors[a, AT_Y]
    turn_cos = cos * actors[b, AT_COS] + sin * actors[b, AT_SIN]
    turn_sin = cos * actors[b, AT_SIN] - sin * actors[b, AT_COS]
    half_x, half_y = 0.5 * actors[b, AT_LENGTH], 0.5 * actors[b, AT_WIDTH]
    reach_x, reach_y = abs(turn_cos) * half_x + abs(turn_sin) * half_y, abs(turn_sin) * half_x + abs(turn_cos) * half_y
    forward, left = cos * x + sin * y, cos * y - sin * x
    eye_x, eye_y = view[VIEW_X] - actors[a, AT_X], view[VIEW_Y] - actors[a, AT_Y]
    eye_forward, eye_left = cos * eye_x + sin * eye_y, cos * eye_y - sin * eye_x
    if abs(forward) - reach_x >= 0.5 * actors[a, AT_LENGTH]:
        return 1 if math.copysign(eye_forward, eye_forward * forward) <= 0.5 * actors[a, AT_LENGTH] else -1
    if abs(left) - reach_y >= 0.5 * actors[a, AT_WIDTH]:
        return 1 if math.copysign(eye_left, eye_left * left) <= 0.5 * actors[a, AT_WIDTH] else -1
    return 0


@plain
def _before(actors, a, b, distance, view):  # type: ignore[no-untyped-def]
    """Whether actor ``a`` may cover ``b`` rather than the other way round."""
    apart = actors[a, AT_RADIUS] + actors[b, AT_RADIUS]
    if distance[b] - distance[a] >= apart:
        return True
    if distance[a] - distance[b] >= apart:
        return False
    side = _parted(actors, a, b, view)
    if side == 0:
        side = -_parted(actors, b, a, view)
    return side > 0 if side != 0 else distance[a] < distance[b]


@inlined()
def sort_actors(view, actors, distance, order):  # type: ignore[no-untyped-def]
    """List the other actors that may be in view, those that cover others before these.

    Two boxes that do not overlap have a side that parts them, and the one on the camera's side of it covers the other.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS), the ego first.
        distance: Scratch (A,).
        order: Out: (A,) int32.

    Returns:
        How many.
    """
    count = 0
    for actor in range(1, len(actors)):
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        if actors[actor, AT_VALID] == 0.0 or outside(view, x, y, actors[actor, AT_RADIUS] + actors[actor, AT_HEIGHT]):
            continue
        distance[actor] = math.sqrt(x * x + y * y)
        at = count
        while at > 0 and distance[actor] < distance[order[at - 1]]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i4(actor)
        count += 1
    for n in range(1, count):  # near enough in order by distance; now those that lie beside each other
        actor, at = order[n], n
        while at > 0 and not _before(actors, order[at - 1], actor, distance, view):
            order[at] = order[at - 1]
            at -= 1
        order[at] = actor
    return count


@inlined()
def ray_at(view, u, v):  # type: ignore[no-untyped-def]
    """Ray of unit depth through a place of the image in pixels, world axes."""
    a, b = (u - 0.5 * view[COLUMNS]) / view[FOCAL], (v - 0.5 * view[ROWS]) / view[FOCAL]
    return view[0] * a + view[1] * b + view[2], view[3] * a + view[4] * b + view[5], view[6] * a + view[7] * b + view[8]
