"""The echoes of actors: where their scatterers are, how strongly they answer, and what stands in the way.

A vehicle is twelve scatterers at bumper height: the corners of its footprint, the plates of front and rear, its two sides, and four wheels
(virtual scattering centres, as ray tracing of car bodies finds them: Schuler, Becker and Wiesbeck, IEEE Trans. AP 56, 2008). Each
answers by class and aspect where it faces the radar, RCS [dBsm] = peak + class - lobe (1 - cos(aspect)); together a car's rear makes about
9 dBsm. The peaks are typical published values rounded, not a measured car. A path that another vehicle stands across loses as
much as it takes to bend round that vehicle's edge or roof, or to pass underneath it, whichever is less.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, kernel, leaf
from sensors.noise import gaussian, hash2
from sensors.pose import SceneArrays, place_sensor, point_velocity
from sensors.radar.config import NEAREST_M
from sensors.radar.physics import WAVELENGTH_M, antenna_db, edge_loss_db, edge_margin_m, from_db, lobe_dbsm, lobing, mean_snr, to_db
from sensors.radar.settings import (
    COS_HALF_FOV,
    EDGE_DB,
    ELEVATION_BEAM,
    MAX_RANGE,
    RAIN_DB_PER_M,
    RCS_SPREAD_DB,
    REFLECTION,
    SNR_AT_1M,
    UNDERBODY_DB,
)
from sensors.scene import Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
u4 = np.uint32

SCATTERERS = 12
# along and across as shares of half length and half width, outward direction along and across, peak [dBsm], lobe [dB], height [m]
ALONG, ACROSS, OUT_ALONG, OUT_ACROSS, PEAK, LOBE, HEIGHT = range(7)
_S = math.sqrt(0.5)
SCATTERER = np.array(
    [
        *((x, y, _S * x, _S * y, 2.0, 14.0, 0.5) for x in (1.0, -1.0) for y in (1.0, -1.0)),  # corners
        *((x, 0.0, x, 0.0, 8.0, 14.0, 0.5) for x in (1.0, -1.0)),  # plates
        *((0.0, y, 0.0, y, 12.0, 18.0, 0.5) for y in (1.0, -1.0)),  # sides
        *((x, y, 0.0, y, -3.0, 8.0, 0.3) for x in (0.6, -0.6) for y in (1.0, -1.0)),  # wheels
    ]
)
CLASS_DB = np.array([0.0, 6.0, -3.0])
"""By ``Kind``: car, lorry, obstacle."""
WHEEL = 8
"""First scatterer that an obstacle does not have."""
PEAK_M2 = 10.0 ** (0.1 * SCATTERER[:, PEAK])
STRONGEST_M2 = float(PEAK_M2.max())
EDGE_AT_1_DB = 27.0
"""Two-way loss at an edge is more than this from nu = 1 on."""
SOLID_DB = 60.0
"""Two-way loss through an obstacle, which stands on the ground."""
GRAZING = 0.05
"""Cosine of the aspect below which a scatterer does not answer."""
WEAKEST, WEAKEST_OTHER = 0.1, 1.0
"""Least mean SNR that is followed up, of actors and of all else: found alone with Pd of 4e-7 and 3e-4 at Pfa of 1e-7."""
OBSTACLE = int(Kind.OBSTACLE)

TARGET, GHOST, CLUTTER, FALSE_ALARM = 1, 2, 3, 4  # as sensors.frames.Origin
COLUMNS = 7
RANGE, AHEAD, LEFT, UP, DOPPLER, RCS, SNR = range(COLUMNS)
"""Of an echo; AHEAD and LEFT are cosine and sine of the azimuth, UP the sine of the elevation; RCS [m^2] and SNR linear."""
NUMBER, ACTOR, ORIGIN = range(3)
"""Of its labels: the counter of its random draws, its actor or -1, its origin."""
NOBODY = -1
BX, BY, BCOS, BSIN, BHALF_L, BHALF_W, BHEIGHT, BVX, BVY, BYAW, BRCS, BREACH, BNEAREST = range(13)


class Targets(NamedTuple):
    """What one thread works in: the vehicles near a radar and all echoes that reach it."""

    origin: Floats  # (3,) the radar in the world
    world_R_sensor: Floats  # (3, 3)
    velocity: Floats  # (2,) of the radar, world axes
    boxes: Floats  # (A, 13) place from the radar, heading, half size, height, velocity, yaw rate, RCS [dB] over the places' own, reach
    #   from the middle, and how near it comes
    who: Ints  # (A, 2) whose boxes these are, and their kind
    blockers: Ints  # (A,) boxes that may stand in the way of what the radar sees, nearest first
    echoes: Floats  # (N, 7)
    labels: Ints  # (N, 3)
    counts: Ints  # (3,) boxes, echoes, blockers


@kernel()
def make_targets(actors: int, others: int) -> Targets:
    """Make room for a scene of A actors, and for so many echoes besides theirs."""
    room = SCATTERERS * actors + others
    return Targets(
        np.empty(3),
        np.empty((3, 3)),
        np.empty(2),
        np.empty((actors, 13)),
        np.empty((actors, 2), np.int64),
        np.empty(actors, np.int64),
        np.empty((room, COLUMNS)),
        np.empty((room, 3), np.int64),
        np.zeros(3, np.int64),
    )


@inlined()
def place_radar(scene: SceneArrays, b: int, mount: Floats, t: Targets) -> None:
    """Find the radar's pose and velocity in world b."""
    place_sensor(scene.position[b, 0], scene.heading[b, 0], mount, t.origin, t.world_R_sensor)
    arm_x, arm_y = t.origin[0] - scene.position[b, 0, 0], t.origin[1] - scene.position[b, 0, 1]
    velocity = scene.velocity[b, 0]
    t.velocity[0], t.velocity[1] = point_velocity(velocity[0], velocity[1], scene.yaw_rate[b, 0], arm_x, arm_y)


