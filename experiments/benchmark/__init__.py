"""Benchmarks: this package against plain PyTorch, measured in turns. ``python -m experiments.benchmark NAME``."""

import os

# By default JAX takes three quarters of a GPU's memory when it starts, which leaves PyTorch too little.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
