"""Fetching from origins: HTTP client, one puller per stream, the set of streams."""
