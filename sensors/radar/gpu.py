"""Radars on a GPU: one thread scans one world with one radar, through the very functions that the CPU scans with.

Each thread keeps its echoes and detections in global memory of its own, some 0.3 MB, so that a launch takes no more than ``MOST_THREADS``
and many worlds take several. Neighbouring threads diverge: this is a way to leave frames where the networks are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import cuda

from sensors.frames import RadarFrames
from sensors.gpu import array_of, launch, on_device, scene_on
from sensors.pose import SceneArrays
from sensors.radar.cells import Found
from sensors.radar.config import Radar
from sensors.radar.render import Detections, Room, empty_frames, make_room, scan_one
from sensors.radar.roadside import Roadside, roadside_of
from sensors.radar.settings import settings_and_mounts
from sensors.radar.targets import Targets
from sensors.road import RoadMap
from sensors.scene import Scene

MOST_THREADS = 2_048
"""Threads of a launch; further ones follow in the same memory."""
BLOCK = 32
KEPT = 16

_kept: dict[tuple[int, str], tuple[Roadside, Any]] = {}


@cuda.jit  # type: ignore[untyped-decorator]
def scan_on_device(first: Any, end: Any, scene: Any, rain: Any, roadside: Any, settings: Any, mounts: Any, rooms: Any, out: Any) -> None:
    """Scan items ``first`` to ``end`` of worlds by radars, a thread each; ``rooms`` is ``rooms_for`` so many threads."""
    n = cuda.grid(1)
    item = first + n
    if item >= end or n >= rooms[2].shape[0]:
        return
    t, f, mirror, radar = rooms
    targets = Targets(
        t[0][n], t[1][n], t[2][n], t[3][n], t[4][n], t[5][n], t[6][n], t[7][n], t[8][n], t[9][n], t[10][n], t[11][n], t[12][n], t[13][n]
    )
    found = Found(f[0][n], f[1][n], f[2][n], f[3][n], f[4][n], f[5][n], f[6][n], f[7][n], f[8][n], f[9][n], f[10][n])
    sensors = out.mask.shape[1]
    room = Room(targets, found, mirror[n], radar[n])
    scan_one(item // sensors, item % sensors, scene, rain, roadside, settings, mounts, room, out)


def rooms_for(threads: int, actors: int, device: torch.device) -> tuple[Any, ...]:
    """The room of so many threads: that of one, with a leading dimension."""

    def rooms(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(rooms(one) for one in part)
        return array_of(torch.empty((threads, *part.shape), dtype=torch.from_numpy(part).dtype, device=device))

    return tuple(rooms(part) for part in make_room(actors))


def _roadside_on(roadside: Roadside, device: torch.device) -> Any:
    """A roadside on a device; the last ``KEPT`` are kept."""
    key = (id(roadside), str(device))
    if key not in _kept or _kept[key][0] is not roadside:
        while len(_kept) >= KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = roadside, on_device(roadside.arrays(), device)
    return _kept[key][1]


@functools.lru_cache(maxsize=KEPT)
def _settings_on(radars: tuple[Radar, ...], device: torch.device) -> Any:
    return on_device(settings_and_mounts(radars), device)


def _arguments(scene: Scene, radars: Sequence[Radar], frames: RadarFrames) -> tuple[tuple[Any, ...], Detections]:
    """What the kernel takes between the items' numbers and the rooms, and after these."""
    rain = array_of(scene.weather.rain_mm_per_h.float().contiguous())
    roadside = _roadside_on(roadside_of(scene.road), scene.device)
    out = (frames.detections, frames.mask.view(torch.uint8), frames.actor, frames.origin)
    inputs = (scene_on(scene), rain, roadside, *_settings_on(tuple(radars), scene.device))
    return inputs, Detections(*(array_of(tensor) for tensor in out))


def render(scene: Scene, radars: Sequence[Radar]) -> RadarFrames:
    """Scan a scene on a GPU (in numba's simulator, on the CPU) with K radars, as ``sensors.radar.render.render_radar`` does.

    Args:
        scene: B worlds on one device, where the frames will be.
        radars: The radars.
    """
    frames = empty_frames(scene.num_worlds, radars, scene.device)
    items = scene.num_worlds * len(radars)
    if items:
        inputs, out = _arguments(scene, radars, frames)
        threads = min(items, MOST_THREADS)
        rooms = rooms_for(threads, scene.num_actors, scene.device)
        for first in range(0, items, threads):
            launch(scan_on_device, threads, scene.device, first, items, *inputs, rooms, out, block=BLOCK)
    return frames


def example(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The kernel, ``scan``, and arguments that it could be launched with, on the host: for compiling it without a GPU."""
    assert name == "scan"
    flat, whole, radars = np.zeros((1, 2)), np.zeros(1, np.int64), (Radar("radar"),)
    kinds, valid = np.zeros((1, 2), np.int64), np.ones((1, 2), np.bool_)
    scene = SceneArrays(
        np.zeros((1, 2, 2)), flat, np.zeros((1, 2, 2)), flat, np.ones((1, 2, 3)), kinds, valid, np.zeros(1, np.float32), whole, whole
    )
    frames = empty_frames(1, radars, torch.device("cpu"))
    out = Detections(*(array_of(tensor) for tensor in (frames.detections, frames.mask.view(torch.uint8), frames.actor, frames.origin)))
    world = (scene, np.zeros(1, np.float32), roadside_of(RoadMap.build([])).arrays(), *settings_and_mounts(radars))
    return scan_on_device, (0, 1, *world, rooms_for(1, 2, torch.device("cpu")), out)
