"""Practice pairs for newcomers: rides of the study whose answer nobody doubts, one that crashed beside one that did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from feedback.rows import ClipRow
from feedback.store import Store

PAIRS = 3
"""How many a newcomer tries."""


def choose_practice(store: Store, count: int = PAIRS) -> int:
    """See to it that a study has practice pairs, as far as its clips allow.

    Args:
        store: The study's store.
        count: How many there should be.

    Returns:
        How many there are.
    """
    pairs = store.pairs()
    there = sum(reason == "practice" for *_, reason in pairs)
    asked = {frozenset((first, second)) for _, first, second, _ in pairs}
    used = {clip_id for _, first, second, reason in pairs if reason == "practice" for clip_id in (first, second)}
    for crashed, fine in _clear_cases([clip for clip in store.clips() if clip.id not in used], asked):
        if there >= count:
            break
        number = there
        first, second = (crashed, fine) if number % 2 else (fine, crashed)
        lesson = f"The one ride {_told(crashed)}, the other did not: safety comes first."
        store.add_pair(first.id, second.id, "practice", answer="B" if number % 2 else "A", lesson=lesson)
        there += 1
    return there


def _clear_cases(clips: Iterable[ClipRow], asked: set[frozenset[str]]) -> Iterator[tuple[ClipRow, ClipRow]]:
    """Pairs of clips, each used once, of which the first crashed and the second did not; never two that are a question already."""
    seen = [clip for clip in clips if clip.video_path is not None]
    fine = [clip for clip in seen if "crashed" not in clip.outcome]
    for crashed in seen:
        if not crashed.outcome.startswith("crashed at"):
            continue
        for other in fine:
            alike = other.env_id == crashed.env_id and abs(other.duration_s - crashed.duration_s) < 0.5
            if alike and frozenset((crashed.id, other.id)) not in asked:
                fine.remove(other)
                yield crashed, other
                break


def _told(clip: ClipRow) -> str:
    return clip.outcome.split(";")[0]