@leaf()
def list_boxes(scene: SceneArrays, b: int, settings: Floats, spread: tuple[np.uint32, np.uint32], t: Targets) -> None:
    """List the vehicles within range; the ego's own is not one."""
    count = 0
    for a in range(1, scene.valid.shape[1]):
        x, y = scene.position[b, a, 0] - t.origin[0], scene.position[b, a, 1] - t.origin[1]
        half_length, half_width = 0.5 * scene.size[b, a, 0], 0.5 * scene.size[b, a, 1]
        reach = settings[MAX_RANGE] + half_length + half_width
        if not scene.valid[b, a] or x * x + y * y > reach * reach:
            continue
        box, kind = t.boxes[count], scene.kind[b, a]
        box[BX], box[BY] = x, y
        box[BCOS], box[BSIN] = math.cos(scene.heading[b, a]), math.sin(scene.heading[b, a])
        box[BHALF_L], box[BHALF_W], box[BHEIGHT] = half_length, half_width, scene.size[b, a, 2]
        box[BVX], box[BVY], box[BYAW] = scene.velocity[b, a, 0], scene.velocity[b, a, 1], scene.yaw_rate[b, a]
        box[BRCS] = CLASS_DB[kind]
        if settings[RCS_SPREAD_DB] > 0.0:
            box[BRCS] += settings[RCS_SPREAD_DB] * gaussian(hash2(u4(a), spread[0], spread[1]))
        box[BREACH] = half_length + half_width
        box[BNEAREST] = math.sqrt(x * x + y * y) - box[BREACH]
        t.who[count, 0], t.who[count, 1] = a, kind
        count += 1
    t.counts[0], t.counts[1] = count, 0
    _list_blockers(settings, t)


@inlined()
def outside(x: float, y: float, reach_m: float, settings: Floats, t: Targets) -> bool:
    """Whether all within reach of (x, y) is beyond the radar's range or beside its field of view."""
    distance = math.sqrt(x * x + y * y)
    ahead = t.world_R_sensor[0, 0] * x + t.world_R_sensor[1, 0] * y
    cos = settings[COS_HALF_FOV]
    # a tilted radar's azimuth is not the ground's, hence the slack that grows with distance
    tilt = 1.0 - t.world_R_sensor[2, 2] + abs(t.world_R_sensor[2, 0]) + abs(t.world_R_sensor[2, 1])
    return bool(distance - reach_m > settings[MAX_RANGE] or ahead - cos * distance < -(1.0 + abs(cos)) * reach_m - tilt * (distance + 5.0))


@leaf()
def _list_blockers(settings: Floats, t: Targets) -> None:
    """List the boxes that may stand in the way of what the radar sees."""
    count = 0
    for n in range(t.counts[0]):
        nearest = t.boxes[n, BNEAREST]
        if outside(t.boxes[n, BX], t.boxes[n, BY], t.boxes[n, BREACH] + 0.5, settings, t):
            continue
        k = count
        while k > 0 and t.boxes[t.blockers[k - 1], BNEAREST] > nearest:
            t.blockers[k] = t.blockers[k - 1]
            k -= 1
        t.blockers[k] = n
        count += 1
    t.counts[2] = count


@inlined()
def _slab(start: float, run: float, low: float, high: float, near: float, far: float) -> tuple[float, float]:
    """Clip the interval [near, far] of a segment's parameter by low <= start + t run <= high."""
    if run == 0.0:
        return (near, far) if low <= start <= high else (1.0, 0.0)
    a, b = (low - start) / run, (high - start) / run
    return max(near, min(a, b)), min(far, max(a, b))


