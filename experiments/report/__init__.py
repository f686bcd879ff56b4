"""One page, a file of its own, of all that is in a results directory."""
