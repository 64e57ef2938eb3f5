"""What a car knows of its own motion."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from sensors.frames import EGO_FEATURES, EgoFrames
from sensors.jit import kernel
from sensors.pose import contiguous
from sensors.scene import Scene

Numbers = NDArray[np.generic]


@kernel(nogil=True)
def _into_own_frame(heading: Numbers, velocity: Numbers, acceleration: Numbers, yaw_rate: Numbers, out: NDArray[np.float32]) -> None:
    for b in range(out.shape[0]):
        cos, sin = math.cos(float(heading[b, 0])), math.sin(float(heading[b, 0]))
        out[b, 0] = velocity[b, 0, 0] * cos + velocity[b, 0, 1] * sin
        out[b, 1] = yaw_rate[b, 0]
        out[b, 2] = acceleration[b, 0, 0] * cos + acceleration[b, 0, 1] * sin
        out[b, 3] = acceleration[b, 0, 1] * cos - acceleration[b, 0, 0] * sin


def ego_frames(scene: Scene) -> EgoFrames:
    """Speed, yaw rate and acceleration of the ego in its own frame; EGO_FEATURES."""
    motion = torch.empty((scene.num_worlds, len(EGO_FEATURES)))
    moving = (scene.heading_rad, scene.velocity_mps, scene.acceleration_mps2, scene.yaw_rate_radps)
    _into_own_frame(*[contiguous(tensor) for tensor in moving], motion.numpy())
    return EgoFrames(motion, scene.action)
