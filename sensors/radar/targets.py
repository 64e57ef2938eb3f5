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
from sensors.noise import bits_of, gaussian, hash2
from sensors.pose import SceneArrays, place_sensor, point_velocity
from sensors.radar.config import NEAREST_M
from sensors.radar.physics import WAVELENGTH_M, antenna_db, edge_loss_db, edge_margin_m, from_db, lobe_dbsm, lobing
from sensors.radar.settings import (
    COS_HALF_FOV,
    EDGE_SLOPE_DB,
    MAX_RANGE,
    MOST_LOBING,
    PER_HALF_BEAM,
    RAIN_DB_PER_M,
    RCS_SPREAD_DB,
    REFLECTION,
    SNR_AT_1M,
    UNDERBODY_DB,
    VIEW,
)
from sensors.scene import Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
u4, u8 = np.uint32, np.uint64

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
PLACES = 16
"""Scatterers in the columns of tables that loops run through in whole vectors; the last four never answer."""
OF_ALONG, OF_ACROSS, OF_OUT_ALONG, OF_OUT_ACROSS, OF_PEAK, OF_LOBE, OF_HEIGHT = np.ascontiguousarray(
    np.concatenate((SCATTERER, np.zeros((PLACES - SCATTERERS, SCATTERER.shape[1])))).T
)
"""The columns of ``SCATTERER``, each (PLACES,)."""
CLASS_DB = np.array([0.0, 6.0, -3.0])
"""By ``Kind``: car, lorry, obstacle."""
WHEEL = 8
"""First scatterer that an obstacle does not have."""
STRONGEST_M2 = 10.0 ** (0.1 * float(SCATTERER[:, PEAK].max()))
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
TINY = 1e-30
BOX = 14
BX, BY, BCOS, BSIN, BHALF_L, BHALF_W, BHEIGHT, BVX, BVY, BYAW, BRCS, BREACH, BNEAREST, BSTRENGTH = range(BOX)
BOXES, ECHOES, BLOCKERS = range(3)
"""Of ``Targets.counts``."""
LAST_BIT = 62
"""Of ``Targets.shade``, for all blockers from here on."""
LOT = 256
"""Most points that are looked at together."""
LOT_X, LOT_Y, LOT_HEIGHT, LOT_RCS, LOT_RANGE, LOT_AHEAD, LOT_LEFT, LOT_UP, LOT_SNR = (LOT * row for row in range(9))
"""First numbers of the rows of ``Targets.lot``: places from the radar in world axes, heights over the ground and RCS are given to ``hear``,
which finds the others, as of an echo."""


class Targets(NamedTuple):
    """What one thread works in: the vehicles near a radar and all echoes that reach it."""

    origin: Floats  # (3,) the radar in the world
    world_R_sensor: Floats  # (3, 3)
    velocity: Floats  # (2,) of the radar, world axes
    boxes: Floats  # (A, BOX) place from the radar, heading, half size, height, velocity, yaw rate, RCS [dB] over the places' own, reach
    #   from the middle, how near it comes, and SNR that 0 dBsm over the places' own have at 1 m at most
    who: Ints  # (A, 2) whose boxes these are, and their kind
    blockers: Ints  # (A,) boxes that may stand in the way of what the radar sees, nearest first
    columns: Floats  # (BOX, A) the columns of ``boxes`` once more, for loops over them
    met: NDArray[np.bool_]  # (A,) what a loop over them finds
    again: NDArray[np.bool_]  # (A,) a copy of that
    echoes: Floats  # (N, 7)
    labels: Ints  # (N, 3)
    lot: Floats  # (9 LOT,)
    shade: Ints  # (LOT,) which blockers may stand in the way of each point, as bits
    counts: Ints  # (3,) boxes, echoes, blockers


