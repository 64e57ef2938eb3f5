"""The tables of a study's database, and the schema versions this program knows.

Opinions are evidence: clips, pairs, labels, takeovers, rides, ratings and the audit log are append-only, which triggers hold. Taking a
label back is another row that names it. Who a reviewer is lives in ``identity`` alone, so that it can be erased without touching a label.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy import Integer as SmallInteger

SCHEMA_REVISIONS = ("0001", "0002", "0003", "0004")
"""Every schema version there has been, oldest first; the last is the one that this program reads and writes."""

APPEND_ONLY = ("clip", "video", "pair", "label", "takeover", "audit", "remark", "practice", "ride", "rating")
"""Tables whose rows can be neither changed nor deleted."""

Integer = BigInteger().with_variant(SmallInteger(), "sqlite")
"""64 bits in any database: in SQLite every INTEGER has them, and only one so called can be a row's own number."""

metadata = MetaData()

clip = Table(
    "clip",
    metadata,
    Column("id", Text, primary_key=True),
    Column("env_id", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("scenes_path", Text, nullable=False),
    Column("scenes_sha256", Text, nullable=False),
    Column("start_s", Float, nullable=False),
    Column("duration_s", Float, CheckConstraint("duration_s > 0"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("driver", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
)

video = Table(
    "video",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("clip_id", Text, ForeignKey("clip.id"), nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("frames_per_s", Float, CheckConstraint("frames_per_s > 0"), nullable=False),
    Column("created_unix_s", Float, nullable=False),
)

pair = Table(
    "pair",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("clip_a", Text, ForeignKey("clip.id"), nullable=False, index=True),
    Column("clip_b", Text, ForeignKey("clip.id"), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("labels_wanted", Integer, CheckConstraint("labels_wanted > 0")),
    Column("created_unix_s", Float, nullable=False),
    Column("answer", Text),  # where it is known: 'A', 'B' or 'tie'
    Column("lesson", Text, nullable=False, server_default=""),  # why, in a line for newcomers
    UniqueConstraint("clip_a", "clip_b", "reason"),
    CheckConstraint("clip_a <> clip_b", name="two_clips"),
    Index("pair_for_everybody", "id", sqlite_where=text("labels_wanted IS NULL"), postgresql_where=text("labels_wanted IS NULL")),
)

opening = Table(  # pairs that want a certain number of labels and lack some
    "opening",
    metadata,
    Column("pair_id", Integer, ForeignKey("pair.id"), primary_key=True),
    Column("shown", Integer, nullable=False),  # 1: both clips have a video
    Index("opening_of_shown", "shown", "pair_id"),
)

reviewer = Table(
    "reviewer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pseudonym", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("scripted", Integer, nullable=False),
    Column("token_sha256", LargeBinary, unique=True),
    Column("created_unix_s", Float, nullable=False),
)

identity = Table(
    "identity",
    metadata,
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

session = Table(
    "session",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False, index=True),
    Column("csrf_token", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("seen_unix_s", Float, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("pair_id", Integer, ForeignKey("pair.id"), nullable=False),
    Column("mirrored", Integer, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    # Of pairs that want so many labels: until then nobody else gets this one's place.
    Column("lease_until_unix_s", Float),
    # The standing label that answers it; none: it waits. What labels say, kept where next questions are looked for.
    Column("label_id", Integer, ForeignKey("label.id")),
    UniqueConstraint("reviewer_id", "pair_id"),
    Index("assignment_of_reviewer", "reviewer_id", "label_id"),
    Index("assignment_of_pair", "pair_id", "label_id"),
    Index("assignment_of_lease", "lease_until_unix_s"),
)

label = Table(
    "label",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("pair_id", Integer, ForeignKey("pair.id"), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("choice", Text, CheckConstraint("choice IN ('A', 'B', 'tie', 'cannot', 'skip', 'undo')"), nullable=False),
    Column("undoes", Integer, ForeignKey("label.id"), unique=True),
    Column("latency_s", Float, CheckConstraint("latency_s >= 0"), nullable=False),
    Column("replays", Integer, CheckConstraint("replays >= 0"), nullable=False),
    Column("mirrored", Integer, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    UniqueConstraint("reviewer_id", "client_key"),
    CheckConstraint("(choice = 'undo') = (undoes IS NOT NULL)", name="undo_names_its_label"),
    # Two answers of one reviewer to one pair can only differ in `attempt`, which counts the rows before it: of two that race for
    # the same pair, one fails, on any database.
    Index("label_of_reviewer_and_pair", "reviewer_id", "pair_id", "attempt", unique=True),
)

takeover = Table(
    "takeover",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("clip_id", Text, ForeignKey("clip.id"), index=True),
    Column("recording", Text, nullable=False),
    Column("onset_s", Float, CheckConstraint("onset_s >= 0")),
    Column("release_s", Float, CheckConstraint("release_s >= coalesce(onset_s, 0)"), nullable=False),
    Column("cause", Text, nullable=False),
    Column("driver_actions", Text, nullable=False),
    Column("person_actions", Text, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("request_s", Float),  # when they asked for the wheel, of live rides
    Column("after_clip_id", Text, ForeignKey("clip.id")),  # what they did with it, and what came after
    Column("ride_id", Integer, ForeignKey("ride.id"), index=True),
    UniqueConstraint("reviewer_id", "client_key"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False, index=True),
    Column("expires_unix_s", Float, nullable=False),
)

remark = Table(
    "remark",
    metadata,
    Column("label_id", Integer, ForeignKey("label.id"), primary_key=True),
    Column("reasons", Text, nullable=False),  # words of ``rows.REASONS``, with commas between
    Column("comment", Text, nullable=False),
)

practice = Table(
    "practice",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("pair_id", Integer, ForeignKey("pair.id"), nullable=False),
    Column("choice", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    UniqueConstraint("reviewer_id", "pair_id"),
)

ride = Table(
    "ride",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("env_id", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("driver", Text, nullable=False),
    Column("recording", Text, nullable=False),
    Column("recording_sha256", Text, nullable=False),
    Column("duration_s", Float, CheckConstraint("duration_s >= 0"), nullable=False),
    Column("by_hand_s", Float, CheckConstraint("by_hand_s >= 0"), nullable=False),
    Column("distance_m", Float, CheckConstraint("distance_m >= 0"), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    UniqueConstraint("reviewer_id", "client_key"),
)

rating = Table(
    "rating",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
    Column("ride_id", Integer, ForeignKey("ride.id"), nullable=False, index=True),
    Column("stars", Integer, CheckConstraint("stars BETWEEN 1 AND 5"), nullable=False),
    Column("comment", Text, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    UniqueConstraint("reviewer_id", "client_key"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),  # a table's name
    Column("subject_id", Integer, nullable=False),
    Column("actor", Text, nullable=False),  # a pseudonym, or 'console'
    Column("detail", Text, nullable=False),
    Column("created_unix_s", Float, nullable=False),
    Column("previous_sha256", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
)
