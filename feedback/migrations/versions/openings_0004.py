"""Pairs that want a certain number of labels and lack some are listed, so that those that have theirs need not be passed by each time."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the list and fill it in, and the indices that questions of open pairs go by."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    op.create_table(
        "opening",
        Column("pair_id", number, ForeignKey("pair.id"), primary_key=True),
        Column("shown", number, nullable=False),
    )
    op.execute(
        "INSERT INTO opening (pair_id, shown) SELECT id, CASE WHEN EXISTS (SELECT 1 FROM video WHERE clip_id = clip_a) "
        "AND EXISTS (SELECT 1 FROM video WHERE clip_id = clip_b) THEN 1 ELSE 0 END FROM pair WHERE reason <> 'practice' AND "
        "labels_wanted > (SELECT count(*) FROM assignment WHERE assignment.pair_id = pair.id AND assignment.label_id IS NOT NULL)"
    )
    op.create_index("opening_of_shown", "opening", ["shown", "pair_id"])
    everybodys = text("labels_wanted IS NULL")
    op.create_index("pair_for_everybody", "pair", ["id"], sqlite_where=everybodys, postgresql_where=everybodys)
    op.create_index("assignment_of_lease", "assignment", ["lease_until_unix_s"])
