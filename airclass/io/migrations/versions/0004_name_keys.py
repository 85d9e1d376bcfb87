"""Names of accounts are compared by how they look: their keys are computed again."""

import sqlalchemy as sa
from alembic import op

from airclass.domain.users import MAX_KEY_CHARS, name_key

revision = "0004"
down_revision = "0003"

users = sa.table(
    "users",
    sa.column("id", sa.String),
    sa.column("name", sa.String),
    sa.column("name_key", sa.String),
    sa.column("created_at_s", sa.Float),
)


def upgrade() -> None:
    """Set each key; of accounts whose names look alike, the oldest one has the key."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(users).order_by(users.c.created_at_s, users.c.id)).all()
    keys: dict[str, str] = {}
    for row in rows:
        key = name_key(row.name)
        if key in keys.values():
            key = f"{key[: MAX_KEY_CHARS - 17]}\n{row.id}"  # no name holds a line feed
        keys[row.id] = key
    for user_id in keys:  # first out of each other's way: the column is unique
        connection.execute(users.update().where(users.c.id == user_id).values(name_key=f"\n{user_id}"))
    for user_id, key in keys.items():
        connection.execute(users.update().where(users.c.id == user_id).values(name_key=key))
