"""Analyses of the kernels of a network. Each analysis writes tidy tables, figures and a page of results."""
