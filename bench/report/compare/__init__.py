"""Comparison of two runs, cell by cell."""
