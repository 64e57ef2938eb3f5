"""Radars: point detections of a scene's vehicles and of what surrounds them.

Doppler is the rate of change of the range, positive for what moves away: relative velocity along the line of sight, with the motion and
the turning of both cars. What a radar meets is in ``targets`` and ``surroundings``, what its detector makes of it in ``cells``, the
laws in ``physics``, the constants in ``config``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.faults import Modality
from sensors.frames import RADAR_FEATURES, RadarFrames
from sensors.jit import inlined, kernel
from sensors.launch import over_worlds
from sensors.noise import sensor_number, world_key
from sensors.pose import SceneArrays, scene_arrays
from sensors.radar.cells import Found, add_false_alarms, add_ground, copy_exactly, detect, make_found, measure, report
from sensors.radar.config import Radar
from sensors.radar.physics import rain_db_per_m
from sensors.radar.roadside import roadside_of
from sensors.radar.settings import CLUTTER, GHOSTS, NOISE, RAIN, RAIN_DB_PER_M, WIDTH, settings_and_mounts
from sensors.radar.surroundings import MIRROR, MOST_OTHERS, add_images_in_rails, add_images_in_vehicles, add_objects
from sensors.radar.targets import Targets, add_scatterers, list_boxes, make_targets, place_radar
from sensors.scene import Scene

Floats = NDArray[np.float64]

FLUCTUATION_STREAM, ERROR_STREAM, FALSE_STREAM, GROUND_STREAM, SPREAD_STREAM = range(5)
FIRST_SENSOR = sensor_number(Modality.RADAR, 0)


class Detections(NamedTuple):
    """Where the kernels write."""

    detections: NDArray[np.float32]  # (B, K, D, 6)
    mask: NDArray[np.uint8]  # (B, K, D)
    actor: NDArray[np.int16]  # (B, K, D)
    origin: NDArray[np.int8]  # (B, K, D)


class Room(NamedTuple):
    """What one thread works in."""

    targets: Targets
    found: Found
    mirror: Floats  # (MIRROR,)
    radar: Floats  # (WIDTH,) settings of the radar at work


@inlined()
def scan_one(
    b: int,
    k: int,
    scene: SceneArrays,
    rain_mm_per_h: NDArray[np.float32],
    roadside: Any,
    settings: Floats,
    mounts: Floats,
    room: Room,
    out: Detections,
) -> None:
    """Scan world b with radar k, in a thread's own room."""
    t, found, mirror, radar = room
    for n in range(settings.shape[1]):
        radar[n] = settings[k, n]
    radar[RAIN_DB_PER_M] = radar[RAIN] * rain_db_per_m(rain_mm_per_h[b])
    seed, step, sensor = scene.episode_seed[b], scene.step[b], FIRST_SENSOR + k
    place_radar(scene, b, mounts[k], t)
    list_boxes(scene, b, radar, world_key(seed, 0, FIRST_SENSOR, SPREAD_STREAM), t)
    add_scatterers(radar, t)
    if radar[GHOSTS] > 0.0:
        add_images_in_vehicles(mirror, radar, t)
        add_images_in_rails(roadside, mirror, radar, t)
    if radar[CLUTTER] > 0.0:
        add_objects(roadside, radar, t)
    if radar[NOISE] > 0.0:
        count = detect(t, world_key(seed, step, sensor, FLUCTUATION_STREAM), radar, found)
        if roadside[0].shape[1]:
            count = add_ground(world_key(seed, step, sensor, GROUND_STREAM), radar, t, found, count)
        measure(count, world_key(seed, step, sensor, ERROR_STREAM), radar, found)
        count = add_false_alarms(world_key(seed, step, sensor, FALSE_STREAM), radar, found, count)
    else:
        count = copy_exactly(t, found)
    report(found, count, out.detections[b, k], out.mask[b, k], out.actor[b, k], out.origin[b, k])


@kernel()
def make_room(actors: int) -> Room:
    """Make a thread's room for scenes of A actors."""
    t = make_targets(actors, MOST_OTHERS)
    return Room(t, make_found(t.echoes.shape[0]), np.empty(MIRROR), np.empty(WIDTH))


@kernel(nogil=True)
def _scan(
    first: int,
    end: int,
    scene: SceneArrays,
    rain_mm_per_h: NDArray[np.float32],
    roadside: Any,
    settings: Floats,
    mounts: Floats,
    out: Detections,
) -> None:
    """Scan worlds ``first`` to ``end`` with every radar."""
    sensors, room = out.mask.shape[1], make_room(scene.valid.shape[1])
    for item in range(first * sensors, end * sensors):
        scan_one(item // sensors, item % sensors, scene, rain_mm_per_h, roadside, settings, mounts, room, out)


def render_radar(scene: Scene, radars: Sequence[Radar]) -> RadarFrames:
    """Scan a scene with K radars that have room for the same number of detections.

    Args:
        scene: B worlds on the CPU, poses finite.
        radars: The radars.

    Returns:
        Frames (B, K, D), the strongest detections first, every sensor valid; for no radar (B, 0, 0).
    """
    worlds, sensors = scene.num_worlds, len(radars)
    frames = empty_frames(worlds, radars, torch.device("cpu"))
    if worlds and sensors:
        out = Detections(frames.detections.numpy(), frames.mask.view(torch.uint8).numpy(), frames.actor.numpy(), frames.origin.numpy())
        (arrays, sky), roadside = scene_arrays(scene), roadside_of(scene.road).arrays()
        over_worlds(_scan, worlds, arrays, sky.rain, roadside, *settings_and_mounts(tuple(radars)), out)
    return frames


def empty_frames(worlds: int, radars: Sequence[Radar], device: torch.device) -> RadarFrames:
    """Frames of K radars whose detections are not written yet."""
    sensors = len(radars)
    shape = (worlds, sensors, radars[0].detections if radars else 0)
    return RadarFrames(
        detections=torch.empty((*shape, len(RADAR_FEATURES)), device=device),
        mask=torch.empty(shape, dtype=torch.bool, device=device),
        actor=torch.empty(shape, dtype=torch.int16, device=device),
        origin=torch.empty(shape, dtype=torch.int8, device=device),
        valid=torch.ones((worlds, sensors), dtype=torch.bool, device=device),
        age_s=torch.zeros((worlds, sensors), device=device),
    )
