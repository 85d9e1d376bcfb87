"""The synthetic teacher's picture: colour bars, a clock that machines can read, text."""
