"""Similarity of gradients while Deep-All trains (section 4.3 and Figure 2 of the paper)."""
