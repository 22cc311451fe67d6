"""Learned kernel sizes of FlexConv and the frequencies of its kernels."""
