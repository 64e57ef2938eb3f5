"""What a store keeps of takeovers, live rides and their ratings; ``Store`` has these methods."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, insert, select

from feedback import audit, checks, queries
from feedback.checks import LabelRejected
from feedback.database import reading, writing
from feedback.rows import RideRow, TakeoverRow
from feedback.tables import rating, ride, takeover


class RideStore:
    """Takeovers, live rides and ratings."""

    engine: Engine

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
