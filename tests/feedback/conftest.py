"""A small study: five clips without files, four pairs, one reviewer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.store import ClipRow, Store


def clip_row(number: int, **changes: object) -> ClipRow:
    values = {
        "id": f"{number:064x}",
        "env_id": "highway-v0",
        "seed": number,
        "scenes_path": f"clips/{number}.parquet",
        "scenes_sha256": f"{number:064x}",
        "duration_s": 8.0,
        "outcome": "reached the end at 8.0 s",
    }
    return ClipRow(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def small_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once and copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("database") / "feedback.db"
    with Store(path) as opened:
        ids = [opened.add_clip(clip_row(number)) for number in range(1, 6)]
        for first, second in zip(ids[:-1], ids[1:], strict=True):
            opened.add_pair(first, second)
    return path


@pytest.fixture
def store(study: Path, small_database: Path) -> Iterator[Store]:
    shutil.copy(small_database, study)
    with Store(study / "feedback.db") as opened:
        yield opened


@pytest.fixture
def reviewer_id(store: Store) -> int:
    return store.add_reviewer("otter")[0]
