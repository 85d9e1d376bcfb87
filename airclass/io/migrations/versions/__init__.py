"""Alembic's scripts; `airclass.io.migrate` runs them at start."""
