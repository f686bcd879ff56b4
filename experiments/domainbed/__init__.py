"""DomainBed's protocol: random search, and three ways to select, on ColoredMNIST and RotatedMNIST."""
