"""Assignments know until when nobody else gets their place, and which label answers them."""

from alembic import op
from sqlalchemy import Column, Float

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns, and fill in the answers so far."""
    op.add_column("assignment", Column("lease_until_unix_s", Float))
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(f"ALTER TABLE assignment ADD COLUMN label_id {number} REFERENCES label (id)")
    op.execute(
        "INSERT INTO assignment (reviewer_id, pair_id, mirrored, created_unix_s) "
        "SELECT reviewer_id, pair_id, max(mirrored), min(created_unix_s) FROM label WHERE NOT EXISTS (SELECT 1 FROM assignment AS given "
        "WHERE given.reviewer_id = label.reviewer_id AND given.pair_id = label.pair_id) GROUP BY reviewer_id, pair_id"
    )
    op.execute(
        "UPDATE assignment SET label_id = (SELECT label.id FROM label WHERE label.reviewer_id = assignment.reviewer_id "
        "AND label.pair_id = assignment.pair_id AND label.choice <> 'undo' "
        "AND NOT EXISTS (SELECT 1 FROM label AS undo WHERE undo.undoes = label.id))"
    )
    op.create_index("assignment_of_reviewer", "assignment", ["reviewer_id", "label_id"])
    op.create_index("assignment_of_pair", "assignment", ["pair_id", "label_id"])
