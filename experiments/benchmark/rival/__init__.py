"""The rival: plain eager PyTorch, written from the published algorithms."""
