"""A study with real H.264 clips, the real server in a process of its own, and a browser."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from feedback.accounts import Accounts
from feedback.server.app import create_app
from feedback.store import ClipRow, Store

CHROMIUM = Path("/usr/bin/chromium")
FRAMES_PER_S = 15
SIZE = (240, 270)  # width, height


def draw_frame(number: int, count: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A road with a box that drives along it, seen from ahead (above) and from the sky (below)."""
    width, height = SIZE
    image = np.full((height, width, 3), 110, np.uint8)
    image[: height // 4] = (150, 190, 230)
    image[height // 2 :] = (70, 80, 70)
    image[height * 5 // 8 : height * 7 // 8] = (105, 105, 110)
    image[height * 3 // 4 - 1 : height * 3 // 4 + 1, (np.arange(width) + 4 * number) % 24 < 12] = 240
    side = 16 + 40 * number // count
    image[height // 4 + 20 : height // 4 + 20 + side, (width - side) // 2 : (width + side) // 2] = colour
    left = 20 + (width - 60) * number // count
    image[height * 3 // 4 + 10 : height * 3 // 4 + 26, left : left + 34] = colour
    return image


def write_clip(path: Path, duration_s: float, colour: tuple[int, int, int]) -> str:
    """Write a small H.264 MP4; gives its SHA-256."""
    import av

    count = round(duration_s * FRAMES_PER_S)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(FRAMES_PER_S), options={"preset": "ultrafast", "g": "5"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(draw_frame(number, count, colour), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_study(folder: Path, pairs: int) -> None:
    """Make a study with so many pairs of neighbouring clips."""
    (folder / "clips").mkdir(parents=True)
    colours = [(220, 60, 50), (60, 120, 220), (240, 180, 40), (90, 190, 90)]
    with Store(folder / "feedback.db") as store:
        ids = []
        for number in range(pairs + 1):
            path = f"clips/{number}.mp4"
            sha256 = write_clip(folder / path, 3.0 + 0.2 * (number % 2), colours[number % len(colours)])
            outcome = "crashed at 1.4 s" if number % 2 else "reached the end at 3.0 s"
            row = ClipRow(
                id=f"{number:064x}",
                env_id="highway-v0",
                seed=number,
                scenes_path=f"clips/{number}.parquet",
                scenes_sha256=f"{number:064x}",
                duration_s=3.0,
                outcome=outcome,
                driver="secret-driver",
                video_path=path,
                video_sha256=sha256,
                video_frames_per_s=FRAMES_PER_S,
            )
            ids.append(store.add_clip(row))
        for first, second in zip(ids[:-1], ids[1:], strict=True):
            store.add_pair(first, second)


@dataclass
class Room:
    """A study, and its server when it runs."""

    study: Path
    token: str
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve as ``drive-fusion review`` does; the same port again after a restart."""
        program = "from drive_fusion.cli import main; raise SystemExit(main())"
        command = [sys.executable, "-c", program, "review", str(self.study), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("review room: http://127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=10)
            self.process = None

    def labels(self, active: bool = True) -> list[Any]:
        with Store(self.study / "feedback.db") as store:
            return store.labels(active)


@pytest.fixture(scope="session")
def prepared_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Three pairs and an account, made once and copied; with the account's token."""
    folder = tmp_path_factory.mktemp("prepared") / "study"
    make_study(folder, pairs=3)
    with Store(folder / "feedback.db") as store:
        _, token = Accounts(store).add_person("Ada")
    return folder, token


@pytest.fixture
def room(prepared_study: tuple[Path, str], tmp_path: Path) -> Iterator[Room]:
    served = Room(Path(shutil.copytree(prepared_study[0], tmp_path / "study")), prepared_study[1])
    served.start()
    yield served
    served.stop()


@pytest.fixture
def near_room(prepared_study: tuple[Path, str], tmp_path: Path) -> Iterator[Room]:
    """The same room in a thread of this process: it starts sooner, where a test is about the page."""
    study = Path(shutil.copytree(prepared_study[0], tmp_path / "study"))
    with Store(study / "feedback.db") as store, socket.create_server(("127.0.0.1", 0)) as listener:
        served = Room(study, prepared_study[1], listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(create_app(store, url=served.url), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield served
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium; where it is absent the test is skipped, unless everything is required."""
    problem = ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        problem = "playwright is not installed: pip install 'drive-fusion[test]'"
    if not CHROMIUM.exists():
        problem = f"{CHROMIUM} is absent: apt-get install chromium"
    if problem and os.environ.get("DRIVE_FUSION_REQUIRE_ALL") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()
