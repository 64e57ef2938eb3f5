"""The live rides of a server: who rides, what they see, and that each ride ends and is stored.

A ride runs in a thread; what it shows is a numbered packet that whoever watches gets the latest of. Nothing heavy is imported before the
first ride.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import secrets
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feedback.database import StoreError
from feedback.store import Store
from sensors.errors import DriveFusionError

if TYPE_CHECKING:
    from feedback.live_ride import LiveRide, RideResult
    from feedback.ride_journal import RideJournal

IDLE_S = 20.0
"""A ride whose page is not heard of for so long ends, and is stored."""
LIMIT_S = 20 * 60.0
"""No ride takes longer, pauses and slow motion included."""
WIDTH_PX = 640
VIDEO_WIDTH_PX = 480
JPEG_QUALITY = 82
MESSAGES_PER_S = 40.0
"""More messages of one ride are refused; a page sends some 15."""
SEEDS = 2**20


@dataclass(frozen=True)
class RideOffer:
    """What people can ride along with. Whoever starts the server hands in the driver: this floor knows no policies."""

    driver: str
    """Its name or checkpoint; reviewers are not told."""
    env_id: str
    """The world's id."""
    make: Callable[[], tuple[Any, Any]]
    """Makes one world and its driver (``envs.drivers.Driver``), anew for each ride."""


@dataclass
class OpenRide:
    """A ride from its start until its reviewer starts another."""

    reviewer_id: int
    client_key: str
    name: str = field(default_factory=lambda: secrets.token_hex(16))
    live: LiveRide | None = None
    """None while the world is made."""
    seq: int = 0
    """Number of the newest message; older ones that arrive late are nothing any more."""
    state: str = "starting"
    """starting, riding, storing, over."""
    ride_id: int | None = None
    """The ride's number in the store, once it is there."""
    line: str = ""
    """What went wrong, for the person."""
    packet: bytes = b""
    number: int = 0
    watchers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(default_factory=list)
    stopping: bool = False
    tokens: float = MESSAGES_PER_S
    refilled: float = field(default_factory=time.monotonic)
    thread: threading.Thread | None = None
    journal: RideJournal | None = None
    """What the ride has written down so far."""

    def spend(self) -> bool:
        """Take one message from the budget; tells whether there was one."""
        now = time.monotonic()
        self.tokens = min(MESSAGES_PER_S, self.tokens + (now - self.refilled) * MESSAGES_PER_S)
        self.refilled = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def publish(self, picture: bytes = b"") -> None:
        """Give a picture, and how things stand, to whoever watches."""
        about = json.dumps(self.about()).encode()
        self.packet = struct.pack(">II", len(about), len(picture)) + about + picture
        self.number += 1
        for loop, event in list(self.watchers):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # that loop has ended
                continue

    def about(self) -> dict[str, Any]:
        """How things stand, for the page."""
        live = self.live
        about: dict[str, Any] = {"state": self.state, "ride_id": self.ride_id, "line": self.line, "time_s": 0.0, "takeovers": []}
        if live is not None:
            takeovers = [{"onset_s": round(each.onset_s, 2), "release_s": each.release_s, "cause": each.cause} for each in live.takeovers]
            wish = live.present
            about |= {"time_s": round(live.time_s, 2), "held": live.held, "lost": live.lost, "paused": wish.paused, "rate": wish.rate}
            about |= {"wanted": wish.held, "takeovers": takeovers, "outcome": live.over}
        return about


