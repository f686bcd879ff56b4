"""Pretrained weights for the emoji study."""
