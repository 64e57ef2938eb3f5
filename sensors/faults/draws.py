"""Keyed random numbers for faults: they depend on the episode, the step, the sensor and the fault, and on nothing else."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.faults.kinds import FaultKind, Modality
from sensors.jit import kernel
from sensors.noise import gaussian, hash2, sensor_number, uniform, world_key

u4 = np.uint32
FIRST_STREAM = 256
"""Streams below this are the sensors' own noises."""
STREAMS_OF_A_FAULT = 4


@kernel(nogil=True)
def _draw(
    episode_seed: NDArray[np.int64], step: NDArray[np.int64], sensor: int, stream: int, normal: bool, out: NDArray[np.float32]
) -> None:
    for b in range(out.shape[0]):
        k0, k1 = world_key(episode_seed[b], step[b], sensor, stream)
        for i in range(out.shape[1]):
            bits = hash2(u4(i), k0, k1)
            out[b, i] = gaussian(bits) if normal else uniform(bits)


class Draws:
    """The random numbers of one sensor in N worlds."""

    def __init__(self, modality: Modality, index: int, episode_seed: Tensor, step: Tensor) -> None:
        """Choose the sensor and the instants, (N,) each."""
        self._sensor = sensor_number(modality, index)
        self._seed, self._step = episode_seed.contiguous(), step.contiguous()

    def _drawn(self, kind: FaultKind, count: int, stream: int, normal: bool, constant: bool) -> Tensor:
        out = torch.empty((len(self._seed), count))
        step = torch.zeros_like(self._step) if constant else self._step
        number = FIRST_STREAM + STREAMS_OF_A_FAULT * int(kind) + stream
        _draw(self._seed.numpy(), step.numpy(), self._sensor, number, normal, out.numpy())
        return out

    def uniform(self, kind: FaultKind, count: int, stream: int = 0) -> Tensor:
        """Numbers in (0, 1), anew at every step, (N, count)."""
        return self._drawn(kind, count, stream, False, False)

    def normal(self, kind: FaultKind, count: int, stream: int = 0) -> Tensor:
        """Standard normal numbers, anew at every step, (N, count)."""
        return self._drawn(kind, count, stream, True, False)

    def of_episode(self, kind: FaultKind, count: int, stream: int = 0) -> Tensor:
        """Numbers in (0, 1) that stay the same throughout an episode, (N, count)."""
        return self._drawn(kind, count, stream, False, True)

    def select(self, rows: Tensor) -> Draws:
        """The same for some of the worlds."""
        some = Draws.__new__(Draws)
        some._sensor, some._seed, some._step = self._sensor, self._seed[rows], self._step[rows]
        return some
