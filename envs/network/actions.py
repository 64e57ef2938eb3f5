"""How actions that people hand in become what the kernels take, by highway-env's own mapping and its dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import DEFAULT_TARGET_SPEEDS_MPS, META_ACTIONS
from envs.network.layout import BY_COMMAND, BY_TYRES, BY_WHEEL, NOBODY
from envs.override import MOST
from envs.reference_episode import action_names, action_width, actor_of, idle_action
from sensors.errors import ConfigError
from sensors.jit import leaf
from sensors.prepared import prepared


@dataclass(frozen=True)
class Wheel:
    """How values in [-1, 1] become acceleration and steering (highway-env's ContinuousAction)."""

    clip: bool
    longitudinal: bool
    lateral: bool
    acceleration_range: tuple[Any, Any]
    steering_range: tuple[Any, Any]
    speed_range: tuple[Any, Any] | None


@dataclass(frozen=True)
class Actions:
    """The actions of an id, those of one agent where there are several, read from a highway-env environment."""

    names: tuple[str, ...]
    count: int | None
    """How many there are to choose from; None for continuous ones."""
    width: int
    idle: int
    """Number of the action that an autopilot's decisions are charged for."""
    driver: int
    targets_mps: NDArray[np.float64]
    meta: NDArray[np.int64]
    """The meta-action behind each action."""
    table: NDArray[np.float64]
    """Acceleration and steering behind each discrete action, (N, 2)."""
    wheel: Wheel | None
    """Of continuous actions."""

    @staticmethod
    def of(env: Any) -> Actions:
        """Read them."""
        kind, space = actor_of(env), actor_of(env).space()
        names, width = action_names(env), action_width(space)
        targets = np.asarray(getattr(kind, "target_speeds", DEFAULT_TARGET_SPEEDS_MPS), np.float64)
        meta = np.asarray([META_ACTIONS.index(name) for name in names], np.int64)
        count = int(space.n) if hasattr(space, "n") else None
        if names:
            return Actions(names, count, width, names.index("IDLE"), BY_COMMAND, targets, meta, np.zeros((0, 2)), None)
        driver = BY_TYRES if kind.dynamical else BY_WHEEL
        idle = NOBODY if count is None else int(idle_action(env))
        table = np.zeros((0, 2)) if count is None else _table(env, count)
        wheel = Wheel(**{field.name: getattr(kind, field.name) for field in fields(Wheel)})
        return Actions(names, count, width, idle, driver, targets, meta, table, wheel)

    def numbers(self, actions: NDArray[Any], autopilot: NDArray[np.bool_]) -> NDArray[np.int64]:
        """What a continuous action is where highway-env's rewards compare it with the number of a discrete one, (B,)."""
        exact = (actions[:, 0] == 0) | (actions[:, 0] == 2)
        return np.where(exact & (self.width == 1) & ~autopilot, 0, NOBODY).astype(np.int64)

    def efforts(self, actions: NDArray[Any], autopilot: NDArray[np.bool_]) -> NDArray[Any]:
        """Norm of each action as given, (B,), in its own precision: rewards take that over."""
        given = (
            np.where(autopilot[:, None], actions.dtype.type(0), actions)
            if self.count is None
            else np.where(autopilot, self.idle, actions)[:, None]
        )
        if given.dtype.kind != "f":
            return np.abs(given[:, 0]).astype(np.float64)
        if given.shape[1] == 1:
            return np.sqrt(given[:, 0] * given[:, 0])
        return np.array([np.linalg.norm(row) for row in given])


class Taking:
    """What the actions of B worlds become, in arrays that every decision writes anew."""

    def __init__(self, actions: Actions, worlds: int) -> None:
        """Make room, and prepare the kernels."""
        self._actions = actions
        self.meta = np.zeros(worlds, np.int64)
        """Meta-actions, (B,)."""
        self.controls = np.zeros((worlds, 2))
        """Acceleration [m/s2] and steering [rad] of the ego, (B, 2)."""
        self.numbers = np.zeros(worlds, np.int64)
        """Of discrete actions, an autopilot's idle one included, (B,)."""
        self.given = np.zeros((worlds, 0 if actions.count is not None else actions.width))
        """Continuous actions as they were given, (B, C)."""
        self._chosen = np.zeros(worlds, np.int64)
        if actions.count is not None:
            meta, rest = actions.meta, (actions.table, self.meta, self.controls, self.numbers)
            self._choose = prepared(choose, self._chosen, actions.idle, meta, *rest, like=(np.zeros(worlds, np.bool_),))
        self._by_hand: dict[np.dtype[Any], tuple[NDArray[Any], list[Callable[[], float]]]] = {}

    def take(self, actions: NDArray[Any], autopilot: NDArray[np.bool_]) -> None:
        """Write what actions become.

        Args:
            actions: Whole numbers (B,), or float32 or float64 (B, C), of which the worlds' shape was checked.
            autopilot: Whose actions do not count, (B,).

        Raises:
            ConfigError: Continuous actions that are not finite, or too large.
        """
        if self._actions.count is not None:
            self._chosen[:] = actions
            self._choose(autopilot)
            return
        if actions.dtype not in self._by_hand:
            self._by_hand[actions.dtype] = self._steers(actions.dtype)
        room, steers = self._by_hand[actions.dtype]
        room[:] = actions
        self.given[:] = actions
        furthest = max(steer() for steer in steers)
        if furthest == np.inf:
            raise ConfigError("step: actions hold NaN or infinity, expected finite numbers")
        if furthest > MOST and not (self._actions.wheel and self._actions.wheel.clip):
            raise ConfigError(f"step: actions reach {furthest:.3g}, expected at most {MOST:.0e} where clip is off: speeds overflow")

    def _steers(self, kind: np.dtype[Any]) -> tuple[NDArray[Any], list[Callable[[], float]]]:
        """Room for actions of a dtype, and a prepared kernel for each of their columns."""
        wheel = self._actions.wheel
        assert wheel is not None
        room, units = np.zeros(self.given.shape, kind), np.array((1, 2), kind)
        steers: list[Callable[[], float]] = []
        for place, chosen, limits in ((0, wheel.longitudinal, wheel.acceleration_range), (1, wheel.lateral, wheel.steering_range)):
            if chosen:
                low, span = (_as_numpy_counts(number, kind) for number in (limits[0], limits[1] - limits[0]))
                steers.append(prepared(steer_column, room, len(steers), wheel.clip, low, span, units, self.controls, place))
        return room, steers


def _as_numpy_counts(number: Any, kind: np.dtype[Any]) -> NDArray[Any]:
    """A number as it enters NumPy's arithmetic with an array of a dtype, (1,): Python's own take the array's dtype."""
    return np.array([number], kind if type(number) in (int, float) else np.asarray(number).dtype)


@leaf(nogil=True)
def choose(chosen: Any, idle: int, metas: Any, table: Any, meta: Any, controls: Any, numbers: Any, autopilot: Any) -> None:
    """Look discrete actions up.

    Args:
        chosen: Their numbers, (B,).
        idle: What an autopilot's are charged for.
        metas: The meta-action behind each, (N,), or (0,).
        table: Acceleration and steering behind each, (N, 2), or (0, 2).
        meta: Meta-actions, (B,), written, as all that follow.
        controls: Acceleration and steering, (B, 2).
        numbers: Numbers that count, (B,).
        autopilot: Where an autopilot drives, (B,).
    """
    for world in range(len(chosen)):
        number = chosen[world]
        numbers[world] = idle if autopilot[world] else number
        if len(metas) > 0:
            meta[world] = metas[number]
        if len(table) > 0:
            controls[world, 0], controls[world, 1] = table[number, 0], table[number, 1]


@leaf(nogil=True)
def steer_column(given: Any, column: int, clips: bool, low: Any, span: Any, units: Any, controls: Any, place: int) -> float:
    """Map a column of continuous actions from [-1, 1], in their own dtype (ContinuousAction.get_action).

    Args:
        given: Actions, (B, C) float32 or float64.
        column: Which one.
        clips: Are they clipped to [-1, 1]?
        low: What -1 becomes, (1,).
        span: From there to what 1 becomes, (1,).
        units: 1 and 2 in the actions' dtype, (2,).
        controls: Acceleration and steering, (B, 2), of which one column is written.
        place: Which one.

    Returns:
        How far from 0 an action is at most; infinity if one is not finite.
    """
    furthest = 0.0
    for world in range(len(given)):
        value = given[world, column]
        if not abs(value) < np.inf:
            return np.inf
        furthest = max(furthest, float(abs(value)))
        if clips:
            value = min(max(value, -units[0]), units[0])
        controls[world, place] = low[0] + (value + units[0]) * span[0] / units[1]
    return furthest


def _table(env: Any, count: int) -> NDArray[np.float64]:
    """What highway-env's DiscreteAction does for each number, found by letting it act on a stand-in for the car."""  # noqa: D403
    kind = actor_of(env)
    rows = []
    for number in range(count):
        seen: list[dict[str, float]] = []
        kind.controlled_vehicle = type("Seen", (), {"act": lambda self, action, seen=seen: seen.append(action)})()
        kind.act(number)
        rows.append((float(seen[0]["acceleration"]), float(seen[0]["steering"])))
    return np.array(rows)
