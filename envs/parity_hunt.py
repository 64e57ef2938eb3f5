"""Native worlds against highway-env on settings, seeds and actions that nobody chose: every id, drawn anew for every number.

``drive-fusion bench parity --random-settings 20 --seed 1`` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.oracle import CONTINUE, Course, Drive, attempt
from envs.parity import Difference, apart, departure, difference, follow, random_drive
from envs.random_settings import drawn_length, drawn_settings
from sensors.errors import ConfigError

TOLERANCE = 1e-9
"""Of places [m], headings [rad], speeds [m/s] and rewards."""
OBSERVATION_TOLERANCE = 1e-6
LONGEST_S = 12.0
MOST_DECISIONS = 40
REACH = 1.5
"""Continuous actions run beyond what highway-env maps, now and then."""


@dataclass(frozen=True)
class Trial:
    """One drawn setting and what became of it."""

    drive: Drive
    number: int
    same: bool
    text: str
    """What was found, in one line."""
    failed: bool = False
    """Did highway-env itself raise an exception, so that there is nothing to compare?"""

    @property
    def line(self) -> str:
        """What was found and how to find it again."""
        return f"{self.drive.id} number {self.number}: {self.text}; settings {self.drive.config}"


def drawn_drive(id: str, number: int, key: int, longest_s: float = LONGEST_S) -> Drive:
    """Draw settings, seeds and actions: two episodes, of which the second goes on with the generator of the first.

    Args:
        id: An id.
        number: Which draw of the id.
        key: Chooses among sets of draws.
        longest_s: How long an episode is at most.

    Raises:
        ConfigError: The drawn settings are refused.
    """
    from envs.ids import IDS
    from envs.reference_config import defaults_of

    draws = np.random.default_rng((key, IDS.index(id), number))
    defaults = defaults_of(id)
    config = drawn_settings(id, defaults, draws)
    decisions = drawn_length(defaults | config, draws, longest_s, MOST_DECISIONS)
    reach = REACH if draws.random() < 0.3 else 1.0
    slower = float(draws.choice([0.0, 0.0, 0.6]))
    seeds = [int(draws.integers(2**31)), CONTINUE]
    return random_drive(id, seeds, decisions, config, slower=slower, key=key, reach=reach)


def trials(ids: Sequence[str], numbers: Sequence[int], key: int) -> Iterator[list[Trial]]:
    """Try each number on all ids: one process of highway-env a number.

    Args:
        ids: Ids.
        numbers: Which draws of each.
        key: Chooses among sets of draws.
    """
    for number in numbers:
        drives, refused = [], []
        for id in ids:
            try:
                drives.append(drawn_drive(id, number, key))
            except ConfigError as error:
                refused.append(Trial(Drive(id, (), ()), number, False, f"refused: {error}"))
        yield refused + [compared(one, number, theirs) for one, theirs in zip(drives, attempt(drives), strict=True)]


def compared(one: Drive, number: int, theirs: list[Course] | str) -> Trial:
    """Drive natively what highway-env drove, or failed to drive with a message, and say what differs."""
    try:
        mine = follow(one)
    except Exception as error:
        if isinstance(theirs, str):
            return Trial(one, number, False, f"both fail: {type(error).__name__}: {error}; highway-env: {theirs}", failed=True)
        return Trial(one, number, False, f"{type(error).__name__}: {error}")
    if isinstance(theirs, str):
        return Trial(one, number, True, f"highway-env fails where native worlds go on: {theirs}", failed=True)
    for episode, pair in enumerate(zip(mine, theirs, strict=True)):
        found = told(*pair)
        if found is not None:
            return Trial(one, number, False, f"seed {one.seeds[0]}, episode {episode}, {found}")
    return Trial(one, number, True, "same")


def told(mine: Course, theirs: Course) -> str | None:
    """Say what differs beyond tolerance between two courses, None if nothing does."""
    if mine.observations.shape != theirs.observations.shape or mine.rewards.shape != theirs.rewards.shape:
        return f"observations of shape {mine.observations.shape}, highway-env's {theirs.observations.shape}"
    parted = departure(mine, theirs, TOLERANCE)
    if parted is not None:
        return parted
    worst = difference(mine, theirs)
    return outside(mine, theirs, worst)


def outside(mine: Course, theirs: Course, worst: Difference) -> str | None:
    """Of courses whose cars stay together: which rewards, ends or observations differ."""
    if not worst.reward <= TOLERANCE:
        return _first("reward", mine.rewards.reshape(len(mine.ends), -1), theirs.rewards.reshape(len(mine.ends), -1), TOLERANCE, 1)
    if worst.ends:
        return _first("ends", mine.ends.astype(float), theirs.ends.astype(float), 0.0, 1)
    if not worst.observation <= OBSERVATION_TOLERANCE:
        return _first("observation", mine.observations, theirs.observations, OBSERVATION_TOLERANCE, 0)
    return None


def _first(what: str, mine: Any, theirs: Any, tolerance: float, start: int) -> str:
    """Where two tables part for the first time, (T, N) each."""
    parted = apart(mine, theirs) > tolerance
    row = int(parted.any(-1).argmax())
    column = int(parted[row].argmax())
    return (
        f"decision {row + start}: {what} {column} is {float(mine[row, column])!r}, highway-env {float(theirs[row, column])!r} "
        f"({int(parted[row].sum())} of {parted.shape[1]} differ)"
    )
