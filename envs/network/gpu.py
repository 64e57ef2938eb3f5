"""Worlds of any native id on a GPU: one thread a world, state only, through the very functions that the CPU's kernels call.

A decision is stepped, judged and, where wanted, followed by a new episode in one launch; draws are PCG64's own, so that an episode goes on
with the numbers it has on a CPU. This module needs numba-cuda (extra 'gpu') and is imported only where a GPU is meant.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from envs.network.actions import Taking
from envs.network.batch import step_world
from envs.network.engine import NetworkEngine
from envs.network.layout import NOBODY, OUTCOME, Network
from envs.network.running import NO_EFFORTS, NO_NUMBERS
from envs.network.scenarios.rulebook import Rulebook
from envs.traffic.rounding import rounded_as_on_cpus
from sensors.errors import ConfigError

THREADS_PER_BLOCK = 64
OUTCOMES = 11
"""Place of the outcomes among the arguments."""


@functools.cache
def kernel_for(book: tuple[Any, Any, Any, Any], renews: bool) -> Any:
    """Make the kernel that steps every world by one decision.

    Args:
        book: The scenario's own kernels: ``spawn``, ``judge``, ``before`` and ``after`` of a ``Rulebook``.
        renews: Follow finished episodes by new ones.

    Returns:
        A numba.cuda kernel; its arguments are those of ``arguments_of``.
    """
    spawn, judge, before, after = book
    has_before, has_after = before is not None, after is not None
    before, after = before or step_world, after or step_world  # a name for what is never called

    @cuda.jit
    def step_on_device(
        cars: Any,
        episodes: Any,
        lanes: Any,
        roads: Any,
        links: Any,
        routes: Any,
        shared: Any,
        targets: Any,
        fixtures: Any,
        params: Any,
        hands: Any,
        outcomes: Any,
        terms: Any,
        seeds: Any,
        ended: Any,
        meta: Any,
        controls: Any,
        numbers: Any,
        efforts: Any,
    ) -> None:
        world = cuda.grid(1)
        if world >= len(cars):
            return
        network, rules = Network(lanes, roads, links, routes), shared[0]
        autopilot, forced, forced_controls, trace, vehicles = hands
        if has_before:
            before(world, world + 1, cars, episodes, network)
        step_world(
            world,
            cars,
            episodes,
            network,
            rules,
            targets,
            meta,
            controls,
            autopilot,
            forced,
            forced_controls,
            trace,
            vehicles,
            0,
            rules.substeps,
        )
        judge(world, world + 1, cars, episodes, network, rules, targets, params, numbers, efforts, outcomes, terms)
        if has_after:
            after(world, world + 1, cars, episodes, network, rules, params)
        if renews:
            ended[world] = outcomes[world].terminated or outcomes[world].truncated
            spawn(world, world + 1, cars, episodes, network, rules, targets, fixtures, params, seeds, ended)

    return step_on_device


def book_of(rulebook: Rulebook) -> tuple[Any, Any, Any, Any]:
    """The kernels of a scenario, as ``kernel_for`` takes them."""
    return rulebook.spawn, rulebook.judge, rulebook.before, rulebook.after


def arguments_of(engine: NetworkEngine) -> tuple[Any, ...]:
    """What a kernel takes before the actions, as arrays on the host: cars, episodes, ... , ended."""
    worlds, book = len(engine.cars), engine._rulebook
    hands = (
        np.zeros(worlds, np.bool_),
        np.zeros((0, 0), np.bool_),
        np.zeros((0, 0, 0, 2)),
        np.zeros((0, *engine.cars.shape), engine.cars.dtype),
        np.zeros((0, worlds), np.int32),
    )
    return (
        engine.cars,
        engine.episodes,
        *engine._network,
        np.array([engine._rules], engine._rules.dtype),
        engine._actions.targets_mps,
        engine._fixtures,
        book.params,
        hands,
        np.zeros(worlds, OUTCOME),
        np.zeros((worlds, max(len(book.terms), 1))),
        np.full(worlds, NOBODY, np.int64),
        np.zeros(worlds, np.bool_),
    )


def actions_of(engine: NetworkEngine, actions: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Checked actions of all worlds, as ``World.step`` takes them, as what kernels take them for: meta, controls, numbers, efforts."""
    book, nobody, taking = engine._rulebook, np.zeros(len(actions), np.bool_), Taking(engine._actions, len(actions))
    taking.take(actions, nobody)
    discrete = taking.numbers if engine._actions.count is not None else engine._actions.numbers(actions, nobody)
    return (
        taking.meta,
        taking.controls,
        discrete if book.weighs_actions else NO_NUMBERS,
        engine._actions.efforts(actions, nobody) if book.weighs_efforts else NO_EFFORTS,
    )


def on_device(value: Any) -> Any:
    """Copy arrays to the GPU, also those in tuples; numbers stay as they are."""
    if isinstance(value, np.ndarray):  # numba's simulator assigns records to each other only if they are NumPy's
        return cuda.to_device(value.view(np.dtype((np.record, value.dtype))) if value.dtype.names else value)
    if isinstance(value, tuple):
        moved = [on_device(part) for part in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    return value


def require_able(engine: NetworkEngine) -> None:
    """Make sure that worlds can be stepped where their records cannot grow and nothing but the state is kept.

    Raises:
        ConfigError: They cannot.
    """
    book = engine._rulebook
    most = engine._rules.room
    if engine.agents is not None:
        raise ConfigError("gpu: several agents in one world are not served there; take an action of one ego, or step on the CPU")
    if engine._variation is not None:
        raise ConfigError("gpu: the setting 'variation' is not served there; leave it out, or step these worlds on the CPU")
    if engine._observer.draws:
        raise ConfigError("gpu: observations that draw random numbers are not made there; choose another one, or step on the CPU")
    if book.after is not None and most < int(engine.episodes["vehicles"].max(initial=0)) + engine.horizon_steps:
        raise ConfigError(
            f"gpu: records hold {most} vehicles and cannot grow there, but one may join at each of {engine.horizon_steps} decisions; "
            "choose a shorter duration, or step these worlds on the CPU"
        )


class DeviceWorlds:
    """Worlds that stay on the GPU: they are handed over once, stepped there, and brought back when asked for."""

    def __init__(self, engine: NetworkEngine, renews: bool) -> None:
        """Copy an engine's worlds to the current CUDA device.

        Args:
            engine: Its worlds were reset; it is not written to.
            renews: Follow finished episodes by new ones.

        Raises:
            ConfigError: Its settings need what only the CPU has.
        """
        require_able(engine)
        worlds = len(engine.cars)
        self._engine, self.kernel = engine, kernel_for(book_of(engine._rulebook), renews)
        self._launch = self.kernel[(worlds + THREADS_PER_BLOCK - 1) // THREADS_PER_BLOCK, THREADS_PER_BLOCK]
        self._held = tuple(on_device(value) for value in arguments_of(engine))

    def prepare(self, actions: NDArray[Any]) -> tuple[Any, ...]:
        """Actions on the device, ready for ``step``."""
        return tuple(on_device(value) for value in actions_of(self._engine, actions))

    def step(self, prepared: tuple[Any, ...]) -> None:
        """Advance all worlds by one decision. Returns before the device has done it. The last action is not noted in the episodes."""
        with rounded_as_on_cpus():
            self._launch(*self._held, *prepared)

    def state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Bring back cars, episodes and the last outcomes."""
        return self._held[0].copy_to_host(), self._held[1].copy_to_host(), self._held[OUTCOMES].copy_to_host()
