"""Lidars: range images of vehicles and ground, exact in geometry, with a detector, materials and weather.

Power follows the range equation, reflectivity cos(incidence) / R^2 exp(-2 alpha R). Without noise every ray that meets something within the
maximum range returns its exact range; ``Lidar`` says what its noise does.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np
import torch

from sensors.frames import LidarFrames
from sensors.launch import over_worlds
from sensors.lidar.config import Lidar
from sensors.lidar.optics import Images, Optics, Sky, optics_of
from sensors.lidar.scan import scan_share
from sensors.pose import scene_arrays, singles
from sensors.recycle import room
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


def _images(shape: tuple[int, int, int, int]) -> Images:
    """Room for what the kernels write, in one block that is used again once nobody holds it."""
    rays = math.prod(shape)
    block = room(11 * rays)
    ranges, intensity = (block[4 * n * rays : 4 * (n + 1) * rays].view(f4).reshape(shape) for n in range(2))
    actor, hit = block[8 * rays : 10 * rays].view(np.int16), block[10 * rays :].view(np.bool_)
    return Images(ranges, intensity, hit.reshape(shape), actor.reshape(shape))


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
    shape = (worlds, sensors, beams, columns)
    images = _images(shape)
    if worlds and lidars:
        weather = scene.weather
        sky = Sky(singles(weather.rain_mm_per_h), singles(weather.snow_mm_per_h), singles(weather.wetness), singles(weather.snow_cover))
        out = images._replace(hit=images.hit.view(np.uint8))
        over_worlds(scan_share, worlds, scene_arrays(scene), sky, _optics_of(lidars), out)
    return LidarFrames(
        range_m=torch.from_numpy(images.range_m),
        intensity=torch.from_numpy(images.intensity),
        hit=torch.from_numpy(images.hit),
        actor=torch.from_numpy(images.actor),
        valid=torch.ones((worlds, sensors), dtype=torch.bool),
        age_s=torch.zeros((worlds, sensors)),
    )
