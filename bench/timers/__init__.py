"""One round of timed calls on a CPU or a GPU, and the peak rates of a machine."""
