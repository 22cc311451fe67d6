"""The machine and the process: environment, core assignment, GPU state, memory and energy counters."""
