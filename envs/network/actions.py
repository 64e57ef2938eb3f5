"""How actions that people hand in become what the kernels take, by highway-env's own mapping and its dtype."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.config import DEFAULT_TARGET_SPEEDS_MPS, META_ACTIONS
from envs.network.layout import BY_COMMAND, BY_TYRES, BY_WHEEL, NOBODY
from envs.override import MOST
from envs.reference_episode import action_names, action_width, idle_action
from sensors.errors import ConfigError


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
    """The actions of an id, read from a highway-env environment."""

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
        kind, names, width = env.action_type, action_names(env), action_width(env.action_space)
        targets = np.asarray(getattr(kind, "target_speeds", DEFAULT_TARGET_SPEEDS_MPS), np.float64)
        meta = np.asarray([META_ACTIONS.index(name) for name in names], np.int64)
        count = int(env.action_space.n) if hasattr(env.action_space, "n") else None
        if names:
            return Actions(names, count, width, names.index("IDLE"), BY_COMMAND, targets, meta, np.zeros((0, 2)), None)
        driver = BY_TYRES if kind.dynamical else BY_WHEEL
        idle = NOBODY if count is None else int(idle_action(env))
        table = np.zeros((0, 2)) if count is None else _table(env, count)
        wheel = Wheel(**{field.name: getattr(kind, field.name) for field in fields(Wheel)})
        return Actions(names, count, width, idle, driver, targets, meta, table, wheel)

    def controls(self, actions: NDArray[Any]) -> NDArray[np.float64]:
        """Acceleration [m/s2] and steering [rad] of the ego, (B, 2), computed in the actions' own dtype (ContinuousAction.get_action)."""
        if self.wheel is None:
            return np.zeros((len(actions), 2))
        return self.table[actions] if self.count is not None else _controls(self.wheel, actions)

    def numbers(self, actions: NDArray[Any], autopilot: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The action's number where highway-env's rewards ask for it; what a continuous one is compared with is its value."""
        if self.count is not None:
            return np.where(autopilot, self.idle, actions)
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


def _controls(wheel: Wheel, actions: NDArray[Any]) -> NDArray[np.float64]:
    """highway-env's mapping from [-1, 1], a row for each action, (N, C) to (N, 2)."""  # noqa: D403
    given = np.minimum(np.maximum(actions, -1), 1) if wheel.clip else actions  # np.clip takes thrice as long
    if not wheel.clip and np.abs(given).max(initial=0.0) > MOST:
        raise ConfigError(f"step: actions reach {np.abs(given).max():.3g}, expected at most {MOST:.0e} where clip is off: speeds overflow")
    out = np.zeros((len(given), 2))
    columns = iter(range(given.shape[1]))
    for place, chosen, limits in ((0, wheel.longitudinal, wheel.acceleration_range), (1, wheel.lateral, wheel.steering_range)):
        if chosen:
            low, high = limits
            out[:, place] = low + (given[:, next(columns)] + 1) * (high - low) / 2
    return out


def _table(env: Any, count: int) -> NDArray[np.float64]:
    """What highway-env's DiscreteAction does for each number, found by letting it act on a stand-in for the car."""  # noqa: D403
    kind = env.action_type
    rows = []
    for number in range(count):
        seen: list[dict[str, float]] = []
        kind.controlled_vehicle = type("Seen", (), {"act": lambda self, action, seen=seen: seen.append(action)})()
        kind.act(number)
        rows.append((float(seen[0]["acceleration"]), float(seen[0]["steering"])))
    return np.array(rows)
