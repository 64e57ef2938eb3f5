"""What a store keeps of questions and answers, practice among them; ``Store`` has these methods."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, insert

from feedback import checks, openings, queries
from feedback.checks import LabelRejected
from feedback.database import reading, writing
from feedback.rows import Ahead, Assignment, Choice, LabelRow, Progress, Said, Side, choice_of
from feedback.tables import practice

LABEL_HASH_FIELDS = ("clip_a", "clip_b", "reason", "reviewer", "scripted", "choice", "mirrored")


class AnswerStore:
    """Assignments, labels, and tries of practice pairs."""

    engine: Engine

    _counted: dict[bool, tuple[tuple[int | None, ...], tuple[int, bool]]]
    """What ``openings.ASKABLE`` said, and the newest pair and video by then."""

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
            given = queries.give(connection, reviewer_id, count, with_video)
        with reading(self.engine) as connection:
            return queries.with_clips(connection, *given)

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
        """Store an answer in the words of who saw the pair, and give what comes next, in one write.

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
            given = queries.give(connection, reviewer_id, count, True)
        with reading(self.engine) as connection:  # what needs no turn is asked when it is over
            return number, Ahead(queries.with_clips(connection, *given), *self._how_far(connection, reviewer_id, True))

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
            if queries.sent_before(connection, reviewer_id, undo_key) is not None:
                raise LabelRejected(f"client key {key!r} makes an undo's key that names an answer already; make a new key")
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
        row = connection.execute(openings.DONE_AND_SETTLED[with_video], who).one()
        newest = (row.newest_pair, row.newest_video)
        known = self._counted.get(with_video)
        if known is None or known[0] != newest:
            count, some_limited = connection.execute(openings.ASKABLE[with_video]).one()
            known = self._counted[with_video] = newest, (count, bool(some_limited))
        askable, some_limited = known[1]
        limited = connection.execute(openings.LIMITED[with_video], who).scalar_one() if some_limited else 0
        return Progress(row.done, askable - row.settled + limited)

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
