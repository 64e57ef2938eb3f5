"""Where actors fall in an image: poses relative to the camera, which are in view, and which of them are before which.

World coordinates are taken relative to the camera in float64. A view is one array: the camera's axes in the world row by row (columns
right, down, forward), its position, focal length, height and width.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.ground import plain
from sensors.vehicle_shape import FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN, Z0, Z1

i4 = np.int32
NEAR_M = 0.05

AT_X, AT_Y, AT_COS, AT_SIN, AT_LENGTH, AT_WIDTH, AT_HEIGHT, AT_KIND, AT_LIGHTS, AT_VALID, AT_BODY = range(11)
ACTOR_NUMBERS = 13
VIEW_X, VIEW_Y, VIEW_Z, FOCAL, ROWS, COLUMNS = range(9, 15)
VIEW_NUMBERS = 15


@plain
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


@plain
def gather_actors(position, heading, size, kind, lights, valid, bodies, actors):  # type: ignore[no-untyped-def]
    """Put one world's actors into a table (A, ACTOR_NUMBERS), float64."""
    for a in range(len(valid)):
        actors[a, AT_X], actors[a, AT_Y] = position[a, 0], position[a, 1]
        actors[a, AT_COS], actors[a, AT_SIN] = math.cos(heading[a]), math.sin(heading[a])
        for c in range(3):
            actors[a, AT_LENGTH + c], actors[a, AT_BODY + c] = size[a, c], bodies[a, c]
        actors[a, AT_KIND], actors[a, AT_LIGHTS], actors[a, AT_VALID] = kind[a], lights[a], valid[a]


@plain
def part_corners(part, x, y, cos, sin, points):  # type: ignore[no-untyped-def]
    """Write a part's corners relative to the camera's footprint, for an actor at (x, y) from it, to ``points`` (8, 3).

    Of a corner's number, bit 0 says front, bit 1 left, bit 2 upper.
    """
    for k in range(8):
        z = part[Z1] if k & 4 else part[Z0]
        forward = part[FRONT] - part[FRONT_LEAN] * z if k & 1 else part[REAR_LEAN] * z - part[REAR]
        side = part[SIDE] - part[SIDE_LEAN] * z
        left = side if k & 2 else -side
        points[k, 0], points[k, 1], points[k, 2] = x + cos * forward - sin * left, y + sin * forward + cos * left, z


@plain
def in_view(view, x, y, z):  # type: ignore[no-untyped-def]
    """Camera coordinates (right, down, forward) of a point given relative to the camera's footprint."""
    z = z - view[VIEW_Z]
    right = view[0] * x + view[3] * y + view[6] * z
    down = view[1] * x + view[4] * y + view[7] * z
    return right, down, view[2] * x + view[5] * y + view[8] * z


@plain
def _see_corners(points, view, seen):  # type: ignore[no-untyped-def]
    """Find eight points, given relative to the camera's footprint, in the image: column, row and depth, to ``seen`` (8, 3).

    Where some are behind the near plane, all are camera coordinates (right, down, forward) instead; returns how many those are.
    """
    behind = 0
    for k in range(8):
        seen[k, 0], seen[k, 1], seen[k, 2] = in_view(view, points[k, 0], points[k, 1], points[k, 2])
        behind += seen[k, 2] < NEAR_M
    if behind == 0:
        for k in range(8):
            scale = view[FOCAL] / seen[k, 2]
            seen[k, 0], seen[k, 1] = seen[k, 0] * scale + 0.5 * view[COLUMNS], seen[k, 1] * scale + 0.5 * view[ROWS]
    return behind


