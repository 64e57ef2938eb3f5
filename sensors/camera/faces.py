"""Faces of vehicles as polygons of the image: which are seen, their edges as lines, and the stretch of a row that each takes.

A ray through column u and row v of the image, of unit depth, is linear in u and v. So is the inverse of the depth q at which it meets the
plane of a face, and a face that the camera is outside of shows where its q is positive and no greater than that of any other such face,
and where the ray is still inside the remaining faces of its part when it meets it. Each of these is a line in the image, whatever lies
behind the camera, and two faces that share an edge share its line with the opposite sign: they leave neither gap nor overlap.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import ACTOR, DEPTH
from sensors.camera.geometry import (
    AT_BODY,
    AT_COS,
    AT_HEIGHT,
    AT_KIND,
    AT_LENGTH,
    AT_LIGHTS,
    AT_PARTS,
    AT_SIN,
    AT_WIDTH,
    AT_X,
    AT_Y,
    COLUMNS,
    FOCAL,
    LIMITS,
    NEAR_M,
    ROWS,
    SEEN_V,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    bounds_of,
    off_image,
    part_corners,
)
from sensors.ground import LABEL, fast, plain, whole
from sensors.jit import inlined
from sensors.vehicle_shape import (
    BOTTOM,
    FACE_FRONT,
    FACE_LEFT,
    FACE_REAR,
    FACE_RIGHT,
    FRONT,
    FRONT_LEAN,
    MAX_PARTS,
    REAR,
    REAR_LEAN,
    SIDE,
    SIDE_LEAN,
    TOP,
    Z0,
    Z1,
)

f4, i4, u8 = np.float32, np.int32, np.uint64
FACES = 6
MOST_FACES = 5 * MAX_PARTS
"""Faces of an actor that can be seen at once: from above, those of parts that lean inwards all but for the bottom."""
SUB_ROWS = 4

# Columns of a body, the numbers of an actor in view: its heading, the camera's place in its frame, half sizes, looks, and the ray
# through the image's corner and its change by one pixel right and one down, in its frame (x, y, z each).
BODY_ACTOR, BODY_COS, BODY_SIN, EYE_X, EYE_Y, EYE_Z, HALF_X, HALF_Y, HEIGHT, KIND, LIGHTS, BODY_R, BODY_G, BODY_B = range(14)
RAY, RAY_RIGHT, RAY_DOWN = 14, 17, 20
BODY_NUMBERS = 23
# Columns of a face: its body, a number of its own for its part, part and face by name, q (constant, per column, per row) and its least and
# greatest value on the part, unit normal, and the lines (column = slope x row + at) that bound it on the left, then on the right.
BODY, WHOLE, PART, FACE, Q, Q_RIGHT, Q_DOWN, Q_LEAST, Q_MOST, NORMAL = range(10)
LEFT_LINES, LINES = 13, 14
FACE_NUMBERS = LINES + 2 * FACES


@inlined()
def _place_body(view, actors, actor, body):  # type: ignore[no-untyped-def]
    """Write a body's numbers."""
    cos, sin = actors[actor, AT_COS], actors[actor, AT_SIN]
    x, y = view[VIEW_X] - actors[actor, AT_X], view[VIEW_Y] - actors[actor, AT_Y]
    body[BODY_ACTOR], body[BODY_COS], body[BODY_SIN] = actor, cos, sin
    body[EYE_X], body[EYE_Y], body[EYE_Z] = cos * x + sin * y, cos * y - sin * x, view[VIEW_Z]
    body[HALF_X], body[HALF_Y], body[HEIGHT] = 0.5 * actors[actor, AT_LENGTH], 0.5 * actors[actor, AT_WIDTH], actors[actor, AT_HEIGHT]
    body[KIND], body[LIGHTS] = actors[actor, AT_KIND], actors[actor, AT_LIGHTS]
    for k in range(3):
        body[BODY_R + k] = actors[actor, AT_BODY + k]
    for k in range(2):
        at, per_px = (RAY_RIGHT, RAY_DOWN)[k], 1.0 / view[FOCAL]
        body[at], body[at + 1] = (cos * view[k] + sin * view[3 + k]) * per_px, (cos * view[3 + k] - sin * view[k]) * per_px
        body[at + 2] = view[6 + k] * per_px
    ahead = (cos * view[2] + sin * view[5], cos * view[5] - sin * view[2], view[8])
    for k in range(3):
        body[RAY + k] = ahead[k] - 0.5 * (view[COLUMNS] * body[RAY_RIGHT + k] + view[ROWS] * body[RAY_DOWN + k])


