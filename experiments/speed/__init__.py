"""Speed against PyTorch: `python -m experiments.speed --help`."""
