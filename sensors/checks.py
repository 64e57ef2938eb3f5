"""Whether a scene can be looked at: finite poses, sizes above zero, weather within its limits. One fused pass, and words when it fails."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.errors import ConfigError, SensorFault
from sensors.faults.entries import check_faults
from sensors.gpu import check_on_gpu
from sensors.jit import inlined, kernel
from sensors.pose import contiguous, doubles, singles
from sensors.scene import Kind, Scene
from sensors.weather import LIMITS, check_weather

LARGEST, SMALLEST_M = 1e9, 1e-9
"""Largest number of a pose, and the least size, that a sensor takes."""
KINDS = len(Kind)
MAX_ACTORS = 32_767
"""Frames name actors by int16."""
POSE_FIELDS = ("position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m")
LIMIT_TABLE = np.array(list(LIMITS.values()))
Numbers = NDArray[Any]


@inlined()
def _beyond(array: Numbers, low: float, high: float) -> int:
    """How many numbers are not within limits; NaN is not."""
    flat, count = array.reshape(-1), 0
    for n in range(flat.size):
        count += not low <= flat[n] <= high
    return count


@inlined()
def _beyond_there(array: Numbers, low: float, high: float, valid: NDArray[np.bool_]) -> int:
    """The same of actors that are there."""
    flat, there, count = array.reshape(-1), valid.reshape(-1), 0
    width = flat.size // max(there.size, 1)
    for n in range(there.size):
        if there[n]:
            for k in range(width):
                count += not low <= flat[n * width + k] <= high
    return count


@kernel(nogil=True)
def _wrong(
    position: Numbers,
    heading: Numbers,
    velocity: Numbers,
    acceleration: Numbers,
    yaw_rate: Numbers,
    size: Numbers,
    kind: NDArray[np.int64],
    valid: NDArray[np.bool_],
) -> bool:
    """Whether a number of an actor that is there is wrong: ``POSE_FIELDS``, kinds."""
    beyond = _beyond_there(position, -LARGEST, LARGEST, valid) + _beyond_there(heading, -LARGEST, LARGEST, valid)
    beyond += _beyond_there(velocity, -LARGEST, LARGEST, valid) + _beyond_there(acceleration, -LARGEST, LARGEST, valid)
    beyond += _beyond_there(yaw_rate, -LARGEST, LARGEST, valid) + _beyond_there(size, SMALLEST_M, LARGEST, valid)
    return bool(beyond + _beyond_there(kind, 0, KINDS - 1, valid) > 0)


@kernel(nogil=True)
def _suspicious(
    position: Numbers,
    heading: Numbers,
    velocity: Numbers,
    acceleration: Numbers,
    yaw_rate: Numbers,
    size: Numbers,
    kind: NDArray[np.int64],
    sun_elevation: Numbers,
    sun_azimuth: Numbers,
    visibility: Numbers,
    rain: Numbers,
    snow: Numbers,
    wetness: Numbers,
    snow_cover: Numbers,
    limits: NDArray[np.float64],
) -> tuple[bool, bool]:
    """Whether ``POSE_FIELDS`` or kinds may be wrong, be it of an actor that is not there, and whether the weather is, as in ``LIMITS``."""
    beyond = _beyond(position, -LARGEST, LARGEST) + _beyond(heading, -LARGEST, LARGEST) + _beyond(velocity, -LARGEST, LARGEST)
    beyond += _beyond(acceleration, -LARGEST, LARGEST) + _beyond(yaw_rate, -LARGEST, LARGEST) + _beyond(size, SMALLEST_M, LARGEST)
    beyond += _beyond(kind, 0, KINDS - 1)
    foul = _beyond(sun_elevation, limits[0, 0], limits[0, 1]) + _beyond(sun_azimuth, limits[1, 0], limits[1, 1])
    foul += _beyond(visibility, limits[2, 0], limits[2, 1]) + _beyond(rain, limits[3, 0], limits[3, 1])
    foul += _beyond(snow, limits[4, 0], limits[4, 1]) + _beyond(wetness, limits[5, 0], limits[5, 1])
    foul += _beyond(snow_cover, limits[6, 0], limits[6, 1])
    return beyond > 0, foul > 0


def check_scene(scene: Scene) -> None:
    """Refuse a scene that no sensor can look at.

    Raises:
        ConfigError: A scene on another device than a CPU or a GPU, no actor or too many, weather out of its limits or of other worlds, or
            faults that cannot be; on a GPU any fault.
        SensorFault: A valid actor whose pose is not finite or beyond ``LARGEST``, whose size is not positive, or of no known kind.
    """
    if scene.device.type not in ("cpu", "cuda"):
        raise ConfigError(f"the scene is on {scene.device}, but sensors render on the CPU or on CUDA; pass scene.to('cpu')")
    if scene.num_actors > MAX_ACTORS:
        raise ConfigError(f"the scene has room for {scene.num_actors} actors, expected at most {MAX_ACTORS}")
    if scene.num_actors == 0:
        raise ConfigError("the scene has room for no actor, expected at least the ego, actor 0")
    _check_worlds(scene)
    if scene.device.type == "cuda":
        check_on_gpu(scene)
        if not _suspicious_on_gpu(scene):
            return
        _explain(scene)
        return
    if scene.faults.kind.numel():
        check_faults(scene.faults)
    seen = doubles if scene.position_m.dtype == torch.float64 else singles
    poses = [seen(getattr(scene, name)) for name in POSE_FIELDS]
    kind = contiguous(scene.kind)
    suspicious, foul = _suspicious(*poses, kind, *[singles(getattr(scene.weather, name)) for name in LIMITS], LIMIT_TABLE)
    if foul or (suspicious and _wrong(*poses, kind, contiguous(scene.valid))):
        _explain(scene)


def _check_worlds(scene: Scene) -> None:
    """Refuse weather or faults of another number of worlds: kernels would read beyond their end."""
    worlds = scene.num_worlds
    for name in LIMITS:
        got = tuple(getattr(scene.weather, name).shape)
        if got != (worlds,):
            raise ConfigError(f"weather: {name} has shape {got}, expected ({worlds},) as the scene has {worlds} worlds")
    for field in fields(scene.faults):
        got = tuple(getattr(scene.faults, field.name).shape)
        if len(got) != 2 or got[0] != worlds:
            raise ConfigError(f"faults: {field.name} has shape {got}, expected ({worlds}, any) as the scene has {worlds} worlds")


def _suspicious_on_gpu(scene: Scene) -> bool:
    """``_suspicious`` in torch's operations, for which the device is waited for once."""
    weather = torch.stack([getattr(scene.weather, name) for name in LIMITS])
    low, high = torch.tensor(LIMIT_TABLE, dtype=weather.dtype, device=weather.device).T[..., None]
    poses = torch.stack([(getattr(scene, name).abs() <= LARGEST).all() for name in POSE_FIELDS])
    known = ((scene.kind >= 0) & (scene.kind < KINDS)).all()
    return not bool(poses.all() & ((weather >= low) & (weather <= high)).all() & (scene.size_m >= SMALLEST_M).all() & known)


def _explain(scene: Scene) -> None:
    """Raise what is wrong with a scene, if anything of an actor that is there or of the weather is."""
    check_weather(scene.weather)
    for name in POSE_FIELDS:
        _refuse(scene, name, ~(getattr(scene, name).abs() <= LARGEST), f"finite numbers, up to {LARGEST:g}")
    _refuse(scene, "size_m", ~(scene.size_m >= SMALLEST_M), "length, width and height above 0")
    _refuse(scene, "kind", (scene.kind < 0) | (scene.kind >= KINDS), f"a sensors.Kind, 0 to {KINDS - 1}")


def _refuse(scene: Scene, name: str, bad: Tensor, expected: str) -> None:
    """Name the first valid actor with a bad value, if there is one."""
    worst = bad.reshape(*scene.valid.shape, -1).any(-1) & scene.valid
    if not bool(worst.any()):
        return
    world, actor = (int(number) for number in worst.nonzero()[0])
    where = f"scene, world {world} (episode seed {int(scene.episode_seed[world])}, step {int(scene.step[world])})"
    raise SensorFault(
        f"{where}: {name} of actor {actor} is {getattr(scene, name)[world, actor].tolist()}, expected {expected}; "
        f"set valid=False for an actor that is not there"
    )
