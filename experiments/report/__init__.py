"""One HTML page, in a single file, of all that is in a results directory."""
