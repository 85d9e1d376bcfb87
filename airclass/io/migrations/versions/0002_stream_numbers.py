"""Number a stream's epochs in order, and keep the highest numbers that its viewers were shown."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# What schema 0001 does not tell is how much of the last epoch was shown: at most a segment a second.
MIN_SEGMENT_S = 1.0
MAX_NUMBER = 2**52


def upgrade() -> None:
    """Add the order of epochs (by age, then by discontinuity) and a row of numbers for each stream."""
    with op.batch_alter_table("epochs") as table:
        table.add_column(sa.Column("order", sa.BigInteger, nullable=True))
        table.alter_column("offset", existing_type=sa.Integer, type_=sa.BigInteger, existing_nullable=False)
        table.alter_column(
            "discontinuity_seq", existing_type=sa.Integer, type_=sa.BigInteger, existing_nullable=False
        )
    numbers = op.create_table(
        "stream_numbers",
        sa.Column("stream", sa.String(16), primary_key=True),
        sa.Column("next_msn", sa.BigInteger, nullable=False),
        sa.Column("next_discontinuity_seq", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
    )
    names = ("stream", "key", "offset", "discontinuity_seq", "at_s", "order")
    epochs = sa.table("epochs", *(sa.column(name) for name in names))
    connection = op.get_bind()
    by_age = sa.select(epochs).order_by(epochs.c.stream, epochs.c.at_s, epochs.c.discontinuity_seq)
    now_s = time.time()
    counts: dict[str, int] = {}
    shown: dict[str, dict[str, object]] = {}
    for row in connection.execute(by_age).mappings().all():
        stream = row["stream"]
        counts[stream] = counts.get(stream, 0) + 1
        mine = (epochs.c.stream == stream) & (epochs.c.key == row["key"])
        connection.execute(sa.update(epochs).where(mine).values(order=counts[stream]))
        lasted_s = max(0.0, now_s - row["at_s"])
        before = shown.get(stream, {"next_msn": 0, "next_discontinuity_seq": 0})
        msn = max(0, row["offset"]) + 1 + int(lasted_s / MIN_SEGMENT_S)
        shown[stream] = {
            "stream": stream,
            "next_msn": min(MAX_NUMBER, max(before["next_msn"], msn)),
            "next_discontinuity_seq": max(before["next_discontinuity_seq"], row["discontinuity_seq"] + 1),
            "at_s": now_s,
        }
    if shown:
        op.bulk_insert(numbers, list(shown.values()))
    with op.batch_alter_table("epochs") as table:
        table.alter_column("order", existing_type=sa.BigInteger, nullable=False)
        table.create_unique_constraint("uq_epochs_stream", ["stream", "order"])
