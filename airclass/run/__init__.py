"""Whole systems on one machine: child processes that are started, watched, restarted and ended."""
