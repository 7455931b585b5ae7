"""Weights into other formats, and out of them."""
