"""What a radar can see: scatterers on the vehicles, how strongly they answer, and which of them hide behind others.

A vehicle is eight scatterers at bumper height: the corners of its footprint and the middles of its four sides. Each answers by class
and aspect, RCS [dBsm] = peak + class + 14 (cos(aspect) - 1), where it faces the radar; it is seen where no other vehicle's box cuts the
line to it. SNR [dB] = 95 + RCS - 40 log10(R) + G(azimuth): a target of 10 dBsm at 200 m has 13 dB; the two-way pattern G falls by 6 dB
from the middle to the edge of the field of view.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel
from sensors.pose import SceneArrays, place_sensor, point_velocity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCATTERERS = 8
FEATURES = 6
RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(FEATURES)  # as sensors.frames.RADAR_FEATURES; powers linear while cells form
PLACES = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
PEAK_DBSM = np.array([2.0, 2.0, 2.0, 2.0, 8.0, 8.0, 10.0, 10.0])
CLASS_DB = np.array([0.0, 6.0, -3.0])
"""By ``Kind``."""
ASPECT_DB = 14.0
GRAZING = 0.05
"""Cosine of the aspect below which a scatterer does not answer."""
BUMPER_M = 0.5
SNR_AT_1M_DB = 95.0
EDGE_DB = -6.0
NEAREST_M = 0.2


class Targets(NamedTuple):
    """What one thread works in: the vehicles within range of a radar and their visible scatterers."""

    origin: Floats  # (3,) the radar in the world
    world_R_sensor: Floats  # (3, 3)
    velocity: Floats  # (2,) of the radar, world axes
    boxes: Floats  # (A, 7) x, y from the radar in world axes, cosine and sine of the heading, half length and width, height
    actors: Ints  # (A,) whose boxes these are
    seen: Floats  # (8 A, 6) features of the visible scatterers; RCS [m^2] and SNR are linear
    scatterer: Ints  # (8 A,) actor * 8 + place


@kernel()
def make_targets(actors: int) -> Targets:
    """Make room for a scene of A actors."""
    return Targets(
        np.empty(3),
        np.empty((3, 3)),
        np.empty(2),
        np.empty((actors, 7)),
        np.empty(actors, np.int64),
        np.empty((SCATTERERS * actors, FEATURES)),
        np.empty(SCATTERERS * actors, np.int64),
    )


@kernel()
def antenna_db(azimuth_rad: float, half_fov_rad: float) -> float:
    """Two-way gain relative to the middle of the field of view [dB]."""
    share = azimuth_rad / half_fov_rad
    return float(EDGE_DB * share * share)


@kernel()
def mean_snr_db(rcs_dbsm: float, range_m: float, azimuth_rad: float, half_fov_rad: float) -> float:
    """The radar equation in decibels: -40 dB a decade of range."""
    return float(SNR_AT_1M_DB + rcs_dbsm - 40.0 * math.log10(range_m) + antenna_db(azimuth_rad, half_fov_rad))


@kernel()
def _place(scene: SceneArrays, b: int, mount: Floats, t: Targets) -> None:
    """Find the radar's pose and velocity in world b."""
    place_sensor(scene.position[b, 0], scene.heading[b, 0], mount, t.origin, t.world_R_sensor)
    arm_x, arm_y = t.origin[0] - scene.position[b, 0, 0], t.origin[1] - scene.position[b, 0, 1]
    velocity = scene.velocity[b, 0]
    t.velocity[0], t.velocity[1] = point_velocity(velocity[0], velocity[1], scene.yaw_rate[b, 0], arm_x, arm_y)


@kernel()
def _list_boxes(scene: SceneArrays, b: int, max_range_m: float, t: Targets) -> int:
    """List the vehicles within range; the ego's own is not one."""
    count = 0
    for a in range(1, scene.valid.shape[1]):
        x, y = scene.position[b, a, 0] - t.origin[0], scene.position[b, a, 1] - t.origin[1]
        half_length, half_width = 0.5 * scene.size[b, a, 0], 0.5 * scene.size[b, a, 1]
        if scene.valid[b, a] and math.hypot(x, y) - math.hypot(half_length, half_width) < max_range_m:
            box = t.boxes[count]
            box[0], box[1] = x, y
            box[2], box[3] = math.cos(scene.heading[b, a]), math.sin(scene.heading[b, a])
            box[4], box[5], box[6] = half_length, half_width, scene.size[b, a, 2]
            t.actors[count] = a
            count += 1
    return count


