"""Recommendation of a method for a setting and limits."""
