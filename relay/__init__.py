"""The AIRClass relay: pulls one HLS stream once and serves it to many viewers."""

__version__ = "3.0.0"
