"""Multi-domain datasets: builders, splits, sampling, and the transfer to the device."""
