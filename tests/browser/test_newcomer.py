"""Somebody's first minutes, on a desktop and on a phone: invitation, guidelines, practice, answers, second thoughts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from feedback.accounts import Accounts
from feedback.store import Store

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
READY = 'body:has(#room[aria-busy="false"])'
TIMES = "() => [...document.querySelectorAll('video')].map((video) => video.currentTime)"


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open a browser of its own; any error of a page's scripts, or against the content policy, fails the test."""
    contexts, errors = [], []

    def opened(phone: bool = False, **options: Any) -> Any:
        kind = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if phone else {"viewport": DESKTOP}
        context = chromium.new_context(**kind, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def invite(room: Any, name: str, role: str = "reviewer") -> str:
    """Two practice pairs, and an invitation."""
    with Store(room.study / "feedback.db") as store:
        ids = [clip.id for clip in store.clips()]
        store.add_pair(ids[1], ids[0], "practice", answer="B", lesson="The one ride crashed at 1.4 s.")
        store.add_pair(ids[2], ids[1], "practice", answer="A", lesson="The one ride crashed at 1.4 s.")
        return f"{room.url}/invite/{Accounts(store).invite(name, role)[1]}"


def better_side(page: Any, room: Any) -> str:
    """Which side the practice pair's known answer is on now."""
    state = page.evaluate("() => fetch('/api/practice').then((reply) => reply.json())")
    with Store(room.study / "feedback.db") as store:
        clips = {clip.id: clip for clip in store.clips()}
        left = clips[state["pair"]["left"]["video"].split("/")[3]]
    return "right" if left.outcome.startswith("crashed") else "left"


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_from_the_invitation_to_the_last_answer(open_page: Callable[..., Any], near_room: Any, phone: bool) -> None:
    link = invite(near_room, "Grace")
    page = open_page(phone)
    press = page.tap if phone else page.click
    page.goto(link)
    press("text=Come in")
    page.wait_for_selector("#token")
    token = page.inner_text("#token")
    press("text=Go on")
    page.wait_for_url("**/guidelines")
    assert page.evaluate("() => document.documentElement.scrollWidth") == (PHONE if phone else DESKTOP)["width"]
    press("text=Practise on 2 pairs")

    page.wait_for_selector(f'{READY} #progress-text:text-is("0 done, 2 to go")')
    assert page.locator('[data-choice="skip"]').count() == 0
    press(f'[data-choice="{better_side(page, near_room)}"]')
    page.wait_for_selector("#lesson[open].fine >> text=That is what we would say too")
    press("#lesson button")
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 1 to go")')
    wrong = {"left": "right", "right": "left"}[better_side(page, near_room)]
    press(f'[data-choice="{wrong}"]')
    page.wait_for_selector("#lesson[open] >> text=We would say something else")
    assert "The one ride crashed at 1.4 s." in page.inner_text("#lesson-text")
    press("#lesson button")

    page.wait_for_url("**/compare")
    page.wait_for_selector(f'{READY} #progress-text:text-is("0 done, 3 to go")')
    assert near_room.labels(active=False) == []  # practice is no label
    if phone:
        press('[data-choice="left"]')
    else:
        page.keyboard.press("1")
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')
    press('[data-act="undo"]')
    page.wait_for_selector(f'{READY} #progress-text:text-is("0 done, 3 to go")')
    press('[data-act="why"]')
    page.check("[value=comfort]", force=True)
    page.fill("#comment", "it weaves: 1 2 3 z x")
    press("#why button")
    page.wait_for_selector('[data-act="why"].noted')
    press('[data-choice="tie"]')
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')

    fresh = open_page(phone)  # another day, another browser: the token from the first page
    fresh.goto(f"{near_room.url}/login")
    fresh.fill("#token", token)
    fresh.keyboard.press("Enter")
    fresh.wait_for_url("**/compare")
    fresh.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')
    fresh.goto(link)
    assert "This invitation is over" in fresh.inner_text("h1")

    fresh.goto(f"{near_room.url}/history")
    assert fresh.inner_text(".said li strong") == "About the same"
    (fresh.tap if phone else fresh.click)("text=Watch again")
    fresh.wait_for_selector(READY)
    (fresh.tap if phone else fresh.click)('[data-choice="right"]')
    fresh.wait_for_url("**/history")
    assert fresh.inner_text(".said li strong") == "Right is better"
    rows = near_room.labels(active=False)
    assert [row.choice for row in rows][1:4] == ["undo", "tie", "undo"]
    assert (rows[4].choice == "A") == rows[4].mirrored  # right is the pair's first clip where it was mirrored
    with Store(near_room.study / "feedback.db") as store, store.engine.connect() as connection:
        remarks = connection.exec_driver_sql("SELECT label_id, reasons, comment FROM remark").all()
    assert [tuple(each) for each in remarks] == [(rows[2].id, "comfort", "it weaves: 1 2 3 z x")]


def test_a_pair_is_on_the_screen_within_a_second_of_the_answer(open_page: Callable[..., Any], near_room: Any) -> None:
    page = open_page()
    page.goto(invite(near_room, "Grace"))
    page.click("text=Come in")
    page.wait_for_selector("#token")
    page.goto(f"{near_room.url}/compare")
    page.wait_for_selector(f'{READY} #progress-text:text-is("0 done, 3 to go")')
    for _ in range(300):  # the next one is fetched meanwhile
        if page.evaluate("() => performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/video')).length") >= 3:
            break
        page.wait_for_timeout(20)
    begun = time.monotonic()
    page.keyboard.press("2")
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')
    assert time.monotonic() - begun < 1.0


def test_slow_motion_and_enlarging(open_page: Callable[..., Any], near_room: Any) -> None:
    page = open_page()
    page.goto(invite(near_room, "Grace"))
    page.click("text=Come in")
    page.wait_for_selector("#token")
    page.goto(f"{near_room.url}/compare")
    page.wait_for_selector(READY)
    page.keyboard.press("v")
    assert page.inner_text("#speed") == "½×"
    page.keyboard.press("v")
    assert page.inner_text("#speed") == "¼×"
    page.keyboard.press("r")
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => !video.paused && video.currentTime > 0.05)")
    before, begun = page.evaluate(f"() => [({TIMES})(), performance.now()]")
    page.wait_for_timeout(1200)
    after, ended = page.evaluate(f"() => [({TIMES})(), performance.now()]")
    for side in range(2):
        assert 0.12 < (after[side] - before[side]) / ((ended - begun) / 1000) < 0.38
    page.keyboard.press("v")
    assert page.inner_text("#speed") == "1×"
    half = page.locator("#left video").bounding_box()["width"]
    page.keyboard.press("q")
    assert page.locator("#right").is_hidden() and page.locator("#left video").bounding_box()["width"] > 1.8 * half
    page.keyboard.press("e")
    assert page.locator("#left").is_hidden() and page.locator("#right").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#left").is_visible() and page.locator("#right").is_visible()