@kernel()
def _slab(start: float, run: float, low: float, high: float, near: float, far: float) -> tuple[float, float]:
    """Clip the interval [near, far] of a segment's parameter by low <= start + t run <= high."""
    if run == 0.0:
        return (near, far) if low <= start <= high else (1.0, 0.0)
    a, b = (low - start) / run, (high - start) / run
    return max(near, min(a, b)), min(far, max(a, b))


@kernel()
def _hidden(x: float, y: float, z: float, own: int, count: int, t: Targets) -> bool:
    """Whether another vehicle's box cuts the line from the radar to the point (x, y, z - radar's height) relative to it."""
    square = x * x + y * y
    for n in range(count):
        box = t.boxes[n]
        if n == own:
            continue
        along, reach = box[0] * x + box[1] * y, box[4] + box[5]
        across = box[0] * y - box[1] * x
        if across * across > reach * reach * square or along < -reach * math.sqrt(square) or along > square + reach * math.sqrt(square):
            continue
        sx, sy = -(box[2] * box[0] + box[3] * box[1]), box[3] * box[0] - box[2] * box[1]
        near, far = _slab(sx, box[2] * x + box[3] * y, -box[4], box[4], 0.0, 1.0)
        near, far = _slab(sy, box[2] * y - box[3] * x, -box[5], box[5], near, far)
        near, far = _slab(t.origin[2], z, 0.0, box[6], near, far)
        if near < far:
            return True
    return False


@kernel()
def _add_scatterer(
    scene: SceneArrays, b: int, n: int, place: int, count: int, half_fov_rad: float, max_range_m: float, t: Targets, out: Floats
) -> bool:
    """Write the features of one scatterer of box n, and say whether the radar sees it."""
    box, actor = t.boxes[n], t.actors[n]
    along, across = PLACES[place, 0], PLACES[place, 1]
    arm_x, arm_y = box[2] * along * box[4] - box[3] * across * box[5], box[3] * along * box[4] + box[2] * across * box[5]
    x, y, z = box[0] + arm_x, box[1] + arm_y, min(BUMPER_M, 0.5 * box[6]) - t.origin[2]
    flat = math.hypot(x, y)
    outward_x, outward_y = box[2] * along - box[3] * across, box[3] * along + box[2] * across
    facing = -(outward_x * x + outward_y * y) / (max(flat, 1e-9) * math.hypot(along, across))
    distance = math.sqrt(flat * flat + z * z)
    if facing <= GRAZING or distance > max_range_m or distance < NEAREST_M:
        return False
    r = t.world_R_sensor
    ahead, left, up = (
        r[0, 0] * x + r[1, 0] * y + r[2, 0] * z,
        r[0, 1] * x + r[1, 1] * y + r[2, 1] * z,
        r[0, 2] * x + r[1, 2] * y + r[2, 2] * z,
    )
    azimuth = math.atan2(left, ahead)
    if abs(azimuth) > half_fov_rad or _hidden(x, y, z, n, count, t):
        return False
    velocity = scene.velocity[b, actor]
    vx, vy = point_velocity(velocity[0], velocity[1], scene.yaw_rate[b, actor], arm_x, arm_y)
    rcs = PEAK_DBSM[place] + CLASS_DB[scene.kind[b, actor]] + ASPECT_DB * (facing - 1.0)
    out[RANGE], out[AZIMUTH], out[ELEVATION] = distance, azimuth, math.asin(up / distance)
    out[DOPPLER] = ((vx - t.velocity[0]) * x + (vy - t.velocity[1]) * y) / distance
    out[RCS], out[SNR] = 10.0 ** (0.1 * rcs), 10.0 ** (0.1 * mean_snr_db(rcs, distance, azimuth, half_fov_rad))
    return True


@kernel()
def find_scatterers(scene: SceneArrays, b: int, mount: Floats, half_fov_rad: float, max_range_m: float, t: Targets) -> int:
    """List the scatterers that a radar sees in world b.

    Args:
        scene: The worlds.
        b: Which of them.
        mount: ``ego_T_sensor``, (4, 4).
        half_fov_rad: The radar looks to azimuths from minus to plus this.
        max_range_m: It sees no farther.
        t: Written.

    Returns:
        How many there are.
    """
    _place(scene, b, mount, t)
    boxes, found = _list_boxes(scene, b, max_range_m, t), 0
    for n in range(boxes):
        for place in range(SCATTERERS):
            if _add_scatterer(scene, b, n, place, boxes, half_fov_rad, max_range_m, t, t.seen[found]):
                t.scatterer[found] = t.actors[n] * SCATTERERS + place
                found += 1
    return found
