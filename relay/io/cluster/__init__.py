"""The relay as a cluster member: calls to the master and what its orders change here."""
