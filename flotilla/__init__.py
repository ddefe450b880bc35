"""What the programs share: the pure domain, its ports and adapters, settings and the command line."""

__version__ = "0.1.0"
