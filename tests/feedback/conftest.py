"""A small study: five clips without files, four pairs, one reviewer."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from envs.drivers import driver_named
from envs.recording import Recording
from envs.rollout import record
from envs.world import World
from feedback.store import ClipRow, Store
from sensors.faults import Faults
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Scene
from sensors.weather import Weather
from tests.feedback.postgres_cluster import Cluster, running_cluster


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


def fill(opened: Store) -> None:
    ids = [opened.add_clip(clip_row(number)) for number in range(1, 6)]
    for first, second in zip(ids[:-1], ids[1:], strict=True):
        opened.add_pair(first, second)


@pytest.fixture(scope="session")
def small_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once and copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("database") / "feedback.db"
    with Store(path) as opened:
        fill(opened)
    return path


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL, of this run's own."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def small_postgres(cluster: Cluster) -> str:
    """The small study in PostgreSQL, made once and copied; the name of its database."""
    with Store(cluster.create("small")) as opened:
        fill(opened)
    return "small"


@pytest.fixture
def kind() -> str:
    """Kind of database; modules whose tests hold for both override it."""
    return "sqlite"


@pytest.fixture
def database(study: Path, kind: str, request: pytest.FixtureRequest) -> str:
    """Where the small study's database is."""
    if kind == "postgres":
        cluster: Cluster = request.getfixturevalue("cluster")
        url = cluster.create(f"test_{next(_numbers)}", template=request.getfixturevalue("small_postgres"))
        (study / "database.url").write_text(url + "\n")
        return url
    shutil.copy(request.getfixturevalue("small_database"), study)
    return str(study / "feedback.db")


_numbers = itertools.count()


@pytest.fixture
def store(study: Path, database: str) -> Iterator[Store]:
    with Store(database, folder=study) as opened:
        yield opened


@pytest.fixture
def reviewer_id(store: Store) -> int:
    return store.add_reviewer("otter")[0]


@pytest.fixture(scope="session")
def highway_scene() -> Callable[..., Scene]:
    """Build scenes on a straight road of three 4 m lanes, lane 0 the leftmost at y = 0; a car is (x, y, speed)."""
    road = RoadMap.build(
        [Lane(chain((0.0, -4.0 * index), 0.0, [(10_000.0, 0.0)]), 4.0, Line.SOLID, Line.SOLID, 30.0, "road", index) for index in range(3)]
    )

    def build(*worlds: Sequence[tuple[float, float, float]], time_s: float = 0.0, crashed: bool = False, seed: int = 0) -> Scene:
        count, room = len(worlds), max(len(cars) for cars in worlds)
        table, valid = torch.zeros(count, room, 3), torch.zeros(count, room, dtype=torch.bool)
        for world, cars in enumerate(worlds):
            table[world, : len(cars)] = torch.tensor(cars)
            valid[world, : len(cars)] = True
        zeros, numbers = torch.zeros(count, room), torch.zeros(count, room, dtype=torch.int64)
        ego_crashed = torch.zeros(count, room, dtype=torch.bool)
        ego_crashed[:, 0] = crashed
        return Scene(
            position_m=table[..., :2],
            heading_rad=zeros,
            velocity_mps=torch.stack((table[..., 2], zeros), -1),
            acceleration_mps2=torch.zeros(count, room, 2),
            yaw_rate_radps=zeros,
            size_m=torch.tensor([5.0, 2.0, 1.5]).expand(count, room, 3),
            kind=numbers,
            lights=numbers,
            crashed=ego_crashed,
            valid=valid,
            road=road,
            weather=Weather.clear(count),
            faults=Faults.none(count),
            time_s=torch.full((count,), time_s),
            episode_seed=torch.full((count,), seed),
            step=torch.full((count,), round(5 * time_s)),
            action=torch.zeros(count, 5),
        )

    return build


@pytest.fixture(scope="session")
def rides() -> dict[str, list[Recording]]:
    """Eight whole episodes of three drivers on the same seeds: random ones crash, slow ones and IDM do not."""
    world = World("highway-fast-v0", num_worlds=8, num_threads=1)
    return {name: record(world, driver_named(name, 5), torch.arange(8)) for name in ("random", "slower", "idm")}
