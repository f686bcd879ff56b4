"""Reads what a figure shows from Matplotlib's artists."""

import numpy as np


def lines_of(axes):
    """Label -> x, mean and (where there is one) lower and upper end of the error bar."""
    found = {}
    for container in axes.containers:
        data, _, (bars,) = container.lines
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        x, y = (np.asarray(values, float) for values in data.get_data())
        found[container.get_label()] = x, y, ends
    return found
