"""One module for each result: run as ``python -m experiments.NAME`` from the project's folder."""
