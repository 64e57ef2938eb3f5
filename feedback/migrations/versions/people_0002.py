"""Invitations, practice, live rides and their ratings, known answers, reasons, and the audit log, which adopts what was there before."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, Float, ForeignKey, LargeBinary, Text, UniqueConstraint

from feedback import audit
from feedback.migrations.append_only import hold_append_only
from feedback.tables import Integer

revision = "0002"
down_revision = "0001"

APPEND_ONLY = ("remark", "practice", "ride", "rating", "audit")


def upgrade() -> None:
    """Add columns, tables and triggers, then an entry in the log for every opinion so far."""
    _rides()
    _columns()
    _people()
    _audit()
    hold_append_only(op, APPEND_ONLY)
    audit.adopt(op.get_bind())


def _columns() -> None:
    op.add_column("pair", Column("answer", Text))
    op.add_column("pair", Column("lesson", Text, nullable=False, server_default=""))
    op.add_column("takeover", Column("request_s", Float))
    op.execute("ALTER TABLE takeover ADD COLUMN after_clip_id TEXT REFERENCES clip (id)")
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(f"ALTER TABLE takeover ADD COLUMN ride_id {number} REFERENCES ride (id)")
    op.create_index("ix_takeover_ride_id", "takeover", ["ride_id"])


def _people() -> None:
    op.create_table(
        "invitation",
        Column("token_sha256", LargeBinary, primary_key=True),
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False, index=True),
        Column("expires_unix_s", Float, nullable=False),
    )
    op.create_table(
        "remark",
        Column("label_id", Integer, ForeignKey("label.id"), primary_key=True),
        Column("reasons", Text, nullable=False),
        Column("comment", Text, nullable=False),
    )
    op.create_table(
        "practice",
        Column("id", Integer, primary_key=True),
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
        Column("pair_id", Integer, ForeignKey("pair.id"), nullable=False),
        Column("choice", Text, nullable=False),
        Column("created_unix_s", Float, nullable=False),
        UniqueConstraint("reviewer_id", "pair_id"),
    )


def _rides() -> None:
    op.create_table(
        "ride",
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
    op.create_table(
        "rating",
        Column("id", Integer, primary_key=True),
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
        Column("ride_id", Integer, ForeignKey("ride.id"), nullable=False, index=True),
        Column("stars", Integer, CheckConstraint("stars BETWEEN 1 AND 5"), nullable=False),
        Column("comment", Text, nullable=False),
        Column("client_key", Text, nullable=False),
        Column("created_unix_s", Float, nullable=False),
        UniqueConstraint("reviewer_id", "client_key"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        Column("id", Integer, primary_key=True),
        Column("event", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("subject_id", Integer, nullable=False),
        Column("actor", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("created_unix_s", Float, nullable=False),
        Column("previous_sha256", Text, nullable=False),
        Column("sha256", Text, nullable=False, unique=True),
    )
