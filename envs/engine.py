"""What a World asks of the kernels behind it: one engine steps the straight highway, another one any road network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.road import RoadMap

Observations = dict[str, NDArray[Any]]
"""An observation of B worlds by its parts; the key "" holds one that has no parts."""
NOTHING_SEEN: Observations = {}


class NotNative(ConfigError):
    """A setting that highway-env allows and the kernels lack: ``ReferenceWorld`` serves it."""


@dataclass(frozen=True)
class Hands:
    """Controls of actors that somebody else drives for one decision, in the order and frame of the scene."""

    actors: NDArray[np.bool_]  # (B, A)
    controls: NDArray[np.float64]  # (substeps, B, A, 2) acceleration [m/s2], steering [rad, to the left]


class Decision(NamedTuple):
    """What is asked of the engine: one decision of B worlds. A tuple, as is the answer: one is made in a third of a dataclass's time."""

    actions: NDArray[Any]  # (B,) whole numbers or (B, C) floats, checked; (B, N) or (B, N, C) of several agents
    autopilot: NDArray[np.bool_]  # (B,) where IDM and MOBIL drive the ego; (B, N) of several agents
    hands: Hands | Callable[[int], Hands] | None = None
    """Who else drives; a function is asked before every substep."""
    instants: bool = False
    """Keep a snapshot after every substep?"""
    autoreset: bool = False
    """Follow a finished episode by a new one, and observe?"""
    threads: int = 1


class Stepped(NamedTuple):
    """What one decision of B worlds gave."""

    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    terms: dict[str, NDArray[Any]]
    """Those of the reward, which are left out where episodes follow each other; and those of each agent (``envs.agents``)."""
    instants: tuple[Any, ...] = ()
    """The engine's own snapshots after every substep, where they were asked for."""
    observations: Observations = NOTHING_SEEN
    """Of the worlds as they then stand, where finished episodes are followed by new ones."""
    finals: Observations = NOTHING_SEEN
    """Of the worlds as their episodes ended, zero elsewhere."""


def copied(records: NDArray[Any]) -> NDArray[Any]:
    """A copy of contiguous records as bytes: NumPy would copy each field of each by itself, which takes three times as long."""
    return records.view(np.uint8).copy().view(records.dtype)


@dataclass(frozen=True)
class Records:
    """What a scene is made of, once more: copies that no step changes."""

    cars: NDArray[Any]  # (B, A)
    episodes: NDArray[Any]  # (B,)


class Engine(Protocol):
    """Steps B worlds of one id with one configuration."""

    road: RoadMap
    action_names: tuple[str, ...]
    num_actions: int | None
    action_width: int
    agents: int | None
    """How many agents act, N; None where actions are those of one ego. Names, numbers and widths of actions are one agent's."""
    action_space: spaces.Space[Any]
    observation_space: spaces.Space[Any]
    decision_s: float
    substep_s: float
    substeps: int
    horizon_steps: int
    has_autopilot: bool
    may_grow: bool
    """Can worlds make more room for actors as they go on?"""
    config: dict[str, Any]
    """All settings, by highway-env's keys."""
    cars: NDArray[Any]
    """(B, A) records."""
    episodes: NDArray[Any]
    """(B,) records."""
    kept: Observations
    """An observation that cannot be made again from the records; most ids have none."""

    def kept_like(self) -> Observations:
        """Arrays of the shapes and dtypes that ``kept`` has once there is something to keep."""

    def renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        """Start episodes; a seed of -1 goes on with the world's own generator."""

    def step(self, decision: Decision) -> Stepped:
        """Advance every world by one decision."""

    def observation(self) -> Observations:
        """Observe every world as it stands."""

    def still(self) -> Records:
        """The records as they are now."""

    def egos_crashed(self) -> NDArray[np.bool_]:
        """Has the ego crashed? (B,); never written again."""

    def actors(self, kind: np.dtype[Any], instant: Any = None) -> dict[str, NDArray[Any]]:
        """The actors of all worlds by fields of ``Scene`` in a float dtype, now, of ``Records`` or at a snapshot; never written again.

        Beside them ``along_mps2``, the acceleration along the heading, and ``lane_change``, +1 to the left and -1 to the right.
        """

    def last_actions(self, episodes: NDArray[Any]) -> NDArray[np.float32]:
        """The last action of every world as the scene carries it, (B, C), of EPISODE records."""

    def check(self, cars: NDArray[Any], episodes: NDArray[Any]) -> None:
        """Raise ConfigError unless records that were handed in can be stepped."""

    def take(self, cars: NDArray[Any], episodes: NDArray[Any], kept: Observations) -> None:
        """Go on from checked records."""
