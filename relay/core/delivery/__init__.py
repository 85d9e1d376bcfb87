"""Serving HLS to viewers: requests, blocking reload, responses, timeouts."""
