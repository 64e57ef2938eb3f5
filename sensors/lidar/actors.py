"""Which pieces of the range image show an actor: its parts, and the patches of other materials on them; all that is scalar about them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, kernel, leaf
from sensors.lidar import materials as m
from sensors.lidar.bounds import Box, Point, Pose, axes_of, beams_of, box_seen, overlap, window_of
from sensors.lidar.pieces import (
    ACROSS,
    COLUMN_NUMBERS,
    INNER,
    LIMITS,
    MOVED_X,
    MOVED_Y,
    NUMBERS,
    OUTER,
    PIECE,
    PLANES,
    REFLECTIVITY,
    TIME,
    VECTOR,
    Doubles,
    Floats,
    Ints,
)
from sensors.pose import SceneArrays
from sensors.vehicle_shape import (
    BOTTOM,
    CAR,
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
    fill_parts,
)

f4, u8 = np.float32, np.uint64
PATCHES, PAINT, PLAIN_PAINT, ROOF = m.PATCHES, m.REFLECTIVITY, m.PLAIN_REFLECTIVITY, m.ROOF
FIRST_COLUMN, COUNT, BEAM, BEAM_END, PATCH, CODE, NEXT = range(7)
"""Columns of the list of pieces: first column, columns, beams, whether it is a patch, 2 actor + part, and for whoever goes through them."""
PIECE_FIELDS = 7
FACES = 6
MOST_OF_A_PART = FACES + len(PATCHES)
UX, UY, UZ, DEPTH, PAINTED = range(5)
"""Columns of the planes of a part: normal in the actor's frame, the sensor's depth [m], reflectivity over the normal's length."""
PLANE_NUMBERS = 5


Slack = tuple[float, float, float]


class Pieces(NamedTuple):
    """A list of pieces, with room for more."""

    fields: Ints  # (room, PIECE_FIELDS)
    numbers: Floats  # (room, NUMBERS)


class View(NamedTuple):
    """Where one sensor looks from, and what a thread works in."""

    origin: Doubles  # (3,) the sensor in the world at the end of the sweep
    world_R_sensor: Doubles  # (3, 3) then
    motion: Doubles  # (6,) velocity of the sensor x and y [m/s], yaw rate [rad/s], time of a turn [s], most noise in azimuth and elevation
    columns: Floats  # (COLUMN_NUMBERS,)
    parts: Doubles  # (MAX_PARTS, PART_NUMBERS) of one actor
    planes: Doubles  # (FACES, PLANE_NUMBERS) of one part
    slots: NDArray[np.int64]  # (OUTER + INNER,) of one piece: a plane, or FACES + a plane for its mirror


def new_view() -> View:
    """Room for a thread."""
    return View(
        np.empty(3),
        np.empty((3, 3)),
        np.empty(6),
        vectors_of(COLUMN_NUMBERS),
        np.empty((MAX_PARTS, PART_NUMBERS)),
        np.empty((FACES, PLANE_NUMBERS)),
        np.empty(OUTER + INNER, np.int64),
    )


