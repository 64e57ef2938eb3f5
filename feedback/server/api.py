"""What the scripts of the compare, practice and history pages ask and tell."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi import Path as UrlPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from feedback.checks import MAX_TEXT_LENGTH
from feedback.practice import PAIRS
from feedback.rows import Ahead, Assignment, Choice, ClipRow, Reason, choice_of
from feedback.server.doors import Labeller, LabellerOfScript, Rider, StoreOfApp
from feedback.server.replies import Revised, Said, State, Stored, Tried, Undone, Waiting, file_of, json_of
from feedback.store import Store

router = APIRouter(prefix="/api")

ClientKey = Annotated[str, Field(pattern="^[0-9a-zA-Z-]{8,64}$")]
LabelId = Annotated[int, UrlPath(gt=0, lt=2**63)]
ClipId = Annotated[str, UrlPath(pattern="^[0-9a-zA-Z]{1,64}$")]


class Opinion(BaseModel):
    """What is said of a pair. Who says it comes from the session, and which clip was on the left from the store."""

    model_config = ConfigDict(extra="forbid", strict=True)

    choice: Literal["left", "right", "tie", "cannot", "skip"]
    latency_s: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    replays: int = Field(ge=0, le=1_000_000)
    client_key: ClientKey

    def in_pair_order(self, shown: Assignment) -> Choice:
        """The choice by the pair's own order, whatever side the clips were on."""
        return choice_of(self.choice, shown.mirrored)


class Answer(Opinion):
    """One answer to an open pair."""

    pair_id: int = Field(gt=0, lt=2**63)
    reasons: list[Reason] = Field(default=[], max_length=5)
    comment: str = Field(default="", max_length=MAX_TEXT_LENGTH)


class Undo(BaseModel):
    """Takes back the latest answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client_key: ClientKey


@router.get("/state", **json_of(State))
def state(session: Labeller, store: StoreOfApp) -> dict[str, Any]:
    """The open pair, the one after it, and how much is done."""
    return _state(store.ahead(session.reviewer.id, 2, with_video=True))


@router.post("/labels", **json_of(Stored, 404))
def add_label(answer: Answer, session: LabellerOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Store an answer; when this returns it is on disk."""
    label_id, ahead = store.answer_shown(
        session.reviewer.id,
        answer.pair_id,
        answer.choice,
        answer.latency_s,
        answer.replays,
        answer.client_key,
        reasons=answer.reasons,
        comment=answer.comment,
    )
    return {"label_id": label_id, **_state(ahead)}


@router.post("/undo", **json_of(Undone))
def undo(undo: Undo, session: LabellerOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Take the latest answer back."""
    pair_id = store.undo(session.reviewer.id, undo.client_key)
    return {"undone": pair_id, **_state(store.ahead(session.reviewer.id, 2, with_video=True))}


@router.get("/practice", **json_of(Waiting))
def practice(session: Labeller, store: StoreOfApp) -> dict[str, Any]:
    """The practice pair that a newcomer is at, and the one after it."""
    return _practice(store, session.reviewer.id)


@router.post("/practice", **json_of(Tried, 404))
def try_practice(answer: Answer, session: LabellerOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Say whether that was what everybody should say, and why. No label is made of it."""
    reviewer_id = session.reviewer.id
    assignment = store.assignment(reviewer_id, answer.pair_id)
    if assignment is None:
        raise HTTPException(404, f"pair {answer.pair_id} was not shown to you; reload the page")
    choice = answer.in_pair_order(assignment)
    shown = store.add_practice(reviewer_id, answer.pair_id, choice)
    verdict = {"right": choice == shown.answer, "answer": shown.side(str(shown.answer)), "lesson": shown.lesson}
    return {"verdict": verdict, **_practice(store, reviewer_id)}


@router.get("/said/{label_id}", **json_of(Said, 404))
def said(label_id: LabelId, session: Labeller, store: StoreOfApp) -> dict[str, Any]:
    """A pair that a reviewer has answered, and what they said."""
    found = store.said_of(session.reviewer.id, label_id)
    if found is None:
        raise HTTPException(404, "this answer is not yours, or was changed already")
    progress = store.progress(session.reviewer.id, with_video=True)._asdict()
    return {"pair": _question(found.shown), "next": None, "said": found.shown.side(found.choice), "progress": progress}


@router.post("/said/{label_id}", **json_of(Revised, 404))
def revise(label_id: LabelId, opinion: Opinion, session: LabellerOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Change one's mind: the earlier answer stays in the history, taken back, and the new one counts."""
    reviewer_id = session.reviewer.id
    found = store.said_of(reviewer_id, label_id)
    choice: Choice
    if found is not None:
        choice = opinion.in_pair_order(found.shown)
    else:  # sent again, after the first has arrived
        sent = store.answer_of_key(reviewer_id, opinion.client_key)
        if sent is None:
            raise HTTPException(404, "this answer is not yours, or was changed already")
        choice = opinion.in_pair_order(sent)
    new_id = store.revise(reviewer_id, label_id, choice, opinion.latency_s, opinion.replays, opinion.client_key)
    return {"label_id": new_id, "pair": None, "next": None, "progress": store.progress(reviewer_id, with_video=True)._asdict()}


@router.get("/clips/{clip_id}/video", **file_of("video/mp4", 206, 416))
def video(clip_id: ClipId, session: Rider, store: StoreOfApp) -> FileResponse:
    """A clip's video, to those who are asked about it or who drove in it; whole, or the range that the request names."""
    clip = store.clip(clip_id) if store.was_shown(session.reviewer.id, clip_id) else None
    if clip is None:
        raise HTTPException(404, "you were not asked about this clip")
    return FileResponse(_video_file(store, clip), media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400, immutable"})


def _state(ahead: Ahead) -> dict[str, Any]:
    current, following = [*map(_question, ahead.pairs), None, None][:2]
    minutes = None if ahead.pace_s is None else max(1, round(ahead.progress.remaining * ahead.pace_s / 60))
    return {"pair": current, "next": following, "progress": ahead.progress._asdict(), "minutes_left": minutes}


def _practice(store: Store, reviewer_id: int) -> dict[str, Any]:
    waiting, tried = store.practice(reviewer_id, PAIRS)
    current, following = [*map(_question, waiting), None, None][:2]
    return {"pair": current, "next": following, "progress": {"done": tried, "remaining": len(waiting)}}


def _question(assignment: Assignment) -> dict[str, Any]:
    """A pair without anything that could tell who drove."""
    return {"id": assignment.pair_id, "left": _side(assignment.left), "right": _side(assignment.right)}


def _side(clip: ClipRow) -> dict[str, Any]:
    return {"video": f"/api/clips/{clip.id}/video", "outcome": clip.outcome, "frames_per_s": clip.video_frames_per_s}


def _video_file(store: Store, clip: ClipRow) -> Path:
    """The file that is what was stored: inside the study, and with the same content."""
    try:
        folder = store.folder.resolve()
        path = (folder / str(clip.video_path)).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise HTTPException(404, "the video of this clip is missing; press X, and tell who runs the study")
        status = path.stat()
        if _sha256(path, status.st_mtime_ns, status.st_size) != clip.video_sha256:
            raise HTTPException(409, "the video of this clip is not the one that was stored; press X, and tell who runs the study")
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        raise HTTPException(404, "the video of this clip cannot be read; press X, and tell who runs the study") from error
    return path


@lru_cache(maxsize=4096)
def _sha256(path: Path, changed_ns: int, size_bytes: int) -> str:
    """Hash a file once for as long as it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
