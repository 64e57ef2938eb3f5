"""The shape of an actor, one for camera, lidar and shadows: one or two convex parts inside its box.

A part lies between two heights and leans inwards with height, so that eight numbers say all of it. In the actor's frame (origin at
the centre of its footprint on the ground, x forward, y left, z up) a point is inside where

    z0 <= z <= z1,   x + front_lean z <= front,   -x + rear_lean z <= rear,   |y| + side_lean z <= side.

A part without lean is a box. The numbers are kept in this order: ``Z0, Z1, FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel, leaf
from sensors.scene import Kind, Scene

MAX_PARTS = 2
PART_NUMBERS = 8
Z0, Z1, FRONT, FRONT_LEAN, REAR, REAR_LEAN, SIDE, SIDE_LEAN = range(PART_NUMBERS)
TOP, BOTTOM, FACE_FRONT, FACE_REAR, FACE_LEFT, FACE_RIGHT = range(6)

CAR, TRUCK = int(Kind.CAR), int(Kind.TRUCK)
FAR, TINY, ZERO = np.float32(1e30), np.float32(1e-20), np.float32(0)

# Shares of the half length, half width and height: x of a face's foot and of its upper edge, the same for y.
WAIST = 0.56
"""Height of a car's body, where the cabin begins, as a share of its height."""
CABIN_FRONT, CABIN_FRONT_TOP = 0.40, -0.04
CABIN_REAR, CABIN_REAR_TOP = 0.80, 0.52
CABIN_SIDE, CABIN_SIDE_TOP = 0.92, 0.76
BODY_FRONT_TOP, BODY_REAR_TOP, BODY_SIDE_TOP = 0.955, 0.97, 0.96
TRUCK_CAB_REAR, TRUCK_CAB_FRONT_TOP, TRUCK_CAB_HEIGHT, TRUCK_CARGO_FRONT = -0.62, 0.95, 0.85, 0.58


@leaf()
def _put(part, z0, z1, front, front_top, rear, rear_top, side, side_top):  # type: ignore[no-untyped-def]
    """Write one part from where its faces are at its lower and upper edge."""
    rise = z1 - z0
    part[Z0], part[Z1] = z0, z1
    part[FRONT_LEAN] = (front - front_top) / rise
    part[REAR_LEAN] = (rear - rear_top) / rise
    part[SIDE_LEAN] = (side - side_top) / rise
    part[FRONT] = front + part[FRONT_LEAN] * z0
    part[REAR] = rear + part[REAR_LEAN] * z0
    part[SIDE] = side + part[SIDE_LEAN] * z0


@leaf()
def fill_parts(kind, length_m, width_m, height_m, parts):  # type: ignore[no-untyped-def]
    """Write an actor's parts into ``parts`` (MAX_PARTS, PART_NUMBERS), float32 or float64, and return how many there are."""
    x, y, h = 0.5 * length_m, 0.5 * width_m, 1.0 * height_m
    if kind == CAR:
        waist = WAIST * h
        _put(parts[0], 0.0, waist, x, BODY_FRONT_TOP * x, x, BODY_REAR_TOP * x, y, BODY_SIDE_TOP * y)
        _put(
            parts[1],
            waist,
            h,
            CABIN_FRONT * x,
            CABIN_FRONT_TOP * x,
            CABIN_REAR * x,
            CABIN_REAR_TOP * x,
            CABIN_SIDE * y,
            CABIN_SIDE_TOP * y,
        )
        return 2
    if kind == TRUCK:
        cab = TRUCK_CAB_HEIGHT * h
        _put(parts[0], 0.0, h, TRUCK_CARGO_FRONT * x, TRUCK_CARGO_FRONT * x, x, x, y, y)
        _put(parts[1], 0.0, cab, x, TRUCK_CAB_FRONT_TOP * x, TRUCK_CAB_REAR * x, TRUCK_CAB_REAR * x, 0.98 * y, 0.95 * y)
        return 2
    _put(parts[0], 0.0, h, x, x, x, x, y, y)
    return 1


@kernel()
def cut(inside, along, near, far):  # type: ignore[no-untyped-def]
    """Clip a ray's interval by one half-space: ``inside`` is the origin's depth in it, ``along`` how fast a ray leaves it."""
    along = along if along != ZERO else -TINY
    t = inside / along
    return max(near, t if along < ZERO else -FAR), min(far, t if along > ZERO else FAR)


