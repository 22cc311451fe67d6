"""Effective receptive fields, before and after training."""
