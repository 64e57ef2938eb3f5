"""Whether a scene can be looked at: finite poses, sizes above zero, weather within its limits. One fused pass, and words when it fails."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.errors import ConfigError, SensorFault
from sensors.faults.entries import check_faults
from sensors.gpu import check_on_gpu
from sensors.jit import inlined, kernel
from sensors.pose import doubles, singles
from sensors.scene import Scene
from sensors.weather import LIMITS, check_weather

MAX_ACTORS = 32_767
"""Frames name actors by int16."""
POSE_FIELDS = ("position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m")
LIMIT_TABLE = np.array(list(LIMITS.values()))
Numbers = NDArray[Any]


@inlined(fastmath={"reassoc"})
def _total(array: Numbers) -> float:
    """The sum, which NaN and infinity stay in."""
    flat, total = array.reshape(-1), 0.0
    for n in range(flat.size):
        total += flat[n]
    return total


@inlined()
def _beyond(values: Numbers, limits: NDArray[np.float64]) -> int:
    """How many values are not within limits."""
    count = 0
    for n in range(values.size):
        count += not limits[0] <= values[n] <= limits[1]
    return count


@kernel(nogil=True)
def _suspicious(
    position: Numbers,
    heading: Numbers,
    velocity: Numbers,
    acceleration: Numbers,
    yaw_rate: Numbers,
    size: Numbers,
    sun_elevation: Numbers,
    sun_azimuth: Numbers,
    visibility: Numbers,
    rain: Numbers,
    snow: Numbers,
    wetness: Numbers,
    snow_cover: Numbers,
    limits: NDArray[np.float64],
) -> bool:
    """Whether a number may be wrong, be it of an actor that is not there: ``POSE_FIELDS``, then the weather in the order of ``LIMITS``."""
    total = _total(position) + _total(heading) + _total(velocity) + _total(acceleration) + _total(yaw_rate) + _total(size)
    beyond, sizes = 0, size.reshape(-1)
    for n in range(sizes.size):
        beyond += sizes[n] <= 0.0
    beyond += _beyond(sun_elevation, limits[0]) + _beyond(sun_azimuth, limits[1]) + _beyond(visibility, limits[2])
    beyond += _beyond(rain, limits[3]) + _beyond(snow, limits[4]) + _beyond(wetness, limits[5]) + _beyond(snow_cover, limits[6])
    return beyond > 0 or not math.isfinite(total)


def check_scene(scene: Scene) -> None:
    """Refuse a scene that no sensor can look at.

    Raises:
        ConfigError: A scene on another device than a CPU or a GPU, too many actors, weather out of its limits, or faults that cannot be; on
            a GPU any fault.
        SensorFault: A valid actor whose pose is not finite, or whose size is not positive.
    """
    if scene.device.type not in ("cpu", "cuda"):
        raise ConfigError(f"the scene is on {scene.device}, but sensors render on the CPU or on CUDA; pass scene.to('cpu')")
    if scene.num_actors > MAX_ACTORS:
        raise ConfigError(f"the scene has room for {scene.num_actors} actors, expected at most {MAX_ACTORS}")
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
    if not _suspicious(*poses, *[singles(getattr(scene.weather, name)) for name in LIMITS], LIMIT_TABLE):
        return
    _explain(scene)


def _suspicious_on_gpu(scene: Scene) -> bool:
    """``_suspicious`` in torch's operations, for which the device is waited for once."""
    weather = torch.stack([getattr(scene.weather, name) for name in LIMITS])
    low, high = torch.tensor(LIMIT_TABLE, dtype=weather.dtype, device=weather.device).T[..., None]
    poses = torch.stack([getattr(scene, name).isfinite().all() for name in POSE_FIELDS])
    return not bool(poses.all() & ((weather >= low) & (weather <= high)).all() & (scene.size_m > 0).all())


def _explain(scene: Scene) -> None:
    """Raise what is wrong with a scene, if anything of an actor that is there or of the weather is."""
    check_weather(scene.weather)
    for name in POSE_FIELDS:
        _refuse(scene, name, ~torch.isfinite(getattr(scene, name)), "finite numbers")
    _refuse(scene, "size_m", ~(scene.size_m > 0), "length, width and height above 0")


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