class RideDesk:
    """Starts rides, finds them, ends them.

    Args:
        store: The study's store.
        offer: What is driven, and by whom.
        most: How many rides at the same time.
    """

    def __init__(self, store: Store, offer: RideOffer, most: int = 4) -> None:
        self.store, self.offer, self.most = store, offer, most
        self._lock = threading.Lock()
        self._filming = threading.Lock()  # one video at a time, so that rides keep their pace
        self._rides: dict[int, OpenRide] = {}
        self._closed = False

    def start(self, reviewer_id: int, client_key: str) -> OpenRide | None:
        """Start a ride, or give the one that this reviewer is on; None if all places are taken."""
        with self._lock:
            mine = self._rides.get(reviewer_id)
            if mine is not None and (mine.state != "over" or mine.client_key == client_key):
                return mine
            if self._closed or sum(ride.state != "over" for ride in self._rides.values()) >= self.most:
                return None
            ride = self._rides[reviewer_id] = OpenRide(reviewer_id, client_key)
            ride.thread = threading.Thread(target=self._run, args=(ride,), name=f"ride {ride.name[:6]}", daemon=True)
            ride.thread.start()
            return ride

    def find(self, reviewer_id: int, name: str) -> OpenRide | None:
        """Find a reviewer's ride by its name; never another's."""
        ride = self._rides.get(reviewer_id)
        return ride if ride is not None and secrets.compare_digest(ride.name, name) else None

    def stop(self, reviewer_id: int) -> None:
        """End a reviewer's ride, if there is one; it is stored."""
        ride = self._rides.get(reviewer_id)
        if ride is not None:
            ride.stopping = True
            if ride.live is not None:
                ride.live.stop()

    def close(self, wait_s: float = 20.0) -> None:
        """End all rides, and wait until they are stored."""
        with self._lock:
            self._closed = True
            rides = list(self._rides.values())
        for ride in rides:
            self.stop(ride.reviewer_id)
        until = time.monotonic() + wait_s
        for ride in rides:
            if ride.thread is not None:
                ride.thread.join(max(0.0, until - time.monotonic()))

    def warm(self) -> None:
        """Compile what a ride needs, so that the first person does not wait for it."""
        threading.Thread(target=self._warm, name="ride warm-up", daemon=True).start()

    def _warm(self) -> None:
        from feedback.live_ride import LiveRide, Wish

        shown = 0

        def show(live: LiveRide, scene: Any) -> None:
            nonlocal shown
            _picture(live, scene)
            shown += 1
            live.wish(Wish(held=shown > 1))
            if shown > 8 or self._closed:
                live.stop()

        try:
            LiveRide(*self.offer.make(), 0, show).run()
            self._recover()
            rows = [row for row in self.store.takeovers() if row.ride_id is not None and row.onset_s is not None]
            self._make_videos([clip_id for row in rows for clip_id in (row.clip_id, row.after_clip_id) if clip_id is not None])
        except DriveFusionError as error:
            logging.getLogger("uvicorn.error").error("ride-alongs: %s", error)

    def _recover(self) -> None:
        """Store what a kill of a server interrupted, as far as it got."""
        from feedback.ride_journal import interrupted, recover

        for path in interrupted(self.store.folder):
            try:
                recover(self.store, path)
            except DriveFusionError as error:
                logging.getLogger("uvicorn.error").error("ride %s: %s", path.name[:6], error)

    def _run(self, ride: OpenRide) -> None:
        kept = False
        try:
            result = self._ride(ride)
            ride.state = "storing"
            ride.publish()
            if result is None:
                ride.line = "This ride ended before it began; nothing was stored."
            else:
                self._store(ride, result)
            kept = True
        except StoreError as error:
            logging.getLogger("uvicorn.error").error("ride %s: %s", ride.name[:6], error)
            ride.line = "The ride could not be stored yet; it will be when the review room is next started. Tell who runs the study."
        except Exception:
            logging.getLogger("uvicorn.error").exception("ride %s failed", ride.name[:6])
            ride.line = "The ride broke down; start another, and tell who runs the study."
        finally:
            if ride.journal is not None:
                ride.journal.close(forget=kept)
            ride.state = "over"
            ride.publish()

    def _ride(self, ride: OpenRide) -> RideResult | None:
        from feedback.live_ride import LiveRide
        from feedback.ride_journal import RideJournal, beginning

        (self.store.folder / "rides").mkdir(exist_ok=True)
        world, driver = self.offer.make()
        seed = secrets.randbelow(SEEDS)
        about = beginning(ride.reviewer_id, ride.client_key, self.offer.driver, world, seed, driver.autopilot)
        ride.journal = RideJournal(self.store.folder / "rides", about)

        def show(live: LiveRide, scene: Any) -> None:
            ride.publish(_picture(live, scene))

        live = LiveRide(world, driver, seed, show, idle_s=IDLE_S, limit_s=LIMIT_S, note=ride.journal.note)
        ride.live, ride.state = live, "riding"
        if ride.stopping:
            live.stop()
        return live.run()

    def _store(self, ride: OpenRide, result: RideResult) -> None:
        from feedback.ride_files import keep_ride

        (self.store.folder / "clips").mkdir(exist_ok=True)
        name = None if ride.journal is None else ride.journal.name
        ride.ride_id, clips = keep_ride(self.store, ride.reviewer_id, self.offer.driver, result, ride.client_key, name)
        ride.state = "over"  # the person can go on; the videos come when they come
        ride.publish()
        self._make_videos(clips)

    def _make_videos(self, clips: list[str]) -> None:
        """Make the replays of takeovers; what a stop of the server leaves undone is made after its next start."""
        from feedback.clips import ClipShelf

        shelf = ClipShelf(self.store)
        for clip_id in clips:
            with self._filming:
                if self._closed:
                    return
                try:
                    shelf.add_video(clip_id, VIDEO_WIDTH_PX)
                except Exception:  # the ride is stored all the same; the next start tries again
                    logging.getLogger("uvicorn.error").exception("no video of clip %s", clip_id[:12])


def _picture(live: LiveRide, scene: Any) -> bytes:
    from PIL import Image

    from sensors.views.preview import PreviewSize, compose

    captions = ["you drive"] if live.held else None
    file = io.BytesIO()
    picture = compose(scene.to("cpu"), PreviewSize.of_width(WIDTH_PX), captions=captions)[0]
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


async def watch(ride: OpenRide, allowed: Callable[[], bool], check_every_s: float = 2.0) -> AsyncIterator[bytes]:
    """Give the packets of a ride as they come, the latest each time, until it is over or the watcher may no longer see it."""
    place = (asyncio.get_running_loop(), asyncio.Event())
    ride.watchers.append(place)
    seen, checked = 0, time.monotonic()
    try:
        while True:
            if ride.number > seen and ride.packet:
                seen, over = ride.number, ride.state == "over"
                yield ride.packet
                if over:
                    return
            try:
                await asyncio.wait_for(place[1].wait(), 0.5)
            except TimeoutError:
                pass
            place[1].clear()
            if time.monotonic() - checked > check_every_s:
                checked = time.monotonic()
                if not await asyncio.to_thread(allowed):
                    return
    finally:
        ride.watchers.remove(place)
