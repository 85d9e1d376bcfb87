"""Keys of nodes, and the class that a student was taken out of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table of nodes' keys; revocations name their class, those made before name none."""
    op.create_table(
        "node_keys",
        sa.Column("node_id", sa.String(64), primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("added", sa.Boolean, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("max_connections", sa.Integer, nullable=False),
        sa.Column("created_at_s", sa.Float, nullable=False),
        sa.Column("join_id", sa.String(16), nullable=False),
        sa.Column("join_key", sa.Text, nullable=False),
        sa.Column("join_until_s", sa.Float, nullable=False),
        sa.Column("join_used", sa.Boolean, nullable=False),
    )
    op.add_column("revocations", sa.Column("classroom_id", sa.String(16), nullable=False, server_default=""))
