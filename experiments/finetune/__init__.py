"""Table 1 with fine-tuning from pretrained weights."""
