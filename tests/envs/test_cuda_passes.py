"""The passes in which a GPU's threads share a world, played on the CPU with the last thread first, against the serial kernel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.native import Highways
from envs.traffic.groups import groups_for
from envs.traffic.layout import GROUP, LANE_WIDTH_M, OUTCOME
from envs.traffic.passes import plan_for, step_in_passes

DENSE = {"vehicles_count": 30, "vehicles_density": 3.0, "lanes_count": 4}


def twins(id: str, worlds: int, config: dict[str, float], mode: str) -> tuple[Highways, Highways]:
    pair = Highways(id, worlds, config, mode), Highways(id, worlds, config, mode)
    for one in pair:
        one.reset(np.arange(worlds) + 7)
    return pair


def in_passes(highways: Highways, actions: NDArray[np.int64], threads: int) -> NDArray[np.void]:
    outcomes, groups = np.zeros(len(highways.cars), OUTCOME), np.zeros(groups_for(highways.cars.shape[1]), GROUP)
    own, chosen = highways.highway, highways.highway.meta_actions[actions]
    step_in_passes(
        highways.cars, highways.episodes, own.rules, own.targets_mps, chosen, outcomes, groups, plan_for(len(groups)), threads, True
    )
    return outcomes


def equal(here: Highways, there: Highways) -> None:
    for name in here.cars.dtype.names or ():
        np.testing.assert_array_equal(there.cars[name], here.cars[name], err_msg=name)
    for name in ("state_high", "state_low", "clock_s", "seed"):
        np.testing.assert_array_equal(there.episodes[name], here.episodes[name], err_msg=name)


@pytest.mark.parametrize(
    ("id", "config", "mode"),
    [
        ("highway-fast-v0", {}, "fast"),
        ("highway-v0", DENSE, "fast"),
        pytest.param("highway-fast-v0", {}, "exact", marks=pytest.mark.slow),
        pytest.param("highway-v0", DENSE, "exact", marks=pytest.mark.slow),
    ],
)
def test_episodes_are_bit_equal(id: str, config: dict[str, float], mode: str) -> None:
    """Many seeds with lane changes, crashes and new episodes among them; any number of threads."""
    serial, shared = twins(id, 48, config, mode)
    draws, changing, crashed, ended = np.random.default_rng(1), 0, 0, 0
    for decision in range(24):
        actions = draws.integers(0, 5, 48)
        outcomes = serial.step_and_renew(actions)[0]
        again = in_passes(shared, actions, (32, 8, 3)[decision % 3])
        equal(serial, shared)
        np.testing.assert_array_equal(again["reward"], outcomes["reward"])
        changing += int((serial.cars["lane"] != serial.cars["target_lane"])[:, 1:].sum())
        crashed += int(serial.cars["crashed"].sum())
        ended += int((outcomes["terminated"] | outcomes["truncated"]).sum())
    assert changing > 20 and ended > 20 and (crashed > 0 or id == "highway-fast-v0")


def test_who_gives_way_hangs_on_the_order_and_is_settled_by_it() -> None:
    """Crowds in which every third car changes lane, those ahead first in the list, so that changers read each other's new targets."""
    serial, shared = twins("highway-v0", 64, DENSE, "fast")
    for one in (serial, shared):
        one.cars[:, 1:] = one.cars[:, :0:-1].copy()
    draws = np.random.default_rng(2)
    lane = serial.cars["lane"]
    moves = (draws.random(lane.shape) < 0.35) & serial.cars["autonomous"]
    aims = np.where(moves, np.clip(lane + draws.choice([-1, 1], lane.shape), 0, 3), lane).astype(np.int32)
    for one in (serial, shared):
        one.cars["target_lane"] = aims
        one.cars["x_m"] = 200.0 + (one.cars["x_m"] - 200.0) * 0.3  # near enough to be in each other's way
    frozen = shared.cars.copy()
    actions = np.ones(64, np.int64)
    serial.step_and_renew(actions)
    in_passes(shared, actions, 32)
    equal(serial, shared)
    reverted = (frozen["target_lane"] != frozen["lane"]) & (serial.cars["target_lane"] == frozen["lane"])
    assert int(reverted.sum()) > 50 and np.abs(serial.cars["y_m"] - LANE_WIDTH_M * serial.cars["lane"]).max() > 0.1
