"""Table 1 once more, fine-tuned from pretrained weights."""
