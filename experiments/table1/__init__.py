"""Table 1 and Figure 3 of the paper."""
