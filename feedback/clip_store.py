"""What a store keeps of clips and of the pairs that are asked about; ``Store`` has these methods."""

from __future__ import annotations

import time

from sqlalchemy import Engine, insert, select

from feedback import checks, openings, queries
from feedback.database import StoreError, reading, writing
from feedback.rows import Choice, ClipRow
from feedback.tables import clip, pair


class ClipStore:
    """Clips and pairs."""

    engine: Engine

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
        if answer not in (None, "A", "B", "tie") or (reason == openings.PRACTICE and answer is None):
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
