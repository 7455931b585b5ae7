"""Scores of a trained net, and what it has to beat."""
