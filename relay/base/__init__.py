"""What relay and master share: errors, settings, tokens, signatures, wire records. No I/O."""
