"""Alembic migrations of a study's database; ``feedback.database`` runs them when it opens one."""
