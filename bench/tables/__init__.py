"""Tidy rows, computed from journals: one row per cell, per training, per crossover."""
