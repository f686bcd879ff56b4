"""Reads what a user gives: names, paths, and files that others may have written."""
