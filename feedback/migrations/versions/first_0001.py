"""The first schema."""

from alembic import op
from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    LargeBinary,
    Text,
    UniqueConstraint,
)

from feedback.migrations.append_only import hold_append_only
from feedback.tables import Integer

revision = "0001"
down_revision = None

APPEND_ONLY = ("clip", "video", "pair", "label", "takeover")


def upgrade() -> None:
    """Make every table, index and trigger."""
    _rides()
    _people()
    _opinions()
    hold_append_only(op, APPEND_ONLY)


def _rides() -> None:
    op.create_table(
        "clip",
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
    op.create_table(
        "video",
        Column("id", Integer, primary_key=True),
        Column("clip_id", Text, ForeignKey("clip.id"), nullable=False, index=True),
        Column("path", Text, nullable=False),
        Column("sha256", Text, nullable=False),
        Column("frames_per_s", Float, CheckConstraint("frames_per_s > 0"), nullable=False),
        Column("created_unix_s", Float, nullable=False),
    )
    op.create_table(
        "pair",
        Column("id", Integer, primary_key=True),
        Column("clip_a", Text, ForeignKey("clip.id"), nullable=False, index=True),
        Column("clip_b", Text, ForeignKey("clip.id"), nullable=False, index=True),
        Column("reason", Text, nullable=False),
        Column("labels_wanted", Integer, CheckConstraint("labels_wanted > 0")),
        Column("created_unix_s", Float, nullable=False),
        UniqueConstraint("clip_a", "clip_b", "reason"),
        CheckConstraint("clip_a <> clip_b", name="two_clips"),
    )


def _people() -> None:
    op.create_table(
        "reviewer",
        Column("id", Integer, primary_key=True),
        Column("pseudonym", Text, nullable=False, unique=True),
        Column("role", Text, nullable=False),
        Column("scripted", Integer, nullable=False),
        Column("token_sha256", LargeBinary, unique=True),
        Column("created_unix_s", Float, nullable=False),
    )
    op.create_table(
        "identity",
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), primary_key=True),
        Column("name", Text, nullable=False, unique=True),
    )
    op.create_table(
        "session",
        Column("token_sha256", LargeBinary, primary_key=True),
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False, index=True),
        Column("csrf_token", Text, nullable=False),
        Column("created_unix_s", Float, nullable=False),
        Column("seen_unix_s", Float, nullable=False),
    )


def _opinions() -> None:
    op.create_table(
        "assignment",
        Column("id", Integer, primary_key=True),
        Column("reviewer_id", Integer, ForeignKey("reviewer.id"), nullable=False),
        Column("pair_id", Integer, ForeignKey("pair.id"), nullable=False),
        Column("mirrored", Integer, nullable=False),
        Column("created_unix_s", Float, nullable=False),
        UniqueConstraint("reviewer_id", "pair_id"),
    )
    op.create_table(
        "label",
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
    )
    op.create_index("label_of_reviewer_and_pair", "label", ["reviewer_id", "pair_id", "attempt"], unique=True)
    op.create_table(
        "takeover",
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
