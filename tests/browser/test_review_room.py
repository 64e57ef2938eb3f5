"""A reviewer's way through the review room, in Chromium, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

TIMES = "() => [...document.querySelectorAll('video')].map((video) => video.currentTime)"
PLAYING = "() => [...document.querySelectorAll('video')].every((video) => !video.paused && video.currentTime > 0.3)"
WATCH = """() => new Promise((resolve) => {
  const videos = [...document.querySelectorAll("video")];
  const outcomes = [...document.querySelectorAll(".outcome")];
  const seen = [];
  const look = () => {
    if (videos.some((video) => video.ended)) return resolve(seen);
    seen.push([...videos.map((video) => video.currentTime), ...outcomes.map((line) => line.textContent)]);
    requestAnimationFrame(look);
  };
  look();
})"""  # both times and both outcome lines at every animation frame until one video has ended
SOUGHT = """() => {
  window.sought = [];
  document.querySelectorAll("video").forEach((video) => video.addEventListener("seeking", () => sought.push(video.currentTime)));
}"""
ENDED = "() => [...document.querySelectorAll('video')].every((video) => video.ended)"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A desktop browser's page; any error of the page's own scripts fails the test."""
    context = chromium.new_context(viewport=DESKTOP)
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None)
    yield opened
    context.close()
    assert errors == []


def log_in(page: Any, room: Any) -> None:
    page.goto(room.url)
    type_token(page, room)


def type_token(page: Any, room: Any) -> None:
    page.wait_for_selector("#token:focus")  # given by the page, just after it has loaded
    page.keyboard.type(room.token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/guidelines")
    page.wait_for_selector("a.primary:focus")  # 'Start comparing'


def wait_for_pair(page: Any, progress: str) -> None:
    """Wait until a pair is on the screen and can be answered."""
    page.wait_for_selector(f'body:has(#room[aria-busy="false"]) #progress-text:text-is("{progress}")')


def compare(page: Any, room: Any) -> None:
    log_in(page, room)
    page.keyboard.press("Enter")
    wait_for_pair(page, "0 done, 3 to go")


def test_watch_label_undo_restart_resume_by_keyboard_alone(page: Any, room: Any) -> None:
    log_in(page, room)
    assert page.inner_text("h1") == "Which ride would you rather sit in?"
    page.keyboard.press("Enter")
    wait_for_pair(page, "0 done, 3 to go")

    page.wait_for_function(PLAYING)
    seen = page.evaluate(WATCH)
    assert len(seen) > 10 and seen[-1][0] > seen[0][0] + 1.0 and seen[-1][1] > seen[0][1] + 1.0
    assert max(abs(left_s - right_s) for left_s, right_s, *_ in seen) < 0.1
    assert {line for _, _, *outcomes in seen for line in outcomes} == {""}
    page.wait_for_function(ENDED)
    assert {page.inner_text(f"#{side} .outcome") for side in ("left", "right")} == {"crashed at 1.4 s", "reached the end at 3.0 s"}
    page.keyboard.press("Space")  # again
    page.wait_for_function(PLAYING)
    page.keyboard.press("1")
    wait_for_pair(page, "1 done, 2 to go")
    (first,) = room.labels()
    assert first.choice == ("B" if first.mirrored else "A")
    assert first.replays == 1 and 3.5 <= first.latency_s < 60.0  # the longer clip lasts 3.2 s, then 0.3 s of it again

    page.keyboard.press("z")
    wait_for_pair(page, "0 done, 3 to go")
    assert room.labels() == []
    assert [row.choice for row in room.labels(active=False)] == [first.choice, "undo"]
    page.keyboard.press("2")
    wait_for_pair(page, "1 done, 2 to go")

    room.stop()
    page.keyboard.press("3")
    page.wait_for_selector("text=Not saved yet")
    assert len(room.labels()) == 1
    room.start()
    page.click("#retry")
    wait_for_pair(page, "2 done, 1 to go")
    open_pair = page.evaluate("() => fetch('/api/state').then((reply) => reply.json()).then((state) => state.pair.id)")

    room.stop()
    room.start()
    page.reload()
    wait_for_pair(page, "2 done, 1 to go")  # still logged in
    page.keyboard.press("x")
    page.wait_for_url("**/done")
    assert page.inner_text("h1") == "All done. Thank you!"
    labels = room.labels()
    assert [row.choice for row in labels] == ["tie", "A" if labels[1].mirrored else "B", "cannot"]
    assert labels[2].pair_id == open_pair
    assert len({row.pair_id for row in labels}) == 3

    page.keyboard.press("z")
    page.wait_for_url("**/compare")
    wait_for_pair(page, "2 done, 1 to go")
    page.keyboard.press("s")
    page.wait_for_url("**/done")
    assert [row.choice for row in room.labels()][2] == "skip"


def test_space_pauses_arrows_step_by_frames_and_r_starts_again(page: Any, near_room: Any) -> None:
    compare(page, near_room)
    page.wait_for_function(PLAYING)
    page.keyboard.press("Space")
    paused = page.evaluate(TIMES)
    page.wait_for_timeout(150)
    assert page.evaluate(TIMES) == paused
    frames = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => !video.seeking)")
        left_s, right_s = page.evaluate(TIMES)
        assert left_s == pytest.approx(right_s, abs=1e-3)
        frames.append(int(left_s * 15))
    assert [frames[1] - frames[0], frames[2] - frames[1]] == [1, -1]
    page.evaluate(SOUGHT)
    page.keyboard.press("r")
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => !video.paused)")
    assert page.evaluate("() => sought") == [0, 0]


