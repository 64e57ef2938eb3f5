"""Cameras: RGB, planar depth, semantic class and instance of a scene, from any mount.

Pixels are sampled at their centres for depth and labels, which are exact; the colours are filtered. A camera does not see the car that
carries it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.camera.backdrop import grain_table
from sensors.camera.config import Camera
from sensors.camera.light import light_table
from sensors.camera.worlds import render_worlds
from sensors.errors import ConfigError
from sensors.faults import Modality
from sensors.frames import CameraFrames
from sensors.ground import MAX_WIDTH
from sensors.jit import kernel
from sensors.launch import over_worlds
from sensors.livery import body_colours
from sensors.noise import sensor_number, world_key
from sensors.paint import grid_of
from sensors.pose import contiguous, doubles, singles
from sensors.recycle import room
from sensors.scene import Light, Scene

SENSOR_AXES = np.asarray([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""A camera's right, down and forward, as columns in its mount's frame (x forward, y left, z up)."""
NOISE_STREAM, FALL_STREAM = 0, 1
FIRST_SENSOR = sensor_number(Modality.CAMERA, 0)


@functools.lru_cache(maxsize=256)
def ego_T_camera(camera: Camera) -> NDArray[np.float64]:
    """A camera's pose in the ego frame, (3, 4): columns right, down, forward, and its position."""
    mount = camera.mount.ego_T_sensor()
    return np.concatenate((mount[:3, :3] @ SENSOR_AXES, mount[:3, 3:]), axis=1)


def render_camera(scene: Scene, cameras: Sequence[Camera]) -> CameraFrames:
    """Render a scene from cameras of one size on the ego.

    Args:
        scene: B worlds.
        cameras: K cameras; the k-th draws the noise of camera k of a rig.

    Returns:
        Frames of K cameras, all valid, of age 0.

    Raises:
        ConfigError: Cameras of several sizes, one that is not above the ground, or one wider than MAX_WIDTH.
    """
    size = common_size(cameras)
    worlds, count = scene.num_worlds, len(cameras)
    rgb, depth, semantic, instance = _images(worlds, count, *size)
    if worlds and count:
        over_worlds(
            render_worlds,
            worlds,
            np.stack([ego_T_camera(camera) for camera in cameras]),
            np.asarray([camera.focal_px for camera in cameras]),
            grid_of(scene.road).arrays(),
            grain_table(),
            _actors(scene),
            light_table(scene.weather),
            keys_of(scene, count),
            optics_of(cameras),
            (rgb.numpy(), depth.numpy(), semantic.numpy(), instance.numpy()),
        )
    valid, age = torch.ones((worlds, count), dtype=torch.bool), torch.zeros((worlds, count))
    return CameraFrames(rgb, depth, semantic, instance, valid, age)


def optics_of(cameras: Sequence[Camera]) -> NDArray[np.float32]:
    """What kernels read of each camera: factor on exposure, on the noise's deviation (0: none), shutter [s], looks, (K, 4)."""
    rows = [(2.0**c.exposure_ev, c.noise_level if c.noise else 0.0, c.shutter_s, c.looks) for c in cameras]
    return np.asarray(rows, np.float32).reshape(-1, 4)


def keys_of(scene: Scene, count: int) -> NDArray[np.uint32]:
    """Key words of each camera's and world's noise, and of what falls before it (0 where nothing does), (K, B, 4)."""
    keys, weather = np.empty((count, scene.num_worlds, 4), np.uint32), scene.weather
    falls = (singles(weather.rain_mm_per_h), singles(weather.snow_mm_per_h))
    _fill_keys(contiguous(scene.episode_seed), contiguous(scene.step), *falls, keys)
    return keys


@kernel(nogil=True)
def _fill_keys(
    episode_seed: NDArray[np.int64], step: NDArray[np.int64], rain: NDArray[np.float32], snow: NDArray[np.float32], keys: NDArray[np.uint32]
) -> None:
    for k in range(keys.shape[0]):
        for b in range(keys.shape[1]):
            keys[k, b, 0], keys[k, b, 1] = world_key(episode_seed[b], step[b], FIRST_SENSOR + k, NOISE_STREAM)
            keys[k, b, 2], keys[k, b, 3] = 0, 0
            if rain[b] + snow[b] > 0.0:
                keys[k, b, 2], keys[k, b, 3] = world_key(episode_seed[b], step[b], FIRST_SENSOR + k, FALL_STREAM)


def _images(worlds: int, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for colours, depth, classes and instances of K cameras, not yet written."""
    pixels = worlds * count * height * width
    block, shape = room(10 * pixels), (worlds, count, height, width)
    depth = torch.from_numpy(block[: 4 * pixels].view(np.float32)).view(shape)
    instance = torch.from_numpy(block[4 * pixels : 6 * pixels].view(np.int16)).view(shape)
    rgb = torch.from_numpy(block[6 * pixels : 9 * pixels]).view(worlds, count, 3, height, width)
    return rgb, depth, torch.from_numpy(block[9 * pixels :]).view(shape), instance


def common_size(cameras: Sequence[Camera]) -> tuple[int, int]:
    """Height and width that all cameras share; 0 x 0 of none."""
    sizes = {(camera.height_px, camera.width_px) for camera in cameras}
    if len(sizes) > 1:
        raise ConfigError(f"cameras of {len(sizes)} sizes {sorted(sizes)}, but the frames of one call must stack; use one size")
    for camera in cameras:
        if camera.width_px > MAX_WIDTH:
            raise ConfigError(f"camera {camera.name!r} is {camera.width_px} pixels wide, expected at most {MAX_WIDTH}")
        if camera.mount.z_m <= 0.0:
            raise ConfigError(f"camera {camera.name!r} is mounted at z = {camera.mount.z_m} m, expected above the ground (z > 0)")
    return next(iter(sizes), (0, 0))


def _actors(scene: Scene) -> tuple[NDArray[Any], ...]:
    """The scene's actors as kernels read them; world coordinates in float64."""
    motion, poses = (scene.velocity_mps, scene.yaw_rate_radps), (scene.position_m, scene.heading_rad, scene.size_m)
    looks = (scene.kind.contiguous().numpy(), lights_shown(scene).contiguous().numpy(), scene.valid.contiguous().numpy())
    return *(doubles(value) for value in (*motion, *poses)), *looks, body_colours(scene)


def lights_shown(scene: Scene) -> Tensor:
    """The lights that are seen, (B, A): a crashed vehicle warns with its turn lamps on both sides."""
    return scene.lights | scene.crashed * int(Light.LEFT | Light.RIGHT)
