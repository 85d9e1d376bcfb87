"""Each student's node, and the nodes that were seen: a master that is restarted promises no seat twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("visits", sa.Column("node_id", sa.String(64), nullable=False, server_default=""))
    op.create_table("seen_nodes", sa.Column("node_id", sa.String(64), primary_key=True))
