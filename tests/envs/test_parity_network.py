"""Every other native id against highway-env itself, in a process whose NumPy is pinned; also with changed settings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from envs.oracle import CONTINUE, Course, drive
from envs.parity import Difference, difference, follow, random_drive

CONTINUOUS = {"action": {"type": "ContinuousAction"}}
SHORT: dict[str, tuple[str, int, dict[str, Any]]] = {
    "exit": ("exit-v0", 8, {"vehicles_count": 8}),
    "intersection": ("intersection-v0", 18, {}),
    "intersection on tyres": ("intersection-v1", 8, {}),
    "lane-keeping": ("lane-keeping-v0", 30, {}),
    "merge, connected lanes": ("merge-v1", 14, {}),
    "merge-generic": ("merge-generic-v0", 10, {"lanes_count": 3, "vehicles_count": 8}),
    "parking among parked cars": ("parking-parked-v0", 20, {}),
    "racetrack, steering and throttle": ("racetrack-v0", 30, {"other_vehicles": 4} | CONTINUOUS),
    "racetrack-oval with obstacles": ("racetrack-oval-v0", 20, {"no_lanes": 4, "block_lane": True, "other_vehicles": 3}),
    "roundabout": ("roundabout-v0", 11, {}),
    "roundabout-generic": ("roundabout-generic-v1", 8, {"roundabout_lanes": 3}),
    "two-way": ("two-way-v0", 15, {}),
    "u-turn": ("u-turn-v0", 10, {}),
    "highway, steered": ("highway-fast-v0", 10, {"vehicles_count": 8} | CONTINUOUS),
}
LONG: dict[str, tuple[str, int, dict[str, Any]]] = {
    "exit-v1": ("exit-v1", 18, {}),
    "exit, four lanes, steered": ("exit-v0", 18, {"lanes_count": 4, "vehicles_count": 30} | CONTINUOUS),
    "intersection-v2": ("intersection-v2", 20, {}),
    "intersection, dense, five decisions a second": (
        "intersection-v0",
        60,
        {"spawn_probability": 0.9, "initial_vehicle_count": 15, "destination": None, "policy_frequency": 5},
    ),
    "merge-v0": ("merge-v0", 20, {}),
    "merge, discrete actions": ("merge-v0", 20, {"action": {"type": "DiscreteAction"}}),
    "merge, speeds only": ("merge-v0", 40, {"policy_frequency": 3, "action": {"type": "DiscreteMetaAction", "lateral": False}}),
    "merge-generic-v1": ("merge-generic-v1", 20, {}),
    "parking-v0": ("parking-v0", 100, {}),
    "parking-ActionRepeat-v0": ("parking-ActionRepeat-v0", 20, {}),
    "racetrack-v1": ("racetrack-v1", 100, {}),
    "racetrack-large-v0": ("racetrack-large-v0", 100, {"other_vehicles": 6}),
    "racetrack-large-v1": ("racetrack-large-v1", 60, {"policy_frequency": 15}),
    "racetrack-oval-v1": ("racetrack-oval-v1", 60, {"force_decision": True, "action": {"type": "DiscreteAction"}}),
    "roundabout-v1": ("roundabout-v1", 20, {"incoming_vehicle_destination": 1}),
    "roundabout-generic-v0": ("roundabout-generic-v0", 17, {"vehicles_count": 12, "roundabout_radius": 30}),
    "u-turn-v1": ("u-turn-v1", 20, {}),
}


TWICE = ("intersection", "merge, connected lanes", "roundabout")
"""Drives with a second episode, which goes on with the generator of the first."""


def courses_of(
    drives: dict[str, tuple[str, int, dict[str, Any]]], seeds: Sequence[int], twice: Sequence[str] = ()
) -> dict[str, list[tuple[Course, Course]]]:
    """Native and highway-env's courses of every drive, from one oracle process."""
    made = [
        random_drive(id, [*seeds, CONTINUE] if name in twice else seeds, decisions, config)
        for name, (id, decisions, config) in drives.items()
    ]
    return {name: list(zip(follow(one), theirs, strict=True)) for name, one, theirs in zip(drives, made, drive(made), strict=True)}


@pytest.fixture(scope="module")
def short() -> dict[str, list[tuple[Course, Course]]]:
    """All of ``SHORT``, one oracle process for all."""
    return courses_of(SHORT, [4711], TWICE)


def assert_same(pairs: Sequence[tuple[Course, Course]]) -> None:
    worst = Difference.worst([difference(*pair) for pair in pairs])
    assert worst.position_m <= 1e-9 and worst.heading_rad <= 1e-9 and worst.speed_mps <= 1e-9, worst
    assert worst.decisions == 0 and worst.ends == 0, worst
    assert worst.reward <= 1e-9 and worst.observation <= 1e-6, worst


@pytest.mark.parametrize("name", SHORT)
def test_native_world_equals_highway_env(name: str, short: dict[str, list[tuple[Course, Course]]]) -> None:
    assert_same(short[name])


def test_drives_hold_what_could_differ(short: dict[str, list[tuple[Course, Course]]]) -> None:
    """Parity of cars that only roll along would say little."""
    every = [oracle for pairs in short.values() for _, oracle in pairs]
    assert sum(course.decisions[-1, :, 2].sum() for course in every) >= 5  # crashed cars
    assert sum((np.diff(course.decisions[..., 0], axis=0) != 0).sum() for course in every) >= 100  # lanes left for others
    assert any(course.ends[:, 0].any() for course in every) and any(course.ends[:, 1].any() for course in every)
    assert len({tuple(oracle.counts) for _, oracle in short["intersection"]}) == 2  # who comes and goes is drawn
    assert any((np.diff(oracle.counts) < 0).any() for _, oracle in short["intersection"])  # somebody left


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT | LONG)
def test_longer_episodes(name: str) -> None:
    id, decisions, config = (SHORT | LONG)[name]
    assert_same(courses_of({name: (id, 2 * decisions, config)}, range(90_000, 90_004))[name])
