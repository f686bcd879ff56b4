"""Multi-domain datasets: builders, splits, sampling, and the way onto the device."""