def test_the_keyboard_reaches_everything_and_what_has_the_focus_is_seen(open_page: Callable[..., Any], near_room: Any) -> None:
    page = open_page()
    page.goto(invite(near_room, "Grace", "admin"))
    page.click("text=Come in")
    page.wait_for_selector("#token")
    for path in ("/guidelines", "/compare", "/history", "/progress", "/audit", "/people"):
        page.goto(near_room.url + path)
        if path == "/compare":
            page.wait_for_selector(READY)
        wanted = page.evaluate(
            "() => [...document.querySelectorAll('a[href], button, select, input:not([type=hidden]):not([tabindex]), [tabindex=\"0\"]')]"
            ".filter((each) => each.checkVisibility() && !each.disabled).length"
        )
        page.evaluate("() => document.activeElement.blur()")
        reached = set()
        for _ in range(wanted + 4):
            page.keyboard.press("Tab")
            about = page.evaluate(
                "() => { const at = document.activeElement, style = getComputedStyle(at);"
                " return [at.outerHTML.slice(0, 160), style.outlineStyle, parseFloat(style.outlineWidth), at === document.body]; }"
            )
            if not about[3]:
                assert about[1] != "none" and about[2] >= 2, (path, about)
                reached.add(about[0])
        assert len(reached) >= 0.9 * wanted, (path, len(reached), wanted)


CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const says = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!says || !node.checkVisibility() || node.closest(":disabled, .for-ears, option")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(parse(style.color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push([node.outerHTML.slice(0, 80), ratio]);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_on_every_page_has_contrast(open_page: Callable[..., Any], near_room: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    link = invite(near_room, "Grace", "admin")
    page.goto(link)
    assert page.evaluate(CONTRAST) == []
    page.click("text=Come in")
    page.wait_for_selector("#token")
    assert page.evaluate(CONTRAST) == []
    for path in ("/guidelines", "/practice", "/compare", "/history", "/progress", "/audit", "/people", "/nowhere", "/done"):
        page.goto(near_room.url + path)
        if path in ("/compare", "/practice"):
            page.wait_for_selector(READY)
        assert page.evaluate(CONTRAST) == [], path
        if path == "/compare":
            page.keyboard.press("w")
            assert page.evaluate(CONTRAST) == []
            page.click("#why button")
            page.keyboard.press("2")
            page.wait_for_selector("text=1 done, 2 to go")


def test_on_a_phone_no_page_is_wider_than_the_screen_and_the_menu_leads_everywhere(open_page: Callable[..., Any], near_room: Any) -> None:
    page = open_page(phone=True)
    page.goto(invite(near_room, "Grace", "admin"))
    page.tap("text=Come in")
    page.wait_for_selector("#token")
    for path in ("/guidelines", "/history", "/progress", "/audit", "/people", "/compare"):
        page.goto(near_room.url + path)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], path
    page.tap(".menu-button")
    links = page.locator("#menu a:visible")
    assert {link.strip() for link in links.all_inner_texts()} == {"Compare", "History", "Progress", "Audit", "People", "Guidelines"}
    assert all(link.bounding_box()["height"] >= 44 for link in links.all())
    page.tap("#menu >> text=Progress")
    page.wait_for_url("**/progress")


def test_an_admin_invites_in_the_browser_and_the_link_works_once(open_page: Callable[..., Any], near_room: Any) -> None:
    admin, newcomer = open_page(), open_page(phone=True)
    admin.goto(invite(near_room, "Grace", "admin"))
    admin.click("text=Come in")
    admin.wait_for_selector("#token")
    admin.goto(f"{near_room.url}/people")
    admin.fill("[name=name]", "Alan")
    admin.select_option("form[action='/people/invite'] select", "auditor")
    admin.click("form[action='/people/invite'] button")
    link = admin.inner_text("#link")
    assert re.fullmatch(rf"{near_room.url}/invite/\S{{32}}", link)
    newcomer.goto(link)
    newcomer.tap("text=Come in")
    newcomer.tap("text=Go on")
    newcomer.wait_for_url("**/progress")  # auditors label nothing
    assert json.loads(newcomer.evaluate("() => fetch('/api/state').then((reply) => reply.text())"))["error"].startswith("your role")


@pytest.mark.parametrize("height", [600, 720, 1000])
def test_the_guidelines_are_read_from_their_top(open_page: Callable[..., Any], near_room: Any, height: int) -> None:
    page = open_page()
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto(invite(near_room, "Grace"))
    page.click("text=Come in")
    page.click("text=Go on")
    page.wait_for_url("**/guidelines")
    page.wait_for_function("() => document.activeElement.textContent.startsWith('Practise')")
    assert page.evaluate("() => scrollY") == 0  # the button's focus does not scroll the question away
    box = page.locator("text=Practise on 2 pairs").bounding_box()
    assert box["y"] + box["height"] <= height
    page.keyboard.press("Enter")
    page.wait_for_url("**/practice")


def test_a_phone_held_sideways_shows_all_of_a_pair_without_scrolling(open_page: Callable[..., Any], near_room: Any) -> None:
    page, size = open_page(phone=True), {"width": 740, "height": 360}
    page.set_viewport_size(size)
    page.goto(invite(near_room, "Grace"))
    page.tap("text=Come in")
    page.wait_for_selector("#token")
    page.goto(f"{near_room.url}/compare")
    page.wait_for_selector(READY)
    page.tap('[data-choice="tie"]')
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')
    assert "Saved" in page.inner_text("#status")
    assert page.evaluate("() => document.documentElement.scrollHeight") == size["height"]
    for button in page.locator("main button:visible, #status").all():
        box = button.bounding_box()
        assert box["y"] + box["height"] <= size["height"] and box["x"] + box["width"] <= size["width"]
    for button in page.locator("main button:visible").all():
        assert button.bounding_box()["height"] >= 40
    assert all(video.bounding_box()["height"] > 200 for video in page.locator("video").all())


def test_on_a_phone_the_history_has_room_for_its_words(open_page: Callable[..., Any], near_room: Any) -> None:
    page = open_page(phone=True)
    page.goto(invite(near_room, "Grace"))
    page.tap("text=Come in")
    page.wait_for_selector("#token")
    page.goto(f"{near_room.url}/compare")
    page.wait_for_selector(READY)
    page.tap('[data-choice="left"]')
    page.wait_for_selector(f'{READY} #progress-text:text-is("1 done, 2 to go")')
    page.goto(f"{near_room.url}/history")
    words, row = page.locator(".said li > div").bounding_box(), page.locator(".said li").bounding_box()
    assert words["width"] >= 0.95 * row["width"]
