"""The harness: cells, jobs, metrics, executors and reports. Start with `bench/spec.py`, or in Python with `bench.run`."""

from bench.api import Results, export, load, run, swap

__all__ = ["Results", "export", "load", "run", "swap"]
