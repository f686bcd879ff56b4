"""Numbers and figures out of training: works on arrays and knows nothing of how they came about."""
