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
from sensors.radar.physics import from_db, lobe_dbsm, to_db
from sensors.radar.roadside import ALONG_X, ALONG_Y, HALF, HEIGHT, KIND, MIDDLE_X, MIDDLE_Y, RAIL_HEIGHT_M, SHARE, X, Y
from sensors.radar.settings import COS_HALF_FOV, MAX_RANGE, MIRROR_DB, POST, RAIN_DB_PER_M, SNR_AT_1M
from sensors.radar.targets import (
    BCOS,
    BHALF_L,
    BHALF_W,
    BHEIGHT,
    BRCS,
    BREACH,
    BSIN,
    BVX,
    BVY,
    BX,
    BY,
    BYAW,
    CLUTTER,
    DOPPLER,
    GHOST,
    GRAZING,
    LOBE,
    NOBODY,
    OBSTACLE,
    PEAK,
    PEAK_M2,
    RANGE,
    SCATTERER,
    SCATTERERS,
    SNR,
    SOLID_DB,
    STRONGEST_M2,
    WEAKEST_OTHER,
    WHEEL,
    Targets,
    aim,
    facing_of,
    label,
    leg_loss_db,
    loudness,
    outside,
    scatterer_of,
    sight_loss_db,
    weaken,
)

Floats = NDArray[np.float64]
u4 = np.uint32

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
def image_of(mirror: Floats, x: float, y: float) -> tuple[float, float, float]:
    """Mirror a point; and how far in front of the mirror's line it lies (negative: on its right)."""
    depth = (y - mirror[PY]) * mirror[TX] - (x - mirror[PX]) * mirror[TY]
    return x + 2.0 * depth * mirror[TY], y - 2.0 * depth * mirror[TX], depth


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


@inlined()
def bounce(mirror: Floats, x: float, y: float, slack_m: float) -> float:
    """Share of the way to the image of (x, y) at which the path from the radar at (0, 0) meets the mirror; -1 where it does not."""
    ix, iy, depth = image_of(mirror, x, y)
    own = mirror[PX] * mirror[TY] - mirror[PY] * mirror[TX]  # how far the radar is in front
    if own * depth <= 0.0:
        return -1.0
    share = own / (own + depth)
    along = (share * ix - mirror[PX]) * mirror[TX] + (share * iy - mirror[PY]) * mirror[TY]
    return share if abs(along) <= mirror[HALF_LENGTH] + slack_m else -1.0


@inlined()
def _add_image(
    mirror: Floats, number: int, own: int, n: int, place: int, strength: float, legs_db: float, settings: Floats, t: Targets
) -> float:
    """Add the mirror image of one scatterer of box n, if the radar can see it.

    Args:
        mirror: What mirrors it.
        number: The mirror's number.
        own: The box that the mirror belongs to, -1 for none.
        n: The box that is mirrored.
        place: Which of its scatterers.
        strength: SNR of 1 m^2 at 1 m, of this box in this mirror, straight ahead.
        legs_db: What vehicles in the way cost, taken as the same for all of a box; negative while it is not known.
        settings: The radar's.
        t: Where the echo goes.

    Returns:
        ``legs_db`` as far as it is known now.
    """
    box, echo = t.boxes[n], t.echoes[t.counts[1]]
    arm_x, arm_y, height, out_x, out_y = scatterer_of(box, place)
    x, y = box[BX] + arm_x, box[BY] + arm_y
    ix, iy, _ = image_of(mirror, x, y)
    square, faces = ix * ix + iy * iy, out_y * mirror[TX] - out_x * mirror[TY]
    out_x, out_y = out_x + 2.0 * faces * mirror[TY], out_y - 2.0 * faces * mirror[TX]
    if out_x * ix + out_y * iy >= 0.0 or strength * PEAK_M2[place] < WEAKEST_OTHER * square * square:
        return legs_db
    share, facing = bounce(mirror, x, y, 0.0), facing_of(out_x, out_y, ix, iy)
    if share < 0.0 or facing <= GRAZING or t.origin[2] + share * (height - t.origin[2]) > mirror[TOP]:
        return legs_db
    if not aim(ix, iy, height - t.origin[2], settings, t, echo):
        return legs_db
    rcs = from_db(lobe_dbsm(SCATTERER[place, PEAK] + box[BRCS], SCATTERER[place, LOBE], facing))
    loss = settings[MIRROR_DB] + settings[RAIN_DB_PER_M] * echo[RANGE]
    if loudness(rcs, loss, height, settings, t, echo) < WEAKEST_OTHER:
        return legs_db
    if legs_db < 0.0:
        corner = (share * ix, share * iy, t.origin[2] + share * (height - t.origin[2]))
        legs_db = sight_loss_db(corner[0], corner[1], corner[2], own, SOLID_DB, settings, t)
        legs_db += leg_loss_db(corner, (x, y, height), own, n, settings, t)
    weaken(legs_db, echo)
    if echo[SNR] >= WEAKEST_OTHER:
        vx, vy = point_velocity(box[BVX], box[BVY], box[BYAW], arm_x, arm_y)
        wx, wy = image_velocity(mirror, x, y, vx, vy)
        echo[DOPPLER] = ((wx - t.velocity[0]) * ix + (wy - t.velocity[1]) * iy) / echo[RANGE]
        draw = hash2(u4(t.who[n, 0] * SCATTERERS + place), u4(number), u4(0)) >> u4(6)
        label(t, GHOST_NUMBERS + draw, NOBODY, GHOST)
    return legs_db