@inlined()
def _blocking_db(box: Floats, p: tuple[float, float, float], d: tuple[float, float, float], flat: float, through_db: float) -> float:
    """Two-way loss of the path from p along d (heights over the ground; ``flat`` long on the ground) by one vehicle."""
    x, y = box[BX] - p[0], box[BY] - p[1]
    ex, ey = d[0] / flat, d[1] / flat
    across = abs(x * ey - y * ex)
    turn_x, turn_y = box[BCOS] * ex + box[BSIN] * ey, box[BCOS] * ey - box[BSIN] * ex  # the path in the vehicle's axes
    extent = box[BHALF_L] * abs(turn_y) + box[BHALF_W] * abs(turn_x)
    widest = edge_margin_m(0.5 * flat, 0.5 * flat)
    if across > extent + widest:
        return 0.0
    sx, sy = -(box[BCOS] * x + box[BSIN] * y), box[BSIN] * x - box[BCOS] * y
    near, far = _slab(sx, turn_x * flat, -box[BHALF_L] - widest, box[BHALF_L] + widest, 0.0, 1.0)
    near, far = _slab(sy, turn_y * flat, -box[BHALF_W] - widest, box[BHALF_W] + widest, near, far)
    if near >= far:
        return 0.0
    middle = 0.5 * (near + far)
    lowest = p[2] + (far if d[2] < 0.0 else near) * d[2]
    depth = min(extent - across, box[BHEIGHT] - lowest)
    before, behind = middle * flat, (1.0 - middle) * flat
    if through_db <= EDGE_AT_1_DB and depth > 0.0 and 2.0 * depth * depth * flat >= WAVELENGTH_M * before * behind:
        return through_db  # nu is 1 or more: no need to say how much more
    return float(min(edge_loss_db(depth, before, behind), through_db))


@inlined()
def _through_db(n: int, settings: Floats, t: Targets) -> float:
    """Two-way loss of the path through or under a vehicle."""
    return SOLID_DB if t.who[n, 1] == OBSTACLE else settings[UNDERBODY_DB]


@leaf()
def sight_loss_db(x: float, y: float, height_m: float, own: int, most_db: float, settings: Floats, t: Targets) -> float:
    """Two-way loss by all vehicles in the way of the straight path from the radar to a point.

    Args:
        x: The point from the radar, world axes.
        y: The same.
        height_m: Its height over the ground.
        own: The box that it is part of, which does not count; -1 for none.
        most_db: What the echo can lose; of more, it does not matter how much.
        settings: The radar's.
        t: The boxes.
    """
    square, loss = x * x + y * y, 0.0
    if square < 1e-6:
        return 0.0
    flat = math.sqrt(square)
    for k in range(t.counts[2]):
        n = t.blockers[k]
        if t.boxes[n, BNEAREST] > flat + 0.5 or loss > most_db:
            break
        bx, by, reach = t.boxes[n, BX], t.boxes[n, BY], t.boxes[n, BREACH] + 0.5
        across = bx * y - by * x
        if across * across > reach * reach * square or bx * x + by * y < -reach * flat or n == own:
            continue
        ends = (0.0, 0.0, t.origin[2]), (x, y, height_m - t.origin[2])
        loss += _blocking_db(t.boxes[n], ends[0], ends[1], flat, _through_db(n, settings, t))
    return loss


@leaf()
def leg_loss_db(
    p: tuple[float, float, float], q: tuple[float, float, float], skip: int, skip_too: int, settings: Floats, t: Targets
) -> float:
    """The same for the path from p to q, each a place from the radar and a height over the ground; two boxes do not count."""
    dx, dy, dz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    square, loss = dx * dx + dy * dy, 0.0
    if square < 1e-6:
        return 0.0
    flat = math.sqrt(square)
    for n in range(t.counts[0]):
        x, y, reach = t.boxes[n, BX] - p[0], t.boxes[n, BY] - p[1], t.boxes[n, BREACH] + 0.5
        along, across = x * dx + y * dy, x * dy - y * dx
        if across * across > reach * reach * square or n == skip or n == skip_too:
            continue
        if along < -reach * flat or along > square + reach * flat:
            continue
        loss += _blocking_db(t.boxes[n], p, (dx, dy, dz), flat, _through_db(n, settings, t))
    return loss


