"""Called by Alembic with the connection that `airclass.io.migrate` has opened and locked."""

from alembic import context

from airclass.io.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