@plain
def bounds_of(points, view, seen, limits):  # type: ignore[no-untyped-def]
    """Bound the image of the hull of ``points`` (8, 3), given relative to the camera's footprint.

    Edges and diagonals that cross the near plane are clipped there.

    Args:
        points: (8, 3).
        view: (VIEW_NUMBERS,).
        seen: Out: column, row and depth of each point if all are before the near plane.
        limits: Out: least and greatest column, least and greatest row, nearest and farthest depth.

    Returns:
        How many points are behind the near plane; 8: nothing is in view.
    """
    behind = _see_corners(points, view, seen)
    limits[0], limits[1], limits[2], limits[3], limits[4], limits[5] = 1e9, -1e9, 1e9, -1e9, 1e9, -1e9
    if behind == 8:
        return behind
    for i in range(8):
        if behind == 0:
            _widen(seen[i, 0], seen[i, 1], seen[i, 2], limits)
        elif seen[i, 2] >= NEAR_M:
            _project(seen[i, 0], seen[i, 1], seen[i, 2], view, limits)
            for j in range(8):
                if seen[j, 2] < NEAR_M:
                    a = (seen[i, 2] - NEAR_M) / (seen[i, 2] - seen[j, 2])
                    _project(seen[i, 0] + a * (seen[j, 0] - seen[i, 0]), seen[i, 1] + a * (seen[j, 1] - seen[i, 1]), NEAR_M, view, limits)
    return behind


@plain
def _widen(u, v, depth, limits):  # type: ignore[no-untyped-def]
    """Widen limits by a place in the image."""
    limits[0], limits[1] = min(limits[0], u), max(limits[1], u)
    limits[2], limits[3] = min(limits[2], v), max(limits[3], v)
    limits[4], limits[5] = min(limits[4], depth), max(limits[5], depth)


@plain
def _project(right, down, depth, view, limits):  # type: ignore[no-untyped-def]
    """Widen limits by a point in camera coordinates."""
    scale = view[FOCAL] / depth
    _widen(right * scale + 0.5 * view[COLUMNS], down * scale + 0.5 * view[ROWS], depth, limits)


@plain
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
def _before(actors, a, b, distance, radius, view):  # type: ignore[no-untyped-def]
    """Whether actor ``a`` may cover ``b`` rather than the other way round."""
    if distance[a] + radius[a] <= distance[b] - radius[b]:
        return True
    if distance[b] + radius[b] <= distance[a] - radius[a]:
        return False
    side = _parted(actors, a, b, view)
    if side == 0:
        side = -_parted(actors, b, a, view)
    return side > 0 if side != 0 else distance[a] < distance[b]


@plain
def sort_actors(view, actors, distance, radius, order):  # type: ignore[no-untyped-def]
    """List the other actors that may be in view, those that cover others before these.

    Two boxes that do not overlap have a side that parts them, and the one on the camera's side of it covers the other.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS), the ego first.
        distance: Scratch (A,).
        radius: Scratch (A,).
        order: Out: (A,) int32.

    Returns:
        How many.
    """
    count = 0
    for actor in range(1, len(actors)):
        x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
        radius[actor] = 0.5 * math.hypot(actors[actor, AT_LENGTH], actors[actor, AT_WIDTH])
        if actors[actor, AT_VALID] == 0.0 or outside(view, x, y, radius[actor] + actors[actor, AT_HEIGHT]):
            continue
        distance[actor] = math.hypot(x, y)
        at = count
        while at > 0 and distance[actor] < distance[order[at - 1]]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i4(actor)
        count += 1
    for n in range(1, count):  # near enough in order by distance; now those that lie beside each other
        actor, at = order[n], n
        while at > 0 and not _before(actors, order[at - 1], actor, distance, radius, view):
            order[at] = order[at - 1]
            at -= 1
        order[at] = actor
    return count


@plain
def ray_at(view, u, v):  # type: ignore[no-untyped-def]
    """Ray of unit depth through a place of the image in pixels, world axes."""
    a, b = (u - 0.5 * view[COLUMNS]) / view[FOCAL], (v - 0.5 * view[ROWS]) / view[FOCAL]
    return view[0] * a + view[1] * b + view[2], view[3] * a + view[4] * b + view[5], view[6] * a + view[7] * b + view[8]
