"""Spirals: where agreement must win, and when it does."""
