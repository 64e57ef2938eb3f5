"""Echoes that no actor stands at: mirror images of actors, and what stands still along the road.

A guard rail and the long side of a vehicle are mirrors: a path from the radar by the mirror to an actor and back the same way shows
the actor's image behind the mirror, at the image's range, angle and Doppler, where the image moves as the mirror and the actor make it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, leaf
from sensors.noise import hash2
from sensors.pose import point_velocity
from sensors.radar.roadside import ALONG_X, ALONG_Y, HALF, HEIGHT, KIND, MIDDLE_X, MIDDLE_Y, RAIL_HEIGHT_M, SHARE, X, Y
from sensors.radar.settings import COS_HALF_FOV, MAX_RANGE, MIRROR_DB, MIRROR_GAIN, POST, ROAD_OBJECT, ROADSIDE
from sensors.radar.targets import (
    BCOS,
    BHALF_L,
    BHALF_W,
    BHEIGHT,
    BOXES,
    BREACH,
    BSIN,
    BSTRENGTH,
    BVX,
    BVY,
    BX,
    BY,
    BYAW,
    CLUTTER,
    ECHOES,
    GHOST,
    LOT,
    LOT_HEIGHT,
    LOT_RANGE,
    LOT_RCS,
    LOT_SNR,
    LOT_X,
    LOT_Y,
    NOBODY,
    OBSTACLE,
    PLACES,
    SCATTERERS,
    STRONGEST_M2,
    TINY,
    WEAKEST_OTHER,
    WHEEL,
    Targets,
    arm_of,
    cast_shade,
    hear,
    keep,
    outside,
    path_loss_db,
    shade_loss_db,
    spread,
    weakened,
)

Floats = NDArray[np.float64]
u4, u8 = np.uint32, np.uint64

LONG_SIDE_M = 7.0
"""A vehicle at least so long has sides that mirror."""
MOST_OTHERS = 1024
"""Room for echoes of no actor; further ones are left out."""
GHOST_NUMBERS, CLUTTER_NUMBERS = 1 << 26, 1 << 27
"""Where the counters of draws begin for each."""
PX, PY, TX, TY, HALF_LENGTH, TOP, VX, VY, YAW = range(9)
"""Of a mirror: a point (its middle), direction along it, half length, height, velocity and yaw rate about the point."""
MIRROR = 9


@inlined()
def image_velocity(mirror: Floats, x: float, y: float, vx: float, vy: float) -> tuple[float, float]:
    """Velocity of the image of a point at (x, y) that moves with (vx, vy), by a mirror that moves and turns."""
    nx, ny = -mirror[TY], mirror[TX]
    rx, ry = x - mirror[PX], y - mirror[PY]
    ux, uy = vx - mirror[VX], vy - mirror[VY]
    depth, rate = nx * rx + ny * ry, nx * ux + ny * uy
    turn_x, turn_y = -mirror[YAW] * ny, mirror[YAW] * nx  # how the normal turns
    turning = turn_x * rx + turn_y * ry
    return (
        vx - 2.0 * (rate * nx + turning * nx + depth * turn_x),
        vy - 2.0 * (rate * ny + turning * ny + depth * turn_y),
    )


@leaf(fastmath={"contract"})
def _bounce(mirror: Floats, front: float, t: Targets) -> None:
    """Take the RCS off the images in the lot to which no path by the mirror leads; the radar is ``front`` metres before its line."""
    lot, high, top, half = t.lot, t.origin[2], mirror[TOP], mirror[HALF_LENGTH]
    px, py, tx, ty = mirror[PX], mirror[PY], mirror[TX], mirror[TY]
    for place in range(PLACES):
        k = u8(place)
        x, y = lot[LOT_X + k], lot[LOT_Y + k]
        depth = (x - px) * ty - (y - py) * tx  # of what is mirrored
        total = front + depth
        share = front / (total if total != 0.0 else TINY)  # of the way to the image, where the path meets the mirror
        along = abs((share * x - px) * tx + (share * y - py) * ty)
        height = high + share * (lot[LOT_HEIGHT + k] - high)
        meets = (front * depth > 0.0) & (along <= half) & (height <= top)
        lot[LOT_RCS + k] = lot[LOT_RCS + k] if meets else 0.0


@inlined()
def _legs_db(mirror: Floats, front: float, own: int, n: int, place: int, settings: Floats, t: Targets) -> float:
    """What vehicles in the way of the path by the mirror to a scatterer of box n cost."""
    x, y, height = t.lot[LOT_X + place], t.lot[LOT_Y + place], t.lot[LOT_HEIGHT + place]
    share = front / (front + (x - mirror[PX]) * mirror[TY] - (y - mirror[PY]) * mirror[TX])
    corner = (share * x, share * y, t.origin[2] + share * (height - t.origin[2]))
    arm_x, arm_y = arm_of(t.boxes[n], place)
    loss: float = path_loss_db((0.0, 0.0, t.origin[2]), corner, own, -1, settings, t)
    loss += path_loss_db(corner, (t.boxes[n, BX] + arm_x, t.boxes[n, BY] + arm_y, height), own, n, settings, t)
    return loss


@inlined()
def _add_images_of(mirror: Floats, number: int, own: int, n: int, front: float, settings: Floats, t: Targets) -> None:
    """Add what one mirror shows of box n: the box is seen as if it stood, left and right exchanged, at its image."""
    box, lot, nx, ny, legs = t.boxes[n], t.lot, -mirror[TY], mirror[TX], -1.0
    depth = (box[BX] - mirror[PX]) * nx + (box[BY] - mirror[PY]) * ny
    along, across = 2.0 * (box[BCOS] * nx + box[BSIN] * ny), 2.0 * (box[BCOS] * ny - box[BSIN] * nx)
    middle = (box[BX] - 2.0 * depth * nx, box[BY] - 2.0 * depth * ny)
    spread(n, middle, (box[BCOS] - along * nx, box[BSIN] - along * ny), (-box[BSIN] - across * nx, box[BCOS] - across * ny), t)
    _bounce(mirror, front, t)
    hear(PLACES, settings[MIRROR_DB], settings, t)
    for place in range(WHEEL if t.who[n, 1] == OBSTACLE else SCATTERERS):
        if lot[LOT_SNR + place] < WEAKEST_OTHER or t.counts[ECHOES] >= t.labels.shape[0] - 1:
            continue
        if legs < 0.0:  # of the first that is seen, taken as the same for all of a box
            legs = weakened(1.0, _legs_db(mirror, front, own, n, place, settings, t))
        lot[LOT_SNR + place] *= legs
        if lot[LOT_SNR + place] >= WEAKEST_OTHER:
            arm_x, arm_y = arm_of(box, place)
            vx, vy = point_velocity(box[BVX], box[BVY], box[BYAW], arm_x, arm_y)
            wx, wy = image_velocity(mirror, box[BX] + arm_x, box[BY] + arm_y, vx, vy)
            towards = (wx - t.velocity[0]) * lot[LOT_X + place] + (wy - t.velocity[1]) * lot[LOT_Y + place]
            draw = hash2(u4(t.who[n, 0] * SCATTERERS + place), u4(number), u4(0)) >> u4(6)
            keep(place, towards / lot[LOT_RANGE + place], GHOST_NUMBERS + draw, NOBODY, GHOST, t)


@leaf(fastmath={"contract"})
def _find_mirrored(mirror: Floats, front: float, gain: float, t: Targets) -> None:
    """Say in ``met`` which boxes a mirror may show to the radar: a path by it leads there, and is short enough to be heard."""
    px, py, tx, ty, half = mirror[PX], mirror[PY], mirror[TX], mirror[TY], mirror[HALF_LENGTH]
    run, weakest, met = -(px * tx + py * ty), WEAKEST_OTHER / (gain * STRONGEST_M2), t.met
    xs, ys, reaches, strengths = t.columns[BX], t.columns[BY], t.columns[BREACH], t.columns[BSTRENGTH]
    for n in range(t.counts[BOXES]):
        k = u8(n)
        dx, dy, reach = xs[k] - px, ys[k] - py, reaches[k]
        depth, along = dy * tx - dx * ty, dx * tx + dy * ty
        ix, iy = xs[k] + 2.0 * depth * ty, ys[k] - 2.0 * depth * tx
        near = max(math.sqrt(ix * ix + iy * iy) - reach, 0.0)
        heard = strengths[k] >= weakest * (near * near) * (near * near)
        met[k] = heard & (front * depth > 0.0) & (abs(run * depth + along * front) <= (half + reach) * abs(front + depth))


@inlined()
def _add_images(mirror: Floats, number: int, own: int, settings: Floats, t: Targets) -> None:
    """Add what one mirror shows of all vehicles but the one that it belongs to (-1: none)."""
    front = mirror[PX] * mirror[TY] - mirror[PY] * mirror[TX]  # how far the radar is before the mirror
    _find_mirrored(mirror, front, settings[MIRROR_GAIN], t)
    for n in range(t.counts[BOXES]):
        t.again[n] = t.met[n]  # paths are looked at by ``met`` too
    for n in range(t.counts[BOXES]):
        if t.again[n] and n != own:
            depth = (t.boxes[n, BY] - mirror[PY]) * mirror[TX] - (t.boxes[n, BX] - mirror[PX]) * mirror[TY]
            x, y = t.boxes[n, BX] + 2.0 * depth * mirror[TY], t.boxes[n, BY] - 2.0 * depth * mirror[TX]
            if not outside(x, y, t.boxes[n, BREACH], settings, t):
                _add_images_of(mirror, number, own, n, front, settings, t)


@leaf()
def add_images_in_vehicles(mirror: Floats, settings: Floats, t: Targets) -> None:
    """Add what the sides of long vehicles mirror; ``mirror`` is scratch (9,)."""
    for n in range(t.counts[BOXES]):
        box = t.boxes[n]
        if 2.0 * box[BHALF_L] < LONG_SIDE_M:
            continue
        side = 1.0 if box[BCOS] * box[BY] - box[BSIN] * box[BX] < 0.0 else -1.0  # the one that the radar sees
        arm_x, arm_y = -side * box[BSIN] * box[BHALF_W], side * box[BCOS] * box[BHALF_W]
        mirror[PX], mirror[PY], mirror[TX], mirror[TY] = box[BX] + arm_x, box[BY] + arm_y, box[BCOS], box[BSIN]
        mirror[HALF_LENGTH], mirror[TOP] = box[BHALF_L], box[BHEIGHT]
        mirror[VX], mirror[VY] = point_velocity(box[BVX], box[BVY], box[BYAW], arm_x, arm_y)
        mirror[YAW] = box[BYAW]
        if abs(box[BCOS] * box[BY] - box[BSIN] * box[BX]) > box[BHALF_W]:
            _add_images(mirror, t.who[n, 0], n, settings, t)


@inlined()
def _buckets(frame: Floats, t: Targets, reach_m: float) -> tuple[int, int, int, int]:
    """First and last column and row of the buckets within reach of the radar."""
    i0 = max(int((t.origin[0] - reach_m - frame[0]) / frame[2]), 0)
    j0 = max(int((t.origin[1] - reach_m - frame[1]) / frame[2]), 0)
    i1 = min(math.floor((t.origin[0] + reach_m - frame[0]) / frame[2]), frame[3] - 1.0)
    j1 = min(math.floor((t.origin[1] + reach_m - frame[1]) / frame[2]), frame[4] - 1.0)
    return i0, int(i1), j0, int(j1)


@inlined()
def _in_front(frame: Floats, i: int, j: int, settings: Floats, t: Targets) -> bool:
    """Whether some of a bucket may lie in the field of view; only what is wholly behind a radar that looks one way does not."""
    x, y = frame[0] + (i + 0.5) * frame[2] - t.origin[0], frame[1] + (j + 0.5) * frame[2] - t.origin[1]
    ahead = t.world_R_sensor[0, 0] * x + t.world_R_sensor[1, 0] * y
    return bool(settings[COS_HALF_FOV] <= 0.0 or ahead > -0.7072 * frame[2])


@leaf()
def add_images_in_rails(roadside: Any, mirror: Floats, settings: Floats, t: Targets) -> None:
    """Add what the guard rails mirror; ``mirror`` is scratch (9,)."""
    _, _, rails, rail_from, frame = roadside
    i0, i1, j0, j1 = _buckets(frame, t, settings[MAX_RANGE])
    for j in range(j0, j1 + 1):
        for i in range(i0, i1 + 1):
            where = j * int(frame[3]) + i
            if rail_from[where + 1] == rail_from[where] or not _in_front(frame, i, j, settings, t):
                continue
            for n in range(rail_from[where], rail_from[where + 1]):
                rail = rails[n]
                mirror[PX], mirror[PY] = rail[MIDDLE_X] - t.origin[0], rail[MIDDLE_Y] - t.origin[1]
                mirror[TX], mirror[TY], mirror[HALF_LENGTH], mirror[TOP] = rail[ALONG_X], rail[ALONG_Y], rail[HALF], RAIL_HEIGHT_M
                mirror[VX], mirror[VY], mirror[YAW] = 0.0, 0.0, 0.0
                if not outside(mirror[PX], mirror[PY], mirror[HALF_LENGTH], settings, t):
                    _add_images(mirror, 65_536 + n, -1, settings, t)


@leaf(fastmath={"contract"})
def _place_objects(objects: Floats, first: int, count: int, settings: Floats, t: Targets) -> None:
    """Put objects of the roadside into the lot; ``objects`` holds a row for each of their columns."""
    lot, ox, oy = t.lot, t.origin[0], t.origin[1]
    xs, ys, heights = objects[X, first : first + count], objects[Y, first : first + count], objects[HEIGHT, first : first + count]
    shares, kinds = objects[SHARE, first : first + count], objects[KIND, first : first + count]
    post, roadside, in_road = settings[POST], settings[ROADSIDE], settings[ROAD_OBJECT]
    for n in range(count):
        k = u8(n)
        lot[LOT_X + k], lot[LOT_Y + k], lot[LOT_HEIGHT + k] = xs[k] - ox, ys[k] - oy, heights[k]
        lot[LOT_RCS + k] = shares[k] * (post if kinds[k] == 0.0 else roadside if kinds[k] == 1.0 else in_road)


@inlined()
def _add_some(objects: Floats, first: int, count: int, settings: Floats, t: Targets) -> None:
    """Add the echoes of ``count`` objects, at most ``LOT``, that are strong enough."""
    lot = t.lot
    _place_objects(objects, first, count, settings, t)
    hear(count, 0.0, settings, t)
    cast_shade(count, -1, settings, t)
    for k in range(count):
        if lot[LOT_SNR + k] < WEAKEST_OTHER or t.counts[ECHOES] >= t.labels.shape[0] - 1:
            continue
        if t.shade[k] != 0:
            lot[LOT_SNR + k] = weakened(lot[LOT_SNR + k], shade_loss_db(k, -1, settings, t))
        if lot[LOT_SNR + k] >= WEAKEST_OTHER:
            doppler = -(t.velocity[0] * lot[LOT_X + k] + t.velocity[1] * lot[LOT_Y + k]) / lot[LOT_RANGE + k]
            keep(k, doppler, CLUTTER_NUMBERS + first + k, NOBODY, CLUTTER, t)


@leaf()
def add_objects(roadside: Any, settings: Floats, t: Targets) -> None:
    """Add the echoes of what stands along the road. Buckets of a row follow each other, and so do their objects."""
    objects, object_from, _, _, frame = roadside
    i0, i1, j0, j1 = _buckets(frame, t, settings[MAX_RANGE])
    for j in range(j0, j1 + 1):
        begin, end = i0, i1
        while begin <= end and not _in_front(frame, begin, j, settings, t):
            begin += 1
        while end >= begin and not _in_front(frame, end, j, settings, t):
            end -= 1
        if begin > end:
            continue
        first, last = object_from[j * int(frame[3]) + begin], object_from[j * int(frame[3]) + end + 1]
        while first < last:
            count = min(last - first, LOT)
            _add_some(objects, first, count, settings, t)
            first += count
