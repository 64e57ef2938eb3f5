"""The highway on a GPU: one thread a world, state only, through the very functions that the CPU's kernels call.

This module needs numba-cuda (extra 'gpu') and is imported only where a GPU is meant. A kernel is compiled for the numbers of one
configuration.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from envs.traffic.batch import step_world
from envs.traffic.groups import groups_for
from envs.traffic.layout import GROUP, OUTCOME, Ahead, Line, Room, Rules
from envs.traffic.spawn import spawn_next

THREADS_PER_BLOCK = 64


@functools.cache
def kernel_for(rules: Rules, renews: bool) -> Any:
    """Make the kernel that steps every world by one decision.

    Args:
        rules: Numbers of the configuration, which become constants.
        renews: Follow finished episodes by new ones.

    Returns:
        A numba.cuda kernel of (cars, episodes, targets, actions, autopilot, outcomes, groups, order, rank, x, number, place): the
        arguments of ``step_world``, then a ``Room`` for every world, with a leading dimension of B.
    """

    @cuda.jit
    def step_on_device(
        cars: Any,
        episodes: Any,
        targets: Any,
        actions: Any,
        autopilot: Any,
        outcomes: Any,
        groups: Any,
        order: Any,
        rank: Any,
        x_m: Any,
        number: Any,
        place: Any,
    ) -> None:
        world = cuda.grid(1)
        if world >= len(cars):
            return
        room = Room(groups[world], Line(order[world], rank[world], x_m[world]), Ahead(number[world], place[world]))
        step_world(world, cars, episodes, rules, targets, actions, autopilot, outcomes, None, room)
        if renews and (outcomes[world].terminated or outcomes[world].truncated):
            spawn_next(cars[world], episodes[world], rules, targets)

    return step_on_device


def rooms_for(worlds: int, cars: int, lanes: int) -> tuple[NDArray[Any], ...]:
    """Room for every world, in the order that the kernel takes it."""
    return (
        np.zeros((worlds, groups_for(cars)), GROUP),
        np.zeros((worlds, cars), np.int64),
        np.zeros((worlds, cars), np.int64),
        np.zeros((worlds, cars)),
        np.zeros((worlds, lanes + 2), np.int64),
        np.zeros((worlds, lanes + 2, 3)),
    )


class DeviceHighways:
    """Worlds that stay on the GPU: they are handed over once, stepped there, and brought back when asked for."""

    def __init__(self, cars: NDArray[Any], episodes: NDArray[Any], rules: Rules, targets_mps: NDArray[np.float64], renews: bool) -> None:
        """Copy worlds to the current CUDA device.

        Args:
            cars: CAR records, (B, A).
            episodes: EPISODE records, (B,).
            rules: What all worlds share.
            targets_mps: Set speeds of the ego [m/s].
            renews: Follow finished episodes by new ones.
        """
        worlds = len(cars)
        self._kernel = kernel_for(rules, renews)[(worlds + THREADS_PER_BLOCK - 1) // THREADS_PER_BLOCK, THREADS_PER_BLOCK]
        self._state = tuple(cuda.to_device(array) for array in (cars, episodes, targets_mps))
        self._rest = tuple(
            cuda.to_device(array)
            for array in (np.zeros(worlds, np.bool_), np.zeros(worlds, OUTCOME), *rooms_for(worlds, cars.shape[1], rules.lanes))
        )

    def step(self, actions: Any) -> None:
        """Advance all worlds by one decision: meta-actions, int64 (B,), on the device. Returns before the device has done it."""
        self._kernel(*self._state, actions, *self._rest)

    def state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Bring back cars, episodes and the last outcomes."""
        cars, episodes, _ = self._state
        return cars.copy_to_host(), episodes.copy_to_host(), self._rest[1].copy_to_host()
