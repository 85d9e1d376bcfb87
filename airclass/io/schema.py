"""The database's tables, as SQLAlchemy Core sees them; migrations/ makes them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", Integer, nullable=False),
)
users = Table(
    "users",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("name_key", String(128), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at_s", Float, nullable=False),
)
classrooms = Table(
    "classrooms",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("code", String(16), nullable=False, unique=True),
    Column("owner_id", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("language", String(8), nullable=False),
    Column("key_hash", String(64), nullable=False),
    Column("key_shown", String(64), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("roster", Text, nullable=False),
)
co_teachers = Table(
    "co_teachers",
    metadata,
    Column("classroom_id", String(16), ForeignKey("classrooms.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String(16), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
)
revocations = Table(
    "revocations",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("value", String(64), primary_key=True),
    Column("until_s", Float, nullable=False),
    Column("classroom_id", String(16), nullable=False, server_default=""),
)
drained_nodes = Table(
    "drained_nodes",
    metadata,
    Column("node_id", String(64), primary_key=True),
)
node_keys = Table(
    "node_keys",
    metadata,
    Column("node_id", String(64), primary_key=True),
    Column("key", Text, nullable=False),
    Column("added", Boolean, nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("zone", Text, nullable=False),
    Column("max_connections", Integer, nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("join_id", String(16), nullable=False),
    Column("join_key", Text, nullable=False),
    Column("join_until_s", Float, nullable=False),
    Column("join_used", Boolean, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(40), nullable=False),
    Column("target", String(80), nullable=False),
    Column("detail", String(200), nullable=False),
    Index("ix_events_at_s", "at_s"),
)
visits = Table(
    "visits",
    metadata,
    Column("subject", String(32), primary_key=True),
    Column("classroom_id", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("joined_at_s", Float, nullable=False),
    Column("node_id", String(64), nullable=False, server_default=""),
    Index("ix_visits_classroom_id", "classroom_id"),
)
seen_nodes = Table(
    "seen_nodes",
    metadata,
    Column("node_id", String(64), primary_key=True),
)
epochs = Table(
    "epochs",
    metadata,
    Column("stream", String(16), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("discontinuity_seq", BigInteger, nullable=False),
    Column("target_duration_s", Integer, nullable=False),
    Column("part_target_s", Float, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("order", BigInteger, nullable=False),
    UniqueConstraint("stream", "order"),
)
stream_numbers = Table(
    "stream_numbers",
    metadata,
    Column("stream", String(16), primary_key=True),
    Column("next_msn", BigInteger, nullable=False),
    Column("next_discontinuity_seq", BigInteger, nullable=False),
    Column("at_s", Float, nullable=False),
)