@kernel()
def make_targets(actors: int, others: int) -> Targets:
    """Make room for a scene of A actors, and for so many echoes besides theirs."""
    room = SCATTERERS * actors + others
    return Targets(
        np.empty(3),
        np.empty((3, 3)),
        np.empty(2),
        np.empty((actors, BOX)),
        np.empty((actors, 2), np.int64),
        np.empty(actors, np.int64),
        np.empty((BOX, actors)),
        np.empty(actors, np.bool_),
        np.empty(actors, np.bool_),
        np.empty((room, COLUMNS)),
        np.empty((room, 3), np.int64),
        np.empty(9 * LOT),
        np.empty(LOT, np.int64),
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
        if not scene.valid[b, a]:
            continue
        x, y = scene.position[b, a, 0] - t.origin[0], scene.position[b, a, 1] - t.origin[1]
        half_length, half_width = 0.5 * scene.size[b, a, 0], 0.5 * scene.size[b, a, 1]
        reach = settings[MAX_RANGE] + half_length + half_width
        if x * x + y * y > reach * reach:
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
        box[BSTRENGTH] = settings[SNR_AT_1M] * from_db(box[BRCS]) * settings[MOST_LOBING]
        for column in range(BOX):
            t.columns[column, count] = box[column]
        t.who[count, 0], t.who[count, 1] = a, kind
        count += 1
    t.counts[BOXES], t.counts[ECHOES] = count, 0
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
    for n in range(t.counts[BOXES]):
        nearest = t.boxes[n, BNEAREST]
        if outside(t.boxes[n, BX], t.boxes[n, BY], t.boxes[n, BREACH] + 0.5, settings, t):
            continue
        k = count
        while k > 0 and t.boxes[t.blockers[k - 1], BNEAREST] > nearest:
            t.blockers[k] = t.blockers[k - 1]
            k -= 1
        t.blockers[k] = n
        count += 1
    t.counts[BLOCKERS] = count


@inlined()
def _slab(start: float, run: float, half: float, near: float, far: float) -> tuple[float, float]:
    """Clip the interval [near, far] of a segment's parameter by -half <= start + t run <= half."""
    per_run = 1.0 / (run if run != 0.0 else TINY)
    a, b = (-half - start) * per_run, (half - start) * per_run
    return max(near, min(a, b)), min(far, max(a, b))


@inlined()
def _blocking_db(
    box: Floats, x: float, y: float, way: tuple[float, float, float, float], rise: float, widest: float, through_db: float
) -> float:
    """Two-way loss of a path by one vehicle.

    Args:
        box: The vehicle.
        x: Its place from where the path begins.
        y: The same.
        way: The path's direction on the ground (x, y), its length there, and the height at which it begins.
        rise: How much it rises.
        widest: Margin beside an edge at which nothing is lost.
        through_db: Loss of the path through or under the vehicle.
    """
    ex, ey, flat, start = way
    across = abs(x * ey - y * ex)
    turn_x, turn_y = box[BCOS] * ex + box[BSIN] * ey, box[BCOS] * ey - box[BSIN] * ex  # the path in the vehicle's axes
    extent = box[BHALF_L] * abs(turn_y) + box[BHALF_W] * abs(turn_x)
    if across > extent + widest:
        return 0.0
    sx, sy = -(box[BCOS] * x + box[BSIN] * y), box[BSIN] * x - box[BCOS] * y
    near, far = _slab(sx, turn_x * flat, box[BHALF_L] + widest, 0.0, 1.0)
    near, far = _slab(sy, turn_y * flat, box[BHALF_W] + widest, near, far)
    if near >= far:
        return 0.0
    middle = 0.5 * (near + far)
    lowest = start + (far if rise < 0.0 else near) * rise
    depth = min(extent - across, box[BHEIGHT] - lowest)
    before, behind = middle * flat, (1.0 - middle) * flat
    if through_db <= EDGE_AT_1_DB and depth > 0.0 and 2.0 * depth * depth * flat >= WAVELENGTH_M * before * behind:
        return through_db  # nu is 1 or more: no need to say how much more
    return float(min(edge_loss_db(depth, before, behind), through_db))


@inlined()
def _through_db(n: int, settings: Floats, t: Targets) -> float:
    """Two-way loss of the path through or under a vehicle."""
    return SOLID_DB if t.who[n, 1] == OBSTACLE else settings[UNDERBODY_DB]


@inlined()
def path_loss_db(
    p: tuple[float, float, float], q: tuple[float, float, float], skip: int, skip_too: int, settings: Floats, t: Targets
) -> float:
    """Two-way loss by all vehicles in the way of the straight path from p to q, each a place from the radar and a height over the ground.

    Two boxes do not count: those that the path begins or ends at; -1 for none.
    """
    dx, dy, loss = q[0] - p[0], q[1] - p[1], 0.0
    flat = math.sqrt(dx * dx + dy * dy)
    if flat < 1e-3:
        return 0.0
    widest = edge_margin_m(flat)
    way = (dx / flat, dy / flat, flat, p[2])
    if _near_path(p[0], p[1], way, widest, t) > 0:
        for n in range(t.counts[BOXES]):
            if t.met[n] and n != skip and n != skip_too:
                x, y = t.boxes[n, BX] - p[0], t.boxes[n, BY] - p[1]
                loss += _blocking_db(t.boxes[n], x, y, way, q[2] - p[2], widest, _through_db(n, settings, t))
    return loss


@leaf(fastmath={"contract"})
def _near_path(from_x: float, from_y: float, way: tuple[float, float, float, float], widest: float, t: Targets) -> int:
    """Say in ``met`` which boxes a path may touch; return how many."""
    count, (ex, ey, flat, _) = 0, way
    xs, ys, coses, sines = t.columns[BX], t.columns[BY], t.columns[BCOS], t.columns[BSIN]
    lengths, widths, met = t.columns[BHALF_L], t.columns[BHALF_W], t.met
    for n in range(t.counts[BOXES]):
        k = u8(n)
        x, y, cos, sin = xs[k] - from_x, ys[k] - from_y, coses[k], sines[k]
        turned, straight = abs(cos * ey - sin * ex), abs(cos * ex + sin * ey)
        aside, ahead = lengths[k] * turned + widths[k] * straight + widest, lengths[k] * straight + widths[k] * turned + widest
        along = x * ex + y * ey
        touched = (abs(x * ey - y * ex) <= aside) & (along >= -ahead) & (along <= flat + ahead)
        met[k] = touched
        count += touched
    return count


@leaf(fastmath={"contract"})
def cast_shade(count: int, own: int, settings: Floats, t: Targets) -> None:
    """Write into ``shade`` which blockers may stand in the way of each of the first ``count`` points of the lot; ``own`` does not count.

    As bits: of blocker m bit m, but ``LAST_BIT`` of all from there on.
    """
    lot, shade, slack = t.lot, t.shade, edge_margin_m(settings[MAX_RANGE])
    for n in range(count):
        shade[u8(n)] = 0
    for m in range(t.counts[BLOCKERS]):
        box = t.boxes[t.blockers[m]]
        x, y, cos, sin, half_length, half_width = box[BX], box[BY], box[BCOS], box[BSIN], box[BHALF_L], box[BHALF_W]
        reach, nearest, bit = box[BREACH] + slack, box[BNEAREST] - slack, 1 << min(m, LAST_BIT)
        if t.blockers[m] == own:
            continue
        for n in range(count):
            k = u8(n)
            px, py, distance = lot[LOT_X + k], lot[LOT_Y + k], lot[LOT_RANGE + k]  # the slanted path is longer than that on the ground
            wide = half_length * abs(cos * py - sin * px) + half_width * abs(cos * px + sin * py) + slack * distance
            hides = (abs(x * py - y * px) <= wide) & (x * px + y * py >= -reach * distance) & (nearest <= distance)
            shade[k] |= bit if hides else 0


@inlined()
def spare_db(snr: float) -> float:
    """What an echo can lose before it is below ``WEAKEST``, rounded up to 3 dB."""
    return 3.0103 * float((bits_of(np.float32(snr / WEAKEST)) >> 23) - 126)


@inlined()
def _shaded_db(
    m: int, x: float, y: float, way: tuple[float, float, float, float], rise: float, widest: float, settings: Floats, t: Targets
) -> float:
    """Two-way loss by blocker m."""
    n = t.blockers[m]
    loss: float = _blocking_db(t.boxes[n], t.boxes[n, BX], t.boxes[n, BY], way, rise, widest, _through_db(n, settings, t))
    return loss


@inlined()
def shade_loss_db(k: int, own: int, settings: Floats, t: Targets) -> float:
    """Two-way loss by all vehicles in the way of point k of the lot, for which ``cast_shade`` was called with the same ``own``.

    It is summed until the point's SNR is used up: of what is not heard it does not matter by how much.
    """
    x, y, rise, mask, loss = t.lot[LOT_X + k], t.lot[LOT_Y + k], t.lot[LOT_HEIGHT + k] - t.origin[2], t.shade[k], 0.0
    flat = math.sqrt(x * x + y * y)
    if flat < 1e-3:
        return 0.0
    most_db, widest, way = spare_db(t.lot[LOT_SNR + k]), edge_margin_m(flat), (x / flat, y / flat, flat, t.origin[2])
    while mask != 0 and loss <= most_db:
        m = (bits_of(np.float32(mask & -mask)) >> 23) - 127  # the lowest bit
        mask &= mask - 1
        if m < LAST_BIT:
            loss += _shaded_db(m, x, y, way, rise, widest, settings, t)
            continue
        while m < t.counts[BLOCKERS] and loss <= most_db:
            if t.blockers[m] != own:
                loss += _shaded_db(m, x, y, way, rise, widest, settings, t)
            m += 1
    return loss


@inlined()
def weakened(snr: float, loss_db: float) -> float:
    """An SNR less a loss."""
    return snr * from_db(-loss_db) if loss_db > 0.0 else snr


@leaf(fastmath={"contract"})
def hear(count: int, loss_db: float, settings: Floats, t: Targets) -> None:
    """Find ranges, angles and mean SNR of the first ``count`` points of the lot; SNR 0 where the radar does not look.

    Args:
        count: How many, at most ``LOT``.
        loss_db: Two-way loss of all, rain left out.
        settings: The radar's.
        t: Where the radar is, and the lot.
    """
    r, lot, up_m = t.world_R_sensor, t.lot, t.origin[2]
    ax, ay, az, lx, ly, lz, ux, uy, uz = r[0, 0], r[1, 0], r[2, 0], r[0, 1], r[1, 1], r[2, 1], r[0, 2], r[1, 2], r[2, 2]
    farthest, nearest, view = settings[MAX_RANGE] * settings[MAX_RANGE], NEAREST_M * NEAREST_M, settings[VIEW]
    slope, beam, rain, strength = settings[EDGE_SLOPE_DB], settings[PER_HALF_BEAM], settings[RAIN_DB_PER_M], settings[SNR_AT_1M]
    for n in range(count):
        k = u8(n)
        x, y, z = lot[LOT_X + k], lot[LOT_Y + k], lot[LOT_HEIGHT + k] - up_m
        ahead, left, up = ax * x + ay * y + az * z, lx * x + ly * y + lz * z, ux * x + uy * y + uz * z
        square, planar = max(x * x + y * y + z * z, TINY), ahead * ahead + left * left
        distance, per_square, per_planar = math.sqrt(square), 1.0 / square, 1.0 / math.sqrt(max(planar, TINY))
        cosine, sine = ahead * per_planar, up * distance * per_square
        gain = antenna_db(cosine, sine, slope, beam) - loss_db - rain * distance
        snr = strength * lot[LOT_RCS + k] * (per_square * per_square) * from_db(gain)  # as mean_snr has it
        seen = (square <= farthest) & (square >= nearest) & (ahead * abs(ahead) >= view * planar) & (planar > TINY)
        lot[LOT_RANGE + k], lot[LOT_AHEAD + k], lot[LOT_LEFT + k], lot[LOT_UP + k] = distance, cosine, left * per_planar, sine
        lot[LOT_SNR + k] = snr if seen else 0.0
    if settings[REFLECTION] > 0.0:
        for n in range(count):
            lot[LOT_SNR + n] *= lobing(settings[REFLECTION], up_m, lot[LOT_HEIGHT + n], lot[LOT_RANGE + n])


@leaf(fastmath={"contract"})
def spread(n: int, middle: tuple[float, float], along: tuple[float, float], across: tuple[float, float], t: Targets) -> None:
    """Put the scatterers of a box into the lot, with their RCS as they are seen from the radar; 0 where they do not face it.

    Args:
        n: The box; it is seen as if it stood elsewhere:
        middle: where it stands, from the radar,
        along: and the directions along it
        across: and across it to its left.
        t: The boxes, and the lot.
    """
    box, lot = t.boxes[n], t.lot
    half_length, half_width, half_height, class_db = box[BHALF_L], box[BHALF_W], 0.5 * box[BHEIGHT], box[BRCS]
    mx, my = middle
    lx, ly, cx, cy = along[0], along[1], across[0], across[1]
    x, y = -(mx * lx + my * ly), -(mx * cx + my * cy)  # the radar in the box's axes
    for place in range(PLACES):
        k = u8(place)
        ahead, left = OF_ALONG[k] * half_length, OF_ACROSS[k] * half_width
        dx, dy = x - ahead, y - left
        faces = OF_OUT_ALONG[k] * dx + OF_OUT_ACROSS[k] * dy
        facing = faces / math.sqrt(max(dx * dx + dy * dy, TINY))
        rcs = from_db(lobe_dbsm(OF_PEAK[k] + class_db, OF_LOBE[k], facing))
        lot[LOT_X + k], lot[LOT_Y + k] = mx + (lx * ahead + cx * left), my + (ly * ahead + cy * left)
        lot[LOT_HEIGHT + k] = min(OF_HEIGHT[k], half_height)
        lot[LOT_RCS + k] = rcs if facing > GRAZING else 0.0


@inlined()
def keep(k: int, doppler_mps: float, number: int, actor: int, origin: int, t: Targets) -> None:
    """Make a point of the lot an echo, and say where it comes from."""
    echo, labels, lot = t.echoes[t.counts[ECHOES]], t.labels[t.counts[ECHOES]], t.lot
    echo[RANGE], echo[AHEAD], echo[LEFT], echo[UP] = lot[LOT_RANGE + k], lot[LOT_AHEAD + k], lot[LOT_LEFT + k], lot[LOT_UP + k]
    echo[DOPPLER], echo[RCS], echo[SNR] = doppler_mps, lot[LOT_RCS + k], lot[LOT_SNR + k]
    labels[NUMBER], labels[ACTOR], labels[ORIGIN] = number, actor, origin
    t.counts[ECHOES] += 1


@inlined()
def arm_of(box: Floats, place: int) -> tuple[float, float]:
    """Where a scatterer is from its vehicle's middle, world axes."""
    along, across = OF_ALONG[place] * box[BHALF_L], OF_ACROSS[place] * box[BHALF_W]
    return box[BCOS] * along - box[BSIN] * across, box[BSIN] * along + box[BCOS] * across


@inlined()
def _add_scatterers_of(n: int, settings: Floats, t: Targets) -> None:
    """Add the echoes of box n."""
    box, lot = t.boxes[n], t.lot
    spread(n, (box[BX], box[BY]), (box[BCOS], box[BSIN]), (-box[BSIN], box[BCOS]), t)
    hear(PLACES, 0.0, settings, t)
    cast_shade(PLACES, n, settings, t)
    for place in range(WHEEL if t.who[n, 1] == OBSTACLE else SCATTERERS):
        if lot[LOT_SNR + place] < WEAKEST:
            continue
        if t.shade[place] != 0:
            lot[LOT_SNR + place] = weakened(lot[LOT_SNR + place], shade_loss_db(place, n, settings, t))
            if lot[LOT_SNR + place] < WEAKEST:
                continue
        arm_x, arm_y = arm_of(box, place)
        vx, vy = point_velocity(box[BVX], box[BVY], box[BYAW], arm_x, arm_y)
        towards = (vx - t.velocity[0]) * lot[LOT_X + place] + (vy - t.velocity[1]) * lot[LOT_Y + place]
        keep(place, towards / lot[LOT_RANGE + place], t.who[n, 0] * SCATTERERS + place, t.who[n, 0], TARGET, t)


@leaf()
def add_scatterers(settings: Floats, t: Targets) -> None:
    """Add the echoes of all vehicles that ``list_boxes`` found."""
    for n in range(t.counts[BOXES]):
        box = t.boxes[n]
        near = box[BNEAREST]
        if near > 0.0 and box[BSTRENGTH] * STRONGEST_M2 < WEAKEST * near * near * near * near:
            continue
        if not outside(box[BX], box[BY], box[BREACH], settings, t):
            _add_scatterers_of(n, settings, t)
