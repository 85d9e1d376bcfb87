"""One stream: its epochs and numbers, the window of segments and parts, what to fetch, the live edge."""
