"""The training step, the loop around it, checkpoints, and the run's record on disk."""