@inlined()
def aim(x: float, y: float, z: float, settings: Floats, t: Targets, echo: Floats) -> bool:
    """Write where a point (x, y, z from the radar, world axes) is in range and angles; say whether the radar looks there."""
    square = x * x + y * y + z * z
    if square > settings[MAX_RANGE] * settings[MAX_RANGE] or square < NEAREST_M * NEAREST_M:
        return False
    r, distance = t.world_R_sensor, math.sqrt(square)
    ahead, left = r[0, 0] * x + r[1, 0] * y + r[2, 0] * z, r[0, 1] * x + r[1, 1] * y + r[2, 1] * z
    flat = math.sqrt(ahead * ahead + left * left)
    if ahead < settings[COS_HALF_FOV] * flat or flat == 0.0:
        return False
    echo[RANGE], echo[AHEAD], echo[LEFT] = distance, ahead / flat, left / flat
    echo[UP] = (r[0, 2] * x + r[1, 2] * y + r[2, 2] * z) / distance
    return True


@inlined()
def loudness(rcs_m2: float, loss_db: float, height_m: float, settings: Floats, t: Targets, echo: Floats) -> float:
    """Write RCS and mean SNR of an echo that ``aim`` has placed; return the SNR."""
    gain = antenna_db(echo[AHEAD], echo[UP], settings[COS_HALF_FOV], settings[EDGE_DB], settings[ELEVATION_BEAM]) - loss_db
    snr = mean_snr(settings[SNR_AT_1M], rcs_m2, echo[RANGE], gain)
    if settings[REFLECTION] > 0.0:
        snr *= lobing(settings[REFLECTION], t.origin[2], height_m, echo[RANGE])
    echo[RCS], echo[SNR] = rcs_m2, snr
    return float(snr)


@inlined()
def weaken(loss_db: float, echo: Floats) -> None:
    """Take a loss off an echo."""
    if loss_db > 0.0:
        echo[SNR] *= from_db(-loss_db)


@inlined()
def scatterer_of(box: Floats, place: int) -> tuple[float, float, float, float, float]:
    """Where a scatterer is from its vehicle's centre (x, y, height) and which way it faces (x, y), world axes."""
    s = SCATTERER[place]
    along, across = s[ALONG] * box[BHALF_L], s[ACROSS] * box[BHALF_W]
    return (
        box[BCOS] * along - box[BSIN] * across,
        box[BSIN] * along + box[BCOS] * across,
        min(s[HEIGHT], 0.5 * box[BHEIGHT]),
        box[BCOS] * s[OUT_ALONG] - box[BSIN] * s[OUT_ACROSS],
        box[BSIN] * s[OUT_ALONG] + box[BCOS] * s[OUT_ACROSS],
    )


@inlined()
def facing_of(out_x: float, out_y: float, x: float, y: float) -> float:
    """Cosine of the aspect under which a scatterer at (x, y) that faces ``out`` is seen from (0, 0)."""
    flat = math.sqrt(x * x + y * y)
    return -(out_x * x + out_y * y) / flat if flat > 1e-9 else 0.0


@inlined()
def label(t: Targets, number: int, actor: int, origin: int) -> None:
    """Say where the echo that was just written comes from, and keep it."""
    labels = t.labels[t.counts[1]]
    labels[NUMBER], labels[ACTOR], labels[ORIGIN] = number, actor, origin
    t.counts[1] += 1


@inlined()
def _add_scatterer(n: int, place: int, settings: Floats, t: Targets) -> None:
    """Add the echo of one scatterer of box n, if the radar can see it."""
    box, echo = t.boxes[n], t.echoes[t.counts[1]]
    arm_x, arm_y, height, out_x, out_y = scatterer_of(box, place)
    x, y = box[BX] + arm_x, box[BY] + arm_y
    facing = facing_of(out_x, out_y, x, y)
    if facing <= GRAZING or not aim(x, y, height - t.origin[2], settings, t, echo):
        return
    rcs = from_db(lobe_dbsm(SCATTERER[place, PEAK] + box[BRCS], SCATTERER[place, LOBE], facing))
    spare_db = to_db(loudness(rcs, settings[RAIN_DB_PER_M] * echo[RANGE], height, settings, t, echo) / WEAKEST)
    weaken(sight_loss_db(x, y, height, n, spare_db, settings, t), echo)
    if echo[SNR] < WEAKEST:
        return
    vx, vy = point_velocity(box[BVX], box[BVY], box[BYAW], arm_x, arm_y)
    echo[DOPPLER] = ((vx - t.velocity[0]) * x + (vy - t.velocity[1]) * y) / echo[RANGE]
    label(t, t.who[n, 0] * SCATTERERS + place, t.who[n, 0], TARGET)


@leaf()
def add_scatterers(settings: Floats, t: Targets) -> None:
    """Add the echoes of all vehicles that ``list_boxes`` found."""
    for n in range(t.counts[0]):
        if outside(t.boxes[n, BX], t.boxes[n, BY], t.boxes[n, BREACH], settings, t):
            continue
        places = WHEEL if t.who[n, 1] == OBSTACLE else SCATTERERS
        for place in range(places):
            _add_scatterer(n, place, settings, t)
