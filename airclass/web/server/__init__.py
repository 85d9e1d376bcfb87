"""Everything that touches Hypercorn: its configuration, guarded connections, WebSockets, the fast path."""
