"""Fixtures of the world's tests."""

from collections.abc import Callable

import pytest
from numba import set_num_threads

from envs.oracle import Course, Drive, drive


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share a small machine; those of threads set their own number."""
    set_num_threads(1)


@pytest.fixture(scope="session")
def oracle() -> Callable[[Drive], list[Course]]:
    """What highway-env does with a drive, from a pinned process; each drive is run once a session."""
    known: dict[str, list[Course]] = {}

    def courses(one: Drive) -> list[Course]:
        if repr(one) not in known:
            known[repr(one)] = drive([one])[0]
        return known[repr(one)]

    return courses
