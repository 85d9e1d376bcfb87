"""`python -m relay top`: a live screen of one relay's metrics."""
