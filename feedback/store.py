"""The study's store: clips, pairs, reviewers, labels and takeovers, written durably and never rewritten.

People through the web server and scripted reviewers use the same methods. Every write is one transaction that is on disk when the
method returns; a repeated write with the same client key writes nothing. The store may be shared by threads and by processes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, insert, select

from feedback import audit, checks, queries
from feedback.checks import LabelRejected
from feedback.database import StoreError, database_of, open_database, reading, where_of, writing
from feedback.rows import (
    CHOICES,
    Ahead,
    Assignment,
    Choice,
    ClipRow,
    LabelRow,
    Progress,
    Reviewer,
    RideRow,
    Said,
    Side,
    TakeoverRow,
    choice_of,
)
from feedback.tables import clip, pair, practice, rating, reviewer, ride, takeover
from feedback.tokens import new_token, token_hash

__all__ = ["CHOICES", "Assignment", "ClipRow", "LabelRejected", "LabelRow", "Progress", "Reviewer", "Store", "StoreError", "TakeoverRow"]

LABEL_HASH_FIELDS = ("clip_a", "clip_b", "reason", "reviewer", "scripted", "choice", "mirrored")


class Store:
    """A study's store.

    Args:
        url: The database: a file, ``sqlite:///FILE``, or ``postgresql://USER@HOST/DATABASE``. Made if absent (a file) or empty
            (PostgreSQL); upgraded if older than this program.
        busy_timeout_s: How long a write waits for another program's [s].
        folder: The study's folder, which clips' paths are relative to; by default where the file is.

    Raises:
        StoreError: If it cannot be opened, is another program's, or newer than this program.
    """

    def __init__(self, url: str | Path, busy_timeout_s: float = 10.0, folder: Path | None = None) -> None:
        self.engine = open_database(url, busy_timeout_s)
        self._folder = folder
        self._counted: dict[bool, tuple[tuple[int | None, ...], tuple[int, bool]]] = {}

    @classmethod
    def of_study(cls, folder: Path, busy_timeout_s: float = 10.0) -> Store:
        """Open a study's store: its ``feedback.db``, made if absent, or the database that the one line of its ``database.url`` names.

        Raises:
            StoreError: As from ``Store``.
        """
        return cls(database_of(folder) or folder / "feedback.db", busy_timeout_s, folder)

    @property
    def folder(self) -> Path:
        """The study's folder, which clips' paths are relative to.

        Raises:
            StoreError: If the database is no file, and nobody has said which it is.
        """
        if self._folder is not None:
            return self._folder
        if self.engine.dialect.name != "sqlite":
            raise StoreError(f"{self.where}: the study's folder is not known; open it with Store.of_study(FOLDER)")
        return Path(str(self.engine.url.database).removeprefix("file:")).parent

    @property
    def where(self) -> str:
        """What to call the database in messages."""
        return where_of(self.engine)

    def close(self) -> None:
        """Close the database; the store cannot be used after."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Clips and pairs

    def add_clip(self, row: ClipRow) -> str:
        """Add a clip, and its video if the row names one; adding it again changes nothing, or adds the video that it lacked.

        Returns:
            The clip's id.

        Raises:
            StoreError: If a path leaves the study, a number is impossible, or the id is taken by a clip with other scenes.
        """
        checks.check_clip(row)
        known = {name: getattr(row, name) for name in clip.c.keys() if name != "created_unix_s"}
        with writing(self.engine) as connection:
            old = connection.execute(select(clip).where(clip.c.id == row.id)).mappings().one_or_none()
            if old is None:
                connection.execute(insert(clip).values(**known, created_unix_s=time.time()))
            elif old["scenes_sha256"] != row.scenes_sha256:
                raise StoreError(
                    f"clip {row.id}: its scenes have SHA-256 {row.scenes_sha256}, those stored under this id {old['scenes_sha256']}; "
                    "use the hash of the clip's content as its id"
                )
            if row.video_path is not None:
                queries.add_video(connection, row)
        return row.id

    def clips(self) -> list[ClipRow]:
        """List all clips, oldest first."""
        with reading(self.engine) as connection:
            return [
                queries.clip_row(row) for row in connection.execute(queries.CLIPS.order_by(clip.c.created_unix_s, clip.c.id)).mappings()
            ]

    def clip(self, clip_id: str) -> ClipRow | None:
        """Find a clip by its id."""
        with reading(self.engine) as connection:
            row = connection.execute(queries.CLIP_OF_ID, {"clip_id": clip_id}).mappings().one_or_none()
        return None if row is None else queries.clip_row(row)

    def add_pair(
        self,
        clip_a: str,
        clip_b: str,
        reason: str = "uniform",
        labels_wanted: int | None = None,
        *,
        answer: Choice | None = None,
        lesson: str = "",
    ) -> int:
        """Add a question; the same clips in the same order for the same reason are the same pair.

        Args:
            clip_a: First clip's id.
            clip_b: Second clip's id.
            reason: Why this pair: 'uniform', 'fork', 'gold', 'repeat', 'mirror', ...; 'practice' is for newcomers to try, not for labels.
            labels_wanted: The pair closes when that many reviewers have answered; None: every reviewer is asked.
            answer: What everybody should say, where it is known: 'A', 'B' or 'tie'.
            lesson: Why, in a line for newcomers.

        Returns:
            The pair's id.

        Raises:
            StoreError: If a clip is unknown, both are the same, labels_wanted is not positive, or a practice pair has no answer.
        """
        if answer not in (None, "A", "B", "tie") or (reason == queries.PRACTICE and answer is None):
            raise StoreError(f"pair of {clip_a} and {clip_b}: its known answer is {answer!r}, expected 'A', 'B' or 'tie'")
        if labels_wanted is not None and labels_wanted < 1:
            raise StoreError(f"pair of {clip_a} and {clip_b}: labels_wanted is {labels_wanted}, expected at least 1 or None")
        with writing(self.engine) as connection:
            checks.check_pair(connection, clip_a, clip_b)
            return queries.pair_of(connection, clip_a, clip_b, reason, labels_wanted, answer=answer, lesson=lesson)

    def pairs(self) -> list[tuple[int, str, str, str]]:
        """List all pairs, oldest first, as (pair id, first clip's id, second clip's id, reason)."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(pair.c.id, pair.c.clip_a, pair.c.clip_b, pair.c.reason).order_by(pair.c.id))
            return [(row.id, row.clip_a, row.clip_b, row.reason) for row in rows]

    def known_answers(self) -> dict[int, str]:
        """Answers that everybody should give, by pair, where they are known."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(pair.c.id, pair.c.answer).where(pair.c.answer.is_not(None)))
            return {row.id: row.answer for row in rows}

    # Reviewers

    def add_reviewer(self, pseudonym: str, role: str = "reviewer", scripted: bool = False) -> tuple[int, str]:
        """Add a reviewer.

        Returns:
            The reviewer's id, and the token that lets them in: it is shown this once, the store keeps only its hash.

        Raises:
            StoreError: If the pseudonym is taken, empty or too long.
        """
        checks.check_name(pseudonym)
        token = new_token()
        with writing(self.engine) as connection:
            if connection.execute(select(reviewer.c.id).where(reviewer.c.pseudonym == pseudonym)).first() is not None:
                raise StoreError(f"reviewer {pseudonym!r} exists already in this study; choose another name")
            values = {"pseudonym": pseudonym, "role": role, "scripted": int(scripted), "token_sha256": token_hash(token)}
            return queries.new_id(connection.execute(insert(reviewer).values(**values, created_unix_s=time.time()))), token

    def reviewer_by_token(self, token: str) -> Reviewer | None:
        """Find who a token belongs to; None if nobody."""
        with reading(self.engine) as connection:
            row = connection.execute(select(reviewer).where(reviewer.c.token_sha256 == token_hash(token))).one_or_none()
        return None if row is None else queries.reviewer_row(row)

    def reviewers(self) -> list[Reviewer]:
        """List all reviewers, oldest first."""
        with reading(self.engine) as connection:
            return [queries.reviewer_row(row) for row in connection.execute(select(reviewer).order_by(reviewer.c.id))]

    # Questions and answers

    def next_pair(self, reviewer_id: int, with_video: bool = False) -> Assignment | None:
        """Give the reviewer's open pair: the same until it is answered, then another; None when nothing is left.

        Args:
            reviewer_id: Who asks.
            with_video: Ask only about pairs whose clips both have a video.

        Raises:
            LabelRejected: If there is no such reviewer.
        """
        return next(iter(self.next_pairs(reviewer_id, 1, with_video)), None)

    def next_pairs(self, reviewer_id: int, count: int, with_video: bool = False) -> list[Assignment]:
        """Give up to ``count`` pairs in the order in which ``next_pair`` would, for fetching ahead."""
        with reading(self.engine) as connection:
            checks.require_reviewer(connection, reviewer_id)
            found, lasting = queries.open_assignments(connection, reviewer_id, count, with_video)
        if len(found) == count and lasting:
            return found
        with writing(self.engine) as connection:
            return queries.ahead(connection, reviewer_id, count, with_video)

    def ahead(self, reviewer_id: int, count: int, with_video: bool = False) -> Ahead:
        """Give what ``next_pairs``, ``progress`` and ``pace_s`` would."""
        pairs = self.next_pairs(reviewer_id, count, with_video)
        with reading(self.engine) as connection:
            return Ahead(pairs, *self._how_far(connection, reviewer_id, with_video))

    def assignment(self, reviewer_id: int, pair_id: int) -> Assignment | None:
        """Find a pair as it was shown to a reviewer; None if it never was."""
        with reading(self.engine) as connection:
            rows = connection.execute(queries.ASSIGNED_PAIR, {"reviewer_id": reviewer_id, "pair_id": pair_id}).all()
            return queries.with_clips(connection, rows)[0] if rows else None

    def was_shown(self, reviewer_id: int, clip_id: str) -> bool:
        """Tell whether a clip is in any pair that a reviewer was asked about, or of a live ride of theirs."""
        with reading(self.engine) as connection:
            who_and_what = {"reviewer_id": reviewer_id, "clip_id": clip_id}
            return any(
                connection.execute(query, who_and_what).first() is not None for query in (queries.ASSIGNED_CLIP, queries.RIDDEN_CLIP)
            )

    def add_label(
        self,
        reviewer_id: int,
        pair_id: int,
        choice: Choice,
        latency_s: float,
        replays: int = 0,
        client_key: str | None = None,
        *,
        reasons: Sequence[str] = (),
        comment: str = "",
    ) -> int:
        """Store an answer.

        Args:
            reviewer_id: Who answers.
            pair_id: Which pair.
            choice: 'A' or 'B' (the better ride, in the pair's own order whatever side it was shown on), 'tie', 'cannot' or 'skip'.
            latency_s: Time from first sight to answer [s].
            replays: How often the pair was watched again.
            client_key: Name of this very answer: sending it again returns the same id and writes nothing. None makes one.
            reasons: Why, in words of ``rows.REASONS``.
            comment: Why, in their own words.

        Returns:
            The label's id.

        Raises:
            LabelRejected: If the pair or the reviewer is missing, the pair is closed, or a value is impossible. Nothing is written.
            StoreError: If the database cannot be written. Nothing is written.
        """
        checks.check_answer(choice, latency_s, replays)
        checks.check_remark(reasons, comment)
        values = {"reviewer_id": reviewer_id, "pair_id": pair_id, "choice": choice, "client_key": checks.checked_key(client_key)}
        with writing(self.engine) as connection:
            return self._answer(connection, {**values, "latency_s": float(latency_s), "replays": int(replays)}, reasons, comment)

    def answer_shown(
        self,
        reviewer_id: int,
        pair_id: int,
        said: Side | Choice,
        latency_s: float,
        replays: int,
        client_key: str,
        *,
        reasons: Sequence[str] = (),
        comment: str = "",
        count: int = 2,
    ) -> tuple[int, Ahead]:
        """Store an answer in the words of who saw the pair, and give what comes next, in one transaction.

        Args:
            reviewer_id: Who answers; the arguments are those of ``add_label`` but for what follows.
            pair_id: A pair that they were given.
            said: 'left', 'right', 'tie', 'cannot' or 'skip'.
            latency_s: Time from first sight to answer [s].
            replays: How often the pair was watched again.
            client_key: Name of this very answer.
            reasons: Why, in words of ``rows.REASONS``.
            comment: Why, in their own words.
            count: How many pairs to give, of those whose clips both have a video.

        Returns:
            The label's id, and what comes next.

        Raises:
            NotShown: If they were not given that pair. Nothing is written.
            LabelRejected: As from ``add_label``.
            StoreError: As from ``add_label``.
        """
        checks.check_answer("skip" if said in ("left", "right") else said, latency_s, replays)
        checks.check_remark(reasons, comment)
        values: dict[str, Any] = {"reviewer_id": reviewer_id, "pair_id": pair_id, "client_key": checks.checked_key(client_key)}
        values |= {"latency_s": float(latency_s), "replays": int(replays)}
        with writing(self.engine) as connection:
            asked = queries.asked(connection, reviewer_id, pair_id)
            if asked is None or asked.mirrored is None:
                raise checks.NotShown(f"pair {pair_id} was not shown to you; reload the page")
            values["choice"] = choice_of(said, bool(asked.mirrored))
            number = self._answer(connection, values, reasons, comment, asked)
            pairs = queries.ahead(connection, reviewer_id, count, True)
            return number, Ahead(pairs, *self._how_far(connection, reviewer_id, True))

    def _answer(self, connection: Connection, values: dict[str, Any], reasons: Sequence[str], comment: str, asked: Any = None) -> int:
        reviewer_id, pair_id = values["reviewer_id"], values["pair_id"]
        sent = checks.sent_label(connection, reviewer_id, values["client_key"], pair_id, values["choice"])
        if sent is not None:
            return sent
        asked = checks.require_open_pair(connection, reviewer_id, pair_id, asked)
        checks.require_normal_pair(asked, pair_id)
        mirrored = queries.assign(connection, asked, reviewer_id)
        return queries.add_label_row(connection, {**values, "mirrored": mirrored}, asked, reasons, comment)

    def revise(
        self, reviewer_id: int, label_id: int, choice: Choice, latency_s: float, replays: int = 0, client_key: str | None = None
    ) -> int:
        """Change one's mind about an earlier answer: the old row stays, an undo and a new answer are added, together or not at all.

        Args:
            reviewer_id: Whose answer.
            label_id: Which one; it must stand.
            choice: The new answer, as for ``add_label``.
            latency_s: As for ``add_label``.
            replays: As for ``add_label``.
            client_key: Name of this very revision: sending it again writes nothing. None makes one.

        Returns:
            The new label's id.

        Raises:
            LabelRejected: If it is not their standing answer, or a value is impossible. Nothing is written.
        """
        checks.check_answer(choice, latency_s, replays)
        key = checks.checked_key(client_key)
        undo_key = hashlib.sha256(f"undo for {key}".encode()).hexdigest()[:32]
        with writing(self.engine) as connection:
            checks.require_reviewer(connection, reviewer_id)
            values: dict[str, Any] = {"reviewer_id": reviewer_id, "client_key": key, "choice": choice}
            values |= {"latency_s": float(latency_s), "replays": int(replays)}
            sent = queries.sent_before(connection, reviewer_id, key)
            if sent is not None:
                return self._answer(connection, {**values, "pair_id": sent.pair_id}, (), "")
            old = connection.execute(queries.SAID_LABEL, {"reviewer_id": reviewer_id, "label_id": label_id}).one_or_none()
            if old is None:
                raise LabelRejected(f"answer {label_id} is not yours, or was changed already; reload the history")
            undo = {"reviewer_id": reviewer_id, "pair_id": old.pair_id, "choice": "undo", "undoes": label_id, "client_key": undo_key}
            queries.add_label_row(connection, {**undo, "mirrored": old.mirrored}, queries.asked(connection, reviewer_id, old.pair_id))
            return self._answer(connection, {**values, "pair_id": old.pair_id}, (), "")

    def said(self, reviewer_id: int, count: int, before: int | None = None) -> list[Said]:
        """List a reviewer's standing answers as they saw the pairs, newest first; those before a label's number, if one is given."""
        with reading(self.engine) as connection:
            return queries.said(connection, reviewer_id, count, before)

    def said_of(self, reviewer_id: int, label_id: int) -> Said | None:
        """Find one of a reviewer's standing answers."""
        with reading(self.engine) as connection:
            return queries.said_of(connection, reviewer_id, label_id)

    def answer_of_key(self, reviewer_id: int, client_key: str) -> Assignment | None:
        """Find the pair, as it was shown, of an answer that was sent under a client key."""
        with reading(self.engine) as connection:
            sent = queries.sent_before(connection, reviewer_id, client_key)
        return None if sent is None else self.assignment(reviewer_id, sent.pair_id)

    def pace_s(self, reviewer_id: int) -> float | None:
        """How long a reviewer usually takes for an answer [s]: the median of their last 25; None before the fifth."""
        with reading(self.engine) as connection:
            return queries.pace_s(connection, reviewer_id)

    def undo(self, reviewer_id: int, client_key: str | None = None) -> int | None:
        """Take back a reviewer's latest standing answer, which opens its pair again.

        Args:
            reviewer_id: Who takes back.
            client_key: Name of this very undo: sending it again takes nothing more back. None makes one.

        Returns:
            The pair's id; None if nothing is left to take back.

        Raises:
            LabelRejected: If there is no such reviewer, or the key names an answer.
        """
        key = checks.checked_key(client_key)
        with writing(self.engine) as connection:
            checks.require_reviewer(connection, reviewer_id)
            sent = queries.sent_before(connection, reviewer_id, key)
            if sent is not None:
                if sent.choice != "undo":
                    raise LabelRejected(f"client key {key!r} already names an answer, to pair {sent.pair_id}; make a new key for each undo")
                return int(sent.pair_id)
            last = connection.execute(queries.STANDING_OF_REVIEWER, {"reviewer_id": reviewer_id}).one_or_none()
            if last is None:
                return None
            values = {"reviewer_id": reviewer_id, "pair_id": last.pair_id, "choice": "undo", "undoes": last.id, "client_key": key}
            queries.add_label_row(connection, {**values, "mirrored": last.mirrored}, queries.asked(connection, reviewer_id, last.pair_id))
            return int(last.pair_id)

    def labels(self, active: bool = True) -> list[LabelRow]:
        """List labels, oldest first; clips and choices are in the pairs' own order, whatever side they were shown on.

        Args:
            active: Leave out what was taken back, and the undos; False gives the whole history.
        """
        query = queries.STANDING_LABELS if active else queries.LABELS
        with reading(self.engine) as connection:
            return [queries.label_row(row) for row in connection.execute(query).mappings()]

    def labels_hash(self) -> str:
        """Hash what learning uses of the active labels, as hexadecimal SHA-256.

        The same labels give the same hash in any database, whatever the order and numbers in which they were stored.
        """
        lines = sorted(json.dumps([getattr(row, name) for name in LABEL_HASH_FIELDS]) for row in self.labels())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def progress(self, reviewer_id: int, with_video: bool = False) -> Progress:
        """Count the pairs that a reviewer has answered and those that wait for them."""
        with reading(self.engine) as connection:
            return self._progress(connection, reviewer_id, with_video)

    def _how_far(self, connection: Connection, reviewer_id: int, with_video: bool) -> tuple[Progress, float | None]:
        return self._progress(connection, reviewer_id, with_video), queries.pace_s(connection, reviewer_id)

    def _progress(self, connection: Connection, reviewer_id: int, with_video: bool) -> Progress:
        who = {"reviewer_id": reviewer_id, "now": queries.now_s()}
        row = connection.execute(queries.DONE_AND_SETTLED[with_video], who).one()
        newest = (row.newest_pair, row.newest_video)
        known = self._counted.get(with_video)
        if known is None or known[0] != newest:
            count, some_limited = connection.execute(queries.ASKABLE[with_video]).one()
            known = self._counted[with_video] = newest, (count, bool(some_limited))
        askable, some_limited = known[1]
        limited = connection.execute(queries.LIMITED[with_video], who).scalar_one() if some_limited else 0
        return Progress(row.done, askable - row.settled + limited)

    # Practice

    def practice(self, reviewer_id: int, count: int) -> tuple[list[Assignment], int]:
        """Give the practice pairs that a reviewer has yet to try, and how many they have tried; at most ``count`` together."""
        with writing(self.engine) as connection:
            checks.require_reviewer(connection, reviewer_id)
            who = {"reviewer_id": reviewer_id}
            tried = set(connection.execute(queries.TRIED, who).scalars())
            lessons = [number for number in connection.execute(queries.LESSONS, who).scalars() if number not in tried]
            wanted = lessons[: max(count - len(tried), 0)]
            for pair_id in wanted:
                queries.assign(connection, queries.asked(connection, reviewer_id, pair_id), reviewer_id, hold=False)
            rows = [connection.execute(queries.ASSIGNED_PAIR, {**who, "pair_id": number}).one() for number in wanted]
            return queries.with_clips(connection, rows), len(tried)

    def add_practice(self, reviewer_id: int, pair_id: int, choice: Choice) -> Assignment:
        """Store what a newcomer said to a practice pair, which is no label; a second try of the same pair changes nothing.

        Returns:
            The pair as they saw it, with its known answer and its lesson.

        Raises:
            LabelRejected: If the pair is none for practice, or was not shown to them.
        """
        checks.check_answer(choice, 0.0, 0)
        who = {"reviewer_id": reviewer_id, "pair_id": pair_id}
        with writing(self.engine) as connection:
            rows = connection.execute(queries.ASSIGNED_PAIR, who).all()
            if not rows or rows[0].answer is None or pair_id not in connection.execute(queries.LESSONS, who).scalars().all():
                raise LabelRejected(f"pair {pair_id} is not one of your practice pairs; reload the page")
            if pair_id not in set(connection.execute(queries.TRIED, who).scalars()):
                connection.execute(insert(practice).values(**who, choice=choice, created_unix_s=time.time()))
            return queries.with_clips(connection, rows)[0]

    # Takeovers and live rides

    def add_takeover(
        self,
        reviewer_id: int,
        clip_id: str | None,
        onset_s: float | None,
        release_s: float,
        cause: str = "",
        *,
        recording: str = "",
        driver_actions: Sequence[Any] = (),
        person_actions: Sequence[Any] = (),
        client_key: str | None = None,
        request_s: float | None = None,
        after_clip_id: str | None = None,
        ride_id: int | None = None,
    ) -> int:
        """Store a ride with a hand at the wheel, whether it was taken over or not.

        Args:
            reviewer_id: Who rode.
            clip_id: The clip, or None where ``recording`` names the ride.
            onset_s: When they took over, from the ride's start [s]; None if they watched to ``release_s`` and did not.
            release_s: When they gave back the wheel, or the ride or the watching ended [s].
            cause: Why, in a few words.
            recording: The recording, relative to the study.
            driver_actions: What the driver wanted at each step of the takeover, shape (T,) or (T, C).
            person_actions: What the person did at each step, shape (T,) or (T, C).
            client_key: Name of this very ride: sending it again returns the same id and writes nothing. None makes one.
            request_s: When they asked for the wheel, of live rides [s].
            after_clip_id: A clip of what they did with the wheel, and of what came after.
            ride_id: The live ride that this is a part of.

        Returns:
            The takeover's id.

        Raises:
            LabelRejected: If the reviewer or the clip is missing, or a value is impossible. Nothing is written.
        """
        key = checks.checked_key(client_key)
        checks.check_takeover(clip_id, recording, onset_s, release_s, cause)
        values = {
            "reviewer_id": reviewer_id,
            "clip_id": clip_id,
            "recording": recording,
            "onset_s": None if onset_s is None else float(onset_s),
            "release_s": float(release_s),
            "cause": cause,
            "driver_actions": checks.actions_text("driver_actions", driver_actions),
            "person_actions": checks.actions_text("person_actions", person_actions),
            "client_key": key,
            "request_s": None if request_s is None else float(request_s),
            "after_clip_id": after_clip_id,
            "ride_id": ride_id,
        }
        with writing(self.engine) as connection:
            checks.require_reviewer(connection, reviewer_id)
            old = connection.execute(queries.TAKEOVER_OF_KEY, {"reviewer_id": reviewer_id, "client_key": key}).mappings().one_or_none()
            if old is not None:
                if any(old[name] != value for name, value in values.items()):
                    raise LabelRejected(f"client key {key!r} already names another takeover; make a new key for each ride")
                return int(old["id"])
            for each in (clip_id, after_clip_id):
                if each is not None:
                    checks.require_clip(connection, "takeover", each)
            number = queries.new_id(connection.execute(insert(takeover).values(**values, created_unix_s=time.time())))
            audit.note(connection, "watched" if onset_s is None else "took over", "takeover", number, reviewer_id)
            return number

    def takeovers(self) -> list[TakeoverRow]:
        """List all rides with a hand at the wheel, oldest first."""
        with reading(self.engine) as connection:
            return [queries.takeover_row(row) for row in connection.execute(queries.TAKEOVERS).mappings()]

    def add_ride(self, row: RideRow, client_key: str) -> int:
        """Store a live ride; its number, pseudonym, rating and time of storing are the store's. Sent again it writes nothing.

        Raises:
            LabelRejected: If there is no such reviewer, or a path leaves the study.
        """
        checks.check_path("ride", row.recording)
        key = checks.checked_key(client_key)
        names = [name for name in ride.c.keys() if name not in ("id", "client_key", "created_unix_s")]
        values = {name: getattr(row, name) for name in names}
        with writing(self.engine) as connection:
            checks.require_reviewer(connection, row.reviewer_id)
            mine = select(ride.c.id).where(ride.c.reviewer_id == row.reviewer_id, ride.c.client_key == key)
            known = connection.execute(mine).scalar()
            if known is not None:
                return int(known)
            number = queries.new_id(connection.execute(insert(ride).values(**values, client_key=key, created_unix_s=time.time())))
            audit.note(connection, "rode", "ride", number, row.reviewer_id)
            return number

    def rate_ride(self, reviewer_id: int, ride_id: int, stars: int, comment: str = "", client_key: str | None = None) -> int:
        """Store how a reviewer liked a ride of theirs; a later rating counts instead, the earlier one stays.

        Raises:
            LabelRejected: If the ride is not theirs, or a value is impossible.
        """
        checks.check_stars(stars)
        checks.check_remark((), comment)
        key = checks.checked_key(client_key)
        values = {"reviewer_id": reviewer_id, "ride_id": ride_id, "stars": stars, "comment": comment}
        with writing(self.engine) as connection:
            if connection.execute(select(ride.c.reviewer_id).where(ride.c.id == ride_id)).scalar() != reviewer_id:
                raise LabelRejected(f"ride {ride_id} is not one of yours; reload the page")
            sent = connection.execute(select(rating).where(rating.c.reviewer_id == reviewer_id, rating.c.client_key == key)).first()
            if sent is not None:
                if any(getattr(sent, name) != value for name, value in values.items()):
                    raise LabelRejected(f"client key {key!r} already names another rating; make a new key for each")
                return int(sent.id)
            number = queries.new_id(connection.execute(insert(rating).values(**values, client_key=key, created_unix_s=time.time())))
            audit.note(connection, "rated", "rating", number, reviewer_id)
            return number

    def rides(self, reviewer_id: int | None = None) -> list[RideRow]:
        """List live rides with their latest ratings, oldest first; one reviewer's, or everybody's."""
        query = queries.RIDES if reviewer_id is None else queries.RIDES.where(ride.c.reviewer_id == reviewer_id)
        with reading(self.engine) as connection:
            return [queries.ride_row(row) for row in connection.execute(query).mappings()]
