"""Lessons, blocked students, retired classes and "open when I go live"."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables, and rename the status of classes that are over for good."""
    op.add_column(
        "classrooms", sa.Column("starts_when_live", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE classrooms SET status = 'retired' WHERE status = 'ended'")
    op.create_table(
        "lessons",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column(
            "classroom_id",
            sa.String(16),
            sa.ForeignKey("classrooms.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("started_at_s", sa.Float, nullable=False),
        sa.Column("ended_at_s", sa.Float, nullable=True),
    )
    op.create_index("ix_lessons_classroom_id", "lessons", ["classroom_id", "ended_at_s"])
    # Two masters may both see the first picture: only one of them begins the lesson.
    only_running = sa.text("ended_at_s IS NULL")
    op.create_index(
        "uq_lessons_running",
        "lessons",
        ["classroom_id"],
        unique=True,
        sqlite_where=only_running,
        postgresql_where=only_running,
    )
    op.create_table(
        "blocked_students",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column(
            "classroom_id",
            sa.String(16),
            sa.ForeignKey("classrooms.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("device_hash", sa.String(64), nullable=False),
        sa.Column("blocked_at_s", sa.Float, nullable=False),
    )
