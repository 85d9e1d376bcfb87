"""`airclass teach`: the synthetic teacher in this process."""

from __future__ import annotations

from airclass.ingest.teacher import teach

__all__ = ["teach"]
