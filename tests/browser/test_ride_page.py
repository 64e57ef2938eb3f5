"""Riding along in the browser: by key, by touch and by game pad; the wheel taken, used and given back; said why, rated, watched again."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from envs.drivers import driver_named
from envs.world import World
from feedback.accounts import Accounts
from feedback.server import ride_desk
from feedback.server.app import create_app
from feedback.server.ride_desk import RideOffer
from feedback.store import Store

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
GAMEPAD = """
  window.pad = { axes: [0, 0], buttons: [...Array(17)].map(() => ({ pressed: false, value: 0 })) };
  navigator.getGamepads = () => [window.pad];
"""


@dataclass
class RideRoom:
    url: str
    store: Store
    token: str

    @property
    def live(self) -> Any:
        return next(iter(self.desk._rides.values())).live

    desk: Any = None


def make() -> tuple[Any, Any]:
    return World("highway-fast-v0", 1, num_threads=1, config={"vehicles_count": 2, "duration": 60}), driver_named("slower", 5)


@pytest.fixture
def ride_room(prepared_study: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RideRoom]:
    monkeypatch.setattr(ride_desk, "WIDTH_PX", 320)
    monkeypatch.setattr(ride_desk, "VIDEO_WIDTH_PX", 160)
    study = Path(shutil.copytree(prepared_study[0], tmp_path / "study"))
    with Store(study / "feedback.db") as store, socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(store, Accounts(store), url, RideOffer("slower", "highway-fast-v0", make))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield RideRoom(url, store, prepared_study[1], app.state.rides)
        server.should_exit = True
        thread.join(40)


@pytest.fixture
def rider(chromium: Any, ride_room: RideRoom) -> Iterator[Callable[..., Any]]:
    """A browser in which Ada is logged in, on the ride page."""
    contexts, errors = [], []

    def opened(phone: bool = False, script: str | None = None) -> Any:
        kind = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if phone else {"viewport": DESKTOP}
        context = chromium.new_context(**kind)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None)
        if script:
            page.add_init_script(script)
        page.goto(f"{ride_room.url}/login")
        page.fill("#token", ride_room.token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/guidelines")
        page.goto(f"{ride_room.url}/ride")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def wait(page: Any, condition: Callable[[], Any], wait_s: float = 20.0) -> None:
    for _ in range(int(wait_s / 0.05)):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came to that")


def test_by_keyboard_alone_from_start_to_rating_and_replay(rider: Callable[..., Any], ride_room: RideRoom) -> None:
    page = rider()
    page.wait_for_selector("#start:focus")
    page.keyboard.press("Enter")
    page.wait_for_function("() => rideFigures.count > 5")
    first = page.evaluate("() => document.querySelector('#view').toDataURL()")
    page.keyboard.press("t")
    page.wait_for_selector('#ride[data-held="true"]')
    assert page.inner_text("#badge") == "You drive"
    live = ride_room.live
    page.keyboard.down("ArrowUp")
    page.keyboard.down("ArrowLeft")
    wait(page, lambda: live.present.acceleration == 1.0 and live.present.steering > 0.5)
    page.keyboard.up("ArrowLeft")
    page.keyboard.up("ArrowUp")
    page.keyboard.down("ArrowRight")
    wait(page, lambda: live.present.acceleration == 0.0 and live.present.steering < -0.3)
    page.keyboard.up("ArrowRight")
    wait(page, lambda: abs(live.present.steering) < 1e-9)
    assert page.evaluate("() => document.querySelector('#view').toDataURL()") != first
    page.keyboard.press("p")
    page.wait_for_selector("#badge:text-is('Paused')")
    paused_s = live.time_s
    page.wait_for_timeout(600)
    assert live.time_s == paused_s
    page.keyboard.press("p")
    wait(page, lambda: live.time_s > paused_s)
    page.keyboard.press("Space")
    page.wait_for_selector("#causes:not([hidden])")
    page.click("text=too slow")
    wait(page, lambda: live.takeovers[0].cause == "too slow")
    page.keyboard.press("v")
    wait(page, lambda: live.present.rate == 0.5)
    page.keyboard.press("v")
    page.keyboard.press("v")
    wait(page, lambda: live.present.rate == 1.0 and live.time_s > 8.0)
    page.click("#end")
    page.wait_for_selector("#after:not([hidden])")
    assert page.inner_text("#summary") == "You took the wheel once."
    page.wait_for_selector("[name=stars]:focus", state="attached")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.click("#rate")
    page.wait_for_selector("#rate:text-is('Saved')")
    (ride,) = ride_room.store.rides()
    assert ride.stars == 3
    taken = [row for row in ride_room.store.takeovers() if row.onset_s is not None]
    assert [(row.cause, row.ride_id) for row in taken] == [("too slow", ride.id)]
    wait(page, lambda: all(ride_room.store.clip(each).video_path for each in (taken[0].clip_id, taken[0].after_clip_id)), 60.0)
    page.goto(f"{ride_room.url}/ride/{ride.id}")
    page.wait_for_function("() => [...document.querySelectorAll('video')].length === 2")
    page.evaluate("() => document.querySelector('video').play()")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")


def test_by_touch_on_a_phone(rider: Callable[..., Any], ride_room: RideRoom) -> None:
    page = rider(phone=True)
    page.tap("#start")
    page.wait_for_function("() => rideFigures.count > 5")
    assert page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [390, 844]
    for button in page.locator(".wheel button").all():
        box = button.bounding_box()
        assert box["height"] >= 44 and box["width"] >= 44 and box["y"] + box["height"] <= 844
    live = ride_room.live
    gas = page.locator('[data-pad="brake"]').bounding_box()
    session = page.context.new_cdp_session(page)
    finger = [{"x": gas["x"] + gas["width"] / 2, "y": gas["y"] + gas["height"] / 2}]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": finger})
    wait(page, lambda: live.held and live.present.acceleration == -1.0)  # a finger on a pedal takes the wheel
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait(page, lambda: live.present.acceleration == 0.0)
    assert live.held
    page.tap("#take")
    page.wait_for_selector("#causes:not([hidden])")
    for button in page.locator("#causes button").all():
        box = button.bounding_box()
        assert 0 <= box["x"] and box["x"] + box["width"] <= 390 and box["height"] >= 40
    page.tap("text=about to crash")
    wait(page, lambda: live.takeovers[0].cause == "about to crash")
    page.tap("#end")
    page.wait_for_selector("#after:not([hidden])")
    page.locator(".stars label").nth(3).tap()
    page.tap("#rate")
    page.wait_for_selector("#rate:text-is('Saved')")
    assert ride_room.store.rides()[0].stars == 4


def test_by_game_pad(rider: Callable[..., Any], ride_room: RideRoom) -> None:
    page = rider(script=GAMEPAD)
    page.click("#start")
    page.wait_for_function("() => rideFigures.count > 3")
    live = ride_room.live
    page.evaluate("() => { pad.buttons[0].pressed = true; pad.axes[0] = -0.5; pad.buttons[7].value = 0.75; }")
    wait(page, lambda: live.held and live.present.steering == 0.5 and live.present.acceleration == 0.75)
    page.evaluate("() => { pad.axes[0] = 0.02; pad.buttons[7].value = 0; pad.buttons[6].value = 1; }")  # a stick is never quite still
    wait(page, lambda: live.present.steering == 0.0 and live.present.acceleration == -1.0)
    page.evaluate("() => { pad.buttons[0].pressed = false; pad.buttons[6].value = 0; }")
    page.wait_for_timeout(200)
    assert live.present.held
    page.evaluate("() => { pad.buttons[0].pressed = true; }")
    wait(page, lambda: not live.present.held)
    page.click("#end")
    page.wait_for_selector("#after:not([hidden]), #before:not([hidden])")


def test_a_page_that_is_loaded_again_comes_back_to_the_same_ride(rider: Callable[..., Any], ride_room: RideRoom) -> None:
    page = rider()
    page.click("#start")
    page.wait_for_function("() => rideFigures.count > 5")
    live = ride_room.live
    page.keyboard.press("t")
    page.wait_for_selector('#ride[data-held="true"]')
    page.reload()
    page.click("#start")
    page.wait_for_function("() => rideFigures.count > 5")
    assert ride_room.live is live
    wait(page, lambda: not live.present.held)  # the new page does not hold the wheel, and says so
    page.click("#end")
    page.wait_for_selector("#after:not([hidden])")
    assert len(ride_room.store.rides()) == 1


@pytest.mark.slow
def test_ten_pictures_a_second_or_more_reach_the_page(
    rider: Callable[..., Any], ride_room: RideRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ride_desk, "WIDTH_PX", 640)
    page = rider()
    page.click("#start")
    page.wait_for_function("() => rideFigures.count > 10")
    before, begun = page.evaluate("() => [rideFigures.count, performance.now()]")
    page.wait_for_timeout(8000)
    after, ended = page.evaluate("() => [rideFigures.count, performance.now()]")
    rate = (after - before) / (ended - begun) * 1000
    print(f"{rate:.1f} pictures/s")
    assert rate >= 10.0
