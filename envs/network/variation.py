"""Domain randomisation: how many others there are, how polite they are and how fast they want to be, drawn anew for every episode.

Draws are keyed by the episode's seed and leave highway-env's own draws alone: an episode is still its seed, its actions and its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.network.layout import BY_IDM
from envs.settings import is_number
from envs.traffic.generator import SPLIT_FIRST, SPLIT_GAMMA, SPLIT_SECOND, TO_UNIT
from sensors.errors import ConfigError, unknown_name
from sensors.jit import leaf

DENSITY, POLITENESS, SPEED, PRESENCE = range(4)


class Variation(NamedTuple):
    """Ranges; where the low end is NaN nothing is varied."""

    density_low: float
    density_high: float
    politeness_low: float
    politeness_high: float
    speed_low_mps: float
    speed_high_mps: float


KEYS = {
    "density": "share of the other cars that is there, 0 to 1, drawn for an episode",
    "politeness": "of MOBIL, 0 to 1, drawn for a car",
    "desired_speed_mps": "of IDM, above 0, drawn for a car",
}


def variation_of(given: Any) -> Variation:
    """Read the setting ``variation``: a dict of ranges, each two numbers that do not fall.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"variation is {given!r}, expected a dict of ranges: {', '.join(KEYS)}")
    limits = {"density": (0.0, 1.0), "politeness": (0.0, 1.0), "desired_speed_mps": (0.1, 100.0)}
    ranges = []
    for key in given:
        if key not in KEYS:
            raise unknown_name("key in variation", str(key), KEYS)
    for key, (least, most) in limits.items():
        pair = given.get(key, (np.nan, np.nan))
        if key in given and not (
            isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(is_number, pair)) and least <= pair[0] <= pair[1] <= most
        ):
            raise ConfigError(f"variation: {key} is {pair!r}, expected two numbers from {least} to {most} that do not fall ({KEYS[key]})")
        ranges += [float(pair[0]), float(pair[1])]
    return Variation(*ranges)


@leaf()
def keyed_unit(seed: int, number: int, purpose: int) -> float:
    """A number in [0, 1) that follows from an episode's seed, a car and what it is for (splitmix64)."""
    state = np.uint64(0)
    for key in (np.uint64(seed), np.uint64(number), np.uint64(purpose)):
        state = state + key + SPLIT_GAMMA
        state = (state ^ (state >> np.uint64(30))) * SPLIT_FIRST
        state = (state ^ (state >> np.uint64(27))) * SPLIT_SECOND
        state = state ^ (state >> np.uint64(31))
    return np.float64(state >> np.uint64(11)) * TO_UNIT


@leaf()
def between(low: float, high: float, unit: float) -> float:
    """A place in a range."""
    return low + (high - low) * unit


@leaf(nogil=True)
def vary_worlds(first: int, end: int, cars: Any, episodes: Any, variation: Variation, agents: int) -> None:
    """Vary the cars that appeared since the last call; agents, and cars that nobody drives, stay as they are.

    Args:
        first: First world of the share.
        end: World after the last.
        cars: CAR records, (B, A).
        episodes: EPISODE records, (B,).
        variation: The ranges.
        agents: How many agents a world has.
    """
    for world in range(first, end):
        mine, episode = cars[world], episodes[world]
        density = between(variation.density_low, variation.density_high, keyed_unit(episode.seed, 0, DENSITY))
        kept = 0
        ego = episode.ego
        for number in range(episode.vehicles):
            car = mine[number]
            fresh = car.driver == BY_IDM and not (ego <= number < ego + agents) and not car.varied
            if fresh:
                episode.appeared += 1
                if keyed_unit(episode.seed, episode.appeared, PRESENCE) >= density:
                    continue
                vary_car(car, episode.seed, episode.appeared, variation)
            if number == ego:
                episode.ego = kept
            if kept != number:
                mine[kept] = car
            kept += 1
        episode.vehicles = kept


@leaf()
def vary_car(car: Any, seed: int, number: int, variation: Variation) -> None:
    """Draw how a car drives."""
    car.varied = True
    if not np.isnan(variation.politeness_low):
        car.politeness = between(variation.politeness_low, variation.politeness_high, keyed_unit(seed, number, POLITENESS))
    if not np.isnan(variation.speed_low_mps):
        car.target_speed_mps = between(variation.speed_low_mps, variation.speed_high_mps, keyed_unit(seed, number, SPEED))
