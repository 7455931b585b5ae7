"""Experiments: runs of variants and seeds, and the tables made of them."""
