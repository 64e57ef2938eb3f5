"""Weather and faults of a world by name, as the command line gives them, and suites that draw them anew for every episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from envs.seeds import hashed, uniform
from sensors.errors import unknown_name
from sensors.faults import FAULTS_OF, Faults, Modality
from sensors.faults.entries import ALL_SENSORS, FOR_EVER
from sensors.faults.kinds import SEVERITIES
from sensors.weather import PRESETS, Weather


def set_conditions(world: Any, weather: str | None = None, faults: Sequence[str] = ()) -> None:
    """Give every world of a batch weather and faults; they are in each scene from now on.

    Args:
        world: A ``World`` or ``ReferenceWorld``.
        weather: One of ``sensors.weather.PRESETS``; None leaves it.
        faults: Each ``KIND[:MODALITY[:SEVERITY[:START[:END]]]]``, as ``Faults.parse`` reads them; none leaves them.

    Raises:
        ConfigError: An unknown weather, fault or modality, or a number out of range.
    """
    if weather is not None:
        world.weather = Weather.named(weather, world.num_worlds, world.device)
    if faults:
        world.faults = Faults.join([Faults.parse(text, world.num_worlds, world.device) for text in faults])


MIXED_KEY = 0x6D69786564
"""Keeps the draws of the mixed suite apart from all others of an episode's seed."""
NO_FAULT = (0.3, 0.6)
"""Share of a mixed suite's episodes without any fault, and with one at most; the others have two."""
FIRST_STEPS = 75
"""A fault of a mixed suite begins within so many simulation steps of the start."""
STAYS = 0.5
"""Share of a mixed suite's faults that last to the end; the others end as many steps after their beginning as are drawn of FIRST_STEPS."""


def mixed(seeds: Tensor) -> tuple[Weather, Faults]:
    """Weather and faults of B episodes, each drawn from its own seed: the same episode meets the same in every batch and for every driver.

    Every weather of ``PRESETS`` is as likely. A fault is of a modality (each as likely), of a kind that this modality can have (each as
    likely) and of severity 1 to 3, and acts on all sensors of the modality.

    Args:
        seeds: Of the episodes, int64 (B,).
    """
    keys = hashed(seeds.cpu(), MIXED_KEY)
    drawn = [Weather.named(name, len(keys)) for name in PRESETS]
    which = (uniform(keys, 0) * len(PRESETS)).long()
    weather = drawn[0]
    for number, other in enumerate(drawn):
        weather = weather.merge(other, which == number)
    many = uniform(keys, 1)
    return weather, Faults.join([_drawn_fault(keys, number, many >= share) for number, share in enumerate(NO_FAULT)])


def _drawn_fault(keys: Tensor, number: int, there: Tensor) -> Faults:
    """One fault of every episode, where it is to be there."""
    chance = [uniform(keys, 2, number, part) for part in range(6)]
    modality = (chance[0] * len(Modality)).long()
    kinds = torch.zeros_like(modality)
    for each in Modality:
        choices = torch.tensor([int(kind) for kind in FAULTS_OF[each]])
        kinds = torch.where(modality == int(each), choices[(chance[1] * len(choices)).long()], kinds)
    start = (chance[3] * FIRST_STEPS).long()
    end = torch.where(chance[4] < STAYS, FOR_EVER, start + 1 + (chance[5] * FIRST_STEPS).long())
    columns = (kinds * there, modality, torch.full_like(kinds, ALL_SENSORS), 1 + (chance[2] * len(SEVERITIES)).long(), start, end)
    return Faults(*(column[:, None] for column in columns))


SUITES: dict[str, Callable[[Tensor], tuple[Weather, Faults]]] = {"mixed": mixed}
"""Conditions that differ from episode to episode, by name."""


def draw_conditions(world: Any, suite: str | None, seeds: Tensor | Sequence[int], where: Tensor | None = None) -> None:
    """Give worlds the weather and faults of the episodes that they are about to start.

    Args:
        world: A ``World``; without a suite it is left as it is.
        suite: A name of ``SUITES``.
        seeds: Of the episodes, int64 (B,).
        where: The worlds that start, bool (B,); all unless given.

    Raises:
        ConfigError: There is no such suite.
    """
    if suite is None:
        return
    weather, faults = SUITES[checked_suite(suite)](torch.as_tensor(seeds, dtype=torch.int64))
    weather, faults = weather.to(world.device), faults.to(world.device)
    if where is not None:
        where = where.to(world.device)
        weather, faults = world.weather.merge(weather, where), world.faults.merge(faults, where)
    world.weather, world.faults = weather, faults


def checked_suite(suite: str) -> str:
    """The name of a suite that there is.

    Raises:
        ConfigError: There is none of that name.
    """
    if suite not in SUITES:
        raise unknown_name("conditions", suite, SUITES)
    return suite
