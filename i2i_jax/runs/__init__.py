"""A run's folder: its files, log, checkpoints."""
