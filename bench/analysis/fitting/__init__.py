"""Kernel networks fitted to target kernels."""
