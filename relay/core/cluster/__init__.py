"""What a relay decides about its master's orders."""
