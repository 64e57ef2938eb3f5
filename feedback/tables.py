"""The tables of a study's database, and the schema versions this program knows.

Opinions are evidence: ``clip``, ``video``, ``pair``, ``label`` and ``takeover`` are append-only, which triggers hold. Taking a label
back is another row that names it. Who a reviewer is lives in ``identity`` alone, so that it can be erased without touching a label.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

SCHEMA_REVISIONS = ("0001",)
"""Every schema version there has been, oldest first; the last is the one that this program reads and writes."""

APPEND_ONLY = ("clip", "video", "pair", "label", "takeover")
"""Tables whose rows can be neither changed nor deleted."""

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
    UniqueConstraint("clip_a", "clip_b", "reason"),
    CheckConstraint("clip_a <> clip_b", name="two_clips"),
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
    UniqueConstraint("reviewer_id", "pair_id"),
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
    UniqueConstraint("reviewer_id", "client_key"),
)
