"""The relay's own port: health, readiness, metrics."""
