"""Following an origin: which address, when to ask, what it answers, when a new epoch starts."""
