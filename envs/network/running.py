"""Decisions of an engine's worlds, one after another: kernels prepared once, and room that every decision writes anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.agents import REWARDS, TERMINATED
from envs.engine import Decision, Hands, Stepped
from envs.network.actions import Taking
from envs.network.batch import step_share, take_wheels
from envs.network.layout import CAR, NOBODY, OUTCOME
from envs.traffic.pace import Pace
from envs.traffic.team import SILENT, over_threads
from sensors.jit import leaf
from sensors.prepared import compiled, lasting, prepared

if TYPE_CHECKING:
    from envs.network.engine import NetworkEngine

NOBODY_FORCED = np.zeros((0, 0), np.bool_)
NO_CONTROLS = np.zeros((0, 0, 0, 2))
NO_EFFORTS = np.zeros(0)
NO_NUMBERS = np.zeros(0, np.int64)


class Running:
    """Made anew when the engine's records are; a world that makes no decision needs none."""

    def __init__(self, engine: NetworkEngine) -> None:
        """Prepare the kernels for the engine's records."""
        self._engine, book, observer = engine, engine._rulebook, engine._observer
        self._worlds, records = engine.cars.shape
        worlds, state = self._worlds, (engine.cars, engine.episodes)
        acting, told = worlds * (engine.agents or 1), 2 * (engine.agents or 0)
        self._taking, self._pace = Taking(engine._actions, acting), Pace()
        self._piloted = np.zeros(acting, np.bool_)
        self._outcomes, self._terms = np.zeros(worlds, OUTCOME), np.zeros((worlds, max(len(book.terms), 1) + told))
        self._no_trace, self._no_vehicles = np.empty((0, worlds, records), CAR), np.zeros((0, worlds), np.int32)
        self._before = None if book.before is None else prepared(book.before, 0, worlds, *state, engine._network)
        self._take_wheels = prepared(take_wheels, 0, worlds, *state, self._taking.controls) if book.observes_first else None
        self._ended, onwards = np.zeros(worlds, np.bool_), np.full(worlds, NOBODY, np.int64)
        self._observe, self._observe_new = observer.prepared(*state), observer.prepared(*state, self._ended)
        places, targets = (*state, engine._network, engine._rules), engine._actions.targets_mps
        self._spawn = prepared(book.spawn, 0, worlds, *places, targets, engine._fixtures, book.params, onwards, self._ended)
        self._after = None if book.after is None else prepared(book.after, 0, worlds, *places, book.params)
        self._judges: dict[np.dtype[Any], Callable[..., None]] = {}
        self._settle = self._prepared_settle()
        moving = (*places, targets, self._taking.meta, self._taking.controls, self._piloted)
        rest = (NOBODY_FORCED, NO_CONTROLS, self._no_trace, self._no_vehicles, 0, engine.substeps)
        self._step_share, self._moving = compiled(step_share, SILENT, SILENT, *moving, *rest), lasting(*moving)

    def _prepared_settle(self) -> Callable[..., bool]:
        taking, ends = self._taking, self._piloted
        written = (self._outcomes, self._engine.episodes)
        return prepared(settle, *written, taking.numbers, taking.given, self._piloted, self._ended, like=(np.zeros(len(ends)), ends, ends))

    def step(self, decision: Decision) -> Stepped:
        """Step, judge, observe and renew all worlds; where a function says who drives it is asked before every substep.

        Raises:
            ConfigError: Actions that are not finite, or too large.
        """
        engine, observes = self._engine, decision.autoreset or self._engine._keeps
        actions = decision.actions if engine.agents is None else decision.actions.reshape(-1, *decision.actions.shape[2:])
        self._piloted[:] = decision.autopilot.reshape(-1)
        self._taking.take(actions, self._piloted)
        observations = engine._observer.new(self._worlds) if observes else {}
        seen = tuple(observations.values())
        self._prepare(seen)
        instants = self._move_all(decision)
        self._judge(actions)
        if seen and self._take_wheels is None:
            self._observe(seen)
        reward, terminated, truncated = np.empty(self._worlds), np.empty(self._worlds, np.bool_), np.empty(self._worlds, np.bool_)
        renews = self._settle(reward, terminated, truncated) and decision.autoreset
        finals = {name: _only(values, self._ended) for name, values in observations.items()} if renews else {}
        self._turn_over()
        if renews:
            self._renew(seen)
        terms = self._told(engine.agents, () if decision.autoreset else engine._rulebook.terms)
        return Stepped(reward, terminated, truncated, terms, instants, observations, finals)

    def _told(self, agents: int | None, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Terms of the worlds' rewards by some names, (B,), and what each of several agents earned, (B, N)."""
        told: dict[str, NDArray[Any]] = {name: self._terms[:, number].copy() for number, name in enumerate(names)}
        if agents is not None:
            told[REWARDS] = self._terms[:, -2 * agents : -agents].copy()
            told[TERMINATED] = self._terms[:, -agents:] > 0.0
        return told

    def _prepare(self, seen: tuple[NDArray[Any], ...]) -> None:
        """What comes before anything moves."""
        if self._before is not None:
            self._before()
        if self._take_wheels is not None:
            self._take_wheels()
            if seen:
                self._observe(seen)

    def _move_all(self, decision: Decision) -> tuple[Any, ...]:
        """All substeps; gives snapshots after each where they are asked for."""
        substeps, trace, vehicles = self._engine.substeps, self._no_trace, self._no_vehicles
        if decision.instants:
            trace = np.empty((substeps, *self._engine.cars.shape), CAR)
            vehicles = np.zeros((substeps, self._worlds), np.int32)
        if callable(decision.hands):
            for substep in range(substeps):
                self._move(decision.hands(substep), 1, trace, vehicles, substep, substep + 1)
        else:
            hands = decision.hands
            self._pace.run(decision.threads, lambda threads: self._move(hands, threads, trace, vehicles, 0, substeps))
        egos = self._engine.episodes["ego"].copy()  # what comes after the last substep may clear vehicles before it
        return tuple((cars, count, egos) for cars, count in zip(trace, vehicles, strict=True))

    def _move(self, hands: Hands | None, threads: int, trace: NDArray[Any], vehicles: NDArray[Any], opening: int, closing: int) -> None:
        forced = NOBODY_FORCED if hands is None else np.ascontiguousarray(hands.actors)
        controls = NO_CONTROLS if hands is None else np.ascontiguousarray(hands.controls * (1.0, -1.0))
        over_threads(self._step_share, self._worlds, threads, *self._moving, forced, controls, trace, vehicles, opening, closing)

    def _judge(self, actions: NDArray[Any]) -> None:
        """Rewards and ends; highway-env's reward takes over the precision of actions that it weighs."""
        engine, book = self._engine, self._engine._rulebook
        efforts = engine._actions.efforts(actions, self._piloted) if book.weighs_efforts else NO_EFFORTS
        numbers = NO_NUMBERS
        if book.weighs_actions:
            discrete = engine._actions.count is not None
            numbers = self._taking.numbers if discrete else engine._actions.numbers(actions, self._piloted)
        if efforts.dtype not in self._judges:
            first = (engine.cars, engine.episodes, engine._network, engine._rules, engine._actions.targets_mps, book.params)
            like = (numbers, efforts, self._outcomes, self._terms)
            self._judges[efforts.dtype] = prepared(book.judge, 0, self._worlds, *first, like=like)
        self._judges[efforts.dtype](numbers, efforts, self._outcomes, self._terms)

    def _turn_over(self) -> None:
        """What comes once a decision was judged and observed: traffic that spawns as it goes."""
        if self._after is not None:
            self._after()
            self._engine.vary()

    def _renew(self, seen: tuple[NDArray[Any], ...]) -> None:
        """Follow finished episodes by new ones, and observe those into arrays of all worlds."""
        self._spawn()
        self._engine.vary()
        self._observe_new(seen)


def _only(values: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[Any]:
    """Values (B, ...) of the worlds in a mask, zero elsewhere."""
    out = np.zeros_like(values)
    out[where] = values[where]
    return out


@leaf(nogil=True)
def settle(
    outcomes: Any, episodes: Any, numbers: Any, given: Any, autopilot: Any, ended: Any, reward: Any, terminated: Any, truncated: Any
) -> bool:
    """Hand out rewards and ends, and note each world's action.

    Args:
        outcomes: OUTCOME records, (B,).
        episodes: EPISODE records, (B,), written.
        numbers: Of discrete actions, (B * N,), those of a world's N agents one after the other; the first one's are noted.
        given: Continuous actions, (B * N, C); (B * N, 0) where they are discrete.
        autopilot: Whose continuous actions do not count, (B * N,).
        ended: Bool (B,), written, as all that follow.
        reward: Float64 (B,).
        terminated: Bool (B,).
        truncated: Bool (B,).

    Returns:
        Did any episode end?
    """
    ends, agents = False, len(autopilot) // len(outcomes)
    for world in range(len(outcomes)):
        first = world * agents
        outcome, episode = outcomes[world], episodes[world]
        reward[world], terminated[world], truncated[world] = outcome.reward, outcome.terminated, outcome.truncated
        ended[world] = outcome.terminated or outcome.truncated
        ends = ends or ended[world]
        if given.shape[1] == 0:
            episode.action = numbers[first]
        else:
            episode.throttle = 0.0 if autopilot[first] else given[first, 0]
            if given.shape[1] > 1:
                episode.wheel = 0.0 if autopilot[first] else given[first, 1]
    return ends