@inlined()
def _planes(part, body, planes):  # type: ignore[no-untyped-def]
    """Write the planes (6, 8) of a part's faces.

    Each is its normal (unit but for the lean), how deep inside it the camera is, normal x ray as in Q, and the depth's inverse.
    """
    x, y, z = body[EYE_X], body[EYE_Y], body[EYE_Z]
    for face in range(FACES):
        nx, ny, nz, inside = 0.0, 0.0, 1.0, part[Z1] - z
        if face == BOTTOM:
            nz, inside = -1.0, z - part[Z0]
        elif face == FACE_FRONT:
            nx, nz, inside = 1.0, part[FRONT_LEAN], part[FRONT] - x - part[FRONT_LEAN] * z
        elif face == FACE_REAR:
            nx, nz, inside = -1.0, part[REAR_LEAN], part[REAR] + x - part[REAR_LEAN] * z
        elif face == FACE_LEFT:
            ny, nz, inside = 1.0, part[SIDE_LEAN], part[SIDE] - y - part[SIDE_LEAN] * z
        elif face == FACE_RIGHT:
            ny, nz, inside = -1.0, part[SIDE_LEAN], part[SIDE] + y - part[SIDE_LEAN] * z
        planes[face, 0], planes[face, 1], planes[face, 2], planes[face, 3] = nx, ny, nz, inside
        planes[face, 7] = 1.0 / inside if inside != 0.0 else 0.0
        planes[face, 4] = nx * body[RAY] + ny * body[RAY + 1] + nz * body[RAY + 2]
        planes[face, 5] = nx * body[RAY_RIGHT] + ny * body[RAY_RIGHT + 1] + nz * body[RAY_RIGHT + 2]
        planes[face, 6] = nx * body[RAY_DOWN] + ny * body[RAY_DOWN + 1] + nz * body[RAY_DOWN + 2]


@inlined()
def _put_line(face, constant, right, down, lefts, rights):  # type: ignore[no-untyped-def]
    """Add the line where ``constant + right u + down v`` is 0, positive inside, to the left or right ones; returns how many there are."""
    if right == 0.0:
        right = 1e-12 * max(abs(constant), abs(down), 1e-30)
    if right > 0.0:
        at, to = LINES + 2 * lefts, LINES + 2 * lefts + 2 * rights
        face[to], face[to + 1] = face[at], face[at + 1]
        lefts += 1
    else:
        at, rights = LINES + 2 * lefts + 2 * rights, rights + 1
    scale = -1.0 / right
    face[at], face[at + 1] = down * scale, constant * scale
    return lefts, rights


@plain
def _face_lines(planes, own, face):  # type: ignore[no-untyped-def]
    """Write the Q of a face that the camera is outside of, and the lines that bound it."""
    scale = planes[own, 7]
    q, q_right, q_down = planes[own, 4] * scale, planes[own, 5] * scale, planes[own, 6] * scale
    face[Q], face[Q_RIGHT], face[Q_DOWN] = q, q_right, q_down
    lefts, rights = _put_line(face, q, q_right, q_down, 0, 0)
    for other in range(FACES):
        if other == own:
            continue
        inside = planes[other, 3]
        if inside < 0.0:
            per = planes[other, 7]
            a, b, c = planes[other, 4] * per - q, planes[other, 5] * per - q_right, planes[other, 6] * per - q_down
        else:
            a, b, c = inside * q - planes[other, 4], inside * q_right - planes[other, 5], inside * q_down - planes[other, 6]
        lefts, rights = _put_line(face, a, b, c, lefts, rights)
    face[LEFT_LINES] = lefts


@inlined()
def _find_rows(own, corners, behind, height):  # type: ignore[no-untyped-def]
    """First and end of the rows that a face may touch."""
    low, high = corners[LIMITS + 2], corners[LIMITS + 3]
    if behind == 0:  # of the corner's number (``part_corners``), the bit that all four share, and the two others
        bit = 2 if own == TOP or own == BOTTOM else (0 if own == FACE_FRONT or own == FACE_REAR else 1)
        first = 1 << bit if own == TOP or own == FACE_FRONT or own == FACE_LEFT else 0
        p, q = 2 if bit == 0 else 1, 2 if bit == 2 else 4
        a, b = corners[SEEN_V + u8(first)], corners[SEEN_V + u8(first + p)]
        c, d = corners[SEEN_V + u8(first + q)], corners[SEEN_V + u8(first + p + q)]
        low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    return int(math.floor(min(max(low, 0.0), height))), int(math.ceil(min(max(high, 0.0), height)))


@inlined()
def _second_first(parts, body):  # type: ignore[no-untyped-def]
    """Whether the second part of an actor may cover its first: a level or upright plane parts them."""
    if parts[1, Z0] >= parts[0, Z1]:
        return body[EYE_Z] > parts[0, Z1]
    return body[EYE_X] > parts[0, FRONT]


