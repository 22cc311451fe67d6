"""What the kernels of a network look like and learned. Each analysis gives tidy tables, pictures and a page of findings."""
