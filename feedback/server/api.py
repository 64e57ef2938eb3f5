"""What the compare page's script asks and tells."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from fastapi import Path as UrlPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from feedback.rows import Assignment, ClipRow
from feedback.server.doors import SessionOfPage, SessionOfScript, StoreOfApp
from feedback.store import Store

router = APIRouter(prefix="/api")

ClientKey = Annotated[str, Field(pattern="^[0-9a-zA-Z-]{8,64}$")]
ClipId = Annotated[str, UrlPath(pattern="^[0-9a-zA-Z]{1,64}$")]


class Answer(BaseModel):
    """One answer. Who gives it comes from the session, and which clip was on the left from the store."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pair_id: int = Field(gt=0, lt=2**63)
    choice: Literal["left", "right", "tie", "cannot", "skip"]
    latency_s: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    replays: int = Field(ge=0, le=1_000_000)
    client_key: ClientKey


class Undo(BaseModel):
    """Takes back the latest answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    client_key: ClientKey


@router.get("/state")
def state(session: SessionOfPage, store: StoreOfApp) -> dict[str, Any]:
    """The open pair, the one after it, and how much is done."""
    return _state(store, session.reviewer.id)


@router.post("/labels")
def add_label(answer: Answer, session: SessionOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Store an answer; when this returns it is on disk."""
    reviewer_id = session.reviewer.id
    assignment = store.assignment(reviewer_id, answer.pair_id)
    if assignment is None:
        raise HTTPException(404, f"pair {answer.pair_id} was not shown to you; reload the page")
    side = answer.choice
    choice = assignment.choice(side) if side == "left" or side == "right" else side
    label_id = store.add_label(reviewer_id, answer.pair_id, choice, answer.latency_s, answer.replays, answer.client_key)
    return {"label_id": label_id, **_state(store, reviewer_id)}


@router.post("/undo")
def undo(undo: Undo, session: SessionOfScript, store: StoreOfApp) -> dict[str, Any]:
    """Take the latest answer back."""
    pair_id = store.undo(session.reviewer.id, undo.client_key)
    return {"undone": pair_id, **_state(store, session.reviewer.id)}


@router.get("/clips/{clip_id}/video")
def video(clip_id: ClipId, session: SessionOfPage, store: StoreOfApp) -> FileResponse:
    """A clip's video, to those who are asked about it; whole, or the range that the request names."""
    clip = store.clip(clip_id) if store.was_shown(session.reviewer.id, clip_id) else None
    if clip is None:
        raise HTTPException(404, "you were not asked about this clip")
    return FileResponse(_video_file(store, clip), media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400, immutable"})


def _state(store: Store, reviewer_id: int) -> dict[str, Any]:
    ahead = [_question(assignment) for assignment in store.next_pairs(reviewer_id, 2, with_video=True)]
    current, following = [*ahead, None, None][:2]
    return {"pair": current, "next": following, "progress": store.progress(reviewer_id, with_video=True)._asdict()}


def _question(assignment: Assignment) -> dict[str, Any]:
    """A pair without anything that could tell who drove."""
    return {"id": assignment.pair_id, "left": _side(assignment.left), "right": _side(assignment.right)}


def _side(clip: ClipRow) -> dict[str, Any]:
    return {"video": f"/api/clips/{clip.id}/video", "outcome": clip.outcome, "frames_per_s": clip.video_frames_per_s}


def _video_file(store: Store, clip: ClipRow) -> Path:
    """The file that is what was stored: inside the study, and with the same content."""
    folder = store.folder.resolve()
    path = (folder / str(clip.video_path)).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise HTTPException(404, "the video of this clip is missing; press X, and tell who runs the study")
    status = path.stat()
    if _sha256(path, status.st_mtime_ns, status.st_size) != clip.video_sha256:
        raise HTTPException(409, "the video of this clip is not the one that was stored; press X, and tell who runs the study")
    return path


@lru_cache(maxsize=4096)
def _sha256(path: Path, changed_ns: int, size_bytes: int) -> str:
    """Hash a file once for as long as it stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
