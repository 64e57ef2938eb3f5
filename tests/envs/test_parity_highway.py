"""Native worlds against highway-env itself, in a process whose NumPy is pinned."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from envs.oracle import CONTINUE, Course, Drive, drive
from envs.parity import Difference, difference, follow, random_drive

FEW = {"vehicles_count": 8}
DRIVES = {
    "fast, full traffic, past crashes": random_drive("highway-fast-v0", [101, 102, CONTINUE], 30),
    "highway, full traffic": random_drive("highway-v0", [103], 10),
    "autopilot on and off": random_drive("highway-fast-v0", [104], 20, FEW, autopilot=0.6),
    "dense and narrow": random_drive("highway-v0", [105], 8, {"lanes_count": 2, "vehicles_count": 12, "vehicles_density": 6.0}),
    "one lane, two decisions a second": random_drive("highway-v0", [106], 12, FEW | {"lanes_count": 1, "policy_frequency": 2}),
    "rates that do not divide, no traffic": random_drive(
        "highway-fast-v0", [107], 24, {"vehicles_count": 0, "policy_frequency": 3, "simulation_frequency": 8, "duration": 7}
    ),
    "other rewards and a fixed lane": random_drive(
        "highway-fast-v0",
        [2**33 + 5],
        12,
        FEW
        | {
            "lanes_count": 6,
            "initial_lane_id": 5,
            "ego_spacing": 0.5,
            "reward_speed_range": [15, 25],
            "collision_reward": -3,
            "normalize_reward": False,
        },
    ),
    "other set speeds and rows": random_drive(
        "highway-fast-v0",
        [109],
        10,
        FEW
        | {
            "action": {"type": "DiscreteMetaAction", "lateral": False, "target_speeds": [0, 10, 20, 30, 40]},
            "observation": {"type": "Kinematics", "vehicles_count": 7},
        },
    ),
}


@pytest.fixture(scope="module")
def courses() -> dict[str, list[Course]]:
    """All of ``DRIVES`` in one oracle process."""
    return dict(zip(DRIVES, drive(list(DRIVES.values())), strict=True))


def assert_same(differences: Sequence[Difference]) -> None:
    worst = Difference.worst(differences)
    assert worst.position_m <= 1e-9, worst
    assert worst.heading_rad <= 1e-9 and worst.speed_mps <= 1e-9, worst
    assert worst.decisions == 0 and worst.ends == 0, worst
    assert worst.reward <= 1e-9 and worst.observation <= 1e-6, worst


@pytest.mark.parametrize("name", DRIVES)
def test_native_world_equals_highway_env(name: str, courses: dict[str, list[Course]]) -> None:
    assert_same([difference(*pair) for pair in zip(follow(DRIVES[name]), courses[name], strict=True)])


def test_drives_hold_crashes_lane_changes_and_ends(courses: dict[str, list[Course]]) -> None:
    """Parity of empty driving would say little."""
    every = [course for several in courses.values() for course in several]
    assert sum(course.decisions[-1, :, 2].sum() for course in every) >= 4
    assert sum((np.diff(course.decisions[..., 0], axis=0) != 0).sum() for course in every) >= 20
    assert any(course.ends[:, 0].any() for course in every) and any(course.ends[:, 1].any() for course in every)


def test_difference_sees_a_moved_car(courses: dict[str, list[Course]]) -> None:
    """The comparison itself must be able to fail."""
    native = follow(DRIVES["autopilot on and off"])[0]
    native.cars[5, 2, 0] += 1e-6
    assert difference(native, courses["autopilot on and off"][0]).position_m == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("slower", [0.0, 0.7])
@pytest.mark.parametrize("first", range(5000, 5040, 10))
def test_whole_fast_episodes(first: int, slower: float, oracle: Callable[[Drive], list[Course]]) -> None:
    one = random_drive("highway-fast-v0", range(first, first + 10), 30, slower=slower, key=first)
    assert_same([difference(*pair) for pair in zip(follow(one), oracle(one), strict=True)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6000, 6008))
def test_whole_highway_episodes(seed: int, oracle: Callable[[Drive], list[Course]]) -> None:
    one = random_drive("highway-v0", [seed], 40, slower=0.5 * (seed % 2), key=seed)
    assert_same([difference(*pair) for pair in zip(follow(one), oracle(one), strict=True)])


@pytest.mark.slow
def test_to_the_end_of_the_road(oracle: Callable[[Drive], list[Course]]) -> None:
    """Lanes end at 10 km: cars drive on, but are on no lane any more."""
    one = Drive("highway-fast-v0", (31,), ((3,) * 400,), {"vehicles_count": 3, "ego_spacing": 4.0})
    course = oracle(one)[0]
    assert course.cars[-1, 0, 0] > 10_005.0
    assert_same([difference(follow(one)[0], course)])
