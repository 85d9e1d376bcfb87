"""The servers under test: relay, ingest, nginx, master."""
