"""Benchmarks: this package against plain PyTorch, measured in turns. ``python -m experiments.benchmark NAME``."""

import os

# JAX would take three quarters of a GPU's memory when it starts, and leave PyTorch too little beside it.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