@kernel()
def ray_part(part, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Intersect a ray with one part, all in the actor's frame.

    Args:
        part: Its numbers, (PART_NUMBERS,).
        ox: Origin, forward [m].
        oy: Origin, left [m].
        oz: Origin, up [m].
        dx: Direction, forward; the direction may have any length.
        dy: Direction, left.
        dz: Direction, up.

    Returns:
        Parameter where the ray enters, where it leaves (it hits if enter <= leave and enter > 0), and the face it enters by.
    """
    front, rear, side = (part[FRONT], part[FRONT_LEAN]), (part[REAR], part[REAR_LEAN]), (part[SIDE], part[SIDE_LEAN])
    return ray_faces((part[Z0], part[Z1]), front, rear, side, (ox, oy, oz), (dx, dy, dz))


@kernel()
def ray_faces(height, front, rear, side, origin, direction):  # type: ignore[no-untyped-def]
    """``ray_part`` with a part's numbers in pairs, for loops that keep them in registers."""
    ox, oy, oz = origin
    dx, dy, dz = direction
    near, far = cut(height[1] - oz, dz, -FAR, FAR)
    face = TOP
    t, far = cut(oz - height[0], -dz, near, far)
    face = BOTTOM if t > near else face
    near = t
    t, far = cut(front[0] - ox - front[1] * oz, dx + front[1] * dz, near, far)
    face = FACE_FRONT if t > near else face
    near = t
    t, far = cut(rear[0] + ox - rear[1] * oz, rear[1] * dz - dx, near, far)
    face = FACE_REAR if t > near else face
    near = t
    t, far = cut(side[0] - oy - side[1] * oz, dy + side[1] * dz, near, far)
    face = FACE_LEFT if t > near else face
    near = t
    t, far = cut(side[0] + oy - side[1] * oz, side[1] * dz - dy, near, far)
    face = FACE_RIGHT if t > near else face
    return t, far, face


def parts_of(kind: int, size_m: tuple[float, float, float]) -> NDArray[np.float64]:
    """The parts of one actor.

    Args:
        kind: A ``Kind``.
        size_m: Length, width, height.

    Returns:
        (number of parts, PART_NUMBERS) float64.
    """
    parts = np.zeros((MAX_PARTS, PART_NUMBERS))
    return parts[: fill_parts(kind, *size_m, parts)]


def corners_of(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eight corners of a part in the actor's frame, (8, 3): lower four, then upper four, each counter-clockwise from front left."""
    rows = []
    for z in (part[Z0], part[Z1]):
        front, rear = part[FRONT] - part[FRONT_LEAN] * z, -part[REAR] + part[REAR_LEAN] * z
        side = part[SIDE] - part[SIDE_LEAN] * z
        rows += [(front, side, z), (rear, side, z), (rear, -side, z), (front, -side, z)]
    return np.asarray(rows, np.float64)


_TRIANGLES = np.asarray(
    [
        *((4, 5, 6), (4, 6, 7)),  # top
        *((0, 2, 1), (0, 3, 2)),  # bottom
        *((0, 4, 7), (0, 7, 3)),  # front
        *((1, 2, 6), (1, 6, 5)),  # rear
        *((0, 1, 5), (0, 5, 4)),  # left
        *((2, 3, 7), (2, 7, 6)),  # right
    ],
    np.int64,
)


def triangles(scene: Scene, world: int, include_ego: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Mesh the valid actors of one world, for an independent ray caster.

    Args:
        scene: The scene.
        world: Which of its worlds.
        include_ego: Whether actor 0 is in the mesh; sensors do not see the car that carries them.

    Returns:
        Vertices (V, 3) in world coordinates, triangles (T, 3) wound outwards, and the actor of each triangle (T,).
    """
    vertices, faces, actors, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], 0
    for actor in range(0 if include_ego else 1, scene.num_actors):
        if not bool(scene.valid[world, actor]):
            continue
        length, width, height = scene.size_m[world, actor].double().tolist()
        heading = float(scene.heading_rad[world, actor])
        cos, sin = np.cos(heading), np.sin(heading)
        turn = np.asarray([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        centre = np.asarray([*scene.position_m[world, actor].double().tolist(), 0.0])
        for part in parts_of(int(scene.kind[world, actor]), (length, width, height)):
            vertices.append(corners_of(part) @ turn.T + centre)
            faces.append(_TRIANGLES + count)
            actors.append(np.full(len(_TRIANGLES), actor, np.int64))
            count += 8
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(actors)
