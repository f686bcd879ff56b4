"""What all programs share: flags, exit codes, and the packages that they need."""
