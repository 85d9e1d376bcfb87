"""The event loop that serves viewers, their connections, TLS and media memory."""