@leaf()
def _add_images(mirror: Floats, number: int, own: int, settings: Floats, t: Targets) -> None:
    """Add what one mirror shows of all vehicles but the one that it belongs to (-1: none)."""
    for n in range(t.counts[0]):
        box, reach = t.boxes[n], t.boxes[n, BREACH]
        if n == own or bounce(mirror, box[BX], box[BY], reach) < 0.0:
            continue
        ix, iy, _ = image_of(mirror, box[BX], box[BY])
        if outside(ix, iy, reach, settings, t):
            continue
        strength, near = settings[SNR_AT_1M] * from_db(box[BRCS] - settings[MIRROR_DB]), math.sqrt(ix * ix + iy * iy) - reach
        if near > 0.0 and strength * STRONGEST_M2 < WEAKEST_OTHER * near * near * near * near:
            continue
        legs_db = -1.0
        for place in range(WHEEL if t.who[n, 1] == OBSTACLE else SCATTERERS):
            if t.counts[1] < t.labels.shape[0] - 1:
                legs_db = _add_image(mirror, number, own, n, place, strength, legs_db, settings, t)


@leaf()
def add_images_in_vehicles(mirror: Floats, settings: Floats, t: Targets) -> None:
    """Add what the sides of long vehicles mirror; ``mirror`` is scratch (9,)."""
    for n in range(t.counts[0]):
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


@inlined()
def _add_object(row: Floats, number: int, settings: Floats, t: Targets) -> None:
    """Add the echo of one thing that stands still, if it is strong enough."""
    x, y, height = row[X] - t.origin[0], row[Y] - t.origin[1], row[HEIGHT]
    flat, rcs = x * x + y * y, row[SHARE] * settings[POST + int(row[KIND])]
    if settings[SNR_AT_1M] * rcs < WEAKEST_OTHER * flat * flat:
        return
    echo = t.echoes[t.counts[1]]
    if not aim(x, y, height - t.origin[2], settings, t, echo):
        return
    spare_db = to_db(loudness(rcs, settings[RAIN_DB_PER_M] * echo[RANGE], height, settings, t, echo) / WEAKEST_OTHER)
    if spare_db < 0.0:
        return
    weaken(sight_loss_db(x, y, height, -1, spare_db, settings, t), echo)
    if echo[SNR] >= WEAKEST_OTHER:
        echo[DOPPLER] = -(t.velocity[0] * x + t.velocity[1] * y) / echo[RANGE]
        label(t, CLUTTER_NUMBERS + number, NOBODY, CLUTTER)


@leaf()
def add_objects(roadside: Any, settings: Floats, t: Targets) -> None:
    """Add the echoes of what stands along the road."""
    objects, object_from, _, _, frame = roadside
    i0, i1, j0, j1 = _buckets(frame, t, settings[MAX_RANGE])
    for j in range(j0, j1 + 1):
        for i in range(i0, i1 + 1):
            where = j * int(frame[3]) + i
            if object_from[where + 1] == object_from[where] or not _in_front(frame, i, j, settings, t):
                continue
            for n in range(object_from[where], object_from[where + 1]):
                if t.counts[1] < t.labels.shape[0] - 1:
                    _add_object(objects[n], n, settings, t)
