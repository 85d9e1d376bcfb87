"""Load and speed: real HTTP viewers by the hundred, and the relay beside nginx. Loopback only."""
