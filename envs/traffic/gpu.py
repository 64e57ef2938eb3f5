"""The highway on a GPU, state only, through the very functions that the CPU's kernels call: one thread a world, or a group of threads.

This module needs numba-cuda (extra 'gpu') and is imported only where a GPU is meant. A kernel is compiled for the numbers of one
configuration. Both kernels round as the CPU does: in fast mode they give its very numbers (but for reported steering angles).

What a decision of highway-fast-v0 costs (21 cars, 5 substeps, fast mode), counted in the source: a substep of a car takes about 250
operations of float64 (free road 60, braking and tracking 40, steering and slip 60, motion 40, sine and cosine 40, lanes 10) and looks at
21 others with some 5 operations each, twice at times, so about 460 x 105, or 50 thousand. Records are read and written once a decision:
21 x 128 bytes of cars, 72 of the episode, 48 of the outcome, some 6 KB both ways together. On a GPU of 34 T float64 operations/s, half as
many where no product is fused with a sum, and 4.8 TB/s, as an H200's data sheet has it, that is 3 ns of arithmetic or 1.2 ns of memory: a
floor near 300 million decisions/s, set by arithmetic. It will not be reached: threads of a warp diverge, chains of float64 operations are
long, and a new episode is drawn by one thread. The target of 10 million asks for 3 % of it. Nothing of this paragraph is measured. What
the compiler says of the kernels for sm_90: 111 registers with several threads a world, 134 with one, no local memory and no spills.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from envs.traffic.batch import step_world
from envs.traffic.groups import groups_for
from envs.traffic.layout import GROUP, OUTCOME, SLOTS, Ahead, Line, Room, Rules
from envs.traffic.passes import (
    SPREAD_GROUP,
    Plan,
    close_decision,
    collide_all,
    decide_all,
    load_all,
    move_all,
    open_decision,
    settle,
    unload_all,
)
from envs.traffic.rounding import rounded_as_on_cpus
from envs.traffic.spawn import spawn_next
from sensors.errors import ConfigError

THREADS_PER_BLOCK = 64
SHARED_BYTES = 48 * 1024
"""What a block may keep in shared memory without asking for more."""


@functools.cache
def kernel_for(rules: Rules, renews: bool, registers: int | None = None) -> Any:
    """Make the kernel that steps every world by one decision, a thread each.

    Args:
        rules: Numbers of the configuration, which become constants.
        renews: Follow finished episodes by new ones.
        registers: The most registers that a thread may use; None leaves it to the compiler.

    Returns:
        A numba.cuda kernel of (cars, episodes, targets, actions, autopilot, outcomes, groups, order, rank, x, number, place): the
        arguments of ``step_world``, then a ``Room`` for every world, with a leading dimension of B.
    """

    @cuda.jit(**limit(registers))
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


@functools.cache
def shared_kernel_for(rules: Rules, renews: bool, cars: int, threads: int, worlds: int, registers: int | None = None) -> Any:
    """Make the kernel that steps every world by one decision, some threads each: ``envs.traffic.passes`` in shared memory.

    Args:
        rules: Numbers of the configuration, which become constants.
        renews: Follow finished episodes by new ones.
        cars: Cars of a world.
        threads: Threads that share a world.
        worlds: Worlds of a block.
        registers: The most registers that a thread may use; None leaves it to the compiler.

    Returns:
        A numba.cuda kernel of (cars, episodes, targets, actions, autopilot, outcomes), as ``kernel_for``'s; a block has
        ``threads * worlds`` threads.

    Raises:
        ConfigError: The cars do not fit.
    """
    groups = groups_for(cars)
    slots = groups * SLOTS
    need = worlds * shared_bytes(cars)
    if need > SHARED_BYTES:
        raise ConfigError(
            f"gpu: {worlds} worlds of {cars} cars take {need} bytes of shared memory, of which a block has {SHARED_BYTES}; "
            "choose fewer worlds a block, or one thread a world"
        )

    @cuda.jit(**limit(registers))
    def step_on_device(all_cars: Any, episodes: Any, targets: Any, actions: Any, autopilot: Any, outcomes: Any) -> None:
        all_groups = cuda.shared.array((worlds, groups), SPREAD_GROUP)
        lane = cuda.shared.array((worlds, slots), np.float64)
        acceleration = cuda.shared.array((worlds, slots), np.float64)
        is_changing = cuda.shared.array((worlds, 1), np.int64)
        place, thread = cuda.threadIdx.x // threads, cuda.threadIdx.x % threads
        world = cuda.blockIdx.x * worlds + place
        lives = world < len(all_cars)
        mine, own = all_cars[world if lives else 0], all_groups[place]
        plan = Plan(lane[place], acceleration[place], is_changing[place])
        if lives:
            if thread == 0:
                open_decision(mine, actions[world], autopilot[world], targets, rules.lanes)
            load_all(mine, own, plan, rules.lanes, thread, threads)
        cuda.syncthreads()
        for _ in range(rules.substeps):
            if lives:
                decide_all(own, plan, cars, rules.lanes, rules.fast, thread, threads)
            cuda.syncthreads()
            if lives and thread == 0:
                settle(own, plan, cars)
            cuda.syncthreads()
            if lives:
                move_all(own, plan, cars, rules, thread, threads)
            cuda.syncthreads()
            if lives:
                collide_all(own, cars, rules, thread, threads)
        if lives:
            unload_all(own, mine, rules.fast, thread, threads)
        cuda.syncthreads()
        if lives and thread == 0:
            close_decision(mine, episodes[world], outcomes[world], rules, targets, renews)

    return step_on_device


def limit(registers: int | None) -> dict[str, int]:
    """The option that limits a kernel's registers; numba's simulator knows no such option."""
    return {} if registers is None else {"max_registers": registers}


def shared_bytes(cars: int) -> int:
    """Shared memory of a world."""
    groups = groups_for(cars)
    return groups * SPREAD_GROUP.itemsize + (2 * groups * SLOTS + 1) * 8


def rooms_for(worlds: int, cars: int, lanes: int) -> tuple[NDArray[Any], ...]:
    """Room for every world, in the order that the kernel of one thread a world takes it."""
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

    def __init__(
        self,
        cars: NDArray[Any],
        episodes: NDArray[Any],
        rules: Rules,
        targets_mps: NDArray[np.float64],
        renews: bool,
        threads: int = 1,
        worlds_per_block: int = 4,
        registers: int | None = None,
    ) -> None:
        """Copy worlds to the current CUDA device.

        Args:
            cars: CAR records, (B, A).
            episodes: EPISODE records, (B,).
            rules: What all worlds share.
            targets_mps: Set speeds of the ego [m/s].
            renews: Follow finished episodes by new ones.
            threads: Threads that share a world.
            worlds_per_block: Worlds of a block, where several threads share a world.
            registers: The most registers that a thread may use; None leaves it to the compiler.

        Raises:
            ConfigError: The cars of a block do not fit into shared memory.
        """
        worlds, count = cars.shape
        self._state = tuple(cuda.to_device(array) for array in (cars, episodes, targets_mps))
        rest: tuple[NDArray[Any], ...] = (np.zeros(worlds, np.bool_), np.zeros(worlds, OUTCOME))
        if threads == 1:
            self.kernel, block, worlds_per_block = kernel_for(rules, renews, registers), THREADS_PER_BLOCK, THREADS_PER_BLOCK
            rest += rooms_for(worlds, count, rules.lanes)
        else:
            self.kernel, block = shared_kernel_for(rules, renews, count, threads, worlds_per_block, registers), threads * worlds_per_block
        self._launch = self.kernel[(worlds + worlds_per_block - 1) // worlds_per_block, block]
        self._rest = tuple(cuda.to_device(array) for array in rest)

    def prepare(self, actions: NDArray[np.int64]) -> tuple[Any, ...]:
        """Meta-actions, (B,), on the device, ready for ``step``."""
        return (cuda.to_device(actions),)

    def step(self, prepared: tuple[Any, ...]) -> None:
        """Advance all worlds by one decision. Returns before the device has done it."""
        with rounded_as_on_cpus():
            self._launch(*self._state, *prepared, *self._rest)

    def state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Bring back cars, episodes and the last outcomes."""
        cars, episodes, _ = self._state
        return cars.copy_to_host(), episodes.copy_to_host(), self._rest[1].copy_to_host()
