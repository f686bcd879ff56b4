"""Spirals: a task made for agreement, and when agreement wins on it."""
