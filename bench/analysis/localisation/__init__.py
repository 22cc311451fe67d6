"""Effective kernel sizes, compared with untrained copies of a network."""
