"""Checks of what people and programs hand to the store. Each error is one clear line; nothing is written before they pass."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from sqlalchemy import Connection, select

from feedback import openings, queries
from feedback.database import StoreError
from feedback.rows import CHOICES, REASONS, ClipRow
from feedback.tables import clip, reviewer
from sensors.errors import did_you_mean

MAX_NAME_LENGTH = 64
MAX_TEXT_LENGTH = 1000
MAX_TIME_S = 1e6
MAX_REPLAYS = 1_000_000


class LabelRejected(StoreError, ValueError):
    """An opinion that cannot be stored: about a missing or closed pair, by an unknown reviewer, or with an impossible value."""


class NotShown(LabelRejected):
    """An opinion about a pair that its reviewer was never given."""


def check_clip(row: ClipRow) -> None:
    """Refuse a clip with impossible numbers, or with files outside the study."""
    if not 1 <= len(row.id) <= MAX_NAME_LENGTH or not row.id.isascii() or not row.id.isalnum():
        raise StoreError(f"clip id {row.id[:MAX_NAME_LENGTH]!r}: expected a hash of 1 to {MAX_NAME_LENGTH} letters and digits")
    for name in ("duration_s", "video_frames_per_s"):
        value = getattr(row, name)
        if not (math.isfinite(value) and value > 0):
            raise StoreError(f"clip {row.id}: {name} is {value}, expected a positive number")
    if not math.isfinite(row.start_s):
        raise StoreError(f"clip {row.id}: start_s is {row.start_s}, expected a finite number")
    if (row.video_path is None) != (row.video_sha256 is None):
        raise StoreError(f"clip {row.id}: video_path is {row.video_path!r} and video_sha256 {row.video_sha256!r}; give both or neither")
    for path in (row.scenes_path, row.video_path):
        if path is not None:
            check_path(f"clip {row.id}", path)


def check_path(what: str, path: str) -> None:
    """Refuse a path that is not a plain relative one inside the study."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or PureWindowsPath(path).drive:
        raise StoreError(f"{what}: path {path!r} is not inside the study; give it relative to the study's folder, e.g. 'clips/NAME.mp4'")


