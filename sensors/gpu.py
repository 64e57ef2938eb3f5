"""Scenes on a GPU: as arrays that CUDA kernels take, kernels launched on torch's own stream, and which module renders what there.

A modality's launchers are in ``sensors.camera.gpu``, ``sensors.lidar.gpu`` and ``sensors.radar.gpu``; each has ``render(scene, sensors)``
that gives its frames on the scene's device, through the very functions that the CPU's kernels call. What holds numba-cuda (extra 'gpu') is
imported only where a GPU is meant. In numba's simulator tensors are the CPU's, and are passed as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numba.core import config
from torch import Tensor

from sensors.errors import ConfigError
from sensors.faults.kinds import Modality
from sensors.frames import EGO_FEATURES, EgoFrames
from sensors.pose import SceneArrays
from sensors.scene import Scene

THREADS_PER_BLOCK = 128
POSES = ("position_m", "heading_rad", "velocity_mps", "yaw_rate_radps", "size_m")


def cuda_module() -> Any:
    """``numba.cuda``.

    Raises:
        ConfigError: numba-cuda is not installed.
    """
    try:
        from numba import cuda
    except ImportError:
        raise ConfigError("rendering on a GPU needs numba-cuda: pip install 'drive-fusion[gpu]'; or pass scene.to('cpu')") from None
    return cuda


def array_of(tensor: Tensor) -> Any:
    """See a contiguous tensor as an array that kernels read and write: no copy on a GPU, and none in the simulator."""
    tensor = tensor.detach()
    return cuda_module().as_cuda_array(tensor) if tensor.is_cuda else tensor.numpy()


def on_device(value: Any, device: torch.device) -> Any:
    """Copy arrays to a device, also those in tuples and named tuples; numbers stay as they are. Worth keeping between calls."""
    if isinstance(value, np.ndarray):
        return array_of(torch.from_numpy(np.ascontiguousarray(value)).to(device))
    if isinstance(value, tuple):
        moved = [on_device(part, device) for part in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    return value


def scene_on(scene: Scene) -> SceneArrays:
    """See a scene as ``sensors.pose.scene_arrays`` does, as arrays on the scene's own device; what is of the right type is not copied."""
    poses = (array_of(getattr(scene, name).double().contiguous()) for name in POSES)
    rest = (scene.kind, scene.valid, scene.weather.visibility_m, scene.episode_seed, scene.step)
    return SceneArrays(*poses, *(array_of(tensor.contiguous()) for tensor in rest))


def launch(kernel: Any, threads: int, device: torch.device, *arguments: Any, block: int = THREADS_PER_BLOCK) -> None:
    """Run a kernel on ``threads`` threads or some more, in turn with what torch does on that device; returns before it is done.

    Args:
        kernel: A ``numba.cuda`` kernel; threads beyond what it needs must return at once.
        threads: How many are needed.
        device: Where the arguments are; the CPU in the simulator alone.
        arguments: Arrays of that device, numbers, and tuples of those.
        block: Threads of a block.

    Raises:
        ConfigError: Arrays on the CPU, outside of the simulator.
    """
    blocks = (threads + block - 1) // block
    if blocks == 0:
        return
    if device.type != "cuda":
        if not config.ENABLE_CUDASIM:
            raise ConfigError(f"a CUDA kernel cannot take arrays on {device}; pass a scene on a GPU")
        kernel[blocks, block](*arguments)
        return
    cuda = cuda_module()
    with torch.cuda.device(device), cuda.gpus[device.index or 0]:
        stream = cuda.external_stream(torch.cuda.current_stream(device).cuda_stream)
        kernel[blocks, block, stream](*arguments)


def check_on_gpu(scene: Scene) -> None:
    """Refuse what kernels on a GPU do not serve.

    Raises:
        ConfigError: numba-cuda is missing, or the scene has faults.
    """
    cuda_module()
    if scene.faults.kind.numel():
        raise ConfigError(f"the scene is on {scene.device} and has faults, which act on the CPU alone; pass scene.to('cpu')")


def render_on_gpu(modality: Modality, scene: Scene, sensors: Sequence[Any]) -> Any:
    """Let K sensors of a modality look at a scene on a GPU.

    Raises:
        ConfigError: Sensors with clocks of their own; settings that only the CPU serves.
    """
    for sensor in sensors:
        if sensor.rate_hz > 0.0 or sensor.latency_s > 0.0:
            raise ConfigError(
                f"{modality.name.lower()} {sensor.name!r} has a rate or a latency, which the CPU alone serves; "
                "pass scene.to('cpu'), or set rate_hz and latency_s to 0"
            )
    return import_module(f"sensors.{modality.name.lower()}.gpu").render(scene, sensors)


def ego_on_gpu(scene: Scene) -> EgoFrames:
    """``sensors.ego.ego_frames`` in torch's own operations, for a scene on any device."""
    cos, sin = scene.heading_rad[:, 0].double().cos(), scene.heading_rad[:, 0].double().sin()
    velocity, acceleration = scene.velocity_mps[:, 0].double(), scene.acceleration_mps2[:, 0].double()
    motion = (
        velocity[:, 0] * cos + velocity[:, 1] * sin,
        scene.yaw_rate_radps[:, 0],
        acceleration[:, 0] * cos + acceleration[:, 1] * sin,
        acceleration[:, 1] * cos - acceleration[:, 0] * sin,
    )
    assert len(motion) == len(EGO_FEATURES)
    return EgoFrames(torch.stack([column.float() for column in motion], -1), scene.action)