@inlined()
def find_faces(view, actors, shapes, order, count, planes, corners, bodies, faces, rows):  # type: ignore[no-untyped-def]
    """List the faces that the image may show, nearest first.

    Args:
        view: (VIEW_NUMBERS,).
        actors: (A, ACTOR_NUMBERS).
        shapes: (A, MAX_PARTS, PART_NUMBERS).
        order: Actors that may be in view, nearest first.
        count: How many.
        planes: Scratch, (FACES, 8).
        corners: Scratch, (CORNER_NUMBERS,).
        bodies: Out: (A, BODY_NUMBERS), in their order.
        faces: Out: (MOST_FACES x A, FACE_NUMBERS).
        rows: Out: first and end row of each face, (MOST_FACES x A, 2) int32.

    Returns:
        How many.
    """
    found = 0
    for n in range(count):
        actor, body = order[n], bodies[n]
        parts, number = shapes[actor], int(actors[actor, AT_PARTS])
        _place_body(view, actors, actor, body)
        swap = number == 2 and _second_first(parts, body)
        for k in range(number):
            p = 1 - k if swap else k
            x, y = actors[actor, AT_X] - view[VIEW_X], actors[actor, AT_Y] - view[VIEW_Y]
            part_corners(parts[p], x, y, body[BODY_COS], body[BODY_SIN], corners)
            behind = bounds_of(view, corners)
            if off_image(view, corners):
                continue
            _planes(parts[p], body, planes)
            least, most = 1.0 / max(corners[LIMITS + 5], NEAR_M), 1.0 / max(corners[LIMITS + 4], NEAR_M)
            for own in range(FACES):
                if planes[own, 3] >= 0.0:
                    continue
                first, end = _find_rows(own, corners, behind, view[ROWS])
                if first >= end:
                    continue
                face = faces[found]
                rows[found, 0], rows[found, 1] = i4(first), i4(end)
                face[BODY], face[WHOLE], face[PART], face[FACE] = n, 2 * n + p, p, own
                face[Q_LEAST], face[Q_MOST] = least, most
                unit = 1.0 / math.sqrt(planes[own, 0] ** 2 + planes[own, 1] ** 2 + planes[own, 2] ** 2)
                for c in range(3):
                    face[NORMAL + c] = planes[own, c] * unit
                _face_lines(planes, own, face)
                found += 1
    return found


@inlined()
def spans_of(face, v, width, edges):  # type: ignore[no-untyped-def]
    """Write the stretches that a face takes of SUB_ROWS lines within row ``v``, lefts then rights, and of its middle; what spans them all.

    A stretch is empty where its first place is not before its last. The middle, which the labels are read at, counts too: near the
    horizon a roof can be thinner than the lines are apart.
    """
    lefts = int(face[LEFT_LINES])
    low0, low1, low2, low3, low = -1.0, -1.0, -1.0, -1.0, -1.0
    high0, high1, high2, high3, high = width + 1.0, width + 1.0, width + 1.0, width + 1.0, width + 1.0
    for n in range(FACES):
        slope = face[LINES + 2 * n]
        at = slope * (v + 0.5) + face[LINES + 2 * n + 1]
        far, near = 0.375 * slope, 0.125 * slope
        if n < lefts:
            low, low0, low1 = max(low, at), max(low0, at - far), max(low1, at - near)
            low2, low3 = max(low2, at + near), max(low3, at + far)
        else:
            high, high0, high1 = min(high, at), min(high0, at - far), min(high1, at - near)
            high2, high3 = min(high2, at + near), min(high3, at + far)
    edges[0], edges[1], edges[2], edges[3], edges[2 * SUB_ROWS] = low0, low1, low2, low3, low
    edges[4], edges[5], edges[6], edges[7] = max(low0, high0), max(low1, high1), max(low2, high2), max(low3, high3)
    edges[2 * SUB_ROWS + 1] = high
    first, end = (low, high) if low < high else (1e9, -1e9)
    for j in range(SUB_ROWS):
        if edges[j] < edges[SUB_ROWS + j]:
            first, end = min(first, edges[j]), max(end, edges[SUB_ROWS + j])
    return first, end


@fast
def hit_row(q, step, actor, label, s, first, count):  # type: ignore[no-untyped-def]
    """Let a face take the pixels of a stretch of a row whose middles see it before anything else: DEPTH, LABEL and ACTOR."""
    end = i4(count)
    for i in range(whole(count)):
        k, n = u8(first) + u8(i), i4(i)
        t = f4(1) / (q + step * f4(n))
        hit = (n < end) & (t < s[DEPTH + k])
        s[DEPTH + k] = t if hit else s[DEPTH + k]
        s[LABEL + k] = label if hit else s[LABEL + k]
        s[ACTOR + k] = actor if hit else s[ACTOR + k]
