"""Where a sensor is and how it moves, from the ego's pose and the sensor's mount.

World coordinates run to many kilometres, so poses stay float64 until they are made relative to the sensor.
"""

from __future__ import annotations

import math
import operator
import weakref
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sensors.jit import kernel
from sensors.mount import Mount
from sensors.scene import Scene

Floats = NDArray[np.float64]
DOUBLE, SINGLE, LONG, TRUTH = (np.dtype(one) for one in (np.float64, np.float32, np.int64, np.bool_))


def doubles(tensor: Tensor) -> Floats:
    """See a scene's floats as a contiguous float64 array; no copy where they are one already."""
    return contiguous(tensor, DOUBLE)


def singles(tensor: Tensor) -> NDArray[np.float32]:
    """The same as float32."""
    return contiguous(tensor, SINGLE)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """See a tensor on the CPU as an array."""
    array: NDArray[Any] = tensor.detach().numpy() if tensor.requires_grad else tensor.numpy()
    return array


def contiguous(tensor: Tensor, dtype: Any = None) -> NDArray[Any]:
    """See a tensor on the CPU as a contiguous array, of its own type unless one is named; no copy where it is that already."""
    return np.ascontiguousarray(array_of(tensor), dtype)


class SceneArrays(NamedTuple):
    """A scene as the kernels take it: contiguous arrays, floats in float64."""

    position: Floats  # (B, A, 2)
    heading: Floats  # (B, A)
    velocity: Floats  # (B, A, 2)
    yaw_rate: Floats  # (B, A)
    size: Floats  # (B, A, 3)
    kind: NDArray[np.int64]  # (B, A)
    valid: NDArray[np.bool_]  # (B, A)
    visibility: NDArray[np.float32]  # (B,)
    episode_seed: NDArray[np.int64]  # (B,)
    step: NDArray[np.int64]  # (B,)


class Sky(NamedTuple):
    """Weather as the kernels take it, each (B,)."""

    rain: NDArray[np.float32]
    snow: NDArray[np.float32]
    wetness: NDArray[np.float32]
    snow_cover: NDArray[np.float32]


SCENE_TYPES = (*[DOUBLE] * 5, LONG, TRUTH, SINGLE, LONG, LONG)

_latest: tuple[weakref.ref[Scene], SceneArrays, Sky] | None = None


def _forget(_: Any) -> None:
    global _latest
    _latest = None


def scene_arrays(scene: Scene) -> tuple[SceneArrays, Sky]:
    """See a scene and its weather as arrays; what is contiguous and of the right type is not copied.

    The scene that was asked for before is known, as several sensors look at one; not if anything was copied, which could be out of date.
    """
    global _latest
    known = _latest
    if known is not None and known[0]() is scene:
        return known[1], known[2]
    weather = scene.weather
    fields = (
        *(scene.position_m, scene.heading_rad, scene.velocity_mps, scene.yaw_rate_radps, scene.size_m, scene.kind, scene.valid),
        *(weather.visibility_m, scene.episode_seed, scene.step),
    )
    seen = [array_of(tensor) for tensor in fields]
    seen_sky = [array_of(tensor) for tensor in (weather.rain_mm_per_h, weather.snow_mm_per_h, weather.wetness, weather.snow_cover)]
    parts: list[Any] = [np.ascontiguousarray(array, dtype) for array, dtype in zip(seen, SCENE_TYPES, strict=True)]
    arrays = SceneArrays(*parts)
    sky = Sky(*[np.ascontiguousarray(array, SINGLE) for array in seen_sky])
    if all(map(operator.is_, arrays, seen)) and all(map(operator.is_, sky, seen_sky)):
        _latest = weakref.ref(scene, _forget), arrays, sky
    return arrays, sky


@kernel()
def place_sensor(ego: Floats, heading_rad: float, ego_T_sensor: Floats, origin: Floats, world_R_sensor: Floats) -> None:
    """Write a sensor's pose in the world.

    Args:
        ego: The ego's position [m], (2,).
        heading_rad: The ego's heading.
        ego_T_sensor: The mount, (4, 4).
        origin: Written: the sensor's position [m], (3,).
        world_R_sensor: Written: its axes x, y, z as columns, (3, 3).
    """
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    for column in range(3):
        x, y = ego_T_sensor[0, column], ego_T_sensor[1, column]
        world_R_sensor[0, column] = cos * x - sin * y
        world_R_sensor[1, column] = sin * x + cos * y
        world_R_sensor[2, column] = ego_T_sensor[2, column]
    x, y = ego_T_sensor[0, 3], ego_T_sensor[1, 3]
    origin[0] = ego[0] + (cos * x - sin * y)
    origin[1] = ego[1] + (sin * x + cos * y)
    origin[2] = ego_T_sensor[2, 3]


@kernel()
def point_velocity(velocity_x: float, velocity_y: float, yaw_rate_radps: float, arm_x: float, arm_y: float) -> tuple[float, float]:
    """Velocity [m/s] of a point fixed to a turning body: the body's own plus yaw rate times the lever arm, in world axes."""
    return velocity_x - yaw_rate_radps * arm_y, velocity_y + yaw_rate_radps * arm_x


def mounts_of(mounts: list[Mount]) -> Floats:
    """Stack the transforms ``ego_T_sensor`` of K mounts, (K, 4, 4)."""
    return np.stack([mount.ego_T_sensor() for mount in mounts])


@dataclass(frozen=True)
class Poses:
    """The poses of one sensor in B worlds."""

    origin_m: Floats  # (B, 3)
    world_R_sensor: Floats  # (B, 3, 3)
    velocity_mps: Floats  # (B, 2), in world axes; sensors do not move up or down


def sensor_poses(scene: Scene, mount: Mount) -> Poses:
    """Find where a sensor is in every world, and how fast it moves with its car.

    Args:
        scene: B worlds; actor 0 carries the sensor.
        mount: Where it sits on the car.
    """
    transform = mount.ego_T_sensor()
    position, heading = doubles(scene.position_m[:, 0]), doubles(scene.heading_rad[:, 0])
    velocity, yaw_rate = doubles(scene.velocity_mps[:, 0]), doubles(scene.yaw_rate_radps[:, 0])
    poses = Poses(np.empty((len(heading), 3)), np.empty((len(heading), 3, 3)), np.empty((len(heading), 2)))
    for b in range(len(heading)):
        place_sensor(position[b], heading[b], transform, poses.origin_m[b], poses.world_R_sensor[b])
        arm = poses.origin_m[b, :2] - position[b]
        poses.velocity_mps[b] = point_velocity(velocity[b, 0], velocity[b, 1], yaw_rate[b], arm[0], arm[1])
    return poses
