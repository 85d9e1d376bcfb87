"""The handlers of the master's API and pages, by noun."""
