"""Numbers from finished runs: similarity, significance, tables, plots. Imports no training code."""