def check_name(name: str) -> None:
    """Refuse a reviewer's name or pseudonym that is empty, too long or unprintable."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise StoreError(f"reviewer {name[:MAX_NAME_LENGTH]!r}: expected 1 to {MAX_NAME_LENGTH} printable characters without spaces around")


def checked_key(client_key: str | None) -> str:
    """Give the client key, or a new one; refuse one that cannot be a key."""
    if client_key is None:
        return uuid.uuid4().hex
    if not 1 <= len(client_key) <= MAX_NAME_LENGTH or not client_key.isprintable():
        raise LabelRejected(
            f"client key {client_key[:MAX_NAME_LENGTH]!r}: expected 1 to {MAX_NAME_LENGTH} printable characters, e.g. a UUID"
        )
    return client_key


def check_answer(choice: str, latency_s: float, replays: int) -> None:
    """Refuse a label with an unknown choice or impossible numbers."""
    if choice not in CHOICES:
        raise LabelRejected(f"unknown choice {choice!r}; {did_you_mean(str(choice), CHOICES)}")
    if not (math.isfinite(latency_s) and 0 <= latency_s <= MAX_TIME_S):
        raise LabelRejected(f"latency_s is {latency_s}, expected 0 to {MAX_TIME_S:g} seconds")
    if not 0 <= replays <= MAX_REPLAYS or int(replays) != replays:
        raise LabelRejected(f"replays is {replays}, expected a whole number from 0 to {MAX_REPLAYS}")


def check_remark(reasons: Sequence[str], comment: str) -> None:
    """Refuse reasons that nobody offers, or a comment that is too long."""
    for reason in reasons:
        if reason not in REASONS:
            raise LabelRejected(f"unknown reason {reason!r}; {did_you_mean(str(reason), REASONS)}")
    if len(set(reasons)) != len(reasons):
        raise LabelRejected(f"reasons are {', '.join(reasons)}, expected each once")
    if "\0" in comment or not comment.isascii() and any("\ud800" <= letter <= "\udfff" for letter in comment):
        raise LabelRejected("comment has a letter that is none (NUL or half of a pair); expected text")
    if len(comment) > MAX_TEXT_LENGTH:
        raise LabelRejected(f"comment has {len(comment)} characters, expected at most {MAX_TEXT_LENGTH}")


def check_stars(stars: int) -> None:
    """Refuse a rating that is not 1 to 5."""
    if stars not in range(1, 6):
        raise LabelRejected(f"stars is {stars}, expected 1 to 5")


def check_takeover(clip_id: str | None, recording: str, onset_s: float | None, release_s: float, cause: str) -> None:
    """Refuse a takeover with impossible times, or that names no ride."""
    if clip_id is None and not recording:
        raise LabelRejected("takeover without a ride; give clip_id or recording")
    if recording:
        check_path("takeover", recording)
    if not (math.isfinite(release_s) and 0 <= release_s <= MAX_TIME_S):
        raise LabelRejected(f"release_s is {release_s}, expected 0 to {MAX_TIME_S:g} seconds")
    if onset_s is not None and not (math.isfinite(onset_s) and 0 <= onset_s <= release_s):
        raise LabelRejected(f"onset_s is {onset_s}, expected 0 to release_s = {release_s} seconds, or None for no takeover")
    if len(cause) > MAX_TEXT_LENGTH:
        raise LabelRejected(f"cause has {len(cause)} characters, expected at most {MAX_TEXT_LENGTH}")


def actions_text(name: str, actions: Sequence[Any]) -> str:
    """Write actions, shape (T,) or (T, C), as JSON; refuse what is not finite."""
    plain = actions.tolist() if hasattr(actions, "tolist") else list(actions)
    try:
        return json.dumps(plain, allow_nan=False, default=lambda step: step.tolist() if hasattr(step, "tolist") else list(step))
    except (ValueError, TypeError) as error:
        raise LabelRejected(f"{name}: expected finite numbers of shape (T,) or (T, C); {error}") from error


def require_clip(connection: Connection, what: str, clip_id: str) -> None:
    """Refuse a clip that the study does not have."""
    if connection.execute(select(clip.c.id).where(clip.c.id == clip_id)).first() is None:
        raise LabelRejected(f"{what}: no clip {clip_id[:MAX_NAME_LENGTH]!r} in this study; add it first")


def check_pair(connection: Connection, clip_a: str, clip_b: str) -> None:
    """Refuse a pair of a clip with itself, or of clips that the study does not have."""
    if clip_a == clip_b:
        raise LabelRejected(f"pair of clip {clip_a} with itself; give two different clips")
    for clip_id in (clip_a, clip_b):
        require_clip(connection, f"pair of {clip_a} and {clip_b}", clip_id)


def require_reviewer(connection: Connection, reviewer_id: int) -> None:
    """Refuse a reviewer that the study does not have."""
    if connection.execute(select(reviewer.c.id).where(reviewer.c.id == reviewer_id)).first() is None:
        raise LabelRejected(f"unknown reviewer {reviewer_id}; add_reviewer first")


def require_open_pair(connection: Connection, reviewer_id: int, pair_id: int, asked: Any = None) -> Any:
    """Refuse a pair that is missing, that this reviewer has answered, or in which others have every place.

    Returns:
        The row of ``queries.ASKED``, which may be given where it is known.
    """
    asked = asked or queries.asked(connection, reviewer_id, pair_id)
    if asked is None:
        require_reviewer(connection, reviewer_id)
        raise LabelRejected(f"no pair {pair_id} in this study; ask next_pair for an open one")
    if asked.label_id is not None:
        raise LabelRejected(f"pair {pair_id} is closed: reviewer {reviewer_id} has answered it; undo first to answer again")
    if asked.labels_wanted is not None and asked.taken_by_others >= asked.labels_wanted:
        raise LabelRejected(
            f"pair {pair_id} is closed: it has the {asked.labels_wanted} labels it wants, or others are at it; ask next_pair for another"
        )
    return asked


def require_normal_pair(asked: Any, pair_id: int) -> None:
    """Refuse a pair that is for practice only, or that this reviewer has practised on; ``asked`` is its row of ``queries.ASKED``."""
    if asked.reason == openings.PRACTICE or asked.tried:
        raise LabelRejected(f"pair {pair_id} is for practice; labels are never about it")


def sent_label(connection: Connection, reviewer_id: int, client_key: str, pair_id: int, choice: str) -> int | None:
    """Find the id of an answer that was sent before under this key; refuse a key that names another answer."""
    sent = queries.sent_before(connection, reviewer_id, client_key)
    if sent is None:
        return None
    if (sent.pair_id, sent.choice) != (pair_id, choice):
        raise LabelRejected(
            f"client key {client_key!r} already names another answer, to pair {sent.pair_id}; make a new key for each answer"
        )
    return int(sent.id)