def test_an_answer_given_while_logged_out_is_kept_and_sent_after_the_log_in(page: Any, near_room: Any) -> None:
    compare(page, near_room)
    page.context.clear_cookies()
    page.keyboard.press("1")
    page.wait_for_selector("text=You are logged out")
    assert near_room.labels() == []
    page.click("#retry")
    page.wait_for_url("**/login")
    type_token(page, near_room)
    page.goto(f"{near_room.url}/compare")
    wait_for_pair(page, "1 done, 2 to go")
    assert len(near_room.labels()) == 1


def test_a_double_press_answers_one_pair(page: Any, near_room: Any) -> None:
    compare(page, near_room)
    page.evaluate("() => ['2', '2'].forEach((key) => dispatchEvent(new KeyboardEvent('keydown', { key, code: 'Digit2' })))")
    wait_for_pair(page, "1 done, 2 to go")
    assert len(near_room.labels(active=False)) == 1


def test_the_next_pair_is_there_before_it_is_asked_for(page: Any, near_room: Any) -> None:
    fetched: list[str] = []
    page.on("requestfinished", lambda request: fetched.append(request.url))
    compare(page, near_room)
    state = page.evaluate("() => fetch('/api/state').then((reply) => reply.json())")
    ahead = {near_room.url + state["next"][side]["video"] for side in ("left", "right")}
    while not ahead <= set(fetched):
        page.wait_for_timeout(20)
    page.context.route("**/video", lambda route: route.abort())
    page.keyboard.press("1")
    wait_for_pair(page, "1 done, 2 to go")
    page.wait_for_function(PLAYING)


def test_a_missing_video_says_so_and_the_pair_can_be_passed_over(page: Any, near_room: Any) -> None:
    log_in(page, near_room)
    for clip in (near_room.study / "clips").glob("[01].mp4"):
        clip.unlink()
    page.goto(f"{near_room.url}/compare")
    page.wait_for_selector("text=The video of this clip is missing")
    page.keyboard.press("x")
    page.wait_for_selector("text=1 done, 2 to go")
    assert [row.choice for row in near_room.labels()] == ["cannot"]


def test_on_a_phone_everything_is_in_reach_of_a_thumb(chromium: Any, near_room: Any) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    log_in(page, near_room)
    page.tap("text=Start comparing")
    wait_for_pair(page, "0 done, 3 to go")
    assert page.evaluate(TIMES) == [0, 0]  # reduced motion: nothing moves unasked
    sideways, down = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert (sideways, down) == (PHONE["width"], PHONE["height"])
    for video in page.query_selector_all("video"):
        assert video.bounding_box()["height"] > 200
    for button in page.query_selector_all("main button:visible"):
        box = button.bounding_box()
        assert box["height"] >= 40 and box["width"] >= 40
        assert box["y"] + box["height"] <= PHONE["height"] and box["x"] + box["width"] <= PHONE["width"]
    page.tap('[data-act="play"]')
    page.wait_for_function(PLAYING)
    page.tap('[data-choice="right"]')
    wait_for_pair(page, "1 done, 2 to go")
    (label,) = near_room.labels()
    assert label.choice == ("A" if label.mirrored else "B")
    context.close()


def swipe(page: Any, side: str, by_px: tuple[float, float], over_ms: int = 160) -> None:
    """Move a finger over a ride, as the screen's own events."""
    box = page.query_selector(f"#{side} video").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        point = {"x": x + by_px[0] * step / 8, "y": y + by_px[1] * step / 8}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        page.wait_for_timeout(over_ms / 8)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    touch.detach()


def test_on_a_phone_a_swipe_chooses_a_ride_and_takes_the_choice_back(chromium: Any, near_room: Any) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    log_in(page, near_room)
    page.tap("text=Start comparing")
    wait_for_pair(page, "0 done, 3 to go")
    for wobble in ((30.0, 0.0), (90.0, 80.0), (20.0, -150.0)):  # too short, too slanting, upwards
        swipe(page, "left", wobble)
    assert near_room.labels(active=False) == []
    swipe(page, "right", (130.0, 10.0))
    wait_for_pair(page, "1 done, 2 to go")
    (label,) = near_room.labels()
    assert label.choice == ("A" if label.mirrored else "B")
    swipe(page, "left", (-130.0, -10.0))
    wait_for_pair(page, "0 done, 3 to go")
    assert near_room.labels() == []
    swipe(page, "left", (130.0, 0.0))
    wait_for_pair(page, "1 done, 2 to go")
    (label,) = near_room.labels()
    assert label.choice == ("B" if label.mirrored else "A")
    assert page.evaluate("() => [...document.querySelectorAll('.pane')].map((pane) => pane.style.translate)") == ["", ""]
    context.close()
