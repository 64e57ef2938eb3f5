"""Lidars: range images of vehicles and ground, exact in geometry, with a detector, materials and weather.

Power follows the range equation, reflectivity cos(incidence) / R^2 exp(-2 alpha R). Without noise every ray that meets something within the
maximum range returns its exact range; ``Lidar`` says what its noise does.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import numpy as np
import torch

from sensors.frames import LidarFrames
from sensors.launch import over_worlds
from sensors.lidar.config import Lidar
from sensors.lidar.optics import Images, Optics, optics_of
from sensors.lidar.scan import scan_share
from sensors.paint import grid_of
from sensors.pose import scene_arrays
from sensors.recycle import Arrays, arrays, room
from sensors.road import RoadMap
from sensors.scene import Scene

f4 = np.float32

_latest: list[tuple[tuple[Lidar, ...], Optics]] = []


def _optics_of(lidars: Sequence[Lidar]) -> Optics:
    """``optics_of`` lidars; those of the last call are known without comparing all their numbers."""
    for known, optics in _latest:
        if len(known) == len(lidars) and all(map(operator.is_, known, lidars)):
            return optics
    _latest[:] = [(tuple(lidars), optics_of(tuple(lidars)))]
    return _latest[0][1]


@functools.cache
def _no_road() -> RoadMap:
    return RoadMap.build([])


def _frames_in(shape: tuple[int, int, int, int]) -> Arrays:
    """Room for frames in one block: range, intensity, hit, actor, hit as the kernels write it, whether a sensor is valid, and its age."""
    rays = math.prod(shape)
    block = room(11 * rays)
    ranges, intensity = (block[4 * n * rays : 4 * (n + 1) * rays].view(f4).reshape(shape) for n in range(2))
    actor, hit = block[8 * rays : 10 * rays].view(np.int16).reshape(shape), block[10 * rays :].reshape(shape)
    return ranges, intensity, hit.view(np.bool_), actor, hit, np.empty(shape[:2], np.bool_), np.empty(shape[:2], f4)


def render_lidar(scene: Scene, lidars: Sequence[Lidar]) -> LidarFrames:
    """Scan a scene with K lidars of one size.

    Args:
        scene: B worlds on the CPU, poses finite.
        lidars: Lidars that share beams and columns.

    Returns:
        Frames (B, K, beams, columns), every sensor valid; for no lidar (B, 0, 0, 0).
    """
    worlds, sensors = scene.num_worlds, len(lidars)
    beams, columns = (lidars[0].beams, lidars[0].columns) if lidars else (0, 0)
    shape = worlds, sensors, beams, columns
    ranges, intensity, hit, actor, written, valid, age = arrays(("lidar", shape), lambda: _frames_in(shape))
    if worlds and lidars:
        grid = grid_of(scene.road if any(lidar.tells_paint for lidar in lidars) else _no_road()).arrays()
        over_worlds(scan_share, worlds, *scene_arrays(scene), grid, _optics_of(lidars), Images(ranges, intensity, written, actor))
    valid.fill(True)
    age.fill(0.0)
    return LidarFrames(*map(torch.from_numpy, (ranges, intensity, hit, actor, valid, age)))