@kernel()
def vectors_of(count: int) -> Floats:
    """Room for so many numbers, from the beginning of a cache line on."""
    block = np.empty(count + 16, f4)
    skipped = (-(block.ctypes.data // 4)) % 16
    return block[skipped : skipped + count]


@kernel()
def new_pieces(count: int) -> Pieces:
    """Room for so many pieces."""
    return Pieces(np.empty((count, PIECE_FIELDS), np.int32), np.empty((count, NUMBERS), f4))


@kernel()
def more_pieces(count: int, pieces: Pieces) -> Pieces:
    """A larger copy of a list, with room for ``count`` and as many more."""
    longer: Pieces = new_pieces(2 * count)
    for n in range(len(pieces.fields)):  # a slice assignment takes seconds to compile
        for field in range(PIECE_FIELDS):
            longer.fields[n, field] = pieces.fields[n, field]
        for number in range(NUMBERS):
            longer.numbers[n, number] = pieces.numbers[n, number]
    return longer


@inlined()
def heading_then(scene: SceneArrays, b: int, actor: int, k: int, v: View) -> tuple[float, float, float, float]:
    """When column k is measured [s], how far the sensor is from where it ends the sweep, x and y [m], and an actor's heading then."""
    if v.motion[3] == 0.0:
        return 0.0, 0.0, 0.0, scene.heading[b, actor]
    time = float(v.columns[TIME + u8(k)])
    return (
        time,
        float(v.columns[MOVED_X + u8(k)]),
        float(v.columns[MOVED_Y + u8(k)]),
        scene.heading[b, actor] + time * scene.yaw_rate[b, actor],
    )


@inlined()
def pose_then(scene: SceneArrays, b: int, actor: int, k: int, v: View) -> Pose:
    """The pose of an actor from the sensor when column k is measured."""
    time, mx, my, heading = heading_then(scene, b, actor, k, v)
    cos, sin = math.cos(heading), math.sin(heading)
    x = v.origin[0] + mx - scene.position[b, actor, 0] - time * scene.velocity[b, actor, 0]
    y = v.origin[1] + my - scene.position[b, actor, 1] - time * scene.velocity[b, actor, 1]
    sensor = cos * x + sin * y, cos * y - sin * x, v.origin[2]
    if time != 0.0 and v.motion[2] != 0.0:
        heading -= time * v.motion[2]
        cos, sin = math.cos(heading), math.sin(heading)
    pose: Pose = axes_of(v.world_R_sensor, cos, sin, sensor)
    return pose


@inlined()
def slack_of(scene: SceneArrays, b: int, actor: int, pose: Pose, span_s: float, v: View) -> Slack:
    """How much of what the sensor sees of an actor changes within half of a time; nothing in a scan that does not roll.

    Returns:
        How far any point of the actor can go in the sensor's frame, its turning left out [m]; by how much that turns [rad]; and how far
        the sensor can go in the actor's frame [m].
    """
    if span_s == 0.0:
        return 0.0, 0.0, 0.0
    vx, vy = scene.velocity[b, actor, 0] - v.motion[0], scene.velocity[b, actor, 1] - v.motion[1]
    speed, spin, (x, y, _) = math.sqrt(vx * vx + vy * vy), scene.yaw_rate[b, actor], pose[0]
    reach, half_s = 0.5 * (scene.size[b, actor, 0] + scene.size[b, actor, 1]), 0.51 * span_s
    away = math.sqrt(x * x + y * y) + speed * half_s
    return (
        0.005 + half_s * (speed + abs(spin - v.motion[2]) * reach),
        half_s * abs(v.motion[2]),
        0.005 + half_s * (speed + abs(spin) * away),
    )


@inlined()
def fill_planes(part: int, kind: int, up_paint: float, paint: float, sensor: Point, v: View) -> None:
    """Write the six planes of a part as the sensor is to them."""
    p, q, (x, y, up) = v.parts, part, sensor
    ahead, behind, aside = p[q, FRONT_LEAN], p[q, REAR_LEAN], p[q, SIDE_LEAN]
    put_plane(v.planes, TOP, (0.0, 0.0, 1.0), p[q, Z1] - up, up_paint)
    put_plane(v.planes, BOTTOM, (0.0, 0.0, -1.0), up - p[q, Z0], up_paint)
    put_plane(v.planes, FACE_FRONT, (1.0, 0.0, ahead), p[q, FRONT] - x - ahead * up, paint / math.sqrt(1.0 + ahead * ahead))
    put_plane(v.planes, FACE_REAR, (-1.0, 0.0, behind), p[q, REAR] + x - behind * up, paint / math.sqrt(1.0 + behind * behind))
    sloped = paint / math.sqrt(1.0 + aside * aside)
    put_plane(v.planes, FACE_LEFT, (0.0, 1.0, aside), p[q, SIDE] - y - aside * up, sloped)
    put_plane(v.planes, FACE_RIGHT, (0.0, -1.0, aside), p[q, SIDE] + y - aside * up, sloped)


@inlined()
def put_plane(planes: Doubles, row: int, normal: Point, depth: float, paint: float) -> None:
    """Write a plane; a sensor that lies in it is kept off it."""
    planes[row, UX], planes[row, UY], planes[row, UZ] = normal
    planes[row, DEPTH], planes[row, PAINTED] = 1e-9 if abs(depth) < 1e-9 else depth, paint


@inlined()
def opposite(face: int) -> int:
    """The other one of top and bottom, front and rear, left and right."""
    return face ^ 1


@inlined()
def choose_slots(v: View, above_ground: bool) -> int:
    """Choose the planes of the only piece of a part; returns how many it can be entered by: more than OUTER if one piece won't do.

    The bottom of a part that stands on the ground is not needed by a sensor above: the ground is nearer.
    """
    outer, inner, last = 0, 0, 0
    for face in range(FACES):
        if v.planes[face, DEPTH] < 0.0:
            if outer < OUTER:
                v.slots[outer] = face
            outer, last = outer + 1, face
    if outer == 0 or outer > OUTER:
        return outer
    for face in range(FACES):
        if v.planes[face, DEPTH] < 0.0 or (face == BOTTOM and above_ground) or (outer == 1 and face == opposite(last)):
            continue
        v.slots[OUTER + inner] = face
        inner += 1
    for slot in range(outer, OUTER):
        v.slots[slot] = v.slots[0]
    for slot in range(inner, INNER):
        v.slots[OUTER + slot] = v.slots[OUTER]
    return outer


@inlined()
def choose_face(v: View, face: int, still: bool) -> None:
    """Choose the planes of a piece that shows one face, between its four neighbours."""
    inner = 0
    for slot in range(OUTER):
        v.slots[slot] = face
    for other in range(FACES):
        if other != face and other != opposite(face):
            v.slots[OUTER + inner] = other + FACES if still and v.planes[other, DEPTH] < 0.0 else other
            inner += 1


@inlined()
def put_numbers(n: int, numbers: Floats, still: bool, v: View, turn: tuple[float, float], z: Point) -> None:
    """Write the numbers of a piece's planes.

    Args:
        n: The piece.
        numbers: Of all.
        still: The scan does not roll.
        v: Has the planes and slots.
        turn: Cosine and sine of the actor's heading.
        z: The sensor's axis in the actor's frame.
    """
    p = v.planes
    face = v.slots[0]
    for slot in range(OUTER + INNER):
        plane, q = v.slots[slot], PLANES + 4 * slot
        mirrored = plane >= FACES
        plane = plane - FACES if mirrored else plane
        ux, uy, uz, depth = p[plane, UX], p[plane, UY], p[plane, UZ], p[plane, DEPTH]
        if not still:
            numbers[n, q], numbers[n, q + 1], numbers[n, q + 2], numbers[n, q + 3] = ux, uy, uz, depth
            continue
        scale = 1.0 / depth
        ux, uy, uz = ux * scale, uy * scale, uz * scale
        if mirrored:
            twice = 2.0 / p[face, DEPTH]
            ux, uy, uz = twice * p[face, UX] - ux, twice * p[face, UY] - uy, twice * p[face, UZ] - uz
        put_bound(n, numbers, slot, (ux, uy, uz), turn, z)
    for slot in range(OUTER):
        plane = v.slots[slot]
        numbers[n, REFLECTIVITY + slot] = p[plane, PAINTED] * (-p[plane, DEPTH] if still else 1.0)


@inlined()
def put_frame(n: int, numbers: Floats, scene: SceneArrays, b: int, actor: int, k: int, sensor: Point, v: View) -> None:
    """Write the numbers of a piece of a rolling scan whose middle column is k, all but its planes."""
    time, mx, my, heading = heading_then(scene, b, actor, k, v)
    numbers[n, 0], numbers[n, 1], numbers[n, 2] = math.cos(heading), math.sin(heading), scene.yaw_rate[b, actor]
    numbers[n, 3], numbers[n, 4], numbers[n, 5], numbers[n, 6], numbers[n, 7] = sensor[0], sensor[1], mx, my, time
    numbers[n, 8], numbers[n, 9] = scene.velocity[b, actor, 0], scene.velocity[b, actor, 1]


@inlined()
def put_bound(n: int, numbers: Floats, slot: int, normal: Point, turn: tuple[float, float], z: Point) -> None:
    """Write a slot of a scan that does not roll: what its plane's normal in the actor's frame, over depth, makes of g and of z."""
    (x, y, w), (cos, sin), q = normal, turn, PLANES + 4 * slot
    numbers[n, q], numbers[n, q + 1], numbers[n, q + 2] = cos * x - sin * y, sin * x + cos * y, w
    numbers[n, q + 3] = x * z[0] + y * z[1] + w * z[2]


@inlined()
def put_patch(
    n: int,
    numbers: Floats,
    still: bool,
    v: View,
    turn: tuple[float, float],
    z: Point,
    face: int,
    limits: tuple[float, float, float, float],
    share: float,
) -> None:
    """Write the numbers of a patch; ``limits`` are from the sensor, across and up [m], ``share`` its reflectivity over its part's."""
    p = v.planes
    sideways = face == FACE_FRONT or face == FACE_REAR
    cx, cy = (0.0, 1.0) if sideways else (1.0, 0.0)
    ux, uy, uz, depth = p[face, UX], p[face, UY], p[face, UZ], p[face, DEPTH]
    if not still:
        numbers[n, PLANES], numbers[n, PLANES + 1], numbers[n, PLANES + 2], numbers[n, PLANES + 3] = ux, uy, uz, depth
        numbers[n, ACROSS], numbers[n, ACROSS + 1] = cx, cy
        q = LIMITS
        numbers[n, q], numbers[n, q + 1], numbers[n, q + 2], numbers[n, q + 3] = limits
        numbers[n, REFLECTIVITY] = share * p[face, PAINTED]
        return
    ux, uy, uz = ux / depth, uy / depth, uz / depth
    right, left, low, top = limits  # by names: a tuple's element by number is a search
    put_bound(n, numbers, 0, (cx - right * ux, cy - right * uy, -right * uz), turn, z)
    put_bound(n, numbers, 1, (left * ux - cx, left * uy - cy, left * uz), turn, z)
    put_bound(n, numbers, 2, (-low * ux, -low * uy, 1.0 - low * uz), turn, z)
    put_bound(n, numbers, 3, (top * ux, top * uy, top * uz - 1.0), turn, z)
    for slot in range(OUTER):
        numbers[n, REFLECTIVITY + slot] = -share * p[face, PAINTED] * depth


@inlined()
def list_piece(n: int, first: int, end: int, beams: tuple[int, int], patch: int, code: int, fields: Ints) -> None:
    """List piece ``n``."""
    fields[n, FIRST_COLUMN], fields[n, COUNT], fields[n, BEAM], fields[n, BEAM_END] = first, (end - first + VECTOR - 1) & -VECTOR, *beams
    fields[n, PATCH], fields[n, CODE] = patch, code


@inlined()
def add_patches(
    scene: SceneArrays, b: int, actor: int, number: int, first: int, end: int, columns: int, slack: Slack, pose: Pose,
    turn: tuple[float, float], z: Point, paint: float, n: int, tan_elevation: Floats, v: View, pieces: Pieces,
) -> int:  # fmt: skip
    """Add the patches on a part that columns [first, end) show; returns how many pieces there are then."""
    kind, length, wide, high = scene.kind[b, actor], scene.size[b, actor, 0], scene.size[b, actor, 1], scene.size[b, actor, 2]
    (x, y, up), p = pose[0], v.planes
    for row in range(len(PATCHES)):
        if PATCHES[row, m.KIND] != kind or PATCHES[row, m.PART] != number:
            continue
        face = int(PATCHES[row, m.FACE])
        if p[face, DEPTH] > slack[2]:
            continue
        sideways = face == FACE_FRONT or face == FACE_REAR
        half, place = (0.5 * wide, y) if sideways else (0.5 * length, x)
        low, top = PATCHES[row, m.BOTTOM] * high, PATCHES[row, m.TOP] * high
        right, left = PATCHES[row, m.ACROSS_LOW] * half, PATCHES[row, m.ACROSS_HIGH] * half
        rise, across, lean = 0.5 * (low + top), 0.5 * (right + left), p[face, UZ]
        out = p[face, DEPTH] + p[face, UX] * x + p[face, UY] * y + lean * (up - rise)  # where the face is at that height
        tilt = -lean * 0.5 * (top - low)
        ux, uy, spread = p[face, UX], p[face, UY], 0.5 * (left - right)
        if sideways:
            middle, sides, edge = (ux * out, across, rise), (0.0, spread, 0.0), (ux * tilt, 0.0, 0.5 * (top - low))
        else:
            middle, sides, edge = (across, uy * out, rise), (spread, 0.0, 0.0), (0.0, uy * tilt, 0.5 * (top - low))
        box = box_seen(middle, (sides, edge, (0.0, 0.0, 0.0)), pose)
        k0, k1, near, far = window_of(box, slack[0], slack[1] + v.motion[4], columns)
        begin, stop = overlap(k0, k1, first, end, columns)
        if begin >= stop:
            continue
        beams = beams_of(box, (slack[0] + slack[1] * far) * tilt_of(v), v.motion[5], (near, far), tan_elevation)
        if beams[0] >= beams[1]:
            continue
        limits = right - place, left - place, low - up, top - up
        put_patch(n, pieces.numbers, v.motion[3] == 0.0, v, turn, z, face, limits, PATCHES[row, m.MATERIAL] / paint)
        if v.motion[3] > 0.0:
            put_frame(n, pieces.numbers, scene, b, actor, first + (end - first) // 2, pose[0], v)
        list_piece(n, begin, stop, beams, 1, 2 * actor + number, pieces.fields)
        n += 1
    return n


@inlined()
def tilt_of(v: View) -> float:
    """How much of a step along the ground is along the sensor's axis, at most."""
    r = v.world_R_sensor
    return math.sqrt(r[0, 2] * r[0, 2] + r[1, 2] * r[1, 2])


@inlined()
def add_piece(
    scene: SceneArrays, b: int, actor: int, number: int, first: int, end: int, columns: int, materials: bool, slack: Slack, pose: Pose,
    turn: tuple[float, float], beams: tuple[int, int], n: int, tan_elevation: Floats, v: View, pieces: Pieces,
) -> int:  # fmt: skip
    """Add what shows a part in columns [first, end), as it is in the middle of them; returns how many pieces there are then."""
    kind = scene.kind[b, actor]
    paint = PAINT[kind, number] if materials else PLAIN_PAINT[kind, number]
    still, source, code = v.motion[3] == 0.0, n, 2 * actor + number
    fill_planes(number, kind, ROOF if kind == CAR else paint, paint, pose[0], v)
    z = pose[1][2], pose[2][2], pose[3][2]
    steady = True
    for face in range(FACES):
        steady &= abs(v.planes[face, DEPTH]) > slack[2]
    outer = choose_slots(v, v.parts[number, Z0] <= 0.0 and pose[0][2] > 0.0)
    if steady and outer <= OUTER:
        if outer == 0:
            return n
        put_numbers(n, pieces.numbers, still, v, turn, z)
        if not still:
            put_frame(n, pieces.numbers, scene, b, actor, first + (end - first) // 2, pose[0], v)
        list_piece(n, first, end, beams, 0, code, pieces.fields)
        n += 1
    else:
        for face in range(FACES):
            if v.planes[face, DEPTH] >= slack[2]:
                continue
            choose_face(v, face, still)
            put_numbers(n, pieces.numbers, still, v, turn, z)
            if not still:
                put_frame(n, pieces.numbers, scene, b, actor, first + (end - first) // 2, pose[0], v)
            list_piece(n, first, end, beams, 0, code, pieces.fields)
            n += 1
    if n == source or not materials:
        return n
    more: int = add_patches(scene, b, actor, number, first, end, columns, slack, pose, turn, z, paint, n, tan_elevation, v, pieces)
    return more


@inlined()
def part_box(number: int, pose: Pose, v: View) -> Box:
    """The box around a part, in the sensor's frame."""
    p, low, (o, f, s, u) = v.parts, v.parts[number, Z0], pose
    front, rear = p[number, FRONT] - p[number, FRONT_LEAN] * low, p[number, REAR] - p[number, REAR_LEAN] * low
    half_width, high = p[number, SIDE] - p[number, SIDE_LEAN] * low, p[number, Z1]
    x, y, z, half_length, half_height = (
        0.5 * (front - rear) - o[0],
        -o[1],
        0.5 * (low + high) - o[2],
        0.5 * (front + rear),
        0.5 * (high - low),
    )
    return (
        (x * f[0] + y * s[0] + z * u[0], x * f[1] + y * s[1] + z * u[1], x * f[2] + y * s[2] + z * u[2]),
        (half_length * f[0], half_length * f[1], half_length * f[2]),
        (half_width * s[0], half_width * s[1], half_width * s[2]),
        (half_height * u[0], half_height * u[1], half_height * u[2]),
    )


@leaf()
def narrowed(scene: SceneArrays, b: int, actor: int, number: int, begin: int, end: int, columns: int, v: View) -> tuple[int, int]:
    """Narrow columns [begin, end) that may show a part to those that may at their own times."""
    middle = begin + (end - begin) // 2
    pose = pose_then(scene, b, actor, middle, v)
    span_s = v.motion[3] * (end - begin + 1) / columns
    around_m, turn_rad, _ = slack_of(scene, b, actor, pose, span_s, v)
    k0, k1, _, _ = window_of(part_box(number, pose, v), around_m, turn_rad + v.motion[4], columns)
    kept: tuple[int, int] = overlap(k0, k1, begin, end, columns)
    return kept


@inlined()
def add_actor(
    scene: SceneArrays,
    b: int,
    actor: int,
    columns: int,
    max_range_m: float,
    materials: bool,
    n: int,
    tan_elevation: Floats,
    v: View,
    pieces: Pieces,
) -> int:
    """Add the pieces that show an actor, for which there is room; returns how many there are then."""
    sweep_s = v.motion[3]
    still = sweep_s == 0.0
    pose = pose_then(scene, b, actor, columns // 2, v)
    slack = slack_of(scene, b, actor, pose, sweep_s, v)
    length, wide, high = scene.size[b, actor, 0], scene.size[b, actor, 1], scene.size[b, actor, 2]
    (x, y, up), reach = pose[0], 0.5 * (length + wide + high) + slack[2]
    if math.sqrt(x * x + y * y + (up - 0.5 * high) * (up - 0.5 * high)) - reach >= max_range_m:
        return n
    heading = scene.heading[b, actor]
    turn = math.cos(heading), math.sin(heading)
    parts = fill_parts(scene.kind[b, actor], length, wide, high, v.parts)
    for number in range(parts):
        box = part_box(number, pose, v)
        k0, k1, near, far = window_of(box, slack[0], slack[1] + v.motion[4], columns)
        beams = beams_of(box, (slack[0] + slack[1] * far) * tilt_of(v), v.motion[5], (near, far), tan_elevation)
        if beams[0] >= beams[1]:
            continue
        start, width = k0 % columns, k1 - k0
        for side in range(2):
            begin, end = (start & -VECTOR, min(start + width, columns)) if side == 0 else (0, start + width - columns)
            if not still and begin < end:
                begin, end = narrowed(scene, b, actor, number, begin, end, columns, v)
            for first in range(begin, end, PIECE):
                last, seen, then, rows = min(first + PIECE, end), pose, slack, beams
                if not still:
                    seen = pose_then(scene, b, actor, first + (last - first) // 2, v)
                    then = slack_of(scene, b, actor, seen, sweep_s * (last - first + 1) / columns, v)
                    box = part_box(number, seen, v)
                    _, _, near, far = window_of(box, then[0], then[1] + v.motion[4], columns)
                    rows = beams_of(box, (then[0] + then[1] * far) * tilt_of(v), v.motion[5], (near, far), tan_elevation)
                if rows[0] < rows[1]:
                    n = add_piece(
                        scene, b, actor, number, first, last, columns, materials, then, seen, turn, rows, n, tan_elevation, v, pieces
                    )
    return n
