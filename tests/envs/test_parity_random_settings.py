"""Settings that nobody chose: drawn for every id, native worlds go where highway-env goes; and the search itself finds what differs."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from drive_fusion.bench.parity import ParityBench, bench_parity
from envs.config import META_ACTIONS
from envs.ids import IDS
from envs.oracle import Course, Drive, attempt
from envs.parity import apart, follow
from envs.parity_hunt import Trial, compared, drawn_drive, told, trials
from envs.random_settings import DRAWERS, UNCHANGED, drawn_settings
from envs.reference_config import checked_config, defaults_of
from sensors.errors import ConfigError

QUICK = ("exit-v1", "intersection-multi-agent-v2", "merge-generic-v1", "racetrack-oval-v0")
KEY = 20_261_128
SHORT_S = 5.0


def assert_same(several: Sequence[Trial]) -> None:
    parted = [trial.line for trial in several if not trial.same]
    assert not parted, "\n".join(parted)


@pytest.mark.parametrize("id", IDS)
def test_every_setting_is_drawn_and_what_is_drawn_is_allowed(id: str) -> None:
    """And travels through JSON to highway-env's own process."""
    defaults = defaults_of(id)
    assert defaults.keys() <= DRAWERS.keys() | UNCHANGED | {"simulation_frequency", "policy_frequency"}
    drawn = [drawn_settings(id, defaults, np.random.default_rng((KEY, number))) for number in range(60)]
    for settings in drawn:
        assert json.loads(json.dumps(settings)) == settings
        checked_config(id, settings)
    missing = defaults.keys() - UNCHANGED - {key for settings in drawn for key in settings}
    assert not missing and any("action" in settings for settings in drawn) and any("observation" in settings for settings in drawn)


IDLE = Drive("merge-v0", (3,), ((META_ACTIONS.index("IDLE"),) * 3,))
STEERED = Drive("merge-v0", (1,), (((0.1, 0.2),),), {"action": {"type": "ContinuousAction"}})


@pytest.fixture(scope="module")
def oracle() -> dict[str, list[Course] | str]:
    """What highway-env does with a draw of each id, with a plain drive and with one that it fails at; one process for all."""
    drives = {id: drawn_drive(id, 0, KEY, SHORT_S) for id in QUICK} | {"steered": STEERED, "idle": IDLE}
    return dict(zip(drives, attempt(list(drives.values())), strict=True))


@pytest.mark.parametrize("id", QUICK)
def test_drawn_settings_give_highway_envs_numbers(id: str, oracle: dict[str, list[Course] | str]) -> None:
    """Two episodes of one draw; ``slow`` has many of every id."""
    found = compared(drawn_drive(id, 0, KEY, SHORT_S), 0, oracle[id])
    assert_same([found])
    assert not found.failed


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
def test_many_drawn_settings_of_every_id(number: int) -> None:
    (found,) = trials(IDS, [number], KEY)
    assert_same(found)
    assert sum(trial.failed for trial in found) <= 6  # where highway-env itself raises there is nothing to compare


def test_what_differs_is_told_with_decision_car_and_margin(oracle: dict[str, list[Course] | str]) -> None:
    one, theirs = IDLE, oracle["idle"]
    assert not isinstance(theirs, str) and compared(one, 0, theirs).same
    moved = [replace(theirs[0], cars=theirs[0].cars + 1e-6 * (np.arange(4)[:, None, None] >= 2))]
    found = compared(one, 7, moved)
    assert not found.same and "merge-v0 number 7: seed 3, episode 0, decision 2, car " in found.line and "1e-06 apart" in found.line
    assert "observation 3 is" in str(told(theirs[0], replace(theirs[0], observations=_off(theirs[0].observations, 2e-6))))
    assert "decision 2: reward 0 is" in str(told(theirs[0], replace(theirs[0], rewards=_off(theirs[0].rewards, 2e-9, 1, 0))))
    assert "decision 2: ends 0 is" in str(told(theirs[0], replace(theirs[0], ends=~theirs[0].ends & (np.arange(3)[:, None] == 1))))


def _off(values: np.ndarray, by: float, row: int = 1, column: int = 3) -> np.ndarray:
    changed = values.copy().reshape(len(values), -1)
    changed[row, column] += by
    return changed.reshape(values.shape)


def test_where_highway_env_raises_its_error_is_told(oracle: dict[str, list[Course] | str]) -> None:
    """Merge asks whether an action of two numbers is in a list; the drive after it goes on."""
    failed, went = oracle["steered"], oracle["idle"]
    assert isinstance(failed, str) and "ValueError" in failed and "merge_env.py" in failed
    assert isinstance(went[0], Course)
    trial = compared(STEERED, 0, failed)
    assert trial.failed and trial.same and "highway-env fails where native worlds go on" in trial.line
    assert follow(STEERED)[0].rewards.shape == (1,)


def test_bench_parity_tries_random_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Every number on every id asked for, until the time is over."""
    figures = bench_parity(ParityBench(ids=("u-turn-v0",), random_settings=5, seed=KEY, seconds=1e-3))
    assert figures == {
        "u-turn-v0.random_settings.tried": 1.0,
        "u-turn-v0.random_settings.same": 1.0,
        "u-turn-v0.random_settings.highway_env_fails": 0.0,
    }
    assert capsys.readouterr().out == ""
    with pytest.raises(ConfigError, match="random_settings is -1"):
        ParityBench(random_settings=-1)
    with pytest.raises(ConfigError, match="seconds is 0"):
        ParityBench(seconds=0.0)


def test_nan_equals_nan_alone() -> None:
    values = np.array([np.nan, np.inf, 1.0, np.nan, np.inf])
    assert apart(values, np.array([np.nan, np.inf, 3.0, 1.0, -np.inf])).tolist() == [0.0, 0.0, 2.0, np.inf, np.inf]


def test_draws_are_the_same_again() -> None:
    assert drawn_drive("racetrack-v0", 3, KEY) == drawn_drive("racetrack-v0", 3, KEY) != drawn_drive("racetrack-v0", 4, KEY)
