"""Figure 1: samples of each domain."""
